//! Operations against plain integers.

use super::*;

/// Negacyclic product modulo t.
fn product(f: &Fixture, a: &[u64], b: &[u64]) -> Vec<u64> {
    let (plain, n) = (f.parameters.plain_ring(), a.len());
    let mut out = vec![0; n];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            let term = plain.mul(*x, *y);
            let term = if i + j < n { term } else { plain.neg(term) };
            out[(i + j) % n] = plain.add(out[(i + j) % n], term);
        }
    }
    out
}

fn zip(f: &Fixture, a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(x, y)| f.parameters.plain_ring().add(*x, *y)).collect()
}

fn negated(f: &Fixture, a: &[u64]) -> Vec<u64> {
    a.iter().map(|x| f.parameters.plain_ring().neg(*x)).collect()
}

fn all() -> Vec<Fixture> {
    let mut all = toys();
    all.extend(secure());
    all
}

#[test]
fn encryption_round_trips_at_every_level() {
    for mut f in all() {
        for limbs in 1..=f.parameters.limbs() {
            let message = f.message(limbs as u64);
            let fits = f.model().decrypts(f.model().fresh_symmetric(), limbs);
            if fits {
                let a = f.secret.encrypt_at(&f.parameters, &message, limbs, &mut f.randomness).unwrap();
                assert!(a.is_seeded() && a.limbs() == limbs);
                assert_eq!(f.decrypt(&a), message, "{} at {limbs}", f.name);
            }
        }
        let message = f.message(99);
        let a = f.public.encrypt(&f.parameters, &message, &mut f.randomness).unwrap();
        assert!(!a.is_seeded());
        assert_eq!(f.decrypt(&a), message, "{}", f.name);
        let zero = f.public.encrypt_zero(&f.parameters, f.parameters.limbs(), &mut f.randomness).unwrap();
        assert!(f.decrypt(&zero).coefficients().iter().all(|x| *x == 0));
    }
}

#[test]
fn extreme_messages() {
    for mut f in all() {
        let max = f.parameters.plain_ring().max();
        for value in [0, 1, max / 2, max / 2 + 1, max] {
            let message = f.encoder.coefficients(&vec![value; f.parameters.degree()]).unwrap();
            let a = f.encrypt(&message);
            assert_eq!(f.decrypt(&a), message, "{} {value}", f.name);
        }
    }
}

#[test]
fn sums_and_differences() {
    for mut f in all() {
        let (x, y) = (f.values(1), f.values(2));
        let (mx, my) = (f.message(1), f.message(2));
        let (a, b) = (f.encrypt(&mx), f.encrypt(&my));
        let run = |op: &dyn Fn(&mut Ciphertext)| {
            let mut out = a.clone();
            op(&mut out);
            f.decrypt(&out).coefficients().to_vec()
        };
        assert_eq!(run(&|c| f.evaluator.add_assign(c, &b).unwrap()), zip(&f, &x, &y), "{}", f.name);
        assert_eq!(run(&|c| f.evaluator.sub_assign(c, &b).unwrap()), zip(&f, &x, &negated(&f, &y)));
        assert_eq!(run(&|c| f.evaluator.neg_assign(c).unwrap()), negated(&f, &x));
        assert_eq!(run(&|c| f.evaluator.add_plain_assign(c, &my).unwrap()), zip(&f, &x, &y));
        assert_eq!(run(&|c| f.evaluator.sub_plain_assign(c, &my).unwrap()), zip(&f, &x, &negated(&f, &y)));
        let three = f.parameters.plain_ring().reduce(3);
        if f.parameters.plain().bits() > 2 {
            let minus = run(&|c| f.evaluator.mul_scalar_assign(c, -3).unwrap());
            let expected: Vec<_> = x.iter().map(|x| f.parameters.plain_ring().mul(*x, three)).collect();
            assert_eq!(minus, negated(&f, &expected));
        }
    }
}

