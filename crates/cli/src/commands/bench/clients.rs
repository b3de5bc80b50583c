//! Many clients at once, each with a bundle that was prepared: how long they wait, and what they cost the server.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use oribi::client::{Delphi, Supply};
use oribi::store::{Options, Side, Store};
use oribi::{Client, ClientConfig, Connection, Trust, Wanted};
use protocol::Reveal;
use protocol::interactive::ahead::DELPHI;

use super::private::Folder;
use super::table::Figures;
use crate::child::ServerProcess;
use crate::choice::Protocol;
use crate::failure::{FAILED, Failure};
use crate::source::{Number, Source};

/// What is measured, for the columns of a row.
///
/// # Errors
/// If a process fails, or a prediction is not the reference's.
pub fn measure(path: &str, count: usize) -> Result<Figures, Failure> {
    let crowd = Crowd::new(path)?;
    let folders: Vec<PathBuf> = (0..count).map(|number| crowd.folder.0.join(number.to_string())).collect();
    let begun = Instant::now();
    for folder in &folders {
        let mut client = crowd.connect(folder)?;
        client.prepare(&())?;
        client.close()?;
    }
    let preparing = begun.elapsed().as_secs_f64() / count as f64;
    let before = crowd.server_bytes();
    let mut clients = folders.iter().map(|folder| crowd.connect(folder)).collect::<Result<Vec<_>, _>>()?;
    // The stores agree, and then nothing happens.
    clients.iter_mut().try_for_each(|client| client.target().map(drop))?;
    let idle = crowd.server_bytes().saturating_sub(before) / count as u64;
    let (mut latencies, elapsed) = crowd.predict(clients)?;
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies.get(((count - 1) as f64 * part) as usize).copied().unwrap_or(0.0);
    Ok(Figures::default()
        .whole("clients", count as u64)
        .real("median_seconds", at(0.5))
        .real("slowest_seconds", at(1.0))
        .real("fastest_seconds", at(0.0))
        .real("predictions_a_second", count as f64 / elapsed)
        .real("preparing_seconds_each", preparing)
        .whole("server_idle_session_bytes", idle)
        .whole("server_rss_bytes", crowd.server_bytes()))
}

/// A server and its clients' folders.
struct Crowd {
    server: ServerProcess,
    folder: Folder,
    input: Vec<Vec<f32>>,
    expected: Vec<i128>,
}

impl Crowd {
    fn new(path: &str) -> Result<Self, Failure> {
        let source = Source::load_for(path, &Default::default(), &[Protocol::Delphi])?;
        let folder = Folder::new("clients")?;
        let store = folder.0.join("server").to_string_lossy().into_owned();
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--protocol",
            DELPHI,
            "--sessions",
            "1000",
            "--store",
            &store,
            "--",
            path,
        ];
        let server = ServerProcess::start(&arguments.map(str::to_owned))?;
        let none = || Failure::running(format!("{path}: there is no sample input"));
        let sample = source.ranges.samples.first().ok_or_else(none)?;
        let input: Vec<Vec<f32>> = sample.iter().map(|tensor| tensor.data().to_vec()).collect();
        let (graph, params) = source.quantise(Number::Of(Protocol::Delphi))?;
        let wrong = |error: model::Error| Failure::running(format!("{path}: {error}"));
        let integers = input.iter().enumerate().map(|(index, values)| graph.quantise_input(index, values));
        let integers = integers.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let expected = model::reference::run(&graph, &params, &integers).map_err(wrong)?;
        let expected = expected.into_iter().next().ok_or_else(none)?.into_iter().map(i128::from).collect();
        Ok(Self { server, folder, input, expected })
    }

    fn connect(&self, folder: &Path) -> Result<Client, Failure> {
        let announced = &self.server.announcement;
        let fingerprint = announced.fingerprint.parse().map_err(Failure::running)?;
        let store =
            Store::open(folder, Side::Client, Options::client(u64::MAX)).map_err(oribi::Error::from)?;
        let delphi = Delphi::with_store(Supply { store: Arc::new(store), tell: Arc::new(|_| {}) });
        let config = ClientConfig::new(Trust::Pinned(fingerprint)).with_engine(Arc::new(delphi));
        let wanted = Wanted { model: None, protocol: Some(DELPHI), reveal: Reveal::Scores };
        Ok(Connection::open(&announced.listen, config)?.choose(wanted)?)
    }

    /// All predict at the same moment; gives the seconds of each, and of all.
    fn predict(&self, clients: Vec<Client>) -> Result<(Vec<f64>, f64), Failure> {
        let start = Barrier::new(clients.len() + 1);
        std::thread::scope(|scope| {
            let run = |mut client: Client| {
                start.wait();
                let begun = Instant::now();
                let prediction = client.predict(&self.input, &())?;
                let seconds = begun.elapsed().as_secs_f64();
                client.close()?;
                match prediction.integers.first() {
                    Some(integers) if *integers == self.expected => Ok(seconds),
                    _ => Err(Failure::running("the scores are not those of the integer reference")),
                }
            };
            let threads: Vec<_> =
                clients.into_iter().map(|client| scope.spawn(move || run(client))).collect();
            start.wait();
            let begun = Instant::now();
            let failed = |_| Failure::silent(FAILED);
            let latencies: Result<Vec<f64>, Failure> =
                threads.into_iter().map(|thread| thread.join().map_err(failed)?).collect();
            Ok((latencies?, begun.elapsed().as_secs_f64()))
        })
    }

    /// The server's resident set now; 0 where the system does not tell.
    fn server_bytes(&self) -> u64 {
        let report =
            std::fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap_or_default();
        resident(&report).unwrap_or(0)
    }
}

/// The line `VmRSS:   1234 kB`.
fn resident(report: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read() {
        assert_eq!(resident("VmHWM:  9 kB\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(resident(""), None);
    }
}
