//! One large slot modulus (generalised BFV) against a product of batching primes, for the networks of LoLa: the numbers of
//! ARCHITECTURE.md, "Plaintext spaces".
//!
//! ```text
//! cargo run --release -p bfv --example spaces
//! ```
//!
//! Each row is a hand-written plan: steps with the number of operations that each takes on the slots of the space. The
//! parameters are the smallest that hold its noise; each operation is timed at the level at which it runs (the best of many
//! runs on one thread), and the times are added. Weights are transformed beforehand.

use std::collections::BTreeMap;
use std::time::Instant;

use bfv::chain::{Chain, Factor, KeySwitch, Shape, Step};
use bfv::*;

/// An operation that is timed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Hoist,
    RotateHoisted,
    Rotate,
    PlainProduct,
    ScalarProduct,
    Square,
}

use Operation::*;

/// A step and its operations.
type Part = (Step, Vec<(Operation, usize)>);

/// One ciphertext space and the number of times that everything is done in it.
#[derive(Clone, Copy)]
struct Space {
    degree: usize,
    slots: usize,
    bits: u32,
    copies: usize,
}

fn slots(terms: usize) -> Step {
    Step::Dot { terms, factor: Factor::Slots }
}

fn log2(count: usize) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

/// `count` vectors of `length`, in slots: how many ciphertexts, and the rotations that sum what one holds of them.
fn sum_of(count: usize, length: usize, space: Space) -> (usize, u32) {
    let each = (space.slots / length.next_power_of_two()).max(1);
    (count.div_ceil(each), log2(each.min(count)))
}

/// A dense layer by diagonals in baby and giant steps: `inputs` fill the slots, repeated; the partial sums are added at the end.
fn dense(inputs: usize, outputs: usize, space: Space) -> Vec<Part> {
    let (inputs, outputs) = (inputs.next_power_of_two(), outputs.next_power_of_two());
    let sources = inputs.div_ceil(space.slots);
    let width = inputs.min(space.slots);
    let diagonals = if sources > 1 { outputs } else { (width * outputs / space.slots).max(1) };
    let baby = 1usize << log2(diagonals).div_ceil(2);
    let giant = diagonals.div_ceil(baby);
    let rounds = log2(width / outputs.min(width));
    vec![
        (Step::Rotate, vec![(Hoist, sources), (RotateHoisted, sources * (baby - 1))]),
        (slots(baby * sources), vec![(PlainProduct, diagonals * sources)]),
        (Step::Rotate, vec![(Rotate, giant - 1)]),
        (Step::Sum(giant), vec![]),
        (Step::RotateSum(rounds), vec![(Rotate, rounds as usize)]),
    ]
}

fn square(count: usize) -> Part {
    (Step::Square, vec![(Square, count)])
}

/// The convolution's 25 windows, each repeated for the 5 maps, sent by the client: products and a sum, repeated in the slots.
fn windows(space: Space) -> (usize, Vec<Part>) {
    let (inputs, rounds) = sum_of(25, 1024, space);
    let sum = (Step::RotateSum(rounds), vec![(Rotate, rounds as usize)]);
    (inputs, vec![(slots(inputs), vec![(PlainProduct, inputs)]), sum, square(1)])
}

fn mnist(space: Space) -> (usize, Vec<Part>) {
    let (inputs, mut plan) = windows(space);
    plan.extend(dense(1024, 128, space));
    plan.push(square(1));
    plan.extend(dense(128, 16, space));
    (inputs, plan)
}

fn small(space: Space) -> (usize, Vec<Part>) {
    let (inputs, mut plan) = windows(space);
    plan.extend(dense(1024, 16, space));
    (inputs, plan)
}

/// 83 maps of 14 x 14 (in 256 slots) from 192 windows; 163 maps of 5 x 5 from 36 windows of 83 maps, whose slots carry
/// a product in six of ten cases; a dense layer.
fn cifar(space: Space) -> (usize, Vec<Part>) {
    let maps = space.slots / 256;
    let first = 83usize.div_ceil(maps);
    let products = 25 * 163 * 36 * 83 * 10 / 6 / space.slots;
    let second = (2 * 25 * 163usize).div_ceil(space.slots);
    let mut plan = vec![
        (slots(192), vec![(PlainProduct, 192 * first)]),
        square(first),
        (Step::Rotate, vec![(Hoist, first), (RotateHoisted, 36 * first)]),
        (slots(36 * first), vec![(PlainProduct, products)]),
        (Step::Rotate, vec![(Rotate, maps.min(83) * second)]),
        (Step::Sum(maps), vec![]),
        square(second),
    ];
    plan.extend(dense(second * space.slots, 16, space));
    (192usize.div_ceil(maps), plan)
}

/// A number of inputs in each ciphertext, weights as scalars.
fn batch(_: Space) -> (usize, Vec<Part>) {
    let layer = |outputs: usize, terms: usize| {
        let step = Step::Dot { terms, factor: Factor::SquaredNorm(256.0) };
        (step, vec![(ScalarProduct, outputs * terms)])
    };
    (784, vec![layer(845, 25), square(845), layer(100, 845), square(100), layer(10, 100)])
}

/// What times operations of one shape.
struct Clock {
    parameters: Parameters,
    evaluator: Evaluator,
    fresh: Ciphertext,
    message: Plaintext,
    relinearisation: RelinearisationKey,
    galois: GaloisKeys,
    known: BTreeMap<(Operation, usize), f64>,
}

