//! Primes of the form `b^d + 1`: proof and search.

use kernel::modular::is_prime;

use super::wide::{MAX_BITS, Wide};

/// Most bits of a base: its coefficients must fit the vector kernels.
pub(crate) const MAX_BASE_BITS: u32 = 48;

/// `base^power + 1` for a power of two from 2 on, or `None` beyond 120 bits.
pub(crate) fn modulus(base: u64, power: u32) -> Option<u128> {
    if !power.is_power_of_two() || !(2..=MAX_BITS).contains(&power) || base < 2 {
        return None;
    }
    let value = u128::from(base).checked_pow(power)?.checked_add(1)?;
    (value >> MAX_BITS == 0).then_some(value)
}

/// The distinct primes of a word, by trial division up to where the rest is prime.
fn prime_factors(mut n: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut divisor = 2;
    while n > 1 {
        if is_prime(n) {
            factors.push(n);
            break;
        }
        while !n.is_multiple_of(divisor) {
            divisor += 1 + (divisor & 1);
        }
        factors.push(divisor);
        while n.is_multiple_of(divisor) {
            n /= divisor;
        }
    }
    factors
}

/// Whether `p = base^power + 1` is prime, with proof: since `p - 1` is a power of the base, its primes are known, and p is
/// prime exactly if for each of them, f, some a has `a^(p-1) = 1` and `a^((p-1)/f) - 1` prime to p (Lucas; Pocklington).
pub(crate) fn is_generalised_prime(base: u64, power: u32) -> bool {
    let Some(value) = modulus(base, power) else { return false };
    if base >> MAX_BASE_BITS != 0 {
        return false;
    }
    let Some(p) = Wide::new(value) else { return false };
    // Composites fall to the first base, nearly always.
    if p.pow(2 % value, value - 1) != 1 && value > 3 {
        return false;
    }
    prime_factors(base).into_iter().all(|factor| {
        const TRIES: u128 = 1000;
        for a in 2..TRIES.min(value) {
            if p.pow(a, value - 1) != 1 {
                return false;
            }
            let power = p.pow(a, (value - 1) / u128::from(factor));
            match common_divisor(p.sub(power, 1), value) {
                1 => return true,
                divisor if divisor < value => return false,
                _ => {}
            }
        }
        false
    })
}

fn common_divisor(mut a: u128, mut b: u128) -> u128 {
    while a != 0 {
        (a, b) = (b % a, a);
    }
    b
}

/// The smallest base for which `base^power + 1` is a prime of at least `least` with all the slots that the degree
/// allows: `2 N` divides `base^power`.
pub(crate) fn smallest_base(degree: usize, power: u32, least: u128) -> Option<u64> {
    // 2 N divides b^d if 2^ceil(log2(2 N) / d) divides b.
    let step = 1u64 << (degree.trailing_zeros() + 1).div_ceil(power);
    let mut base = step.max(integer_root(least.saturating_sub(1), power).div_ceil(step).checked_mul(step)?);
    while base >> MAX_BASE_BITS == 0 {
        modulus(base, power)?;
        if is_generalised_prime(base, power) {
            return Some(base);
        }
        base += step;
    }
    None
}

/// The smallest x with `x^power >= n`.
fn integer_root(n: u128, power: u32) -> u64 {
    let reaches = |x: u64| u128::from(x).checked_pow(power).is_none_or(|value| value >= n);
    let (mut low, mut high) = (0, 1 << 62);
    while low < high {
        let middle = low + (high - low) / 2;
        if reaches(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_match_trial_division() {
        for base in (2..2000u64).step_by(2) {
            assert_eq!(is_generalised_prime(base, 2), is_prime(base * base + 1), "{base}");
        }
        for base in (2..200u64).step_by(2) {
            assert_eq!(is_generalised_prime(base, 4), is_prime(base.pow(4) + 1), "{base}");
            if base < 180 {
                assert_eq!(is_generalised_prime(base, 8), is_prime(base.pow(8) + 1), "{base}");
            }
        }
        // Fermat numbers: the last prime one, and one of which every base-2 test is a pseudoprime.
        assert!(is_generalised_prime(2, 16));
        assert!(!is_generalised_prime(2, 32) && !is_generalised_prime(2, 64));
        assert!(!is_generalised_prime(3, 4) && !is_generalised_prime(0, 4) && !is_generalised_prime(6, 3));
        assert!(!is_generalised_prime(1 << 48, 2) && !is_generalised_prime(1 << 40, 4));
    }

    /// Known generalised Fermat primes b^16 + 1 (OEIS A006313).
    #[test]
    fn known_primes() {
        let sixteen: Vec<u64> = (2..120).filter(|base| is_generalised_prime(*base, 16)).collect();
        assert_eq!(sixteen, [2, 44, 74, 76, 94]);
        assert_eq!(modulus(30, 32), None);
    }

    #[test]
    fn roots_round_up() {
        assert_eq!(integer_root(0, 2), 0);
        assert_eq!(integer_root(16, 2), 4);
        assert_eq!(integer_root(17, 2), 5);
        assert_eq!(integer_root(1 << 80, 8), 1 << 10);
        assert_eq!(integer_root((1 << 80) + 1, 8), (1 << 10) + 1);
    }

    #[test]
    fn bases_are_the_smallest() {
        for (degree, power, bits) in
            [(8192, 8, 80), (8192, 2, 40), (16384, 16, 96), (4096, 4, 40), (256, 8, 64)]
        {
            let base = smallest_base(degree, power, 1 << bits).unwrap();
            let p = modulus(base, power).unwrap();
            assert!(p >= 1 << bits && (p - 1).is_multiple_of(2 * degree as u128));
            assert!(
                (2..base).all(|smaller| {
                    modulus(smaller, power).is_none_or(|p| {
                        p < 1 << bits
                            || (p - 1) % (2 * degree as u128) != 0
                            || !is_generalised_prime(smaller, power)
                    })
                }) || power == 2
            );
        }
        assert_eq!(smallest_base(8192, 2, 1 << 100), None);
        assert_eq!(smallest_base(8192, 8, 1 << 120), None);
    }
}
