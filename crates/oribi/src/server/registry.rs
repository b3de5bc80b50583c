//! Who is connected: how many, in what stage, and how to cut them off.
//!
//! A connection is *pending* until its client has chosen a model. Pending ones are many, cheap and short-lived; when
//! there are too many, the oldest goes, so that a crowd of silent clients delays nobody. After that it is a session,
//! *idle* between predictions and *running* in one; a new session beyond the limit is told to come back.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections whose client has not chosen yet.
    pub pending: usize,
    /// Sessions, idle ones included.
    pub sessions: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pending,
    Idle,
    Running,
    /// Cut off; its thread has yet to notice.
    Cut,
}

struct Entry {
    socket: TcpStream,
    stage: Stage,
}

#[derive(Default)]
struct State {
    next: u64,
    /// By age.
    entries: BTreeMap<u64, Entry>,
    stopping: bool,
}

/// The connections of a server.
pub(crate) struct Registry {
    state: Mutex<State>,
    changed: Condvar,
    max_pending: usize,
    max_sessions: usize,
}

/// A connection's place; given back when dropped.
pub(crate) struct Ticket {
    registry: Arc<Registry>,
    id: u64,
}

impl Registry {
    pub(crate) fn new(max_pending: usize, max_sessions: usize) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { state, changed: Condvar::new(), max_pending: max_pending.max(1), max_sessions })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a new connection, at the cost of the oldest pending one where there are too many; `None` when the server
    /// is stopping.
    pub(crate) fn admit(self: &Arc<Self>, socket: TcpStream) -> Option<Ticket> {
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        let pending = state.entries.values().filter(|entry| entry.stage == Stage::Pending).count();
        if pending >= self.max_pending
            && let Some(oldest) = state.entries.values_mut().find(|entry| entry.stage == Stage::Pending)
        {
            oldest.cut();
        }
        let id = state.next;
        state.next += 1;
        state.entries.insert(id, Entry { socket, stage: Stage::Pending });
        Some(Ticket { registry: Arc::clone(self), id })
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.lock();
        let sessions =
            state.entries.values().filter(|e| matches!(e.stage, Stage::Idle | Stage::Running)).count();
        Counts { pending: state.entries.len() - sessions, sessions }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().entries.values().any(|entry| entry.stage == Stage::Running)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Takes nobody in any more and cuts off who is not in a prediction.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.entries.values_mut().filter(|entry| entry.stage != Stage::Running).for_each(Entry::cut);
    }

    /// Cuts off everybody.
    pub(crate) fn cut_all(&self) {
        self.lock().entries.values_mut().for_each(Entry::cut);
    }

    /// Waits until nobody is left; tells whether that came true in time.
    pub(crate) fn wait_empty(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while !state.entries.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Entry {
    fn cut(&mut self) {
        self.stage = Stage::Cut;
        // Its peer may have left already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Ticket {
    /// Makes the connection a session, if there is room.
    pub(crate) fn promote(&self) -> bool {
        let mut state = self.registry.lock();
        let sessions =
            state.entries.values().filter(|e| matches!(e.stage, Stage::Idle | Stage::Running)).count();
        sessions < self.registry.max_sessions && state.set(self.id, Stage::Idle)
    }

    /// Starts a prediction, unless the server is stopping.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.registry.lock();
        !state.stopping && state.set(self.id, Stage::Running)
    }

    /// Ends a prediction; `false` if the session should end too.
    pub(crate) fn end(&self) -> bool {
        let mut state = self.registry.lock();
        !state.stopping && state.set(self.id, Stage::Idle)
    }
}

impl State {
    fn set(&mut self, id: u64, stage: Stage) -> bool {
        match self.entries.get_mut(&id) {
            Some(entry) if entry.stage != Stage::Cut => {
                entry.stage = stage;
                true
            }
            _ => false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.registry.lock().entries.remove(&self.id);
        self.registry.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    fn socket(listener: &TcpListener) -> TcpStream {
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    #[test]
    fn the_oldest_pending_connection_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Registry::new(2, 1);
        let tickets: Vec<_> = (0..3).map(|_| registry.admit(socket(&listener)).unwrap()).collect();
        assert!(!tickets[0].promote());
        assert!(tickets[1].promote());
        assert!(!tickets[2].promote(), "one session is the limit");
        assert_eq!(registry.counts(), Counts { pending: 2, sessions: 1 });
        drop(tickets);
        assert_eq!(registry.counts(), Counts::default());
    }

    #[test]
    fn stopping_spares_who_is_running() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Registry::new(9, 9);
        let running = registry.admit(socket(&listener)).unwrap();
        let idle = registry.admit(socket(&listener)).unwrap();
        assert!(running.promote() && running.begin() && idle.promote());
        registry.stop();
        assert!(registry.admit(socket(&listener)).is_none());
        assert!(!idle.begin());
        assert!(!running.end());
        assert!(!registry.wait_empty(Instant::now()));
        drop((running, idle));
        assert!(registry.wait_empty(Instant::now() + Duration::from_secs(9)));
    }
}
