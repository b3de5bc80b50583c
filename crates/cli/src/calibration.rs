//! This machine's rates: measured on small networks by the code that `bench` measures with, and kept in the user's cache.

use std::io::Read;
use std::path::PathBuf;

use planner::cost::{Observation, Rates, fit};
use protocol::Reveal;
use protocol::garbled::FirstLayer;
use protocol::interactive::{Garbler, Method};
use protocol::meter::Phase;
use protocol::work::{Amounts, Work};

use crate::choice::Numbers;
use crate::commands::bench::private::{Cost, Run, measure};
use crate::console::note;
use crate::failure::Failure;
use crate::pricing::Variant;
use crate::source::Source;

/// Most bytes of the file.
const MOST_BYTES: u64 = 1 << 16;

/// The networks that are run, and how.
const PROBES: [(&str, Variant); 18] = [
    ("builtin:probe-gates", Variant::DeepSecure(FirstLayer::Garbled)),
    ("builtin:probe-transfers", Variant::DeepSecure(FirstLayer::Ot)),
    ("builtin:probe-few", Variant::Gazelle(Method::HeCoefficients)),
    ("builtin:probe-many", Variant::Gazelle(Method::HeCoefficients)),
    ("builtin:probe-squares", Variant::Gazelle(Method::HeCoefficients)),
    ("builtin:probe-few", Variant::Gazelle(Method::HeSlots)),
    ("builtin:probe-few", Variant::Delphi(Garbler::Server, Method::HeCoefficients)),
    ("builtin:probe-many", Variant::Delphi(Garbler::Server, Method::HeCoefficients)),
    ("builtin:probe-squares", Variant::Delphi(Garbler::Server, Method::HeCoefficients)),
    ("builtin:probe-few", Variant::Delphi(Garbler::Client, Method::HeCoefficients)),
    ("builtin:probe-slots", Variant::Lola),
    ("builtin:probe-ciphertexts", Variant::Lola),
    ("builtin:probe-values", Variant::LolaBatch),
    // So small that what predictions and stages cost by themselves shows.
    ("builtin:lola-head-1280", Variant::Lola),
    ("builtin:probe-spoken", Variant::DeepSecure(FirstLayer::Ot)),
    ("builtin:probe-slots", Variant::Gazelle(Method::HeCoefficients)),
    ("builtin:probe-slots", Variant::Gazelle(Method::HeSlots)),
    ("builtin:probe-slots", Variant::Delphi(Garbler::Server, Method::HeCoefficients)),
];

/// Seconds of a short probe.
const SHORT: f64 = 0.1;

/// Where rates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Measured on this machine.
    Measured,
    /// Those built in, of another machine.
    BuiltIn,
}

impl Origin {
    /// In words, for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Measured => "this machine's, as `oribi calibrate` measured them",
            Self::BuiltIn => {
                "built in, of two cores with AVX-512; `oribi calibrate` measures this machine's in a minute"
            }
        }
    }
}

/// What this machine is: rates are for one like it.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("a processor", |(_, name)| name.trim());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {threads} threads, {}", kernel::tier::Tier::current().name())
}

/// The file, in the user's cache folder.
pub fn path() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("oribi").join("rates.json"))
}

/// The rates to plan with, and a word about a file that is not used.
pub fn rates() -> (Rates, Origin, Option<String>) {
    let none = |why| (Rates::default(), Origin::BuiltIn, why);
    let Some(path) = path() else { return none(None) };
    let Ok(file) = std::fs::File::open(&path) else { return none(None) };
    let mut text = String::new();
    let wrong = |why: String| Some(format!("{}: not used: {why}", path.display()));
    match file.take(MOST_BYTES).read_to_string(&mut text) {
        Err(error) => none(wrong(error.to_string())),
        Ok(_) => match Rates::from_json(&text, &machine()) {
            Ok(rates) => (rates, Origin::Measured, None),
            Err(error) => none(wrong(error.to_string())),
        },
    }
}

/// The rates to plan with; says why a file is not used, and, where seconds decide, that they are not this machine's.
pub fn told(decisive: bool) -> Rates {
    let (rates, origin, wrong) = rates();
    if let Some(why) = wrong {
        note(&format!("oribi: {why}"));
    } else if decisive && origin == Origin::BuiltIn {
        note(&format!("oribi: rates are {}", origin.text()));
    }
    rates
}

