//! Generalised plaintext spaces: every operation against plain integers modulo p, at several degrees and powers.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Numbers modulo p.
#[derive(Clone, Copy)]
struct Field(u128);

impl Field {
    fn add(self, a: u128, b: u128) -> u128 {
        let sum = a + b;
        if sum >= self.0 { sum - self.0 } else { sum }
    }

    fn neg(self, a: u128) -> u128 {
        (self.0 - a) % self.0
    }

    fn mul(self, a: u128, b: u128) -> u128 {
        (0..128).rev().fold(0, |sum, bit| {
            let double = self.add(sum, sum);
            if b >> bit & 1 == 1 { self.add(double, a) } else { double }
        })
    }

    fn of(self, x: i128) -> u128 {
        if x < 0 { self.neg(x.unsigned_abs() % self.0) } else { x as u128 % self.0 }
    }

    fn centred(self, x: u128) -> i128 {
        if x > self.0 / 2 { x as i128 - self.0 as i128 } else { x as i128 }
    }
}

fn set_of(
    (degree, slots, bits): (usize, usize, u32),
    data: &[u32],
    special: Option<u32>,
    digits: Option<u32>,
) -> Literal {
    set(degree, PlainModulus::generalised(degree, slots, 1 << bits).unwrap(), data, special, digits)
}

/// Toys with powers 1, 2, 4, 8 and 16, with and without a special prime.
pub(crate) fn spaces() -> Vec<Fixture> {
    let sets = [
        ("d = 1", set_of((256, 256, 18), &[46; 4], Some(50), None)),
        ("d = 2, hybrid", set_of((256, 128, 40), &[46; 5], Some(50), None)),
        ("d = 2, wide base", set_of((128, 64, 92), &[50; 8], Some(50), None)),
        ("d = 4, hybrid", set_of((256, 64, 80), &[46; 4], Some(50), None)),
        ("d = 4, digits", set_of((512, 128, 62), &[44, 40, 50, 46], None, Some(12))),
        ("d = 8, whole digits", set_of((512, 64, 80), &[45; 5], None, None)),
        ("d = 16, hybrid", set_of((1024, 64, 100), &[40; 4], Some(44), None)),
    ];
    sets.into_iter()
        .map(|(name, literal)| Fixture::new(name, Parameters::new_INSECURE(literal).unwrap()))
        .collect()
}

/// A set of the table, as the encrypted engine uses them.
pub(crate) fn secure_space() -> Fixture {
    let literal = set_of((8192, 1024, 80), &[43; 5], None, None);
    Fixture::new("8192, d = 8", Parameters::new(literal).unwrap())
}

fn field(f: &Fixture) -> Field {
    Field(f.parameters.slot_modulus().unwrap())
}

/// Full-range slots, the same for the same index.
fn slots_of(f: &Fixture, index: u64) -> Vec<i128> {
    let p = field(f);
    let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u128::from(state ^ (state >> 29))
    };
    (0..f.parameters.slot_shape().unwrap().slots())
        .map(|_| p.centred((word() << 64 | word()) % p.0))
        .collect()
}

pub(crate) fn message_of(f: &Fixture, index: u64) -> Plaintext {
    f.encoder.slots_wide(&slots_of(f, index)).unwrap()
}

fn decoded(f: &Fixture, a: &Ciphertext) -> Vec<i128> {
    f.encoder.decode_slots_wide(&f.decrypt(a)).unwrap()
}

fn each(f: &Fixture, x: &[i128], y: &[i128], op: impl Fn(Field, u128, u128) -> u128) -> Vec<i128> {
    each_of(field(f), x, y, op)
}

fn each_of(p: Field, x: &[i128], y: &[i128], op: impl Fn(Field, u128, u128) -> u128) -> Vec<i128> {
    x.iter().zip(y).map(|(x, y)| p.centred(op(p, p.of(*x), p.of(*y)))).collect()
}

/// Rotated left, row by row.
fn rotated(f: &Fixture, x: &[i128], steps: i64) -> Vec<i128> {
    let columns = f.parameters.slot_shape().unwrap().columns;
    x.chunks_exact(columns)
        .flat_map(|row| {
            let mut row = row.to_vec();
            row.rotate_left(steps.rem_euclid(columns as i64) as usize);
            row
        })
        .collect()
}

