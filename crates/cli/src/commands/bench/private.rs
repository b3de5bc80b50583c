//! One private prediction between two fresh processes over TLS on loopback, measured and held against the reference.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use model::fixed::Op;
use model::reference;
use serde::Deserialize;

use super::table::Figures;
use crate::child::ServerProcess;
use crate::choice::Protocol;
use crate::failure::Failure;
use crate::npy;
use crate::source::{Number, Source};

/// How far outputs may be from the reference's, relative to `max(1, largest output)`, where values are truncated on shares.
const SHARES_TOLERANCE: f32 = 0.02;

/// A prediction to be measured.
pub struct Run<'a> {
    /// The network.
    pub source: &'a Source,
    /// The protocol.
    pub protocol: Protocol,
    /// The integers that the server computes with these arguments.
    pub number: Number,
    /// More arguments for the server.
    pub server: &'a [&'a str],
    /// More arguments for the client.
    pub client: &'a [&'a str],
}

/// What a phase cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct PhaseCost {
    /// Seconds.
    pub seconds: f64,
    /// Both ways.
    pub bytes: u64,
}

/// What it cost. Seconds are wall-clock as the client sees them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// From the first message to the prediction, all phases.
    pub seconds: f64,
    /// From the input to the prediction.
    pub online_seconds: f64,
    /// Both ways, all phases.
    pub bytes: u64,
    /// Set-up, before the input is known, and from then on.
    pub phases: [PhaseCost; 3],
    /// Processor time of both processes, set-up of the program and of the model left out; unknown on some systems.
    pub cpu_seconds: Option<f64>,
    /// Largest resident sets.
    pub client_rss: u64,
    /// The server's.
    pub server_rss: u64,
}

impl Cost {
    /// What runs of a network usually cost: the median of each phase. Nothing of none.
    pub fn usual(runs: &[Self]) -> Self {
        let mut usual = runs.first().copied().unwrap_or_default();
        for (index, phase) in usual.phases.iter_mut().enumerate() {
            phase.seconds = median(runs.iter().map(|run| run.phases[index].seconds));
        }
        usual.seconds = usual.phases.iter().map(|phase| phase.seconds).sum();
        usual.online_seconds = usual.phases[2].seconds;
        usual.cpu_seconds = usual.cpu_seconds.map(|_| median(runs.iter().filter_map(|run| run.cpu_seconds)));
        usual
    }

    /// The figures of a private prediction, after others.
    pub fn figures(&self, figures: Figures) -> Figures {
        let figures = figures
            .whole("communication_bytes", self.bytes)
            .real("execution_seconds", self.seconds)
            .real("online_seconds", self.online_seconds);
        let figures = match self.cpu_seconds {
            Some(seconds) => figures.real("processor_seconds", seconds),
            None => figures,
        };
        figures
            .whole("client_peak_rss_bytes", self.client_rss)
            .whole("server_peak_rss_bytes", self.server_rss)
    }
}

/// The middle one, or the mean of both; 0 of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) =
        (values.get(values.len().wrapping_sub(1) / 2), values.get(values.len() / 2))
    else {
        return 0.0;
    };
    f64::midpoint(*low, *high)
}

/// The part of the client's line that is read here.
#[derive(Deserialize)]
struct Line {
    output: Vec<f32>,
    setup: Phase,
    offline: Phase,
    online: Phase,
    peak_rss_bytes: Peaks,
}

#[derive(Deserialize)]
struct Phase {
    seconds: f64,
    client_bytes: u64,
    server_bytes: u64,
}

#[derive(Deserialize)]
struct Peaks {
    client: u64,
    server: u64,
}

/// Runs it on the network's first sample input.
///
/// # Errors
/// If a process fails, or the scores are not exactly the reference's.
pub fn measure(run: &Run<'_>) -> Result<Cost, Failure> {
    measure_batch(run, 1)
}

/// Runs it on that input so many times in one command, which protocols that can compute together.
///
/// # Errors
/// As [`measure`].
pub fn measure_batch(run: &Run<'_>, count: usize) -> Result<Cost, Failure> {
    let input = InputFile::new(run.source)?;
    once(run, &serve(run, &[])?, (&input, count))
}

