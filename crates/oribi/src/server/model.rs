//! A model as a server offers it.

use std::sync::Arc;

use model::fixed::{FixedGraph, Limits, Params};
use protocol::Reveal;
use protocol::handshake::{InputInfo, MAX_PLAN_BYTES, ModelId, ModelInfo, Plan, ProtocolInfo};

use super::engine::Engine;
use crate::error::Error;
use crate::input::{InputSpec, Projection};

/// A model with everything needed to serve it.
pub struct ServedModel {
    /// Its name, unique on the server.
    pub name: String,
    /// Names of the classes, or none.
    pub labels: Vec<String>,
    /// What it takes.
    pub inputs: Vec<InputSpec>,
    /// The public basis that clients multiply their one input by first, if there is one; up to [`protocol::handshake::MAX_BASIS`] numbers.
    pub projection: Option<Projection>,
    /// The protocols it can be run with, the preferred one first.
    pub variants: Vec<Variant>,
}

/// A model as one protocol computes it.
pub struct Variant {
    /// The protocol's name.
    pub protocol: String,
    /// The outputs that clients may learn.
    pub reveals: Vec<Reveal>,
    /// The public graph.
    pub graph: FixedGraph,
    /// What else clients of this protocol need to know.
    pub payload: serde_json::Value,
    /// The secret weights.
    pub params: Params,
}

/// A model ready to be served.
pub(super) struct Offered {
    /// In the order of its protocols.
    pub(super) variants: Vec<Prepared>,
    /// See [`ServedModel::projection`].
    pub(super) projection: Option<Projection>,
}

/// A variant ready to be served.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) params: Params,
    /// What serves it.
    pub(super) engine: Arc<dyn Engine>,
}

impl ServedModel {
    /// What clients are told, and the variants in the same order, each with one of these engines.
    pub(super) fn prepare(
        self,
        id: ModelId,
        engines: &[Arc<dyn Engine>],
    ) -> Result<(ModelInfo, Offered), Error> {
        let wrong = |name: &str, why: String| Error::Model { name: name.to_owned(), why };
        let mut protocols = Vec::new();
        let mut prepared = Vec::new();
        for variant in self.variants {
            let Variant { protocol, reveals, graph, payload, params } = variant;
            graph.validate(&Limits::default()).map_err(|e| wrong(&self.name, format!("{protocol}: {e}")))?;
            let fits = params.tensors.len() == graph.params.len()
                && params
                    .tensors
                    .iter()
                    .zip(&graph.params)
                    .all(|(tensor, info)| tensor.len() == info.shape.iter().product::<usize>());
            if !fits {
                return Err(wrong(&self.name, format!("{protocol}: the weights do not fit the graph")));
            }
            let plan = Plan { graph, payload };
            let bytes = serde_json::to_vec(&plan).map_or(usize::MAX, |bytes| bytes.len());
            if bytes > MAX_PLAN_BYTES {
                return Err(wrong(
                    &self.name,
                    format!("{protocol}: its plan of {bytes} bytes is too long to send"),
                ));
            }
            let engine = engines.iter().find(|engine| engine.name() == protocol).ok_or_else(|| {
                wrong(&self.name, format!("this server cannot run the protocol {protocol}"))
            })?;
            let own = engine.for_model(&plan, &params);
            let own = own.map_err(|e| wrong(&self.name, format!("{protocol}: {e}")))?;
            let engine = own.unwrap_or_else(|| engine.clone());
            protocols.push(ProtocolInfo { name: protocol, reveals });
            prepared.push(Prepared { plan, params, engine });
        }
        if prepared.is_empty() {
            return Err(wrong(&self.name, "no protocol can run it".into()));
        }
        let inputs = self.inputs.into_iter().map(input_info).collect();
        let projected_from = self.projection.as_ref().map(Projection::width);
        let info = ModelInfo { id, name: self.name, inputs, labels: self.labels, protocols, projected_from };
        let rows = info.basis().map_err(|why| wrong(&info.name, why))?.map(|[rows, _]| rows);
        if let Some(basis) = self.projection.as_ref().filter(|basis| rows != Some(basis.rows())) {
            let (rows, wanted) = (basis.rows(), rows.unwrap_or(0));
            let why = format!("its basis gives {rows} values, and the model takes {wanted}");
            return Err(wrong(&info.name, why));
        }
        Ok((info, Offered { variants: prepared, projection: self.projection }))
    }
}

fn input_info(spec: InputSpec) -> InputInfo {
    InputInfo {
        name: spec.name,
        shape: spec.shape,
        pixel_scale: spec.pixels.scale,
        pixel_offset: spec.pixels.offset,
        bgr: spec.pixels.bgr,
        range: spec.range,
    }
}
