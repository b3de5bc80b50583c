//! DeepSecure, the server's half: it evaluates the garbled network with its weights as private inputs.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::garbled::{self, Options, Part, SessionId, Wishes, shared};
use protocol::handshake::Plan;
use protocol::{Error, Reveal, Session};

use super::engine::Engine;
use super::meetings::{Meetings, Share};

/// The protocol `deepsecure` ([`protocol::garbled`]), also for clients that let a proxy garble.
#[derive(Clone, Debug, Default)]
pub struct DeepSecure {
    /// What this server insists on.
    wishes: Wishes,
    meetings: Arc<Meetings>,
}

impl DeepSecure {
    /// An engine that insists on these options.
    pub fn new(wishes: Wishes) -> Self {
        Self { wishes, meetings: Arc::default() }
    }
}

impl Engine for DeepSecure {
    fn name(&self) -> &'static str {
        "deepsecure"
    }

    fn agree(&self, plan: &Plan, wishes: &serde_json::Value) -> Result<serde_json::Value, Error> {
        let wishes = Wishes::read(wishes)?;
        let options = match (wishes.part, wishes.session) {
            (Part::Client, None) => self.wishes.agree(wishes)?,
            (Part::Holder, None) => {
                let options = self.wishes.agree(wishes)?;
                Options { session: Some(self.meetings.open(&plan.graph, options)?), ..options }
            }
            (Part::Garbler, Some(name)) => {
                let options = self.meetings.join(name, &plan.graph)?;
                let options = Options { part: Part::Garbler, session: Some(name), ..options };
                wishes.accept(options)?;
                options
            }
            _ => return Err(Error::malformed("choice", "its part and its session do not fit")),
        };
        Ok(options.to_payload())
    }

    fn for_connection(&self, _client: Option<IpAddr>) -> Option<Box<dyn Engine>> {
        Some(Box::new(Connected { engine: self.clone(), meeting: Mutex::new(None) }))
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let options = Options::read(&plan.payload)?;
        match (options.part, options.session) {
            (Part::Holder, Some(name)) => self.hold(plan, name, reveal, session),
            (Part::Garbler, Some(name)) => {
                self.evaluate(plan, (options, name), params, reveal, session, seed)
            }
            _ => garbled::server::predict(&plan.graph, options, params, reveal, session, seed),
        }
    }
}

impl DeepSecure {
    /// A prediction in the client's session: its share in, the colours out.
    fn hold(&self, plan: &Plan, name: SessionId, reveal: Reveal, session: &mut Session) -> Result<(), Error> {
        let values = shared::receive_share(&plan.graph, &mut session.inbox)?;
        let end = self.meetings.take_holder(name)?;
        let colours = self.meetings.exchange(name, &end, Share { reveal, values })?;
        self.meetings.return_holder(name, end);
        shared::send_colours(&mut session.outbox, &colours)
    }

    /// A prediction in the proxy's session.
    fn evaluate(
        &self,
        plan: &Plan,
        (options, name): (Options, SessionId),
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let end = self.meetings.take_garbler(name)?;
        let share = end.share()?;
        if share.reveal != reveal {
            return Err(Error::Refused("client and proxy ask for different outputs".into()));
        }
        let secrets = (params, share.values.as_slice());
        let colours = garbled::server::evaluate_shared(&plan.graph, options, secrets, reveal, session, seed)?;
        end.deliver(colours)?;
        self.meetings.return_garbler(name, end);
        Ok(())
    }
}

/// The engine of one connection: its end is the end of the meeting that it took part in.
struct Connected {
    engine: DeepSecure,
    meeting: Mutex<Option<SessionId>>,
}

impl Connected {
    fn meeting(&self) -> MutexGuard<'_, Option<SessionId>> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn agree(&self, plan: &Plan, wishes: &serde_json::Value) -> Result<serde_json::Value, Error> {
        let payload = self.engine.agree(plan, wishes)?;
        *self.meeting() = Options::read(&payload)?.session;
        Ok(payload)
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        self.engine.predict(plan, params, reveal, session, seed)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(name) = self.meeting().take() {
            self.engine.meetings.close(name);
        }
    }
}