#[test]
fn monomials_move_coefficients() {
    for mut f in toys() {
        let n = f.parameters.degree();
        let x = f.values(3);
        let message = f.message(3);
        let a = f.encrypt(&message);
        for power in [0, 1, 5, n - 1, n, n + 3, 2 * n - 1] {
            let mut moved = a.clone();
            f.evaluator.mul_monomial_assign(&mut moved, power).unwrap();
            let mut monomial = vec![0; n];
            let one = f.parameters.plain_ring().reduce(1);
            monomial[power % n] = if power < n { one } else { f.parameters.plain_ring().neg(one) };
            assert_eq!(f.decrypt(&moved).coefficients(), product(&f, &x, &monomial), "{} {power}", f.name);
        }
    }
}

#[test]
fn plain_products_and_dot_products() {
    for mut f in toys() {
        let limbs = f.parameters.limbs();
        let inputs: Vec<_> =
            (0..5).map(|k| (f.values(k), f.values(10 + k), f.message(k), f.message(10 + k))).collect();
        let mut expected = vec![0; f.parameters.degree()];
        let mut terms = Vec::new();
        for (x, y, mx, my) in &inputs {
            expected = zip(&f, &expected, &product(&f, x, y));
            terms.push((f.encrypt(mx), f.evaluator.multiplicand(my, limbs).unwrap()));
        }
        let dot = f.evaluator.dot_plain(&terms.iter().map(|(a, p)| (a, p)).collect::<Vec<_>>()).unwrap();
        assert_eq!(f.decrypt(&dot).coefficients(), expected, "{}", f.name);
        // The same sum, one product after another.
        let (first, factor) = &terms[0];
        let mut sum = first.clone();
        f.evaluator.mul_plain_assign(&mut sum, factor).unwrap();
        for (a, factor) in &terms[1..] {
            f.evaluator.mul_plain_add_assign(&mut sum, a, factor).unwrap();
        }
        assert_eq!(sum, dot);
    }
}

#[test]
fn slots_multiply_and_rotate() {
    for mut f in all().into_iter().filter(|f| f.parameters.has_slots()) {
        let n = f.parameters.degree();
        let (x, y) = (f.values(1), f.values(2));
        let message = f.encoder.slots(&x).unwrap();
        assert_eq!(f.encoder.decode_slots(&message).unwrap(), x);
        let factor = f.encoder.slots(&y).unwrap();
        let a = f.encrypt(&message);
        let decode = |c: &Ciphertext| f.encoder.decode_slots(&f.decrypt(c)).unwrap();
        let mut scaled = a.clone();
        let prepared = f.evaluator.multiplicand(&factor, f.parameters.limbs()).unwrap();
        f.evaluator.mul_plain_assign(&mut scaled, &prepared).unwrap();
        let expected: Vec<u64> =
            x.iter().zip(&y).map(|(x, y)| f.parameters.plain_ring().mul(*x, *y)).collect();
        assert_eq!(decode(&scaled), expected, "{}", f.name);
        let hoisted = f.evaluator.hoist(&a).unwrap();
        for steps in STEPS {
            let rotate = |row: &[u64]| {
                let mut row = row.to_vec();
                let by = steps.rem_euclid(row.len() as i64) as usize;
                row.rotate_left(by);
                row
            };
            let expected = [rotate(&x[..n / 2]), rotate(&x[n / 2..])].concat();
            let rotated = f.evaluator.rotate_rows(&a, steps, &f.galois).unwrap();
            assert_eq!(decode(&rotated), expected, "{} by {steps}", f.name);
            assert_eq!(f.evaluator.rotate_rows_hoisted(&hoisted, steps, &f.galois).unwrap(), rotated);
        }
        let several = [3, 0, -1, 3];
        let rotations = f.evaluator.rotations_hoisted(&hoisted, &several, &f.galois).unwrap();
        assert_eq!(rotations.len(), several.len());
        for (rotated, steps) in rotations.iter().zip(several) {
            assert_eq!(*rotated, f.evaluator.rotate_rows(&a, steps, &f.galois).unwrap(), "{}", f.name);
        }
        assert_eq!(f.evaluator.rotations_hoisted(&hoisted, &[], &f.galois).unwrap(), []);
        let missing = f.evaluator.rotations_hoisted(&hoisted, &[1, 5], &f.galois);
        assert_eq!(missing, Err(Error::MissingKey(243)));
        let swapped = f.evaluator.rotate_columns(&a, &f.galois).unwrap();
        assert_eq!(decode(&swapped), [&x[n / 2..], &x[..n / 2]].concat());
        assert_eq!(f.evaluator.rotate_rows(&a, 0, &f.galois).unwrap(), a);
        assert_eq!(f.evaluator.rotate_rows(&a, 5, &f.galois), Err(Error::MissingKey(243)));
    }
}