/// Prepares bundles into a temporary folder and predicts from them, so many times: the quickest of the predictions, and the seconds of preparing one.
///
/// # Errors
/// As [`measure`].
pub fn measure_stored(run: &Run<'_>, times: usize) -> Result<(Cost, f64), Failure> {
    const LIMIT: &str = "1000GB";
    let (input, folder) = (InputFile::new(run.source)?, Folder::new("stored")?);
    let [own, servers] = ["client", "server"].map(|side| folder.0.join(side).to_string_lossy().into_owned());
    let server = serve(run, &["--store", &servers, "--store-limit", LIMIT])?;
    let announced = &server.announcement;
    let count = times.to_string();
    let place = ["--store", own.as_str()];
    let peer = ["--server", announced.listen.as_str(), "--fingerprint", announced.fingerprint.as_str()];
    let begun = Instant::now();
    let prepared = Command::new(std::env::current_exe().map_err(cannot)?)
        .args(["prepare", "--count", &count, "--store-limit", LIMIT])
        .args(peer)
        .args(place)
        .args(run.client)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !prepared.map_err(cannot)?.success() {
        return Err(Failure::running(format!("{}: no bundles could be prepared", run.source.path)));
    }
    let preparing = begun.elapsed().as_secs_f64() / times.max(1) as f64;
    let client = [run.client, &place].concat();
    let run = Run { client: &client, source: run.source, ..*run };
    let mut best = once(&run, &server, (&input, 1))?;
    for _ in 1..times {
        let next = once(&run, &server, (&input, 1))?;
        if next.online_seconds < best.online_seconds {
            best = next;
        }
    }
    if best.phases[1].bytes > 0 {
        return Err(Failure::running(format!("{}: a prediction found no bundle", run.source.path)));
    }
    Ok((best, preparing))
}

/// The server as a process of its own.
fn serve(run: &Run<'_>, more: &[&str]) -> Result<ServerProcess, Failure> {
    let listen = ["--listen", "127.0.0.1:0", "--protocol", run.protocol.name()];
    let arguments = [&listen, run.server, more, &["--", &run.source.path]].concat();
    ServerProcess::start(&arguments.into_iter().map(str::to_owned).collect::<Vec<_>>())
}

/// A command of a client with so many inputs, measured.
fn once(run: &Run<'_>, server: &ServerProcess, (input, count): (&InputFile, usize)) -> Result<Cost, Failure> {
    let before = (cpu_of(server.id()), cpu_of_children());
    let lines = predict(run, server, (input, count))?;
    let after = (cpu_of(server.id()), cpu_of_children());
    lines.iter().try_for_each(|line| check(run, input, line))?;
    let cpu = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
    // What inputs cost together is charged to the first of them.
    let parts: [fn(&Line) -> &Phase; 3] = [|line| &line.setup, |line| &line.offline, |line| &line.online];
    let phases = parts.map(|part| PhaseCost {
        seconds: lines.iter().map(|line| part(line).seconds).sum(),
        bytes: lines.iter().map(|line| part(line).client_bytes + part(line).server_bytes).sum(),
    });
    let most = |part: fn(&Line) -> u64| lines.iter().map(part).max().unwrap_or(0);
    Ok(Cost {
        seconds: phases.iter().map(|phase| phase.seconds).sum(),
        online_seconds: phases[2].seconds,
        phases,
        bytes: phases.iter().map(|phase| phase.bytes).sum(),
        cpu_seconds: cpu(before.0, after.0)
            .zip(cpu(before.1, after.1))
            .map(|(server, client)| server + client),
        client_rss: most(|line| line.peak_rss_bytes.client),
        server_rss: most(|line| line.peak_rss_bytes.server),
    })
}

fn cannot(error: std::io::Error) -> Failure {
    Failure::running(format!("the client process cannot be started: {error}"))
}

