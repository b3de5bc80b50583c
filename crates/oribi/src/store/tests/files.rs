//! What stands in the files: nothing that opens a spent bundle; and what damaged files do.

use std::io::{Read, Write};
use std::sync::Arc;

use super::{Action, Dice, Sim, Used, connect, kind, open};
use crate::store::disk::Disk;
use crate::store::keys::SlotKey;
use crate::store::sealed::{Opener, Sealer, file_bytes};
use crate::store::{Fault, Kind, Options, Peer, Side, Store};

fn fill(store: &Store, number: u64, content: &[u8]) {
    let mut draft = store.draft(&kind(), number, content.len() as u64, "x").unwrap();
    draft.write_all(content).unwrap();
    draft.commit().unwrap();
}

#[test]
fn a_spent_bundle_leaves_no_key_behind() {
    let disk = Sim::default();
    let store = open(&disk, Side::Client).unwrap();
    let content = b"labels, masks and offsets of one prediction".repeat(40);
    (0..3).for_each(|number| fill(&store, number, &content));
    assert!(!disk.contains(&content[..43]), "bundles are sealed");
    let keys = disk.bytes("keys");
    let key = keys[64..96].to_vec();
    assert!(key.iter().any(|&byte| byte != 0));
    let bundle = store.take(&kind(), 0).unwrap().unwrap();
    assert!(!disk.contains(&key), "its key is in no file, not even a deleted one");
    assert_eq!(*bundle.read_all(1 << 20).unwrap(), content);
    assert!(store.take(&kind(), 0).unwrap().is_none());
    let other = Kind { plan: [3; 32], ..kind() };
    assert!(store.take(&other, 1).unwrap().is_none(), "another plan's bundle");
    assert_eq!(store.held(&kind()).unwrap(), [1, 2]);
    // A freed slot is used again.
    fill(&store, 3, &content);
    assert_eq!(disk.bytes("keys").len(), keys.len());
}

#[test]
fn sealed_streams_of_all_lengths() {
    let (disk, key) = (Sim::default(), SlotKey::new([5; 32]));
    for (name, length) in
        [0, 1, 1000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 600_000].into_iter().enumerate()
    {
        let content: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
        let blob = disk.create(&name.to_string()).unwrap();
        let mut sealer = Sealer::new(blob.clone(), &key, &[1; 32]).unwrap();
        content.chunks(100_001).for_each(|part| sealer.write_all(part).unwrap());
        assert_eq!(sealer.finish().unwrap(), length);
        assert_eq!(blob.len().unwrap(), file_bytes(length));
        let read = |key: &SlotKey, about: &[u8; 32], length: u64| {
            let mut out = Vec::new();
            Opener::new(blob.clone(), key, about, length)?.read_to_end(&mut out).map(|_| out)
        };
        assert_eq!(read(&key, &[1; 32], length).unwrap(), content);
        assert!(read(&SlotKey::new([6; 32]), &[1; 32], length).is_err());
        assert!(read(&key, &[2; 32], length).is_err());
        assert!(read(&key, &[1; 32], length + 1).is_err());
        for place in [0, 15, 16, file_bytes(length) - 1] {
            disk.edit(&name.to_string(), |bytes| bytes[place as usize] ^= 1);
            assert!(read(&key, &[1; 32], length).is_err(), "byte {place} of {length}");
            disk.edit(&name.to_string(), |bytes| bytes[place as usize] ^= 1);
        }
    }
}

#[test]
fn chunks_cannot_be_dropped_or_swapped() {
    let (disk, key) = (Sim::default(), SlotKey::new([5; 32]));
    let blob = disk.create("x").unwrap();
    let mut sealer = Sealer::new(blob.clone(), &key, &[1; 32]).unwrap();
    sealer.write_all(&vec![1; 3 * (256 << 10)]).unwrap();
    sealer.finish().unwrap();
    let chunk = (256 << 10) + 16;
    let read = |length: u64| {
        Opener::new(blob.clone(), &key, &[1; 32], length).and_then(|mut o| o.read_to_end(&mut Vec::new()))
    };
    disk.edit("x", |bytes| bytes.truncate(16 + 2 * chunk));
    assert!(read(2 * (256 << 10)).is_err(), "a file cut between chunks");
    disk.edit("x", |bytes| bytes.extend(vec![0; chunk]));
    disk.edit("x", |bytes| bytes[16..].rotate_left(chunk));
    assert!(read(3 * (256 << 10)).is_err());
}