/// Rotations and hoisting one level down use the same keys.
#[test]
fn rotations_at_lower_levels() {
    for mut f in all().into_iter().filter(|f| f.parameters.has_slots()) {
        let limbs = f.parameters.limbs() - 1;
        let model = f.model();
        let noise = model.key_switch(model.switch_down(model.fresh_symmetric(), limbs + 1, limbs), limbs);
        if !model.decrypts(noise, limbs) {
            continue;
        }
        let x = f.values(1);
        let message = f.encoder.slots(&x).unwrap();
        let a = f.encrypt(&message);
        let low = f.evaluator.switch_down(&a, limbs).unwrap();
        let rotated = f.evaluator.rotate_rows(&low, 1, &f.galois).unwrap();
        let slots = f.encoder.decode_slots(&f.decrypt(&rotated)).unwrap();
        assert_eq!(slots[..5], x[1..6], "{}", f.name);
        let hoisted = f.evaluator.hoist(&low).unwrap();
        assert_eq!(f.evaluator.rotate_rows_hoisted(&hoisted, 1, &f.galois).unwrap(), rotated);
    }
}

/// A key of fewer limbs serves ciphertexts of as many, and is shorter.
#[test]
fn keys_of_fewer_limbs() {
    for mut f in all().into_iter().filter(|f| f.parameters.has_slots()) {
        let (p, model) = (f.parameters.clone(), f.model());
        let (limbs, low) = (p.limbs(), p.limbs() - 1);
        let (left, right) = (p.rotation_exponent(1), p.rotation_exponent(-1));
        let levels = [(left, low), (right, limbs), (1, 1), (right, low)];
        let keys = GaloisKeys::of_levels(&p, &f.secret, levels, &mut f.randomness).unwrap();
        assert_eq!([left, right, 1].map(|g| keys.limbs(g)), [Some(low), Some(limbs), None]);
        let bytes = keys.to_bytes(&p).unwrap();
        assert_eq!(bytes.len(), GaloisKeys::wire_bytes_of(&p, [low, limbs]));
        assert!(bytes.len() < GaloisKeys::wire_bytes(&p, 2));
        assert_eq!(GaloisKeys::from_bytes(&p, 2, &bytes).unwrap(), keys);
        for (position, value) in [(10 + 4 + 3, limbs as u8), (10 + 4 + 3, 255), (10, 3)] {
            let mut changed = bytes.clone();
            changed[position] = value;
            assert!(GaloisKeys::from_bytes(&p, 3, &changed).is_err());
        }
        let x = f.values(1);
        let message = f.encoder.slots(&x).unwrap();
        let a = f.encrypt(&message);
        assert_eq!(f.evaluator.rotate_rows(&a, 1, &keys), Err(Error::Level(limbs, low)));
        assert!(f.evaluator.rotate_rows(&a, -1, &keys).is_ok());
        let switched = model.switch_down(model.fresh_symmetric(), limbs, low);
        if !model.decrypts(model.key_switch(switched, low), low) {
            continue;
        }
        let a = f.evaluator.switch_down(&a, low).unwrap();
        let rotated = f.evaluator.rotate_rows(&a, 1, &keys).unwrap();
        assert_eq!(f.encoder.decode_slots(&f.decrypt(&rotated)).unwrap()[..5], x[1..6], "{}", f.name);
        let hoisted = f.evaluator.hoist(&a).unwrap();
        assert_eq!(f.evaluator.rotate_rows_hoisted(&hoisted, 1, &keys).unwrap(), rotated);
    }
    let f = toys().remove(0);
    let mut randomness = Randomness::new(Seed::from_bytes([9; 32]));
    for limbs in [0, 4] {
        let keys = GaloisKeys::of_levels(&f.parameters, &f.secret, [(3, limbs)], &mut randomness);
        assert_eq!(keys, Err(Error::Level(limbs, 3)));
    }
}

