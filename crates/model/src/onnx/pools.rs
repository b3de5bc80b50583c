//! Pools and reductions. Pools over one axis gain a second of length one; pools over three axes are two pools in a row,
//! which is exact because a window is a product of intervals.

use crate::fixed::Window;
use crate::graph::Layer;

use super::attributes::NodeView;
use super::import::{Importer, Results, Stop, Value};

/// One axis of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
    /// The padding after that the file states; rounding the size up may have added to `after`.
    stated_after: usize,
    length: usize,
    out: usize,
}

impl Axis {
    /// An axis of length one under a window of one tap.
    pub(super) const ONE: Self =
        Self { kernel: 1, stride: 1, dilation: 1, before: 0, after: 0, stated_after: 0, length: 1, out: 1 };

    pub(super) fn window(axes: &[Self]) -> Window {
        let (y, x) = (axes[0], axes[1]);
        Window {
            kernel: [y.kernel, x.kernel],
            stride: [y.stride, x.stride],
            dilation: [y.dilation, x.dilation],
            pads: [y.before, x.before, y.after, x.after],
        }
    }

    /// For each output position the taps an average counts.
    fn counts(&self, padding: bool) -> Vec<usize> {
        let low = if padding { 0 } else { self.before };
        let high = self.before + self.length + if padding { self.stated_after } else { 0 };
        let (stride, dilation) = (self.stride, self.dilation);
        (0..self.out)
            .map(|o| {
                let begin = low.saturating_sub(o * stride).div_ceil(dilation);
                let end = high.saturating_sub(o * stride).div_ceil(dilation).min(self.kernel);
                end.saturating_sub(begin)
            })
            .collect()
    }
}

fn positive(node: NodeView<'_>, name: &str, rank: usize) -> Result<Vec<usize>, Stop> {
    let Some(values) = node.ints(name) else { return Ok(vec![1; rank]) };
    if values.len() != rank {
        return Err(node.error(format!("{name} {values:?} for {rank} axes")).into());
    }
    let each = |&v: &i64| usize::try_from(v).ok().filter(|&v| (1..=65536).contains(&v));
    let list: Option<Vec<usize>> = values.iter().map(each).collect();
    list.ok_or_else(|| node.error(format!("{name} {values:?} must be at least 1")).into())
}

/// Reads the window's attributes for axes of the given lengths.
pub(super) fn window_axes(
    node: NodeView<'_>,
    lengths: &[usize],
    kernel: &[usize],
) -> Result<Vec<Axis>, Stop> {
    let rank = lengths.len();
    let strides = positive(node, "strides", rank)?;
    let dilations = positive(node, "dilations", rank)?;
    let pads = match node.ints("pads") {
        None => vec![0; 2 * rank],
        Some(pads) => {
            let fits = |&p: &i64| usize::try_from(p).ok().filter(|&p| p <= 65536);
            let list: Option<Vec<usize>> = pads.iter().map(fits).collect();
            list.filter(|l| l.len() == 2 * rank).ok_or_else(|| node.error(format!("pads {pads:?}")))?
        }
    };
    let auto = node.text("auto_pad").unwrap_or(b"NOTSET");
    let ceil = node.int("ceil_mode", 0) != 0;
    let mut axes = Vec::with_capacity(rank);
    for i in 0..rank {
        let (kernel, stride, dilation, length) = (kernel[i], strides[i], dilations[i], lengths[i]);
        if kernel == 0 || kernel > 65536 {
            return Err(node.error(format!("a kernel of {kernel}")).into());
        }
        let extent = (kernel - 1) * dilation + 1;
        let (before, after) = match auto {
            b"NOTSET" | b"" => (pads[i], pads[rank + i]),
            b"VALID" => (0, 0),
            b"SAME_UPPER" | b"SAME_LOWER" => {
                let total = ((length.div_ceil(stride) - 1) * stride + extent).saturating_sub(length);
                let less = total / 2;
                if auto == b"SAME_UPPER" { (less, total - less) } else { (total - less, less) }
            }
            other => return Err(node.error(format!("auto_pad {:?}", String::from_utf8_lossy(other))).into()),
        };
        let padded = length + before + after;
        let room = padded.checked_sub(extent).ok_or_else(|| {
            node.error(format!("a window of extent {extent} exceeds the padded input of {padded}"))
        })?;
        let mut out = room / stride + 1;
        if ceil {
            out = room.div_ceil(stride) + 1;
            // A window that would start in the padding after the input does not count.
            if (out - 1) * stride >= length + before {
                out -= 1;
            }
        }
        let needed = ((out - 1) * stride + extent).saturating_sub(length + before);
        let axis = Axis {
            kernel,
            stride,
            dilation,
            before,
            after: after.max(needed),
            stated_after: after,
            length,
            out,
        };
        axes.push(axis);
    }
    Ok(axes)
}

pub(super) fn pool<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    if node.proto.output.iter().skip(1).any(|o| !o.is_empty()) {
        return Err(Stop::Unsupported("its second output (indices) has no private form; drop it".into()));
    }
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let lengths = shape.get(2..).unwrap_or_default();
    let kernel = positive(node, "kernel_shape", lengths.len())?;
    if lengths.is_empty() || !node.has("kernel_shape") {
        return Err(node.error(format!("a pool on shape {shape:?} without a kernel_shape")).into());
    }
    let axes = window_axes(node, lengths, &kernel)?;
    let mode = match node.op() {
        "MaxPool" => Mode::Max,
        _ => Mode::Average { padding: node.int("count_include_pad", 0) != 0 },
    };
    Ok(vec![over(im, node, &x, &axes, mode)?])
}

