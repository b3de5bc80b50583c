//! The client's half: it encrypts, waits, decrypts.

use bfv::{Ciphertext, Encoder, Randomness, Reply};
use kernel::seed::Seed;
use model::fixed::FixedGraph;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::keys::{self, ClientKeys};
use super::outline::{Outline, inputs};
use super::values::{self, answer_residues, compose, outputs, request_slots};
use super::wire::{self, State};
use crate::error::Error;
use crate::frame::Length;
use crate::message::Message;
use crate::meter::Phase;
use crate::session::{Progress, Session};

/// Ciphertexts that are made, or read, before they are sent on: they bound the memory.
const AHEAD: usize = 32;

/// A client for the predictions of one connection.
pub struct Client<'a> {
    /// The plan's public facts.
    pub outline: &'a Outline,
    /// The graph that it computes.
    pub graph: &'a FixedGraph,
    /// This client's keys.
    pub keys: &'a ClientKeys,
    /// Where the work is done.
    pub pool: &'a ThreadPool,
}

impl Client<'_> {
    /// Makes sure that the server has the keys; `fresh` are their wire forms where they were just made. Once a connection.
    ///
    /// # Errors
    /// Those of the session, or where the server has no room for the keys.
    pub fn share_keys(&self, session: &mut Session, fresh: Option<Vec<Vec<u8>>>) -> Result<(), Error> {
        session.meter.enter(Phase::Setup, "keys");
        session.outbox.send(wire::DIGEST, &self.keys.digest().to_bytes())?;
        session.outbox.flush()?;
        let state = session.inbox.recv(wire::STATE, Length::Exactly(wire::STATE_BYTES))?;
        if State::from_bytes(&state)? == State::Held {
            return Ok(());
        }
        let parts = match fresh {
            Some(parts) => parts,
            None => self.pool.install(|| self.keys.upload(self.outline))?,
        };
        for part in &parts {
            session.outbox.send(wire::KEY, part)?;
        }
        session.outbox.flush()?;
        session.inbox.recv(wire::KEPT, Length::Exactly(0))?;
        Ok(())
    }

    /// Private predictions: up to a batch of inputs, each the integers of each of the graph's inputs. The result has for each
    /// the integers of each output. The encryptions' randomness derives from `seed`, which is fresh.
    ///
    /// # Errors
    /// Where an input does not fit the plan, or the session fails.
    pub fn predict(
        &self,
        batch: &[Vec<Vec<i64>>],
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<Vec<i128>>>, Error> {
        self.check(batch)?;
        session.meter.enter(Phase::Online, "encrypt");
        for modulus in 0..self.outline.parameters.len() {
            self.send_request(batch, modulus, session, &seed.child("encrypted/request", modulus as u64))?;
        }
        session.outbox.flush()?;
        session.meter.enter(Phase::Online, "wait");
        for done in 1..=self.outline.progress {
            session.inbox.recv(wire::PROGRESS, Length::Exactly(0))?;
            progress.report(u64::from(done), u64::from(self.outline.progress));
        }
        let frames = (0..self.outline.parameters.len())
            .map(|modulus| self.receive_reply(modulus, session))
            .collect::<Result<Vec<_>, _>>()?;
        session.meter.enter(Phase::Online, "decrypt");
        let residues = frames
            .iter()
            .enumerate()
            .map(|(modulus, frames)| self.decrypt(modulus, batch.len(), frames))
            .collect::<Result<Vec<_>, _>>()?;
        progress.report(1, 1);
        (0..batch.len()).map(|member| self.decode(&residues, member)).collect()
    }

    /// Whether a batch is one that the plan takes.
    fn check(&self, batch: &[Vec<Vec<i64>>]) -> Result<(), Error> {
        let elements = inputs(self.graph);
        let fits = |member: &Vec<Vec<i64>>| member.iter().map(Vec::len).sum::<usize>() == elements;
        if (1..=self.outline.batch).contains(&batch.len()) && batch.iter().all(fits) {
            Ok(())
        } else {
            Err(Error::Refused("the input does not have the plan's shape".into()))
        }
    }

    fn send_request(
        &self,
        batch: &[Vec<Vec<i64>>],
        modulus: usize,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let parameters = &self.outline.parameters[modulus];
        let slots = values::modulus(parameters)?;
        let encoder = Encoder::new(parameters);
        let one = |ciphertext: usize| {
            let message = encoder.slots_wide(&request_slots(self.outline, ciphertext, batch, slots))?;
            let mut randomness = Randomness::new(seed.child("ciphertext", ciphertext as u64));
            let secret = self.keys.secret();
            secret
                .encrypt_at(parameters, &message, self.outline.fresh_limbs, &mut randomness)?
                .to_bytes(parameters)
        };
        let all: Vec<usize> = (0..self.outline.request.ciphertexts()).collect();
        for some in all.chunks(AHEAD) {
            let made: Vec<Result<Vec<u8>, bfv::Error>> =
                self.pool.install(|| some.par_iter().map(|number| one(*number)).collect());
            for bytes in made {
                session.outbox.send(wire::REQUEST, &bytes?)?;
            }
        }
        Ok(())
    }

    /// The reply's ciphertexts modulo one plaintext modulus, as they come.
    fn receive_reply(&self, modulus: usize, session: &mut Session) -> Result<Vec<Vec<u8>>, Error> {
        let parameters = &self.outline.parameters[modulus];
        let shape = self.outline.finish(modulus)?.shape;
        let length = Length::Exactly(Reply::wire_bytes(parameters, shape, parameters.degree()));
        let count = self.outline.answer.ciphertexts();
        (0..count).map(|_| session.inbox.recv(wire::REPLY, length)).collect()
    }

    /// The results' elements of each member modulo one plaintext modulus.
    fn decrypt(&self, modulus: usize, members: usize, frames: &[Vec<u8>]) -> Result<Vec<Vec<i128>>, Error> {
        let parameters = &self.outline.parameters[modulus];
        let shape = self.outline.finish(modulus)?.shape;
        let encoder = Encoder::new(parameters);
        let open = |bytes: &Vec<u8>| {
            let reply = Reply::from_bytes(parameters, None, bytes)?;
            if reply.shape() != shape {
                return Err(Error::malformed("encrypted result", "it has another shape than the plan's"));
            }
            Ok(encoder.decode_slots_wide(&self.keys.secret().decrypt_reply(parameters, &reply)?)?)
        };
        let slots: Result<Vec<_>, Error> = self.pool.install(|| frames.par_iter().map(open).collect());
        Ok(answer_residues(self.outline, &slots?, members, values::modulus(parameters)?))
    }

    /// One member's outputs from the residues, which come by modulus, member and element.
    fn decode(&self, residues: &[Vec<Vec<i128>>], member: usize) -> Result<Vec<Vec<i128>>, Error> {
        let count = residues.first().map_or(0, |members| members[member].len());
        let elements = (0..count)
            .map(|element| {
                let one: Vec<i128> = residues.iter().map(|members| members[member][element]).collect();
                compose(self.outline, &one)
            })
            .collect::<Result<Vec<_>, _>>()?;
        outputs(self.graph, &elements)
    }
}

/// Bytes of one request on the wire, frames' headers not counted.
pub fn request_bytes(outline: &Outline) -> u64 {
    let each = |set| Ciphertext::wire_bytes(set, outline.fresh_limbs, true) as u64;
    outline.parameters.iter().map(each).sum::<u64>() * outline.request.ciphertexts() as u64
}

/// Bytes of one reply on the wire, frames' headers not counted.
///
/// # Errors
/// Where flooding leaves no room.
pub fn reply_bytes(outline: &Outline) -> Result<u64, Error> {
    let each = |modulus: usize| {
        let set = &outline.parameters[modulus];
        Ok(Reply::wire_bytes(set, outline.finish(modulus)?.shape, set.degree()) as u64)
    };
    let sum: Result<u64, Error> = (0..outline.parameters.len()).map(each).sum();
    Ok(sum? * outline.answer.ciphertexts() as u64)
}

/// Bytes of the evaluation keys on the wire, frames' headers not counted.
///
/// # Errors
/// Where the outline has no parameters.
pub fn key_bytes(outline: &Outline) -> Result<u64, Error> {
    keys::wire_bytes(outline)
}
