//! Kernels under all interpreters, against plain matrix products.

mod kernels;
mod paper;

use ::bfv::{
    Encoder, GaloisKeys, Literal, Parameters, PlainModulus, Randomness, RelinearisationKey, SecretKey,
};

use crate::error::Error;
use crate::slots::*;

/// A matrix with pseudorandom elements in a pattern.
pub(super) struct Random {
    pub pattern: Pattern,
    pub bound: i128,
}

impl Random {
    pub fn value(&self, output: usize, input: usize) -> i128 {
        let mixed = (output as u64 * 0x9e37_79b9 + input as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93);
        i128::from(mixed >> 33) % (2 * self.bound + 1) - self.bound
    }
}

impl Matrix for Random {
    fn visit_row(&self, output: usize, visit: &mut dyn FnMut(usize, i128)) {
        self.pattern.visit_row(output, &mut |input| visit(input, self.value(output, input)));
    }
}

pub(super) fn product(matrix: &dyn Matrix, outputs: usize, x: &[i128], bias: &[i128]) -> Vec<i128> {
    (0..outputs)
        .map(|output| {
            let mut sum = bias.get(output).copied().unwrap_or(0);
            matrix.visit_row(output, &mut |input, value| sum += value * x[input]);
            sum
        })
        .collect()
}

pub(super) fn elements(count: usize, bound: i128) -> Vec<i128> {
    (0..count as i128).map(|i| (i * 37 + 11) % (2 * bound + 1) - bound).collect()
}

/// A kernel on one operand with everything it needs.
pub(super) struct Case {
    pub cycle: Cycle,
    pub kernel: Kernel,
    pub matrix: Box<dyn Matrix>,
    pub pattern: Pattern,
    pub bias: Vec<i128>,
}

impl Case {
    pub fn random(cycle: Cycle, kernel: Kernel, pattern: Pattern) -> Self {
        let bias = elements(pattern.outputs(), 50);
        Self { cycle, kernel, matrix: Box::new(Random { pattern: pattern.clone(), bound: 5 }), pattern, bias }
    }

    pub fn diagonals(&self) -> Diagonals {
        self.kernel.validate(self.cycle).unwrap();
        Diagonals::new(self.cycle, &self.kernel, core::slice::from_ref(&self.pattern)).unwrap()
    }

