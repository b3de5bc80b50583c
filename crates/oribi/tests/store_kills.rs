//! Two processes with stores, over TLS, either of which is killed at random: no bundle is used twice, and the two go on.
//!
//! The protocol between them is a test's: a bundle's two halves derive from one seed, and using it shows that they belong together. Each process writes
//! down what it uses before its first online byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use oribi::store::{Bundle, ClientSide, Offer, Options, Peer, Request, ServerSide, Side, Store};
use oribi::{Identity, tls};
use protocol::session::Limits;
use protocol::{Error, Length, Session, Tag};

const ROLE: &str = "ORIBI_STORE_TEST_ROLE";
const FOLDER: &str = "ORIBI_STORE_TEST_FOLDER";
const GO: Tag = Tag::new(0x200, "an action");
const SEED: Tag = Tag::new(0x201, "what two halves have in common");
const PROOF: Tag = Tag::new(0x202, "a half");
/// Longer than a chunk of a sealed file.
const HALF_BYTES: usize = 300_000;

fn offer() -> Offer {
    Offer { model: [1; 16], plan: [2; 32], label: "a test's model".into() }
}

/// The client's half.
fn half(seed: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HALF_BYTES];
    blake3::Hasher::new_derive_key("half").update(seed).finalize_xof().fill(&mut bytes);
    bytes
}

fn read(bundle: Bundle) -> Result<Vec<u8>, Error> {
    Ok(bundle.read_all(1 << 20).map_err(|e| Error::Refused(e.to_string()))?.to_vec())
}

/// Writes down what goes online.
fn note(folder: &Path, role: &str, half: &[u8]) {
    let file = OpenOptions::new().append(true).create(true).open(folder.join(role).with_extension("log"));
    writeln!(file.unwrap(), "{}", blake3::hash(half)).unwrap();
}

fn until() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn limits() -> Limits {
    Limits { wait: Duration::from_secs(60), ..Limits::default() }
}

fn server(folder: &Path) {
    let identity = Identity::load_or_create(&folder.join("identity")).unwrap();
    let config = tls::server_config(&identity).unwrap();
    let options = Options { patience: Duration::from_secs(60), ..Options::server(1 << 30) };
    let store = Arc::new(Store::open(&folder.join("server"), Side::Server, options).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(folder.join("port.new"), listener.local_addr().unwrap().to_string()).unwrap();
    fs::rename(folder.join("port.new"), folder.join("port")).unwrap();
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let (config, store) = (&config, &store);
            scope.spawn(move || {
                let Ok(transport) = tls::accept(stream.unwrap(), config, until()) else { return };
                let mut session = Session::new(transport, limits());
                if let Err(error) = serve(&mut session, store, folder)
                    && !error.is_disconnect()
                {
                    session.give_up(&error.to_string());
                }
            });
        }
    });
}

fn serve(session: &mut Session, store: &Arc<Store>, folder: &Path) -> Result<(), Error> {
    let side = ServerSide::agree(session, store, &offer())?;
    if let Some((reason, _)) = side.outcome().apart {
        return Err(Error::Refused(format!("a kill is no other past: {reason:?}")));
    }
    loop {
        session.inbox.recv(GO, Length::Exactly(0))?;
        match side.next(session)? {
            Request::Without => {}
            Request::Target => side.tell_target(session, 0)?,
            Request::Make(prepared) => prepared.make(session, 32, |session, draft| {
                let seed = Seed::from_os().map_err(|e| Error::Refused(e.to_string()))?;
                session.outbox.send(SEED, seed.as_bytes())?;
                session.outbox.flush()?;
                draft.write_all(seed.as_bytes()).map_err(|e| Error::Refused(e.to_string()))
            })?,
            Request::Bundle(bundle) => {
                let seed = read(bundle)?;
                note(folder, "server", &seed);
                if session.inbox.recv(PROOF, Length::Exactly(HALF_BYTES))? != half(&seed) {
                    return Err(Error::Refused("the two halves do not belong together".into()));
                }
                session.outbox.send(PROOF, &[])?;
                session.outbox.flush()?;
            }
        }
    }
}

/// A connection to the server, once it is up.
fn dial(folder: &Path) -> io::Result<(Session, Peer)> {
    let address = fs::read_to_string(folder.join("port"))?;
    let config = tls::client_config().map_err(io::Error::other)?;
    let name = "localhost".try_into().map_err(io::Error::other)?;
    let (transport, fingerprint) = tls::connect(TcpStream::connect(address)?, name, &config, until())?;
    let peer = *blake3::hash(fingerprint.to_string().as_bytes()).as_bytes();
    Ok((Session::new(transport, limits()), Peer(peer)))
}

