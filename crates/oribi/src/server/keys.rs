//! The store of clients' evaluation keys, by digest, in memory.
//!
//! It is bounded in bytes and in count. A client (an address) may hold up to a share of it: beyond that its own oldest keys
//! go, so that one client cannot evict everybody's. Otherwise the keys that were used least recently go, never those
//! that a connection uses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Error;
use protocol::encrypted::{Digest, EvaluationKeys};

/// Most sets of keys.
const MAX_SETS: usize = 4096;

/// The part of the store that one client may hold.
const SHARE: u64 = 4;

/// Whom keys are counted to: an address, or the network of a version 6 address.
pub(super) type Owner = Option<IpAddr>;

/// The owner for a client's address.
pub(super) fn owner(client: Option<IpAddr>) -> Owner {
    client.map(|ip| match ip {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none() => {
            IpAddr::V6(std::net::Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64))
        }
        ip => ip.to_canonical(),
    })
}

/// A store; clones share it.
pub(super) struct KeyStore<K = EvaluationKeys>(Arc<Inner<K>>);

impl<K> Clone for KeyStore<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<K> {
    limit: u64,
    state: Mutex<State<K>>,
}

struct State<K> {
    sets: HashMap<Digest, Set<K>>,
    /// Room held for keys that are on their way.
    pending: HashMap<Owner, u64>,
    clock: u64,
}

struct Set<K> {
    keys: Arc<K>,
    bytes: u64,
    owner: Owner,
    used: u64,
}

/// Room for keys that are on their way; dropped, it is free again.
pub(super) struct Room<K = EvaluationKeys> {
    store: KeyStore<K>,
    owner: Owner,
    bytes: u64,
}

impl<K> KeyStore<K> {
    /// A store of so many bytes.
    pub fn new(limit: u64) -> Self {
        let state = State { sets: HashMap::new(), pending: HashMap::new(), clock: 0 };
        Self(Arc::new(Inner { limit, state: Mutex::new(state) }))
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys under this digest, which are then the most recently used.
    pub fn find(&self, digest: Digest) -> Option<Arc<K>> {
        let mut state = self.lock();
        state.clock += 1;
        let clock = state.clock;
        let set = state.sets.get_mut(&digest)?;
        set.used = clock;
        Some(set.keys.clone())
    }

    /// Makes room for keys of so many bytes.
    ///
    /// # Errors
    /// [`Error::Refused`] where they are too large, or what would have to go is in use.
    pub fn room(&self, owner: Owner, bytes: u64) -> Result<Room<K>, Error> {
        let limit = self.0.limit;
        if bytes > limit {
            return Err(Error::Refused(format!(
                "the evaluation keys take {} MB of the server's memory; it keeps {} MB (--key-memory)",
                bytes.div_ceil(1_000_000),
                limit / 1_000_000
            )));
        }
        let mut state = self.lock();
        let share = (limit / SHARE).max(bytes);
        let all = |_: &Set<K>| true;
        let fits = state.evict(share - bytes, |state| state.held_by(owner), |set| set.owner == owner)
            && state.evict(limit - bytes, State::held, all);
        if !fits {
            return Err(Error::Refused(
                "the server's memory for evaluation keys is in use; try again in a while".into(),
            ));
        }
        *state.pending.entry(owner).or_default() += bytes;
        Ok(Room { store: self.clone(), owner, bytes })
    }

    /// Keeps keys in the room that was made for them.
    pub fn keep(&self, digest: Digest, keys: K, room: Room<K>) -> Arc<K> {
        let keys = Arc::new(keys);
        let (owner, bytes) = (room.owner, room.bytes);
        drop(room);
        let mut state = self.lock();
        state.clock += 1;
        let used = state.clock;
        state.sets.insert(digest, Set { keys: keys.clone(), bytes, owner, used });
        state.evict_count();
        keys
    }
}

impl<K> State<K> {
    fn held(&self) -> u64 {
        self.sets.values().map(|set| set.bytes).sum::<u64>() + self.pending.values().sum::<u64>()
    }

