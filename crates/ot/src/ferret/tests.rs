//! Both parties against each other over the wire form, for several batches.

use super::*;
use crate::softspoken::{ReceiverSetup, SenderSetup};

const DELTA: Block = Block(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef);

fn bases() -> (softspoken::Sender, softspoken::Receiver) {
    let (setup, request) = SenderSetup::new(DELTA, &Seed::from_bytes([1; 32]));
    let (receiver, reply) = ReceiverSetup::respond(&request, &Seed::from_bytes([2; 32]));
    (setup.finish(&reply).expect("matching reply"), receiver)
}

fn parties() -> (Sender, Receiver) {
    let (mut base_sender, mut base_receiver) = bases();
    let (receiver, message) =
        Receiver::new(&mut base_receiver, &Seed::from_bytes([3; 32])).expect("within bounds");
    (Sender::new(&mut base_sender, &message).expect("an honest message"), receiver)
}

fn batch(sender: &mut Sender, receiver: &mut Receiver) -> (Vec<Block>, Vec<Block>, Vec<u8>) {
    let (message, q) = sender.extend().expect("within bounds");
    let bytes = message.encode();
    assert_eq!(bytes.len(), CorrectionMessage::ENCODED_LEN);
    let t = receiver.extend(&CorrectionMessage::decode(&bytes).expect("honest")).expect("within bounds");
    (q, t, bytes)
}

/// Places where the correlation fails.
fn failures(q: &[Block], t: &[Block]) -> usize {
    assert_eq!((q.len(), t.len()), (BATCH, BATCH));
    q.iter().zip(t).filter(|(q, t)| **t != **q ^ DELTA.and_bit(t.lsb()) || q.lsb()).count()
}

/// As in SoftSpoken's tests, over the bytes from the second on; the first has the lowest bit.
fn looks_uniform(blocks: &[Block]) {
    let mut counts = [0u64; 256];
    for block in blocks {
        block.to_bytes()[1..].iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    }
    let mean = 15.0 * blocks.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|count| (*count as f64 - mean).powi(2) / mean).sum();
    assert!((100.0..=460.0).contains(&chi), "{chi}");
}

#[test]
fn batch_after_batch_is_correlated_uniform_and_new() {
    let (mut sender, mut receiver) = parties();
    let mut all = vec![];
    for _ in 0..3 {
        let (q, t, _) = batch(&mut sender, &mut receiver);
        assert_eq!(failures(&q, &t), 0);
        looks_uniform(&q);
        looks_uniform(&t);
        // A fair coin's count is within 6.2 standard deviations, sqrt(n) / 2 each, but for 1 in 10^9.
        let ones = t.iter().filter(|block| block.lsb()).count() as f64;
        let half = BATCH as f64 / 2.0;
        assert!((ones - half).abs() < 6.2 * (BATCH as f64).sqrt() / 2.0, "{ones}");
        all.extend(q.into_iter().map(|block| block.0));
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 3 * BATCH);
}

#[test]
fn the_noise_has_one_bit_in_each_run_and_the_code_is_public() {
    // With the secret known, the choice bits of a run less the public sums are the noise.
    let (_, mut receiver) = parties();
    let (mut sender, _) = parties();
    let secret: Vec<Block> =
        receiver.engine.reserve.now[..DIMENSION].iter().map(|b| Block(b.0 & 1)).collect();
    let mut code = Code::new({
        let (base, _) = bases();
        session(base.session(), RESERVE as u64)
    });
    let (_, mut t, _) = batch(&mut sender, &mut receiver);
    for run in t.chunks_exact_mut(TREE) {
        run.iter_mut().for_each(|block| block.0 &= 1);
        code.add_sums(&secret, run);
        assert_eq!(run.iter().filter(|bit| bit.lsb()).count(), 1);
    }
}

#[test]
fn an_edited_message_breaks_the_correlation() {
    let (mut sender, mut receiver) = parties();
    let (message, q) = sender.extend().expect("within bounds");
    let mut bytes = message.encode();
    bytes[1000] ^= 2;
    let t = receiver.extend(&CorrectionMessage::decode(&bytes).expect("same length")).expect("within bounds");
    assert!(failures(&q, &t) > 0);
}

#[test]
fn wrong_lengths_even_offsets_and_the_end_are_refused() {
    for length in [0, 1, CorrectionMessage::ENCODED_LEN - 1, CorrectionMessage::ENCODED_LEN + 16] {
        assert!(matches!(CorrectionMessage::decode(&vec![0; length]), Err(Error::Length { .. })));
    }
    let (mut sender, mut receiver) = parties();
    let message = sender.extend().expect("within bounds").0;
    assert!(matches!(sender.extend_into(&mut [Block::ZERO; 3]), Err(Error::Length { .. })));
    assert!(matches!(receiver.extend_into(&message, &mut [Block::ZERO; 3]), Err(Error::Length { .. })));
    sender.engine.batches = MAX_BATCHES;
    assert_eq!(sender.extend().err(), Some(Error::Exhausted));

    let (setup, request) = SenderSetup::new(Block(2), &Seed::from_bytes([1; 32]));
    let (mut base_receiver, reply) = ReceiverSetup::respond(&request, &Seed::from_bytes([2; 32]));
    let mut base_sender = setup.finish(&reply).expect("matching reply");
    let (_, message) = Receiver::new(&mut base_receiver, &Seed::from_bytes([3; 32])).expect("within bounds");
    assert!(matches!(Sender::new(&mut base_sender, &message), Err(Error::Value(_))));
}

/// As SoftSpoken's frozen transcript: all bytes that cross and both outputs of two batches.
#[test]
fn the_transcript_is_frozen() {
    let (mut sender, mut receiver) = parties();
    let mut hasher = blake3::Hasher::new();
    for _ in 0..2 {
        let (q, t, bytes) = batch(&mut sender, &mut receiver);
        hasher.update(&bytes);
        hasher.update(as_bytes(&q));
        hasher.update(as_bytes(&t));
    }
    assert_eq!(
        hasher.finalize().to_hex().as_str(),
        "747a0cda4aab3d97b0a9ef6d4b0c28e970480d6588834e71cb78d92842c46330"
    );
}

/// As SoftSpoken's: each tier in a process of its own.
#[test]
fn the_transcript_is_the_same_on_every_tier() {
    for tier in kernel::tier::Tier::available() {
        let run = std::process::Command::new(std::env::current_exe().expect("this test program"))
            .args(["--exact", "ferret::tests::the_transcript_is_frozen"])
            .env(kernel::tier::TIER_VARIABLE, tier.name())
            .output()
            .expect("the test program runs");
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success() && said.contains("1 passed"), "{}: {said}", tier.name());
    }
}
