//! The command `store` on stores that the library made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::io::Write;

use common::Oribi;
use oribi::store::{Kind, Options, Peer, Side, Store};

/// A client's store with so many bundles.
fn store(folder: &str, bundles: u64) {
    let store = Store::open(folder.as_ref(), Side::Client, Options::client(1 << 20)).unwrap();
    let kind = Kind { peer: Peer([7; 32]), model: [1; 16], plan: [2; 32] };
    for number in 0..bundles {
        let mut draft = store.draft(&kind, number, 1000, "digits, delphi, scores").unwrap();
        draft.write_all(&[number as u8; 1000]).unwrap();
        draft.commit().unwrap();
    }
}

#[test]
fn lists_collects_and_verifies() {
    let oribi = Oribi::new();
    let folder = oribi.folder().join("store").to_str().unwrap().to_owned();
    store(&folder, 3);
    let listed = oribi.json(&["store", "list", "--store", &folder, "--json"]);
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["bundles"], &listed[0]["side"]), (&3.into(), &"client".into()));
    assert_eq!(listed[0]["bytes"], 3 * (1000 + 32));
    assert!(oribi.stdout(&["store", "list", "--store", &folder]).contains("3 bundles of a client"));
    assert_eq!(oribi.json(&["store", "verify", "--store", &folder, "--json"])[0]["sound"], 3);
    let swept = &oribi.json(&["store", "gc", "--store", &folder, "--json"])[0];
    assert_eq!((&swept["old"], &swept["files"]), (&0.into(), &0.into()));

    let is_bundle = |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "bundle");
    let mut files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_bundle);
    std::fs::write(files.next().unwrap(), [0; 1032]).unwrap();
    let output = oribi.run(&["store", "verify", "--store", &folder]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 bundle is damaged"));
    std::fs::remove_file(files.next().unwrap()).unwrap();
    // Looking changes nothing; clearing up drops the bundle whose file is gone.
    let bundles = || oribi.json(&["store", "list", "--store", &folder, "--json"])[0]["bundles"].clone();
    assert_eq!(bundles(), 3);
    assert_eq!(oribi.json(&["store", "gc", "--store", &folder, "--json"])[0]["broken"], 1);
    assert_eq!(bundles(), 2);
}

#[test]
fn what_is_no_store_is_named() {
    let oribi = Oribi::new();
    let folder = oribi.folder().join("store").to_str().unwrap().to_owned();
    let refused = |words: &str| {
        let output = oribi.run(&["store", "list", "--store", &folder]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(words) && text.contains("store"), "{text}");
        assert!(text.lines().count() <= 4 && !text.contains("panicked"), "{text}");
    };
    refused("no store");
    store(&folder, 1);
    let file = oribi.folder().join("store/store.redb");
    let good = std::fs::read(&file).unwrap();
    let nonsense = b"nonsense, but long enough to be read as a header of some kind".repeat(100);
    for bad in [&[][..], &good[..100], &good[..good.len() / 2], &nonsense] {
        std::fs::write(&file, bad).unwrap();
        refused("damaged");
    }
    std::fs::write(&file, &good).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        refused("chmod 600");
    }
}
