//! The stores' messages over a session: agreeing once a connection, then using or making bundles.
//!
//! An engine calls these between the handshake and its own messages. Both sides strike a bundle off before [`ClientSide::bundle`] and
//! [`ServerSide::next`] return it, so that no online byte is sent before. A bundle is made by [`ClientSide::make`] and
//! [`Request::Make`]: the client's half is durable first, then the server's; what a crash leaves on one side is dropped at
//! the next agreement.

use std::sync::Arc;

use protocol::message::Message;
use protocol::{Error, Length, Session};

use super::agreement::{Outcome, Reservation};
use super::bundle::{Bundle, Draft};
use super::error::StoreError;
use super::record::{Kind, Peer};
use super::wire::{
    ANSWER, Answer, KEPT, MADE, MAX_ANSWER_BYTES, MAX_STATEMENT_BYTES, NUMBER, NUMBER_BYTES, REPLY,
    REPLY_BYTES, Reply, STATEMENT, Statement, WISH, WISH_BYTES, Wish,
};
use super::{Side, Store};

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.to_string())
    }
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
        let alone = store.alone()?;
        for _ in 0..STATEMENTS {
            let said = store.propose(server, &binding)?;
            session.outbox.send(STATEMENT, &said.to_bytes())?;
            session.outbox.flush()?;
            let answer = session.inbox.recv(ANSWER, Length::AtMost(MAX_ANSWER_BYTES))?;
            if store.conclude(server, &said, &Answer::from_bytes(&answer)?, &mut outcome)? {
                drop(alone);
                let (kind, label) = (offer.kind(server), offer.label.clone());
                return Ok(Self { store: Arc::clone(store), kind, label, outcome });
            }
        }
        Err(Error::malformed("account of its store", "it refuses a client that has just begun"))
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

    /// A bundle to use, struck off on both sides; or none, and the server knows that there is none.
    ///
    /// # Errors
    /// The store cannot be changed, or the session fails. No bundle that was struck off is given again.
    pub fn bundle(&self, session: &mut Session) -> Result<Option<Bundle>, Error> {
        while let Some(bundle) = self.store.take_next(&self.kind)? {
            let wish = Wish::Use { number: bundle.number(), mark: bundle.mark() };
            send(session, wish)?;
            let reply = session.inbox.recv(REPLY, Length::Exactly(REPLY_BYTES))?;
            if Reply::from_bytes(&reply)? == Reply::Held {
                self.store.confirm(self.kind.peer, bundle.mark())?;
                return Ok(Some(bundle));
            }
        }
        send(session, Wish::Without)?;
        Ok(None)
    }

    /// Tells the server that a run goes without a bundle although there may be some.
    ///
    /// # Errors
    /// The session fails.
    pub fn without(&self, session: &mut Session) -> Result<(), Error> {
        send(session, Wish::Without)
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
        let mut draft = self.store.draft(&self.kind, number, expected, &self.label)?;
        make(session, &mut draft)?;
        draft.commit()?;
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
}

/// What a client asks for.
#[derive(Debug)]
pub enum Request<'a> {
    /// A prediction with a bundle, struck off on both sides.
    Bundle(Bundle),
    /// A prediction without a bundle.
    Without,
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
        for _ in 0..STATEMENTS {
            let said = session.inbox.recv(STATEMENT, Length::AtMost(MAX_STATEMENT_BYTES))?;
            let said = Statement::from_bytes(&said)?;
            let answer = store.judge(&said, &binding, &mut outcome)?.ok_or_else(|| {
                Error::Refused(
                    "the client does not prove that it is who it says: its signature is wrong".into(),
                )
            })?;
            session.outbox.send(ANSWER, &answer.to_bytes())?;
            session.outbox.flush()?;
            if matches!(answer, Answer::Agreed { .. }) {
                let (kind, label) = (offer.kind(outcome.peer), offer.label.clone());
                return Ok(Self { store: Arc::clone(store), kind, label, outcome });
            }
        }
        Err(Error::malformed("account of its store", "it is of another time, twice"))
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

    /// What the client wants; a bundle to be used is struck off before this returns, and the client told.
    ///
    /// # Errors
    /// The store cannot be changed, or the session fails.
    pub fn next(&self, session: &mut Session) -> Result<Request<'_>, Error> {
        loop {
            let wish = session.inbox.recv(WISH, Length::Exactly(WISH_BYTES))?;
            let (number, mark) = match Wish::from_bytes(&wish)? {
                Wish::Without => return Ok(Request::Without),
                Wish::Make => {
                    let reservation = self.store.reserve(self.kind.peer)?;
                    session.outbox.send(NUMBER, &reservation.number.to_le_bytes())?;
                    session.outbox.flush()?;
                    return Ok(Request::Make(Prepared { side: self, reservation }));
                }
                Wish::Use { number, mark } => (number, mark),
            };
            let bundle = self.store.strike(&self.kind, number, Some(mark))?;
            let reply = if bundle.is_some() { Reply::Held } else { Reply::Lacking };
            session.outbox.send(REPLY, &reply.to_bytes())?;
            session.outbox.flush()?;
            if let Some(bundle) = bundle {
                return Ok(Request::Bundle(bundle));
            }
        }
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
        let mut draft = side.store.draft(&side.kind, number, expected, &side.label)?;
        make(session, &mut draft)?;
        session.inbox.recv(MADE, Length::Exactly(0))?;
        draft.commit()?;
        session.outbox.send(KEPT, &[])?;
        session.outbox.flush()
    }
}
