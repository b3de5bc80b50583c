//! One connection, from its first byte to its last.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use kernel::seed::Seed;
use protocol::handshake::{self, Choice, Plan, Request};
use protocol::measure::Allowance;
use protocol::message::Message;
use protocol::session::Limits;
use protocol::{Error, Length, Phase, Session, Tag};

use super::Shared;
use super::model::{Offered, Prepared};
use super::registry::Ticket;
use crate::done::Done;
use crate::input::Projection;
use crate::tls;
use crate::usage::peak_rss_bytes;

/// Something that happened on a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection could not even be begun.
    Refused {
        /// The system's words.
        why: String,
    },
    /// A client has chosen.
    Opened {
        /// The client.
        client: Option<SocketAddr>,
        /// The model.
        model: String,
        /// The protocol.
        protocol: String,
    },
    /// A prediction was served.
    Predicted {
        /// The client.
        client: Option<SocketAddr>,
        /// The model.
        model: String,
        /// What it cost, as the server saw it.
        cost: protocol::meter::Snapshot,
    },
    /// One-time material was prepared for a later prediction.
    Prepared {
        /// The client.
        client: Option<SocketAddr>,
        /// The model.
        model: String,
        /// What it cost, as the server saw it.
        cost: protocol::meter::Snapshot,
    },
    /// A connection has ended.
    Closed {
        /// The client.
        client: Option<SocketAddr>,
        /// Predictions that were served.
        predictions: u64,
        /// Why it ended early, if it did.
        error: Option<String>,
    },
    /// A session's thread panicked; the server goes on.
    Panicked {
        /// The client.
        client: Option<SocketAddr>,
        /// The panic's words.
        why: String,
    },
}

/// Serves a connection; returns when it has ended.
pub(super) fn serve(stream: TcpStream, ticket: &Ticket, shared: &Shared) {
    let client = stream.peer_addr().ok();
    let mut predictions = 0;
    let tell = |event: Event| (shared.config.observer)(&event);
    let error = match open(stream, shared) {
        Err(error) => Some(error.to_string()),
        Ok((mut session, deadline)) => {
            let mut conversation = Conversation {
                shared,
                ticket,
                client,
                session: &mut session,
                deadline,
                predictions: &mut predictions,
                runs: 0,
            };
            let outcome = guarded(|| conversation.run(), |why| tell(Event::Panicked { client, why }));
            let error = outcome.err().map(|error| part(&mut session, error));
            session.close();
            error
        }
    };
    tell(Event::Closed { client, predictions, error });
}

/// TLS, and a session in which all up to the client's choice must happen by the moment that is given too.
fn open(stream: TcpStream, shared: &Shared) -> std::io::Result<(Session, Instant)> {
    let config = &shared.config;
    let deadline = Instant::now() + config.handshake;
    let mut transport = tls::accept(stream, &shared.tls, deadline)?;
    if let Some(link) = config.link {
        transport = transport.shaped(link.reversed())?;
    }
    let mut session = Session::new(transport, Limits { wait: config.handshake, ..config.limits });
    session.inbox.set_latest(Some(deadline));
    Ok((session, deadline))
}

/// Tells the client why the session ends, where it can be told; gives the words for the log.
pub(crate) fn part(session: &mut Session, error: Error) -> String {
    let words = error.to_string();
    if !error.is_disconnect() && !matches!(error, Error::Peer(_)) {
        session.give_up(&error.for_peer());
    }
    words
}

/// Runs a conversation; a panic ends it and nothing else.
pub(crate) fn guarded(
    run: impl FnOnce() -> Result<(), Error>,
    panicked: impl FnOnce(String),
) -> Result<(), Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        panicked(words(panic.as_ref()));
        Err(Error::Refused("the program failed while it served this prediction".into()))
    })
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no words").to_owned()
}

/// A session with all it needs.
struct Conversation<'a> {
    shared: &'a Shared,
    ticket: &'a Ticket,
    client: Option<SocketAddr>,
    session: &'a mut Session,
    /// By when the client must have chosen.
    deadline: Instant,
    predictions: &'a mut u64,
    /// Predictions and preparations so far.
    runs: u64,
}

