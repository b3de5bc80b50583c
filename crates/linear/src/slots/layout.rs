//! Representations: which slot of which ciphertext holds which element of a tensor.
//!
//! LoLa (ICML 2019), section 4.2.1, names the dense, sparse, stacked, interleaved and convolution representations. All of them, and
//! those of other packings (channels padded to powers of two, phases of a stride side by side, several kernel offsets in a
//! ciphertext), are one formula: each axis of the tensor is cut into digits, and each digit moves an element by a
//! number of slots and of ciphertexts.
//!
//! | representation of `v_1 .. v_k` | formula |
//! |---|---|
//! | dense | digit stride 1 |
//! | sparse | digit stride one ciphertext; copies in all slots |
//! | stacked | digit stride 1; copies every `2^d` slots |
//! | interleaved | digits of any strides |
//! | convolution (a patch matrix: kernel offsets x positions) | offsets: one ciphertext each; positions: stride 1 |

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::slots::cycle::Cycle;

/// A digit of an index: digit `d` moves by `d * stride` slots and `d * ciphertexts` ciphertexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digit {
    /// Values of the digit: 0 to `size - 1`.
    pub size: usize,
    /// Slots moved by one.
    pub stride: usize,
    /// Ciphertexts moved by one.
    pub ciphertexts: usize,
}

/// A slot of a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The ciphertext.
    pub ciphertext: usize,
    /// The slot.
    pub slot: usize,
}

/// An axis of a tensor, cut into digits, the most significant first. The digits' sizes may multiply to more than
/// the axis has: the last places then stay empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Axis {
    /// Length of the axis.
    pub size: usize,
    /// Its digits.
    pub digits: Vec<Digit>,
}

/// Where the elements of a tensor are.
///
/// Slots that hold no element are unspecified: kernels give them weight zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Layout {
    /// Number of ciphertexts.
    pub ciphertexts: usize,
    /// Slot of the first element.
    pub offset: usize,
    /// The axes of the tensor, in row-major order.
    pub axes: Vec<Axis>,
    /// Each element also stands at every sum of these digits from its place.
    pub copies: Vec<Digit>,
    /// Each element is the *sum* of what stands at every sum of these digits from its place.
    pub partials: Vec<Digit>,
}

/// Most ciphertexts of a layout.
pub const MAX_CIPHERTEXTS: usize = 1 << 16;

/// Most elements of a layout.
pub const MAX_ELEMENTS: usize = 1 << 24;

impl Digit {
    /// A digit that moves by slots.
    pub const fn slots(size: usize, stride: usize) -> Self {
        Self { size, stride, ciphertexts: 0 }
    }

    /// A digit that moves by ciphertexts.
    pub const fn ciphertexts(size: usize) -> Self {
        Self { size, stride: 0, ciphertexts: 1 }
    }
}

impl Axis {
    /// An axis of one digit.
    pub fn plain(size: usize, stride: usize) -> Self {
        Self { size, digits: vec![Digit::slots(size, stride)] }
    }

    /// Index `i`: ciphertexts, and slots as a plain number.
    fn place(&self, mut index: usize) -> (usize, usize) {
        let (mut ciphertext, mut slot) = (0, 0);
        for digit in self.digits.iter().rev() {
            let value = index % digit.size;
            index /= digit.size;
            ciphertext += value * digit.ciphertexts;
            slot += value * digit.stride;
        }
        (ciphertext, slot)
    }
}

/// All sums of digits, in order with the last digit fastest.
pub(crate) fn sums(cycle: Cycle, digits: &[Digit]) -> Vec<Place> {
    let mut out = vec![Place { ciphertext: 0, slot: 0 }];
    for digit in digits {
        let step = |base: &Place, value: usize| Place {
            ciphertext: base.ciphertext + value * digit.ciphertexts,
            slot: cycle.add(base.slot, value * digit.stride % cycle.slots()),
        };
        out = out.iter().flat_map(|base| (0..digit.size).map(move |value| step(base, value))).collect();
    }
    out
}

impl Layout {
    /// A layout of these axes from slot 0, without copies.
    pub fn new(ciphertexts: usize, axes: Vec<Axis>) -> Self {
        Self { ciphertexts, offset: 0, axes, copies: Vec::new(), partials: Vec::new() }
    }

    /// Element i in slot i; beyond a ciphertext's slots in the next ciphertext.
    pub fn dense(elements: usize, cycle: Cycle) -> Self {
        let slots = cycle.slots();
        if elements <= slots {
            return Self::new(1, vec![Axis::plain(elements, 1)]);
        }
        let ciphertexts = elements.div_ceil(slots);
        let digits = vec![Digit::ciphertexts(ciphertexts), Digit::slots(slots, 1)];
        Self::new(ciphertexts, vec![Axis { size: elements, digits }])
    }

