//! A model as the owner of its file has it: graph, side file, ranges, integers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::fixed::{FixedGraph, NumberFormat, Op, Params};
use model::quantise::{Options, quantise};
use model::ranges::Ranges;
use model::side::{Channels, InputMeta};
use model::sparsity::Sparsities;
use model::{Graph, Meta, Side, Tensor, onnx, passes};
use oribi::input::{Example, InputSpec, Pixels, Projection};

use crate::builtin;
use crate::choice::{Numbers, Protocol};
use crate::failure::Failure;
use crate::networks;

/// Most inputs that ranges are measured on.
const CALIBRATION: usize = 256;

/// A model that was read and measured.
pub struct Source {
    /// The argument it came from.
    pub path: String,
    /// The network in floats.
    pub graph: Graph,
    /// How large its tensors get.
    pub ranges: Ranges,
    /// Name, classes, inputs.
    pub meta: Meta,
    /// How its numbers become integers.
    numbers: Numbers,
    /// Which layers' zeros are public.
    sparsity: Sparsities,
    /// The public basis that inputs are multiplied by first, beside the model.
    pub projection: Option<PathBuf>,
}

impl Source {
    /// Reads an ONNX file with its side file, or the built-in model, and measures ranges: on the inputs of the file
    /// `--calibrate`, or on generated ones, never on a client's.
    ///
    /// # Errors
    /// If a file cannot be used; the message names it.
    pub fn load(path: &str, numbers: &Numbers) -> Result<Self, Failure> {
        Self::load_for(path, numbers, &[])
    }

    /// As [`Source::load`], for some of these protocols: what none of them can run is refused before anything is measured.
    ///
    /// # Errors
    /// As [`Source::load`], and the first protocol's reason where all refuse.
    pub fn load_for(path: &str, numbers: &Numbers, protocols: &[Protocol]) -> Result<Self, Failure> {
        let named = |error| match error {
            // These name their file already.
            model::Error::Read { .. } | model::Error::In { .. } => Failure::bad(error),
            other => Failure::bad(format!("{path}: {other}")),
        };
        let (name, graph, side) = read(path).map_err(named)?;
        let refusal = |protocol: &Protocol| supports(*protocol, &graph, &side.sparsity).err();
        if let Some(first) = protocols.first().and_then(refusal)
            && protocols.iter().all(|protocol| refusal(protocol).is_some())
        {
            return Err(Failure::bad(format!("{path}: {first}")));
        }
        let (mut source, side) = Self::measure(path, (name, graph, side)).map_err(named)?;
        source.numbers = numbers.clone();
        if let Some(file) = &numbers.calibrate {
            let samples = source.samples(file)?;
            source.ranges = Ranges::measure(&source.graph, &side, &samples).map_err(named)?;
            let inputs = source.ranges.inputs(&source.graph);
            source.meta = side.meta(&source.graph, &source.meta.name, &inputs).map_err(named)?;
        }
        Ok(source)
    }

    /// The first inputs of a file, as tensors.
    fn samples(&self, file: &str) -> Result<Vec<Vec<Tensor>>, Failure> {
        let shapes: Vec<&[usize]> = self.meta.inputs.iter().map(|input| input.shape.as_slice()).collect();
        let tensors = |example: Example| {
            let pairs = shapes.iter().zip(example.tensors);
            pairs.map(|(shape, data)| Tensor::new(shape.to_vec(), data)).collect::<Result<Vec<_>, _>>()
        };
        oribi::input::open_projected(file, &self.inputs(), self.basis()?.as_ref())?
            .take(CALIBRATION)
            .map(|example| tensors(example?).map_err(|error| Failure::bad(format!("{file}: {error}"))))
            .collect()
    }

    fn measure(path: &str, (name, graph, side): Read) -> Result<(Self, Side), model::Error> {
        side.sparsity.of_layers(&graph)?;
        let ranges = Ranges::measure(&graph, &side, &[])?;
        let meta = side.meta(&graph, &name, &ranges.inputs(&graph))?;
        let (path, numbers, sparsity) = (path.to_owned(), Numbers::default(), side.sparsity.clone());
        let projection = side.projection.as_ref().map(|name| Path::new(&path).with_file_name(name));
        Ok((Self { path, graph, ranges, meta, numbers, sparsity, projection }, side))
    }