#[derive(Clone, Copy)]
enum Mode {
    Max,
    Average { padding: bool },
    Sum,
}

/// A pool over one to three axes after batch and channel.
fn over<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    axes: &[Axis],
    mode: Mode,
) -> Result<Value, Stop> {
    let shape = im.shape(x)?;
    let mut out = vec![shape[0], shape[1]];
    out.extend(axes.iter().map(|a| a.out));
    let y = match *axes {
        [a] => {
            let x = im.movement(node, Layer::Reshape, x, &[shape[0], shape[1], 1, shape[2]])?;
            plane(im, node, &x, [Axis::ONE, a], mode)?
        }
        [a, b] => plane(im, node, x, [a, b], mode)?,
        [a, b, c] => {
            let x =
                im.movement(node, Layer::Reshape, x, &[shape[0], shape[1] * shape[2], shape[3], shape[4]])?;
            let y = plane(im, node, &x, [b, c], mode)?;
            let rest = b.out * c.out;
            let y = im.movement(node, Layer::Reshape, &y, &[shape[0], shape[1], shape[2], rest])?;
            plane(im, node, &y, [a, Axis { length: rest, out: rest, ..Axis::ONE }], mode)?
        }
        _ => return Err(Stop::Unsupported("pools over more than 3 axes have no private form".into())),
    };
    Ok(im.movement(node, Layer::Reshape, &y, &out)?)
}

fn plane<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    axes: [Axis; 2],
    mode: Mode,
) -> Result<Value, Stop> {
    let window = Axis::window(&axes);
    let padding = match mode {
        Mode::Max => return Ok(im.push(node, Layer::MaxPool { window }, &[x], &[])?),
        Mode::Sum => {
            return Ok(im.push(node, Layer::AveragePool { window, factor: vec![1.0] }, &[x], &[])?);
        }
        Mode::Average { padding } => padding,
    };
    crate::tensor::elements(&[axes[0].out, axes[1].out]).map_err(|e| node.error(e.to_string()))?;
    let (rows, columns) = (axes[0].counts(padding), axes[1].counts(padding));
    let mut factor = Vec::with_capacity(rows.len() * columns.len());
    for r in &rows {
        for c in &columns {
            if r * c == 0 {
                return Err(node.error("a window lies in the padding alone").into());
            }
            factor.push(1.0 / (r * c) as f32);
        }
    }
    if factor.iter().all(|f| *f == factor[0]) {
        factor.truncate(1);
    }
    Ok(im.push(node, Layer::AveragePool { window, factor }, &[x], &[])?)
}

/// A pool of each channel down to one value.
pub(super) fn global<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let rank = im.shape(&x)?.len();
    if rank < 3 {
        return Err(node.error(format!("a pool on {rank} axes")).into());
    }
    let mode = if node.op() == "GlobalMaxPool" { Mode::Max } else { Mode::Average { padding: false } };
    let axes: Vec<usize> = (2..rank).collect();
    Ok(vec![reduced(im, node, &x, &axes, true, mode)?])
}

pub(super) fn reduce<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let rank = im.shape(&x)?.len();
    let given = match node.ints("axes") {
        Some(axes) => Some(axes.to_vec()),
        None => im.optional_ints(node, 1, "axes")?,
    };
    let axes = match given {
        Some(axes) if !axes.is_empty() => node.axes(&axes, rank)?,
        _ if node.int("noop_with_empty_axes", 0) != 0 => return Ok(vec![x]),
        _ => (0..rank).collect(),
    };
    let mode = match node.op() {
        "ReduceMean" => Mode::Average { padding: false },
        "ReduceSum" => Mode::Sum,
        _ => Mode::Max,
    };
    Ok(vec![reduced(im, node, &x, &axes, node.int("keepdims", 1) != 0, mode)?])
}

/// Moves the reduced axes to the end, and pools over them as one.
fn reduced<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    axes: &[usize],
    keep: bool,
    mode: Mode,
) -> Result<Value, Stop> {
    let shape = im.shape(x)?;
    let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
    let mut last = axes.to_vec();
    last.sort_unstable();
    let perm: Vec<usize> = kept.iter().chain(&last).copied().collect();
    let count: usize = last.iter().map(|&a| shape[a]).product();
    let rows: usize = kept.iter().map(|&a| shape[a]).product();
    let moved: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
    let x =
        if perm.is_sorted() { x.clone() } else { im.movement(node, Layer::Transpose { perm }, x, &moved)? };
    // Two trailing axes stay the plane they are, so that a global pool reads as one.
    let plane_shape = match last.as_slice() {
        [a, b] if b + 1 == shape.len() && a + 1 == *b => [1, rows, shape[*a], shape[*b]],
        _ => [1, rows, 1, count],
    };
    let x = im.movement(node, Layer::Reshape, &x, &plane_shape)?;
    let whole = |length: usize| Axis { kernel: length, length, ..Axis::ONE };
    let y = plane(im, node, &x, [whole(plane_shape[2]), whole(plane_shape[3])], mode)?;
    let mut out = Vec::new();
    for (axis, &length) in shape.iter().enumerate() {
        match (kept.contains(&axis), keep) {
            (true, _) => out.push(length),
            (false, true) => out.push(1),
            (false, false) => {}
        }
    }
    Ok(im.movement(node, Layer::Reshape, &y, &out)?)
}
