//! Bundles that were prepared, by real processes: used once each, refilled, limited, and refused after a backup was restored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::bundles::{World, copy, picture};
use oribi::client::{Delphi, Supply};
use oribi::store::{Options, Side, Store};
use oribi::{ClientConfig, Connection, Trust, Wanted};
use protocol::Reveal;
use serde_json::Value;

#[test]
fn prepared_predictions() {
    let mut world = World::new(&[]);
    // Without a bundle a prediction prepares its own, and says so.
    let (stored, errors) = world.predict(&[0]);
    assert!(stored == [false] && errors.contains("no prepared bundle"), "{errors}");
    let output = world.prepare(3);
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["held"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 bundles; each takes"));
    let here = lines[0]["stored_bytes"]["client"].as_u64().unwrap();
    assert!(lines[0]["offline"]["server_bytes"].as_u64().unwrap() > here / 2);
    // Three of four inputs have one; the server that served them may be another process.
    world.stop();
    world.serve();
    let (stored, errors) = world.predict(&[0, 1, 2, 0]);
    assert!(stored == [true, true, true, false] && errors.contains("no prepared bundle"), "{errors}");
    world.check(true);
    // Bundles are for one output.
    world.prepare(1);
    let label = world.client(
        "predict",
        &world.address(),
        &[&picture(1), "--protocol", "delphi", "--output", "label"],
    );
    let label = { label }.output().unwrap();
    let errors = String::from_utf8(label.stderr).unwrap();
    assert!(label.status.success() && errors.contains("no prepared bundle"), "{errors}");
    let line: Value = serde_json::from_slice(&label.stdout).unwrap();
    assert_eq!((line["label"].as_str(), line["output"].as_array().map(Vec::len)), (Some("1"), Some(0)));
    assert_eq!(world.predict(&[1]).0, [true]);
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_made() {
    let world = World::new(&["--store-limit", "1kB"]);
    let refused = |arguments: &[&str], status: i32, words: &str| {
        let output = world.client("prepare", &world.address(), arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{errors}");
        assert!(
            errors.contains(words) && errors.lines().count() <= 4 && output.stdout.is_empty(),
            "{errors}"
        );
    };
    refused(&["--count", "50", "--store-limit", "1MB"], 2, "--store-limit");
    refused(&["--count", "0"], 2, "--count");
    refused(&["--follow"], 2, "--prefill");
    // A quarter of a kilobyte is three bundles of a server.
    let output = world.client("prepare", &world.address(), &["--count", "9"]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("no room") && !errors.contains(world.folder("server").to_str().unwrap()),
        "{errors}"
    );
    assert_eq!(world.predict(&[0, 1, 2, 0]).0, [true, true, true, false]);
}

#[test]
fn a_follower_replaces_what_is_used() {
    let mut world = World::new(&["--prefill", "2"]);
    let follower = world.start("prepare", &world.address(), &["--follow"]);
    let ready = |world: &World| {
        let until = Instant::now() + Duration::from_secs(120);
        while world.held("client").values().map(|numbers| numbers.len()).sum::<usize>() < 2 {
            assert!(Instant::now() < until, "{}", world.read_log("client.log"));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    for _ in 0..3 {
        ready(&world);
        assert_eq!(world.predict(&[0, 1]).0, [true, true]);
    }
    ready(&world);
    drop(follower);
    world.check(false);
}

#[test]
fn restored_backups_are_refused() {
    for side in ["client", "server"] {
        let mut world = World::new(&[]);
        world.prepare(2);
        world.stop();
        let backup = world.folder("backup");
        copy(&world.folder(side), &backup);
        world.serve();
        assert_eq!(world.predict(&[0]).0, [true]);
        world.stop();
        copy(&backup, &world.folder(side));
        world.serve();
        let (stored, errors) = world.predict(&[1]);
        assert!(stored == [false] && errors.contains("restored backup"), "{side}: {errors}");
        assert!(errors.contains("discarded"), "{errors}");
        // From then on all is as at first.
        world.prepare(1);
        assert_eq!(world.predict(&[2, 0]).0, [true, false]);
    }
}

/// What a session that waits costs the server: less than a mebibyte.
#[cfg(target_os = "linux")]
#[test]
fn sessions_that_wait_take_little() {
    const SESSIONS: u64 = 40;
    let world = World::new(&["--sessions", "64"]);
    let resident = || {
        let report = std::fs::read_to_string(format!("/proc/{}/status", world.server_id())).unwrap();
        let line = report.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
    };
    let connect = |number: u64| {
        let folder = world.folder(&format!("client-{number}"));
        let store = Store::open(&folder, Side::Client, Options::client(1 << 30)).unwrap();
        let supply = Supply { store: Arc::new(store), tell: Arc::new(|_| {}) };
        let config = ClientConfig::new(Trust::Pinned(world.fingerprint().parse().unwrap()))
            .with_engine(Arc::new(Delphi::with_store(supply)));
        let wanted = Wanted { model: None, protocol: Some("delphi"), reveal: Reveal::Scores };
        let mut client = Connection::open(&world.address(), config).unwrap().choose(wanted).unwrap();
        assert_eq!(client.target().unwrap(), 0);
        client
    };
    // What the first sessions make once is not counted.
    let first: Vec<_> = (0..8).map(connect).collect();
    let before = resident();
    let others: Vec<_> = (8..8 + SESSIONS).map(connect).collect();
    let each = resident().saturating_sub(before) / SESSIONS;
    assert!(each < 1 << 20, "{each} bytes a session");
    for client in first.into_iter().chain(others) {
        client.close().unwrap();
    }
}