    /// Element i in all slots of ciphertext i.
    pub fn sparse(elements: usize, cycle: Cycle) -> Self {
        let axis = Axis { size: elements, digits: vec![Digit::ciphertexts(elements)] };
        Self { copies: vec![Digit::slots(cycle.slots(), 1)], ..Self::new(elements, vec![axis]) }
    }

    /// As dense, repeated every `2^d >= elements` slots.
    pub fn stacked(elements: usize, cycle: Cycle) -> Self {
        let period = elements.next_power_of_two();
        let copies = vec![Digit::slots((cycle.slots() / period).max(1), period)];
        Self { copies, ..Self::dense(elements, cycle) }
    }

    /// Element `a high + b` in slot `a stride_high + b stride_low` of one ciphertext.
    pub fn interleaved(elements: usize, high: (usize, usize), low: (usize, usize)) -> Self {
        let digits = vec![Digit::slots(high.0, high.1), Digit::slots(low.0, low.1)];
        Self::new(1, vec![Axis { size: elements, digits }])
    }

    /// A patch matrix: kernel offset j in ciphertext j, position i in slot i.
    pub fn convolution(offsets: usize, positions: usize) -> Self {
        let axis = Axis { size: offsets, digits: vec![Digit::ciphertexts(offsets)] };
        Self::new(offsets, vec![axis, Axis::plain(positions, 1)])
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.axes.iter().map(|axis| axis.size).product()
    }