    /// The public basis that inputs are multiplied by, if the side file names one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn basis(&self) -> Result<Option<Arc<Projection>>, Failure> {
        let path = self.projection.as_ref().map(|path| path.to_string_lossy().into_owned());
        Ok(path.as_deref().map(Projection::load).transpose()?.map(Arc::new))
    }

    /// Where that basis lies.
    pub fn projection(&self) -> Option<&Path> {
        self.projection.as_deref()
    }

    /// Whether a protocol may run it, as far as the network's layers and products say.
    ///
    /// # Errors
    /// The reason why not.
    pub fn supports(&self, protocol: Protocol) -> Result<(), String> {
        supports(protocol, &self.graph, &self.sparsity)
    }

    /// The network on integers.
    ///
    /// # Errors
    /// If the number format cannot hold it.
    pub fn quantise(&self, number: Number) -> Result<(FixedGraph, Params), Failure> {
        if number == Number::Of(Protocol::Lola) {
            self.supports(Protocol::Lola).map_err(|why| Failure::bad(format!("{}: {why}", self.path)))?;
        }
        let options = Options { sparsity: self.sparsity.clone(), ..self.numbers.apply(number.options()) };
        quantise(&self.graph, &self.ranges, &options)
            .map_err(|error| Failure::bad(format!("{}: {error}", self.path)))
    }

    /// The side file's text; empty where there is none.
    pub fn side_text(&self) -> String {
        let built_in = builtin::NETWORKS.iter().find(|network| network.path == self.path);
        std::fs::read_to_string(Side::path(Path::new(&self.path)))
            .unwrap_or_else(|_| built_in.map_or(String::new(), |network| network.side_file.to_owned()))
    }

    /// What its inputs are, for reading files.
    pub fn inputs(&self) -> Vec<InputSpec> {
        self.meta.inputs.iter().map(spec).collect()
    }
}

/// As [`Source::supports`]. What public zeros save is known after rounding only.
fn supports(protocol: Protocol, graph: &Graph, sparsity: &Sparsities) -> Result<(), String> {
    if protocol == Protocol::DeepSecure && !sparsity.is_secret() {
        return Ok(());
    }
    protocol.supports(graph)
}

/// A network with its name, and what its side file says.
type Read = (String, Graph, Side);

fn read(path: &str) -> Result<Read, model::Error> {
    let built_in = builtin::NETWORKS.iter().find(|network| network.path == path && !Path::new(path).exists());
    if let Some(network) = built_in {
        let graph = onnx::from_bytes(network.onnx, None)?;
        return Ok((network.name.to_owned(), graph, Side::parse(network.side_file)?));
    }
    if let Some(generated) = networks::generate(path).filter(|_| !Path::new(path).exists()) {
        let (name, graph, side) = generated?;
        return Ok((name, passes::simplify(graph)?, side));
    }
    let file = Path::new(path);
    let (graph, side) = model::open(file)?;
    let name = file.file_stem().map_or_else(|| path.to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok((name, graph, side))
}

/// Which integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Those of a protocol.
    Of(Protocol),
    /// Those of gazelle with linear layers in slots: products are garbled there, so that their bits are dropped at once.
    InSlots,
    /// The default: a ring as wide as the ranges ask for.
    Ring,
}

impl Number {
    /// The word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(protocol) => protocol.name(),
            Self::InSlots => Protocol::Gazelle.name(),
            Self::Ring => "ring",
        }
    }

    fn options(self) -> Options {
        match self {
            Self::Of(Protocol::DeepSecure) => Options::new(NumberFormat::Word16),
            Self::Of(Protocol::Lola) => Options::new(NumberFormat::Exact),
            Self::Of(Protocol::Gazelle) | Self::Ring => Options::ring(),
            Self::InSlots => Options { whole_products: false, ..Options::ring() },
            Self::Of(Protocol::Delphi) => Options::narrow_ring(),
        }
    }
}

/// What a model's input is, for reading files.
fn spec(input: &InputMeta) -> InputSpec {
    let pixels = input.picture.as_ref().map_or_else(Pixels::default, |picture| Pixels {
        scale: picture.std.iter().map(|std| picture.scale / std).collect(),
        offset: picture.mean.iter().zip(&picture.std).map(|(mean, std)| -mean / std).collect(),
        bgr: picture.channels == Channels::Bgr,
    });
    InputSpec { name: input.name.clone(), shape: input.shape.clone(), pixels, range: Some(input.range) }
}

/// What to say of inputs beyond the range that a model is made for, or beyond what its integers can hold.
pub fn beyond(graph: &FixedGraph, specs: &[InputSpec], tensors: &[Vec<f32>]) -> Option<String> {
    const ONCE: &str = "(said once; more may follow)";
    let clipped: usize = tensors.iter().enumerate().map(|(index, values)| graph.clipped(index, values)).sum();
    if clipped > 0 {
        return Some(format!("{clipped} input values lie beyond the model's range and were clipped {ONCE}"));
    }
    let outside = specs.iter().zip(tensors).map(|(spec, values)| (spec, spec.outside(values)));
    let (spec, count) = { outside }.find(|(_, count)| *count > 0)?;
    let [low, high] = spec.range?;
    Some(format!(
        "{count} input values lie outside the model's range of {low} to {high}; the result may be wrong {ONCE}"
    ))
}

/// Whether the first output of a graph is the index of a class and not its scores.
pub fn gives_index(graph: &FixedGraph) -> bool {
    let first = graph.outputs.first().and_then(|output| graph.nodes.get(output.node));
    first.is_some_and(|node| matches!(node.op, Op::ArgMax { .. }))
}