#[test]
fn spaces_have_the_shape_asked_for() {
    for f in spaces() {
        let (shape, plain) = (f.parameters.slot_shape().unwrap(), f.parameters.plain());
        match plain {
            PlainModulus::Generalised { base, power } => {
                assert_eq!((shape.rows, shape.slots() * power as usize), (1, f.parameters.degree()));
                assert_eq!(field(&f).0, u128::from(base).pow(power) + 1);
                assert!((plain.log2_norm() - (base as f64).log2()).abs() < 0.01);
            }
            _ => assert_eq!((shape.rows, shape.slots()), (2, f.parameters.degree())),
        }
        assert!(f.parameters.has_slots() && plain.bits() <= 120);
    }
    assert_eq!(PlainModulus::generalised(8192, 32, 1 << 80), None);
    assert_eq!(PlainModulus::generalised(8192, 1000, 1 << 80), None);
    assert_eq!(PlainModulus::generalised(8192, 8192, 1 << 61), None);
    assert_eq!(PlainModulus::generalised(4096, 4096, 65537), Some(PlainModulus::Prime(65537)));
}

#[test]
fn impossible_spaces_are_refused() {
    let good = set_of((256, 64, 80), &[46; 4], None, None);
    let refused = |base, power| {
        let plain = PlainModulus::Generalised { base, power };
        let literal = Literal { plain, ..good.clone() };
        assert!(matches!(Parameters::new_INSECURE(literal), Err(Error::Plain(_))), "{base}^{power}");
    };
    let PlainModulus::Generalised { base, .. } = good.plain else { panic!("generalised") };
    for (base, power) in
        [(base, 0), (base, 1), (base, 3), (base, 8), (base + 2, 4), (0, 4), (1, 4), (base, 128)]
    {
        refused(base, power);
    }
    for base in [u64::MAX, 1 << 48, 1 << 47] {
        refused(base, 2);
        refused(base, 4);
    }
    // A prime, but not 1 modulo 512: no slots.
    refused(2, 4);
    refused(6, 2);
}

#[test]
fn slots_round_trip() {
    for f in spaces().iter().chain([&secure_space()]) {
        let (p, count) = (field(f), f.parameters.slot_shape().unwrap().slots());
        let x = slots_of(f, 1);
        assert_eq!(f.encoder.decode_slots_wide(&message_of(f, 1)).unwrap(), x, "{}", f.name);
        let half = (p.0 / 2) as i128;
        for value in [0, 1, -1, half, -half, half - 1] {
            let message = f.encoder.slots_wide(&vec![value; count]).unwrap();
            assert_eq!(f.encoder.decode_slots_wide(&message).unwrap(), vec![value; count]);
        }
        // Numbers up to p in magnitude are taken modulo p; more, or more of them, are refused.
        let largest = p.0 as i128 - 1;
        let message = f.encoder.slots_wide(&[largest, -largest]).unwrap();
        assert_eq!(f.encoder.decode_slots_wide(&message).unwrap()[..3], [-1, 1, 0]);
        assert!(matches!(f.encoder.slots_wide(&[p.0 as i128]), Err(Error::Value(_))));
        assert!(matches!(f.encoder.slots_wide(&[i128::MIN]), Err(Error::Value(_))));
        assert_eq!(f.encoder.slots_wide(&vec![0; count + 1]), Err(Error::TooMany(count + 1, count)));
        // A constant is a constant polynomial.
        let three = f.encoder.slots_wide(&vec![3; count]).unwrap();
        assert!(three.coefficients()[0] == 3 && three.coefficients()[1..].iter().all(|x| *x == 0));
        // Words, where they are wide enough.
        let words = f.encoder.slots(&[5, 0, 7]).unwrap();
        assert_eq!(words, f.encoder.slots_signed(&[5, 0, 7]).unwrap());
        match f.parameters.plain().bits() {
            ..=64 => assert_eq!(f.encoder.decode_slots(&words).unwrap()[..3], [5, 0, 7]),
            bits => assert_eq!(f.encoder.decode_slots(&words), Err(Error::WideSlots(bits))),
        }
    }
}

