//! What both sides of `delphi` say about stored bundles: whether they use them, and for what one is good.

use protocol::handshake::Plan;
use protocol::interactive::ahead::{DELPHI, Work};
use protocol::{Error, Reveal};
use serde_json::{Value, json};

use crate::store::Offer;

/// The entry of a client's wishes, and of a plan's payload.
const STORE: &str = "store";

/// The wish for stored bundles.
pub(crate) fn wish(wanted: bool) -> Value {
    if wanted { json!({ STORE: true }) } else { Value::Null }
}

/// Whether a client wishes for stored bundles.
pub(crate) fn is_wished(wishes: &Value) -> bool {
    wishes.get(STORE) == Some(&Value::Bool(true))
}

/// A plan's payload with the model's identifier, by which the server says that it keeps bundles too.
pub(crate) fn grant(mut payload: Value, model: [u8; 16]) -> Value {
    if let Value::Object(entries) = &mut payload {
        let digits = model.iter().map(|byte| format!("{byte:02x}")).collect();
        entries.insert(STORE.to_owned(), Value::String(digits));
    }
    payload
}

/// The identifier in a plan's payload, where the server keeps bundles.
///
/// # Errors
/// It is none.
pub(crate) fn granted(plan: &Plan) -> Result<Option<[u8; 16]>, Error> {
    let Some(entry) = plan.payload.get(STORE) else { return Ok(None) };
    let wrong = || Error::malformed("plan", "its model identifier is none");
    let digits = entry.as_str().filter(|digits| digits.len() == 32 && digits.is_ascii()).ok_or_else(wrong)?;
    let number = u128::from_str_radix(digits, 16).map_err(|_| wrong())?;
    Ok(Some(number.to_be_bytes()))
}

/// What bundles of this plan are good for: predictions by the same protocol, graph, plan and output, of a model with the same weights.
pub(crate) fn offer(plan: &Plan, work: &Work<'_>, reveal: Reveal, model: [u8; 16]) -> Offer {
    let mut terms = plan.payload.clone();
    if let Value::Object(entries) = &mut terms {
        entries.remove(STORE);
    }
    let mut hasher = blake3::Hasher::new_derive_key("oribi: what a bundle of delphi is good for, version 1");
    hasher.update(&work.digest());
    for text in [DELPHI, reveal.name(), &terms.to_string()] {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    // The name on the server's list is not in the plan; a part of the identifier tells models apart.
    let [a, b, c, d, ..] = model;
    let label = format!("model {a:02x}{b:02x}{c:02x}{d:02x}, {DELPHI}, {}", reveal.name());
    Offer { model, plan: *hasher.finalize().as_bytes(), label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_and_grants() {
        assert!(is_wished(&wish(true)) && !is_wished(&wish(false)) && !is_wished(&json!({ STORE: 1 })));
        let graph = model::fixed::FixedGraph {
            number: model::fixed::NumberFormat::Word16,
            nodes: Vec::new(),
            params: Vec::new(),
            inputs: Vec::new(),
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: Vec::new(),
        };
        let plan = |payload| Plan { graph: graph.clone(), payload };
        let id = [0x0a; 16];
        assert_eq!(granted(&plan(grant(json!({ "degree": 1 }), id))).unwrap(), Some(id));
        assert_eq!(granted(&plan(json!({}))).unwrap(), None);
        for wrong in [json!(1), json!("0a"), json!("+".repeat(32)), json!("é".repeat(16))] {
            assert!(granted(&plan(json!({ STORE: wrong }))).is_err());
        }
    }
}
