//! Products by BGV arithmetic: exact, within their noise bound, and cheaper by whole limbs.

use super::*;

fn fixtures() -> Vec<Fixture> {
    let of =
        |degree, plain, data: &[u32], special| Literal::for_products(degree, plain, data, special).unwrap();
    let toys = [
        ("t 17 bits", of(256, slots(17, 256), &[32, 30, 30, 30, 30], Some(40))),
        ("t 30 bits", of(128, slots(30, 128), &[46, 42, 42], Some(46))),
        ("t 20 bits, whole digits", of(512, slots(20, 512), &[50, 50, 36, 36], None)),
        ("t 2^16", set(128, PlainModulus::PowerOfTwo(16), &[50, 50], Some(50), None)),
    ];
    let secure = of(8192, slots(20, 8192), &[36, 36, 36, 36], Some(37));
    let toys = toys.map(|(name, literal)| Fixture::new(name, Parameters::new_INSECURE(literal).unwrap()));
    toys.into_iter().chain([Fixture::new("8192", Parameters::new(secure).unwrap())]).collect()
}

#[test]
fn primes_make_the_factor_small() {
    for (bits, degree, data) in
        [(20, 8192, vec![36; 4]), (17, 4096, vec![36, 36]), (30, 8192, vec![50, 50, 50])]
    {
        let plain = slots(bits, degree);
        let literal = Literal::for_products(degree, plain, &data, Some(37)).unwrap();
        let sizes: Vec<u32> = literal.data.iter().map(|q| 64 - q.leading_zeros()).collect();
        assert_eq!(sizes, data);
        let parameters = Parameters::new(literal).unwrap();
        for factor in NoiseModel::new(&parameters).product_factors().unwrap() {
            assert!(*factor <= 5.0, "{bits} bits: 2^{factor}");
        }
    }
    let power = PlainModulus::PowerOfTwo(8);
    assert!(matches!(Literal::for_products(4096, power, &[36], None), Err(Error::Plain(_))));
    // Primes of 36 bits are in no class modulo a 40-bit number and 2 N.
    assert!(Literal::for_products(8192, slots(40, 8192), &[36; 4], None).is_err());
}

/// Squares and products in a row, each as planned, against plain integers and the noise model.
#[test]
fn planned_products_are_exact_and_within_the_bound() {
    for mut f in fixtures() {
        let (model, plain) = (f.model(), *f.parameters.plain_ring());
        let mut limbs = f.parameters.limbs();
        let has_slots = f.parameters.has_slots();
        let encode = |f: &Fixture, values: &[u64]| {
            if has_slots { f.encoder.slots(values) } else { f.encoder.coefficients(&values[..1]) }.unwrap()
        };
        let (mut x, y) = (f.values(1), f.values(2));
        let (mx, my) = (encode(&f, &x), encode(&f, &y));
        let (mut a, b) = (f.encrypt(&mx), f.encrypt(&my));
        let mut noise = model.fresh_symmetric();
        let (mut bgv, mut dropped) = (0, 0);
        for round in 0..3 {
            let other = f.evaluator.switch_down(&b, limbs).unwrap();
            let other_noise = model.switch_down(model.fresh_symmetric(), f.parameters.limbs(), limbs);
            let plan = if round == 1 {
                model.plan_product(noise, other_noise, limbs, 12.0)
            } else {
                model.plan_square(noise, limbs, 12.0)
            };
            if !model.decrypts(plan.noise, plan.limbs) {
                break;
            }
            bgv += usize::from(plan.scheme == Scheme::Bgv);
            dropped += limbs - plan.limbs;
            a = if round == 1 {
                f.evaluator.multiply_planned(&a, &other, &plan, &f.relinearisation)
            } else {
                f.evaluator.square_planned(&a, &plan, &f.relinearisation)
            }
            .unwrap();
            x = x.iter().zip(&y).map(|(x, y)| plain.mul(*x, if round == 1 { *y } else { *x })).collect();
            (noise, limbs) = (plan.noise, plan.limbs);
            assert_eq!(a.limbs(), limbs);
            let expected = encode(&f, &x);
            assert_eq!(f.decrypt(&a), expected, "{} round {round}", f.name);
            let measured = f.secret.measure_noise_of(&f.parameters, &a, &expected).unwrap();
            let excess = measured.log2_deviation - noise.log2_deviation();
            // Powers of a sampled deviation: in small rings its sampling error doubles with each square.
            let sampling = if f.parameters.degree() > 1000 { 0.3 } else { 0.75 * f64::from(1 << round) };
            assert!(excess < sampling, "{} round {round}: {excess:.2} bits above the model", f.name);
            assert!(measured.log2_max < noise.log2_bound());
            // The single coefficient of the last set is far below its bound.
            assert!(
                excess > -1.0 - sampling || !has_slots,
                "{} round {round}: {excess:.2} bits below",
                f.name
            );
        }
        assert!(bgv > 0 || !has_slots, "{}: no plan took BGV arithmetic", f.name);
        assert!(dropped > 0 || f.parameters.limbs() < 4, "{}: no limb went", f.name);
    }
}

/// Both arithmetics give encryptions of the same product, and their sums relinearise as one.
#[test]
fn both_arithmetics_meet() {
    for mut f in fixtures().into_iter().take(4) {
        let (m, o) = (f.message(3), f.message(4));
        let (a, b) = (f.encrypt(&m), f.encrypt(&o));
        let mut one = f.evaluator.multiply_lazy(&a, &b).unwrap();
        let two = f.evaluator.multiply_lazy_bgv(&a, &b).unwrap();
        let product = f.decrypt(&f.evaluator.relinearise(&one, &f.relinearisation).unwrap());
        if f.model()
            .multiply_bgv(f.model().fresh_symmetric(), f.model().fresh_symmetric(), a.limbs())
            .is_some_and(|noise| f.model().decrypts(noise, a.limbs()))
        {
            assert_eq!(f.decrypt(&f.evaluator.relinearise(&two, &f.relinearisation).unwrap()), product);
            f.evaluator.add_product_assign(&mut one, &two).unwrap();
            let sum = f.decrypt(&f.evaluator.relinearise(&one, &f.relinearisation).unwrap());
            let plain = f.parameters.plain_ring();
            let doubled: Vec<u64> = product.coefficients().iter().map(|x| plain.add(*x, *x)).collect();
            assert_eq!(sum.coefficients(), doubled);
        }
    }
    let wide = set(128, PlainModulus::PowerOfTwo(64), &[50; 6], Some(50), None);
    let mut f = Fixture::new("wide", Parameters::new_INSECURE(wide).unwrap());
    let message = f.message(1);
    let a = f.encrypt(&message);
    assert!(matches!(f.evaluator.multiply_lazy_bgv(&a, &a), Err(Error::Plain(_))));
    assert_eq!(f.model().plan_square(f.model().fresh_symmetric(), 6, 5.0).scheme, Scheme::Bfv);
}