#[test]
fn encryptions_sums_and_scalars() {
    for mut f in spaces().into_iter().chain([secure_space()]) {
        let (x, y) = (slots_of(&f, 1), slots_of(&f, 2));
        let (mx, my) = (message_of(&f, 1), message_of(&f, 2));
        let (a, b) = (f.encrypt(&mx), f.public.encrypt(&f.parameters, &my, &mut f.randomness).unwrap());
        assert_eq!(f.decrypt(&a), mx, "{}", f.name);
        assert_eq!(f.decrypt(&b), my, "{}", f.name);
        let run = |op: &dyn Fn(&mut Ciphertext)| {
            let mut out = a.clone();
            op(&mut out);
            decoded(&f, &out)
        };
        let sum = each(&f, &x, &y, |p, x, y| p.add(x, y));
        let difference = each(&f, &x, &y, |p, x, y| p.add(x, p.neg(y)));
        assert_eq!(run(&|c| f.evaluator.add_assign(c, &b).unwrap()), sum, "{}", f.name);
        assert_eq!(run(&|c| f.evaluator.sub_assign(c, &b).unwrap()), difference);
        assert_eq!(run(&|c| f.evaluator.add_plain_assign(c, &my).unwrap()), sum);
        assert_eq!(run(&|c| f.evaluator.sub_plain_assign(c, &my).unwrap()), difference);
        for scalar in [0i64, 1, -1, 1000, -4097] {
            let scalars = vec![i128::from(scalar); x.len()];
            let expected = each(&f, &x, &scalars, |p, x, y| p.mul(x, y));
            assert_eq!(run(&|c| f.evaluator.mul_scalar_assign(c, scalar).unwrap()), expected);
        }
        for limbs in 1..=f.parameters.limbs() {
            let low = f.evaluator.switch_down(&a, limbs).unwrap();
            let noise = f.model().switch_down(f.model().fresh_symmetric(), f.parameters.limbs(), limbs);
            if f.model().decrypts(noise, limbs) {
                assert_eq!(f.decrypt(&low), mx, "{} at {limbs}", f.name);
            }
        }
    }
}

#[test]
fn products() {
    for mut f in spaces().into_iter().chain([secure_space()]) {
        let (x, y) = (slots_of(&f, 1), slots_of(&f, 2));
        let (mx, my) = (message_of(&f, 1), message_of(&f, 2));
        let (a, b) = (f.encrypt(&mx), f.encrypt(&my));
        let expected = each(&f, &x, &y, |p, x, y| p.mul(x, y));
        let mut scaled = a.clone();
        let factor = f.evaluator.multiplicand(&my, f.parameters.limbs()).unwrap();
        f.evaluator.mul_plain_assign(&mut scaled, &factor).unwrap();
        assert_eq!(decoded(&f, &scaled), expected, "{}", f.name);
        let (model, limbs) = (f.model(), f.parameters.limbs());
        let fresh = model.fresh_symmetric();
        assert!(model.decrypts(model.multiply(fresh, fresh, limbs), limbs), "{} has no room", f.name);
        let product = f.evaluator.multiply(&a, &b, &f.relinearisation).unwrap();
        assert_eq!(decoded(&f, &product), expected, "{}", f.name);
        let square = f.evaluator.square(&a, &f.relinearisation).unwrap();
        assert_eq!(decoded(&f, &square), each(&f, &x, &x, |p, x, y| p.mul(x, y)), "{}", f.name);
        // One level down.
        let low = f.evaluator.switch_down(&a, limbs - 1).unwrap();
        let noise = model.square(model.switch_down(fresh, limbs, limbs - 1), limbs - 1);
        if model.decrypts(noise, limbs - 1) {
            let square = f.evaluator.square(&low, &f.relinearisation).unwrap();
            assert_eq!(decoded(&f, &square), each(&f, &x, &x, |p, x, y| p.mul(x, y)));
        }
    }
}