#[test]
fn limits_hold() {
    let disk = Sim::default();
    let options = Options::client(3000);
    let store = Store::on(Arc::new(disk.clone()), Side::Client, options).unwrap();
    fill(&store, 0, &[1; 1000]);
    let first = store.draft(&kind(), 1, 1000, "").unwrap();
    let error = store.draft(&kind(), 2, 1000, "").err().unwrap().to_string();
    assert!(error.contains("limit of"), "{error}");
    drop(first);
    assert_eq!(disk.names().len(), 3, "a dropped draft leaves no file: {:?}", disk.names());
    let mut second = store.draft(&kind(), 2, 1000, "").unwrap();
    assert!(second.write_all(&[0; 1001]).is_err(), "longer than announced");
    drop(second);
    fill(&store, 2, &[1; 1000]);
}

#[test]
fn one_peer_has_a_share() {
    let options = Options { share: 1500, ..Options::server(1 << 20) };
    let store = Store::on(Arc::new(Sim::default()), Side::Server, options).unwrap();
    fill(&store, 0, &[1; 1000]);
    assert!(store.draft(&kind(), 1, 1000, "").is_err());
    let other = Kind { peer: Peer([8; 32]), ..kind() };
    store.draft(&other, 0, 1000, "").unwrap().commit().unwrap();
}

#[test]
fn what_a_crash_left_is_swept_away() {
    let disk = Sim::default();
    let store = open(&disk, Side::Server).unwrap();
    (0..3).for_each(|number| fill(&store, number, &[number as u8; 500]));
    drop(store);
    disk.create("00000000000000aa.bundle").unwrap();
    disk.create("00000000000000ab.bundle-draft").unwrap();
    disk.create("other.bundle").unwrap();
    let names = disk.names();
    let victim =
        names.iter().find(|name| name.ends_with(".bundle") && !name.starts_with("00000000000000")).unwrap();
    disk.remove(victim).unwrap();
    let store = open(&disk, Side::Server).unwrap();
    assert_eq!(store.held(&kind()).unwrap().len(), 2);
    assert_eq!(disk.names().len(), 2 + 2 + 1, "{:?}", disk.names());
    let group = store.list().unwrap().remove(0);
    assert_eq!((group.kind, group.count, group.bytes), (kind(), 2, 2 * file_bytes(500)));
    assert_eq!(store.verify().unwrap().sound, 2);
    let name = disk.names().into_iter().find(|name| name.ends_with(".bundle") && name.len() == 23).unwrap();
    disk.edit(&name, |bytes| bytes[100] ^= 1);
    let checked = store.verify().unwrap();
    assert_eq!((checked.sound, checked.damaged.len()), (1, 1));
    assert_eq!(store.collect(None).unwrap().old, 0);
    // One of the two cannot be read; it is struck off all the same.
    let first = store.take_next(&kind()).unwrap().unwrap().read_all(500);
    let second = store.take_next(&kind()).unwrap().unwrap().read_all(500);
    assert_eq!([first, second].iter().filter(|read| read.is_ok()).count(), 1);
    assert!(store.take_next(&kind()).unwrap().is_none());
}

#[test]
fn models_have_names_of_the_stores_own() {
    let disk = Sim::default();
    let store = open(&disk, Side::Server).unwrap();
    let name = store.model_identifier(&[1; 32]).unwrap();
    assert_ne!(name, store.model_identifier(&[2; 32]).unwrap());
    drop(store);
    assert_eq!(name, open(&disk, Side::Server).unwrap().model_identifier(&[1; 32]).unwrap());
    assert_ne!(name, open(&Sim::default(), Side::Server).unwrap().model_identifier(&[1; 32]).unwrap());
}

