//! The table of sizes in the crate's documentation.

use super::*;

/// Bytes at one degree, in the order of the table's rows.
fn sizes(literal: Literal) -> [usize; 8] {
    let p = Parameters::new(literal).unwrap();
    let model = NoiseModel::new(&p);
    let noise = model.mul_plain_full(model.fresh_symmetric()).plus(model.fresh_public());
    let shape = model.reply_shape(noise, p.limbs(), p.degree()).unwrap();
    let coefficient = model.reply_shape(noise, p.limbs(), 64).unwrap();
    [
        Ciphertext::wire_bytes(&p, p.limbs(), true),
        Ciphertext::wire_bytes(&p, p.limbs(), false),
        Ciphertext::wire_bytes(&p, 1, false),
        Reply::wire_bytes(&p, shape, p.degree()),
        Reply::wire_bytes(&p, coefficient, 64),
        PublicKey::wire_bytes(&p),
        RelinearisationKey::wire_bytes(&p),
        GaloisKeys::wire_bytes(&p, 1),
    ]
}

#[test]
fn documented_sizes_hold() {
    let documentation = include_str!("../lib.rs");
    let columns = [
        set(2048, PlainModulus::PowerOfTwo(12), &[27, 27], None, Some(9)),
        set(4096, slots(20, 4096), &[36, 36], Some(37), None),
        set(8192, slots(20, 8192), &[43; 4], Some(46), None),
        set(16384, slots(20, 16384), &[46; 8], Some(50), None),
        set(32768, slots(20, 32768), &[46; 16], Some(50), None),
    ]
    .map(sizes);
    let rows = [
        "ciphertext, symmetric",
        "ciphertext",
        "ciphertext, one limb",
        "reply, all coefficients",
        "reply, 64 coefficients",
        "public key",
        "relinearisation key",
        "Galois key, one",
    ];
    for (index, name) in rows.iter().enumerate() {
        let cells: Vec<String> = columns.iter().map(|column| column[index].to_string()).collect();
        let line = format!("//! | {name} | {} |", cells.join(" | "));
        assert!(documentation.contains(&line), "the documentation lacks\n{line}");
    }
}
