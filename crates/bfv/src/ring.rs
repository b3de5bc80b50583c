//! The ring `Z_Q[X] / (X^N + 1)` in residue form, and its polynomials.
//!
//! A ciphertext with `l` limbs counts modulo `Q_l = q_1 ... q_l`, the first `l` of the data primes; keys also have a
//! row for the special prime `P`, which comes last.

use kernel::modular::{Modulus, Packed, Shoup, Words};
use kernel::ntt::Ntt;
use kernel::seed::Seed;
use zeroize::Zeroize;

use crate::error::Error;
use crate::random::Stream;

/// The rows of one or more polynomials, each of the ring's degree.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    words: Words,
    degree: usize,
}

impl Rows {
    pub(crate) fn zeros(count: usize, degree: usize) -> Self {
        Self { words: Words::zeros(count * degree), degree }
    }

    /// Rows of unspecified contents, for a caller that overwrites all of them.
    pub(crate) fn scratch(count: usize, degree: usize) -> Self {
        Self { words: Words::scratch(count * degree), degree }
    }

    /// As many rows as these, of unspecified contents.
    pub(crate) fn scratch_like(&self) -> Self {
        Self::scratch(self.count(), self.degree)
    }

    pub(crate) fn count(&self) -> usize {
        self.words.len() / self.degree
    }

    pub(crate) fn row(&self, index: usize) -> &[u64] {
        &self.words[index * self.degree..(index + 1) * self.degree]
    }

    pub(crate) fn row_mut(&mut self, index: usize) -> &mut [u64] {
        &mut self.words[index * self.degree..(index + 1) * self.degree]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u64]> {
        self.words.chunks_exact(self.degree)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut [u64]> {
        self.words.chunks_exact_mut(self.degree)
    }

    /// The first two rows.
    pub(crate) fn pair_mut(&mut self) -> [&mut [u64]; 2] {
        let (first, second) = self.words.split_at_mut(self.degree);
        [first, &mut second[..self.degree]]
    }

    /// The rows two by two.
    pub(crate) fn pairs_mut(&mut self) -> impl Iterator<Item = [&mut [u64]; 2]> {
        let degree = self.degree;
        self.words.chunks_exact_mut(2 * degree).map(move |pair| {
            let (first, second) = pair.split_at_mut(degree);
            [first, second]
        })
    }

    /// All rows but the last, and the last.
    fn split_last_mut(&mut self) -> (&mut [u64], &mut [u64]) {
        let length = self.words.len() - self.degree;
        self.words.split_at_mut(length)
    }

    /// Keeps the first rows.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.words.truncate(count * self.degree);
    }
}

/// Rows are too long to print, and some are secret.
impl core::fmt::Debug for Rows {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Rows({} x {})", self.count(), self.degree)
    }
}

impl Zeroize for Rows {
    fn zeroize(&mut self) {
        self.words.zeroize();
    }
}

/// Rows that hold a secret, erased on drop.
pub(crate) struct SecretRows(pub(crate) Rows);

