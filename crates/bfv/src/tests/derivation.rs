//! Derived parameters: inside the table, run as asked, with the noise below the bound.

use super::*;
use crate::derive::*;

fn request(plain: Plain, operations: &[Operation]) -> Request {
    Request { plain, public: false, operations: operations.to_vec(), min_degree: 1024 }
}

fn slots_of(bits: u32) -> Plain {
    Plain::Slots { bits, count: 1 }
}

#[test]
fn requests_run_within_their_bound() {
    let cases = [
        (slots_of(20), vec![Operation::Rotate, Operation::MulPlainFull, Operation::Sum(16)]),
        (slots_of(17), vec![Operation::Rotate, Operation::MulPlainFull, Operation::Rotate]),
        (Plain::Moduli(vec![PlainModulus::PowerOfTwo(32)]), vec![Operation::MulPlain(4096.0 * 16.0)]),
        (slots_of(20), vec![Operation::Multiply, Operation::Square]),
        (Plain::Moduli(vec![PlainModulus::PowerOfTwo(64)]), vec![Operation::MulPlainFull]),
    ];
    for (plain, operations) in cases {
        let request = request(plain, &operations);
        let parameters = derive(&request).unwrap().remove(0);
        let literal = parameters.literal();
        let bits: u32 = literal.data.iter().chain(&literal.special).map(|q| 64 - q.leading_zeros()).sum();
        assert!(bits <= security::max_modulus_bits(literal.degree).unwrap());
        let mut f = Fixture::new("derived", parameters);
        let limbs = f.parameters.limbs();
        let (message, factor) = (f.message(1), f.message(2));
        let small = vec![4u64; f.parameters.degree()];
        let small = f.encoder.coefficients(&small).unwrap();
        let mut a = f.encrypt(&message);
        for operation in &operations {
            match operation {
                Operation::Rotate => a = f.evaluator.rotate_rows(&a, 1, &f.galois).unwrap(),
                Operation::Multiply | Operation::Square => {
                    a = f.evaluator.square(&a, &f.relinearisation).unwrap()
                }
                Operation::MulPlain(_) => {
                    let factor = f.evaluator.multiplicand(&small, limbs).unwrap();
                    f.evaluator.mul_plain_assign(&mut a, &factor).unwrap();
                }
                Operation::MulPlainFull => {
                    let factor = f.evaluator.multiplicand(&factor, limbs).unwrap();
                    f.evaluator.mul_plain_assign(&mut a, &factor).unwrap();
                }
                _ => {}
            }
        }
        let bound = noise_after(&f.model(), &request, limbs);
        let measured = f.secret.measure_noise(&f.parameters, &a).unwrap();
        assert!(measured.log2_max < bound.log2_bound() && measured.budget > 0.0, "{operations:?}");
        assert!(f.model().decrypts(bound, limbs));
    }
}

#[test]
fn derivation_picks_sensible_sizes() {
    // Gazelle's layer, 64 products and then a rotation at 20 bits: N = 2048 holds it, with narrow digits.
    let gazelle = request(slots_of(20), &[Operation::MulPlainFull, Operation::Sum(64), Operation::Rotate]);
    let tight = derive(&gazelle).unwrap().remove(0);
    assert_eq!((tight.degree(), tight.literal().special), (2048, None));
    // With the rotation first its noise is multiplied, which takes N = 4096 and a special prime.
    let first = request(slots_of(20), &[Operation::Rotate, Operation::MulPlainFull, Operation::Sum(64)]);
    let roomy = derive(&first).unwrap().remove(0);
    assert_eq!((roomy.degree(), roomy.literal().special.is_some()), (4096, true));
    // Flooding to 2^-40 over slots wants N = 8192.
    let mut private = gazelle.clone();
    private.operations.extend([Operation::Rerandomise, Operation::Flood(40)]);
    assert_eq!(derive(&private).unwrap()[0].degree(), 8192);
    // A product of moduli: one ring, one key.
    let product = request(Plain::Slots { bits: 20, count: 4 }, &[Operation::MulPlainFull, Operation::Square]);
    let sets = derive(&product).unwrap();
    assert_eq!(sets.len(), 4);
    assert!(
        sets.windows(2).all(|pair| pair[0].ring_id() == pair[1].ring_id() && pair[0].id() != pair[1].id())
    );
    // A degree can be asked for; nothing outside the table is given.
    let wide = Request { min_degree: 16384, ..gazelle };
    assert_eq!(derive(&wide).unwrap()[0].degree(), 16384);
    let hopeless = request(slots_of(60), &[Operation::Multiply; 12]);
    assert_eq!(derive(&hopeless).unwrap_err(), Error::Underivable { plain_bits: 60 });
    assert!(derive(&request(Plain::Moduli(vec![]), &[])).is_err());
    assert!(derive(&Request { min_degree: 65536, ..wide }).is_err());
}

/// Where a special prime leaves no room, the digits take all of the modulus.
#[test]
fn digits_where_a_special_prime_does_not_fit() {
    let shape = |literal: &Literal| (literal.degree, literal.special.is_some(), literal.digit_bits.is_some());
    let tight = derive(&request(slots_of(20), &[Operation::Rotate])).unwrap().remove(0);
    assert_eq!(shape(tight.literal()), (2048, false, true));
    // A computation that takes more and more modulus, by the norm of its last factor.
    let deep = |bits: i32| {
        let operations = [
            Operation::MulPlainFull,
            Operation::Square,
            Operation::MulPlainFull,
            Operation::Rotate,
            Operation::Square,
            Operation::MulPlain(4f64.powi(bits)),
        ];
        shape(derive(&request(slots_of(21), &operations)).unwrap()[0].literal())
    };
    let mut shapes: Vec<_> = (0..90).step_by(6).map(deep).collect();
    shapes.dedup();
    assert_eq!(shapes, [(8192, true, false), (8192, false, true), (16384, true, false)]);
}
