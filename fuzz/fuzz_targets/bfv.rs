//! Every object of the homomorphic layer: any bytes give the object, which encodes to the same bytes and can be used, or an
//! error. The bytes are tried as they are, and behind a right header at the right length, which random bytes would not find.
#![no_main]

use std::sync::LazyLock;

use bfv::{
    Ciphertext, Encoder, Evaluator, GaloisKeys, Literal, Parameters, PlainModulus, Plaintext, PublicKey,
    Randomness, RelinearisationKey, Reply, SecretKey, WIRE_VERSION,
};
use kernel::seed::Seed;
use libfuzzer_sys::fuzz_target;

/// Most keys that are read.
const KEYS: usize = 3;

struct Set {
    parameters: Parameters,
    secret: SecretKey,
    evaluator: Evaluator,
    ciphertext: Ciphertext,
}

impl Set {
    fn new(
        degree: usize,
        plain: PlainModulus,
        data: &[u32],
        special: Option<u32>,
        digit_bits: Option<u32>,
    ) -> Self {
        let literal = Literal::with_sizes(degree, plain, data, special).expect("primes");
        let parameters = Parameters::new(Literal { digit_bits, ..literal }).expect("a set");
        let mut randomness = Randomness::new(Seed::from_bytes([7; 32]));
        let secret = SecretKey::new(&parameters, &mut randomness);
        let message = Encoder::new(&parameters).coefficients(&[1, 2, 3]).expect("a message");
        let ciphertext = secret.encrypt(&parameters, &message, &mut randomness).expect("encrypts");
        Self { evaluator: Evaluator::new(&parameters), parameters, secret, ciphertext }
    }

    /// Reads one kind of object, and uses it.
    fn read(&self, kind: u8, bytes: &[u8], positions: Option<&[u32]>) {
        let (p, evaluator) = (&self.parameters, &self.evaluator);
        match kind % 8 {
            0 => {
                if let Ok(set) = Parameters::from_bytes(bytes) {
                    assert_eq!(set.to_bytes(), bytes);
                }
            }
            1 => {
                if let Ok(message) = Plaintext::from_bytes(p, bytes) {
                    assert_eq!(message.to_bytes(p).as_deref(), Ok(bytes));
                }
            }
            2 => {
                if let Ok(a) = Ciphertext::from_bytes(p, bytes) {
                    assert_eq!(a.to_bytes(p).as_deref(), Ok(bytes));
                    self.secret.decrypt(p, &a).expect("any ciphertext decrypts to something");
                    let _ = evaluator.hoist(&a).expect("any ciphertext can be rotated");
                }
            }
            3 => {
                if let Ok(reply) = Reply::from_bytes(p, positions, bytes) {
                    assert_eq!(reply.to_bytes(p).as_deref(), Ok(bytes));
                    self.secret.decrypt_reply(p, &reply).expect("any reply decrypts to something");
                }
            }
            4 => {
                if let Ok(key) = PublicKey::from_bytes(p, bytes) {
                    assert_eq!(key.to_bytes(p).as_deref(), Ok(bytes));
                    let mut randomness = Randomness::new(Seed::from_bytes([8; 32]));
                    evaluator
                        .rerandomise(&mut self.ciphertext.clone(), &key, &mut randomness)
                        .expect("a key");
                }
            }
            5 => {
                if let Ok(key) = RelinearisationKey::from_bytes(p, bytes) {
                    assert_eq!(key.to_bytes(p).as_deref(), Ok(bytes));
                    evaluator.square(&self.ciphertext, &key).expect("a key");
                }
            }
            6 => {
                if let Ok(keys) = GaloisKeys::from_bytes(p, KEYS, bytes) {
                    assert_eq!(keys.to_bytes(p).as_deref(), Ok(bytes));
                    for g in keys.exponents() {
                        let _ = evaluator.automorphism(&self.ciphertext, g, &keys);
                    }
                }
            }
            _ => {
                if let Ok(key) = SecretKey::from_bytes(p, bytes) {
                    assert_eq!(key.to_bytes(p).expect("its own ring").as_slice(), bytes);
                }
            }
        }
    }

    /// The identifier in an object's header, and the lengths of its forms.
    fn frame(&self, kind: u8, choice: usize, positions: Option<&[u32]>) -> (u64, usize) {
        let p = &self.parameters;
        let limbs = 1 + choice / 2 % p.limbs();
        let length = match kind % 8 {
            0 => 32 + 8 * p.limbs(),
            1 => 10 + p.degree() * p.plain().bits() as usize / 8,
            2 => Ciphertext::wire_bytes(p, limbs, choice % 2 == 1),
            3 => {
                let message = self.evaluator.switch_down(&self.ciphertext, limbs.min(2)).expect("a level");
                let low_bits = [choice as u32 % 20, choice as u32 / 20 % 20];
                let shape = bfv::ReplyShape { limbs: message.limbs(), low_bits };
                let values = positions.map_or(p.degree(), <[u32]>::len);
                Reply::wire_bytes(p, shape, values)
            }
            4 => PublicKey::wire_bytes(p),
            5 => RelinearisationKey::wire_bytes(p),
            6 => GaloisKeys::wire_bytes(p, 1 + choice % KEYS),
            _ => 10 + p.degree() / 4,
        };
        (if matches!(kind % 8, 1..=3) { p.id() } else { p.ring_id() }, length)
    }
}

/// A prime with slots and narrow digits, a power of two with a special prime, and slots of many bits.
static SETS: LazyLock<[Set; 2]> = LazyLock::new(|| {
    let prime = PlainModulus::slots(14, 2048, 0).expect("a prime");
    [
        Set::new(2048, prime, &[27, 27], None, Some(9)),
        Set::new(4096, PlainModulus::PowerOfTwo(16), &[36, 36], Some(37), None),
    ]
});

/// Kinds on the wire, in the order of [`Set::read`].
const KINDS: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fuzz_target!(|bytes: &[u8]| {
    let Some(([kind, which, choice, form], rest)) = bytes.split_first_chunk() else { return };
    let set = &SETS[usize::from(*which) % SETS.len()];
    let positions = [3, 900, 2047];
    let positions = (which & 16 != 0).then_some(&positions[..]);
    set.read(*kind, rest, positions);
    let (id, length) = set.frame(*kind, usize::from(*choice), positions);
    let mut framed = vec![WIRE_VERSION, KINDS[usize::from(kind % 8)]];
    framed.extend(if kind % 8 == 0 { set.parameters.id() } else { id }.to_le_bytes());
    framed.extend(rest.iter().copied().chain(std::iter::repeat(0)).take(length.saturating_sub(10)));
    if form % 2 == 1 && framed.len() > 12 {
        // The fields before the residues, which the length goes with.
        framed[10] = 1 + choice / 2 % set.parameters.limbs() as u8;
        framed[11] = choice % 2;
    }
    set.read(*kind, &framed, positions);
});