impl Drop for SecretRows {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The rows of a polynomial that is kept to be multiplied by many others: in as few bits as each prime has, because such
/// products are bound by memory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PackedRows(pub(crate) Vec<Packed>);

impl PackedRows {
    pub(crate) fn row(&self, index: usize) -> &Packed {
        &self.0[index]
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Packed> {
        self.0.iter()
    }
}

impl core::fmt::Debug for PackedRows {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PackedRows({})", self.count())
    }
}

/// One data limb's constants.
#[derive(Debug)]
struct Limb {
    /// `1 / q_k mod q_j` for every data limb `q_k` after this one (`q_j`): entry `k`.
    inverses: Vec<Shoup>,
    /// `1 / P mod q_j`.
    special_inverse: Shoup,
    /// `P mod q_j`, or 1 without a special prime.
    special: Shoup,
}

/// The ring of one parameter set: transforms and constants.
#[derive(Debug)]
pub(crate) struct Ring {
    degree: usize,
    /// Transforms of the data primes, then of the special one.
    ntts: Vec<Ntt>,
    data: usize,
    limbs: Vec<Limb>,
}

impl Ring {
    /// The ring of these primes, which the caller has checked to be distinct.
    pub(crate) fn new(degree: usize, data: &[u64], special: Option<u64>) -> Result<Self, Error> {
        let ntts = data
            .iter()
            .chain(&special)
            .map(|q| Ntt::new(degree, *q).map_err(|_| Error::Limb(*q)))
            .collect::<Result<Vec<_>, _>>()?;
        let special_value = special.unwrap_or(1);
        let inverse = |q: &Modulus, x: u64| q.inverse(q.reduce(x)).map(|x| q.shoup(x)).ok_or(Error::Limb(x));
        let limbs = (0..data.len())
            .map(|j| {
                let q = ntts[j].modulus();
                let inverses = (0..data.len())
                    .map(|k| if k > j { inverse(q, data[k]) } else { Ok(q.shoup(1)) })
                    .collect::<Result<_, _>>()?;
                let special_inverse = inverse(q, special_value)?;
                Ok(Limb { inverses, special_inverse, special: q.shoup(special_value) })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { degree, ntts, data: data.len(), limbs })
    }

    pub(crate) fn degree(&self) -> usize {
        self.degree
    }

    /// Number of data primes.
    pub(crate) fn data(&self) -> usize {
        self.data
    }

    /// Number of all primes.
    pub(crate) fn all(&self) -> usize {
        self.ntts.len()
    }

    pub(crate) fn has_special(&self) -> bool {
        self.all() > self.data
    }

    pub(crate) fn modulus(&self, row: usize) -> &Modulus {
        self.ntts[row].modulus()
    }

    pub(crate) fn moduli(&self, limbs: usize) -> impl Iterator<Item = &Modulus> {
        self.ntts[..limbs].iter().map(Ntt::modulus)
    }

    pub(crate) fn ntt(&self, row: usize) -> &Ntt {
        &self.ntts[row]
    }

    /// `P mod q_row`, or 1 without a special prime.
    pub(crate) fn special_factor(&self, row: usize) -> Shoup {
        self.limbs[row].special
    }

    /// The base-2 logarithm of `Q_l`.
    pub(crate) fn log2_modulus(&self, limbs: usize) -> f64 {
        self.moduli(limbs).map(|q| (q.value() as f64).log2()).sum()
    }

    pub(crate) fn zeros(&self, rows: usize) -> Rows {
        Rows::zeros(rows, self.degree)
    }

    /// Rows of unspecified contents, for a caller that overwrites all of them.
    pub(crate) fn scratch(&self, rows: usize) -> Rows {
        Rows::scratch(rows, self.degree)
    }

    pub(crate) fn forward(&self, poly: &mut Rows) {
        for (ntt, row) in self.ntts.iter().zip(poly.iter_mut()) {
            ntt.forward(row);
        }
    }

    pub(crate) fn inverse(&self, poly: &mut Rows) {
        for (ntt, row) in self.ntts.iter().zip(poly.iter_mut()) {
            ntt.inverse(row);
        }
    }

    pub(crate) fn add_assign(&self, a: &mut Rows, b: &Rows) {
        for ((ntt, a), b) in self.ntts.iter().zip(a.iter_mut()).zip(b.iter()) {
            ntt.modulus().add_assign(a, b);
        }
    }

    pub(crate) fn sub_assign(&self, a: &mut Rows, b: &Rows) {
        for ((ntt, a), b) in self.ntts.iter().zip(a.iter_mut()).zip(b.iter()) {
            ntt.modulus().sub_assign(a, b);
        }
    }

    pub(crate) fn neg_assign(&self, a: &mut Rows) {
        for (ntt, a) in self.ntts.iter().zip(a.iter_mut()) {
            ntt.modulus().neg_assign(a);
        }
    }

    pub(crate) fn mul_assign(&self, a: &mut Rows, b: &Rows) {
        for ((ntt, a), b) in self.ntts.iter().zip(a.iter_mut()).zip(b.iter()) {
            ntt.modulus().mul_assign(a, b);
        }
    }

    pub(crate) fn mul_add_assign(&self, out: &mut Rows, a: &Rows, b: &Rows) {
        for (((ntt, out), a), b) in self.ntts.iter().zip(out.iter_mut()).zip(a.iter()).zip(b.iter()) {
            ntt.modulus().mul_add_assign(out, a, b);
        }
    }

    /// Packs a polynomial on the first primes.
    pub(crate) fn pack(&self, poly: &Rows) -> PackedRows {
        PackedRows(
            self.ntts.iter().zip(poly.iter()).map(|(ntt, row)| Packed::new(ntt.modulus(), row)).collect(),
        )
    }

    /// The rows of a polynomial on all primes that are of the first `limbs` primes and of the special one.
    pub(crate) fn pack_extended(&self, poly: &Rows, limbs: usize) -> PackedRows {
        let pack = |prime: usize| Packed::new(self.modulus(prime), poly.row(prime));
        PackedRows(self.extended(limbs).map(pack).collect())
    }

    /// The first `limbs` primes and the special one, if there is one.
    pub(crate) fn extended(&self, limbs: usize) -> impl Iterator<Item = usize> + use<> {
        (0..limbs).chain(self.data..self.all())
    }

    /// Small coefficients in evaluation form, on the first `rows` primes.
    pub(crate) fn small(&self, coefficients: &[i8], rows: usize) -> Rows {
        let mut out = self.scratch(rows);
        for (ntt, row) in self.ntts.iter().zip(out.iter_mut()) {
            ntt.modulus().small_into(row, coefficients);
            ntt.forward(row);
        }
        out
    }

    /// The uniform polynomial of a seed, on the first `rows` primes: row `j` is the stream of the child "row" `j`, so
    /// that fewer rows are a prefix.
    pub(crate) fn uniform(&self, seed: &Seed, rows: usize) -> Rows {
        let mut out = self.scratch(rows);
        for (index, (ntt, row)) in self.ntts.iter().zip(out.iter_mut()).enumerate() {
            Stream::new(&seed.child("row", index as u64)).uniform(ntt.modulus(), row);
        }
        out
    }

    /// The automorphism `X -> X^g` of a polynomial in evaluation form.
    pub(crate) fn automorphism(&self, poly: &Rows, g: usize) -> Rows {
        let mut out = self.scratch(poly.count());
        for ((ntt, out), row) in self.ntts.iter().zip(out.iter_mut()).zip(poly.iter()) {
            ntt.automorphism_into(out, row, g);
        }
        out
    }

    /// The monomial `X^power` in evaluation form on the first `limbs` primes.
    pub(crate) fn monomial(&self, power: usize, limbs: usize) -> Rows {
        let mut out = self.zeros(limbs);
        for (ntt, row) in self.ntts.iter().zip(out.iter_mut()) {
            // X^N = -1.
            let power = power & (2 * self.degree - 1);
            row[power & (self.degree - 1)] = if power < self.degree { 1 } else { ntt.modulus().value() - 1 };
            ntt.forward(row);
        }
        out
    }

    /// `round(poly / q)` where `q` is the prime (number `prime`) of the last row, which goes; all in evaluation form.
    pub(crate) fn divide_round(&self, poly: &mut Rows, prime: usize) {
        let last = poly.count() - 1;
        let mut scratch = self.scratch(1);
        let (rows, dropped) = poly.split_last_mut();
        self.ntts[prime].inverse(dropped);
        for (j, row) in rows.chunks_exact_mut(self.degree).enumerate() {
            let (ntt, limb, scratch) = (&self.ntts[j], &self.limbs[j], scratch.row_mut(0));
            ntt.modulus().rebase_into(scratch, dropped, self.modulus(prime));
            ntt.forward(scratch);
            let inverse = if prime == self.data { limb.special_inverse } else { limb.inverses[prime] };
            ntt.modulus().sub_scale_assign(row, scratch, inverse);
        }
        poly.truncate(last);
    }
}
