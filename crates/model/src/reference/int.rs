//! The integers a reference run works with: 64 bits, or 128 where nothing is truncated.

use crate::fixed::ParamData;
use crate::kernels::Num;

/// An integer with wrapping arithmetic.
pub(super) trait Int: Num + Ord {
    /// Its smallest value.
    const LEAST: Self;
    /// From a small integer.
    fn of(value: i64) -> Self;
    /// From a sum of doubles, which is an integer.
    fn of_double(value: f64) -> Self;
    /// One value of a parameter.
    fn of_param(data: &ParamData, index: usize) -> Self;
    /// As a double; exact up to 2^53.
    fn double(self) -> f64;
    /// Clamped to 64 bits.
    fn small(self) -> i64;
    /// `self - a`, wrapping.
    fn minus(self, a: Self) -> Self;
    /// `self << bits`.
    fn left(self, bits: u32) -> Self;
    /// `self >> bits`, rounding down.
    fn right(self, bits: u32) -> Self;
}

impl Int for i64 {
    const LEAST: Self = i64::MIN;
    #[inline(always)]
    fn of(value: i64) -> Self {
        value
    }
    #[inline(always)]
    fn of_double(value: f64) -> Self {
        value as i64
    }
    #[inline(always)]
    fn of_param(data: &ParamData, index: usize) -> Self {
        data.get(index)
    }
    #[inline(always)]
    fn double(self) -> f64 {
        self as f64
    }
    #[inline(always)]
    fn small(self) -> i64 {
        self
    }
    #[inline(always)]
    fn minus(self, a: Self) -> Self {
        self.wrapping_sub(a)
    }
    #[inline(always)]
    fn left(self, bits: u32) -> Self {
        self << bits
    }
    #[inline(always)]
    fn right(self, bits: u32) -> Self {
        self >> bits
    }
}

impl Int for i128 {
    const LEAST: Self = i128::MIN;
    fn of(value: i64) -> Self {
        i128::from(value)
    }
    fn of_double(value: f64) -> Self {
        value as i128
    }
    fn of_param(data: &ParamData, index: usize) -> Self {
        data.get_wide(index)
    }
    fn double(self) -> f64 {
        self as f64
    }
    fn small(self) -> i64 {
        self.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
    fn minus(self, a: Self) -> Self {
        self.wrapping_sub(a)
    }
    fn left(self, bits: u32) -> Self {
        self << bits
    }
    fn right(self, bits: u32) -> Self {
        self >> bits
    }
}
