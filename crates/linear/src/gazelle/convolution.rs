//! Convolutions: planes of channels in slots.
//!
//! A plane of `rows x row` places takes a block of slots, the next power of two. Element `(q s + phase)` of an axis of stride s is
//! place q of the plane of its phase, so that a tap is one step between places whatever the output. A plane larger than a
//! row of slots is cut into tiles of whole rows, a ciphertext each.

use super::product::Phases;
use crate::Error;
use crate::coefficients::Shape;
use crate::slots::{Axis, Cycle, Digit, Doubling, Factors, Kernel, Layout, Pattern, Relation};

/// The places of planes, of operand and result alike.
struct Grid {
    /// Columns of a plane.
    row: usize,
    /// Rows of a tile.
    rows: usize,
    /// Tiles of operand and result.
    tiles: [usize; 2],
    /// Slots of a block.
    block: usize,
    /// Blocks a ciphertext.
    blocks: usize,
    /// The step of the first tap.
    first: usize,
}

/// The least and greatest distance, in places, between an output and what a tap reads for it, along an axis.
fn reach(shape: &Shape, axis: usize) -> [isize; 2] {
    let at = |tap: usize| (tap * shape.dilation[axis]) as isize - shape.pads[axis] as isize;
    [0, shape.kernel[axis] - 1].map(|tap| at(tap).div_euclid(shape.stride[axis] as isize))
}

/// Places of an axis: for the operand's phases and for the result.
fn places(shape: &Shape, output: [usize; 2], axis: usize) -> usize {
    shape.plane[axis].div_ceil(shape.stride[axis]).max(output[axis])
}

impl Grid {
    fn new(
        shape: &Shape,
        output: [usize; 2],
        [height, row]: [usize; 2],
        cycle: Cycle,
    ) -> Result<Self, Error> {
        if row > cycle.columns {
            return Err(Error::Layout(format!("a plane's row exceeds {} slots: {shape:?}", cycle.columns)));
        }
        let plane = height.saturating_mul(row).next_power_of_two();
        let (rows, block) =
            if plane <= cycle.columns { (height, plane) } else { (cycle.columns / row, cycle.columns) };
        let back = |axis: usize| reach(shape, axis)[0].min(0).unsigned_abs();
        let first = cycle.neg((back(0).saturating_mul(row).saturating_add(back(1))) % cycle.columns);
        let tiles = [shape.plane[0].div_ceil(shape.stride[0]), output[0]].map(|own| own.div_ceil(rows));
        let blocks = cycle.slots() / block;
        Ok(Self { row, rows, tiles, block, blocks, first })
    }
}

/// Digits of the channels' two axes: groups, and channels in a group.
struct Channels {
    group: Vec<Digit>,
    member: Vec<Digit>,
    ciphertexts: usize,
    /// Blocks that a ciphertext's channels take.
    used: usize,
}

/// Lays out `groups x members` channels of `unit` blocks each. `pitch` is the blocks from group to group, where that fits; `each` the
/// ciphertexts that a channel of one block takes.
fn channels(
    grid: &Grid,
    (groups, members): (usize, usize),
    (unit, pitch): (usize, usize),
    each: usize,
) -> Channels {
    let apart = |size: usize, ciphertexts: usize| Digit { size, stride: 0, ciphertexts };
    let span = members.next_power_of_two().min(grid.blocks / unit);
    let blocks = Digit::slots(span, unit * grid.block);
    if groups == 1 || pitch > grid.blocks {
        let parts = members.div_ceil(span);
        let used = if groups == 1 && parts == 1 { span * unit } else { grid.blocks };
        let (group, member) = (vec![apart(groups, parts * each)], vec![apart(parts, each), blocks]);
        return Channels { group, member, ciphertexts: groups * parts * each, used };
    }
    let side = grid.blocks / pitch;
    let parts = groups.div_ceil(side);
    let group = vec![apart(parts, each), Digit::slots(side, pitch * grid.block)];
    Channels { group, member: vec![blocks], ciphertexts: parts * each, used: grid.blocks }
}

/// An axis; digits of one value say nothing.
fn axis(size: usize, digits: Vec<Digit>) -> Axis {
    Axis { size, digits: digits.into_iter().filter(|digit| digit.size > 1).collect() }
}

/// Axes in the tensor's order.
fn layout(shape: &Shape, sizes: [usize; 4], channels: Channels, plane: [Vec<Digit>; 2]) -> Layout {
    let [groups, members, height, width] = sizes;
    let ciphertexts = shape.batch * channels.ciphertexts;
    let batch = Digit { size: shape.batch, stride: 0, ciphertexts: channels.ciphertexts };
    let [rows, columns] = plane;
    let batch = axis(shape.batch, vec![batch]);
    let channels = [axis(groups, channels.group), axis(members, channels.member)];
    let plane = [axis(height, rows), axis(width, columns)];
    Layout::new(ciphertexts, ordered(shape, batch, channels, plane))
}

fn ordered<T>(shape: &Shape, batch: T, channels: [T; 2], plane: [T; 2]) -> Vec<T> {
    let parts = if shape.channels_last { [plane, channels] } else { [channels, plane] };
    core::iter::once(batch).chain(parts.into_iter().flatten()).collect()
}

