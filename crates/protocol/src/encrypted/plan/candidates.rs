//! Candidates: layouts that a tensor may have, and folds that lead to them.

use linear::slots::{Axis, Cycle, Digit, Doubling, Layout};

use super::view::Patches;

/// A layout of a result, and how it comes about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub layout: Layout,
    /// Copies of the layout that are computed.
    pub direct: usize,
    pub fold: Option<Doubling>,
    pub by_client: bool,
}

/// What the tensors that come next would like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Stride of the window that slides over the tensor, on both axes.
    pub phases: [usize; 2],
    /// Whether the tensor is a result.
    pub result: bool,
}

/// The largest slot that a layout uses, plus one.
fn extent(layout: &Layout) -> usize {
    let axis = |axis: &Axis| {
        let digits = axis.digits.iter().filter(|digit| digit.stride > 0);
        digits.map(|digit| (digit.size - 1) * digit.stride).sum::<usize>()
    };
    layout.offset + layout.axes.iter().map(axis).sum::<usize>() + 1
}

/// Layouts of a vector without copies: dense, and cut into as many blocks as the ciphertext has room for.
fn vectors(size: usize, cycle: Cycle) -> Vec<Layout> {
    let mut out = vec![Layout::dense(size, cycle)];
    let mut blocks = 2;
    while blocks <= size.next_power_of_two() && blocks < cycle.columns && size <= cycle.columns {
        let (each, period) = (size.div_ceil(blocks), cycle.columns / blocks);
        if each <= period {
            let digits = vec![Digit::slots(blocks, period), Digit::slots(each, 1)];
            out.push(Layout::new(1, vec![Axis { size, digits }]));
        }
        blocks *= 2;
    }
    out
}

/// Rows and columns cut into phases: a position's axis, and the slots of a plane.
fn plane(size: [usize; 2], phases: [usize; 2], row: usize, block: usize) -> [Axis; 2] {
    let cut = |axis: usize, stride: usize, phase: usize| Axis {
        size: size[axis],
        digits: if phases[axis] == 1 {
            vec![Digit::slots(size[axis], stride)]
        } else {
            vec![Digit::slots(size[axis].div_ceil(phases[axis]), stride), Digit::slots(phases[axis], phase)]
        },
    };
    [cut(0, row, block * phases[1]), cut(1, 1, block)]
}

/// Layouts of channels x rows x columns.
fn volumes(dims: [usize; 3], phases: [usize; 2], like: &[Layout], cycle: Cycle) -> Vec<Layout> {
    let [channels, height, width] = dims;
    let (rows, columns) = (height.div_ceil(phases[0]), width.div_ceil(phases[1]));
    let mut strides = vec![columns];
    let mut blocks = Vec::new();
    for layout in like.iter().filter(|layout| layout.axes.len() == 3) {
        strides.extend(layout.axes[1].digits.first().map(|digit| digit.stride));
        let finest = layout.axes.iter().flat_map(|axis| &axis.digits).map(|digit| digit.stride);
        let row = layout.axes[1].digits.first().map_or(0, |digit| digit.stride);
        blocks.extend(finest.filter(|stride| *stride > row).min());
    }
    strides.retain(|stride| *stride >= columns);
    strides.sort_unstable();
    strides.dedup();
    let mut out = Vec::new();
    for row in strides {
        let used = (rows - 1) * row + columns;
        let mut sizes = vec![rows * row, used.next_power_of_two()];
        sizes.extend(blocks.iter().copied().filter(|block| *block >= used));
        sizes.sort_unstable();
        sizes.dedup();
        for block in sizes {
            let unit = block * phases[0] * phases[1];
            let fit = cycle.columns / unit;
            if fit == 0 {
                continue;
            }
            let [y, x] = plane([height, width], phases, row, block);
            // As many channels as fit, and the largest power of two of them.
            let mut counts = vec![fit.min(channels), 1 << fit.min(channels.next_power_of_two()).ilog2()];
            counts.dedup();
            for each in counts {
                let ciphertexts = channels.div_ceil(each);
                let digits = if ciphertexts == 1 {
                    vec![Digit::slots(channels, unit)]
                } else {
                    vec![Digit::ciphertexts(ciphertexts), Digit::slots(each, unit)]
                };
                let axis = Axis { size: channels, digits };
                out.push(Layout::new(ciphertexts, vec![axis, y.clone(), x.clone()]));
            }
        }
    }
    out
}

/// The layouts without copies that a tensor of these axes may have.
fn plain(dims: &[usize], wish: Wish, like: &[Layout], cycle: Cycle) -> Vec<Layout> {
    match *dims {
        [size] => vectors(size, cycle),
        [channels, height, width] => volumes([channels, height, width], wish.phases, like, cycle),
        _ => {
            let size = dims.iter().product();
            vec![Layout::dense(size, cycle)]
        }
    }
}

/// The targets of a linear map into a tensor of these axes.
pub(super) fn targets(dims: &[usize], wish: Wish, like: &[Layout], cycle: Cycle) -> Vec<Target> {
    let mut out = Vec::new();
    for layout in plain(dims, wish, like, cycle) {
        folds(&layout, wish, like, cycle, &mut out);
        out.push(Target { layout, direct: 0, fold: None, by_client: false });
    }
    let mut distinct: Vec<Target> = Vec::new();
    for target in out {
        if !distinct.contains(&target) && target.layout.validate(cycle).is_ok() {
            distinct.push(target);
        }
    }
    distinct
}

