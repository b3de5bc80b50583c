//! Set-ups for the benchmarks in `benches/`.

use kernel::block::Block;
use kernel::seed::Seed;
use ot::base::Suite;
use ot::ferret;
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

/// Both parties of silent OT.
///
/// # Errors
/// None for these honest parties.
pub fn silent_parties() -> Result<(ferret::Sender, ferret::Receiver), ot::Error> {
    let (mut sender, mut receiver) = parties(Suite::Ristretto255, Width::DEFAULT)?;
    let (silent_receiver, message) = ferret::Receiver::new(&mut receiver, &Seed::from_bytes([3; 32]))?;
    Ok((ferret::Sender::new(&mut sender, &message)?, silent_receiver))
}
