//! The security table.

/// Largest bit length of the whole modulus, the special prime included, for ternary secrets and errors of standard
/// deviation 3.19 at 128-bit classical security: the Homomorphic Encryption Standard (2018), table 1.
const TABLE: [(usize, u32); 6] =
    [(1024, 27), (2048, 54), (4096, 109), (8192, 218), (16384, 438), (32768, 881)];

/// The ring degrees of the table, smallest first.
pub fn degrees() -> impl Iterator<Item = usize> {
    TABLE.into_iter().map(|(degree, _)| degree)
}

/// Most bits of the modulus at this ring degree, or `None` where the table is silent.
pub fn max_modulus_bits(degree: usize) -> Option<u32> {
    TABLE.into_iter().find(|(n, _)| *n == degree).map(|(_, bits)| bits)
}
