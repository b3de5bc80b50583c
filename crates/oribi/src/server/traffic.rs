//! Which work goes first: predictions before preparations.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest a preparation waits at one place: its client expects a frame now and then.
const PATIENCE: Duration = Duration::from_secs(20);

/// The predictions under way; clones share them.
#[derive(Clone, Default)]
pub(super) struct Traffic(Arc<(Mutex<usize>, Condvar)>);

/// A prediction under way.
pub(super) struct Prediction(Traffic);

impl Traffic {
    /// A prediction begins; it ends with what is returned.
    pub fn enter(&self) -> Prediction {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Prediction(self.clone())
    }

    /// Waits until no prediction is under way, though not for ever.
    pub fn give_way(&self) {
        self.give_way_for(PATIENCE);
    }

    fn give_way_for(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut count = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            count = self.0.1.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Prediction {
    fn drop(&mut self) {
        let (count, changed) = &*self.0.0;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn preparations_wait_for_predictions() {
        let (traffic, over) = (Traffic::default(), AtomicBool::new(false));
        let (first, second) = (traffic.enter(), traffic.enter());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                traffic.give_way_for(Duration::from_secs(600));
                over.load(Ordering::SeqCst)
            });
            drop(first);
            std::thread::sleep(Duration::from_millis(20));
            over.store(true, Ordering::SeqCst);
            drop(second);
            assert!(waiting.join().unwrap(), "it went on before the last prediction was over");
        });
        let _third = traffic.enter();
        traffic.give_way_for(Duration::ZERO);
    }
}
