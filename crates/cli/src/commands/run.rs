//! `oribi run`: the plaintext references.

use std::sync::Arc;

use model::fixed::{FixedGraph, Params};
use model::graph::Layer;
use model::{Tensor, float, reference};
use oribi::input::{Example, Projection};
use protocol::Reveal;

use crate::choice::{Asked, Linear, Numbers};
use crate::console::{Progress, note, out};
use crate::failure::Failure;
use crate::pricing;
use crate::report::{self, Line, Outputs};
use crate::source::{Number, Source, beyond};

/// Compute predictions in the clear, on this machine.
///
/// With --float as any ONNX runtime does; with --fixed in integers; with --protocol in the integers that a private
/// prediction by that protocol gives exactly.
#[derive(clap::Args)]
pub struct Arguments {
    /// The network, an ONNX file.
    #[arg(value_name = "MODEL")]
    model: String,
    /// Files with inputs: PNG, JPEG, .npy, .npz, IDX or JSON; FILE#3 is one input of a file that holds several.
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<String>,
    /// The float reference (the default).
    #[arg(long, conflicts_with = "fixed")]
    float: bool,
    /// The integer reference.
    #[arg(long)]
    fixed: bool,
    /// Which protocol's integers: deepsecure, lola, gazelle, delphi, or auto, the cheapest on this machine. Implies --fixed.
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "float")]
    protocol: Option<Asked>,
    /// gazelle: the method of linear layers whose integers are meant, where the server was started with --linear he-slots.
    #[arg(long, value_name = "METHOD", requires = "protocol", default_value = "auto")]
    linear: Linear,
    /// The public basis that inputs are multiplied by, where the model takes coordinates; an .npy. By default the one that the side file names.
    #[arg(long, value_name = "FILE")]
    projection: Option<String>,
    #[command(flatten)]
    numbers: Numbers,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let source = Source::load(&arguments.model, &arguments.numbers)?;
    let asked = arguments.protocol;
    let asked = asked.map(|asked| pricing::resolve(asked, &source, Reveal::Scores, None)).transpose()?;
    let reference = match (arguments.fixed, asked) {
        (false, None) => Reference::Float,
        (_, protocol) => Reference::fixed(
            &source,
            protocol.map_or(Number::Ring, |protocol| arguments.linear.number(protocol)),
        )?,
    };
    let specs = source.inputs();
    let projection = match &arguments.projection {
        Some(path) => Some(Arc::new(Projection::load(path)?)),
        None => source.basis()?,
    };
    let files = arguments
        .inputs
        .iter()
        .map(|input| oribi::input::open_projected(input, &specs, projection.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    let progress = Progress::new(files.iter().map(|file| file.len() as u64).sum(), "computing", None);
    let mut warned = false;
    for example in files.into_iter().flatten() {
        let example = example?;
        let line = reference.predict(&source, &example)?;
        progress.step();
        progress.suspend(|| {
            if let Reference::Fixed { graph, .. } = &reference
                && !warned
                && let Some(text) = beyond(graph, &specs, &example.tensors)
            {
                warned = true;
                note(&format!("{}: {text}", example.name));
            }
            if arguments.json { out(&line.to_json()?) } else { print(&line, &source.meta.labels) }
        })?;
    }
    Ok(())
}

fn print(line: &Line, labels: &[String]) -> Result<(), Failure> {
    out(&format!("{}: {}", line.input, line.label))?;
    report::best(&line.output, labels, 3).iter().try_for_each(|text| out(&format!("  {text}")))
}

/// How to compute.
enum Reference {
    Float,
    Fixed { number: Number, graph: FixedGraph, params: Params },
}

impl Reference {
    fn fixed(source: &Source, number: Number) -> Result<Self, Failure> {
        let (graph, params) = source.quantise(number)?;
        Ok(Self::Fixed { number, graph, params })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Fixed { number, .. } => number.name(),
        }
    }

    fn predict(&self, source: &Source, example: &Example) -> Result<Line, Failure> {
        let values = self
            .outputs(source, example)
            .map_err(|error| Failure::bad(format!("{}: {error}", example.name)))?;
        let index = source.graph.outputs.first().and_then(|output| source.graph.nodes.get(output.node));
        let index = index.is_some_and(|node| matches!(node.layer, Layer::ArgMax { .. }));
        let names = source.graph.outputs.iter().map(|output| output.name.as_str());
        let outputs = Outputs::new(names.zip(values).collect(), index);
        Ok(outputs.line(&source.meta.name, self.name(), &example.name, &source.meta.labels))
    }

    fn outputs(&self, source: &Source, example: &Example) -> Result<Vec<Vec<f32>>, model::Error> {
        match self {
            Self::Float => {
                let shapes = source.meta.inputs.iter().map(|input| input.shape.clone());
                let tensors =
                    shapes.zip(&example.tensors).map(|(shape, data)| Tensor::new(shape, data.clone()));
                let outputs = float::run(&source.graph, &tensors.collect::<Result<Vec<_>, _>>()?)?;
                Ok(outputs.into_iter().map(|tensor| tensor.data().to_vec()).collect())
            }
            Self::Fixed { graph, params, .. } => {
                let inputs = example.tensors.iter().enumerate();
                let inputs =
                    inputs
                        .map(|(index, data)| graph.quantise_input(index, data))
                        .collect::<Result<Vec<_>, _>>()?;
                reference::predict(graph, params, &inputs)
            }
        }
    }
}