#[test]
fn compact_messages_multiply_alike() {
    for mut f in spaces().into_iter().chain(toys().into_iter().filter(|f| f.parameters.has_slots())) {
        let (p, limbs) = (f.parameters.clone(), f.parameters.limbs());
        if p.plain().log2_norm() > 50.0 {
            let message = f.encoder.slots(&[1, 2, 3, 4]).unwrap();
            assert!(matches!(message.compact(&p), Err(Error::Value(_))), "{}", f.name);
            continue;
        }
        let messages: Vec<_> = (0..11).map(|k| message_of(&f, k)).collect();
        let compact: Vec<_> = messages.iter().map(|m| m.compact(&p).unwrap()).collect();
        // Random slots' widest coefficients have all bits, the sign among them.
        let bits = p.plain().log2_norm().ceil() as usize;
        assert!((bits - 1..=bits + 1).contains(&(compact[0].bytes() * 8 / p.degree())), "{}", f.name);
        let inputs: Vec<_> = messages.iter().map(|m| f.encrypt(m)).collect();
        let factors: Vec<_> = messages.iter().map(|m| f.evaluator.multiplicand(m, limbs).unwrap()).collect();
        for (compact, factor) in compact.iter().zip(&factors) {
            assert_eq!(f.evaluator.multiplicand_of(compact, limbs).unwrap(), *factor, "{}", f.name);
        }
        let expected = f.evaluator.dot_plain(&inputs.iter().zip(&factors).collect::<Vec<_>>()).unwrap();
        let dot = f.evaluator.dot_compact(&inputs.iter().zip(&compact).collect::<Vec<_>>()).unwrap();
        assert_eq!(dot, expected, "{}", f.name);
        assert!(f.evaluator.dot_compact(&[]).is_err());
        // Random slots have full-range coefficients.
        let full = (p.degree() as f64).log2() + 2.0 * p.plain().log2_norm() - 12f64.log2();
        assert!((messages[1].squared_norm(&p).unwrap().log2() - full).abs() < 0.5, "{}", f.name);
        let other = p.with_plain(slots(23, p.degree())).unwrap();
        let foreign = Evaluator::new(&other);
        assert_eq!(foreign.multiplicand_of(&compact[0], 1), Err(Error::Mismatch("compact plaintext")));
    }
}

#[test]
fn slots_form_one_cycle() {
    for mut f in spaces() {
        let (x, message) = (slots_of(&f, 1), message_of(&f, 1));
        let shape = f.parameters.slot_shape().unwrap();
        let a = f.encrypt(&message);
        let hoisted = f.evaluator.hoist(&a).unwrap();
        for steps in STEPS {
            let expected = rotated(&f, &x, steps);
            let turned = f.evaluator.rotate_rows(&a, steps, &f.galois).unwrap();
            assert_eq!(decoded(&f, &turned), expected, "{} by {steps}", f.name);
            assert_eq!(f.evaluator.rotate_rows_hoisted(&hoisted, steps, &f.galois).unwrap(), turned);
        }
        assert_eq!(f.evaluator.rotate_rows(&a, shape.columns as i64, &f.galois).unwrap(), a);
        // All rotations are different automorphisms.
        let mut exponents: Vec<_> =
            (0..shape.columns as i64).map(|steps| f.parameters.rotation_exponent(steps)).collect();
        exponents.sort_unstable();
        exponents.dedup();
        assert_eq!(exponents.len(), shape.columns);
        if shape.rows == 1 {
            assert_eq!(f.evaluator.rotate_columns(&a, &f.galois), Err(Error::OneRow));
            assert_eq!(f.evaluator.automorphism(&a, 3, &f.galois), Err(Error::Automorphism(3)));
            assert_eq!(f.evaluator.automorphism_hoisted(&hoisted, 3, &f.galois), Err(Error::Automorphism(3)));
            assert_eq!(f.evaluator.pack(&[(&a, 0)], &f.galois), Err(Error::NoCoefficients));
            assert_eq!(f.encoder.coefficients(&[1]), Err(Error::NoCoefficients));
            assert_eq!(f.encoder.coefficients_signed(&[1]), Err(Error::NoCoefficients));
            assert_eq!(f.encoder.decode_coefficients_signed(&message), Err(Error::NoCoefficients));
        }
        if f.parameters.literal().special.is_some() {
            let limbs = f.parameters.limbs();
            let mut expected = vec![0; x.len()];
            let mut factors = Vec::new();
            for (k, steps) in [0i64, 1, -1, 17].into_iter().enumerate() {
                let y = slots_of(&f, 20 + k as u64);
                let term = each(&f, &rotated(&f, &x, steps), &y, |p, x, y| p.mul(x, y));
                expected = each(&f, &expected, &term, |p, x, y| p.add(x, y));
                let message = message_of(&f, 20 + k as u64);
                factors.push((steps, f.evaluator.multiplicand_extended(&message, limbs).unwrap()));
            }
            let terms: Vec<_> = factors.iter().map(|(steps, factor)| (*steps, factor)).collect();
            let sum = f.evaluator.dot_rotations(&hoisted, &terms, &f.galois).unwrap();
            assert_eq!(decoded(&f, &sum), expected, "{}", f.name);
        }
    }
}

