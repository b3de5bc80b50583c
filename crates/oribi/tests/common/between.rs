//! Somebody between a client and a server: who carries bytes up to some point, or, trusted by the client, meddles with messages.

use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::channel::{Sink, Source};
use protocol::frame::{HEADER_BYTES, Header};
use protocol::handshake::GREETING_BYTES;

use super::{Running, push};

/// Where a connection's bytes end.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Bytes that are carried, of those that TLS sends.
    pub bytes: usize,
    /// Whether they are the client's or the server's.
    pub from_client: bool,
    /// How long nothing moves before the connection ends.
    pub stalls: Duration,
}

/// Runs a client, given an address, over a connection that is cut.
pub fn carried<R>(server: &Running, cut: Cut, client: impl FnOnce(&str) -> R) -> R {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let far = server.socket();
    let carrier = thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let (counted, free) =
            if cut.from_client { ((&near, &far), (&far, &near)) } else { ((&far, &near), (&near, &far)) };
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = std::io::copy(&mut { free.0 }, &mut { free.1 });
                let _ = free.1.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut { counted.0 }.take(cut.bytes as u64), &mut { counted.1 });
            thread::sleep(cut.stalls);
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        });
    });
    let outcome = client(&address);
    carrier.join().unwrap();
    outcome
}

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// It and what follows never come, and the sender is not heard of again.
    Lost,
    /// It ends in its midst.
    Broken,
    /// It and what follows never come, while the connection stays.
    Stalled,
    /// It is of another kind.
    Kind,
    /// It claims to be longer than any.
    Length,
    /// Its last byte is another.
    Content,
}

/// A message of one direction by its number, and what is done to it.
#[derive(Clone, Copy, Debug)]
pub struct Meddling {
    pub from_client: bool,
    pub index: usize,
    pub harm: Harm,
}

/// Runs a client, given an address, through somebody who has the server's key; gives the number of messages from the client and from the server too.
pub fn meddled<R>(
    server: &Running,
    meddling: Option<Meddling>,
    client: impl FnOnce(&str) -> R,
) -> (R, [usize; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tls = oribi::tls::server_config(&server.identity()).unwrap();
    let far = server.tls().unwrap();
    let between = thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(60);
        let near = oribi::tls::accept(listener.accept().unwrap().0, &tls, deadline).unwrap();
        let of = |from_client| {
            let own = meddling.filter(|meddling| meddling.from_client == from_client);
            own.map(|meddling| (meddling.index, meddling.harm))
        };
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let there = scope.spawn(|| pass(near.source, far.sink, of(true), &over));
            let back = pass(far.source, near.sink, of(false), &over);
            [there.join().unwrap(), back]
        })
    });
    let outcome = client(&address);
    (outcome, between.join().unwrap())
}

/// Passes messages on until one side leaves; gives their number.
fn pass(
    mut from: Box<dyn Source>,
    mut to: Box<dyn Sink>,
    harm: Option<(usize, Harm)>,
    over: &AtomicBool,
) -> usize {
    let mut greeting = [0; GREETING_BYTES];
    let mut count = 0;
    if from.read_exact(&mut greeting).is_ok() {
        push(&mut *to, &greeting);
        while message(&mut *from, &mut *to, harm.filter(|(index, _)| *index == count).map(|(_, harm)| harm)) {
            count += 1;
        }
    }
    if harm.is_some_and(|(index, harm)| index == count && harm == Harm::Stalled) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !over.load(Ordering::Relaxed) {
            assert!(Instant::now() < deadline, "nobody gave up");
            thread::sleep(Duration::from_millis(10));
        }
    }
    over.store(true, Ordering::Relaxed);
    count
}

/// Passes a message on; whether there was one, and others may follow.
fn message(from: &mut dyn Source, to: &mut dyn Sink, harm: Option<Harm>) -> bool {
    let mut bytes = [0; HEADER_BYTES];
    if from.read_exact(&mut bytes).is_err() {
        return false;
    }
    let header = Header::decode(bytes);
    let mut payload = vec![0; header.length as usize];
    if from.read_exact(&mut payload).is_err() {
        return false;
    }
    let mut changed = header;
    match harm {
        Some(Harm::Lost | Harm::Stalled) => return false,
        Some(Harm::Kind) => changed.tag ^= 0x41,
        Some(Harm::Length) => changed.length = u32::MAX,
        _ => {}
    }
    let mut message = changed.encode().to_vec();
    message.extend_from_slice(&payload);
    match harm {
        Some(Harm::Broken) => message.truncate(message.len() / 2),
        Some(Harm::Content) => *message.last_mut().unwrap() ^= u8::from(!payload.is_empty()),
        _ => {}
    }
    let passed = to.write_all(&message).and_then(|()| to.flush()).is_ok();
    passed && harm != Some(Harm::Broken)
}
