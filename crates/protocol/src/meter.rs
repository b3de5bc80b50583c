//! The account of a session: bytes each way, flights and seconds, for each phase and each layer.
//!
//! **Flights are counted by cause.** A frame carries its depth, the number of flights that had to come before it: a
//! party that has received nothing sends at depth 0; whoever receives a frame of depth d sends at depth d + 1 or more
//! from then on. A phase's `rounds` is the length of the longest chain of flights in it, each waiting for the one
//! before, so frames sent back to back, or crossing each other, are one flight and a request with its answer are two.
//! What a party sends in a phase waited for the phase before; within a phase, a flight counts in the layer where it
//! began, so that layers add up. The peer's depths are believed only as far as they can be true, and nothing but this
//! account uses them.
//!
//! Bytes are those of frames, headers included, without what TLS and TCP add.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The parts of a session's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Handshake, plan, keys and base oblivious transfers: once a session.
    Setup,
    /// What is done before the input is known.
    Offline,
    /// From the input to the prediction.
    Online,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 3] = [Self::Setup, Self::Offline, Self::Online];
}

/// What a phase or a layer cost, as this party saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Bytes that this party sent.
    pub sent: u64,
    /// Bytes that this party received.
    pub received: u64,
    /// Flights, counted by cause.
    pub rounds: u64,
}

/// The cost of one layer within a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerTotals {
    /// The phase.
    pub phase: Phase,
    /// The name given to [`Meter::enter`].
    pub layer: String,
    /// Its cost.
    pub totals: Totals,
}

/// The account at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// One entry for each of [`Phase::ALL`].
    pub phases: [Totals; 3],
    /// The layers, in the order in which they were first entered.
    pub layers: Vec<LayerTotals>,
}

impl Snapshot {
    /// The cost of a phase.
    pub fn phase(&self, phase: Phase) -> Totals {
        self.phases[phase as usize]
    }
}

/// Rows beyond this are accounted to the phase alone: a plan's layer names are the peer's.
const MAX_LAYERS: usize = 1 << 16;

/// A session's account; clones share it.
#[derive(Clone)]
pub struct Meter(Arc<Mutex<State>>);

struct State {
    /// What this party's next frame carries.
    depth: u16,
    phases: [Totals; 3],
    layers: Vec<LayerTotals>,
    rows: HashMap<(Phase, String), usize>,
    phase: Phase,
    row: Option<usize>,
    phase_span: Span,
    layer_span: Span,
}

/// The time and depth at which a phase or layer was entered, and the deepest flight since.
#[derive(Clone, Copy)]
struct Span {
    start: Instant,
    base: u16,
    high: u16,
}

impl Span {
    fn new(start: Instant, depth: u16) -> Self {
        Self { start, base: depth, high: depth }
    }

    /// Adds the span to `totals`.
    fn close(self, now: Instant, totals: &mut Totals) {
        totals.seconds += now.saturating_duration_since(self.start).as_secs_f64();
        totals.rounds += u64::from(self.high.saturating_sub(self.base));
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter {
    /// An account that starts now, in [`Phase::Setup`].
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State::new())))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accounts what follows to a phase and a layer. The account is the session's, not the thread's.
    pub fn enter(&self, phase: Phase, layer: &str) {
        let now = Instant::now();
        let mut state = self.lock();
        let phase_ends = phase != state.phase;
        state.settle(now, phase_ends);
        state.layer_span = Span::new(now, state.phase_span.high);
        if phase_ends {
            state.depth = state.phase_span.high;
            state.phase = phase;
            state.phase_span = Span::new(now, state.depth);
        }
        state.row = state.find_row(phase, layer);
    }

    /// The account so far, with what is under way.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot(Instant::now())
    }

    /// Ends the account and starts a new one, at depth zero and in [`Phase::Setup`]; gives back the old one. Both
    /// parties do this at the same point, where no frame is under way.
    pub fn restart(&self) -> Snapshot {
        let mut state = self.lock();
        let snapshot = state.snapshot(Instant::now());
        *state = State::new();
        snapshot
    }

    /// The depth that a frame sent now would carry.
    pub fn depth(&self) -> u16 {
        self.lock().depth
    }

    /// Accounts a frame of `bytes` bytes, sent at the pinned depth or the current one, and returns that depth.
    pub(crate) fn sent(&self, pinned: Option<u16>, bytes: u64) -> u16 {
        let mut state = self.lock();
        let depth = pinned.unwrap_or(state.depth);
        state.reach(depth.saturating_add(1));
        state.each(|totals| totals.sent += bytes);
        depth
    }

    /// Accounts a frame that was received.
    pub(crate) fn received(&self, depth: u16, bytes: u64) {
        let mut state = self.lock();
        // All that the peer can have heard from this side is a frame of the current depth, which it answers one deeper.
        let depth = depth.min(state.depth.saturating_add(1));
        let next = depth.saturating_add(1);
        state.depth = state.depth.max(next);
        state.reach(next);
        state.each(|totals| totals.received += bytes);
    }
}

