//! Replies of two sets of weights with the same results cannot be told apart by one who has the secret key.
//!
//! Each statistic is held against a bound that equal distributions exceed with probability below 1e-10, and the same
//! statistic must exceed it where a protection is left out: it can tell the weights apart.

use super::*;
use crate::noise::noise_magnitudes;

/// Replies for each set of weights.
const REPLIES: usize = 48;

/// The slots that carry the result.
const KEPT: [usize; 2] = [0, 7];

/// The largest distance of the empirical distributions, and the bound on it (Dvoretzky, Kiefer, Wolfowitz, Massart for each of
/// the two at half the distance).
fn distance(mut a: Vec<f64>, mut b: Vec<f64>) -> (f64, f64) {
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let share = |list: &[f64], x: f64| list.partition_point(|y| *y <= x) as f64 / list.len() as f64;
    let largest = a.iter().chain(&b).map(|x| (share(&a, *x) - share(&b, *x)).abs()).fold(0.0, f64::max);
    let count = a.len().min(b.len()) as f64;
    (largest, 2.0 * ((4.0f64 / 1e-10).ln() / (2.0 * count)).sqrt())
}

/// What the client sees of one reply beyond its result.
#[derive(Default)]
struct View {
    noise: Vec<f64>,
    others: Vec<f64>,
    second_half: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Protection {
    flood: bool,
    masks: bool,
}

/// Replies to a fresh input, times weights that are one in the kept slots.
fn views(f: &mut Fixture, weights: &Plaintext, protection: Protection) -> View {
    let (p, e, model) = (f.parameters.clone(), f.evaluator.clone(), f.model());
    let (limbs, count) = (p.limbs(), p.slot_shape().unwrap().slots());
    let factor = e.multiplicand(weights, limbs).unwrap();
    let bound = model.mul_plain_full(model.fresh_symmetric()).plus(model.fresh_public());
    let flood_bits = if protection.flood { model.flood_bits(bound, 40) } else { 1 };
    let noise = model.flood(bound, model.flood_bits(bound, 40));
    let shape = model.reply_shape(noise, limbs, p.degree()).unwrap();
    // All bits, so that the control sees the noise itself.
    let level = ReplyShape { limbs, low_bits: [0, 0] };
    let everything: Vec<usize> = (0..count).collect();
    let kept = if protection.masks { &KEPT[..] } else { &everything };
    let mut view = View::default();
    for _ in 0..REPLIES {
        let input = f.encoder.slots(&vec![5; count]).unwrap();
        let mut a = f.encrypt(&input);
        e.mul_plain_assign(&mut a, &factor).unwrap();
        let privacy = Privacy { kept, flood_bits, shape: level };
        let reply = e.private_reply(&a, &privacy, &f.public, &mut f.randomness).unwrap();
        let message = f.secret.decrypt_reply(&p, &reply).unwrap();
        let slots = f.encoder.decode_slots_wide(&message).unwrap();
        assert!(KEPT.iter().all(|slot| slots[*slot] == 5));
        let scale = f64::from(flood_bits).exp2();
        let phase = f.secret.reply_phase(&p, &reply).unwrap();
        view.noise.extend(noise_magnitudes(&p, phase, &message).iter().map(|x| x / scale));
        let other = (0..count).filter(|slot| !KEPT.contains(slot));
        view.others.extend(other.map(|slot| slots[slot] as f64));
        view.second_half.extend(reply.halves[1].iter().map(|x| *x as f64));
        // The reply as it is sent decrypts to the same results.
        let privacy = Privacy { shape, ..privacy };
        let reply = e.private_reply(&a, &privacy, &f.public, &mut f.randomness).unwrap();
        let slots = f.encoder.decode_slots_wide(&f.secret.decrypt_reply(&p, &reply).unwrap()).unwrap();
        assert!(KEPT.iter().all(|slot| slots[*slot] == 5));
    }
    view
}

#[test]
fn replies_hide_the_weights() {
    // Two limbs from the start: a modulus switch's rounding would cover small noise in the control.
    let plain = PlainModulus::generalised(256, 64, 1 << 40).unwrap();
    let literal = set(256, plain, &[46, 46], None, None);
    let mut f = Fixture::new("privacy", Parameters::new_INSECURE(literal).unwrap());
    let count = f.parameters.slot_shape().unwrap().slots();
    // One everywhere: the polynomial 1. And numbers over the full range: coefficients up to b/2.
    let plain = f.encoder.slots(&vec![1; count]).unwrap();
    let modulus = f.parameters.slot_modulus().unwrap() as i128;
    let full: Vec<i128> = (0..count as i128).map(|k| (k * k * 0x1234_5678_9abc_def0) % modulus).collect();
    let full: Vec<i128> =
        full.iter().enumerate().map(|(slot, x)| if KEPT.contains(&slot) { 1 } else { *x }).collect();
    let full = f.encoder.slots_wide(&full).unwrap();
    let both = Protection { flood: true, masks: true };
    let (a, b) = (views(&mut f, &plain, both), views(&mut f, &full, both));
    for (x, y, what) in [
        (a.noise, b.noise, "noise"),
        (a.others, b.others, "other slots"),
        (a.second_half, b.second_half, "second half"),
    ] {
        let (found, bound) = distance(x, y);
        assert!(found < bound, "{what}: {found} over {bound}");
    }
    let bare = Protection { flood: false, masks: false };
    let (a, b) = (views(&mut f, &plain, bare), views(&mut f, &full, bare));
    for (x, y, what) in [(a.noise, b.noise, "noise"), (a.others, b.others, "other slots")] {
        let (found, bound) = distance(x, y);
        assert!(found > 2.0 * bound, "{what}: {found} is not seen beside {bound}");
    }
}