impl Conversation<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let config = &self.shared.config;
        handshake::send_hello(self.session, &self.shared.hello)?;
        let Some(choice) = self.choice()? else { return Ok(()) };
        let (name, offered, prepared) = find(self.shared, &choice)?;
        let own = prepared.engine.for_connection(self.client.map(|client| client.ip()));
        let engine = own.as_deref().unwrap_or(prepared.engine.as_ref());
        let payload = engine.agree(&prepared.plan, &choice.payload)?;
        let plan = Plan { graph: prepared.plan.graph.clone(), payload };
        (config.observer)(&Event::Opened {
            client: self.client,
            model: name.to_owned(),
            protocol: choice.protocol.clone(),
        });
        handshake::send_plan(self.session, &plan)?;
        self.session.inbox.set_latest(Instant::now().checked_add(config.session));
        let mut basis = offered.projection.as_ref();
        while self.next(&mut basis)? {
            engine.predict(&plan, &prepared.params, choice.reveal, self.session, &fresh_seed()?)?;
            self.finish(name)?;
            if !self.ticket.end() {
                return Err(Error::Refused("the server is shutting down".into()));
            }
        }
        Ok(())
    }

    /// Answers measurements of the link until the client has chosen, which gives it a session's place; so does its first measurement.
    fn choice(&mut self) -> Result<Option<Choice>, Error> {
        let mut allowance = None;
        loop {
            let request = handshake::receive_request(self.session, &self.shared.hello)?;
            if allowance.is_none() && request != Request::Farewell && !self.ticket.promote() {
                return Err(Error::Refused(format!(
                    "the server is busy with {} sessions; try again in a few seconds",
                    self.shared.config.max_sessions
                )));
            }
            match request {
                Request::Farewell => return Ok(None),
                Request::Choice(choice) => return Ok(Some(choice)),
                Request::Probe(probe) => {
                    let allowance = allowance.get_or_insert_with(|| Allowance::new(self.deadline));
                    allowance.answer(self.session, probe)?;
                }
            }
        }
    }

    /// Waits for the client's next prediction; `false` is a farewell. The model's basis is sent once, where the client asks for it.
    fn next(&mut self, basis: &mut Option<&Projection>) -> Result<bool, Error> {
        let config = &self.shared.config;
        self.session.set_limits(Limits { wait: config.idle, ..config.limits });
        if self.runs > 0 {
            self.session.meter.restart();
        }
        let due = [Tag::START, Tag::BYE, Tag::BASIS].map(|tag| (tag, Length::Exactly(0)));
        loop {
            let (tag, _) = self.session.inbox.recv_one_of(&due)?;
            if tag == Tag::BYE {
                return Ok(false);
            }
            if tag != Tag::BASIS {
                break;
            }
            let none = || Error::Refused("there is no basis to publish, or it was sent before".into());
            handshake::send_basis(self.session, basis.take().ok_or_else(none)?.values())?;
        }
        if !self.ticket.begin() {
            return Err(Error::Refused("the server is shutting down".into()));
        }
        self.session.set_limits(config.limits);
        Ok(true)
    }

    /// Tells the client that the server's part is done.
    fn finish(&mut self, model: &str) -> Result<(), Error> {
        let done = Done { peak_rss_bytes: peak_rss_bytes() };
        self.session.outbox.unpin();
        self.session.outbox.send(Tag::DONE, &done.to_bytes())?;
        self.session.outbox.flush()?;
        self.runs += 1;
        let (client, model, cost) = (self.client, model.to_owned(), self.session.meter.snapshot());
        let crossed = |phase| {
            let totals = cost.phase(phase);
            totals.sent + totals.received > 0
        };
        let (online, offline) = (crossed(Phase::Online), crossed(Phase::Offline));
        let observer = &self.shared.config.observer;
        if online {
            *self.predictions += 1;
            observer(&Event::Predicted { client, model, cost });
        } else if offline {
            observer(&Event::Prepared { client, model, cost });
        }
        Ok(())
    }
}

/// The model's name, itself, and the variant of a choice that was found to be on offer.
fn find<'a>(shared: &'a Shared, choice: &Choice) -> Result<(&'a str, &'a Offered, &'a Prepared), Error> {
    let mut offers = shared.hello.models.iter().zip(&shared.models);
    offers
        .find(|(info, _)| info.id == choice.model)
        .and_then(|(info, offered)| {
            let index = info.protocols.iter().position(|protocol| protocol.name == choice.protocol)?;
            Some((info.name.as_str(), offered, offered.variants.get(index)?))
        })
        .ok_or_else(|| Error::Refused("this offer has gone".into()))
}

/// Randomness for one prediction: no offset, label or mask outlives it.
fn fresh_seed() -> Result<Seed, Error> {
    Seed::from_os().map_err(|e| Error::Refused(format!("the server has no randomness: {e}")))
}
