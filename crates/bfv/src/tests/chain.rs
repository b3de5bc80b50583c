//! Shapes of whole computations: run as planned, within their noise, inside the table.

use super::generalised::message_of;
use super::*;
use crate::chain::*;

/// The base-2 logarithm of the noise that may lie between the bound (nine deviations) and the largest of thousands of
/// coefficients (about four), and the heuristic's slack.
const SLACK: f64 = 4.0;

fn scalars(terms: usize, scalar: f64) -> Step {
    Step::Dot { terms, factor: Factor::SquaredNorm(scalar * scalar) }
}

/// Runs a chain on random slots, and compares the noise after every step.
fn run(f: &mut Fixture, steps: &[Step], shape: &Shape) {
    let columns = f.parameters.slot_shape().unwrap().columns as i64;
    let message = message_of(f, 1);
    let mut current = f.encrypt(&message);
    let mut results: Vec<Ciphertext> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if let Step::Recall(earlier) = step {
            current = results[*earlier].clone();
        }
        let (e, limbs) = (f.evaluator.clone(), shape.levels[index]);
        current = e.switch_down(&current, limbs).unwrap();
        match *step {
            Step::Dot { terms, factor: Factor::Slots } => {
                let factors: Vec<_> = (0..terms as u64)
                    .map(|k| e.multiplicand(&message_of(f, 10 + k), limbs).unwrap())
                    .collect();
                current = e.dot_plain(&factors.iter().map(|p| (&current, p)).collect::<Vec<_>>()).unwrap();
            }
            Step::Dot { factor: Factor::SquaredNorm(norm), .. } => {
                e.mul_scalar_assign(&mut current, norm.sqrt() as i64).unwrap();
            }
            Step::Sum(_) => {
                let other = e.rotate_rows(&current, 1, &f.galois).unwrap();
                e.add_assign(&mut current, &other).unwrap();
            }
            Step::Rotate => current = e.rotate_rows(&current, 1, &f.galois).unwrap(),
            Step::RotateSum(rounds) => {
                for round in 0..rounds {
                    let other = e.rotate_rows(&current, columns >> (round + 1), &f.galois).unwrap();
                    e.add_assign(&mut current, &other).unwrap();
                }
            }
            Step::Square | Step::Multiply => current = e.square(&current, &f.relinearisation).unwrap(),
            Step::Join(earlier) => {
                let other = e.switch_down(&results[earlier], limbs).unwrap();
                e.add_assign(&mut current, &other).unwrap();
            }
            Step::Rerandomise => e.rerandomise(&mut current, &f.public, &mut f.randomness).unwrap(),
            Step::Flood(_) => e.flood(&mut current, shape.flood_bits[0], &mut f.randomness).unwrap(),
            Step::Recall(_) => {}
        }
        results.push(current.clone());
        let measured = f.secret.measure_noise(&f.parameters, &current).unwrap();
        let bound = shape.noises[index].log2_bound();
        assert!(
            measured.log2_max < bound && measured.budget > 0.0,
            "{index}, {step:?}: {measured:?}, {bound}"
        );
        assert!(measured.log2_max > bound - SLACK, "{index}, {step:?}: {measured:?} far below {bound}");
    }
    let reply = shape.reply(f.parameters.degree()).unwrap();
    let expected = f.decrypt(&current);
    let reply = f.evaluator.reply(&current, reply, None).unwrap();
    assert_eq!(f.secret.decrypt_reply(&f.parameters, &reply).unwrap(), expected);
}

fn fixture(shape: &Shape, rounds: u32) -> Fixture {
    let mut f = Fixture::new("chain", shape.parameters().unwrap());
    let columns = f.parameters.slot_shape().unwrap().columns as i64;
    let steps: Vec<i64> = (1..=rounds).map(|round| columns >> round).chain([1]).collect();
    let keys = GaloisKeys::of_rotations(&f.parameters, &f.secret, &steps, false, &mut f.randomness);
    f.galois = keys.unwrap();
    f
}

/// The noise of coefficients that all rotations fix, in a sum of rotations: the peak, not the mean.
#[test]
fn sums_of_rotations_peak() {
    let terms = 16;
    let steps = [scalars(1, 1e6), scalars(terms, 1.0)];
    let plain = PlainModulus::generalised(1024, 64, 1 << 60).unwrap();
    let literal = Literal::with_sizes(1024, plain, &[50, 50, 50], Some(50)).unwrap();
    let mut f = Fixture::new("peak", Parameters::new_INSECURE(literal).unwrap());
    let rotations: Vec<i64> = (1..terms as i64).collect();
    let keys = GaloisKeys::of_rotations(&f.parameters, &f.secret, &rotations, false, &mut f.randomness);
    f.galois = keys.unwrap();
    let shape =
        Chain { degree: 8192, plain, public: false, steps: &steps }.shape(KeySwitch::Special).unwrap();
    let bound = shape.noises[1].log2_bound();
    let message = message_of(&f, 1);
    let mut largest = f64::MIN;
    for _ in 0..8 {
        let mut a = f.encrypt(&message);
        f.evaluator.mul_scalar_assign(&mut a, 1_000_000).unwrap();
        let mut sum = a.clone();
        for step in &rotations {
            let turned = f.evaluator.rotate_rows(&a, *step, &f.galois).unwrap();
            f.evaluator.add_assign(&mut sum, &turned).unwrap();
        }
        largest = largest.max(f.secret.measure_noise(&f.parameters, &sum).unwrap().log2_max);
    }
    // The mean over sixteen terms is two bits lower: its bound is what the largest comes near to or exceeds.
    assert!(largest < bound && largest > bound - SLACK, "{largest} {bound}");
}

