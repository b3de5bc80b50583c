//! The server's half: it computes on the ciphertexts and hides what the result does not say.

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bfv::Ciphertext;
use kernel::seed::Seed;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::keys::{self, Assembly};
use super::masks::{hide, masks};
use super::outline::{Finish, Outline};
use super::program::{EvaluationKeys, Program};
use super::wire::{self, Digest, State};
use crate::error::Error;
use crate::frame::Length;
use crate::message::Message;
use crate::meter::Phase;
use crate::session::{Outbox, Progress, Session};

/// A network that can be served.
pub struct Service {
    outline: Outline,
    program: Box<dyn Program>,
    finish: Vec<Finish>,
}

/// What the server gives its sessions: a store of evaluation keys, memory, threads.
pub trait Host: Sync {
    /// Keys under this digest.
    fn find(&self, digest: Digest) -> Option<Arc<EvaluationKeys>>;

    /// Room for keys of so many bytes, held until the result is dropped or given to [`Host::keep`].
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none.
    fn room_for_keys(&self, bytes: u64) -> Result<Box<dyn Any + Send>, Error>;

    /// Keeps keys in the room that was made for them.
    fn keep(&self, digest: Digest, keys: EvaluationKeys, room: Box<dyn Any + Send>) -> Arc<EvaluationKeys>;

    /// Memory for one computation, waited for and held until the result is dropped.
    ///
    /// # Errors
    /// [`Error::Refused`] where none comes free in time.
    fn memory(&self, bytes: u64) -> Result<Box<dyn Send>, Error>;

    /// Where the work is done.
    fn pool(&self) -> &ThreadPool;
}

impl Service {
    /// A program with its public facts.
    ///
    /// # Errors
    /// Where flooding leaves no room in the parameters.
    pub fn new(outline: Outline, program: Box<dyn Program>) -> Result<Self, Error> {
        let finish = (0..outline.parameters.len()).map(|m| outline.finish(m)).collect::<Result<_, _>>()?;
        Ok(Self { outline, program, finish })
    }

    /// The public facts.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Receives the client's keys, or finds those that it names. Once a connection.
    ///
    /// # Errors
    /// Those of the session, of malformed keys, or where there is no room for them.
    pub fn receive_keys(&self, session: &mut Session, host: &dyn Host) -> Result<Arc<EvaluationKeys>, Error> {
        session.meter.enter(Phase::Setup, "keys");
        let digest = session.inbox.recv(wire::DIGEST, Length::Exactly(wire::DIGEST_BYTES))?;
        let digest = Digest::from_bytes(&digest)?;
        let found = host.find(digest);
        let state = if found.is_some() { State::Held } else { State::Lacking };
        // Room first: a client that is told to send its keys can send them.
        let room = match found {
            Some(keys) => {
                session.outbox.send(wire::STATE, &state.to_bytes())?;
                session.outbox.flush()?;
                return Ok(keys);
            }
            None => host.room_for_keys(keys::memory_bytes(&self.outline)?)?,
        };
        session.outbox.send(wire::STATE, &state.to_bytes())?;
        session.outbox.flush()?;
        let mut assembly = Assembly::new(&self.outline)?;
        for part in keys::parts(&self.outline) {
            let bytes = session.inbox.recv(wire::KEY, Length::Exactly(part.wire_bytes(&self.outline)?))?;
            assembly.add(part, &bytes)?;
        }
        let (keys, received) = assembly.finish()?;
        if received != digest {
            return Err(Error::malformed("evaluation key", "the keys are not those of the digest"));
        }
        let keys = host.keep(digest, keys, room);
        session.outbox.send(wire::KEPT, &[])?;
        session.outbox.flush()?;
        Ok(keys)
    }

    /// Serves one prediction. All masks derive from `seed`, which is fresh.
    ///
    /// # Errors
    /// When the session fails, or the ciphertexts or keys are not the plan's.
    pub fn predict(
        &self,
        keys: &EvaluationKeys,
        session: &mut Session,
        host: &dyn Host,
        seed: &Seed,
    ) -> Result<(), Error> {
        session.meter.enter(Phase::Online, "request");
        let moduli = self.outline.parameters.len();
        let mut replies = Vec::with_capacity(moduli);
        let mut permit = None;
        let mut sent = 0;
        for modulus in 0..moduli {
            let frames = self.receive(modulus, session)?;
            if permit.is_none() {
                session.meter.enter(Phase::Online, "wait");
                permit = Some(host.memory(self.outline.memory)?);
            }
            session.meter.enter(Phase::Online, "compute");
            let ticker = Ticker::new(&mut session.outbox, &self.outline, modulus, sent);
            let made = host.pool().install(|| {
                let inputs = self.decode(modulus, &frames)?;
                drop(frames);
                let results = self.program.run(modulus, inputs, keys, &ticker)?;
                self.finish(modulus, results, keys, seed)
            })?;
            sent = ticker.finish()?;
            replies.push(made);
        }
        drop(permit);
        session.meter.enter(Phase::Online, "reply");
        for reply in replies.iter().flatten() {
            session.outbox.send(wire::REPLY, reply)?;
        }
        session.outbox.flush()
    }

