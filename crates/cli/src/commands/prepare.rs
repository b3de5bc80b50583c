//! `oribi prepare`: everything heavy before there is an input.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use oribi::Fingerprint;
use oribi::client::Supply;
use oribi::store::Side;
use protocol::Reveal;
use protocol::interactive::{Plan, ahead};
use protocol::meter::{Phase, Snapshot};
use protocol::shape::Link;
use serde_json::json;

use crate::choice::{Garbler, Garbling, Output, Protocol, Size};
use crate::client::{Client, Wanted};
use crate::console::{Human, Progress, note, out};
use crate::failure::{BAD, Failure};
use crate::report::{bytes, seconds};
use crate::stores;

/// Prepare predictions ahead of time, for `oribi predict --protocol delphi`.
///
/// Each bundle serves one prediction, which then takes a fraction of the time and of the bytes. A bundle belongs to this client, the
/// server, the model and the output; both sides keep their halves and strike them off before they are used.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's address and port.
    #[arg(long, value_name = "ADDRESS")]
    server: String,
    /// How many bundles to make; with --follow, how many to keep ready.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=4096))]
    count: Option<u64>,
    /// The folder of this client's bundles; in the user's data folder by default.
    #[arg(long, value_name = "FOLDER")]
    store: Option<PathBuf>,
    /// Most bytes of bundles in the folder.
    #[arg(long, value_name = "SIZE", default_value = "20GB")]
    store_limit: Size,
    /// Stay connected and replace what predictions use, up to --count or what the server suggests (serve --prefill).
    #[arg(long)]
    follow: bool,
    /// The fingerprint of the server's certificate, as `oribi serve` prints it; without it, the one seen at first contact.
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<Fingerprint>,
    /// Which of the server's models; needed where it has several.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// What the predictions will reveal: all scores, or the best label alone.
    #[arg(long, value_name = "WHAT", default_value = "scores")]
    output: Output,
    /// Refuse a server that has the other party garble (see oribi serve --garbler).
    #[arg(long, value_name = "PARTY")]
    garbler: Option<Garbler>,
    /// Slow the connection down: lan, wan, or RATE,RTT such as 100mbit,40ms.
    #[arg(long, value_name = "LINK")]
    link: Option<Link>,
    /// Print one JSON object a bundle.
    #[arg(long)]
    json: bool,
}

/// How often a follower looks whether bundles were used.
const LOOK: Duration = Duration::from_millis(500);
/// How often it shows the server that it is there.
const SIGN: Duration = Duration::from_secs(30);
/// How long it waits before it connects again.
const AGAIN: Duration = Duration::from_secs(5);

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = stores::folder(arguments.store.as_deref(), Side::Client)?;
    let supply = stores::client(&folder, arguments.store_limit.0)?;
    if !arguments.follow {
        let mut maker = Maker::connect(arguments, &supply)?;
        maker.explain(arguments.count.unwrap_or(1))?;
        maker.make(arguments.count.unwrap_or(1))?;
        return maker.client.finish();
    }
    let mut told = false;
    loop {
        let ended = Maker::connect(arguments, &supply).and_then(|mut maker| maker.follow(&mut told));
        let Err(failure) = ended else { return Ok(()) };
        // What the user has to change does not change by itself.
        if failure.status == BAD {
            return Err(failure);
        }
        failure.lines().iter().for_each(|line| note(line));
        std::thread::sleep(AGAIN);
    }
}

/// A connection over which bundles are made.
struct Maker<'a> {
    arguments: &'a Arguments,
    supply: &'a Supply,
    client: Client,
    price: ahead::Price,
    made: u64,
}

