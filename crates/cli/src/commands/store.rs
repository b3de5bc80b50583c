//! `oribi store`: what is in a store of one-time material, and what can go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use oribi::store::{Options, Store};
use serde_json::json;

use crate::console::out;
use crate::failure::Failure;
use crate::report::bytes;

/// Look over a store of one-time material, of a client or of a server.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the bundles: for which model and peer, how many, how large, how old.
    List(Place),
    /// Clear away what crashes left, and bundles that are too old.
    ///
    /// The other side drops its halves when the two meet again.
    Gc(Collect),
    /// Read everything to its end; exit status 1 where something is damaged. No bundle is changed.
    Verify(Place),
}

#[derive(clap::Args)]
struct Place {
    /// The store's folder.
    #[arg(long, value_name = "FOLDER")]
    store: PathBuf,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Collect {
    #[command(flatten)]
    place: Place,
    /// Drop bundles that were made more days ago than this.
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u64>,
}

/// How long to wait for a process that uses the store.
const PATIENCE: Duration = Duration::from_secs(5);

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        Action::List(place) => list(place),
        Action::Gc(collect) => gc(collect),
        Action::Verify(place) => verify(place),
    }
}

fn open(folder: &Path) -> Result<Store, Failure> {
    // No bundle is made here, so that no limit on them applies.
    let options = Options { patience: PATIENCE, ..Options::client(u64::MAX) };
    Ok(Store::existing(folder, options).map_err(oribi::Error::from)?)
}

fn list(place: &Place) -> Result<(), Failure> {
    let store = open(&place.store)?;
    let groups = store.list().map_err(oribi::Error::from)?;
    for group in &groups {
        let peer = group.kind.peer.to_string();
        if place.json {
            let model: String = group.kind.model.iter().map(|byte| format!("{byte:02x}")).collect();
            let plan: String = group.kind.plan.iter().map(|byte| format!("{byte:02x}")).collect();
            let line = json!({
                "side": store.side().name(), "peer": peer, "model": model, "plan": plan, "label": group.label,
                "bundles": group.count, "bytes": group.bytes, "age_seconds": group.age,
            });
            out(&line.to_string())?;
            continue;
        }
        out(&format!(
            "{:>5} {:<8} {:>9}, up to {} old: {} ({} {}...)",
            group.count,
            if group.count == 1 { "bundle," } else { "bundles," },
            bytes(group.bytes),
            age(group.age),
            group.label,
            if store.side() == oribi::store::Side::Client { "server" } else { "client" },
            &peer[..16],
        ))?;
    }
    if !place.json {
        let (count, total) =
            groups.iter().fold((0, 0), |(count, total), group| (count + group.count, total + group.bytes));
        out(&format!("{} of a {}, {}", counted(count), store.side().name(), bytes(total)))?;
    }
    Ok(())
}

fn gc(collect: &Collect) -> Result<(), Failure> {
    let store = open(&collect.place.store)?;
    let oldest = collect.older_than.map(|days| days.saturating_mul(DAY));
    let swept = store.collect(oldest).map_err(oribi::Error::from)?;
    if collect.place.json {
        let line = json!({
            "files": swept.files, "keys": swept.keys, "broken": swept.broken, "old": swept.old,
        });
        return out(&line.to_string());
    }
    out(&format!(
        "removed: bundles that were too old: {}; without their key or file: {}; of no bundle: files {}, keys {}",
        swept.old, swept.broken, swept.files, swept.keys
    ))
}

fn verify(place: &Place) -> Result<(), Failure> {
    let checked = open(&place.store)?.verify().map_err(oribi::Error::from)?;
    if place.json {
        let damaged: Vec<_> =
            checked.damaged.iter().map(|(number, why)| json!({"number": number, "why": why})).collect();
        let line = json!({"sound": checked.sound, "damaged": damaged, "mended": checked.mended});
        out(&line.to_string())?;
    } else {
        let are = if checked.sound == 1 { "is" } else { "are" };
        out(&format!("{} {are} sound", counted(checked.sound)))?;
        if checked.mended {
            out("the database's list of free pages was wrong and was made anew")?;
        }
        checked.damaged.iter().try_for_each(|(number, why)| out(&format!("bundle {number}: {why}")))?;
    }
    match checked.damaged.len() {
        0 => Ok(()),
        count => Err(Failure::running(format!(
            "{} {} damaged; a prediction that meets one fails once, and the next takes another",
            counted(count),
            if count == 1 { "is" } else { "are" }
        ))),
    }
}

/// So many bundles.
fn counted(count: usize) -> String {
    if count == 1 { "1 bundle".into() } else { format!("{count} bundles") }
}

/// A time in words.
fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / DAY),
    }
}
