//! Arrays as NumPy files.

/// A file of 32-bit floats in rows, in the format's version 1.
pub fn array(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let lengths: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({lengths}), }}");
    // The header ends with a newline, and with it at a multiple of 64 bytes.
    let length = (10 + head.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{head:<width$}\n", width = length - 1).into_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn arrays_have_a_header_of_whole_lines() {
        let bytes = super::array(&[1, 3], &[1.0, 2.0, 3.0]);
        assert_eq!(bytes.len() % 64, 12);
        assert!(bytes.windows(6).any(|window| window == b"(1, 3,"));
    }
}
