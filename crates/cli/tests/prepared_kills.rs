//! Either side of `prepare` and `predict` is killed (SIGKILL), at every message and at random: no bundle is used twice, both stores repair themselves,
//! and the next prediction is right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::bundles::{Process, World, picture, relay};

/// Kills one side before a message of a command is passed on; tells whether there was that message.
fn kill_at(world: &mut World, command: &[&str], message: usize, is_client: bool) -> bool {
    world.serve();
    let victim = std::sync::Arc::new(std::sync::Mutex::new(None::<Process>));
    let at = victim.clone();
    let (address, count) = relay(world.address(), message, move || {
        // The client is there before its first message, though perhaps not noted yet.
        let found = loop {
            match at.lock().unwrap().take() {
                Some(found) => break found,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        found.kill();
    });
    let client = world.start(command[0], &address, &command[1..]);
    let process = if is_client { Process(client.0.clone()) } else { world.server_process() };
    *victim.lock().unwrap() = Some(process);
    client.wait();
    let reached = count.load(Ordering::SeqCst) > message;
    match victim.lock().unwrap().take() {
        // It was not killed; letting go of it must not kill it either.
        Some(process) => std::mem::forget(process),
        None if !is_client => world.stop(),
        None => {}
    }
    reached
}

/// Kills at the messages of a command that `next` chooses.
fn kill_at_messages(next: impl Fn(usize) -> usize, command: &[&str]) {
    let mut world = World::new(&[]);
    for is_client in [true, false] {
        let mut message = 0;
        loop {
            if world.held("client").values().all(|held| held.len() < 2) {
                world.serve();
                world.prepare(4);
            }
            let reached = kill_at(&mut world, command, message, is_client);
            world.settle(message);
            if !reached {
                break;
            }
            message = next(message);
        }
        assert!(message > 10, "{message} messages");
        world.check(true);
    }
}

#[test]
fn predictions_killed_at_every_message() {
    kill_at_messages(|message| message + 1, &["predict", &picture(0), "--protocol", "delphi"]);
}

#[test]
fn preparations_killed_at_messages() {
    // All of the first, which are short, and samples of the tables.
    kill_at_messages(|message| message + 1 + message * message / 64, &["prepare", "--count", "1"]);
}

/// Kills one side at random instants.
fn kills(count: usize) {
    let mut world = World::new(&[]);
    // How long both commands take here.
    let begun = Instant::now();
    world.prepare(2);
    let prepare = begun.elapsed();
    let begun = Instant::now();
    world.predict(&[0, 1]);
    let predict = begun.elapsed();
    for kill in 0..count {
        let bytes = RandomState::new().build_hasher().finish().to_le_bytes();
        world.serve();
        let (arguments, most) = match bytes[0] % 2 {
            0 => (vec!["prepare".to_owned(), "--count".into(), "2".into()], prepare),
            _ => (
                vec!["predict".to_owned(), picture(0), picture(1), "--protocol".into(), "delphi".into()],
                predict,
            ),
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let client = world.start(arguments[0], &world.address(), &arguments[1..]);
        std::thread::sleep(most.mul_f64(f64::from(u16::from_le_bytes([bytes[1], bytes[2]])) / 60_000.0));
        if bytes[3].is_multiple_of(2) {
            client.kill();
        } else {
            world.stop();
            client.wait();
        }
        world.settle(kill);
    }
    world.check(true);
}

#[test]
fn twenty_kills() {
    kills(20);
}

#[test]
#[ignore = "many minutes"]
fn five_hundred_kills() {
    kills(500);
}
