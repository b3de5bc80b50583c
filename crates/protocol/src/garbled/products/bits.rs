//! Numbers of any width, one after the other, the lowest bits first.

/// Collects numbers.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    rest: u128,
    held: u32,
}

impl Writer {
    /// Appends a number below `2^bits`, of at most 64 bits.
    #[inline]
    pub fn push(&mut self, number: u64, bits: u32) {
        self.rest |= u128::from(number) << self.held;
        self.held += bits;
        if self.held >= 64 {
            self.bytes.extend_from_slice(&(self.rest as u64).to_le_bytes());
            self.rest >>= 64;
            self.held -= 64;
        }
    }

    /// The bytes, the last one filled up with zeros; the writer is empty again.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(&self.rest.to_le_bytes()[..self.held.div_ceil(8) as usize]);
        *self = Self::default();
        bytes
    }
}

/// Reads what a [`Writer`] wrote.
pub struct Reader<'a> {
    bytes: &'a [u8],
    rest: u128,
    held: u32,
}

impl<'a> Reader<'a> {
    /// A reader of bytes whose number the caller has checked; beyond them it reads zeros.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: 0, held: 0 }
    }

    /// The next number of `bits` bits, at most 64.
    #[inline]
    pub fn pull(&mut self, bits: u32) -> u64 {
        if self.held < bits {
            let word = match self.bytes.split_first_chunk::<8>() {
                Some((word, rest)) => {
                    self.bytes = rest;
                    u64::from_le_bytes(*word)
                }
                None => {
                    let mut word = [0; 8];
                    word[..self.bytes.len()].copy_from_slice(self.bytes);
                    self.bytes = &[];
                    u64::from_le_bytes(word)
                }
            };
            self.rest |= u128::from(word) << self.held;
            self.held += 64;
        }
        let number = self.rest as u64 & super::mask(bits);
        self.rest >>= bits;
        self.held -= bits;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_widths_come_back() {
        let numbers: Vec<(u64, u32)> = (0..1000u64)
            .map(|i| {
                let bits = 1 + (i * 7 % 64) as u32;
                (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & super::super::mask(bits), bits)
            })
            .collect();
        let mut writer = Writer::default();
        numbers.iter().for_each(|(number, bits)| writer.push(*number, *bits));
        let bytes = writer.finish();
        let total: u32 = numbers.iter().map(|(_, bits)| bits).sum();
        assert_eq!(bytes.len(), total.div_ceil(8) as usize);
        let mut reader = Reader::new(&bytes);
        assert!(numbers.iter().all(|(number, bits)| reader.pull(*bits) == *number));
        assert_eq!(writer.finish(), Vec::<u8>::new());
    }
}
