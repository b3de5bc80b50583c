//! A long inner product on one prime, a few terms at a time.

use kernel::modular::{Modulus, Operand};

use crate::ring::Rows;

/// The sum so far and room for the next, for both halves.
pub(crate) struct Sums {
    current: Rows,
    next: Rows,
    started: bool,
}

impl Sums {
    pub(crate) fn new(degree: usize) -> Self {
        Self { current: Rows::scratch(2, degree), next: Rows::scratch(2, degree), started: false }
    }

    /// Adds `sum of f_k p_k`.
    pub(crate) fn add<F: Operand, P: Operand>(&mut self, q: &Modulus, terms: &[(F, [P; 2])]) {
        let init = [0, 1].map(|half| self.started.then(|| self.current.row(half)));
        q.dot_pair(self.next.pair_mut(), 0, init, terms);
        core::mem::swap(&mut self.current, &mut self.next);
        self.started = true;
    }

    /// Moves the sum out and starts again from zero.
    pub(crate) fn take(&mut self, out: [&mut [u64]; 2]) {
        for (half, out) in out.into_iter().enumerate() {
            if self.started {
                out.copy_from_slice(self.current.row(half));
            } else {
                out.fill(0);
            }
        }
        self.started = false;
    }
}