    /// The lengths of the axes.
    pub fn sizes(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.size).collect()
    }

    /// Places of the indices of an axis relative to the offset: ciphertext and step. An axis that it does not have
    /// has one index.
    pub(crate) fn axis_places(&self, axis: usize, cycle: Cycle) -> Vec<Place> {
        let Some(axis) = self.axes.get(axis) else { return vec![Place { ciphertext: 0, slot: 0 }] };
        let slots = cycle.slots();
        (0..axis.size)
            .map(|index| {
                let (ciphertext, slot) = axis.place(index);
                Place { ciphertext, slot: slot % slots }
            })
            .collect()
    }

    /// The place of each element, without its copies.
    pub fn places(&self, cycle: Cycle) -> Vec<Place> {
        let mut out = vec![Place { ciphertext: 0, slot: self.offset }];
        for axis in 0..self.axes.len() {
            let steps = self.axis_places(axis, cycle);
            out = out
                .iter()
                .flat_map(|base| {
                    steps.iter().map(|step| Place {
                        ciphertext: base.ciphertext + step.ciphertext,
                        slot: cycle.add(base.slot, step.slot),
                    })
                })
                .collect();
        }
        out
    }

    /// The differences between an element's place and its copies, the place itself first.
    pub fn copy_steps(&self, cycle: Cycle) -> Vec<Place> {
        sums(cycle, &self.copies)
    }

    /// The differences between an element's place and the slots whose sum it is.
    pub fn partial_steps(&self, cycle: Cycle) -> Vec<Place> {
        sums(cycle, &self.partials)
    }

    /// Checks sizes, that every place exists, and that no two elements share one.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn validate(&self, cycle: Cycle) -> Result<(), Error> {
        let wrong = |text: &str| Err(Error::layout(text));
        if !cycle.is_valid() || !(1..=MAX_CIPHERTEXTS).contains(&self.ciphertexts) {
            return wrong("its size");
        }
        if self.offset >= cycle.slots() || self.axes.is_empty() || self.axes.len() > 16 {
            return wrong("its offset or axes");
        }
        if bounded(self.axes.iter().map(|axis| axis.size), MAX_ELEMENTS).is_none() {
            return wrong("too many elements");
        }
        for axis in &self.axes {
            let places = bounded(axis.digits.iter().map(|digit| digit.size), MAX_ELEMENTS);
            if axis.digits.len() > 8 || places.is_none_or(|places| places < axis.size) {
                return wrong("an axis and its digits differ in size");
            }
        }
        let digits =
            || self.axes.iter().flat_map(|axis| &axis.digits).chain(&self.copies).chain(&self.partials);
        if digits().any(|digit| digit.stride >= cycle.slots() || digit.ciphertexts >= self.ciphertexts.max(2))
        {
            return wrong("a stride");
        }
        let repeats =
            bounded(self.copies.iter().chain(&self.partials).map(|digit| digit.size), cycle.slots());
        let Some(repeats) = repeats.filter(|_| self.copies.len() + self.partials.len() <= 32) else {
            return wrong("too many copies");
        };
        if repeats.saturating_mul(self.elements()) > self.ciphertexts * cycle.slots() {
            return wrong("more places than slots");
        }
        self.check_places(cycle)
    }

    fn check_places(&self, cycle: Cycle) -> Result<(), Error> {
        let mut taken = vec![0u64; (self.ciphertexts * cycle.slots()).div_ceil(64)];
        let steps = [self.copy_steps(cycle), self.partial_steps(cycle)];
        for base in self.places(cycle) {
            for copy in &steps[0] {
                for partial in &steps[1] {
                    let ciphertext = base.ciphertext + copy.ciphertext + partial.ciphertext;
                    if ciphertext >= self.ciphertexts {
                        return Err(Error::layout("a ciphertext that it does not have"));
                    }
                    let slot = cycle.add(cycle.add(base.slot, copy.slot), partial.slot);
                    let bit = ciphertext * cycle.slots() + slot;
                    if taken[bit / 64] >> (bit % 64) & 1 == 1 {
                        return Err(Error::layout("two elements in one slot"));
                    }
                    taken[bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        Ok(())
    }

    /// The contents of each ciphertext's slots for these elements, copies included and zero elsewhere; of partial sums the first
    /// is the element.
    pub fn pack(&self, cycle: Cycle, elements: &[i128]) -> Vec<Vec<i128>> {
        let mut out = vec![vec![0; cycle.slots()]; self.ciphertexts];
        let copies = self.copy_steps(cycle);
        for (place, value) in self.places(cycle).iter().zip(elements) {
            for copy in &copies {
                out[place.ciphertext + copy.ciphertext][cycle.add(place.slot, copy.slot)] = *value;
            }
        }
        out
    }

    /// The elements from the slots: partial sums are added, copies are not looked at.
    pub fn unpack(&self, cycle: Cycle, slots: &[Vec<i128>]) -> Vec<i128> {
        let partials = self.partial_steps(cycle);
        let at = |place: &Place, partial: &Place| {
            slots[place.ciphertext + partial.ciphertext][cycle.add(place.slot, partial.slot)]
        };
        self.places(cycle)
            .iter()
            .map(|place| partials.iter().map(|partial| at(place, partial)).sum())
            .collect()
    }
}

/// The product of positive numbers, if it is at most `most`.
pub(crate) fn bounded(factors: impl IntoIterator<Item = usize>, most: usize) -> Option<usize> {
    factors.into_iter().try_fold(1usize, |product, factor| {
        product.checked_mul(factor).filter(|product| *product <= most && factor > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CYCLE: Cycle = Cycle::single(16);

    #[test]
    fn the_papers_representations() {
        let v: Vec<i128> = (1..=4).collect();
        assert_eq!(Layout::dense(4, CYCLE).pack(CYCLE, &v)[0][..6], [1, 2, 3, 4, 0, 0]);
        assert_eq!(Layout::sparse(4, CYCLE).pack(CYCLE, &v)[2], [3; 16]);
        assert_eq!(Layout::stacked(3, CYCLE).pack(CYCLE, &v[..3])[0][..9], [1, 2, 3, 0, 1, 2, 3, 0, 1]);
        let interleaved = Layout::interleaved(4, (2, 1), (2, 8));
        assert_eq!(interleaved.pack(CYCLE, &v)[0][..10], [1, 3, 0, 0, 0, 0, 0, 0, 2, 4]);
        let patches: Vec<i128> = (1..=6).collect();
        assert_eq!(Layout::convolution(2, 3).pack(CYCLE, &patches)[1][..4], [4, 5, 6, 0]);
        assert_eq!(Layout::dense(20, CYCLE).pack(CYCLE, &[7; 20])[1][..5], [7, 7, 7, 7, 0]);
        for layout in
            [Layout::dense(20, CYCLE), Layout::sparse(4, CYCLE), Layout::stacked(3, CYCLE), interleaved]
        {
            layout.validate(CYCLE).unwrap();
            let elements: Vec<i128> = (0..layout.elements() as i128).collect();
            assert_eq!(layout.unpack(CYCLE, &layout.pack(CYCLE, &elements)), elements);
        }
    }

    #[test]
    fn what_is_no_layout_is_refused() {
        let good = Layout::stacked(3, CYCLE);
        let refused = |change: &dyn Fn(&mut Layout)| {
            let mut layout = good.clone();
            change(&mut layout);
            assert!(layout.validate(CYCLE).is_err(), "{layout:?}");
        };
        refused(&|l| l.ciphertexts = 0);
        refused(&|l| l.ciphertexts = usize::MAX);
        refused(&|l| l.offset = 16);
        refused(&|l| l.axes.clear());
        refused(&|l| l.axes[0].size = 5);
        refused(&|l| l.axes[0].size = usize::MAX);
        refused(&|l| l.axes[0].digits[0].stride = 0);
        refused(&|l| l.axes[0].digits[0].stride = usize::MAX);
        refused(&|l| l.axes[0].digits[0].size = 0);
        refused(&|l| l.copies[0].stride = 2);
        refused(&|l| l.copies[0].size = 1 << 40);
        refused(&|l| l.copies[0].ciphertexts = 1);
        refused(&|l| l.copies = vec![Digit::slots(1, 0); 40]);
        refused(&|l| l.partials = vec![Digit::slots(2, 4)]);
    }
}
