//! Both parties against each other over the wire form, hostile bytes, and what the outputs look like.

use kernel::block::{Block, as_bytes};
use kernel::prg::Prg;
use kernel::seed::Seed;

use super::*;
use crate::base::Suite;

const DELTA: Block = Block(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef);

fn pair_of(width: Width, delta: Block) -> (Sender, Receiver) {
    let (setup, request) = SenderSetup::with(Suite::Ristretto255, width, delta, &Seed::from_bytes([1; 32]));
    let bytes = request.encode();
    assert_eq!(bytes.len(), SetupRequest::encoded_len(Suite::Ristretto255));
    let request = SetupRequest::decode(&bytes).expect("an honest request");
    let (receiver, reply) = ReceiverSetup::respond(&request, &Seed::from_bytes([2; 32]));
    let bytes = reply.encode();
    assert_eq!(bytes.len(), SetupReply::encoded_len(Suite::Ristretto255, width));
    let reply = SetupReply::decode(&bytes).expect("an honest reply");
    let sender = setup.finish(&reply).expect("matching reply");
    assert!(sender.session() == receiver.session());
    (sender, receiver)
}

fn pair() -> (Sender, Receiver) {
    pair_of(Width::DEFAULT, DELTA)
}

fn random_bits(n: usize, key: u128) -> Vec<u8> {
    let mut bits = vec![0; n.div_ceil(8)];
    Prg::from_key(Block(key)).fill_bytes(&mut bits);
    bits
}

/// The places where the correlation fails.
fn failures(q: &[Block], t: &[Block], choices: &[u8], delta: Block) -> Vec<usize> {
    let holds = |i: &usize| t[*i] == q[*i] ^ delta.and_bit(choices[i / 8] >> (i % 8) & 1 == 1);
    assert_eq!(q.len(), t.len());
    (0..q.len()).filter(|i| !holds(i)).collect()
}

/// One batch over the wire.
fn batch(sender: &mut Sender, receiver: &mut Receiver, choices: &[u8], n: usize) -> (Vec<Block>, Vec<Block>) {
    let (message, t) = receiver.extend(choices, n).expect("within bounds");
    let bytes = message.encode();
    assert_eq!(bytes.len(), sender.width().message_len(n));
    let message = ExtendMessage::decode(&bytes).expect("an honest message");
    let q = sender.extend(&message, n).expect("within bounds");
    assert_eq!((q.len(), sender.position()), (n, receiver.position()));
    (q, t)
}

#[test]
fn the_correlation_holds_for_every_length() {
    let (mut sender, mut receiver) = pair();
    for n in [0, 1, 7, 127, 128, 129, 8191, 8192, 8193, 20_000, 100_000, 1] {
        let choices = random_bits(n, n as u128);
        let (q, t) = batch(&mut sender, &mut receiver, &choices, n);
        assert!(failures(&q, &t, &choices, DELTA).is_empty(), "{n}");
    }
}

#[test]
fn the_correlation_holds_for_every_width_and_plain_offsets() {
    for k in 1..=8 {
        let width = Width::new(k).expect("in range");
        for delta in [DELTA, Block(1), Block(u128::MAX), Block(0)] {
            let (mut sender, mut receiver) = pair_of(width, delta);
            for n in [130, 9000] {
                let choices = random_bits(n, u128::from(k));
                let (q, t) = batch(&mut sender, &mut receiver, &choices, n);
                assert!(failures(&q, &t, &choices, delta).is_empty(), "width {k}");
            }
        }
    }
    assert!(Width::new(0).is_err() && Width::new(9).is_err());
}

#[test]
fn the_correlation_holds_for_plain_choices() {
    let n = 1000;
    for pattern in [0x00, 0xff, 0x55, 0x01] {
        let (mut sender, mut receiver) = pair();
        let choices = vec![pattern; n / 8];
        let (q, t) = batch(&mut sender, &mut receiver, &choices, n);
        assert!(failures(&q, &t, &choices, DELTA).is_empty(), "{pattern:#x}");
    }
}

#[test]
fn choice_bits_beyond_n_change_nothing() {
    let n = 5;
    let (mut one, mut other) = (pair().1, pair().1);
    let (first, t) = one.extend(&[0b0001_0110], n).expect("within bounds");
    let (second, u) = other.extend(&[0b1111_0110], n).expect("within bounds");
    assert!(first.encode() == second.encode() && t == u);
}