impl State {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            depth: 0,
            phases: [Totals::default(); 3],
            layers: Vec::new(),
            rows: HashMap::new(),
            phase: Phase::Setup,
            row: None,
            phase_span: Span::new(now, 0),
            layer_span: Span::new(now, 0),
        }
    }

    fn each(&mut self, add: impl Fn(&mut Totals)) {
        add(&mut self.phases[self.phase as usize]);
        if let Some(layer) = self.row.and_then(|row| self.layers.get_mut(row)) {
            add(&mut layer.totals);
        }
    }

    fn reach(&mut self, depth: u16) {
        self.phase_span.high = self.phase_span.high.max(depth);
        self.layer_span.high = self.layer_span.high.max(depth);
    }

    /// Adds the layer under way to its row and, if `phase_ends`, the phase to its own.
    fn settle(&mut self, now: Instant, phase_ends: bool) {
        let span = self.layer_span;
        if let Some(layer) = self.row.and_then(|row| self.layers.get_mut(row)) {
            span.close(now, &mut layer.totals);
        }
        if phase_ends {
            self.phase_span.close(now, &mut self.phases[self.phase as usize]);
        }
    }

    fn find_row(&mut self, phase: Phase, layer: &str) -> Option<usize> {
        let key = (phase, layer.to_owned());
        if let Some(&row) = self.rows.get(&key) {
            return Some(row);
        }
        if layer.is_empty() || self.layers.len() >= MAX_LAYERS {
            return None;
        }
        let row = self.layers.len();
        self.layers.push(LayerTotals { phase, layer: layer.to_owned(), totals: Totals::default() });
        self.rows.insert(key, row);
        Some(row)
    }

    fn snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot { phases: self.phases, layers: self.layers.clone() };
        self.phase_span.close(now, &mut snapshot.phases[self.phase as usize]);
        if let Some(layer) = self.row.and_then(|row| snapshot.layers.get_mut(row)) {
            self.layer_span.close(now, &mut layer.totals);
        }
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries a frame from one party to the other.
    fn flight(from: &Meter, to: &Meter, pinned: Option<u16>) {
        let depth = from.sent(pinned, 10);
        to.received(depth, 10);
    }

    #[test]
    fn a_request_and_its_answer_are_two_flights() {
        let (a, b) = (Meter::new(), Meter::new());
        a.enter(Phase::Online, "x");
        b.enter(Phase::Online, "x");
        for _ in 0..3 {
            flight(&a, &b, None);
        }
        flight(&b, &a, None);
        for meter in [&a, &b] {
            let online = meter.snapshot().phase(Phase::Online);
            assert_eq!((online.rounds, online.sent + online.received), (2, 40));
        }
    }

    #[test]
    fn crossing_and_pinned_flights_are_one() {
        let (a, b) = (Meter::new(), Meter::new());
        let (da, db) = (a.sent(None, 1), b.sent(None, 1));
        a.received(db, 1);
        b.received(da, 1);
        assert_eq!(a.snapshot().phase(Phase::Setup).rounds, 1);
        // A stream that depends on nothing that came meanwhile stays at its depth.
        let pin = a.depth();
        flight(&a, &b, Some(pin));
        flight(&b, &a, None);
        flight(&a, &b, Some(pin));
        assert_eq!(b.snapshot().phase(Phase::Setup).rounds, 3);
        assert_eq!(a.snapshot().phase(Phase::Setup).rounds, 3);
    }

    #[test]
    fn phases_and_layers_add_up_and_restart() {
        let (a, b) = (Meter::new(), Meter::new());
        flight(&a, &b, None);
        for meter in [&a, &b] {
            meter.enter(Phase::Online, "one");
        }
        flight(&b, &a, None);
        flight(&a, &b, None);
        for meter in [&a, &b] {
            meter.enter(Phase::Online, "two");
        }
        flight(&b, &a, None);
        let snapshot = a.restart();
        assert_eq!(snapshot.phase(Phase::Setup).rounds, 1);
        assert_eq!(snapshot.phase(Phase::Online).rounds, 3);
        let rounds: Vec<u64> = snapshot.layers.iter().map(|layer| layer.totals.rounds).collect();
        assert_eq!(rounds, [2, 1]);
        assert_eq!(snapshot.phase(Phase::Offline), Totals::default());
        assert_eq!(a.snapshot().phase(Phase::Online), Totals::default());
        assert_eq!(a.depth(), 0);
    }

    #[test]
    fn a_phase_of_one_message_has_one_flight() {
        let (a, b) = (Meter::new(), Meter::new());
        for phase in Phase::ALL {
            a.enter(phase, "");
            b.enter(phase, "");
            flight(&a, &b, None);
        }
        for meter in [&a, &b] {
            assert_eq!(meter.snapshot().phases.map(|totals| totals.rounds), [1, 1, 1]);
        }
    }

    #[test]
    fn a_lying_depth_is_not_believed() {
        let meter = Meter::new();
        meter.received(u16::MAX, 1);
        assert_eq!(meter.depth(), 2);
        for _ in 0..70_000 {
            meter.received(u16::MAX, 1);
        }
        assert_eq!(meter.depth(), u16::MAX);
        assert_eq!(meter.sent(None, 1), u16::MAX);
    }
}