/// Folds into a layout of one ciphertext: over the whole cycle, which makes copies, or within a block or the input's extent.
fn folds(layout: &Layout, wish: Wish, like: &[Layout], cycle: Cycle, out: &mut Vec<Target>) {
    let mut add = |stride: usize, period: usize| {
        if layout.ciphertexts != 1 || period <= stride || period > cycle.columns {
            return;
        }
        let parts = period / stride;
        let fold = Some(Doubling { stride, log2: parts.ilog2() });
        let digit = Digit::slots(parts, stride);
        if wish.result {
            let layout = Layout { partials: vec![digit], ..layout.clone() };
            out.push(Target { layout, direct: 0, fold, by_client: true });
        }
        let copies = if period == cycle.columns { vec![digit] } else { Vec::new() };
        out.push(Target { layout: Layout { copies, ..layout.clone() }, direct: 0, fold, by_client: false });
    };
    // Blocks of a vector are folded each within its own block.
    if let [Axis { digits, .. }] = layout.axes.as_slice()
        && let [high, low] = digits.as_slice()
    {
        add(low.size.next_power_of_two(), high.stride);
        return;
    }
    let stride = extent(layout).next_power_of_two();
    add(stride, cycle.columns);
    for input in like {
        add(stride, extent(input).next_power_of_two());
    }
}

/// Layouts of an input that leads to a target, as the client may pack it: the view is patches where `patches` is given.
pub(super) fn inputs(
    dims: &[usize],
    patches: Option<&Patches>,
    stride: [usize; 2],
    target: &Target,
    cycle: Cycle,
) -> Vec<(bool, Layout, Target)> {
    let mut out = Vec::new();
    if let (Some(patches), [maps, y, x]) = (patches, target.layout.axes.as_slice()) {
        let positions = [y.clone(), x.clone()];
        patched(patches, &positions, maps, target, cycle, &mut out);
    }
    match (dims, target.layout.axes.as_slice()) {
        ([channels, height, width], [_, y, x]) => {
            // Only an image whose rows are as far apart as the result's has few diagonals.
            if y.digits.len() == 1 && x.digits.len() == 1 {
                let row = y.digits[0].stride;
                let fits = |layout: &Layout| layout.axes[1].digits[0].stride == row;
                let phased = volumes(
                    [*channels, *height, *width],
                    stride,
                    core::slice::from_ref(&target.layout),
                    cycle,
                );
                let few = phased.into_iter().filter(fits).take(3);
                out.extend(few.map(|layout| (false, layout, target.clone())));
            }
        }
        _ => {
            let dense = Layout::dense(dims.iter().product(), cycle);
            out.extend(
                copied(&dense, target, cycle).into_iter().map(|copied| (false, copied, target.clone())),
            );
        }
    }
    out.retain(|(_, layout, target)| layout.validate(cycle).is_ok() && target.layout.validate(cycle).is_ok());
    out
}

/// A layout with copies: at every block, and shifted so that each copy serves diagonals of its own.
fn copied(layout: &Layout, target: &Target, cycle: Cycle) -> Vec<Layout> {
    let mut out = vec![layout.clone()];
    if layout.ciphertexts != 1 {
        return out;
    }
    let extent = extent(layout);
    let mut count = 2;
    while count * extent <= cycle.columns {
        let period = cycle.columns / count;
        let shift = target.fold.map_or(0, |fold| fold.stride / count);
        for stride in [period, period + shift] {
            if (count - 1) * stride + extent <= cycle.columns {
                out.push(Layout { copies: vec![Digit::slots(count, stride)], ..layout.clone() });
            }
        }
        count *= 2;
    }
    out.dedup();
    out
}

/// Patches under the positions of the target: one kernel offset a ciphertext with all maps, several side by side that are folded,
/// or as many offsets as there is room for, without copies.
fn patched(
    patches: &Patches,
    positions: &[Axis; 2],
    maps: &Axis,
    target: &Target,
    cycle: Cycle,
    out: &mut Vec<(bool, Layout, Target)>,
) {
    let offsets = patches.offsets();
    let axes =
        |digits: Vec<Digit>| vec![Axis { size: offsets, digits }, positions[0].clone(), positions[1].clone()];
    let Some(unit) = maps.digits.last().filter(|digit| digit.stride > 0).copied() else { return };
    let copies = vec![Digit::slots(unit.size, unit.stride)];
    match target.fold {
        None => {
            let digits = vec![Digit::ciphertexts(offsets)];
            let layout = Layout { copies: copies.clone(), ..Layout::new(offsets, axes(digits)) };
            out.push((true, layout.clone(), target.clone()));
            // The whole again, as often as it fits, in the input and so in the result.
            let extent = extent(&target.layout).next_power_of_two();
            if target.layout.ciphertexts == 1 && target.layout.copies.is_empty() && extent < cycle.columns {
                let again = Digit::slots(cycle.columns / extent, extent);
                let layout = Layout { copies: [copies.as_slice(), &[again]].concat(), ..layout };
                let result = Layout { copies: vec![again], ..target.layout.clone() };
                out.push((true, layout, Target { layout: result, direct: 1, fold: None, by_client: false }));
            }
        }
        Some(fold) if !target.by_client => {
            let parts = 1 << fold.log2;
            let ciphertexts = offsets.div_ceil(parts);
            let digits = vec![Digit::ciphertexts(ciphertexts), Digit::slots(parts.min(offsets), fold.stride)];
            let layout = Layout { copies, ..Layout::new(ciphertexts, axes(digits)) };
            out.push((true, layout, target.clone()));
        }
        Some(_) => {}
    }
    if target.fold.is_none() {
        let fit = (cycle.columns / unit.stride).min(offsets);
        for each in [fit, 1 << fit.ilog2()] {
            let ciphertexts = offsets.div_ceil(each);
            let digits = vec![Digit::ciphertexts(ciphertexts), Digit::slots(each, unit.stride)];
            out.push((true, Layout::new(ciphertexts, axes(digits)), target.clone()));
        }
    }
}