#[test]
fn dot_products_of_rotations() {
    for mut f in all().into_iter().filter(|f| f.parameters.has_slots()) {
        let (n, limbs) = (f.parameters.degree(), f.parameters.limbs());
        let x = f.values(1);
        let message = f.encoder.slots(&x).unwrap();
        let a = f.encrypt(&message);
        let hoisted = f.evaluator.hoist(&a).unwrap();
        let hybrid = f.parameters.literal().special.is_some();
        if !hybrid {
            assert_eq!(f.evaluator.multiplicand_extended(&message, limbs), Err(Error::NoSpecialPrime));
        }
        let mut expected = vec![0; n];
        let mut factors = Vec::new();
        for (k, steps) in [0i64, 1, -1, 17, 3, 1].into_iter().enumerate() {
            let y = f.values(20 + k as u64);
            for slot in 0..n {
                let (row, column) = (slot / (n / 2), slot % (n / 2));
                let source = row * (n / 2) + (column as i64 + steps).rem_euclid(n as i64 / 2) as usize;
                let term = f.parameters.plain_ring().mul(x[source], y[slot]);
                expected[slot] = f.parameters.plain_ring().add(expected[slot], term);
            }
            let factor = f.encoder.slots(&y).unwrap();
            let prepared = if hybrid {
                f.evaluator.multiplicand_extended(&factor, limbs)
            } else {
                f.evaluator.multiplicand(&factor, limbs)
            };
            factors.push((steps, prepared.unwrap()));
        }
        let terms: Vec<_> = factors.iter().map(|(steps, factor)| (*steps, factor)).collect();
        let sum = f.evaluator.dot_rotations(&hoisted, &terms, &f.galois).unwrap();
        assert_eq!(f.encoder.decode_slots(&f.decrypt(&sum)).unwrap(), expected, "{}", f.name);
    }
}

#[test]
fn sums_of_rotations() {
    for mut f in all().into_iter().filter(|f| f.parameters.has_slots()) {
        let messages: Vec<_> = (0..4).map(|k| f.encoder.slots(&f.values(k)).unwrap()).collect();
        let inputs: Vec<_> = messages.iter().map(|m| f.encrypt(m)).collect();
        for steps in [vec![1i64, 0, -1, 0], vec![3, 17], vec![0, 0], vec![17]] {
            let terms: Vec<_> = steps.iter().copied().zip(&inputs).collect();
            let sum = f.evaluator.sum_rotations(&terms, &f.galois).unwrap();
            let mut expected = f.evaluator.rotate_rows(&inputs[0], steps[0], &f.galois).unwrap();
            for (steps, a) in &terms[1..] {
                let rotated = f.evaluator.rotate_rows(a, *steps, &f.galois).unwrap();
                f.evaluator.add_assign(&mut expected, &rotated).unwrap();
            }
            assert_eq!(f.decrypt(&sum), f.decrypt(&expected), "{} {steps:?}", f.name);
        }
        assert!(f.evaluator.sum_rotations(&[], &f.galois).is_err());
    }
}

