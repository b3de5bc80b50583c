//! Matrix kernels that the float and the integer reference share: a blocked product for convolutions, and dot products
//! for fully connected layers. Plain loops over small arrays, which the compiler turns into vector code.
//!
//! Integers run as `f64` where no partial sum can leave the 53 bits in which that is exact, and as wrapping `i64`
//! otherwise: a vector product of 64-bit integers does not exist on most machines.

use rayon::prelude::*;

use crate::fixed::Window;

/// A number the kernels can multiply and add.
pub(crate) trait Num: Copy + Default + Send + Sync + 'static {
    /// The additive identity, and the value of padding.
    const ZERO: Self;
    /// `self + a * b`.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self + a`.
    fn plus(self, a: Self) -> Self;
}

impl Num for f32 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self + a * b
    }
    #[inline(always)]
    fn plus(self, a: Self) -> Self {
        self + a
    }
}

impl Num for f64 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self + a * b
    }
    #[inline(always)]
    fn plus(self, a: Self) -> Self {
        self + a
    }
}

impl Num for i64 {
    const ZERO: Self = 0;
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.wrapping_add(a.wrapping_mul(b))
    }
    #[inline(always)]
    fn plus(self, a: Self) -> Self {
        self.wrapping_add(a)
    }
}

impl Num for i128 {
    const ZERO: Self = 0;
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.wrapping_add(a.wrapping_mul(b))
    }
    #[inline(always)]
    fn plus(self, a: Self) -> Self {
        self.wrapping_add(a)
    }
}

/// Rows and columns of the block of sums held in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 8;
/// Columns of one task: the panel of input patches that stays in cache while all weights pass over it.
const PANEL: usize = 64;

/// A convolution's shape.
#[derive(Clone, Copy)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub channels: usize,
    pub plane: [usize; 2],
    pub filters: usize,
    pub out: [usize; 2],
    pub groups: usize,
    pub window: Window,
}

impl ConvShape {
    /// Reads the shape off an input of `[N, C, H, W]` and a result of `[N, filters, H', W']`.
    pub(crate) fn new(x: &[usize], y: &[usize], groups: usize, window: Window) -> Self {
        Self {
            batch: x[0],
            channels: x[1],
            plane: [x[2], x[3]],
            filters: y[1],
            out: [y[2], y[3]],
            groups,
            window,
        }
    }

    /// Terms of each sum.
    pub(crate) fn terms(&self) -> usize {
        self.channels / self.groups * self.window.taps()
    }
}

/// A convolution. `weight(i)` is the i-th weight in the order `[out, in / groups, kh, kw]`; `finish(o, sum)` makes the
/// result of filter `o` from its sum. Result in the order `[N, filters, H', W']`.
pub(crate) fn convolve<T: Num, R: Copy + Send + Default>(
    shape: &ConvShape,
    x: &[T],
    weight: impl Fn(usize) -> T + Sync,
    finish: impl Fn(usize, T) -> R + Sync,
) -> Vec<R> {
    let per_group = shape.filters / shape.groups;
    let depth = shape.terms();
    let positions = shape.out[0] * shape.out[1];
    let image = shape.channels * shape.plane[0] * shape.plane[1];
    let mut result = vec![R::default(); shape.batch * shape.filters * positions];
    for group in 0..shape.groups {
        let packed = pack(per_group, depth, |row, k| weight((group * per_group + row) * depth + k));
        for n in 0..shape.batch {
            let channels = shape.channels / shape.groups * shape.plane[0] * shape.plane[1];
            let input = &x[n * image + group * channels..n * image + (group + 1) * channels];
            let blocks: Vec<Vec<R>> = (0..positions.div_ceil(PANEL))
                .into_par_iter()
                .map(|block| {
                    let from = block * PANEL;
                    let width = PANEL.min(positions - from);
                    let patches = gather(shape, input, from, width);
                    product(&packed, per_group, depth, &patches, width, |row, sum| {
                        finish(group * per_group + row, sum)
                    })
                })
                .collect();
            for (block, values) in blocks.iter().enumerate() {
                let width = values.len() / per_group;
                for (row, line) in values.chunks_exact(width).enumerate() {
                    let at = (n * shape.filters + group * per_group + row) * positions + block * PANEL;
                    result[at..at + width].copy_from_slice(line);
                }
            }
        }
    }
    result
}

/// Weights in panels of [`ROWS`] rows, depth-major inside a panel.
fn pack<T: Num>(rows: usize, depth: usize, weight: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let mut packed = vec![T::ZERO; rows.div_ceil(ROWS) * ROWS * depth];
    packed.par_chunks_mut((ROWS * depth).max(1)).enumerate().for_each(|(panel, chunk)| {
        for r in 0..ROWS.min(rows - panel * ROWS) {
            for k in 0..depth {
                chunk[k * ROWS + r] = weight(panel * ROWS + r, k);
            }
        }
    });
    packed
}

/// The patches under the window at output positions `from .. from + width`, in panels of [`COLUMNS`] positions.
fn gather<T: Num>(shape: &ConvShape, input: &[T], from: usize, width: usize) -> Vec<T> {
    let depth = shape.terms();
    let window = &shape.window;
    let [height, breadth] = shape.plane;
    let mut patches = vec![T::ZERO; width.div_ceil(COLUMNS) * COLUMNS * depth];
    for column in 0..width {
        let at = from + column;
        let (top, left) = (at / shape.out[1] * window.stride[0], at % shape.out[1] * window.stride[1]);
        let base = column / COLUMNS * COLUMNS * depth + column % COLUMNS;
        let mut k = 0;
        for channel in 0..shape.channels / shape.groups {
            for ky in 0..window.kernel[0] {
                let y = (top + ky * window.dilation[0]).wrapping_sub(window.pads[0]);
                for kx in 0..window.kernel[1] {
                    let x = (left + kx * window.dilation[1]).wrapping_sub(window.pads[1]);
                    if y < height && x < breadth {
                        patches[base + k * COLUMNS] = input[(channel * height + y) * breadth + x];
                    }
                    k += 1;
                }
            }
        }
    }
    patches
}

