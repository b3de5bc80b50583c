//! Plans as they stand in the handshake, by protocol name.

use model::fixed::Params;

use super::batch;
use super::outline::Outline;
use super::server::Service;
use crate::error::Error;
use crate::handshake::Plan;

/// One input at a time, as fast as possible.
pub const LOLA: &str = "lola";
/// Many inputs in one pass.
pub const BATCH: &str = "lola-batch";

/// Why the label alone cannot be had.
pub const NO_LABEL: &str = "lola computes on ciphertexts without interaction and cannot compare them: the client gets all \
    scores; --output label needs a protocol with garbled circuits, such as deepsecure";

/// The public facts of a plan that came in a handshake, checked.
///
/// # Errors
/// [`Error::Malformed`] where the plan is none, or one of parameters below 128-bit security.
pub fn outline(protocol: &str, plan: &Plan) -> Result<Outline, Error> {
    match protocol {
        BATCH => batch(plan)?.outline(&plan.graph),
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
        BATCH => Service::new(outline, batch(plan)?.program(&plan.graph, params)?),
        _ => Err(unknown(protocol)),
    }
}

fn batch(plan: &Plan) -> Result<batch::Plan, Error> {
    // Taken by value: serde reads from an owned tree, whose size the handshake has bounded.
    serde_json::from_value(plan.payload.clone())
        .map_err(|e| Error::malformed("plan", crate::error::printable(e.to_string().as_bytes())))
}

fn unknown(protocol: &str) -> Error {
    Error::Refused(format!("there is no plan under encryption for the protocol {protocol}"))
}
