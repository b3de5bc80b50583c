//! The stores' messages over a session: agreeing once a connection, then using or making bundles.
//!
//! An engine calls these between the handshake and its own messages. The client strikes a bundle off before [`ClientSide::take`] returns it, so that no
//! online byte is sent before; its number goes with the first of them ([`ClientSide::announce`]), and the server strikes its half off before [`ServerSide::next`]
//! returns it, so that it neither reads nor answers an online byte before. A bundle is made by [`ClientSide::make`] and
//! [`Request::Make`]: the client's half is durable first, then the server's; what a crash leaves on one side is dropped at
//! the next agreement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::message::Message;
use protocol::{Error, Length, Session};

use super::agreement::{Outcome, Presence, Reservation, SERVERS};
use super::bundle::{Bundle, Draft, Ticket};
use super::error::StoreError;
use super::record::{Kind, Peer};
use super::wire::{
    ANSWER, Answer, KEPT, MADE, MAX_ANSWER_BYTES, MAX_STATEMENT_BYTES, NUMBER, NUMBER_BYTES, STATEMENT,
    Statement, TARGET, WISH, WISH_BYTES, Wish,
};
use super::{Side, Store};

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Own { told: error.for_peer(), why: error.to_string() }
    }
}

/// Time for an agreement: other processes of the client wait for it.
const AGREEMENT: Duration = Duration::from_secs(15);

/// Runs an agreement within its time.
fn in_time<T>(
    session: &mut Session,
    agree: impl FnOnce(&mut Session) -> Result<T, Error>,
) -> Result<T, Error> {
    let until = Instant::now() + AGREEMENT;
    let before = session.inbox.set_latest(Some(until));
    session.inbox.set_latest(Some(before.map_or(until, |before| before.min(until))));
    let result = agree(session);
    session.inbox.set_latest(before);
    result
}

/// What all bundles of one agreed protocol are for, but for the peer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The model's identifier.
    pub model: [u8; 16],
    /// Digest of protocol, plan and output.
    pub plan: [u8; 32],
    /// Words about it.
    pub label: String,
}

impl Offer {
    fn kind(&self, peer: Peer) -> Kind {
        Kind { peer, model: self.model, plan: self.plan }
    }
}

fn binding(session: &Session) -> Result<[u8; 32], Error> {
    session.binding().ok_or_else(|| {
        Error::Refused(
            "this connection has no keys of its own, to which a client's proof could be bound".into(),
        )
    })
}

fn outcome(peer: Peer) -> Outcome {
    Outcome { peer, held: 0, dropped: 0, apart: None }
}

/// Statements in a row: one, and one under a new identity.
const STATEMENTS: usize = 2;

/// A client whose store agrees with its server's.
#[derive(Debug)]
pub struct ClientSide {
    store: Arc<Store>,
    kind: Kind,
    label: String,
    outcome: Outcome,
    /// The incarnation under which they agreed.
    standing: u64,
}

impl ClientSide {
    /// Agrees with the server: one round trip, or two where the stores have different pasts ([`Outcome::warning`]).
    ///
    /// # Errors
    /// The store cannot be used, or the session fails.
    pub fn agree(
        session: &mut Session,
        store: &Arc<Store>,
        server: Peer,
        offer: &Offer,
    ) -> Result<Self, Error> {
        debug_assert_eq!(store.side(), Side::Client);
        let (binding, mut outcome) = (binding(session)?, outcome(server));
        let alone = store.alone(server)?;
        let standing = in_time(session, |session| {
            for _ in 0..STATEMENTS {
                let said = store.propose(server, &binding)?;
                session.outbox.send(STATEMENT, &said.to_bytes())?;
                session.outbox.flush()?;
                let answer = session.inbox.recv(ANSWER, Length::AtMost(MAX_ANSWER_BYTES))?;
                let answer = Answer::from_bytes(&answer)?;
                if let Some(standing) = store.conclude(server, &said, &answer, &mut outcome)? {
                    return Ok(standing);
                }
            }
            Err(Error::malformed("account of its store", "it refuses a client that has just begun"))
        })?;
        drop(alone);
        let (kind, label) = (offer.kind(server), offer.label.clone());
        Ok(Self { store: Arc::clone(store), kind, label, outcome, standing })
    }