    fn held_by(&self, owner: Owner) -> u64 {
        let sets = self.sets.values().filter(|set| set.owner == owner);
        sets.map(|set| set.bytes).sum::<u64>() + self.pending.get(&owner).copied().unwrap_or(0)
    }

    /// Evicts the least recently used of some sets until at most `most` bytes are held; whether that came about.
    fn evict(&mut self, most: u64, held: impl Fn(&Self) -> u64, of: impl Fn(&Set<K>) -> bool) -> bool {
        while held(self) > most {
            let idle = self.sets.iter().filter(|(_, set)| of(set) && Arc::strong_count(&set.keys) == 1);
            let Some(oldest) = idle.min_by_key(|(_, set)| set.used).map(|(digest, _)| *digest) else {
                return false;
            };
            self.sets.remove(&oldest);
        }
        true
    }

    fn evict_count(&mut self) {
        while self.sets.len() > MAX_SETS {
            let Some(oldest) = self.sets.iter().min_by_key(|(_, set)| set.used).map(|(digest, _)| *digest)
            else {
                return;
            };
            self.sets.remove(&oldest);
        }
    }
}

impl<K> Drop for Room<K> {
    fn drop(&mut self) {
        let mut state = self.store.lock();
        if let Some(pending) = state.pending.get_mut(&self.owner) {
            *pending = pending.saturating_sub(self.bytes);
            if *pending == 0 {
                state.pending.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn client(number: u8) -> Owner {
        owner(Some(IpAddr::from([10, 0, 0, number])))
    }

    fn put(store: &KeyStore<u8>, number: u8, from: u8, bytes: u64) -> Result<Arc<u8>, Error> {
        Ok(store.keep(digest(number), number, store.room(client(from), bytes)?))
    }

    #[test]
    fn the_least_recently_used_go_and_never_those_in_use() {
        let store = KeyStore::new(100);
        for number in 0..4 {
            drop(put(&store, number, number, 25).unwrap());
        }
        assert_eq!(store.find(digest(0)).as_deref(), Some(&0));
        drop(put(&store, 4, 4, 25).unwrap());
        assert!(store.find(digest(1)).is_none() && store.find(digest(0)).is_some());
        let held: Vec<_> = [0, 2, 3, 4].map(|number| store.find(digest(number)).unwrap()).into();
        assert!(store.room(client(5), 10).is_err());
        drop(held);
        assert!(store.room(client(5), 101).is_err());
        assert!(put(&store, 5, 5, 100).is_ok());
        assert!(store.find(digest(4)).is_none());
    }

    #[test]
    fn one_client_evicts_only_its_own_beyond_its_share() {
        let store = KeyStore::new(100);
        drop(put(&store, 200, 1, 20).unwrap());
        for number in 0..50 {
            drop(put(&store, number, 2, 10).unwrap());
        }
        assert!(store.find(digest(200)).is_some());
        assert!(store.lock().held_by(client(2)) <= 25);
        // Rooms that are never filled count too, and are given back.
        let rooms: Vec<_> = (0..2).map(|_| store.room(client(3), 10).unwrap()).collect();
        assert!(store.room(client(3), 10).is_err());
        drop(rooms);
        assert!(store.room(client(3), 10).is_ok());
        assert_eq!(store.lock().pending.len(), 0);
    }

    #[test]
    fn owners_are_addresses_or_networks() {
        let ip = |text: &str| Some(text.parse().unwrap());
        assert_eq!(owner(ip("2001:db8::1")), owner(ip("2001:db8::ffff:1:2:3")));
        assert_ne!(owner(ip("2001:db8::1")), owner(ip("2001:db8:0:1::1")));
        assert_eq!(owner(ip("::ffff:10.0.0.1")), owner(ip("10.0.0.1")));
        assert_ne!(owner(ip("10.0.0.1")), owner(ip("10.0.0.2")));
    }
}
