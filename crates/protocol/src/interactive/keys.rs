//! A client's keys, which serve many predictions.
//!
//! A public key is some kilobytes and is sent once a connection. Rotation keys are megabytes each, so that a server keeps
//! them under a name: 32 bytes that derive from the client's secret and that nobody else knows. A client that comes back says the name first,
//! and sends keys where they are lacking. What a server keeps is found by the name and by all that the keys depend on.
//!
//! ```text
//! client                                server
//!   name of its keys                --->           for plans with rotations, once a connection
//!                                   <---  held, or lacking
//!   public key, keys of rotations   --->           where they were lacking
//! ```

use std::any::Any;
use std::sync::Arc;

use kernel::seed::Seed;

use super::linear::{Computer, Holder, Setting};
use super::wire;
use crate::encrypted::Digest;
use crate::error::Error;
use crate::frame::Length;
use crate::session::{Outbox, Session};

/// Separates these names from every other use of the hash.
const CONTEXT: &str = "oribi interactive evaluation keys, version 1";

/// A client's keys.
pub struct ClientKeys {
    seed: Seed,
    holder: Option<Holder>,
}

impl ClientKeys {
    /// The keys of a seed, which is fresh, or made keys for the same server and plan before.
    pub fn new(seed: Seed) -> Self {
        Self { seed, holder: None }
    }

    /// Whether the server has them.
    pub(super) fn shared(&self) -> bool {
        self.holder.is_some()
    }

    /// Says the name of keys that the server may hold.
    pub(super) fn announce(&self, setting: &Setting, outbox: &mut Outbox) -> Result<(), Error> {
        if !self.shared() && setting.has_rotations() {
            outbox.send(wire::NAME, self.seed.child("interactive/name", 0).as_bytes())?;
        }
        Ok(())
    }

    /// Sends keys that the server lacks.
    pub(super) fn share(&mut self, setting: &Setting, session: &mut Session) -> Result<(), Error> {
        if self.shared() {
            return Ok(());
        }
        let held = setting.has_rotations()
            && match session.inbox.recv(wire::HELD, Length::Exactly(1))?[..] {
                [held @ (0 | 1)] => held == 1,
                _ => return Err(Error::malformed("answer", "neither held nor lacking")),
            };
        let sends = (!held).then_some(&mut session.outbox);
        self.holder = Some(Holder::set_up(setting, &self.seed.child("interactive/key", 0), sends)?);
        session.outbox.flush()
    }

    /// The secret key, once it is made.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }
}

/// A client's keys at the server.
pub struct ServerKeys(Computer);

impl ServerKeys {
    /// What computes with them.
    pub(super) fn computer(&self) -> &Computer {
        &self.0
    }
}

/// Where a server keeps keys for the next connection.
pub trait Host {
    /// Keys under this name.
    fn find(&self, digest: Digest) -> Option<Arc<ServerKeys>>;

    /// Room for keys of so many bytes, before they are received.
    ///
    /// # Errors
    /// Where there is none.
    fn room(&self, bytes: u64) -> Result<Box<dyn Any + Send>, Error>;

    /// Keeps keys in the room that was made for them.
    fn keep(&self, digest: Digest, keys: ServerKeys, room: Box<dyn Any + Send>) -> Arc<ServerKeys>;
}

/// A host that keeps nothing.
impl Host for () {
    fn find(&self, _: Digest) -> Option<Arc<ServerKeys>> {
        None
    }

    fn room(&self, _: u64) -> Result<Box<dyn Any + Send>, Error> {
        Ok(Box::new(()))
    }

    fn keep(&self, _: Digest, keys: ServerKeys, _: Box<dyn Any + Send>) -> Arc<ServerKeys> {
        Arc::new(keys)
    }
}

/// What a server has of a client's keys for a connection.
#[derive(Default)]
pub struct Held {
    keys: Option<Arc<ServerKeys>>,
}

/// What is known of keys that are not there yet.
pub(super) enum Coming {
    /// They are there.
    Kept(Arc<ServerKeys>),
    /// They come, and are kept under this name.
    Named(Digest),
    /// They come.
    Nameless,
}

impl Held {
    /// Hears which keys the client has, and says whether they are held.
    pub(super) fn hear(
        &self,
        setting: &Setting,
        session: &mut Session,
        host: &dyn Host,
    ) -> Result<Coming, Error> {
        if let Some(keys) = &self.keys {
            return Ok(Coming::Kept(keys.clone()));
        }
        if !setting.has_rotations() {
            return Ok(Coming::Nameless);
        }
        let name = session.inbox.recv(wire::NAME, Length::Exactly(32))?;
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&name);
        hasher.update(setting.description().as_bytes());
        let digest = Digest(*hasher.finalize().as_bytes());
        let found = host.find(digest);
        session.outbox.send(wire::HELD, &[u8::from(found.is_some())])?;
        session.outbox.flush()?;
        Ok(found.map_or(Coming::Named(digest), Coming::Kept))
    }

    /// Receives keys that are lacking.
    pub(super) fn receive(
        &mut self,
        coming: Coming,
        setting: &Setting,
        session: &mut Session,
        host: &dyn Host,
    ) -> Result<Arc<ServerKeys>, Error> {
        let keys = match coming {
            Coming::Kept(keys) => keys,
            Coming::Nameless => Arc::new(ServerKeys(Computer::set_up(setting, &mut session.inbox)?)),
            Coming::Named(digest) => {
                let room = host.room(setting.key_memory())?;
                host.keep(digest, ServerKeys(Computer::set_up(setting, &mut session.inbox)?), room)
            }
        };
        Ok(self.keys.insert(keys).clone())
    }
}