/// One secret and one set of keys for a batching prime and generalised spaces over the same ring; their ciphertexts do not mix.
#[test]
fn one_key_serves_many_spaces() {
    let mut f = Fixture::new(
        "many",
        Parameters::new_INSECURE(set_of((256, 64, 80), &[46; 4], Some(50), None)).unwrap(),
    );
    let other = f.parameters.with_plain(PlainModulus::generalised(256, 128, 1 << 40).unwrap()).unwrap();
    let prime = f.parameters.with_plain(slots(20, 256)).unwrap();
    let exponents: Vec<_> = [&f.parameters, &other, &prime].map(|p| p.rotation_exponent(1)).to_vec();
    let galois = GaloisKeys::of_exponents(&f.parameters, &f.secret, exponents, &mut f.randomness).unwrap();
    let message = message_of(&f, 1);
    let a = f.encrypt(&message);
    for p in [&other, &prime] {
        assert_eq!(p.ring_id(), f.parameters.ring_id());
        let (encoder, evaluator) = (Encoder::new(p), Evaluator::new(p));
        let b = f.secret.encrypt(p, &encoder.slots_wide(&[3, -4, 5]).unwrap(), &mut f.randomness).unwrap();
        let square = evaluator.square(&b, &f.relinearisation).unwrap();
        let turned = evaluator.rotate_rows(&square, 1, &galois).unwrap();
        let slots = encoder.decode_slots_wide(&f.secret.decrypt(p, &turned).unwrap()).unwrap();
        assert_eq!(slots[..3], [16, 25, 0]);
        assert_eq!(f.evaluator.add_assign(&mut a.clone(), &b), Err(Error::Mismatch("ciphertext")));
        assert_eq!(f.secret.decrypt(p, &a), Err(Error::Mismatch("ciphertext")));
        assert_eq!(evaluator.add_plain_assign(&mut b.clone(), &message), Err(Error::Mismatch("plaintext")));
        assert_eq!(encoder.decode_slots_wide(&message), Err(Error::Mismatch("plaintext")));
        let bytes = a.to_bytes(&f.parameters).unwrap();
        assert_eq!(Ciphertext::from_bytes(p, &bytes), Err(Error::Mismatch("ciphertext")));
    }
}

#[test]
fn masks_are_uniform_but_where_kept() {
    for mut f in spaces() {
        let (p, count) = (field(&f), f.parameters.slot_shape().unwrap().slots());
        let kept = [0, 5, count - 1];
        let mut high = 0;
        for _ in 0..8 {
            let masks = f.encoder.masks(&kept, &mut f.randomness).unwrap();
            let slots = f.encoder.decode_slots_wide(&masks).unwrap();
            assert!(kept.iter().all(|slot| slots[*slot] == 0));
            // A uniform slot is zero with probability 1/p.
            let zeros = slots.iter().filter(|x| **x == 0).count();
            assert!(zeros <= kept.len() + usize::from(p.0 < 1 << 30));
            high += slots.iter().filter(|x| x.unsigned_abs() > p.0 / 4).count();
        }
        // Half of them, within eight deviations.
        let (expected, total) = (4.0 * (count - kept.len()) as f64, 8.0 * count as f64);
        assert!((high as f64 - expected).abs() < 8.0 * (total / 4.0).sqrt(), "{}: {high} of {total}", f.name);
        assert!(matches!(f.encoder.masks(&[count], &mut f.randomness), Err(Error::TooMany(..))));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    AddPlain,
    MulPlain,
    Scalar(i64),
    Rotate(usize),
    Multiply,
    Square,
    SwitchDown,
    Rerandomise,
    Mask,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Add),
        Just(Step::AddPlain),
        Just(Step::MulPlain),
        (-100i64..100).prop_map(Step::Scalar),
        (0..STEPS.len()).prop_map(Step::Rotate),
        Just(Step::Multiply),
        Just(Step::Square),
        Just(Step::SwitchDown),
        Just(Step::Rerandomise),
        Just(Step::Mask),
    ]
}

/// The value, its encryption and the noise that the model gives it.
struct State {
    slots: Vec<i128>,
    ciphertext: Ciphertext,
    noise: Noise,
}

