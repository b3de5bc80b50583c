//! What the two parties of a garbled prediction agree on beside the plan: part of the handshake.
//!
//! The client sends its [`Wishes`] with its choice, the server has wishes of its own, and what follows from both, the
//! [`Options`], travels with the plan.

use ot::base::Suite;
use serde::{Deserialize, Serialize};

use crate::error::{Error, printable};

/// The public-key cryptography of the base transfers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaseOt {
    /// The group ristretto255.
    #[default]
    #[serde(rename = "ristretto")]
    Ristretto,
    /// ML-KEM-768, which withstands quantum computers too.
    #[serde(rename = "ml-kem")]
    MlKem,
}

impl BaseOt {
    /// The suite of the crate `ot`.
    pub const fn suite(self) -> Suite {
        match self {
            Self::Ristretto => Suite::Ristretto255,
            Self::MlKem => Suite::MlKem768,
        }
    }

    /// The word for it on the command line and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ristretto => "ristretto",
            Self::MlKem => "ml-kem",
        }
    }
}

/// How the linear layers that read nothing but the client's input are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirstLayer {
    /// By oblivious transfers: about a hundredth of the bytes, for two flights more.
    #[default]
    #[serde(rename = "ot")]
    Ot,
    /// By garbled multipliers like all others: DeepSecure's own form.
    #[serde(rename = "garbled")]
    Garbled,
}

impl FirstLayer {
    /// The word for it on the command line and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ot => "ot",
            Self::Garbled => "garbled",
        }
    }
}

/// What one party asks for; nothing is the other's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// The base transfers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_ot: Option<BaseOt>,
    /// The first linear layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_layer: Option<FirstLayer>,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The base transfers.
    pub base_ot: BaseOt,
    /// The first linear layers.
    pub first_layer: FirstLayer,
}

impl Wishes {
    /// Reads a choice's payload; none is no wish.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it asks for something unknown.
    pub fn read(payload: &serde_json::Value) -> Result<Self, Error> {
        if payload.is_null() {
            return Ok(Self::default());
        }
        Self::deserialize(payload)
            .map_err(|e| Error::malformed("choice", printable(e.to_string().as_bytes())))
    }

    /// The payload of a choice or plan.
    pub fn to_payload(self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What a server with these wishes answers to a client's: where neither asks, the default.
    ///
    /// # Errors
    /// [`Error::Refused`] where they contradict each other.
    pub fn agree(self, client: Self) -> Result<Options, Error> {
        Ok(Options {
            base_ot: one("base transfers", self.base_ot, client.base_ot, BaseOt::name)?,
            first_layer: one("first layers", self.first_layer, client.first_layer, FirstLayer::name)?,
        })
    }

    /// Whether a client with these wishes takes what the server answered.
    ///
    /// # Errors
    /// [`Error::Refused`] where the server decided otherwise.
    pub fn accept(self, options: Options) -> Result<(), Error> {
        one("base transfers", Some(options.base_ot), self.base_ot, BaseOt::name)?;
        one("first layers", Some(options.first_layer), self.first_layer, FirstLayer::name).map(|_| ())
    }
}

impl Options {
    /// Reads a plan's payload; none is the default.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn read(payload: &serde_json::Value) -> Result<Self, Error> {
        if payload.is_null() {
            return Ok(Self::default());
        }
        Self::deserialize(payload).map_err(|e| Error::malformed("plan", printable(e.to_string().as_bytes())))
    }

    /// The payload of a plan.
    pub fn to_payload(self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// What two parties' wishes come to.
fn one<T: Copy + PartialEq + Default>(
    what: &str,
    server: Option<T>,
    client: Option<T>,
    name: impl Fn(T) -> &'static str,
) -> Result<T, Error> {
    match (server, client) {
        (Some(server), Some(client)) if server != client => Err(Error::Refused(format!(
            "the client asks for {what} {}, the server for {}",
            name(client),
            name(server)
        ))),
        (server, client) => Ok(server.or(client).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_meet_or_are_refused() {
        let wish = |base_ot| Wishes { base_ot, ..Wishes::default() };
        let (plain, kem) = (Some(BaseOt::Ristretto), Some(BaseOt::MlKem));
        for (server, client, agreed) in [
            (None, None, plain),
            (None, kem, kem),
            (kem, None, kem),
            (kem, kem, kem),
            (plain, kem, None),
            (kem, plain, None),
        ] {
            let options = wish(server).agree(wish(client)).ok();
            assert_eq!(options.map(|options| options.base_ot), agreed);
            if let Some(options) = options {
                assert!(wish(client).accept(options).is_ok());
                assert_eq!(Options::read(&options.to_payload()).ok(), Some(options));
            }
        }
        assert!(wish(kem).accept(Options::default()).is_err());
    }

    #[test]
    fn payloads_are_read_strictly() {
        assert_eq!(Wishes::read(&serde_json::Value::Null).ok(), Some(Wishes::default()));
        let payload =
            Wishes { base_ot: Some(BaseOt::MlKem), first_layer: Some(FirstLayer::Garbled) }.to_payload();
        assert_eq!(payload.to_string(), r#"{"base_ot":"ml-kem","first_layer":"garbled"}"#);
        assert!(Wishes::read(&serde_json::json!({"base_ot": "rsa"})).is_err());
        assert!(Wishes::read(&serde_json::json!({"speed": 1})).is_err());
        assert!(Options::read(&serde_json::json!([])).is_err());
    }
}
