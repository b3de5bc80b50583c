//! A budget of memory that computations wait for.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::Error;

/// A budget in bytes; clones share it.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    total: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

/// Memory that was granted; dropped, it is free again.
pub(super) struct Permit {
    gate: Gate,
    bytes: u64,
}

impl Gate {
    /// A budget.
    pub fn new(total: u64) -> Self {
        Self(Arc::new(Inner { total, used: Mutex::new(0), freed: Condvar::new() }))
    }

    /// Waits until so many bytes are free, for at most `patience`.
    ///
    /// # Errors
    /// [`Error::Refused`] where the budget is too small, or nothing came free in time.
    pub fn enter(&self, bytes: u64, patience: Duration) -> Result<Permit, Error> {
        let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
        if bytes > self.0.total {
            return Err(Error::Refused(format!(
                "one query takes about {} MB of the server's memory; it grants {} MB",
                megabytes(bytes),
                megabytes(self.0.total)
            )));
        }
        let until = Instant::now() + patience;
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + bytes > self.0.total {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Refused(
                    "the server is busy with other queries; try again in a while".into(),
                ));
            }
            used = self.0.freed.wait_timeout(used, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *used += bytes;
        Ok(Permit { gate: self.clone(), bytes })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.gate.0.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.gate.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_exceeded() {
        let gate = Gate::new(100);
        let first = gate.enter(60, Duration::ZERO).unwrap();
        assert!(gate.enter(41, Duration::ZERO).is_err());
        let second = gate.enter(40, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(50, Duration::from_secs(600)).map(|permit| permit.bytes));
            std::thread::sleep(Duration::from_millis(20));
            drop(second);
            drop(first);
            assert_eq!(waiting.join().unwrap().unwrap(), 50);
        });
        assert!(gate.enter(100, Duration::ZERO).is_ok());
        let error = gate.enter(101, Duration::from_secs(600)).err().unwrap().to_string();
        assert!(error.contains("grants"), "{error}");
    }
}
