//! The store on disks that fail, with peers that fail, and after somebody has gone back in time.

mod crashes;
mod files;
mod pasts;
mod sim;

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use protocol::session::Limits;
use protocol::{Error, Length, Session, Tag};

use super::{ClientSide, Kind, Offer, Options, Peer, Request, ServerSide, Side, Store, StoreError};
pub use sim::{Dice, Sim};

pub const SERVER: Peer = Peer([9; 32]);
const SEED: Tag = Tag::new(0x200, "the common part of two halves");
const PROOF: Tag = Tag::new(0x201, "a proof of a half");

pub fn offer(model: u8) -> Offer {
    Offer { model: [model; 16], plan: [2; 32], label: "a test's model".into() }
}

pub fn kind() -> Kind {
    let offer = offer(1);
    Kind { peer: SERVER, model: offer.model, plan: offer.plan }
}

pub fn open(disk: &Sim, side: Side) -> Result<Store, StoreError> {
    let options = match side {
        Side::Client => Options::client(1 << 30),
        Side::Server => Options::server(1 << 30),
    };
    Store::on(Arc::new(disk.clone()), side, options)
}

/// Everything that was ever used online, on each side.
#[derive(Clone, Debug, Default)]
pub struct Used(Arc<Mutex<HashSet<[u8; 32]>>>);

impl Used {
    /// Notes a half that goes online; it must be the first time.
    fn once(&self, is_server: bool, half: &[u8]) {
        let mut name = blake3::Hasher::new();
        name.update(&[u8::from(is_server)]).update(half);
        assert!(self.0.lock().unwrap().insert(*name.finalize().as_bytes()), "a bundle was used twice");
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// The test's protocol: two halves belong together if both derive from one random seed, which the server has.
fn half(is_server: bool, seed: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; if is_server { 32 } else { 3000 }];
    blake3::Hasher::new_derive_key(if is_server { "server" } else { "client" })
        .update(seed)
        .finalize_xof()
        .fill(&mut bytes);
    if is_server { seed.to_vec() } else { bytes }
}

/// What to do in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Make,
    Use,
}

const DONE: Tag = Tag::new(0x202, "the end of the test's session");
const GO: Tag = Tag::new(0x203, "the start of an action");

/// The client's run; gives the number of bundles that were used.
pub fn client(
    session: &mut Session,
    store: &Arc<Store>,
    actions: &[Action],
    used: &Used,
) -> Result<(ClientSide, usize), Error> {
    let side = ClientSide::agree(session, store, SERVER, &offer(1))?;
    let count = go_on(session, &side, actions, used)?;
    Ok((side, count))
}

/// The client's run after the agreement.
pub fn go_on(
    session: &mut Session,
    side: &ClientSide,
    actions: &[Action],
    used: &Used,
) -> Result<usize, Error> {
    let mut count = 0;
    for action in actions {
        session.outbox.send(GO, &[])?;
        if *action == Action::Make {
            side.make(session, 3000, |session, draft| {
                let seed = session.inbox.recv(SEED, Length::Exactly(32))?;
                draft.write_all(&half(false, &seed)).map_err(|e| Error::Refused(e.to_string()))
            })?;
            continue;
        }
        let Some(bundle) = side.take()? else {
            side.without(session)?;
            continue;
        };
        let ticket = bundle.ticket();
        side.announce(session, ticket)?;
        let bundle = bundle.read_all(3000).map_err(|e| Error::Refused(e.to_string()))?;
        used.once(false, &bundle);
        session.outbox.send(PROOF, &bundle)?;
        session.outbox.flush()?;
        session.inbox.recv(PROOF, Length::Exactly(0))?;
        side.confirm(ticket)?;
        count += 1;
    }
    session.outbox.send(DONE, &[])?;
    session.outbox.flush()?;
    Ok(count)
}

pub fn server(session: &mut Session, store: &Arc<Store>, used: &Used) -> Result<ServerSide, Error> {
    let side = ServerSide::agree(session, store, &offer(1))?;
    loop {
        let due = [(GO, Length::Exactly(0)), (DONE, Length::Exactly(0))];
        if session.inbox.recv_one_of(&due)?.0 == DONE {
            return Ok(side);
        }
        match side.next(session)? {
            Request::Without => {}
            Request::Target => side.tell_target(session, 0)?,
            Request::Make(prepared) => prepared.make(session, 32, |session, draft| {
                let seed = *kernel::seed::Seed::from_os().unwrap().as_bytes();
                session.outbox.send(SEED, &seed)?;
                session.outbox.flush()?;
                draft.write_all(&half(true, &seed)).map_err(|e| Error::Refused(e.to_string()))
            })?,
            Request::Bundle(bundle) => {
                let seed = bundle.read_all(32).map_err(|e| Error::Refused(e.to_string()))?;
                let proof = session.inbox.recv(PROOF, Length::Exactly(3000))?;
                used.once(true, &seed);
                assert_eq!(proof, half(false, &seed), "the two halves do not belong together");
                session.outbox.send(PROOF, &[])?;
                session.outbox.flush()?;
            }
        }
    }
}

/// Two sessions joined in memory, as TLS would join them.
pub fn sessions() -> (Session, Session) {
    let (near, far) = protocol::memory::pair();
    let session =
        |transport: protocol::channel::Transport| Session::new(transport.bound([7; 32]), Limits::default());
    (session(near), session(far))
}

/// A connection between two stores.
pub fn connect(
    stores: (&Arc<Store>, &Arc<Store>),
    actions: &[Action],
    used: &Used,
) -> (Result<(ClientSide, usize), Error>, Result<ServerSide, Error>) {
    let (mut near, mut far) = sessions();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let result = server(&mut far, stores.1, used);
            drop(far);
            result
        });
        let result = client(&mut near, stores.0, actions, used);
        drop(near);
        (result, other.join().unwrap())
    })
}
