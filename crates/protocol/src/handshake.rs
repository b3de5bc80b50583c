//! How two parties agree on what to compute.
//!
//! | who | what |
//! | --- | --- |
//! | both | a greeting of 16 bytes: magic, oldest and newest protocol version spoken |
//! | server | [`Hello`]: its models and, for each, the protocols and outputs on offer |
//! | client | measurements of the link, if it wants any ([`crate::measure`]) |
//! | client | [`Choice`]: a model, a protocol, scores or label; or a farewell |
//! | server | [`Plan`]: the model's public graph as that protocol computes it |
//!
//! A client that has a plan may ask for the model's public basis, where the list says that there is one, before its first prediction ([`receive_basis`]).
//!
//! After the greeting every message is a JSON object in a frame. Models are known by a random identifier: a digest
//! of the weights would confirm a guess at them. Protocols are names; what else one needs travels as its payload.

mod greeting;

use std::collections::HashSet;

use model::fixed::{FixedGraph, Limits};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, printable};
use crate::frame::{Length, Tag};
use crate::measure::{self, Probe};
use crate::message::Message;
use crate::session::Session;

pub use greeting::{GREETING_BYTES, VERSIONS, Versions, greet};

/// Longest [`Hello`], in bytes.
pub const MAX_HELLO_BYTES: usize = 1 << 20;
/// Longest [`Choice`], in bytes.
pub const MAX_CHOICE_BYTES: usize = 16 << 10;
/// Longest [`Plan`], in bytes.
pub const MAX_PLAN_BYTES: usize = 16 << 20;
/// Most models a server lists.
pub const MAX_MODELS: usize = 1000;
/// Most elements of one input.
pub const MAX_INPUT_ELEMENTS: usize = 1 << 27;
/// Most numbers of a basis that a server publishes.
pub const MAX_BASIS: usize = 1 << 22;
/// Most axes of an input.
const MAX_RANK: usize = 8;

/// What the client learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reveal {
    /// The model's outputs.
    Scores,
    /// The index of the largest output, and nothing else.
    Label,
}

/// A model's random identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(pub [u8; 16]);

impl std::fmt::Display for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelId({self})")
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ModelId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a model identifier has 32 hexadecimal digits";
        let mut id = [0; 16];
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(WRONG);
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(id))
    }
}

/// The server's first message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The server's program and version, for people.
    pub server: String,
    /// What it serves.
    pub models: Vec<ModelInfo>,
}

/// A model on offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its identifier.
    pub id: ModelId,
    /// Its name, unique on this server.
    pub name: String,
    /// The graph's inputs.
    pub inputs: Vec<InputInfo>,
    /// Names of the classes, or none.
    pub labels: Vec<String>,
    /// How it can be run.
    pub protocols: Vec<ProtocolInfo>,
    /// Values of what the client multiplies by the model's public basis to get its one input, where there is such a basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projected_from: Option<usize>,
}

/// An input of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputInfo {
    /// The graph's name for it.
    pub name: String,
    /// Its shape, batch axis included where the model has one.
    pub shape: Vec<usize>,
    /// How a pixel becomes a value: `pixel * scale + offset`, one entry or one a channel.
    pub pixel_scale: Vec<f32>,
    /// See `pixel_scale`.
    pub pixel_offset: Vec<f32>,
    /// Whether channels are in the order blue, green, red.
    pub bgr: bool,
    /// Smallest and largest value that the model is made for, where the server says.
    #[serde(default)]
    pub range: Option<[f32; 2]>,
}

/// A protocol on offer for a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolInfo {
    /// Its name.
    pub name: String,
    /// The outputs that the server allows.
    pub reveals: Vec<Reveal>,
}

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// One of the models.
    pub model: ModelId,
    /// One of its protocols.
    pub protocol: String,
    /// One of that protocol's outputs.
    pub reveal: Reveal,
    /// What the protocol wants to know besides.
    #[serde(default)]
    pub payload: serde_json::Value,
}

/// The chosen model as the chosen protocol computes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The public graph.
    pub graph: FixedGraph,
    /// What the protocol needs besides.
    #[serde(default)]
    pub payload: serde_json::Value,
}

/// The client's half of the first exchange: greetings and the server's list.
///
/// # Errors
/// [`Error::Version`] where the two sides have no version in common, [`Error::Malformed`] where the list makes no
/// sense, [`Error::Peer`] where the server is busy.
pub fn receive_hello(session: &mut Session) -> Result<Hello, Error> {
    greet(session, VERSIONS, VERSIONS)?;
    let bytes = session.inbox.recv(Tag::HELLO, Length::AtMost(MAX_HELLO_BYTES))?;
    let mut hello: Hello = from_json("hello", &bytes)?;
    hello.check()?;
    Ok(hello)
}

