//! Inputs made up to span an input range, for a model that comes without any.
//!
//! What a network meets is unknown: noise and two-valued noise reach far, smooth waves, strokes and blots are nearer to
//! drawings, sums of waves whose strength falls with their frequency are nearer to photographs, and the two constant
//! inputs are the extremes.

use crate::error::Error;
use crate::graph::Graph;
use crate::tensor::Tensor;

/// What a byte of a picture is divided by.
const LEVELS: f32 = 255.0;
/// Waves of a made-up photograph.
const WAVES: usize = 24;

/// SplitMix64: the samples need variety, not secrecy, and must be the same on every machine.
struct Uniform(u64);

impl Uniform {
    /// A number in [0, 1).
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// `count` inputs of a graph, each one tensor for each of its inputs, within the ranges.
pub(crate) fn inputs(graph: &Graph, ranges: &[[f32; 2]], count: usize) -> Result<Vec<Vec<Tensor>>, Error> {
    let mut uniform = Uniform(0x9e37_79b9_7f4a_7c15);
    (0..count)
        .map(|kind| {
            let each = graph.inputs.iter().zip(ranges);
            each.map(|(&id, &range)| tensor(&graph.nodes[id].shape, range, kind, &mut uniform)).collect()
        })
        .collect()
}

fn tensor(
    shape: &[usize],
    [low, high]: [f32; 2],
    kind: usize,
    uniform: &mut Uniform,
) -> Result<Tensor, Error> {
    let length: usize = shape.iter().product();
    let shares = match kind % 10 {
        1 | 7 => photograph(shape, uniform),
        4 => drawing(shape, uniform),
        _ => pattern(shape, kind, uniform),
    };
    let value = |share: f32| {
        // Pictures in [0, 1] are bytes over 255.
        let share = if [low, high] == [0.0, 1.0] { (share * LEVELS).round() / LEVELS } else { share };
        low + share * (high - low)
    };
    Tensor::new(shape.to_vec(), shares.into_iter().take(length).map(value).collect())
}

/// Noise of several kinds, waves, strokes, blots, and the extremes; shares of the range.
fn pattern(shape: &[usize], kind: usize, uniform: &mut Uniform) -> Vec<f32> {
    let length: usize = shape.iter().product();
    let width = shape.last().copied().unwrap_or(1).max(1);
    let (f, g, phase) = (uniform.next() * 0.4, uniform.next() * 0.08, uniform.next() * 6.3);
    let blot = (uniform.next(), uniform.next());
    let share = |i: usize| {
        let (x, y) = ((i % width) as f32, (i / width) as f32);
        match kind % 10 {
            0 => uniform.next(),
            2 => 0.5 + 0.5 * (x * f + y * g + phase).sin(),
            3 => f32::from(u8::from(uniform.next() < 0.15)),
            5 => {
                let d = (x / width as f32 - blot.0).abs() + (y % width as f32 / width as f32 - blot.1).abs();
                (1.2 - 3.0 * d).clamp(0.0, 1.0)
            }
            6 => f32::from(u8::from((x * f + y * f + phase).sin() > 0.3)),
            8 => 0.5 + (uniform.next() - 0.5) * uniform.next(),
            _ => f32::from(u8::from(kind % 20 == 9)),
        }
    };
    (0..length).map(share).collect()
}

/// Waves of all lengths, the long ones strong, alike in all channels; shares of the range.
fn photograph(shape: &[usize], uniform: &mut Uniform) -> Vec<f32> {
    let Layout { planes, height, width, .. } = Layout::of(shape);
    let side = height.max(width) as f32;
    let waves: Vec<[f32; 4]> = (0..WAVES)
        .map(|_| {
            // Frequencies spread evenly by octave, from half a wave over the picture up to two pixels a wave.
            let frequency = 0.5 * side.powf(uniform.next()).min(side);
            let (angle, phase) = (uniform.next() * 6.3, uniform.next() * 6.3);
            let step = 6.3 * frequency / side;
            [step * angle.cos(), step * angle.sin(), phase, 1.0 / frequency.max(0.5)]
        })
        .collect();
    let strength = (waves.iter().map(|w| w[3] * w[3]).sum::<f32>() / 2.0).sqrt();
    let (bright, contrast) = (0.2 + 0.6 * uniform.next(), (0.08 + 0.22 * uniform.next()) / strength);
    let tints: Vec<f32> = (0..planes).map(|_| 0.3 * (uniform.next() - 0.5)).collect();
    let plane: Vec<f32> = (0..height * width)
        .map(|i| {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            waves.iter().map(|[a, b, phase, power]| power * (a * x + b * y + phase).sin()).sum::<f32>()
                * contrast
        })
        .collect();
    let noise = |v: f32, uniform: &mut Uniform| (v + 0.02 * (uniform.next() - 0.5)).clamp(0.0, 1.0);
    let layout = Layout::of(shape);
    (0..shape.iter().product())
        .map(|i| {
            let (at, channel) = layout.place(i);
            noise(bright + tints[channel] * bright + plane[at], uniform)
        })
        .collect()
}

/// A few strokes of a soft pen on an empty page, the same in all channels; shares of the range.
fn drawing(shape: &[usize], uniform: &mut Uniform) -> Vec<f32> {
    let layout = Layout::of(shape);
    let (height, width) = (layout.height as f32, layout.width as f32);
    let mut corner = || [width * (0.2 + 0.6 * uniform.next()), height * (0.15 + 0.7 * uniform.next())];
    // Strokes hang together, as those of a letter do.
    let corners: Vec<[f32; 2]> = (0..5).map(|_| corner()).collect();
    let pen = 0.5 + height.max(width) / 28.0 * (0.5 + uniform.next());
    let ink = |x: f32, y: f32| {
        corners.windows(2).fold(0f32, |ink, ends| {
            let (from, to) = (ends[0], ends[1]);
            let (a, b) = (to[0] - from[0], to[1] - from[1]);
            let along = (((x - from[0]) * a + (y - from[1]) * b) / (a * a + b * b + 1e-6)).clamp(0.0, 1.0);
            let off = (from[0] + along * a - x).hypot(from[1] + along * b - y);
            ink.max((1.5 - off / pen).clamp(0.0, 1.0))
        })
    };
    let plane: Vec<f32> = (0..layout.height * layout.width)
        .map(|i| ink((i % layout.width) as f32, (i / layout.width) as f32))
        .collect();
    (0..shape.iter().product()).map(|i| plane[layout.place(i).0]).collect()
}

/// Where the pixels of a picture stand.
#[derive(Clone, Copy)]
struct Layout {
    planes: usize,
    height: usize,
    width: usize,
    /// Whether channels are the last axis.
    last: bool,
}

impl Layout {
    /// Of a shape that may be a picture's; one of two axes or one is taken as rows.
    fn of(shape: &[usize]) -> Self {
        let (planes, height, width, last) = match *shape {
            [.., h, w, c] if c <= 4 && h > 4 => (c, h, w, true),
            [.., c, h, w] => (c, h, w, false),
            [.., n] => (1, n.div_ceil(n.isqrt().max(1)), n.isqrt().max(1), false),
            [] => (1, 1, 1, false),
        };
        Self { planes, height, width, last }
    }

    /// The pixel and channel of an element.
    fn place(&self, i: usize) -> (usize, usize) {
        let plane = (self.height * self.width).max(1);
        if self.last {
            (i / self.planes % plane, i % self.planes)
        } else {
            (i % plane, i / plane % self.planes)
        }
    }
}