    fn layer(&self) -> Layer<'_> {
        Layer { matrices: vec![&*self.matrix], bias: &self.bias }
    }

    /// What the slots must be: each copy of each output.
    fn expected(&self, x: &[i128]) -> Vec<i128> {
        product(&*self.matrix, self.pattern.outputs(), x, &self.bias)
    }

    fn check(&self, slots: &[Vec<i128>], x: &[i128]) {
        let (layout, expected) = (&self.kernel.output, self.expected(x));
        assert_eq!(layout.unpack(self.cycle, slots), expected);
        for (place, value) in layout.places(self.cycle).iter().zip(&expected) {
            for copy in layout.copy_steps(self.cycle).iter().filter(|_| layout.partials.is_empty()) {
                let slot = self.cycle.add(place.slot, copy.slot);
                assert_eq!(slots[place.ciphertext + copy.ciphertext][slot], *value);
            }
        }
    }

    /// Runs in the clear, with junk in slots that hold no element if the kernel allows that; counts.
    pub fn clear(&self) -> Operations {
        let diagonals = self.diagonals();
        let clear = Clear::new(self.cycle, (1 << 89) - 1).unwrap();
        let x = elements(self.pattern.inputs(), 20);
        let input = &self.kernel.inputs[0];
        let mut packed = input.pack(self.cycle, &x);
        if self.kernel.factors == Factors::Slots {
            let taken = input.pack(self.cycle, &vec![1; x.len()]);
            for (slots, taken) in packed.iter_mut().zip(taken) {
                slots
                    .iter_mut()
                    .zip(taken)
                    .filter(|(_, taken)| *taken == 0)
                    .for_each(|(s, _)| *s = 1_000_003);
            }
        }
        let vectors: Vec<_> = packed.iter().map(|slots| clear.vector(slots, 3).unwrap()).collect();
        let weights = Weights::encode(&clear, &self.kernel, &diagonals, &self.layer(), 2).unwrap();
        let inputs: Vec<_> = vectors.iter().collect();
        let out = apply(&clear, &self.kernel, &diagonals, &weights, &inputs).unwrap();
        self.check(&out.iter().map(|v| v.slots.clone()).collect::<Vec<_>>(), &x);

        let count = Count::new(self.cycle);
        let blank = Weights::blank(&self.kernel, &diagonals, !self.bias.is_empty());
        apply(&count, &self.kernel, &diagonals, &blank, &vec![&(); inputs.len()]).unwrap();
        count.take()
    }

    /// Runs on ciphertexts, with exactly the keys that the diagonals ask for, at each budget of memory.
    pub fn encrypted(&self, parameters: &Parameters) {
        assert_eq!(cycle_of(parameters).unwrap(), self.cycle);
        let diagonals = self.diagonals();
        let mut randomness = Randomness::new(::kernel::seed::Seed::from_bytes([7; 32]));
        let secret = SecretKey::new(parameters, &mut randomness);
        let exponents =
            diagonals.steps(self.cycle, &self.kernel).into_iter().map(|step| exponent_of(parameters, step));
        let galois = GaloisKeys::of_exponents(parameters, &secret, exponents, &mut randomness).unwrap();
        let encoder = Encoder::new(parameters);
        let x = elements(self.pattern.inputs(), 20);
        let mut encrypt = |slots: &Vec<i128>| {
            let message = Bfv::new(parameters, None, None, 0).unwrap().message(slots).unwrap();
            secret.encrypt(parameters, &message, &mut randomness).unwrap()
        };
        let inputs: Vec<_> = self.kernel.inputs[0].pack(self.cycle, &x).iter().map(&mut encrypt).collect();
        for budget in [0, 1 << 30] {
            let bfv = Bfv::new(parameters, None, Some(&galois), budget).unwrap();
            let level = parameters.limbs() - 1;
            let weights = Weights::encode(&bfv, &self.kernel, &diagonals, &self.layer(), level).unwrap();
            let out =
                apply(&bfv, &self.kernel, &diagonals, &weights, &inputs.iter().collect::<Vec<_>>()).unwrap();
            assert!(out.iter().all(|c| c.limbs() == level));
            let slots: Vec<Vec<i128>> = out
                .iter()
                .map(|c| {
                    let message = secret.decrypt(parameters, c).unwrap();
                    encoder.decode_slots_wide(&message).unwrap()
                })
                .collect();
            self.check(&slots, &x);
        }
    }
}

/// A toy ring with 64 slots modulo a prime of some 70 bits.
pub(super) fn generalised() -> Parameters {
    let plain = PlainModulus::generalised(256, 64, 1 << 70).unwrap();
    Parameters::new_INSECURE(Literal::with_sizes(256, plain, &[46, 46, 46], Some(50)).unwrap()).unwrap()
}

/// A toy ring of 2 x 128 slots.
pub(super) fn toy() -> Parameters {
    let plain = PlainModulus::slots(20, 256, 0).unwrap();
    Parameters::new_INSECURE(Literal::with_sizes(256, plain, &[46, 46, 46], Some(50)).unwrap()).unwrap()
}

#[test]
fn squares_and_products_of_ciphertexts() {
    let parameters = toy();
    let mut randomness = Randomness::new(::kernel::seed::Seed::from_bytes([8; 32]));
    let secret = SecretKey::new(&parameters, &mut randomness);
    let key = RelinearisationKey::new(&parameters, &secret, &mut randomness).unwrap();
    let bfv = Bfv::new(&parameters, Some(&key), None, 0).unwrap();
    let mut encrypt =
        |slots: &[i128]| secret.encrypt(&parameters, &bfv.message(slots).unwrap(), &mut randomness).unwrap();
    let (a, b) = (encrypt(&[3, -4]), encrypt(&[5, 6]));
    let read = |c: &::bfv::Ciphertext| {
        let slots = Encoder::new(&parameters).decode_slots_signed(&secret.decrypt(&parameters, c).unwrap());
        slots.unwrap()[..2].to_vec()
    };
    assert_eq!(read(&bfv.square(&a).unwrap()), [9, 16]);
    assert_eq!(read(&bfv.multiply(&a, &b).unwrap()), [15, -24]);
    assert!(matches!(Bfv::new(&parameters, None, None, 0).unwrap().square(&a), Err(Error::Key(_))));
    assert!(matches!(bfv.rotate(&a, 1), Err(Error::Key(_))));
}