    /// What the agreement came to.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The bundles that are held for this protocol and model.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn numbers(&self) -> Result<Vec<u64>, Error> {
        Ok(self.store.held(&self.kind)?)
    }

    /// A bundle to use, struck off on this side; `None` where there is none.
    ///
    /// # Errors
    /// The store cannot be changed, or another connection has begun anew with the server. No bundle that was struck off is given again.
    pub fn take(&self) -> Result<Option<Bundle>, Error> {
        let _alone = self.store.alone(self.kind.peer)?;
        Ok(self.store.take_next_under(&self.kind, Some(self.standing))?)
    }

    /// Tells the server which bundle a prediction uses; goes out with the first online message. A server that lacks its half ends the session: that
    /// takes a store that lost a file, and the next agreement drops such bundles.
    ///
    /// # Errors
    /// The session fails.
    pub fn announce(&self, session: &mut Session, bundle: Ticket) -> Result<(), Error> {
        let wish = Wish::Use { number: bundle.number, mark: bundle.mark };
        session.outbox.send(WISH, &wish.to_bytes())
    }

    /// Notes that the server has answered with its half, which it has struck off.
    ///
    /// # Errors
    /// The store cannot be changed.
    pub fn confirm(&self, bundle: Ticket) -> Result<(), Error> {
        Ok(self.store.confirm(self.kind.peer, bundle.mark, self.standing)?)
    }

    /// Tells the server that a run goes without a bundle.
    ///
    /// # Errors
    /// The session fails.
    pub fn without(&self, session: &mut Session) -> Result<(), Error> {
        send(session, Wish::Without)
    }

    /// How many bundles the server would like this client to have; 0 where it does not say.
    ///
    /// # Errors
    /// The session fails.
    pub fn target(&self, session: &mut Session) -> Result<u64, Error> {
        send(session, Wish::Target)?;
        let target = session.inbox.recv(TARGET, Length::Exactly(NUMBER_BYTES))?;
        Ok(u64::from_le_bytes(target.try_into().unwrap_or_default()))
    }

    /// Makes a bundle of at most `expected` bytes: `make` runs the protocol and writes this side's half.
    ///
    /// # Errors
    /// The store is full, `make` fails, or the session does.
    pub fn make(
        &self,
        session: &mut Session,
        expected: u64,
        make: impl FnOnce(&mut Session, &mut Draft<'_>) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        send(session, Wish::Make)?;
        let number = session.inbox.recv(NUMBER, Length::Exactly(NUMBER_BYTES))?;
        let number = u64::from_le_bytes(number.try_into().unwrap_or_default());
        if number == u64::MAX {
            return Err(Error::malformed("bundle's number", "it is no number"));
        }
        let label = (self.label.as_str(), Some(self.standing));
        let mut draft = self.store.draft_under(&self.kind, number, expected, label)?;
        make(session, &mut draft)?;
        let alone = self.store.alone(self.kind.peer)?;
        draft.commit()?;
        drop(alone);
        session.outbox.send(MADE, &[])?;
        session.outbox.flush()?;
        session.inbox.recv(KEPT, Length::Exactly(0))?;
        Ok(number)
    }
}

fn send(session: &mut Session, wish: Wish) -> Result<(), Error> {
    session.outbox.send(WISH, &wish.to_bytes())?;
    session.outbox.flush()
}

/// A server whose store agrees with a client's.
#[derive(Debug)]
pub struct ServerSide {
    store: Arc<Store>,
    kind: Kind,
    label: String,
    outcome: Outcome,
    _presence: Presence,
}

/// What a client asks for.
#[derive(Debug)]
pub enum Request<'a> {
    /// A prediction with a bundle, struck off on both sides.
    Bundle(Bundle),
    /// A prediction without a bundle.
    Without,
    /// How many bundles the server would like it to have ([`ServerSide::tell_target`]).
    Target,
    /// A bundle for later.
    Make(Prepared<'a>),
}