impl<'a> Maker<'a> {
    fn connect(arguments: &'a Arguments, supply: &'a Supply) -> Result<Self, Failure> {
        let wanted = Wanted {
            model: arguments.model.as_deref(),
            protocol: Some(Protocol::Delphi),
            auto: false,
            output: arguments.output,
            link: arguments.link,
            garbling: Garbling::default(),
            garbler: arguments.garbler,
            proxy: None,
            threads: 0,
            batch: false,
            keys: None,
            supply: Some(supply.clone()),
            parts: false,
        };
        let client = Client::connect(&arguments.server, arguments.fingerprint, &wanted)?;
        let plan = client.plan();
        let price = Plan::of(plan)
            .and_then(|agreed| ahead::price((&plan.graph, &agreed), Reveal::from(arguments.output)))
            .map_err(oribi::Error::from)?;
        Ok(Self { arguments, supply, client, price, made: 0 })
    }

    /// Says what is going to be made, and refuses what does not fit.
    fn explain(&self, count: u64) -> Result<(), Failure> {
        let [here, there] = self.price.stored_bytes;
        let crossing: u64 = self.price.offline_bytes.iter().sum();
        let held: u64 =
            self.supply.store.list().map_err(oribi::Error::from)?.iter().map(|group| group.bytes).sum();
        let needed = here.saturating_mul(count);
        if needed.saturating_add(held) > self.supply.store.limit() {
            return Err(Failure::bad(format!(
                "{count} bundles of {} take {}, and {} are in the folder: that passes the limit of {}\n  \
                 Make fewer (--count), allow more (--store-limit), or clear old ones (oribi store gc --older-than DAYS).",
                bytes(here),
                bytes(needed),
                bytes(held),
                bytes(self.supply.store.limit())
            )));
        }
        let human = Human::new(self.arguments.json);
        human.line(&format!(
            "{}: {count} bundles; each takes {} here and {there} bytes at the server, and about {} cross for it",
            self.client.model(),
            bytes(here),
            bytes(crossing)
        ))
    }

    /// How many bundles are ready.
    fn held(&self) -> Result<u64, Failure> {
        Ok(u64::try_from(self.client.held()?).unwrap_or(u64::MAX))
    }

    /// Makes so many bundles.
    fn make(&mut self, count: u64) -> Result<(), Failure> {
        let progress = Progress::new(count, "preparing", self.arguments.link);
        protocol::Progress::expect(
            &progress,
            self.price.offline_bytes.iter().sum::<u64>().saturating_mul(count),
        );
        for _ in 0..count {
            let cost = self.client.prepare(&progress)?;
            self.made += 1;
            progress.step();
            progress.suspend(|| self.report(&cost))?;
        }
        Ok(())
    }

    fn report(&self, cost: &Snapshot) -> Result<(), Failure> {
        let (offline, held) = (cost.phase(Phase::Offline), self.held()?);
        if self.arguments.json {
            let line = json!({
                "model": self.client.model(), "protocol": self.client.protocol(), "bundle": self.made, "held": held,
                "stored_bytes": { "client": self.price.stored_bytes[0], "server": self.price.stored_bytes[1] },
                "offline": {
                    "seconds": offline.seconds, "client_bytes": offline.sent, "server_bytes": offline.received,
                    "rounds": offline.rounds,
                },
            });
            return out(&line.to_string());
        }
        out(&format!(
            "bundle {}: {}, sent {}, received {}; {held} ready",
            self.made,
            seconds(offline.seconds),
            bytes(offline.sent),
            bytes(offline.received)
        ))
    }

    /// Keeps bundles ready until the connection ends.
    fn follow(&mut self, told: &mut bool) -> Result<(), Failure> {
        loop {
            let suggested = self.client.target()?;
            let target = self.arguments.count.unwrap_or(suggested);
            if target == 0 {
                return Err(Failure::bad(
                    "the server suggests no number of bundles to keep ready (serve --prefill): give --count",
                ));
            }
            if !std::mem::replace(told, true) {
                self.explain(target.saturating_sub(self.held()?))?;
            }
            let sign = Instant::now() + SIGN;
            while Instant::now() < sign {
                self.make(target.saturating_sub(self.held()?))?;
                std::thread::sleep(LOOK);
            }
        }
    }
}