/// The server's half of the first exchange.
///
/// # Errors
/// As [`receive_hello`]; [`Error::Refused`] where the list is too long to send.
pub fn send_hello(session: &mut Session, hello: &Hello) -> Result<(), Error> {
    greet(session, VERSIONS, VERSIONS)?;
    offer(session, hello)
}

/// Sends a client that has been greeted what is on offer.
///
/// # Errors
/// [`Error::Refused`] where the list is too long to send, and those of the connection.
pub fn offer(session: &mut Session, hello: &Hello) -> Result<(), Error> {
    send_json(session, Tag::HELLO, hello, MAX_HELLO_BYTES)
}

/// Asks for a model and receives its plan.
///
/// # Errors
/// [`Error::Peer`] where the server refuses, [`Error::Malformed`] where the plan makes no sense.
pub fn choose(session: &mut Session, choice: &Choice) -> Result<Plan, Error> {
    send_json(session, Tag::CHOICE, choice, MAX_CHOICE_BYTES)?;
    let bytes = session.inbox.recv(Tag::PLAN, Length::AtMost(MAX_PLAN_BYTES))?;
    Plan::decode(&bytes)
}

/// What a client says to a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// It wants this, which is on offer.
    Choice(Choice),
    /// It measures the link, and has not chosen yet.
    Probe(Probe),
    /// It leaves.
    Farewell,
}

/// Receives what the client says to the list; a choice is checked against what was offered.
///
/// # Errors
/// [`Error::Refused`] where the choice was not on offer: the client should hear it.
pub fn receive_request(session: &mut Session, hello: &Hello) -> Result<Request, Error> {
    let due = [(Tag::CHOICE, Length::AtMost(MAX_CHOICE_BYTES)), (Tag::BYE, Length::Exactly(0)), measure::DUE];
    let (tag, bytes) = session.inbox.recv_one_of(&due)?;
    if tag == Tag::BYE {
        return Ok(Request::Farewell);
    }
    if tag == Tag::PROBE {
        return Ok(Request::Probe(Probe::from_bytes(&bytes)?));
    }
    let choice: Choice = from_json("choice", &bytes)?;
    hello.allows(&choice)?;
    Ok(Request::Choice(choice))
}

/// Sends a plan.
///
/// # Errors
/// [`Error::Refused`] where the plan is too long to send, and those of the connection.
pub fn send_plan(session: &mut Session, plan: &Plan) -> Result<(), Error> {
    send_json(session, Tag::PLAN, plan, MAX_PLAN_BYTES)
}

/// Asks a server that has sent its plan for the model's basis: rows of `width` values each, one row for each value of the input; none where the
/// list names no basis.
///
/// # Errors
/// [`Error::Malformed`] where a value is not finite, and those of the connection.
pub fn receive_basis(session: &mut Session, model: &ModelInfo) -> Result<Option<Vec<f32>>, Error> {
    let wrong = |why: &str| Error::malformed("basis", why);
    let Some([rows, width]) = model.basis().map_err(|why| wrong(&why))? else { return Ok(None) };
    session.outbox.send(Tag::BASIS, &[])?;
    session.outbox.flush()?;
    let bytes = session.inbox.recv(Tag::BASIS, Length::Exactly(rows * width * size_of::<f32>()))?;
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]]))
        .collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(Some(values)),
        false => Err(wrong("a value is no finite number")),
    }
}

/// Sends a model's basis, which was asked for.
///
/// # Errors
/// Those of the connection.
pub fn send_basis(session: &mut Session, values: &[f32]) -> Result<(), Error> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    session.outbox.send(Tag::BASIS, &bytes)?;
    session.outbox.flush()
}

/// Ends the session in good order.
///
/// # Errors
/// Those of the connection.
pub fn farewell(session: &mut Session) -> Result<(), Error> {
    session.outbox.send(Tag::BYE, &[])?;
    session.outbox.flush()
}

impl Hello {
    /// Makes the names printable and refuses what no honest server says.
    fn check(&mut self) -> Result<(), Error> {
        let wrong = |why: String| Error::malformed("hello", why);
        self.server = printable(self.server.as_bytes());
        if self.models.len() > MAX_MODELS {
            return Err(wrong(format!("{} models", self.models.len())));
        }
        let mut names = HashSet::new();
        for model in &mut self.models {
            clean(std::iter::once(&mut model.name).chain(&mut model.labels));
            clean(model.inputs.iter_mut().map(|input| &mut input.name));
            clean(model.protocols.iter_mut().map(|protocol| &mut protocol.name));
            if !names.insert(model.name.clone()) {
                return Err(wrong(format!("two models are named {}", model.name)));
            }
            for input in &model.inputs {
                input.check().map_err(|why| wrong(format!("{}: input {}: {why}", model.name, input.name)))?;
            }
            model.basis().map_err(|why| wrong(format!("{}: {why}", model.name)))?;
        }
        Ok(())
    }