/// A bundle that is to be made.
#[derive(Debug)]
pub struct Prepared<'a> {
    side: &'a ServerSide,
    reservation: Reservation<'a>,
}

impl ServerSide {
    /// Agrees with a client, who proves its identity.
    ///
    /// # Errors
    /// The proof is wrong, the store cannot be used, or the session fails.
    pub fn agree(session: &mut Session, store: &Arc<Store>, offer: &Offer) -> Result<Self, Error> {
        debug_assert_eq!(store.side(), Side::Server);
        let (binding, mut outcome) = (binding(session)?, outcome(Peer([0; 32])));
        let presence = in_time(session, |session| {
            for _ in 0..STATEMENTS {
                let said = session.inbox.recv(STATEMENT, Length::AtMost(MAX_STATEMENT_BYTES))?;
                let said = Statement::from_bytes(&said)?;
                let (answer, presence) = store.judge(&said, &binding, &mut outcome)?.ok_or_else(|| {
                    Error::Refused(
                        "the client does not prove that it is who it says: its signature is wrong".into(),
                    )
                })?;
                session.outbox.send(ANSWER, &answer.to_bytes())?;
                session.outbox.flush()?;
                if let Some(presence) = presence {
                    return Ok(presence);
                }
            }
            Err(Error::malformed("account of its store", "it is of another time, twice"))
        })?;
        let (kind, label) = (offer.kind(outcome.peer), offer.label.clone());
        Ok(Self { store: Arc::clone(store), kind, label, outcome, _presence: presence })
    }

    /// What the agreement came to.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The bundles that are held for this client, protocol and model.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn numbers(&self) -> Result<Vec<u64>, Error> {
        Ok(self.store.held(&self.kind)?)
    }

    /// What the client wants; a bundle to be used is struck off before this returns.
    ///
    /// # Errors
    /// The bundle is not here, the store cannot be changed, or the session fails.
    pub fn next(&self, session: &mut Session) -> Result<Request<'_>, Error> {
        let wish = session.inbox.recv(WISH, Length::Exactly(WISH_BYTES))?;
        match Wish::from_bytes(&wish)? {
            Wish::Without => Ok(Request::Without),
            Wish::Target => Ok(Request::Target),
            Wish::Make => {
                let reservation = self.store.reserve(self.kind.peer)?;
                session.outbox.send(NUMBER, &reservation.number.to_le_bytes())?;
                session.outbox.flush()?;
                Ok(Request::Make(Prepared { side: self, reservation }))
            }
            Wish::Use { number, mark } => {
                let bundle = self.store.strike(&self.kind, number, (Some(mark), Some(SERVERS)))?;
                bundle.map(Request::Bundle).ok_or_else(|| {
                    Error::Refused(format!(
                        "the other half of bundle {number} is not in the server's store; the bundle is lost, and the next prediction \
                         takes another"
                    ))
                })
            }
        }
    }

    /// Answers [`Request::Target`].
    ///
    /// # Errors
    /// The session fails.
    pub fn tell_target(&self, session: &mut Session, target: u64) -> Result<(), Error> {
        session.outbox.send(TARGET, &target.to_le_bytes())?;
        session.outbox.flush()
    }
}

impl Prepared<'_> {
    /// The bundle's number.
    pub fn number(&self) -> u64 {
        self.reservation.number
    }

    /// Makes the bundle: `make` runs the protocol and writes this side's half, of at most `expected` bytes. It is kept once the client has said that
    /// its half is durable.
    ///
    /// # Errors
    /// As [`ClientSide::make`].
    pub fn make(
        self,
        session: &mut Session,
        expected: u64,
        make: impl FnOnce(&mut Session, &mut Draft<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (side, number) = (self.side, self.number());
        let label = (side.label.as_str(), Some(SERVERS));
        let mut draft = side.store.draft_under(&side.kind, number, expected, label)?;
        make(session, &mut draft)?;
        session.inbox.recv(MADE, Length::Exactly(0))?;
        draft.commit()?;
        session.outbox.send(KEPT, &[])?;
        session.outbox.flush()
    }
}