/// Keeps rates; returns where.
///
/// # Errors
/// If there is no such folder, or it cannot be written.
pub fn keep(rates: &Rates) -> Result<PathBuf, Failure> {
    let path =
        path().ok_or_else(|| Failure::bad("there is no home folder to keep rates in: set XDG_CACHE_HOME"))?;
    let failed =
        |error: std::io::Error| Failure::running(format!("{}: cannot be written: {error}", path.display()));
    let text = rates.to_json(&machine()).map_err(Failure::running)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // Whole or not at all: another process may read meanwhile.
    let new = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).map_err(failed)?;
    Ok(path)
}

/// A probe, as measured and as the rates that were fitted to all of them have it: how far they can be trusted.
pub struct Residual {
    /// Network and choice.
    pub name: String,
    /// Seconds of the phases that were measured.
    pub measured: [f64; 3],
    /// By the rates.
    pub fitted: [f64; 3],
}

/// The probes, each with what its runs took.
pub struct Probes(Vec<Probe>);

struct Probe {
    name: String,
    work: Work,
    runs: Vec<Cost>,
}

impl Probes {
    /// Runs all of them so many times. `tell` hears of each.
    ///
    /// # Errors
    /// If one fails.
    pub fn run(times: usize, tell: &mut dyn FnMut(&str)) -> Result<Self, Failure> {
        let each = |(network, variant): (&str, Variant)| {
            let network_name = network.trim_start_matches("builtin:");
            let name = format!("{network_name} {} {}", variant.protocol().name(), variant.options());
            let name = name.trim_end().to_owned();
            tell(&name);
            observe(name, network, variant, times)
        };
        PROBES.into_iter().map(each).collect::<Result<_, _>>().map(Self)
    }

    /// These runs, and others.
    pub fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(probe, more)| probe.runs.extend(more.runs));
    }

    /// Rates that explain them.
    pub fn rates(&self) -> Rates {
        let wall: Vec<Observation> = self.0.iter().flat_map(Probe::observations).collect();
        let whole = |probe: &Probe| {
            let amounts = Phase::ALL.into_iter().fold(Amounts::default(), |mut sum, phase| {
                sum += probe.work.phase(phase).amounts;
                sum
            });
            Observation { amounts, seconds: Cost::usual(&probe.runs).cpu_seconds.unwrap_or(0.0) }
        };
        let processor: Vec<Observation> = self.0.iter().map(whole).collect();
        fit(&wall, &processor, &Rates::default())
    }

    /// How far rates explain them.
    pub fn residuals(&self, rates: &Rates) -> Vec<Residual> {
        let residual = |probe: &Probe| {
            let phases = probe.observations();
            Residual {
                name: probe.name.clone(),
                measured: phases.map(|phase| phase.seconds),
                fitted: phases.map(|phase| rates.seconds(&phase.amounts)),
            }
        };
        self.0.iter().map(residual).collect()
    }
}

impl Probe {
    /// What its phases usually took.
    fn observations(&self) -> [Observation; 3] {
        let usual = Cost::usual(&self.runs);
        Phase::ALL.map(|phase| Observation {
            amounts: self.work.phase(phase).amounts,
            seconds: usual.phases[phase as usize].seconds,
        })
    }
}

/// What a probe takes by counting, and what it was measured to take.
fn observe(name: String, network: &str, variant: Variant, times: usize) -> Result<Probe, Failure> {
    let source = Source::load(network, &Numbers::default())?;
    let (graph, _) = source.quantise(variant.number())?;
    let work = variant.work(&graph, Reveal::Scores, None).map_err(Failure::running)?;
    let serving: Vec<&str> = variant.options().split_whitespace().collect();
    let run = Run {
        source: &source,
        protocol: variant.protocol(),
        number: variant.number(),
        server: &serving,
        client: variant.client_options(),
    };
    let first = measure(&run)?;
    // Short ones twice: what else the machine does weighs more in them.
    let times = if first.seconds < SHORT { 2 * times } else { times };
    let others = (1..times).map(|_| measure(&run));
    let runs = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
    Ok(Probe { name, work, runs })
}