/// The network of LoLa's figure 1, with small sums: two squares between three linear layers.
#[test]
fn a_network_runs_as_planned() {
    let steps = [
        scalars(1, 80.0),
        Step::Square,
        Step::Rotate,
        Step::Dot { terms: 4, factor: Factor::Slots },
        Step::Rotate,
        Step::Sum(2),
        Step::Square,
        Step::Dot { terms: 2, factor: Factor::Slots },
        Step::RotateSum(3),
        Step::Rerandomise,
        Step::Flood(40),
    ];
    let plain = PlainModulus::generalised(8192, 1024, 1 << 80).unwrap();
    let chain = Chain { degree: 8192, plain, public: false, steps: &steps };
    for kind in [KeySwitch::Limbs, KeySwitch::Special, KeySwitch::Digits(24)] {
        let shape = chain.shape(kind).unwrap();
        assert!(shape.bits() <= security::max_modulus_bits(8192).unwrap());
        assert!(shape.levels.is_sorted_by(|a, b| a >= b) && shape.levels[0] == shape.limbs.len());
        assert_eq!(shape.special.is_some(), kind == KeySwitch::Special);
        run(&mut fixture(&shape, 3), &steps, &shape);
    }
}

#[test]
fn branches_and_joins() {
    let steps = [
        Step::Square,
        Step::Rotate,
        Step::Dot { terms: 2, factor: Factor::Slots },
        Step::Recall(0),
        scalars(1, 30.0),
        Step::Join(2),
        Step::Square,
    ];
    let plain = PlainModulus::generalised(8192, 512, 1 << 64).unwrap();
    let chain = Chain { degree: 8192, plain, public: false, steps: &steps };
    let shape = chain.shape(KeySwitch::Limbs).unwrap();
    run(&mut fixture(&shape, 0), &steps, &shape);
    let bad = [Step::Join(1)];
    assert_eq!(Chain { steps: &bad, ..chain }.shape(KeySwitch::Limbs), None);
}

#[test]
fn shapes_are_the_smallest() {
    let flood = [Step::Square, Step::Rerandomise, Step::Flood(40)];
    for (degree, slots, bits) in [(8192, 1024, 80), (8192, 8192, 20), (16384, 2048, 100)] {
        let plain = PlainModulus::generalised(degree, slots, 1 << bits).unwrap();
        let chain = Chain { degree, plain, public: true, steps: &flood };
        let shape = chain.shape(KeySwitch::Limbs).unwrap();
        // A bit less in the widest limb does not do.
        let mut less = shape.clone();
        let widest = less.limbs.iter().position(|bits| Some(bits) == shape.limbs.iter().max()).unwrap();
        less.limbs[widest] -= 1;
        let fits = |shape: &Shape| {
            let model = shape.model();
            let noise = model.square(model.fresh_public(), shape.limbs.len());
            let noise = noise.plus(model.fresh_public());
            let noise = model.flood(noise, model.flood_bits(noise, 40));
            model.budget(noise, shape.limbs.len()) > 0.05
        };
        assert!(fits(&shape) && !fits(&less), "{degree} {slots}");
        shape.parameters().unwrap();
    }
    // Whatever is found is inside the table, and exists.
    let mut found = 0;
    for (slots, bits) in [(1024, 80), (2048, 80), (8192, 20), (8192, 27), (8192, 40), (512, 110)] {
        let plain = PlainModulus::generalised(8192, slots, 1 << bits).unwrap();
        for squares in 0..5 {
            let steps = vec![Step::Square; squares];
            let chain = Chain { degree: 8192, plain, public: false, steps: &steps };
            for kind in [KeySwitch::Limbs, KeySwitch::Special, KeySwitch::Digits(20)] {
                if let Some(shape) = chain.shape(kind) {
                    assert!(shape.bits() <= 218, "{slots} {bits} {squares} {kind:?}");
                    found += usize::from(squares > 1 && shape.parameters().is_ok());
                }
            }
        }
    }
    assert!(found > 12, "{found}");
    // What the table has no room for is refused.
    let plain = PlainModulus::generalised(4096, 1024, 1 << 80).unwrap();
    let chain = Chain { degree: 4096, plain, public: true, steps: &flood };
    assert_eq!(chain.shape(KeySwitch::Special), None);
    assert_eq!(Chain { degree: 100, ..chain }.shape(KeySwitch::Limbs), None);
    // A computation of nothing is an encryption.
    let shape = Chain { steps: &[], ..chain }.shape(KeySwitch::Limbs).unwrap();
    assert_eq!((shape.limbs.len(), shape.levels.len()), (1, 0));
}