/// The forms of a dot product give the same ciphertext.
#[test]
fn dot_products_in_every_form() {
    for mut f in all() {
        let (limbs, p) = (f.parameters.limbs(), f.parameters.clone());
        let messages: Vec<_> = (0..11).map(|k| f.message(20 + k)).collect();
        let inputs: Vec<_> = (0..11).map(|k| f.message(k)).collect();
        let inputs: Vec<_> = inputs.iter().map(|m| f.encrypt(m)).collect();
        let factors: Vec<_> = messages.iter().map(|m| f.evaluator.multiplicand(m, limbs).unwrap()).collect();
        let dot = f.evaluator.dot_plain(&inputs.iter().zip(&factors).collect::<Vec<_>>()).unwrap();
        let packed: Vec<_> = inputs.iter().map(|a| f.evaluator.packed(a).unwrap()).collect();
        assert!(packed[0].limbs() == limbs && packed[0].bytes() < 16 * limbs * p.degree());
        let other = f.evaluator.dot_packed(&packed.iter().zip(&factors).collect::<Vec<_>>()).unwrap();
        assert_eq!(other, dot, "{}", f.name);
        if let Ok(held) = messages.iter().map(|m| m.compact(&p)).collect::<Result<Vec<_>, _>>() {
            let terms: Vec<_> = inputs.iter().zip(&held).collect();
            assert_eq!(f.evaluator.dot_compact(&terms).unwrap(), dot);
            assert_eq!(f.evaluator.multiplicand_of(&held[2], limbs).unwrap(), factors[2]);
        }
        let all: Vec<_> = factors.iter().enumerate().collect();
        let sums = [all[..4].to_vec(), vec![], all.clone(), vec![(7, &factors[1])]];
        let many = f.evaluator.dot_plain_many(&inputs.iter().collect::<Vec<_>>(), &sums).unwrap();
        assert_eq!(many[2], dot);
        assert_eq!(many[3], f.evaluator.dot_plain(&[(&inputs[7], &factors[1])]).unwrap());
        assert!(f.decrypt(&many[1]).coefficients().iter().all(|x| *x == 0));
        let missing = [vec![(11, &factors[0])]];
        assert!(f.evaluator.dot_plain_many(&[&inputs[0]], &missing).is_err());
        assert!(f.evaluator.dot_packed(&[]).is_err());
    }
}

#[test]
fn ciphertext_products() {
    let mut tried = 0;
    for mut f in all() {
        let (model, limbs) = (f.model(), f.parameters.limbs());
        let fresh = model.fresh_symmetric();
        if !model.decrypts(model.multiply(fresh, fresh, limbs), limbs) {
            continue;
        }
        tried += 1;
        let small = f.parameters.degree() <= 512;
        let (mx, my) = if small {
            (f.message(1), f.message(2))
        } else {
            (f.encoder.slots(&f.values(1)).unwrap(), f.encoder.slots(&f.values(2)).unwrap())
        };
        let (a, b) = (f.encrypt(&mx), f.encrypt(&my));
        let ab = f.evaluator.multiply(&a, &b, &f.relinearisation).unwrap();
        let aa = f.evaluator.square(&a, &f.relinearisation).unwrap();
        let (x, y) = (f.values(1), f.values(2));
        if small {
            assert_eq!(f.decrypt(&ab).coefficients(), product(&f, &x, &y), "{}", f.name);
            assert_eq!(f.decrypt(&aa).coefficients(), product(&f, &x, &x), "{}", f.name);
        } else {
            let expected: Vec<_> =
                x.iter().zip(&y).map(|(x, y)| f.parameters.plain_ring().mul(*x, *y)).collect();
            assert_eq!(f.encoder.decode_slots(&f.decrypt(&ab)).unwrap(), expected, "{}", f.name);
        }
        // A copy is multiplied by the general path, with the same result as the square.
        assert_eq!(f.evaluator.multiply(&a, &a.clone(), &f.relinearisation).unwrap(), aa);
        // Sums before relinearisation.
        let mut lazy = f.evaluator.multiply_lazy(&a, &b).unwrap();
        f.evaluator.add_product_assign(&mut lazy, &f.evaluator.multiply_lazy(&a, &a).unwrap()).unwrap();
        let sum = f.evaluator.relinearise(&lazy, &f.relinearisation).unwrap();
        let (ab, aa) = (f.decrypt(&ab), f.decrypt(&aa));
        assert_eq!(f.decrypt(&sum).coefficients(), zip(&f, ab.coefficients(), aa.coefficients()));
    }
    assert!(tried >= 8, "only {tried} sets had room for a product");
}

#[test]
fn modulus_switching_keeps_the_message() {
    for mut f in all() {
        let message = f.message(5);
        let a = f.encrypt(&message);
        for limbs in (1..=f.parameters.limbs()).rev() {
            let low = f.evaluator.switch_down(&a, limbs).unwrap();
            let noise = f.model().switch_down(f.model().fresh_symmetric(), f.parameters.limbs(), limbs);
            if f.model().decrypts(noise, limbs) {
                assert_eq!(f.decrypt(&low), message, "{} at {limbs}", f.name);
            }
            assert_eq!(low.limbs(), limbs);
        }
        assert!(f.evaluator.switch_down(&a, 0).is_err());
        let low = f.evaluator.switch_down(&a, 1).unwrap();
        assert!(f.evaluator.switch_down(&low, 2).is_err());
        if f.parameters.limbs() > 1 {
            assert!(f.evaluator.add_assign(&mut low.clone(), &a).is_err());
        }
    }
}

