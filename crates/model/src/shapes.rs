//! Shapes of results: broadcasting and sliding windows. Shared by both graphs, so that they cannot disagree.

use crate::error::Error;
use crate::fixed::Window;
use crate::tensor::elements;

/// Largest kernel, stride, dilation or padding of a window along one axis.
const MAX_WINDOW: usize = 1 << 16;

/// The shape to which all operands broadcast, as in ONNX (axes aligned at the end; length 1 repeats).
///
/// # Errors
/// If two lengths differ and neither is 1, or the result is out of bounds.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Error> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
    let mut shape = Vec::with_capacity(rank);
    for i in 0..rank {
        let (x, y) = (at(a, i), at(b, i));
        if x != y && x != 1 && y != 1 {
            return Err(Error::Shape(format!("shapes {a:?} and {b:?} do not broadcast")));
        }
        shape.push(x.max(y));
    }
    elements(&shape)?;
    Ok(shape)
}

impl Window {
    /// A window without padding that moves one step at a time.
    pub fn new(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: [1, 1], dilation: [1, 1], pads: [0; 4] }
    }

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1])
    }

    /// Extent of the window along an axis (0 = height), dilation included.
    pub fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis].saturating_sub(1)).saturating_mul(self.dilation[axis]).saturating_add(1)
    }

    /// Height and width of the result on a plane of the given height and width.
    ///
    /// # Errors
    /// If a kernel, stride or dilation is zero, a number is absurd, or the window is larger than the padded plane.
    pub fn output(&self, plane: [usize; 2]) -> Result<[usize; 2], Error> {
        let mut out = [0; 2];
        for axis in 0..2 {
            let (k, s, d) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
            let (before, after) = (self.pads[axis], self.pads[axis + 2]);
            if k == 0 || s == 0 || d == 0 {
                return Err(Error::Shape("a window's kernel, stride and dilation must be at least 1".into()));
            }
            if [k, s, d, before, after].iter().any(|&v| v > MAX_WINDOW)
                || plane[axis] > crate::tensor::MAX_ELEMENTS
            {
                return Err(Error::Shape(
                    "a window's kernel, stride, dilation or padding exceeds 65536".into(),
                ));
            }
            let padded = plane[axis] + before + after;
            let extent = self.extent(axis);
            if extent > padded {
                return Err(Error::Shape(format!(
                    "a window of extent {extent} exceeds the padded input of {padded}"
                )));
            }
            out[axis] = (padded - extent) / s + 1;
        }
        Ok(out)
    }

    /// Whether every position of the result sees at least one value that is not padding.
    pub fn always_sees(&self, plane: [usize; 2], out: [usize; 2]) -> bool {
        (0..2).all(|axis| (0..out[axis]).all(|o| self.valid_taps(axis, plane[axis], o) > 0))
    }

    /// Number of taps along an axis that fall inside the plane at output position `o`.
    pub fn valid_taps(&self, axis: usize, length: usize, o: usize) -> usize {
        let (first, dilation) = (o * self.stride[axis], self.dilation[axis].max(1));
        let (low, high) = (self.pads[axis], self.pads[axis] + length);
        let begin = low.saturating_sub(first).div_ceil(dilation);
        let end = high.saturating_sub(first).div_ceil(dilation).min(self.kernel[axis]);
        end.saturating_sub(begin)
    }
}

/// Shape of a convolution's result: input `[N, in, H, W]`, weights `[out, in / groups, kh, kw]`.
///
/// # Errors
/// If ranks, channels or groups do not fit, or the window does not.
pub fn convolution(x: &[usize], w: &[usize], groups: usize, window: &Window) -> Result<Vec<usize>, Error> {
    if x.len() != 4 || w.len() != 4 {
        return Err(Error::Shape(format!("a convolution needs 4 axes; input has {x:?}, weights {w:?}")));
    }
    if groups == 0 || Some(x[1]) != groups.checked_mul(w[1]) || !w[0].is_multiple_of(groups) {
        let (got, want, out) = (x[1], w[1], w[0]);
        return Err(Error::Shape(format!(
            "channel mismatch: input has {got} channels, weights take {want} in each of {groups} groups and make {out}"
        )));
    }
    if window.kernel != [w[2], w[3]] {
        return Err(Error::Shape(format!("kernel {:?} is not that of the weights {w:?}", window.kernel)));
    }
    let [h, v] = window.output([x[2], x[3]])?;
    let shape = vec![x[0], w[0], h, v];
    elements(&shape)?;
    Ok(shape)
}

/// Shape of a pool's result on `[N, C, H, W]`.
///
/// # Errors
/// If the rank or the window does not fit.
pub fn pool(x: &[usize], window: &Window) -> Result<Vec<usize>, Error> {
    if x.len() != 4 {
        return Err(Error::Shape(format!("a pool needs 4 axes; input has {x:?}")));
    }
    let [h, v] = window.output([x[2], x[3]])?;
    let shape = vec![x[0], x[1], h, v];
    elements(&shape)?;
    Ok(shape)
}
