//! DeepSecure for a client that does not garble: the input is shared between the server and a proxy.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::seed::Seed;
use protocol::garbled::{Options, Part, Wishes, shared};
use protocol::handshake::{self, Choice, Plan};
use protocol::session::Limits;
use protocol::{Length, Progress, Reveal, Session, Tag};

use super::engine::{Agreement, Engine, Integers};
use super::{ClientConfig, Connection};
use crate::done::DONE_BYTES;
use crate::error::Error;

/// Most time between two frames: the proxy says in between that it goes on.
const WAIT: Duration = Duration::from_secs(120);

/// The protocol `deepsecure`, garbled by a proxy. One value serves one connection.
pub struct Outsourced {
    /// What this client asks for.
    wishes: Wishes,
    /// The proxy's address.
    address: String,
    /// How the proxy is known, and the limits towards it.
    config: ClientConfig,
    proxy: Mutex<Option<Session>>,
}

impl Outsourced {
    /// An engine that lets the proxy at `address` garble.
    pub fn new(wishes: Wishes, address: &str, config: ClientConfig) -> Self {
        let wishes = Wishes { part: Part::Holder, ..wishes };
        Self { wishes, address: address.to_owned(), config, proxy: Mutex::new(None) }
    }

    /// Calls the proxy and joins it to this client's session on the server.
    fn call(&self, agreed: &Agreement<'_>, session: protocol::garbled::SessionId) -> Result<Session, Error> {
        let connection = Connection::open_with(&self.address, self.config.clone(), agreed.meter.clone())?;
        let (mut proxy, _) = connection.into_parts();
        let base_ot = Some(Options::read(&agreed.plan.payload)?.base_ot);
        let wishes = Wishes { part: Part::Garbler, session: Some(session), base_ot, first_layer: None };
        let choice = Choice {
            model: agreed.model.id,
            protocol: self.name().to_owned(),
            reveal: agreed.reveal,
            payload: wishes.to_payload(),
        };
        let plan = handshake::choose(&mut proxy, &choice).map_err(|error| proxy.explain(error))?;
        // What the proxy and the server have agreed on between them: the client's wishes hold there too.
        let options = Options::read(&plan.payload)?;
        wishes.accept(options)?;
        if options.session != wishes.session {
            return Err(protocol::Error::malformed("plan", "the proxy joined another session").into());
        }
        if plan.graph != agreed.plan.graph {
            return Err(protocol::Error::malformed("plan", "the proxy garbles another network").into());
        }
        Ok(proxy)
    }
}

impl Engine for Outsourced {
    fn name(&self) -> &'static str {
        "deepsecure"
    }

    fn wishes(&self) -> serde_json::Value {
        self.wishes.to_payload()
    }

    fn accept(&self, agreed: &Agreement<'_>) -> Result<(), Error> {
        let options = Options::read(&agreed.plan.payload)?;
        self.wishes.accept(options)?;
        let Some(session) = options.session.filter(|_| options.part == Part::Holder) else {
            return Err(protocol::Error::malformed("plan", "the server does not work with a proxy").into());
        };
        let proxy = self.call(agreed, session)?;
        *self.proxy.lock().unwrap_or_else(PoisonError::into_inner) = Some(proxy);
        Ok(())
    }

    fn predict(
        &self,
        plan: &Plan,
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Integers, protocol::Error> {
        let mut proxy = self.proxy.lock().unwrap_or_else(PoisonError::into_inner);
        // A session that failed is not used again.
        let Some(mut open) = proxy.take() else {
            return Err(protocol::Error::Refused("the session with the proxy is over".into()));
        };
        for party in [&mut *session, &mut open] {
            party.set_limits(Limits { wait: self.config.limits.wait.min(WAIT), ..self.config.limits });
        }
        let outputs = with_proxy(plan, input, reveal, (session, &mut open), seed, progress);
        match outputs {
            Ok(outputs) => {
                *proxy = Some(open);
                Ok(outputs.into_iter().map(|values| values.into_iter().map(i128::from).collect()).collect())
            }
            Err(error) => {
                open.set_limits(Limits { wait: self.config.handshake, ..self.config.limits });
                Err(open.explain(error))
            }
        }
    }
}

fn with_proxy(
    plan: &Plan,
    input: &[Vec<i64>],
    reveal: Reveal,
    (server, proxy): (&mut Session, &mut Session),
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<Vec<Vec<i64>>, protocol::Error> {
    proxy.outbox.send(Tag::START, &[])?;
    let outputs = shared::predict(&plan.graph, input, reveal, (server, proxy), seed, progress)?;
    proxy.inbox.recv(Tag::DONE, Length::Exactly(DONE_BYTES))?;
    Ok(outputs)
}

impl Drop for Outsourced {
    fn drop(&mut self) {
        let proxy = self.proxy.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut proxy) = proxy.take() {
            // A proxy that has left already does not miss it.
            let _ = handshake::farewell(&mut proxy);
            proxy.close();
        }
    }
}