#[test]
fn flooding_and_rerandomisation_keep_the_message() {
    for mut f in all() {
        let message = f.message(5);
        let mut a = f.encrypt(&message);
        let before = a.clone();
        f.evaluator.rerandomise(&mut a, &f.public, &mut f.randomness).unwrap();
        assert!(a.parts[0] != before.parts[0] && a.parts[1] != before.parts[1]);
        assert_eq!(f.decrypt(&a), message);
        let model = f.model();
        let noise = model.fresh_symmetric().plus(model.fresh_public());
        let bits =
            (model.budget(noise, f.parameters.limbs()) as u32).min(100) + noise.log2_bound() as u32 - 2;
        f.evaluator.flood(&mut a, bits, &mut f.randomness).unwrap();
        assert_eq!(f.decrypt(&a), message, "{}", f.name);
        assert!(f.secret.measure_noise(&f.parameters, &a).unwrap().log2_max > f64::from(bits) - 1.5);
        assert_eq!(f.evaluator.flood(&mut a, 121, &mut f.randomness), Err(Error::Bits(121)));
        assert_eq!(f.evaluator.flood(&mut a, 0, &mut f.randomness), Err(Error::Bits(0)));
    }
}

#[test]
fn packing_collects_coefficients() {
    for mut f in all() {
        let (model, limbs) = (f.model(), f.parameters.limbs());
        for count in [1, 2, 3, 8] {
            let noise = model.pack(model.fresh_symmetric(), count, limbs);
            if !model.decrypts(noise, limbs) || (f.parameters.degree() > 512 && count != 3) {
                continue;
            }
            let n = f.parameters.degree();
            let inputs: Vec<_> = (0..count as u64).map(|k| f.message(k)).collect();
            let inputs: Vec<_> = inputs.iter().map(|m| f.encrypt(m)).collect();
            let positions: Vec<usize> = (0..count).map(|k| (k * 37 + n - 1) % n).collect();
            let pairs: Vec<_> = inputs.iter().zip(positions.iter().copied()).collect();
            let packed = f.evaluator.pack(&pairs, &f.galois).unwrap();
            let mut expected = vec![0; n];
            for (k, position) in positions.iter().enumerate() {
                expected[k * n / count.next_power_of_two()] = f.values(k as u64)[*position];
            }
            assert_eq!(f.decrypt(&packed).coefficients(), expected, "{} of {count}", f.name);
        }
    }
}

#[test]
fn other_parameters_are_refused() {
    let mut f = Fixture::new(
        "one",
        Parameters::new_INSECURE(set(128, slots(20, 128), &[46, 46], Some(46), None)).unwrap(),
    );
    let mut g = Fixture::new(
        "two",
        Parameters::new_INSECURE(set(128, slots(20, 128), &[46, 45], Some(46), None)).unwrap(),
    );
    let (m, o) = (f.message(1), g.message(1));
    let (a, b) = (f.encrypt(&m), g.encrypt(&o));
    assert_eq!(f.secret.decrypt(&f.parameters, &b), Err(Error::Mismatch("ciphertext")));
    assert_eq!(g.secret.decrypt(&f.parameters, &a), Err(Error::Mismatch("secret key")));
    assert_eq!(f.evaluator.add_assign(&mut a.clone(), &b), Err(Error::Mismatch("ciphertext")));
    assert_eq!(f.evaluator.rotate_rows(&a, 1, &g.galois), Err(Error::Mismatch("Galois key")));
    assert_eq!(f.evaluator.multiply(&a, &a, &g.relinearisation), Err(Error::Mismatch("relinearisation key")));
    assert_eq!(
        f.evaluator.rerandomise(&mut a.clone(), &g.public, &mut f.randomness),
        Err(Error::Mismatch("public key"))
    );
    assert_eq!(f.evaluator.add_plain_assign(&mut a.clone(), &o), Err(Error::Mismatch("plaintext")));
    // The same ring with another plaintext modulus shares keys, not ciphertexts.
    let other = f.parameters.with_plain(slots(21, 128)).unwrap();
    assert_eq!(f.secret.decrypt(&other, &a), Err(Error::Mismatch("ciphertext")));
    let message = Encoder::new(&other).coefficients(&[1, 2, 3]).unwrap();
    let c = f.secret.encrypt(&other, &message, &mut f.randomness).unwrap();
    let square = Evaluator::new(&other).square(&c, &f.relinearisation).unwrap();
    assert_eq!(f.secret.decrypt(&other, &square).unwrap().coefficients()[..5], [1, 4, 10, 12, 9]);
}