/// Applies a step if the model says that the result decrypts.
fn apply(f: &mut Fixture, state: &mut State, step: Step, index: u64) {
    let (model, e, limbs) = (f.model(), f.evaluator.clone(), state.ciphertext.limbs());
    let (other, message) = (slots_of(f, index), message_of(f, index));
    let lower = (limbs - 1).max(1);
    let fresh = model.fresh_symmetric();
    let (noise, level) = match step {
        Step::Add => (state.noise.plus(fresh), limbs),
        Step::AddPlain | Step::Mask => (state.noise, limbs),
        Step::MulPlain => (model.mul_plain_full(state.noise), limbs),
        Step::Scalar(x) => (model.mul_plain(state.noise, (x * x) as f64), limbs),
        Step::Rotate(_) => (model.key_switch(state.noise, limbs), limbs),
        Step::Multiply => (model.multiply(state.noise, fresh, limbs), limbs),
        Step::Square => (model.square(state.noise, limbs), limbs),
        Step::SwitchDown => (model.switch_down(state.noise, limbs, lower), lower),
        Step::Rerandomise => (state.noise.plus(model.fresh_public()), limbs),
    };
    if !model.decrypts(noise, level) {
        return;
    }
    state.noise = noise;
    let encrypted = f.secret.encrypt_at(&f.parameters, &message, limbs, &mut f.randomness).unwrap();
    let a = &mut state.ciphertext;
    let (before, zero) = (state.slots.clone(), vec![0; other.len()]);
    let p = field(f);
    let with = |y: &[i128], op: &dyn Fn(Field, u128, u128) -> u128| each_of(p, &before, y, op);
    state.slots = match step {
        Step::Add => {
            e.add_assign(a, &encrypted).unwrap();
            with(&other, &|p, x, y| p.add(x, y))
        }
        Step::AddPlain => {
            e.add_plain_assign(a, &message).unwrap();
            with(&other, &|p, x, y| p.add(x, y))
        }
        Step::MulPlain => {
            e.mul_plain_assign(a, &e.multiplicand(&message, limbs).unwrap()).unwrap();
            with(&other, &|p, x, y| p.mul(x, y))
        }
        Step::Scalar(scalar) => {
            e.mul_scalar_assign(a, scalar).unwrap();
            with(&vec![i128::from(scalar); other.len()], &|p, x, y| p.mul(x, y))
        }
        Step::Rotate(index) => {
            *a = e.rotate_rows(a, STEPS[index], &f.galois).unwrap();
            rotated(f, &before, STEPS[index])
        }
        Step::Multiply => {
            *a = e.multiply(a, &encrypted, &f.relinearisation).unwrap();
            with(&other, &|p, x, y| p.mul(x, y))
        }
        Step::Square => {
            *a = e.square(a, &f.relinearisation).unwrap();
            with(&before, &|p, x, y| p.mul(x, y))
        }
        Step::SwitchDown => {
            *a = e.switch_down(a, level).unwrap();
            with(&zero, &|p, x, y| p.add(x, y))
        }
        Step::Rerandomise => {
            e.rerandomise(a, &f.public, &mut f.randomness).unwrap();
            with(&zero, &|p, x, y| p.add(x, y))
        }
        Step::Mask => {
            let masks = f.encoder.masks(&[1, 3], &mut f.randomness).unwrap();
            e.add_plain_assign(a, &masks).unwrap();
            with(&f.encoder.decode_slots_wide(&masks).unwrap(), &|p, x, y| p.add(x, y))
        }
    };
}

#[test]
fn random_programs_match_integers_modulo_p() {
    let fixtures = std::cell::RefCell::new(spaces());
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = (proptest::collection::vec(step(), 1..14), any::<u64>(), any::<prop::sample::Index>());
    runner
        .run(&strategy, |(steps, seed, which)| {
            let mut fixtures = fixtures.borrow_mut();
            let index = which.index(fixtures.len());
            let f = &mut fixtures[index];
            let (slots, message) = (slots_of(f, seed), message_of(f, seed));
            let mut state =
                State { slots, ciphertext: f.encrypt(&message), noise: f.model().fresh_symmetric() };
            for (number, step) in steps.iter().enumerate() {
                apply(f, &mut state, *step, seed.wrapping_add(number as u64 + 1));
            }
            prop_assert_eq!(decoded(f, &state.ciphertext), state.slots, "{}", f.name);
            let measured = f.secret.measure_noise(&f.parameters, &state.ciphertext).unwrap();
            prop_assert!(measured.log2_max < state.noise.log2_bound(), "{}", f.name);
            Ok(())
        })
        .unwrap();
}
