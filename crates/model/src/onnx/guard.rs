//! A look over a file's bytes before they are decoded: bounds what decoding will allocate.
//!
//! An empty message takes two bytes in the file and a hundred or more in memory, so that a small file could ask for
//! gigabytes. Here the messages and packed numbers are counted first.

use crate::error::Error;

/// Largest number of messages and strings in a file.
const MAX_PARTS: usize = 2_000_000;

/// Kinds of messages, as far as their parts matter.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Value,
    Leaf,
}

/// Refuses a file with absurdly many parts. Everything else that may be wrong is left to the decoder.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let mut parts = 0;
    walk(bytes, Kind::Model, 0, &mut parts);
    if parts > MAX_PARTS {
        return Err(Error::Decode(format!("more than {MAX_PARTS} parts")));
    }
    Ok(())
}

fn walk(mut bytes: &[u8], kind: Kind, depth: usize, parts: &mut usize) {
    while let Some(tag) = varint(&mut bytes) {
        *parts += 1;
        if *parts > MAX_PARTS || depth > 16 {
            return;
        }
        match tag & 7 {
            0 => {
                if varint(&mut bytes).is_none() {
                    return;
                }
            }
            1 if bytes.len() >= 8 => bytes = &bytes[8..],
            5 if bytes.len() >= 4 => bytes = &bytes[4..],
            2 => {
                let length = varint(&mut bytes).and_then(|l| usize::try_from(l).ok());
                let Some((part, rest)) = length.and_then(|l| bytes.split_at_checked(l)) else { return };
                bytes = rest;
                if let Some(inner) = inside(kind, tag >> 3) {
                    walk(part, inner, depth + 1, parts);
                }
            }
            _ => return,
        }
    }
}

/// The kind of a field that holds messages.
fn inside(kind: Kind, field: u64) -> Option<Kind> {
    Some(match (kind, field) {
        (Kind::Model, 7) => Kind::Graph,
        (Kind::Model, 8) => Kind::Leaf,
        (Kind::Graph, 1) => Kind::Node,
        (Kind::Graph, 5) => Kind::Leaf,
        (Kind::Graph, 11 | 12) => Kind::Value,
        (Kind::Node, 5) => Kind::Attribute,
        (Kind::Attribute, 5) => Kind::Leaf,
        (Kind::Value, _) => Kind::Value,
        _ => return None,
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
        if byte < 128 {
            return Some(value);
        }
    }
    None
}
