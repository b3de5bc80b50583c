//! A stream of equal-sized tensors of numbers, whatever file it comes from.

use std::io::Read;

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) kind: ElementKind,
    pub(super) big_endian: bool,
}

/// The kinds of number that NumPy stores and a model can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementKind {
    F16,
    F32,
    F64,
    /// Signed, of 1, 2, 4 or 8 bytes.
    Int(usize),
    /// Unsigned, of 1, 2, 4 or 8 bytes.
    Uint(usize),
}

impl Element {
    /// Bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self.kind {
            ElementKind::F16 => 2,
            ElementKind::F32 => 4,
            ElementKind::F64 => 8,
            ElementKind::Int(bytes) | ElementKind::Uint(bytes) => bytes,
        }
    }

    /// The number in `bytes`, which has [`Element::bytes`] of them.
    fn value(self, bytes: &[u8]) -> f64 {
        let mut word = [0u8; 8];
        for (to, from) in word.iter_mut().zip(bytes) {
            *to = *from;
        }
        let used = self.bytes();
        if self.big_endian {
            word[..used].reverse();
        }
        let bits = u64::from_le_bytes(word);
        match self.kind {
            ElementKind::F16 => half(bits as u16),
            ElementKind::F32 => f64::from(f32::from_bits(bits as u32)),
            ElementKind::F64 => f64::from_bits(bits),
            ElementKind::Int(_) => {
                let unused = 64 - 8 * used as u32;
                ((bits << unused) as i64 >> unused) as f64
            }
            ElementKind::Uint(_) => bits as f64,
        }
    }
}

/// The value of an IEEE 754 half.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    sign * magnitude
}

/// A finite number as a model takes it; others are refused by their place.
pub(super) fn finite(value: f64, place: impl FnOnce() -> String) -> Result<f32, String> {
    let narrow = value as f32;
    if narrow.is_finite() {
        return Ok(narrow);
    }
    Err(format!("the value at {} is {value}; a model takes finite numbers of single precision", place()))
}

/// Tensors of `elements` numbers, one after the other.
pub(super) struct ArrayReader {
    reader: Box<dyn Read + Send>,
    element: Element,
    /// Numbers in one tensor.
    elements: usize,
    /// Index of the next tensor.
    position: usize,
    /// What to call the array in a message.
    what: String,
}

impl ArrayReader {
    pub(super) fn new(reader: Box<dyn Read + Send>, element: Element, elements: usize, what: String) -> Self {
        Self { reader, element, elements, position: 0, what }
    }

    /// Passes over `count` tensors.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), String> {
        let bytes = (count as u64)
            .checked_mul(self.elements as u64)
            .and_then(|numbers| numbers.checked_mul(self.element.bytes() as u64))
            .ok_or_else(|| self.early())?;
        let passed = std::io::copy(&mut (&mut self.reader).take(bytes), &mut std::io::sink())
            .map_err(|error| self.unreadable(&error))?;
        if passed < bytes {
            return Err(self.early());
        }
        self.position += count;
        Ok(())
    }

    /// The next tensor.
    pub(super) fn next_values(&mut self) -> Result<Vec<f32>, String> {
        let width = self.element.bytes();
        let mut values = Vec::with_capacity(self.elements);
        let mut buffer = [0u8; 8192];
        while values.len() < self.elements {
            let chunk = &mut buffer[..width * (self.elements - values.len()).min(8192 / width)];
            self.reader.read_exact(chunk).map_err(|error| self.unreadable(&error))?;
            for bytes in chunk.chunks_exact(width) {
                let index = values.len();
                let place = || match self.position {
                    0 => format!("index {index} of {}", self.what),
                    position => format!("index {index} of input #{position} of {}", self.what),
                };
                values.push(finite(self.element.value(bytes), place)?);
            }
        }
        self.position += 1;
        Ok(values)
    }

    fn early(&self) -> String {
        format!("{} ends too early: the file is truncated", self.what)
    }

    fn unreadable(&self, error: &std::io::Error) -> String {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.early(),
            _ => format!("{} cannot be read: {error}", self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(half(0xc000), -2.0);
        assert_eq!(half(0x7bff), 65504.0);
        assert_eq!(half(0x0001), 2f64.powi(-24));
        assert_eq!(half(0x3555), 1365.0 / 4096.0);
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }

    #[test]
    fn integers_keep_their_sign_and_order() {
        let little = Element { kind: ElementKind::Int(2), big_endian: false };
        let big = Element { kind: ElementKind::Int(2), big_endian: true };
        assert_eq!(little.value(&[0xfe, 0xff]), -2.0);
        assert_eq!(big.value(&[0xff, 0xfe]), -2.0);
        assert_eq!(Element { kind: ElementKind::Uint(1), big_endian: false }.value(&[200]), 200.0);
        assert_eq!(Element { kind: ElementKind::Int(8), big_endian: false }.value(&[0xff; 8]), -1.0);
    }
}