#[test]
fn message_lengths_are_four_bytes_an_ot_and_never_overflow() {
    assert_eq!(message_len(0), 0);
    assert_eq!(message_len(1), 512);
    assert_eq!(message_len(128), 512);
    assert_eq!(message_len(129), 1024);
    assert_eq!(message_len(1 << 20), 4 << 20);
    assert_eq!(message_len(usize::MAX), usize::MAX);
}

#[test]
fn messages_of_another_length_are_refused_and_use_nothing() {
    let (mut sender, mut receiver) = pair();
    let choices = random_bits(300, 1);
    let (message, t) = receiver.extend(&choices, 300).expect("within bounds");
    for n in [0, 1, 256, 385, 1 << 20] {
        assert!(matches!(sender.extend(&message, n), Err(Error::Length { .. })), "{n}");
    }
    assert_eq!(sender.extend(&message, MAX_BATCH + 1).err(), Some(Error::Batch(MAX_BATCH + 1)));
    let bytes = message.encode();
    assert!(matches!(ExtendMessage::decode(&bytes[1..]), Err(Error::Length { .. })));
    let q = sender.extend(&message, 300).expect("nothing was used");
    assert!(failures(&q, &t, &choices, DELTA).is_empty());

    assert!(matches!(receiver.extend(&choices, 305), Err(Error::Length { .. })));
    assert!(matches!(receiver.extend(&[], MAX_BATCH + 1), Err(Error::Batch(_))));
    assert_eq!(receiver.position(), 384);
}

#[test]
fn decoders_refuse_garbage_or_give_something_harmless() {
    let (setup, request) = SenderSetup::new(DELTA, &Seed::from_bytes([3; 32]));
    let (_, reply) = ReceiverSetup::respond(&request, &Seed::from_bytes([4; 32]));
    let (request, reply_bytes) = (request.encode(), reply.encode());
    for length in (0..request.len()).step_by(97) {
        assert!(SetupRequest::decode(&request[..length]).is_err());
    }
    for length in (0..reply_bytes.len()).step_by(97) {
        assert!(SetupReply::decode(&reply_bytes[..length]).is_err());
    }
    let mut prg = Prg::from_key(Block(123));
    for round in 0..2000 {
        let mut bytes = vec![0; usize::from(prg.block().to_bytes()[0]) * 20];
        prg.fill_bytes(&mut bytes);
        // Every other round gets further than the first bytes.
        if round % 2 == 0 && bytes.len() > 2 {
            bytes[..2].copy_from_slice(&[1 + (round / 2 % 8) as u8, 1]);
        }
        assert!(SetupRequest::decode(&bytes).is_err());
        assert!(SetupReply::decode(&bytes).is_err());
        assert_eq!(ExtendMessage::decode(&bytes).is_ok(), bytes.len().is_multiple_of(16));
    }
    let mut other_width = reply_bytes.clone();
    other_width[0] = 5;
    assert!(SetupReply::decode(&other_width).is_err(), "another width has another length");
    let (_, wide) = SenderSetup::with(
        Suite::Ristretto255,
        Width::new(5).expect("in range"),
        DELTA,
        &Seed::from_bytes([3; 32]),
    );
    let (_, wide) = ReceiverSetup::respond(&wide, &Seed::from_bytes([4; 32]));
    assert_eq!(setup.finish(&wide).err(), Some(Error::Value("the set-up reply is of another width")));
}

/// A bit flipped in the message of group `g` and OT `i` flips the choice bit as that group sees it, so that exactly OT
/// `i` fails, wherever the offset has a bit in the group.
#[test]
fn an_edited_extension_breaks_exactly_the_ot_edited() {
    let n = 300;
    let choices = random_bits(n, 9);
    for (group, i) in [(0, 0), (17, 129), (31, 299)] {
        let (mut sender, mut receiver) = pair_of(Width::DEFAULT, Block(u128::MAX));
        let (message, t) = receiver.extend(&choices, n).expect("within bounds");
        let mut bytes = message.encode();
        bytes[group * 48 + i / 8] ^= 1 << (i % 8);
        let q = sender.extend(&ExtendMessage::decode(&bytes).expect("same length"), n).expect("same length");
        assert_eq!(failures(&q, &t, &choices, Block(u128::MAX)), [i]);
        assert!(
            (q[i] ^ t[i] ^ Block(u128::MAX).and_bit(choices[i / 8] >> (i % 8) & 1 == 1)).0 >> (4 * group)
                & 15
                == 15
        );
    }
}

