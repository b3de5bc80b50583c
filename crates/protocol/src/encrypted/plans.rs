//! Plans as they stand in the handshake, by protocol name.

use model::Graph;
use model::fixed::{FixedGraph, Params};
use model::graph::Layer;

use super::batch;
use super::outline::Outline;
use super::plan;
use super::server::Service;
use crate::error::Error;
use crate::handshake::Plan;

/// One input at a time, as fast as possible.
pub const LOLA: &str = "lola";
/// Many inputs in one pass.
pub const BATCH: &str = "lola-batch";

/// Bytes of weights that are kept ready for products; what goes beyond is transformed in every query.
const FACTOR_BYTES: u64 = 1 << 30;

/// Why the label alone cannot be had.
pub const NO_LABEL: &str = "lola computes on ciphertexts without interaction and cannot compare them: the client gets all \
    scores; --output label needs a protocol with garbled circuits, such as deepsecure";

/// The public facts of a plan that came in a handshake, checked.
///
/// # Errors
/// [`Error::Malformed`] where the plan is none, or one of parameters below 128-bit security.
pub fn outline(protocol: &str, plan: &Plan) -> Result<Outline, Error> {
    match protocol {
        LOLA => {
            let plan_made: plan::Plan = payload(plan)?;
            let wrong = |refusal: plan::Refusal| {
                Error::malformed("plan", crate::error::printable(refusal.to_string().as_bytes()))
            };
            plan_made.validate(&plan.graph).map_err(wrong)?;
            plan_made.outline(&plan.graph).map_err(wrong)
        }
        BATCH => payload::<batch::Plan>(plan)?.outline(&plan.graph),
        _ => Err(unknown(protocol)),
    }
}

/// What serves a plan.
///
/// # Errors
/// As [`outline`], or where the weights do not fit.
pub fn service(protocol: &str, plan: &Plan, params: &Params) -> Result<Service, Error> {
    let outline = outline(protocol, plan)?;
    match protocol {
        LOLA => {
            let made: plan::Plan = payload(plan)?;
            let program = made.program(&plan.graph, params, FACTOR_BYTES).map_err(refused)?;
            Service::new(outline, Box::new(program))
        }
        BATCH => Service::new(outline, payload::<batch::Plan>(plan)?.program(&plan.graph, params)?),
        _ => Err(unknown(protocol)),
    }
}

/// What is asked of a plan.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A plan of the paper by its name.
    pub preset: Option<String>,
    /// Threads of the server, 0 for all cores.
    pub threads: usize,
}

/// Makes a plan for a network, as the payload of a handshake.
///
/// # Errors
/// [`Error::Refused`] where the network has none, with the reason.
pub fn make(protocol: &str, graph: &FixedGraph, options: &Options) -> Result<serde_json::Value, Error> {
    let made = match protocol {
        LOLA => {
            let named = |name: &str| {
                name.parse().map_err(|refusal: plan::Refusal| Error::Refused(format!("{name}: {refusal}")))
            };
            let preset = options.preset.as_deref().map(named).transpose()?;
            let wanted =
                plan::Options { preset, threads: threads(options.threads), ..plan::Options::default() };
            serde_json::to_value(plan::Plan::find(graph, &wanted).map_err(refused)?)
        }
        BATCH => serde_json::to_value(batch::Plan::derive(graph)?),
        _ => return Err(unknown(protocol)),
    };
    made.map_err(|e| Error::Refused(format!("the plan cannot be written: {e}")))
}

/// A plan's steps in words, with their operations, and a line about the whole; none for a batch, whose plan is its layers.
///
/// # Errors
/// As [`outline`].
pub fn summary(protocol: &str, plan: &Plan) -> Result<(String, Vec<plan::StepSummary>), Error> {
    match protocol {
        LOLA => {
            let made: plan::Plan = payload(plan)?;
            Ok((made.to_string(), made.summary(&plan.graph).map_err(refused)?))
        }
        BATCH => Ok(("one ciphertext a value, nothing is rotated".into(), Vec::new())),
        _ => Err(unknown(protocol)),
    }
}

/// Whether ciphertexts can compute a network of integers. Cheap.
///
/// # Errors
/// [`Error::Refused`], with the layer.
pub fn check(graph: &FixedGraph) -> Result<(), Error> {
    batch::supported(graph)
}

/// Whether ciphertexts can compute a network at all: before it is turned into integers, which may take long.
///
/// # Errors
/// [`Error::Refused`], with the layer.
pub fn supports(graph: &Graph) -> Result<(), Error> {
    let other = graph.nodes.iter().find(|node| {
        matches!(
            node.layer,
            Layer::Relu
                | Layer::Clamp { .. }
                | Layer::MaxPool { .. }
                | Layer::LeakyRelu { .. }
                | Layer::PRelu { .. }
                | Layer::Sigmoid
                | Layer::Tanh
                | Layer::ArgMax { .. }
        )
    });
    let products = graph.products();
    if other.is_none() && products > batch::MAX_TERMS {
        return Err(Error::Refused(format!(
            "the network takes {products} products, and at most {} can be computed on ciphertexts: a smaller network or another \
             protocol is needed",
            batch::MAX_TERMS
        )));
    }
    other.map_or(Ok(()), |node| {
        Err(Error::Refused(format!(
            "layer {} is a {}: only sums and products can be computed on ciphertexts; train with squares in its place, or use \
             deepsecure",
            crate::error::printable(node.name.as_bytes()),
            node.layer.kind()
        )))
    })
}

fn payload<T: serde::de::DeserializeOwned>(plan: &Plan) -> Result<T, Error> {
    // Taken by value: serde reads from an owned tree, whose size the handshake has bounded.
    serde_json::from_value(plan.payload.clone())
        .map_err(|e| Error::malformed("plan", crate::error::printable(e.to_string().as_bytes())))
}

fn refused(refusal: plan::Refusal) -> Error {
    Error::Refused(refusal.to_string())
}

fn threads(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

fn unknown(protocol: &str) -> Error {
    Error::Refused(format!("there is no plan under encryption for the protocol {protocol}"))
}