    /// The request's ciphertexts for one plaintext modulus, as they came.
    fn receive(&self, modulus: usize, session: &mut Session) -> Result<Vec<Vec<u8>>, Error> {
        let length =
            Ciphertext::wire_bytes(&self.outline.parameters[modulus], self.outline.fresh_limbs, true);
        let count = self.outline.request.ciphertexts();
        (0..count).map(|_| session.inbox.recv(wire::REQUEST, Length::Exactly(length))).collect()
    }

    /// Decodes a request's ciphertexts; this expands their uniform halves.
    fn decode(&self, modulus: usize, frames: &[Vec<u8>]) -> Result<Vec<Ciphertext>, Error> {
        let parameters = &self.outline.parameters[modulus];
        let one = |bytes: &Vec<u8>| {
            let ciphertext = Ciphertext::from_bytes(parameters, bytes)?;
            if ciphertext.is_seeded() && ciphertext.limbs() == self.outline.fresh_limbs {
                Ok(ciphertext)
            } else {
                Err(Error::malformed("encrypted input", "it has another form than the plan's"))
            }
        };
        frames.par_iter().map(one).collect()
    }

    /// Hides the results and makes them into replies, on the wire's form.
    fn finish(
        &self,
        modulus: usize,
        results: Vec<Ciphertext>,
        keys: &EvaluationKeys,
        seed: &Seed,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let fits = results.iter().all(|result| result.limbs() == self.outline.limbs);
        if results.len() != self.outline.answer.ciphertexts() || !fits {
            return Err(Error::Refused("the computation's results are not the plan's".into()));
        }
        let parameters = &self.outline.parameters[modulus];
        let masks = masks(&self.outline, modulus, seed)?;
        let one = |(index, result): (usize, Ciphertext)| {
            let mask = masks.get(index).map(|mask| mask.as_slice());
            let reply =
                hide(parameters, (modulus, index), (result, mask), keys, &self.finish[modulus], seed)?;
            Ok(reply.to_bytes(parameters)?)
        };
        results.into_par_iter().enumerate().map(one).collect()
    }

    /// Runs the program alone, for [`super::check`].
    pub(super) fn run(
        &self,
        modulus: usize,
        inputs: Vec<Ciphertext>,
        keys: &EvaluationKeys,
    ) -> Result<Vec<Ciphertext>, Error> {
        self.program.run(modulus, inputs, keys, &())
    }

    /// Hides results as for a client, for [`super::check`].
    pub(super) fn reply(
        &self,
        modulus: usize,
        results: Vec<Ciphertext>,
        keys: &EvaluationKeys,
        seed: &Seed,
    ) -> Result<Vec<Vec<u8>>, Error> {
        self.finish(modulus, results, keys, seed)
    }
}

/// Sends a plan's frames of progress as they fall due, from whatever thread reports.
struct Ticker<'a> {
    outbox: Mutex<(&'a mut Outbox, Option<Error>)>,
    sent: AtomicU32,
    /// Frames that are due at the start and the end of this modulus.
    span: (u32, u32),
}

impl<'a> Ticker<'a> {
    fn new(outbox: &'a mut Outbox, outline: &Outline, modulus: usize, sent: u32) -> Self {
        let moduli = outline.parameters.len().max(1) as u64;
        let due = |done: u64| (u64::from(outline.progress) * done / moduli) as u32;
        let span = (due(modulus as u64), due(modulus as u64 + 1));
        Self { outbox: Mutex::new((outbox, None)), sent: AtomicU32::new(sent), span }
    }

    /// Sends up to `due` frames in all.
    fn send(&self, due: u32) {
        let mut guard = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        let (outbox, failure) = &mut *guard;
        while failure.is_none() && self.sent.load(Ordering::Relaxed) < due {
            match outbox.send(wire::PROGRESS, &[]).and_then(|()| outbox.flush()) {
                Ok(()) => {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => *failure = Some(error),
            }
        }
    }

    /// Sends what is left of this modulus' frames; gives the number sent in all.
    fn finish(self) -> Result<u32, Error> {
        self.send(self.span.1);
        let (_, failure) = self.outbox.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or_else(|| Ok(self.sent.into_inner()), Err)
    }
}

impl Progress for Ticker<'_> {
    fn report(&self, done: u64, total: u64) {
        let (from, to) = self.span;
        let part = u128::from(to - from) * u128::from(done.min(total)) / u128::from(total.max(1));
        let due = from + part as u32;
        if due > self.sent.load(Ordering::Relaxed) {
            self.send(due);
        }
    }
}