    /// Whether a choice is one of those offered.
    ///
    /// # Errors
    /// [`Error::Refused`], with what is on offer.
    pub fn allows(&self, choice: &Choice) -> Result<(), Error> {
        let refuse = |what: &str, asked: &str, offered: Vec<&str>| {
            let asked = printable(&asked.as_bytes()[..asked.len().min(100)]);
            Err(Error::Refused(format!(
                "there is no {what} {asked:?} here; on offer: {}",
                offered.join(", ")
            )))
        };
        let Some(model) = self.models.iter().find(|model| model.id == choice.model) else {
            let names = self.models.iter().map(|model| model.name.as_str()).collect();
            return refuse("model", &choice.model.to_string(), names);
        };
        let Some(protocol) = model.protocols.iter().find(|p| p.name == choice.protocol) else {
            let names = model.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
            return refuse("protocol", &choice.protocol, names);
        };
        if !protocol.reveals.contains(&choice.reveal) {
            return refuse(
                "output",
                choice.reveal.name(),
                protocol.reveals.iter().map(|r| r.name()).collect(),
            );
        }
        Ok(())
    }
}

impl Reveal {
    /// The word for it on the command line and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Label => "label",
        }
    }
}

impl ModelInfo {
    /// Rows and columns of the basis that the server publishes: values of the model's input, and of what it is made from. None where there is none.
    ///
    /// # Errors
    /// In words, where there cannot be such a basis.
    pub fn basis(&self) -> Result<Option<[usize; 2]>, String> {
        let Some(width) = self.projected_from else { return Ok(None) };
        let [input] = &self.inputs[..] else { return Err("a basis is for models of one input".into()) };
        let rows = input.shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
        let numbers = rows.and_then(|rows| rows.checked_mul(width));
        match (rows, numbers) {
            (Some(rows), Some(1..=MAX_BASIS)) => Ok(Some([rows, width])),
            _ => Err(format!("its basis has none or more than {MAX_BASIS} numbers")),
        }
    }
}

impl InputInfo {
    fn check(&self) -> Result<(), String> {
        let elements = self.shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
        match elements {
            Some(1..=MAX_INPUT_ELEMENTS) if self.shape.len() <= MAX_RANK => {}
            _ => return Err(format!("its shape has {} axes and too many or no elements", self.shape.len())),
        }
        for factors in [&self.pixel_scale, &self.pixel_offset] {
            let channels_fit = factors.len() == 1 || self.shape.contains(&factors.len());
            if !channels_fit || factors.iter().any(|factor| !factor.is_finite()) {
                return Err("its scaling does not fit its shape".into());
            }
        }
        match self.range {
            Some([low, high]) if !(low.is_finite() && high.is_finite() && low <= high) => {
                Err("its range is not two numbers, the smaller first".into())
            }
            _ => Ok(()),
        }
    }
}

impl Plan {
    /// The plan that these bytes are, its graph well-formed and its names printable.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut plan: Self = from_json("plan", bytes)?;
        let valid = plan.graph.validate(&Limits::default());
        valid.map_err(|e| Error::malformed("plan", printable(e.to_string().as_bytes())))?;
        let graph = &mut plan.graph;
        clean(graph.nodes.iter_mut().map(|node| &mut node.name));
        clean(graph.params.iter_mut().map(|param| &mut param.name));
        clean(graph.outputs.iter_mut().map(|output| &mut output.name));
        Ok(plan)
    }
}

/// Makes names printable.
fn clean<'a>(names: impl IntoIterator<Item = &'a mut String>) {
    for name in names {
        *name = printable(name.as_bytes());
    }
}

fn from_json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::malformed(what, printable(e.to_string().as_bytes())))
}

fn send_json(session: &mut Session, tag: Tag, message: &impl Serialize, most: usize) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(message).map_err(|e| Error::Refused(format!("{tag} cannot be written: {e}")))?;
    if bytes.len() > most {
        return Err(Error::Refused(format!("{tag} takes {} bytes, at most {most} can be sent", bytes.len())));
    }
    session.outbox.send(tag, &bytes)?;
    session.outbox.flush()
}

#[cfg(test)]
mod tests;
