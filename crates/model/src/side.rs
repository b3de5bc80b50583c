//! What a model file does not say: how pictures become inputs, what the classes are called, how large tensors get.
//!
//! It stands beside the model as `MODEL.oribi.toml` (`digits.onnx` has `digits.oribi.toml`). Every key may be left out:
//!
//! ```toml
//! name = "digits"
//! labels = ["0", "1", "2"]
//! margin = 1.5                 # ranges seen on samples are widened by this factor
//! sparsity = "public"          # clients may know where weights are zero; or [sparsity], by layer
//! projection = "basis.npy"     # the public basis that inputs are multiplied by first, a file beside this one
//!
//! [input]                      # with several inputs: [inputs.NAME]
//! range = [0.0, 1.0]           # values beyond are clamped
//! shape = [1, 1, 28, 28]       # where the file leaves axes open
//! scale = 0.00392156862745098  # a picture's value = (pixel * scale - mean) / std
//! mean = [0.0]                 # one number, or one a channel
//! std = [1.0]
//! channels = "gray"            # gray, rgb or bgr
//! layout = "nchw"              # nchw or nhwc
//!
//! [tensors]                    # ranges by the name of a node, its output or an input
//! "conv1" = [-4.0, 4.0]
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, quote};
use crate::graph::{Graph, Layer};
use crate::sparsity::Sparsities;

/// The largest side file: 4 MiB.
const MAX_SIDE: u64 = 4 << 20;

/// A side file's content.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// The model's name.
    pub name: Option<String>,
    /// Names of the classes.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Factor by which ranges seen on samples are widened; at least 1.
    pub margin: Option<f32>,
    /// Whether the places of zero weights are public.
    #[serde(default)]
    pub sparsity: Sparsities,
    /// The public basis that inputs are multiplied by first: the name of a file beside this one.
    pub projection: Option<String>,
    /// The only input.
    pub input: Option<SideInput>,
    /// Several inputs by name.
    #[serde(default)]
    pub inputs: BTreeMap<String, SideInput>,
    /// Ranges of tensors by the name of the node that makes them.
    #[serde(default)]
    pub tensors: BTreeMap<String, [f32; 2]>,
}

/// What a side file says of an input.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideInput {
    /// Smallest and largest value.
    pub range: Option<[f32; 2]>,
    /// Shape, where the model leaves it open.
    pub shape: Option<Vec<usize>>,
    /// Factor of a picture's bytes.
    pub scale: Option<f32>,
    /// Subtracted after scaling.
    pub mean: Option<Vec<f32>>,
    /// Divided by after that.
    pub std: Option<Vec<f32>>,
    /// Order of a picture's channels.
    pub channels: Option<Channels>,
    /// Order of the axes.
    pub layout: Option<Layout>,
}

/// Channels of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One channel of brightness.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Order of the axes of a picture's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, height, width.
    Nchw,
    /// Batch, height, width, channel.
    Nhwc,
}

/// How a picture becomes an input's values: `(pixel * scale - mean[c]) / std[c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Channels.
    pub channels: Channels,
    /// Order of the axes.
    pub layout: Layout,
    /// Factor of the bytes.
    pub scale: f32,
    /// One number a channel.
    pub mean: Vec<f32>,
    /// One number a channel.
    pub std: Vec<f32>,
}

/// What a client needs to know of a model beside its graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The model's name.
    pub name: String,
    /// Names of the classes; may be empty.
    pub labels: Vec<String>,
    /// The inputs in the graph's order.
    pub inputs: Vec<InputMeta>,
}

/// What a client needs to know of an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputMeta {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Smallest and largest value; beyond, values are clamped.
    pub range: [f32; 2],
    /// How a picture becomes this input, where it can be one.
    pub picture: Option<Picture>,
}

impl Side {
    /// Where the side file of a model lies: `DIR/NAME.oribi.toml` for `DIR/NAME.onnx`.
    pub fn path(model: &Path) -> PathBuf {
        model.with_extension("oribi.toml")
    }