#[test]
fn products_of_plaintext_moduli_compose() {
    let moduli: Vec<_> = (0..3).map(|k| PlainModulus::slots(30, 128, k).unwrap()).collect();
    for value in [0u128, 1, 12_345_678_901_234_567_890_123, (1 << 88) - 3] {
        let residues: Vec<u64> = moduli
            .iter()
            .map(|m| match m {
                PlainModulus::Prime(t) => (value % u128::from(*t)) as u64,
                _ => unreachable!(),
            })
            .collect();
        assert_eq!(compose(&moduli, &residues), Some(value));
    }
    assert_eq!(compose(&moduli, &[1, 2]), None);
    assert_eq!(compose(&moduli[..1], &[u64::MAX]), None);
    assert_eq!(compose(&[PlainModulus::PowerOfTwo(8)], &[1]), None);
}

#[test]
fn literals_are_checked() {
    let t = slots(20, 4096);
    let good = set(4096, t, &[36, 36], Some(37), None);
    assert!(Parameters::new(good.clone()).is_ok());
    let refused = |change: &dyn Fn(&mut Literal)| {
        let mut literal = good.clone();
        change(&mut literal);
        Parameters::new(literal).unwrap_err()
    };
    assert!(matches!(refused(&|l| l.degree = 2048), Error::Insecure { bits: 109, limit: 54, .. }));
    assert_eq!(refused(&|l| l.degree = 512), Error::Degree(512));
    assert_eq!(refused(&|l| l.degree = 65536), Error::Degree(65536));
    assert_eq!(refused(&|l| l.data.clear()), Error::Limbs(0));
    assert!(matches!(refused(&|l| l.data[1] = l.data[0]), Error::Limb(_)));
    assert!(matches!(refused(&|l| l.data[1] += 2), Error::Limb(_)));
    assert!(matches!(refused(&|l| l.special = Some(l.data[0])), Error::Limb(_)));
    assert!(matches!(refused(&|l| l.special = Some(65537)), Error::Limb(65537)));
    assert_eq!(refused(&|l| l.digit_bits = Some(0)), Error::DigitBits(0));
    assert!(matches!(refused(&|l| l.plain = PlainModulus::Prime(65536)), Error::Plain(_)));
    assert!(matches!(refused(&|l| l.plain = PlainModulus::Prime(l.data[0])), Error::Plain(_)));
    assert!(matches!(refused(&|l| l.plain = PlainModulus::PowerOfTwo(65)), Error::Plain(_)));
    assert!(matches!(refused(&|l| l.plain = PlainModulus::PowerOfTwo(0)), Error::Plain(_)));
    assert!(matches!(refused(&|l| l.plain = PlainModulus::PowerOfTwo(64)), Error::NoRoom { .. }));
    // The table's edge, for each degree: one bit more is refused.
    for (degree, data) in [(1024, vec![27]), (2048, vec![27, 27]), (4096, vec![36, 36, 37])] {
        let t = PlainModulus::PowerOfTwo(8);
        assert!(Parameters::new(set(degree, t, &data, None, None)).is_ok());
        let mut over = data.clone();
        over[0] += 1;
        assert!(matches!(Parameters::new(set(degree, t, &over, None, None)), Err(Error::Insecure { .. })));
    }
}