#[test]
fn another_sides_store_is_refused() {
    let disk = Sim::default();
    open(&disk, Side::Client).unwrap();
    let error = open(&disk, Side::Server).unwrap_err();
    assert!(matches!(error.what, Fault::Side { .. }) && error.is_usage(), "{error}");
    assert!(open(&disk, Side::Client).is_ok());
}

#[test]
fn damaged_files_are_errors() {
    let good = Sim::default();
    let used = Used::default();
    let stores = (
        Arc::new(open(&good, Side::Client).unwrap()),
        Arc::new(open(&Sim::default(), Side::Server).unwrap()),
    );
    connect((&stores.0, &stores.1), &[Action::Make; 3], &used).0.unwrap();
    drop(stores);
    let mut dice = Dice(1);
    for name in ["store.redb", "keys"] {
        for case in 0..150 {
            let disk = good.copy();
            disk.edit(name, |bytes| {
                let length = bytes.len() as u64;
                // Half of the damage hits the first pages, where the meaning is.
                let place = dice.roll(if case % 2 == 0 { length } else { length.min(16 << 10) }) as usize;
                match case % 5 {
                    0 => bytes.truncate(place),
                    1 => bytes[place..].fill(0),
                    _ => bytes[place] ^= 1 << dice.roll(8),
                }
            });
            // Whatever it says, it says it as an error or as a result.
            if let Ok(store) = open(&disk, Side::Client) {
                let _ = (store.list(), store.verify(), store.collect(None));
                while let Ok(Some(bundle)) = store.take_next(&kind()) {
                    let _ = bundle.read_all(1 << 20);
                }
            }
        }
    }
    let versions = good.copy();
    versions.edit("keys", |bytes| bytes[12] = 9);
    let error = open(&versions, Side::Client).unwrap_err();
    assert!(matches!(error.what, Fault::Version { found: 9, .. }), "{error}");
}

#[test]
fn keys_without_their_database_are_overwritten() {
    let disk = Sim::default();
    let store = open(&disk, Side::Client).unwrap();
    (0..140).for_each(|number| fill(&store, number, &[1; 50]));
    drop(store);
    let keys = disk.bytes("keys");
    disk.remove("store.redb").unwrap();
    open(&disk, Side::Client).unwrap();
    for key in keys[64..].chunks(32).filter(|key| key.iter().any(|&byte| byte != 0)) {
        assert!(!disk.contains(key));
    }
}

#[test]
fn whoever_looks_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Side::Client, Options::client(1 << 20)).unwrap();
    (0..2).for_each(|number| fill(&store, number, &[1; 50]));
    std::fs::write(folder.path().join("00000000000000aa.bundle"), [0; 9]).unwrap();
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = names();
    let looking = Store::existing(folder.path(), Options::client(0)).unwrap();
    assert_eq!((looking.list().unwrap()[0].count, looking.verify().unwrap().sound), (2, 2));
    assert_eq!(names(), before);
    assert_eq!(looking.collect(None).unwrap().files, 1);
}

#[test]
fn a_refusal_does_not_give_an_exclusive_store_away() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { patience: std::time::Duration::ZERO, ..Options::server(1000) };
    let store = Store::open(folder.path(), Side::Server, options).unwrap();
    assert!(matches!(store.draft(&kind(), 0, 5000, "").err().unwrap().what, Fault::Full(_)));
    assert!(matches!(Store::open(folder.path(), Side::Server, options).unwrap_err().what, Fault::Busy));
}

#[test]
fn abandoned_bundles_expire() {
    let disk = Sim::default();
    let store = open(&disk, Side::Server).unwrap();
    fill(&store, 0, &[1; 50]);
    let day: u64 = 24 * 3600;
    let expire = |days| store.with(|files, _| files.expire(&disk, crate::store::now() + days * day)).unwrap();
    assert_eq!((expire(89), expire(91), expire(91)), (0, 1, 0));
    assert!(store.held(&kind()).unwrap().is_empty());
}