/// The client as a process of its own.
fn predict(
    run: &Run<'_>,
    server: &ServerProcess,
    (input, count): (&InputFile, usize),
) -> Result<Vec<Line>, Failure> {
    let announced = &server.announcement;
    let mut client = Command::new(std::env::current_exe().map_err(cannot)?);
    client.arg("predict").args(std::iter::repeat_n(&input.path, count));
    client.args(["--server", &announced.listen, "--fingerprint", &announced.fingerprint, "--json"]);
    client.args(["--protocol", run.protocol.name()]).args(run.client);
    let output = client.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(cannot)?;
    if !output.status.success() {
        return Err(Failure::silent(crate::failure::FAILED));
    }
    let lines =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<Vec<_>, _>>();
    match lines {
        Ok(lines) if lines.len() == count => Ok(lines),
        Ok(lines) => Err(Failure::running(format!("the client process printed {} lines", lines.len()))),
        Err(error) => Err(Failure::running(format!("the client process speaks otherwise: {error}"))),
    }
}

/// Every engine gives exactly the reference's integers, but for truncation on shares.
fn check(run: &Run<'_>, input: &InputFile, line: &Line) -> Result<(), Failure> {
    let (graph, params) = run.source.quantise(run.number)?;
    let wrong = |error: model::Error| Failure::running(format!("{}: {error}", run.source.path));
    let integers = graph.quantise_input(0, &input.values).map_err(wrong)?;
    let expected = reference::predict(&graph, &params, &[integers]).map_err(wrong)?;
    let Some(expected) = expected.first() else {
        return Err(Failure::running(format!("{}: the network has no output", run.source.path)));
    };
    // Truncation on shares is right to a unit in the last place, and what follows makes that more.
    let products = graph.nodes.iter().any(|node| matches!(node.op, Op::Product { .. }));
    let tolerance = if run.protocol == Protocol::Delphi && products { SHARES_TOLERANCE } else { 0.0 };
    let top = expected.iter().fold(1f32, |top, value| top.max(value.abs()));
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * top;
    if expected.len() == line.output.len() && expected.iter().zip(&line.output).all(near) {
        return Ok(());
    }
    Err(Failure::running(format!("{}: the scores are not those of the integer reference", run.source.path)))
}

/// A folder that goes when this does.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A fresh one among the temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("oribi-bench-{name}-{}", std::process::id()));
        let failed = |error| Failure::running(format!("{}: cannot be made: {error}", path.display()));
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An input in a file that goes when this does.
struct InputFile {
    path: PathBuf,
    values: Vec<f32>,
}

impl InputFile {
    fn new(source: &Source) -> Result<Self, Failure> {
        let values = source.ranges.samples.first().and_then(|sample| sample.first());
        let Some(values) = values.map(|tensor| tensor.data().to_vec()) else {
            return Err(Failure::running(format!("{}: there is no sample input", source.path)));
        };
        let shape = source.meta.inputs.first().map(|input| input.shape.clone()).unwrap_or_default();
        let name = format!("oribi-bench-{}-{}.npy", std::process::id(), source.meta.name);
        let path = std::env::temp_dir().join(name);
        let failed = |error| Failure::running(format!("{}: cannot be written: {error}", path.display()));
        std::fs::write(&path, npy::array(&shape, &values)).map_err(failed)?;
        Ok(Self { path, values })
    }
}

impl Drop for InputFile {
    fn drop(&mut self) {
        // A file that is left in the temporary folder harms nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Processor seconds of a process so far; only Linux tells.
fn cpu_of(process: u32) -> Option<f64> {
    ticks(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?, 14)
}

/// Processor seconds of this process's children that have ended.
fn cpu_of_children() -> Option<f64> {
    ticks(&std::fs::read_to_string("/proc/self/stat").ok()?, 16)
}

/// The sum of two neighbouring fields of `proc_pid_stat(5)`, whose times are in hundredths of a second.
fn ticks(stat: &str, field: usize) -> Option<f64> {
    // The second field is a name in parentheses, which may hold spaces.
    let rest = stat.rsplit_once(") ")?.1;
    let mut fields = rest.split(' ').skip(field - 3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()? + next()?) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_times_are_read_from_the_right_fields() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 400 0 20 0";
        assert_eq!(ticks(stat, 14), Some(3.0));
        assert_eq!(ticks(stat, 16), Some(4.0));
        assert_eq!(ticks("7 (x) S 1", 14), None);
    }
}
