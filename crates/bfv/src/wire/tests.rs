//! Round trips, hostile bytes, and frozen forms.

use crate::tests::generalised::{message_of, secure_space, spaces};
use crate::tests::{Fixture, secure, toys};
use crate::*;

/// Every prefix class, every flipped header byte, and an appended byte must be refused or decode to something that
/// encodes to the same bytes.
fn hostile<T>(
    what: &str,
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, Error>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    assert_eq!(encode(&decode(bytes).unwrap()), bytes, "{what}");
    for length in (0..40.min(bytes.len())).chain([bytes.len() / 2, bytes.len() - 1]) {
        assert!(decode(&bytes[..length]).is_err(), "{what}: {length} bytes");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(decode(&longer).is_err(), "{what}: a trailing byte");
    for position in (0..bytes.len().min(60)).chain([bytes.len() / 3, bytes.len() - 1]) {
        for flip in [1, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[position] ^= flip;
            if let Ok(object) = decode(&changed) {
                assert_eq!(encode(&object), changed, "{what}: byte {position}");
                assert!(position >= 10, "{what}: the header is checked");
            }
        }
    }
    // All ones: residues above their moduli.
    let mut ones = bytes.to_vec();
    let start = 60.min(ones.len());
    ones[start..].fill(0xff);
    if let Ok(object) = decode(&ones) {
        assert_eq!(encode(&object), ones);
    }
}

#[test]
fn objects_round_trip_and_refuse_hostile_bytes() {
    for mut f in toys() {
        let p = f.parameters.clone();
        let message = f.message(1);
        hostile(
            "plaintext",
            &message.to_bytes(&p).unwrap(),
            |b| Plaintext::from_bytes(&p, b),
            |o| o.to_bytes(&p).unwrap(),
        );
        let a = f.encrypt(&message);
        let public = f.public.encrypt(&p, &message, &mut f.randomness).unwrap();
        for (name, c) in [("seeded ciphertext", a.clone()), ("ciphertext", public)] {
            for limbs in [1, p.limbs()] {
                let c = f.evaluator.switch_down(&c, limbs).unwrap();
                let bytes = c.to_bytes(&p).unwrap();
                assert_eq!(bytes.len(), Ciphertext::wire_bytes(&p, limbs, c.is_seeded()));
                assert_eq!(Ciphertext::from_bytes(&p, &bytes).unwrap(), c);
                hostile(name, &bytes, |b| Ciphertext::from_bytes(&p, b), |o| o.to_bytes(&p).unwrap());
            }
        }
        let bytes = f.public.to_bytes(&p).unwrap();
        assert_eq!(PublicKey::from_bytes(&p, &bytes).unwrap(), f.public);
        assert_eq!(bytes.len(), PublicKey::wire_bytes(&p));
        hostile("public key", &bytes, |b| PublicKey::from_bytes(&p, b), |o| o.to_bytes(&p).unwrap());
        let bytes = f.relinearisation.to_bytes(&p).unwrap();
        assert_eq!(RelinearisationKey::from_bytes(&p, &bytes).unwrap(), f.relinearisation);
        assert_eq!(bytes.len(), RelinearisationKey::wire_bytes(&p));
        hostile(
            "relinearisation key",
            &bytes,
            |b| RelinearisationKey::from_bytes(&p, b),
            |o| o.to_bytes(&p).unwrap(),
        );
        let bytes = f.galois.to_bytes(&p).unwrap();
        assert_eq!(bytes.len(), GaloisKeys::wire_bytes(&p, f.galois.exponents().count()));
        assert_eq!(GaloisKeys::from_bytes(&p, 100, &bytes).unwrap(), f.galois);
        assert!(GaloisKeys::from_bytes(&p, 3, &bytes).is_err());
        let few = GaloisKeys::of_exponents(&p, &f.secret, [3, 5], &mut f.randomness).unwrap();
        hostile(
            "Galois keys",
            &few.to_bytes(&p).unwrap(),
            |b| GaloisKeys::from_bytes(&p, 100, b),
            |o| o.to_bytes(&p).unwrap(),
        );
        let bytes = f.secret.to_bytes(&p).unwrap();
        hostile("secret key", &bytes, |b| SecretKey::from_bytes(&p, b), |o| o.to_bytes(&p).unwrap().to_vec());
        let copy = SecretKey::from_bytes(&p, &bytes).unwrap();
        assert_eq!(copy.decrypt(&p, &a).unwrap(), message);
    }
}

#[test]
fn generalised_objects_round_trip_and_refuse_hostile_bytes() {
    for mut f in spaces() {
        let p = f.parameters.clone();
        let message = message_of(&f, 1);
        let bytes = message.to_bytes(&p).unwrap();
        hostile("plaintext", &bytes, |b| Plaintext::from_bytes(&p, b), |o| o.to_bytes(&p).unwrap());
        // Coefficients that are no balanced digits decode to slots all the same.
        let mut ones = bytes.clone();
        ones[10..].fill(0x7f);
        if let Ok(other) = Plaintext::from_bytes(&p, &ones) {
            assert!(f.encoder.decode_slots_wide(&other).is_ok());
        }
        let a = f.public.encrypt(&p, &message, &mut f.randomness).unwrap();
        let bytes = a.to_bytes(&p).unwrap();
        hostile("ciphertext", &bytes, |b| Ciphertext::from_bytes(&p, b), |o| o.to_bytes(&p).unwrap());
        let model = f.model();
        let shape = model.reply_shape(model.fresh_public(), p.limbs(), p.degree()).unwrap();
        let reply = f.evaluator.reply(&a, shape, None).unwrap();
        assert_eq!(f.secret.decrypt_reply(&p, &reply).unwrap(), message, "{}", f.name);
        let bytes = reply.to_bytes(&p).unwrap();
        assert_eq!(bytes.len(), Reply::wire_bytes(&p, shape, p.degree()));
        hostile("reply", &bytes, |b| Reply::from_bytes(&p, None, b), |o| o.to_bytes(&p).unwrap());
        if p.slot_shape().unwrap().rows == 1 {
            assert_eq!(f.evaluator.reply(&a, shape, Some(&[3])), Err(Error::NoCoefficients));
            assert_eq!(Reply::from_bytes(&p, Some(&[3]), &bytes), Err(Error::NoCoefficients));
        }
        let other = p.with_plain(PlainModulus::slots(20, p.degree(), 3).unwrap()).unwrap();
        assert_eq!(Reply::from_bytes(&other, None, &bytes), Err(Error::Mismatch("reply")));
    }
}

#[test]
fn parameters_round_trip_and_stay_checked() {
    for f in secure().into_iter().chain([secure_space()]) {
        let bytes = f.parameters.to_bytes();
        assert_eq!(Parameters::from_bytes(&bytes).unwrap(), f.parameters);
        hostile("parameters", &bytes, Parameters::from_bytes, Parameters::to_bytes);
    }
    // A toy's bytes are refused: the table holds on the wire too.
    for f in toys() {
        assert!(Parameters::from_bytes(&f.parameters.to_bytes()).is_err());
    }
}

#[test]
fn replies_are_short_and_decrypt() {
    for mut f in toys().into_iter().chain(secure()) {
        let p = f.parameters.clone();
        let (model, n) = (f.model(), p.degree());
        let message = f.message(4);
        let a = f.public.encrypt(&p, &message, &mut f.randomness).unwrap();
        for positions in [None, Some(vec![0u32, 5, n as u32 - 1])] {
            let values = positions.as_ref().map_or(n, Vec::len);
            let Some(shape) = model.reply_shape(model.fresh_public(), p.limbs(), values) else {
                assert!(p.plain().bits() > 30, "{} has a reply", f.name);
                continue;
            };
            let reply = f.evaluator.reply(&a, shape, positions.as_deref()).unwrap();
            let decrypted = f.secret.decrypt_reply(&p, &reply).unwrap();
            for position in 0..n {
                let sent = positions.as_ref().is_none_or(|list| list.contains(&(position as u32)));
                let expected = if sent { message.coefficients()[position] } else { 0 };
                assert_eq!(decrypted.coefficients()[position], expected, "{}", f.name);
            }
            let bytes = reply.to_bytes(&p).unwrap();
            assert_eq!(bytes.len(), Reply::wire_bytes(&p, shape, values));
            assert!(bytes.len() < Ciphertext::wire_bytes(&p, shape.limbs, false));
            assert_eq!(Reply::from_bytes(&p, positions.as_deref(), &bytes).unwrap(), reply);
            let decode = |b: &[u8]| Reply::from_bytes(&p, positions.as_deref(), b);
            hostile("reply", &bytes, decode, |o| o.to_bytes(&p).unwrap());
        }
        let shape = ReplyShape { limbs: 1, low_bits: [3, 3] };
        assert!(f.evaluator.reply(&a, shape, Some(&[3, 3])).is_err());
        assert!(f.evaluator.reply(&a, shape, Some(&[n as u32])).is_err());
        assert!(f.evaluator.reply(&a, ReplyShape { limbs: 3, ..shape }, None).is_err());
        assert!(f.evaluator.reply(&a, ReplyShape { low_bits: [60, 0], ..shape }, None).is_err());
    }
}

/// Coefficients next to the modulus round up to it and must come back as zero.
#[test]
fn replies_wrap_at_the_modulus() {
    let mut f = Fixture::new("wrap", toys()[0].parameters.clone());
    let zero = f.encoder.coefficients(&[]).unwrap();
    let a = f.encrypt(&zero);
    let shape = ReplyShape { limbs: 1, low_bits: [12, 9] };
    let reply = f.evaluator.reply(&a, shape, None).unwrap();
    assert_eq!(f.secret.decrypt_reply(&f.parameters, &reply).unwrap(), zero);
}

/// The bytes of every object from fixed seeds. If one of these changes, the format or the randomness has changed:
/// raise the version, and say so in the change log.
#[test]
fn wire_bytes_are_frozen() {
    let mut f = toys().remove(0);
    let p = f.parameters.clone();
    let message = f.message(1);
    let a = f.encrypt(&message);
    let b = f.public.encrypt(&p, &message, &mut f.randomness).unwrap();
    let shape = ReplyShape { limbs: 1, low_bits: [11, 7] };
    let objects = [
        p.to_bytes(),
        message.to_bytes(&p).unwrap(),
        a.to_bytes(&p).unwrap(),
        b.to_bytes(&p).unwrap(),
        f.evaluator.reply(&b, shape, None).unwrap().to_bytes(&p).unwrap(),
        f.public.to_bytes(&p).unwrap(),
        f.relinearisation.to_bytes(&p).unwrap(),
        f.galois.to_bytes(&p).unwrap(),
        f.secret.to_bytes(&p).unwrap().to_vec(),
        f.evaluator.multiply(&a, &b, &f.relinearisation).unwrap().to_bytes(&p).unwrap(),
        f.evaluator.rotate_rows(&a, 1, &f.galois).unwrap().to_bytes(&p).unwrap(),
    ];
    let digests: Vec<String> =
        objects.iter().map(|bytes| blake3::hash(bytes).to_hex()[..16].to_string()).collect();
    assert_eq!(digests, FROZEN);
}

/// Digests, in the order of the objects above.
const FROZEN: [&str; 11] = [
    "be1876aed074d92b",
    "b0b0e4bbe552f335",
    "07da6fccb280aa8b",
    "c3b27f87e1f60c75",
    "e62de73a49e52be6",
    "cadb89524c242a4c",
    "9137fc67a371b3b1",
    "5ca834b5fbcc14a5",
    "da40e1fd4ddb9f7d",
    "24573ef63d61c0c2",
    "9bf5618f69a7beeb",
];
