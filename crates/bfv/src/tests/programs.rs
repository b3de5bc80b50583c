//! Random programs: sequences of operations on random slots, run encrypted and on plain integers. The noise model runs
//! along, and an operation that it says may not fit is left out.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    Sub,
    Neg,
    AddPlain,
    MulPlain,
    Scalar(i64),
    Rotate(usize),
    Swap,
    Multiply,
    Square,
    SwitchDown,
    Rerandomise,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Add),
        Just(Step::Sub),
        Just(Step::Neg),
        Just(Step::AddPlain),
        Just(Step::MulPlain),
        (-100i64..100).prop_map(Step::Scalar),
        (0..STEPS.len()).prop_map(Step::Rotate),
        Just(Step::Swap),
        Just(Step::Multiply),
        Just(Step::Square),
        Just(Step::SwitchDown),
        Just(Step::Rerandomise),
    ]
}

/// The value, its encryption and the noise that the model gives it.
struct State {
    slots: Vec<u64>,
    ciphertext: Ciphertext,
    noise: Noise,
}

fn fresh(f: &mut Fixture, index: u64, limbs: usize) -> State {
    let slots = f.values(index);
    let message = f.encoder.slots(&slots).unwrap();
    let ciphertext = f.secret.encrypt_at(&f.parameters, &message, limbs, &mut f.randomness).unwrap();
    State { slots, ciphertext, noise: f.model().fresh_symmetric() }
}

fn rotated(slots: &[u64], steps: i64) -> Vec<u64> {
    let half = slots.len() / 2;
    let place = |slot: usize| {
        slot / half * half + (slot as i64 % half as i64 + steps).rem_euclid(half as i64) as usize
    };
    (0..slots.len()).map(|slot| slots[place(slot)]).collect()
}

/// Applies a step if the model says that the result decrypts.
fn apply(f: &mut Fixture, state: &mut State, step: Step, index: u64) {
    let (model, plain, e) = (f.model(), *f.parameters.plain_ring(), f.evaluator.clone());
    let limbs = state.ciphertext.limbs();
    let other = fresh(f, index, limbs);
    let message = f.encoder.slots(&other.slots).unwrap();
    let (noise, level) = match step {
        Step::Add | Step::Sub => (state.noise.plus(other.noise), limbs),
        Step::Neg | Step::AddPlain => (state.noise, limbs),
        Step::MulPlain => (model.mul_plain_full(state.noise), limbs),
        Step::Scalar(x) => (model.mul_plain(state.noise, (x * x) as f64), limbs),
        Step::Rotate(_) | Step::Swap => (model.key_switch(state.noise, limbs), limbs),
        Step::Multiply => (model.multiply(state.noise, other.noise, limbs), limbs),
        Step::Square => (model.square(state.noise, limbs), limbs),
        Step::SwitchDown => (model.switch_down(state.noise, limbs, (limbs - 1).max(1)), (limbs - 1).max(1)),
        Step::Rerandomise => (state.noise.plus(model.fresh_public()), limbs),
    };
    if !model.decrypts(noise, level) {
        return;
    }
    let (a, x) = (&mut state.ciphertext, &mut state.slots);
    let each = |op: &dyn Fn(u64, u64) -> u64, x: &mut Vec<u64>| {
        x.iter_mut().zip(&other.slots).for_each(|(x, y)| *x = op(*x, *y));
    };
    match step {
        Step::Add => e.add_assign(a, &other.ciphertext).map(|()| each(&|x, y| plain.add(x, y), x)).unwrap(),
        Step::Sub => {
            e.sub_assign(a, &other.ciphertext).map(|()| each(&|x, y| plain.add(x, plain.neg(y)), x)).unwrap()
        }
        Step::Neg => e.neg_assign(a).map(|()| each(&|x, _| plain.neg(x), x)).unwrap(),
        Step::AddPlain => e.add_plain_assign(a, &message).map(|()| each(&|x, y| plain.add(x, y), x)).unwrap(),
        Step::MulPlain => {
            let factor = e.multiplicand(&message, limbs).unwrap();
            e.mul_plain_assign(a, &factor).unwrap();
            each(&|x, y| plain.mul(x, y), x);
        }
        Step::Scalar(scalar) => {
            e.mul_scalar_assign(a, scalar).unwrap();
            let residue = plain.signed(scalar).unwrap();
            each(&|x, _| plain.mul(x, residue), x);
        }
        Step::Rotate(index) => {
            *a = e.rotate_rows(a, STEPS[index], &f.galois).unwrap();
            *x = rotated(x, STEPS[index]);
        }
        Step::Swap => {
            *a = e.rotate_columns(a, &f.galois).unwrap();
            let half = x.len() / 2;
            x.rotate_left(half);
        }
        Step::Multiply => {
            *a = e.multiply(a, &other.ciphertext, &f.relinearisation).unwrap();
            each(&|x, y| plain.mul(x, y), x);
        }
        Step::Square => {
            *a = e.square(a, &f.relinearisation).unwrap();
            each(&|x, _| plain.mul(x, x), x);
        }
        Step::SwitchDown => *a = e.switch_down(a, level).unwrap(),
        Step::Rerandomise => e.rerandomise(a, &f.public, &mut f.randomness).unwrap(),
    }
    state.noise = noise;
}

#[test]
fn random_programs_match_plain_integers() {
    let fixtures: Vec<_> = toys().into_iter().filter(|f| f.parameters.has_slots()).collect();
    let fixtures = std::cell::RefCell::new(fixtures);
    // Fixed cases: the run is the same everywhere.
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let strategy = (proptest::collection::vec(step(), 1..14), any::<u64>(), any::<prop::sample::Index>());
    runner
        .run(&strategy, |(steps, seed, which)| {
            let mut fixtures = fixtures.borrow_mut();
            let index = which.index(fixtures.len());
            let f = &mut fixtures[index];
            let limbs = f.parameters.limbs();
            let mut state = fresh(f, seed, limbs);
            for (number, step) in steps.iter().enumerate() {
                apply(f, &mut state, *step, seed.wrapping_add(number as u64 + 1));
            }
            let decrypted = f.encoder.decode_slots(&f.decrypt(&state.ciphertext)).unwrap();
            prop_assert_eq!(&decrypted, &state.slots, "{}", f.name);
            Ok(())
        })
        .unwrap();
}
