//! The noise model against measured noise.

use super::generalised::{message_of, secure_space, spaces};
use super::*;

/// Measured deviation of a coefficient against the model: not above by more than sampling error (a tenth of a bit
/// over hundreds of coefficients and more for the coherent terms of small rings), not below by more than `slack`.
fn compare(f: &Fixture, what: &str, a: &Ciphertext, predicted: Noise, slack: f64) {
    let measured = f.secret.measure_noise(&f.parameters, a).unwrap();
    if !f.model().decrypts(predicted, a.limbs()) {
        return;
    }
    let excess = measured.log2_deviation - predicted.log2_deviation();
    assert!(excess < 0.75, "{}: {what} is {excess:.2} bits above the model", f.name);
    assert!(excess > -slack, "{}: {what} is {:.2} bits below the model", f.name, -excess);
    assert!(measured.log2_max < predicted.log2_bound(), "{}: {what} exceeds the bound", f.name);
    assert!(measured.budget > f.model().budget(predicted, a.limbs()));
}

#[test]
fn model_matches_measurement() {
    let mut all = toys();
    all.extend(secure());
    for mut f in all {
        let (model, limbs) = (f.model(), f.parameters.limbs());
        let (m, o) = (f.message(1), f.message(2));
        let (a, b) = (f.encrypt(&m), f.encrypt(&o));
        let fresh = model.fresh_symmetric();
        compare(&f, "symmetric encryption", &a, fresh, 0.75);
        let public = f.public.encrypt(&f.parameters, &m, &mut f.randomness).unwrap();
        compare(&f, "public encryption", &public, model.fresh_public(), 0.75);
        let mut sum = a.clone();
        f.evaluator.add_assign(&mut sum, &b).unwrap();
        compare(&f, "sum", &sum, fresh.plus(fresh), 0.75);
        let factor = f.evaluator.multiplicand(&o, limbs).unwrap();
        let mut scaled = a.clone();
        f.evaluator.mul_plain_assign(&mut scaled, &factor).unwrap();
        compare(&f, "plain product", &scaled, model.mul_plain_full(fresh), 1.0);
        let rotated = f.evaluator.rotate_rows(&a, 1, &f.galois).unwrap();
        compare(&f, "rotation", &rotated, model.key_switch(fresh, limbs), 1.0);
        let product = f.evaluator.multiply(&a, &b, &f.relinearisation).unwrap();
        compare(&f, "product", &product, model.multiply(fresh, fresh, limbs), 1.5);
        let square = f.evaluator.square(&a, &f.relinearisation).unwrap();
        compare(&f, "square", &square, model.square(fresh, limbs), 2.0);
        for to in 1..limbs {
            let low = f.evaluator.switch_down(&rotated, to).unwrap();
            compare(&f, "switch", &low, model.switch_down(model.key_switch(fresh, limbs), limbs, to), 1.0);
        }
        let mut flooded = a.clone();
        f.evaluator.flood(&mut flooded, 20, &mut f.randomness).unwrap();
        compare(&f, "flooding", &flooded, model.flood(fresh, 20), 0.75);
        let packed = f.evaluator.pack(&[(&a, 3), (&b, 0), (&a, 1)], &f.galois).unwrap();
        // The model speaks of the coefficients that are kept, the measurement of all: they differ by the trace's
        // factor of two a step.
        let trace = f64::from(f.parameters.degree().trailing_zeros() - 2);
        compare(&f, "packing", &packed, model.pack(fresh, 3, limbs), trace / 2.0 + 1.5);
    }
}

#[test]
fn model_matches_measurement_in_generalised_spaces() {
    for mut f in spaces().into_iter().chain([secure_space()]) {
        let (model, limbs) = (f.model(), f.parameters.limbs());
        let (m, o) = (message_of(&f, 1), message_of(&f, 2));
        let (a, b) = (f.encrypt(&m), f.encrypt(&o));
        let fresh = model.fresh_symmetric();
        compare(&f, "symmetric encryption", &a, fresh, 0.75);
        let public = f.public.encrypt(&f.parameters, &m, &mut f.randomness).unwrap();
        compare(&f, "public encryption", &public, model.fresh_public(), 0.75);
        let factor = f.evaluator.multiplicand(&o, limbs).unwrap();
        let mut scaled = a.clone();
        f.evaluator.mul_plain_assign(&mut scaled, &factor).unwrap();
        compare(&f, "plain product", &scaled, model.mul_plain_full(fresh), 1.0);
        let norm = o.squared_norm(&f.parameters).unwrap();
        compare(&f, "plain product of a norm", &scaled, model.mul_plain(fresh, norm), 0.75);
        let rotated = f.evaluator.rotate_rows(&a, 1, &f.galois).unwrap();
        compare(&f, "rotation", &rotated, model.key_switch(fresh, limbs), 1.0);
        let product = f.evaluator.multiply(&a, &b, &f.relinearisation).unwrap();
        compare(&f, "product", &product, model.multiply(fresh, fresh, limbs), 1.5);
        let noisy = f.evaluator.multiply(&scaled, &public, &f.relinearisation).unwrap();
        let noise = model.multiply(model.mul_plain_full(fresh), model.fresh_public(), limbs);
        compare(&f, "product of products", &noisy, noise, 1.5);
        let square = f.evaluator.square(&a, &f.relinearisation).unwrap();
        compare(&f, "square", &square, model.square(fresh, limbs), 2.0);
        for to in 1..limbs {
            let low = f.evaluator.switch_down(&rotated, to).unwrap();
            compare(&f, "switch", &low, model.switch_down(model.key_switch(fresh, limbs), limbs, to), 1.0);
        }
    }
}

/// Noise beyond the budget is seen: the message is lost when the model says it may be, and not long before.
#[test]
fn budget_is_where_decryption_fails() {
    let literal = set(256, slots(17, 256), &[40, 40], Some(41), None);
    let mut f = Fixture::new("edge", Parameters::new_INSECURE(literal).unwrap());
    let message = f.message(1);
    let a = f.encrypt(&message);
    let limit = f.parameters.log2_modulus(2) - f.parameters.plain().log2() - 1.0;
    let mut inside = a.clone();
    f.evaluator.flood(&mut inside, limit as u32, &mut f.randomness).unwrap();
    assert_eq!(f.decrypt(&inside), message);
    let mut outside = a.clone();
    f.evaluator.flood(&mut outside, limit as u32 + 3, &mut f.randomness).unwrap();
    assert_ne!(f.decrypt(&outside), message);
    let measured = f.secret.measure_noise_of(&f.parameters, &outside, &message).unwrap();
    assert!(measured.budget < 0.0 && measured.log2_max > limit);
}
