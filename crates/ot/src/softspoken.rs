//! SoftSpoken OT: correlated OTs at `128 / k` bits each (Roy 2022, eprint 2022/192), semi-honest.
//!
//! The [`Sender`] has an offset `delta` and gets `q[i]`; the [`Receiver`] has bits `c[i]` and gets
//! `t[i] = q[i] ^ c[i] * delta`. The 128 bits of `delta` are cut into groups of `k`, the [`Width`]; for each group
//! the receiver holds `2^k` pseudorandom streams and the sender all but the one that its `k` bits name, from which a
//! subspace VOLE over GF(2^k) follows without interaction. One correction word for each group then makes
//! the choice bits of all groups the receiver's own, which is the whole of the traffic.
//!
//! ```text
//! sender                                               receiver
//!   SenderSetup::new(delta)        -- SetupRequest -->
//!                                  <-- SetupReply ---    ReceiverSetup::respond
//!   SenderSetup::finish -> Sender
//!                                  <-- ExtendMessage --  Receiver::extend -> t     (may be sent with the reply)
//!   Sender::extend -> q            <-- ExtendMessage --  Receiver::extend -> t     (any number, in order)
//! ```
//!
//! Both parties count: a batch is bound to its place in the sequence, and no stream block is ever used twice. An offset
//! belongs to one receiver and one set-up.

mod extend;
mod pprf;
mod setup;

pub use extend::{ExtendMessage, Receiver, Sender, message_len};
pub use setup::{ReceiverSetup, SenderSetup, SetupReply, SetupRequest};

use crate::Error;

/// Most OTs in one call of `extend`: bounds the memory of a batch (16 bytes an OT, and the message).
pub const MAX_BATCH: usize = 1 << 24;

/// Most OTs of one set-up, each batch counted in multiples of 128. Every stream is then at most 2^33 blocks of AES in
/// counter mode, which differ from random with advantage below 2^-62; all 2^k * 128 / k of them below 2^-50.
pub const MAX_OTS: u64 = 1 << 40;

/// The group size `k`, 1 to 8: an OT costs `128 / k` bits on the wire and either party
/// `2^k / k` AES calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(u8);

impl Width {
    /// Four bits: 4 bytes an OT, and faster than the widths that send more.
    pub const DEFAULT: Self = Self(4);

    /// # Errors
    /// [`Error::Value`] unless `1 <= k <= 8`.
    pub const fn new(k: u8) -> Result<Self, Error> {
        if k >= 1 && k <= 8 { Ok(Self(k)) } else { Err(Error::Value("group size outside 1..=8")) }
    }

    /// The group size.
    pub const fn bits(self) -> usize {
        self.0 as usize
    }

    /// Groups that the 128 bits of an offset make; the last may be smaller.
    pub const fn groups(self) -> usize {
        128usize.div_ceil(self.bits())
    }

    /// Bytes of the message that extends by `n` OTs: 16 for each group and each 128 OTs begun.
    pub const fn message_len(self, n: usize) -> usize {
        n.div_ceil(128).saturating_mul(16 * self.groups())
    }

    /// The bits of the offset in each group.
    fn ranges(self) -> impl Iterator<Item = core::ops::Range<usize>> {
        (0..128).step_by(self.bits()).map(move |first| first..128.min(first + self.bits()))
    }
}

#[cfg(test)]
mod tests;
