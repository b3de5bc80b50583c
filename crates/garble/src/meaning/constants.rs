//! Constants of the hyperbolic CORDIC, rounded to 62 fraction bits. A test recomputes them.
//!
//! They are numbers, not calls to a mathematics library, since both parties must have the same integers on every machine.

/// Fraction bits of the constants.
pub const FRACTION: u32 = 62;

/// ln 2.
pub const LN_2: u64 = 0x2c5c_85fd_f473_de6b;

/// Entry i - 1: artanh(2^-i), for i from 1 to 14.
pub const ARTANH: [u64; 14] = [
    0x2327_d4f5_5a06_152f,
    0x1058_aefa_8114_51a7,
    0x080a_c48e_4f57_7bb5,
    0x0401_5622_b4dd_6b37,
    0x0200_2ab1_1235_dc49,
    0x0100_0555_888a_d1ca,
    0x0080_00aa_ac44_48d7,
    0x0040_0015_5562_222b,
    0x0020_0002_aaab_1111,
    0x0010_0000_5555_5889,
    0x0008_0000_0aaa_aac4,
    0x0004_0000_0155_5556,
    0x0002_0000_002a_aaab,
    0x0001_0000_0005_5555,
];

/// Entry i - 1: 1 / sqrt(1 - 4^-i), for i from 1 to 31; from there on it rounds to 1.
pub const INVERSE_GAIN: [u64; 31] = [
    0x49e6_9d16_40cc_7135,
    0x4219_528b_53db_6a03,
    0x4081_8511_bfea_66c2,
    0x4020_1814_118f_ce7d,
    0x4008_0180_5011_83f1,
    0x4002_0018_0140_1181,
    0x4000_8001_8005_0012,
    0x4000_2000_1800_1400,
    0x4000_0800_0180_0050,
    0x4000_0200_0018_0001,
    0x4000_0080_0001_8000,
    0x4000_0020_0000_1800,
    0x4000_0008_0000_0180,
    0x4000_0002_0000_0018,
    0x4000_0000_8000_0002,
    0x4000_0000_2000_0000,
    0x4000_0000_0800_0000,
    0x4000_0000_0200_0000,
    0x4000_0000_0080_0000,
    0x4000_0000_0020_0000,
    0x4000_0000_0008_0000,
    0x4000_0000_0002_0000,
    0x4000_0000_0000_8000,
    0x4000_0000_0000_2000,
    0x4000_0000_0000_0800,
    0x4000_0000_0000_0200,
    0x4000_0000_0000_0080,
    0x4000_0000_0000_0020,
    0x4000_0000_0000_0008,
    0x4000_0000_0000_0002,
    0x4000_0000_0000_0001,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Within what a double can tell, or half a unit.
    fn close(constant: u64, value: f64) -> bool {
        let unit = 0.5_f64.powi(FRACTION as i32);
        (constant as f64 * unit - value).abs() < 4.0 * f64::EPSILON * value + unit
    }

    #[test]
    fn constants_are_what_they_are_called() {
        assert!(close(LN_2, 2_f64.ln()));
        for (i, constant) in ARTANH.iter().enumerate() {
            assert!(close(*constant, 0.5_f64.powi(i as i32 + 1).atanh()), "artanh(2^-{})", i + 1);
        }
        for (i, constant) in INVERSE_GAIN.iter().enumerate() {
            assert!(close(*constant, 1.0 / (1.0 - 0.25_f64.powi(i as i32 + 1)).sqrt()), "gain {}", i + 1);
        }
    }
}
