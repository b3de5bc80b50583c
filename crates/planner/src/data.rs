//! Labelled examples in memory.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::draws::Draws;
use crate::error::Error;
use crate::kept::bytes;

/// Labelled examples of a network: for each of its inputs a matrix of one row an example.
#[derive(Clone, Debug)]
pub struct Data {
    inputs: Vec<Arc<Vec<f32>>>,
    widths: Vec<usize>,
    labels: Arc<Vec<u32>>,
    /// The examples that belong to this set, as rows.
    rows: Arc<Vec<usize>>,
    /// How examples are changed when they are used, if they are.
    augment: Option<(Augment, u64)>,
}

/// Random changes of pictures that keep what they show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Augment {
    /// Height and width of the planes that the first input consists of.
    pub plane: [usize; 2],
    /// Values of a pixel that stand beside each other: all channels where they are the last axis, one where
    /// each has its plane.
    pub beside: usize,
    /// Largest shift along either axis, in pixels; the border repeats.
    pub shift: usize,
    /// Whether pictures are mirrored, left to right, half of the time.
    pub flip: bool,
}

impl Data {
    /// Examples of a network whose inputs have so many values each, and whose labels lie below `classes`.
    ///
    /// # Errors
    /// Numbers that do not fit or are none, a label out of range, or nothing at all; the text names the first.
    pub fn new(
        inputs: Vec<Vec<f32>>,
        widths: &[usize],
        labels: Vec<u32>,
        classes: usize,
    ) -> Result<Self, Error> {
        if inputs.len() != widths.len() {
            return Err(Error::Data(format!(
                "the data have {} inputs, and the network takes {}",
                inputs.len(),
                widths.len()
            )));
        }
        for (values, width) in inputs.iter().zip(widths) {
            let count = values.len() / width.max(&1);
            if count * width != values.len() || count != labels.len() {
                return Err(Error::Data(format!("there are {count} inputs and {} labels", labels.len())));
            }
        }
        if let Some(at) = labels.iter().position(|&label| label as usize >= classes) {
            return Err(Error::Data(format!(
                "label {} of example #{at}: the network has {classes} classes, 0 to {}",
                labels[at],
                classes.saturating_sub(1)
            )));
        }
        if labels.is_empty() {
            return Err(Error::Data("there are no examples".into()));
        }
        for (values, width) in inputs.iter().zip(widths) {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::Data(format!(
                    "value {} of example #{} is {}, no number",
                    at % width,
                    at / width,
                    values[at]
                )));
            }
        }
        let rows = Arc::new((0..labels.len()).collect());
        let inputs = inputs.into_iter().map(Arc::new).collect();
        Ok(Self { inputs, widths: widths.to_vec(), labels: Arc::new(labels), rows, augment: None })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The values of an example's input.
    pub fn input(&self, example: usize, input: usize) -> &[f32] {
        let width = self.widths[input];
        &self.inputs[input][self.rows[example] * width..][..width]
    }

    /// The label of an example.
    pub fn label(&self, example: usize) -> u32 {
        self.labels[self.rows[example]]
    }

    /// A digest of the examples, in their order, and their labels.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for example in 0..self.len() {
            hasher.update(&self.label(example).to_le_bytes());
            (0..self.widths.len()).for_each(|input| {
                hasher.update(&bytes(self.input(example, input)));
            });
        }
        hasher.update(format!("{:?}", self.widths).as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    /// Two disjoint sets by a seed; the second has the share `held_out`, rounded up, of the examples, and the first at least one.
    pub fn split(&self, held_out: f64, seed: u64) -> (Self, Self) {
        let order = Draws::new(seed, 1).shuffled(self.len());
        let second = ((self.len() as f64 * held_out).ceil() as usize).min(self.len().saturating_sub(1));
        let part = |order: &[usize]| Self {
            rows: Arc::new(order.iter().map(|&i| self.rows[i]).collect()),
            ..self.clone()
        };
        (part(&order[second..]), part(&order[..second]))
    }

    /// So many examples at even distances, or all if there are no more: the first of data that are sorted by
    /// label would be of one class.
    pub fn spread(&self, count: usize) -> Self {
        let count = count.min(self.len());
        let rows = (0..count).map(|i| self.rows[i * self.len() / count]).collect();
        Self { rows: Arc::new(rows), ..self.clone() }
    }

    /// The same examples, changed at random from a seed whenever they are used.
    pub fn augmented(&self, augment: Option<Augment>, seed: u64) -> Self {
        let changes = |augment: &Augment| augment.shift > 0 || augment.flip;
        Self { augment: augment.filter(changes).map(|augment| (augment, seed)), ..self.clone() }
    }

    /// The same examples with another first input: each row times a matrix of `rows.len() / width` rows.
    pub fn projected(&self, rows: &[f32]) -> Result<Self, Error> {
        let width = self.widths.first().copied().unwrap_or(1);
        let (count, new) = (self.labels.len(), rows.len() / width.max(1));
        let x = Tensor::from_slice(&self.inputs[0], (count, width), &Device::Cpu)?;
        let basis = Tensor::from_slice(rows, (new, width), &Device::Cpu)?;
        let y = x.matmul(&basis.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        let (mut inputs, mut widths) = (self.inputs.clone(), self.widths.clone());
        inputs[0] = Arc::new(y);
        widths[0] = new;
        Ok(Self { inputs, widths, ..self.clone() })
    }

    /// Examples as one matrix an input, and their labels.
    ///
    /// # Errors
    /// If memory is short.
    pub fn batch(&self, examples: &[usize]) -> Result<(Vec<Tensor>, Vec<u32>), Error> {
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for (input, &width) in self.widths.iter().enumerate() {
            let mut values = Vec::with_capacity(examples.len() * width);
            for &example in examples {
                let row = self.input(example, input);
                match self.augment {
                    Some((augment, seed)) if input == 0 => {
                        augment.push(row, &mut Draws::new(seed, example as u64 + 2), &mut values);
                    }
                    _ => values.extend_from_slice(row),
                }
            }
            tensors.push(Tensor::from_vec(values, (examples.len(), width), &Device::Cpu)?);
        }
        Ok((tensors, examples.iter().map(|&example| self.label(example)).collect()))
    }
}

impl Augment {
    /// For a network whose first input has this shape: the last two axes, or those before a last one that can
    /// only be channels (1, 3 or 4 of them, and more rows and columns than that), or a square for a plain
    /// vector. None for any other shape: that is no picture, and a caller who wants shifts or mirrors has to
    /// refuse it, since nothing would be changed.
    pub fn for_shape(shape: &[usize], shift: usize, flip: bool) -> Option<Self> {
        let count: usize = shape.iter().product();
        let (plane, beside) = match *shape {
            [1, h, w, c] | [h, w, c] if matches!(c, 1 | 3 | 4) && h.min(w) > c => ([h, w], c),
            [.., h, w] if h > 1 && w > 1 => ([h, w], 1),
            _ if count.isqrt() * count.isqrt() == count => ([count.isqrt(); 2], 1),
            _ => return None,
        };
        Some(Self { plane, beside, shift, flip })
    }

    fn push(&self, row: &[f32], draws: &mut Draws, out: &mut Vec<f32>) {
        let ([h, w], beside) = (self.plane, self.beside);
        let by = |draws: &mut Draws| draws.below(2 * self.shift + 1) as i64 - self.shift as i64;
        let (down, right) = (by(draws), by(draws));
        let mirrored = self.flip && draws.below(2) == 1;
        let clamp = |at: i64, length: usize| at.clamp(0, length as i64 - 1) as usize;
        for plane in row.chunks(h * w * beside) {
            for i in 0..h {
                let line = &plane[clamp(i as i64 - down, h) * w * beside..][..w * beside];
                for j in 0..w {
                    let j = if mirrored { w - 1 - j } else { j };
                    out.extend_from_slice(&line[clamp(j as i64 - right, w) * beside..][..beside]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_labels_and_numbers_are_named() {
        let error =
            |labels: Vec<u32>| Data::new(vec![vec![0.0; 6]], &[2], labels, 10).unwrap_err().to_string();
        assert_eq!(error(vec![0, 1, 12]), "label 12 of example #2: the network has 10 classes, 0 to 9");
        assert_eq!(error(vec![0, 1]), "there are 3 inputs and 2 labels");
        assert!(Data::new(vec![vec![]], &[2], vec![], 10).is_err());
        let text =
            Data::new(vec![vec![0.0, 1.0, f32::NAN, 2.0]], &[2], vec![1, 1], 10).unwrap_err().to_string();
        assert!(text.contains("value 0 of example #1 is NaN"), "{text}");
    }

    #[test]
    fn a_digest_tells_examples_labels_and_their_order() {
        let digest = |values: [f32; 4], widths, labels: [u32; 2]| {
            Data::new(vec![values.to_vec()], &[widths], labels.to_vec(), 2).unwrap().digest()
        };
        let own = digest([1.0, 2.0, 3.0, 4.0], 2, [0, 1]);
        assert_eq!(own, digest([1.0, 2.0, 3.0, 4.0], 2, [0, 1]));
        assert_ne!(own, digest([1.0, 2.0, 3.0, 5.0], 2, [0, 1]));
        assert_ne!(own, digest([1.0, 2.0, 3.0, 4.0], 2, [1, 0]));
        assert_ne!(own, digest([3.0, 4.0, 1.0, 2.0], 2, [1, 0]));
    }

    #[test]
    fn a_split_is_a_partition() {
        let data = Data::new(vec![(0..50).map(|v| v as f32).collect()], &[1], vec![0; 50], 1).unwrap();
        let (train, held) = data.split(0.2, 7);
        let mut all: Vec<f32> =
            (0..40).map(|i| train.input(i, 0)[0]).chain((0..10).map(|i| held.input(i, 0)[0])).collect();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..50).map(|v| v as f32).collect::<Vec<_>>());
    }

    #[test]
    fn shifts_and_mirrors_move_whole_pictures() {
        let picture: Vec<f32> = (0..2 * 5 * 5).map(|v| v as f32).collect();
        let augment = Augment { plane: [5, 5], beside: 1, shift: 1, flip: true };
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut out = Vec::new();
            augment.push(&picture, &mut Draws::new(seed, 0), &mut out);
            // The middle is within one step of where it was, and both planes moved alike.
            let middle = out[12] - 12.0;
            assert_eq!(out[37] - 37.0, middle);
            let (down, right) = ((out[12] / 5.0).floor() as i32, (out[12] % 5.0) as i32);
            assert!((1..=3).contains(&down) && (1..=3).contains(&right));
            seen.insert((down, right, out[11] < out[13]));
        }
        assert_eq!(seen.len(), 18);
    }

    #[test]
    fn both_layouts_move_alike_and_colours_stay() {
        let (h, w, c) = (6, 5, 3);
        let planes: Vec<f32> = (0..c * h * w).map(|v| v as f32).collect();
        let pixels = |planes: &[f32]| -> Vec<f32> {
            (0..h * w).flat_map(|pixel| (0..c).map(move |channel| planes[channel * h * w + pixel])).collect()
        };
        let changed = |shape: &[usize], picture: &[f32], seed| {
            let mut out = Vec::new();
            let augment = Augment::for_shape(shape, 2, true).unwrap();
            augment.push(picture, &mut Draws::new(seed, 0), &mut out);
            out
        };
        let mut moved = 0;
        for seed in 0..50 {
            let first = changed(&[1, c, h, w], &planes, seed);
            assert_eq!(changed(&[1, h, w, c], &pixels(&planes), seed), pixels(&first));
            assert_eq!(changed(&[h, w, c], &pixels(&planes), seed), pixels(&first));
            moved += usize::from(first != planes);
        }
        assert!(moved > 25);
    }

    #[test]
    fn shapes_tell_where_channels_are() {
        let found = |shape: &[usize]| Augment::for_shape(shape, 1, true).map(|a| (a.plane, a.beside));
        assert_eq!(found(&[1, 3, 32, 32]), Some(([32, 32], 1)));
        assert_eq!(found(&[1, 32, 32, 3]), Some(([32, 32], 3)));
        assert_eq!(found(&[1, 28, 28, 1]), Some(([28, 28], 1)));
        // Many small planes, not four channels.
        assert_eq!(found(&[1, 16, 4, 4]), Some(([4, 4], 1)));
        assert_eq!(found(&[1, 784]), Some(([28, 28], 1)));
        assert_eq!(found(&[1, 617]), None);
    }

    #[test]
    fn a_spread_reaches_over_all_of_the_data() {
        let labels = (0..10u32).flat_map(|label| [label; 10]).collect();
        let data = Data::new(vec![vec![0.0; 100]], &[1], labels, 10).unwrap();
        let labels = |data: &Data| (0..data.len()).map(|i| data.label(i)).collect::<Vec<_>>();
        assert_eq!(labels(&data.spread(10)), (0..10).collect::<Vec<_>>());
        let uneven = data.spread(33);
        assert_eq!((uneven.len(), uneven.label(0), uneven.label(32)), (33, 0, 9));
        assert_eq!(labels(&data.spread(100)), labels(&data));
        assert_eq!(labels(&data.spread(1000)), labels(&data));
        assert!(data.spread(0).is_empty());
    }
}