impl Clock {
    fn new(shape: &Shape) -> Result<Self, Error> {
        let parameters = shape.parameters()?;
        let mut randomness = Randomness::from_os()?;
        let secret = SecretKey::new(&parameters, &mut randomness);
        let message = Encoder::new(&parameters).slots_signed(&[1, 2, 3, -4, 5])?;
        Ok(Self {
            evaluator: Evaluator::new(&parameters),
            fresh: secret.encrypt(&parameters, &message, &mut randomness)?,
            relinearisation: RelinearisationKey::new(&parameters, &secret, &mut randomness)?,
            galois: GaloisKeys::of_rotations(&parameters, &secret, &[1], false, &mut randomness)?,
            message,
            parameters,
            known: BTreeMap::new(),
        })
    }

    /// Seconds of one operation at a level.
    fn seconds(&mut self, operation: Operation, limbs: usize) -> Result<f64, Error> {
        const TERMS: usize = 16;
        if let Some(known) = self.known.get(&(operation, limbs)) {
            return Ok(*known);
        }
        let e = &self.evaluator;
        let a = e.switch_down(&self.fresh, limbs)?;
        let (hoisted, factor) = (e.hoist(&a)?, e.multiplicand(&self.message, limbs)?);
        let mut best = f64::MAX;
        for _ in 0..40 {
            let start = Instant::now();
            let scale = match operation {
                Hoist => e.hoist(&a).map(|_| 1.0),
                RotateHoisted => e.rotate_rows_hoisted(&hoisted, 1, &self.galois).map(|_| 1.0),
                Rotate => e.rotate_rows(&a, 1, &self.galois).map(|_| 1.0),
                PlainProduct => e.dot_plain(&[(&a, &factor); TERMS]).map(|_| 1.0 / TERMS as f64),
                ScalarProduct => {
                    let mut product = a.clone();
                    e.mul_scalar_assign(&mut product, 37)?;
                    e.add_assign(&mut product, &a).map(|()| 1.0)
                }
                Square => e.square(&a, &self.relinearisation).map(|_| 1.0),
            }?;
            best = best.min(start.elapsed().as_secs_f64() * scale);
        }
        self.known.insert((operation, limbs), best);
        Ok(best)
    }
}

fn report(name: &str, space: Space, (inputs, mut plan): (usize, Vec<Part>)) -> Result<(), Error> {
    let Space { degree, slots, bits, copies } = space;
    let plain = PlainModulus::generalised(degree, slots, 1 << bits).ok_or(Error::NoSlots)?;
    plan.extend([(Step::Rerandomise, vec![]), (Step::Flood(40), vec![])]);
    let steps: Vec<Step> = plan.iter().map(|(step, _)| *step).collect();
    let chain = Chain { degree, plain, public: false, steps: &steps };
    let label = format!("{name:<10} {degree:>5} {slots:>5} x {bits} bits x {copies}");
    let Some(shape) = chain.shape(KeySwitch::Limbs) else {
        println!("{label}  no parameters");
        return Ok(());
    };
    let mut clock = Clock::new(&shape)?;
    let (mut seconds, mut switches) = (0.0, 0);
    for ((_, operations), limbs) in plan.iter().zip(&shape.levels) {
        for (operation, count) in operations.iter().filter(|(_, count)| *count > 0) {
            seconds += *count as f64 * clock.seconds(*operation, *limbs)?;
            switches += if matches!(operation, Rotate | RotateHoisted | Square) { *count } else { 0 };
        }
    }
    let p = &clock.parameters;
    let reply = shape.reply(degree).map_or(0, |reply| Reply::wire_bytes(p, reply, degree));
    println!(
        "{label}  {} x {} bits {:>4} switches {:>9.1} ms {:>7.2} MB up {:>4} kB reply {:>5.2} MB a key",
        shape.limbs.len(),
        shape.limbs[0],
        switches * copies,
        1e3 * seconds * copies as f64,
        1e-6 * (inputs * copies * Ciphertext::wire_bytes(p, p.limbs(), true)) as f64,
        reply * copies / 1000,
        1e-6 * GaloisKeys::wire_bytes(p, 1) as f64,
    );
    Ok(())
}

fn main() -> Result<(), Error> {
    let space = |degree, slots, bits, copies| Space { degree, slots, bits, copies };
    let primes =
        |degree| [space(degree, degree, 20, 4), space(degree, degree, 27, 3), space(degree, degree, 40, 2)];
    let wide = [
        space(8192, 1024, 80, 1),
        space(8192, 2048, 80, 1),
        space(16384, 2048, 80, 1),
        space(16384, 4096, 80, 1),
    ];
    for space in wide.into_iter().chain(primes(8192)).chain(primes(16384)) {
        report("MNIST", space, mnist(space))?;
    }
    for space in [space(8192, 1024, 42, 1), space(8192, 2048, 42, 1), space(8192, 8192, 21, 2)] {
        report("LoLa-Small", space, small(space))?;
    }
    for space in wide.into_iter().chain(primes(16384)) {
        report("CIFAR", space, cifar(space))?;
    }
    for space in wide.into_iter().chain(primes(8192)).chain(primes(16384)) {
        report("batch", space, batch(space))?;
    }
    Ok(())
}
