//! What a prediction costs on a machine and a link: counted work times measured rates.
//!
//! Engines count ([`protocol::work`]); this multiplies. Rates are seconds of wall clock with both parties on one machine, each in a process of its own,
//! over TLS: as `bench` measures. What crosses a link comes on top:
//!
//! ```text
//! seconds of a phase = work + bytes / bandwidth                  where parties take turns
//!                    = (work^p + (bytes / bandwidth)^p)^(1/p)    where bytes cross while both work
//!                      + flights x half a round trip
//! ```
//!
//! The second is near the larger of both, and above it where they are alike: who streams still waits now and then. Bytes are those of both
//! directions, since what they carry answers what came.

mod fit;
mod rates;

pub use fit::{Observation, fit};
pub use rates::{Rates, WrongRates};

use protocol::meter::Phase;
use protocol::shape::Link;
use protocol::work::{Step, Work};
use serde::Serialize;

/// What a phase costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Seconds.
    pub seconds: f64,
    /// Processor seconds of both parties.
    pub processor_seconds: f64,
    /// Bytes that the client sends.
    pub client_bytes: u64,
    /// Bytes that the server sends.
    pub server_bytes: u64,
    /// Flights that wait for each other.
    pub flights: u64,
}

impl Cost {
    /// Bytes both ways.
    pub fn bytes(&self) -> u64 {
        self.client_bytes.saturating_add(self.server_bytes)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            processor_seconds: self.processor_seconds + other.processor_seconds,
            client_bytes: self.client_bytes.saturating_add(other.client_bytes),
            server_bytes: self.server_bytes.saturating_add(other.server_bytes),
            flights: self.flights.saturating_add(other.flights),
        }
    }
}

/// What a layer costs in each phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCost {
    /// The layer; empty for what belongs to none.
    pub layer: String,
    /// Once a session.
    pub setup: Cost,
    /// Before the input is known.
    pub offline: Cost,
    /// From then on.
    pub online: Cost,
    /// Bytes that the client and the server keep, where the offline phase is stored.
    pub stored_bytes: [u64; 2],
}

/// What a prediction costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Once a session.
    pub setup: Cost,
    /// Before the input is known.
    pub offline: Cost,
    /// From then on.
    pub online: Cost,
    /// Bytes that the client and the server keep, where the offline phase is stored.
    pub stored_bytes: [u64; 2],
    /// Layer by layer; seconds of a phase add up to the phase's.
    pub layers: Vec<LayerCost>,
}

impl Estimate {
    /// Prices work.
    pub fn new(work: &Work, rates: &Rates, link: Option<Link>) -> Self {
        let [setup, offline, online] = Phase::ALL
            .map(|phase| phase_cost(&work.phase(phase), rates, (link, work.streamed[phase as usize])));
        let layer = |layer: &protocol::work::Layer| {
            // Shares of the phase's time, as if nothing crossed while both work.
            let each = |phase: Phase, all: Cost| {
                let whole = phase_cost(&work.phase(phase), rates, (link, false)).seconds;
                let own = phase_cost(&layer.phases[phase as usize], rates, (link, false));
                let seconds = if whole > 0.0 { own.seconds * all.seconds / whole } else { 0.0 };
                Cost { seconds, ..own }
            };
            LayerCost {
                layer: layer.name.clone(),
                setup: each(Phase::Setup, setup),
                offline: each(Phase::Offline, offline),
                online: each(Phase::Online, online),
                stored_bytes: layer.stored,
            }
        };
        let layers = work.layers.iter().map(layer).collect();
        Self { setup, offline, online, stored_bytes: work.stored(), layers }
    }

    /// A prediction of a session that is set up, nothing being stored: both phases.
    pub fn total(&self) -> Cost {
        self.offline.plus(self.online)
    }
}

/// How far work and crossing hide each other, from 1 (not at all) up: fitted to the networks of all tables on both links.
const OVERLAP: f64 = 1.75;

fn overlapped(work: f64, crossing: f64) -> f64 {
    (work.powf(OVERLAP) + crossing.powf(OVERLAP)).powf(OVERLAP.recip())
}

fn phase_cost(step: &Step, rates: &Rates, (link, streamed): (Option<Link>, bool)) -> Cost {
    let work = rates.seconds(&step.amounts);
    let [client_bytes, server_bytes] = step.bytes;
    let (crossing, waiting) = match link {
        None => (0.0, 0.0),
        Some(link) => {
            let time = |bytes: u64, rate: u64| bytes as f64 * 8.0 / (rate as f64).max(1.0);
            let crossing = time(client_bytes, link.up) + time(server_bytes, link.down);
            (crossing, step.flights as f64 * link.rtt.as_secs_f64() / 2.0)
        }
    };
    let seconds = if streamed { overlapped(work, crossing) } else { work + crossing } + waiting;
    let processor_seconds = rates.processor_seconds(&step.amounts);
    Cost { seconds, processor_seconds, client_bytes, server_bytes, flights: step.flights }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::work::{Amounts, Layer, Unit};

    use super::*;

    fn work() -> Work {
        let step = |rows, bytes, flights| Step {
            amounts: Amounts::default().with(Unit::GarbledRow, rows),
            bytes,
            flights,
        };
        let layer = |name: &str, rows| {
            let layer = Layer::new(name)
                .with(Phase::Offline, step(rows, [1_000_000, 3_000_000], 1))
                .with(Phase::Online, step(rows / 10, [500_000, 0], 2));
            Layer { stored: [5, 0], ..layer }
        };
        Work { layers: vec![layer("a", 10_000_000), layer("b", 30_000_000)], streamed: [false, true, false] }
    }

    #[test]
    fn links_add_bytes_and_flights() {
        let rates = Rates::default();
        let link = Link::even(8_000_000, Duration::from_millis(100));
        let (near, far) = (Estimate::new(&work(), &rates, None), Estimate::new(&work(), &rates, Some(link)));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * a.abs().max(b.abs());
        // Eight megabytes at a megabyte a second, while the work goes on.
        assert!(close(far.offline.seconds, overlapped(near.offline.seconds, 8.0) + 2.0 * 0.05));
        assert!(close(far.online.seconds, near.online.seconds + 1.0 + 4.0 * 0.05));
        assert_eq!(near.total().bytes(), far.total().bytes());
        assert_eq!((near.stored_bytes, near.layers[0].stored_bytes), ([10, 0], [5, 0]));
        for estimate in [&near, &far] {
            let sum: f64 = estimate.layers.iter().map(|layer| layer.offline.seconds).sum();
            assert!(close(sum, estimate.offline.seconds), "{sum}");
        }
    }

    #[test]
    fn more_of_anything_costs_more() {
        let rates = Rates::default();
        for unit in Unit::ALL {
            let amounts = Amounts::default().with(unit, 1);
            assert!(rates.seconds(&amounts) > 0.0 && rates.processor_seconds(&amounts) > 0.0, "{unit:?}");
        }
    }
}