    /// Reads the side file of a model; a model without one has the default.
    ///
    /// # Errors
    /// If the file is there but cannot be used.
    pub fn load(model: &Path) -> Result<Self, Error> {
        let path = Self::path(model);
        let text = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(meta) if meta.len() > MAX_SIDE => {
                return Err(Error::Side("larger than 4 MiB".into()).in_file(&path));
            }
            _ => {
                std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?
            }
        };
        Self::parse(&text).map_err(|e| e.in_file(&path))
    }

    /// Reads a side file's text.
    ///
    /// # Errors
    /// If it is not TOML, has an unknown key, or a value makes no sense.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let side: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |s| text.get(..s.start).map_or(0, |t| t.matches('\n').count()) + 1);
            Error::Side(format!("line {line}: {}", e.message().replace('\n', " ")))
        })?;
        let bad = |what: String| Err(Error::Side(what));
        if side.margin.is_some_and(|m| !(1.0..=1e6).contains(&m)) {
            return bad("margin must be at least 1".into());
        }
        if let Some(name) = &side.projection
            && (name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']))
        {
            return bad(format!("projection is the name of a file beside the model, not {}", quote(name)));
        }
        for (name, range) in &side.tensors {
            check_range(name, *range)?;
        }
        let named = side.inputs.iter().map(|(name, input)| (name.as_str(), input));
        for (name, input) in named.chain(side.input.iter().map(|input| ("input", input))) {
            if let Some(range) = input.range {
                check_range(name, range)?;
            }
            let numbers = input.mean.iter().chain(&input.std).flatten().chain(&input.scale);
            if numbers.into_iter().any(|v| !v.is_finite()) || input.std.iter().flatten().any(|&v| v == 0.0) {
                return bad(format!("{}: scale, mean and std must be finite and std not zero", quote(name)));
            }
        }
        Ok(side)
    }

    /// What it says of an input of the graph.
    pub fn input(&self, name: &str, only: bool) -> Option<&SideInput> {
        self.inputs.get(name).or(if only { self.input.as_ref() } else { None })
    }

    /// Import settings: shapes the side file gives.
    pub fn options(&self) -> crate::onnx::Options {
        let named = self.inputs.iter().filter_map(|(n, i)| Some((n.clone(), i.shape.clone()?)));
        crate::onnx::Options {
            shapes: named.collect(),
            only: self.input.as_ref().and_then(|i| i.shape.clone()),
        }
    }

    /// The model's facts for a client; `ranges` holds the range of each input in order.
    ///
    /// # Errors
    /// If the side file names an input that is not there, or scaling that does not fit its channels.
    pub fn meta(&self, graph: &Graph, fallback: &str, ranges: &[[f32; 2]]) -> Result<Meta, Error> {
        let only = graph.inputs.len() == 1;
        for name in self.inputs.keys() {
            if !graph.inputs.iter().any(|&i| graph.nodes[i].name == *name) {
                return Err(Error::Side(format!("the model has no input {}", quote(name))));
            }
        }
        let mut inputs = Vec::new();
        for (&id, range) in graph.inputs.iter().zip(ranges) {
            let node = &graph.nodes[id];
            let side = self.input(&node.name, only).cloned().unwrap_or_default();
            let bytes = matches!(node.layer, Layer::Input { bytes: true });
            let picture = side.picture(&node.shape, bytes)?;
            inputs.push(InputMeta {
                name: node.name.clone(),
                shape: node.shape.clone(),
                range: *range,
                picture,
            });
        }
        let name = self.name.clone().unwrap_or_else(|| fallback.to_owned());
        Ok(Meta { name, labels: self.labels.clone(), inputs })
    }
}

fn check_range(name: &str, [low, high]: [f32; 2]) -> Result<(), Error> {
    if low.is_finite() && high.is_finite() && low < high {
        return Ok(());
    }
    Err(Error::Side(format!(
        "{}: range [{low}, {high}] must be two finite numbers, the smaller first",
        quote(name)
    )))
}

impl SideInput {
    /// How a picture becomes an input of this shape; none if it is no picture's shape.
    fn picture(&self, shape: &[usize], bytes: bool) -> Result<Option<Picture>, Error> {
        let plane = match *shape {
            [1, a, b, c] | [a, b, c] => [a, b, c],
            [a, b] if a > 1 => [1, a, b],
            [1, n] | [n] if n.isqrt() * n.isqrt() == n && n > 16 => [1, n.isqrt(), n.isqrt()],
            _ => return Ok(None),
        };
        let few = |c: usize| c == 1 || c == 3;
        let layout = match self.layout {
            Some(layout) => layout,
            None if few(plane[0]) => Layout::Nchw,
            None if few(plane[2]) => Layout::Nhwc,
            None => return Ok(None),
        };
        let (count, height, width) = match layout {
            Layout::Nchw => (plane[0], plane[1], plane[2]),
            Layout::Nhwc => (plane[2], plane[0], plane[1]),
        };
        let channels = match (self.channels, count) {
            (None | Some(Channels::Gray), 1) => Channels::Gray,
            (None, 3) => Channels::Rgb,
            (Some(c @ (Channels::Rgb | Channels::Bgr)), 3) => c,
            (None, _) => return Ok(None),
            (Some(c), n) => {
                return Err(Error::Side(format!("channels {c:?} for an input with {n} channels")));
            }
        };
        let each = |values: &Option<Vec<f32>>, default: f32, what: &str| match values.as_deref() {
            None => Ok(vec![default; count]),
            Some([v]) => Ok(vec![*v; count]),
            Some(v) if v.len() == count => Ok(v.to_vec()),
            Some(v) => Err(Error::Side(format!("{what} has {} numbers for {count} channels", v.len()))),
        };
        let scale = self.scale.unwrap_or(if bytes { 1.0 } else { 1.0 / 255.0 });
        let (mean, std) = (each(&self.mean, 0.0, "mean")?, each(&self.std, 1.0, "std")?);
        Ok(Some(Picture { height, width, channels, layout, scale, mean, std }))
    }

    /// The range that is stated or follows from the scaling of pictures.
    pub fn range(&self, shape: &[usize], bytes: bool) -> Result<Option<[f32; 2]>, Error> {
        if self.range.is_some() {
            return Ok(self.range);
        }
        if self.scale.is_none() && self.mean.is_none() && self.std.is_none() {
            return Ok(None);
        }
        Ok(self.picture(shape, bytes)?.map(|p| p.range()))
    }
}

impl Picture {
    /// Smallest and largest value that a byte becomes.
    pub fn range(&self) -> [f32; 2] {
        let ends = self.mean.iter().zip(&self.std).flat_map(|(m, s)| [-m / s, (255.0 * self.scale - m) / s]);
        ends.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
    }

    /// The value of a byte in a channel.
    pub fn value(&self, channel: usize, byte: u8) -> f32 {
        (f32::from(byte) * self.scale - self.mean[channel]) / self.std[channel]
    }
}