fn make(session: &mut Session, side: &ClientSide) -> Result<(), Error> {
    session.outbox.send(GO, &[])?;
    let receive = |session: &mut Session, draft: &mut oribi::store::Draft<'_>| {
        let seed = session.inbox.recv(SEED, Length::Exactly(32))?;
        draft.write_all(&half(&seed)).map_err(|e| Error::Refused(e.to_string()))
    };
    side.make(session, HALF_BYTES as u64, receive).map(drop)
}

/// Uses a bundle, where there is one.
fn spend(session: &mut Session, side: &ClientSide, folder: &Path) -> Result<bool, Error> {
    session.outbox.send(GO, &[])?;
    let Some(bundle) = side.take()? else {
        side.without(session)?;
        return Ok(false);
    };
    let ticket = bundle.ticket();
    side.announce(session, ticket)?;
    let half = read(bundle)?;
    note(folder, "client", &half);
    session.outbox.send(PROOF, &half)?;
    session.outbox.flush()?;
    session.inbox.recv(PROOF, Length::Exactly(0))?;
    side.confirm(ticket)?;
    Ok(true)
}

fn client_store(folder: &Path) -> Arc<Store> {
    let options = Options { patience: Duration::from_secs(60), ..Options::client(1 << 30) };
    Arc::new(Store::open(&folder.join("client"), Side::Client, options).unwrap())
}

/// Makes and uses bundles until the process is killed; connects again where the server is.
fn client(folder: &Path) {
    let store = client_store(folder);
    loop {
        let Ok((mut session, peer)) = dial(folder) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let result = ClientSide::agree(&mut session, &store, peer, &offer()).and_then(|side| {
            loop {
                make(&mut session, &side)?;
                make(&mut session, &side)?;
                spend(&mut session, &side, folder)?;
                if side.numbers()?.len() > 6 {
                    while spend(&mut session, &side, folder)? {}
                }
            }
        });
        let Err(error) = result.map(|never: ()| never) else { continue };
        if !error.is_disconnect() {
            // Whatever is not a peer's death is a failure, for the parent to find.
            fs::write(folder.join("failure"), session.explain(error).to_string()).unwrap();
        }
    }
}

/// The processes that the tests start: this program again.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    if role == "server" { server(&folder) } else { client(&folder) }
}

struct Process(Child);

impl Process {
    fn start(role: &str, folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored"]).env(ROLE, role).env(FOLDER, folder);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    /// Kills it (SIGKILL) and waits for its end.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Uses of bundles so far, each of which must have been of a new bundle.
fn uses(folder: &Path, role: &str) -> usize {
    let log = fs::read_to_string(folder.join(role).with_extension("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len(), "the {role} used a bundle twice");
    lines.len()
}

fn kills(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let start = |role| Process::start(role, folder);
    let (mut server, mut client) = (start("server"), start("client"));
    let mut random = blake3::Hasher::new().update(&std::process::id().to_le_bytes()).finalize_xof();
    for _ in 0..count {
        let mut bytes = [0; 2];
        random.fill(&mut bytes);
        std::thread::sleep(Duration::from_millis(20 + u64::from(bytes[0])));
        if bytes[1] % 2 == 0 {
            // The new one waits for the lock until the old one has gone.
            drop(std::mem::replace(&mut server, start("server")));
        } else {
            drop(std::mem::replace(&mut client, start("client")));
        }
    }
    drop(client);
    uses(folder, "server");
    let before = uses(folder, "client");
    assert!(!folder.join("failure").exists(), "{:?}", fs::read_to_string(folder.join("failure")));
    // With nobody killed, all that both hold is used, and a new bundle too.
    let store = client_store(folder);
    let (mut session, peer) = loop {
        match dial(folder) {
            Ok(connection) => break connection,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let side = ClientSide::agree(&mut session, &store, peer, &offer()).unwrap();
    assert_eq!(side.outcome().apart, None);
    let held = side.outcome().held;
    make(&mut session, &side).unwrap();
    for _ in 0..held + 1 {
        assert!(spend(&mut session, &side, folder).unwrap());
    }
    assert!(!spend(&mut session, &side, folder).unwrap());
    assert_eq!(uses(folder, "client"), before + held + 1);
    drop(server);
    // A client that was killed between the server's word and its own note used nothing; the server had.
    assert!(uses(folder, "server") > held);
}

#[test]
fn twenty_kills() {
    kills(20);
}

#[test]
#[ignore = "minutes"]
fn five_hundred_kills() {
    kills(500);
}

/// Two processes of one client at once: a bundle is used by one of them.
#[test]
fn two_processes_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _server = Process::start("server", folder);
    let (first, second) = (Process::start("client", folder), Process::start("client", folder));
    let until = Instant::now() + Duration::from_secs(120);
    while uses(folder, "client") < 6 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop((first, second));
    assert!(uses(folder, "client") >= 6);
    assert!(!folder.join("failure").exists(), "{:?}", fs::read_to_string(folder.join("failure")));
}
