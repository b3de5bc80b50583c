//! Set-ups for the benchmarks in `benches/`.

use kernel::block::Block;
use kernel::seed::Seed;
use ot::base::Suite;
use ot::softspoken::{Receiver, ReceiverSetup, Sender, SenderSetup, Width};

/// A free-XOR offset.
pub const DELTA: Block = Block(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f1);

/// Both parties after the set-up.
///
/// # Errors
/// None for these honest parties.
pub fn parties(suite: Suite, width: Width) -> Result<(Sender, Receiver), ot::Error> {
    let (setup, request) = SenderSetup::with(suite, width, DELTA, &Seed::from_bytes([1; 32]));
    let (receiver, reply) = ReceiverSetup::respond(&request, &Seed::from_bytes([2; 32]));
    Ok((setup.finish(&reply)?, receiver))
}
