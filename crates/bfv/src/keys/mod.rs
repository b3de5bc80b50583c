//! Keys. They belong to a ring and serve every plaintext modulus over it.

mod public;
mod secret;
mod switching;

pub use public::PublicKey;
pub use secret::SecretKey;
pub(crate) use secret::{check_limbs, expand, rounded_message, scaled_message};
pub use switching::{GaloisKeys, RelinearisationKey};
pub(crate) use switching::{SwitchingKey, digit_shape};
