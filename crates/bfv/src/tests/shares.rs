//! Masked replies: shares that add up to the message or one more.

use super::*;

/// Shares of a product with small weights, at some positions: what their sums exceed the message by. `None` if no reply
/// holds the noise.
fn differences(f: &mut Fixture, values: &[u64]) -> Option<Vec<u64>> {
    let message = f.encoder.coefficients(values).unwrap();
    let mut product = f.encrypt(&message);
    let weights: Vec<i64> = (0..64).map(|i| i * 37 % 31 - 15).collect();
    let factor = f.encoder.coefficients_signed(&weights).unwrap();
    let factor = f.evaluator.multiplicand(&factor, f.parameters.limbs()).unwrap();
    f.evaluator.mul_plain_assign(&mut product, &factor).unwrap();
    let expected = f.decrypt(&product);
    f.evaluator.rerandomise(&mut product, &f.public, &mut f.randomness).unwrap();
    let squared_norm = weights.iter().map(|w| (w * w) as f64).sum();
    let model = f.model();
    let noise = model.mul_plain(model.fresh_symmetric(), squared_norm).plus(model.fresh_public());
    let positions: Vec<u32> = (0..f.parameters.degree() as u32).step_by(3).collect();
    let shape = model.reply_shape(noise, f.parameters.limbs(), positions.len())?;
    let mask = f.evaluator.reply_mask(shape.limbs, &mut f.randomness).unwrap();
    let mine = f.evaluator.mask_shares(&mask).unwrap();
    let reply = f.evaluator.masked_reply(&product, shape, &positions, &mask).unwrap();
    let reply = Reply::from_bytes(&f.parameters, Some(&positions), &reply.to_bytes(&f.parameters).unwrap());
    let theirs = f.secret.decrypt_reply(&f.parameters, &reply.unwrap()).unwrap();
    let plain = f.parameters.plain_ring();
    let difference = |p: &u32| {
        let [a, b, m] = [&mine, &theirs, &expected].map(|poly| poly.coefficients()[*p as usize]);
        plain.add(plain.add(a, b), plain.neg(m))
    };
    Some(positions.iter().map(difference).collect())
}

#[test]
fn shares_add_up_to_the_message_or_one_more() {
    let mut tested = 0;
    for mut f in toys().into_iter().chain(secure()).filter(|f| f.parameters.plain().bits() >= 8) {
        let values = f.values(3);
        let Some(differences) = differences(&mut f, &values) else { continue };
        assert!(differences.iter().all(|d| *d <= 1), "{}", f.name);
        // Both occur: a rounding towards one side would be a bias of the shares.
        assert!([0, 1].iter().all(|d| differences.contains(d)), "{}", f.name);
        tested += 1;
    }
    assert!(tested >= 9, "{tested}");
}

#[test]
fn masks_are_of_their_parameters_and_shape() {
    let mut sets = toys();
    let mut other = sets.remove(1);
    let mut f = sets.remove(0);
    let message = f.message(1);
    let a = f.encrypt(&message);
    let shape = ReplyShape { limbs: 1, low_bits: [0, 0] };
    let foreign = other.evaluator.reply_mask(1, &mut other.randomness).unwrap();
    assert!(f.evaluator.masked_reply(&a, shape, &[0], &foreign).is_err());
    assert!(f.evaluator.mask_shares(&foreign).is_err());
    let wide = f.evaluator.reply_mask(2, &mut f.randomness).unwrap();
    assert!(f.evaluator.masked_reply(&a, shape, &[0], &wide).is_err());
    assert!(f.evaluator.reply_mask(3, &mut f.randomness).is_err());
    assert!(f.evaluator.reply_mask(0, &mut f.randomness).is_err());
}