/// Packed weights times packed patches: `[rows, width]`.
fn product<T: Num, R: Copy + Default>(
    packed: &[T],
    rows: usize,
    depth: usize,
    patches: &[T],
    width: usize,
    finish: impl Fn(usize, T) -> R,
) -> Vec<R> {
    let mut out = vec![R::default(); rows * width];
    for first in (0..rows).step_by(ROWS) {
        let weights = &packed[first * depth..(first + ROWS) * depth];
        for column in (0..width).step_by(COLUMNS) {
            let sums = block(weights, &patches[column * depth..(column + COLUMNS) * depth]);
            for (r, line) in sums.iter().enumerate().take(rows - first) {
                for (c, &sum) in line.iter().enumerate().take(width - column) {
                    out[(first + r) * width + column + c] = finish(first + r, sum);
                }
            }
        }
    }
    out
}

/// One block of sums in registers.
#[inline(always)]
fn block<T: Num>(weights: &[T], patches: &[T]) -> [[T; COLUMNS]; ROWS] {
    let mut sums = [[T::ZERO; COLUMNS]; ROWS];
    for (w, x) in weights.as_chunks::<ROWS>().0.iter().zip(patches.as_chunks::<COLUMNS>().0) {
        for r in 0..ROWS {
            for c in 0..COLUMNS {
                sums[r][c] = sums[r][c].mul_add(w[r], x[c]);
            }
        }
    }
    sums
}

/// Rows of x times rows of weights: `y[r, o] = finish(o, sum_i x[r, i] * w[o, i])`; `lift` turns a stored weight into the
/// kernel's number.
pub(crate) fn dense<T: Num, W: Copy + Sync, R: Copy + Send + Default>(
    x: &[T],
    weights: &[W],
    width: usize,
    lift: impl Fn(W) -> T + Sync + Copy,
    finish: impl Fn(usize, T) -> R + Sync,
) -> Vec<R> {
    let outputs = weights.len() / width;
    let rows = x.len() / width;
    let mut result = vec![R::default(); rows * outputs];
    if rows == 1 {
        result.par_iter_mut().with_min_len(64).enumerate().for_each(|(o, y)| {
            *y = finish(o, dot(x, &weights[o * width..(o + 1) * width], lift));
        });
    } else {
        result.par_chunks_mut(outputs).zip(x.par_chunks(width)).for_each(|(line, x)| {
            for (o, y) in line.iter_mut().enumerate() {
                *y = finish(o, dot(x, &weights[o * width..(o + 1) * width], lift));
            }
        });
    }
    result
}

/// A dot product in 16 interleaved partial sums.
fn dot<T: Num, W: Copy>(x: &[T], w: &[W], lift: impl Fn(W) -> T) -> T {
    const LANES: usize = 16;
    let mut sums = [T::ZERO; LANES];
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ws, w_rest) = w.as_chunks::<LANES>();
    for (x, w) in xs.iter().zip(ws) {
        for lane in 0..LANES {
            sums[lane] = sums[lane].mul_add(x[lane], lift(w[lane]));
        }
    }
    for (lane, (&x, &w)) in x_rest.iter().zip(w_rest).enumerate() {
        sums[lane] = sums[lane].mul_add(x, lift(w));
    }
    sums.into_iter().fold(T::ZERO, |a, b| a.plus(b))
}

/// Runs `visit(plane, position, taps)` over a pool: for each plane of `[N, C]` and each output position, the values under
/// the window that lie inside the plane.
pub(crate) fn pool<T: Copy + Sync, R: Copy + Send + Default>(
    x: &[T],
    shape: &[usize],
    out: &[usize],
    window: &Window,
    visit: impl Fn(usize, &mut dyn Iterator<Item = T>) -> R + Sync,
) -> Vec<R> {
    let (height, width) = (shape[2], shape[3]);
    let positions = out[2] * out[3];
    let mut result = vec![R::default(); out.iter().product()];
    result.par_chunks_mut(positions).zip(x.par_chunks(height * width)).for_each(|(line, plane)| {
        for (p, y) in line.iter_mut().enumerate() {
            let (top, left) = (p / out[3] * window.stride[0], p % out[3] * window.stride[1]);
            let rows = range(top, window.pads[0], window.kernel[0], window.dilation[0], height);
            let columns = range(left, window.pads[1], window.kernel[1], window.dilation[1], width);
            let mut taps = rows.flat_map(|r| columns.clone().map(move |c| plane[r * width + c]));
            *y = visit(p, &mut taps);
        }
    });
    result
}

/// Coordinates of the taps inside `0..length`.
fn range(
    origin: usize,
    pad: usize,
    kernel: usize,
    dilation: usize,
    length: usize,
) -> impl Iterator<Item = usize> + Clone {
    let begin = pad.saturating_sub(origin).div_ceil(dilation);
    let end = (pad + length).saturating_sub(origin).div_ceil(dilation).min(kernel);
    (begin..end.max(begin)).map(move |t| origin + t * dilation - pad)
}
