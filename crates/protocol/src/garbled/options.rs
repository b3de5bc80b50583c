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

/// What the server's peer in a session does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It has the input and garbles.
    #[default]
    Client,
    /// It has the input and shares it with a proxy, which garbles.
    Holder,
    /// It is that proxy.
    Garbler,
}

/// The random name that joins a proxy's session to a client's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(pub [u8; 32]);

/// Who knows the name can join: it is not printed.
impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for SessionId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a session's name has 64 hexadecimal digits";
        let mut id = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(WRONG);
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(id))
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
    /// What the client's side of the session does.
    #[serde(default)]
    pub part: Part,
    /// Which client's session a proxy joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The base transfers.
    pub base_ot: BaseOt,
    /// The first linear layers.
    pub first_layer: FirstLayer,
    /// What the client's side of the session does.
    #[serde(default)]
    pub part: Part,
    /// The session's name, where a proxy takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
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
        let part = client.part;
        if part != Part::Client {
            // Nobody has the input whole: transfers with it cannot be made.
            let pure = Self { first_layer: Some(FirstLayer::Garbled), ..Self::default() };
            one("first layers", self.first_layer, pure.first_layer, FirstLayer::name)?;
            one("first layers", pure.first_layer, client.first_layer, FirstLayer::name)?;
            let base_ot = one("base transfers", self.base_ot, client.base_ot, BaseOt::name)?;
            return Ok(Options { base_ot, first_layer: FirstLayer::Garbled, part, session: None });
        }
        Ok(Options {
            part,
            session: None,
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
        one("first layers", Some(options.first_layer), self.first_layer, FirstLayer::name)?;
        if options.part == self.part && options.session.is_some() == (self.part != Part::Client) {
            Ok(())
        } else {
            Err(Error::malformed("plan", "it gives the client another part than it asked for"))
        }
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
    fn a_shared_input_has_no_first_layers_by_transfers() {
        let holder = |first_layer| Wishes { part: Part::Holder, first_layer, ..Wishes::default() };
        let server = Wishes::default();
        let options = server.agree(holder(None)).expect("agreed");
        assert_eq!((options.first_layer, options.part), (FirstLayer::Garbled, Part::Holder));
        assert!(server.agree(holder(Some(FirstLayer::Ot))).is_err());
        let insisting = Wishes { first_layer: Some(FirstLayer::Ot), ..Wishes::default() };
        assert!(insisting.agree(holder(None)).is_err());
        assert!(holder(None).accept(options).is_err(), "a session without a name");
        let named = Options { session: Some(SessionId([7; 32])), ..options };
        assert!(holder(None).accept(named).is_ok());
        assert!(Wishes::default().accept(named).is_err());
        assert_eq!(Options::read(&named.to_payload()).ok(), Some(named));
        assert!(
            SessionId::try_from("07".repeat(31)).is_err() && SessionId::try_from("0G".repeat(32)).is_err()
        );
    }

    #[test]
    fn payloads_are_read_strictly() {
        assert_eq!(Wishes::read(&serde_json::Value::Null).ok(), Some(Wishes::default()));
        let payload = Wishes {
            base_ot: Some(BaseOt::MlKem),
            first_layer: Some(FirstLayer::Garbled),
            ..Wishes::default()
        }
        .to_payload();
        assert_eq!(payload.to_string(), r#"{"base_ot":"ml-kem","first_layer":"garbled","part":"client"}"#);
        assert!(Wishes::read(&serde_json::json!({"base_ot": "rsa"})).is_err());
        assert!(Wishes::read(&serde_json::json!({"speed": 1})).is_err());
        assert!(Options::read(&serde_json::json!([])).is_err());
    }
}
