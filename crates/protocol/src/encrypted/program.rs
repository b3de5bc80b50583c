//! The server's side of a plan: a computation on ciphertexts.

use bfv::{Ciphertext, GaloisKeys, PublicKey, RelinearisationKey};

use crate::error::Error;
use crate::session::Progress;

/// A client's keys as the server has them. They decrypt nothing.
pub struct EvaluationKeys {
    /// For fresh encryptions of zero, which re-randomise the reply.
    pub public: PublicKey,
    /// For products, where the plan has any.
    pub relinearisation: Option<RelinearisationKey>,
    /// For rotations: those of [`super::Outline::rotations`].
    pub automorphisms: GaloisKeys,
}

/// A network with its weights, ready to be computed on ciphertexts.
///
/// It runs inside a thread pool of its caller: parallel iterators use as many threads as the user allows.
pub trait Program: Send + Sync {
    /// Computes the network modulo plaintext modulus number `modulus` of [`super::Outline::parameters`]. The inputs are those of
    /// [`super::Request`], the results those of [`super::Answer`], all with [`super::Outline::limbs`] limbs, neither masked nor flooded.
    ///
    /// # Errors
    /// When the ciphertexts or keys are not those of the outline.
    fn run(
        &self,
        modulus: usize,
        inputs: Vec<Ciphertext>,
        keys: &EvaluationKeys,
        progress: &dyn Progress,
    ) -> Result<Vec<Ciphertext>, Error>;
}