#[test]
fn an_edited_set_up_breaks_the_correlation() {
    let seeds = (Seed::from_bytes([1; 32]), Seed::from_bytes([2; 32]));
    let (setup, request) = SenderSetup::new(Block(u128::MAX), &seeds.0);
    let (mut receiver, reply) = ReceiverSetup::respond(&request, &seeds.1);
    let mut bytes = reply.encode();
    // The second half of a correction is the one that an offset of ones opens.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let mut sender = setup.finish(&SetupReply::decode(&bytes).expect("same length")).expect("same width");
    assert!(sender.session() != receiver.session());
    let choices = random_bits(1000, 4);
    let (q, t) = batch(&mut sender, &mut receiver, &choices, 1000);
    assert!(failures(&q, &t, &choices, Block(u128::MAX)).len() > 500);
}

#[test]
fn a_set_up_ends_before_its_streams_repeat() {
    let (mut sender, mut receiver) = pair();
    let (message, _) = receiver.extend(&[0; 32], 256).expect("within bounds");
    receiver.skip_to_the_end_but(128);
    sender.skip_to_the_end_but(128);
    assert_eq!(receiver.extend(&[0; 17], 129).err(), Some(Error::Exhausted));
    assert_eq!(sender.extend(&message, 129).err(), Some(Error::Exhausted));
    let choices = random_bits(128, 3);
    let (q, t) = batch(&mut sender, &mut receiver, &choices, 128);
    assert!(failures(&q, &t, &choices, DELTA).is_empty());
    assert_eq!(receiver.extend(&[0], 1).err(), Some(Error::Exhausted));
}

/// Chi-square of the bytes of a sample. The statistic of uniform bytes has mean 255 and variance 510; values outside
/// 100..=460 (more than 6.8 standard deviations below, 9 above) have probability below 1e-9.
fn looks_uniform(blocks: &[Block]) {
    let bytes = as_bytes(blocks);
    let mut counts = [0u64; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let mean = bytes.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|count| (*count as f64 - mean).powi(2) / mean).sum();
    assert!((100.0..=460.0).contains(&chi), "{chi}");
}

#[test]
fn outputs_and_messages_look_uniform_whatever_the_choices() {
    for pattern in [0x00, 0xff] {
        let (mut sender, mut receiver) = pair();
        let n = 1 << 16;
        let (message, t) = receiver.extend(&vec![pattern; n / 8], n).expect("within bounds");
        let q = sender.extend(&message, n).expect("within bounds");
        looks_uniform(&t);
        looks_uniform(&q);
        let bytes = message.encode();
        let (bytes, _) = bytes.as_chunks::<16>();
        looks_uniform(&bytes.iter().map(|block| Block::from_bytes(*block)).collect::<Vec<_>>());
    }
}

/// All bytes that cross, and both outputs, for fixed seeds. If this changes on purpose, the protocol's version must
/// change with it.
#[test]
fn the_transcript_is_frozen() {
    let (setup, request) = SenderSetup::new(DELTA, &Seed::from_bytes([1; 32]));
    let (mut receiver, reply) = ReceiverSetup::respond(&request, &Seed::from_bytes([2; 32]));
    let mut sender = setup.finish(&reply).expect("matching reply");
    let mut hasher = blake3::Hasher::new();
    hasher.update(&request.encode());
    hasher.update(&reply.encode());
    for n in [100, 20_000] {
        let (message, t) = receiver.extend(&random_bits(n, 1), n).expect("within bounds");
        let q = sender.extend(&message, n).expect("within bounds");
        hasher.update(&message.encode());
        hasher.update(as_bytes(&t));
        hasher.update(as_bytes(&q));
    }
    assert_eq!(
        hasher.finalize().to_hex().as_str(),
        "7ab7dee2edd67a5c1993da504a140fda9f979ed2f107480819513bcbf291745d"
    );
}

/// Runs [`the_transcript_is_frozen`] once more under each tier; the tier is read once a process, so each is its own.
#[test]
fn the_transcript_is_the_same_on_every_tier() {
    let test = "softspoken::tests::the_transcript_is_frozen";
    for tier in kernel::tier::Tier::available() {
        let run = std::process::Command::new(std::env::current_exe().expect("this test program"))
            .args(["--exact", test])
            .env(kernel::tier::TIER_VARIABLE, tier.name())
            .output()
            .expect("the test program runs");
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success() && said.contains("1 passed"), "{}: {said}", tier.name());
    }
}