fn pattern(shape: &Shape, output: [usize; 2]) -> Pattern {
    let full =
        Relation::Full { inputs: shape.channels / shape.groups, outputs: shape.filters / shape.groups };
    let window = |axis: usize| Relation::Window {
        inputs: shape.plane[axis],
        outputs: output[axis],
        taps: shape.kernel[axis],
        stride: shape.stride[axis],
        dilation: shape.dilation[axis],
        pad: shape.pads[axis],
    };
    let groups = Relation::Same { size: shape.groups };
    let batch = Relation::Same { size: shape.batch };
    Pattern::Axes(ordered(shape, batch, [groups, full], [window(0), window(1)]))
}

/// The layouts of operand and result on a grid.
fn layouts(shape: &Shape, output: [usize; 2], phases: Phases, grid: &Grid) -> Result<[Layout; 2], Error> {
    let [down, across] = shape.stride;
    let padded = [down, across].map(usize::next_power_of_two);
    // Blocks that a channel of the operand takes, and ciphertexts of one block.
    let (unit, each) = match phases {
        Phases::Slots => (padded[0] * padded[1], grid.tiles[0]),
        Phases::Ciphertexts => (1, grid.tiles[0].saturating_mul(down).saturating_mul(across)),
    };
    if unit > grid.blocks || each > crate::slots::MAX_CIPHERTEXTS {
        return Err(Error::layout("more phases than fit"));
    }
    let (inputs, outputs) = (shape.channels / shape.groups, shape.filters / shape.groups);
    let pitch = (inputs.next_power_of_two() * unit).max(outputs.next_power_of_two());
    let operand = channels(grid, (shape.groups, inputs), (unit, pitch), each);
    let result = channels(grid, (shape.groups, outputs), (1, pitch), grid.tiles[1]);
    let copies = grid.blocks / operand.used;
    let copies = (copies > 1).then(|| Digit::slots(copies, operand.used * grid.block));
    let place = [Digit::slots(grid.rows, grid.row), Digit::slots(grid.row, 1)];
    let apart = |size: usize, ciphertexts: usize| Digit { size, stride: 0, ciphertexts };
    let (tiles, phase) = match phases {
        Phases::Slots => {
            let stride = padded[1] * grid.block;
            (1, [Digit::slots(down, stride), Digit::slots(across, grid.block)])
        }
        Phases::Ciphertexts => (down * across, [apart(down, across), apart(across, 1)]),
    };
    let sizes = [shape.groups, inputs, shape.plane[0], shape.plane[1]];
    let planes = [vec![apart(grid.tiles[0], tiles), place[0], phase[0]], vec![place[1], phase[1]]];
    let mut operand = layout(shape, sizes, operand, planes);
    operand.copies.extend(copies);
    let sizes = [shape.groups, outputs, output[0], output[1]];
    let result = layout(shape, sizes, result, [vec![apart(grid.tiles[1], 1), place[0]], vec![place[1]]]);
    Ok([operand, result])
}

/// A convolution of planes side by side. Channels of the operand are repeated where there is room, so that fewer
/// steps lead from one to an output.
pub fn padded(shape: &Shape, phases: Phases, baby: usize, cycle: Cycle) -> Result<(Kernel, Pattern), Error> {
    let output = shape.output()?;
    let grid = Grid::new(shape, output, [0, 1].map(|axis| places(shape, output, axis)), cycle)?;
    let [operand, result] = layouts(shape, output, phases, &grid)?;
    let kernel = Kernel { baby: baby.min(cycle.columns), origin: grid.first, ..Kernel::new(operand, result) };
    Ok((kernel, pattern(shape, output)))
}

/// A convolution of one plane a ciphertext, with zeros around it.
pub fn bordered(shape: &Shape, cycle: Cycle) -> Result<(Kernel, Pattern), Error> {
    let output = shape.output()?;
    let mut size = [0; 2];
    for (axis, size) in size.iter_mut().enumerate() {
        let [low, high] = reach(shape, axis);
        let own = shape.plane[axis].div_ceil(shape.stride[axis]);
        let before = low.min(0).unsigned_abs();
        let behind = (output[axis] - 1).saturating_add_signed(high).saturating_sub(own - 1);
        *size = own.max(output[axis]) + before.max(behind);
        if (high - low).unsigned_abs() >= *size {
            return Err(Error::layout("a filter that exceeds its plane"));
        }
    }
    // One row more, so that steps back from the first place end in zeros.
    size[0] += 1;
    let whole = Cycle { rows: 1, columns: cycle.columns };
    let mut grid = Grid::new(shape, output, size, whole)?;
    if size[0] > grid.rows {
        return Err(Error::layout("a plane that exceeds a ciphertext"));
    }
    (grid.block, grid.blocks) = (cycle.columns, 1);
    let [operand, result] = layouts(shape, output, Phases::Ciphertexts, &grid)?;
    let kernel = Kernel { origin: grid.first, factors: Factors::Scalars, ..Kernel::new(operand, result) };
    Ok((kernel, pattern(shape, output)))
}

/// Baby steps worth trying: a row of a plane, then blocks.
pub fn babies(shape: &Shape, cycle: Cycle) -> Result<Vec<usize>, Error> {
    let output = shape.output()?;
    let grid = Grid::new(shape, output, [0, 1].map(|axis| places(shape, output, axis)), cycle)?;
    let most = cycle.columns / grid.block;
    let blocks = (0..=most.trailing_zeros()).map(|log2| grid.block << log2);
    Ok(core::iter::once(grid.row).chain(blocks).collect())
}

/// Slots that are added, `parts` of them.
pub fn fold(stride: usize, parts: usize) -> Option<Doubling> {
    (parts > 1).then(|| Doubling { stride, log2: parts.trailing_zeros() })
}
