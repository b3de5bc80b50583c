//! Messages under encryption: any bytes give a plan, a key, a ciphertext, a reply or an error. Keys and ciphertexts are tried as
//! they come and, since almost none would have the right length, laid over well-formed ones.
#![no_main]

use std::sync::LazyLock;

use bfv::{Ciphertext, Encoder, Randomness, Reply};
use kernel::seed::Seed;
use libfuzzer_sys::fuzz_target;
use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, Post};
use protocol::encrypted::keys::{Assembly, Part, parts};
use protocol::encrypted::wire::{Digest, State};
use protocol::encrypted::{ClientKeys, Outline, Rotation, batch, plans};
use protocol::handshake::Plan;
use protocol::message::Message;

/// A square of two numbers, its plan, and one well-formed message of each kind.
struct Setting {
    graph: FixedGraph,
    outline: Outline,
    keys: Vec<Vec<u8>>,
    ciphertext: Vec<u8>,
    reply: Vec<u8>,
}

static SETTING: LazyLock<Option<Setting>> = LazyLock::new(|| setting().ok());

fn setting() -> Result<Setting, protocol::Error> {
    let node = |op, inputs, bits| Node {
        name: "x".into(),
        op,
        inputs,
        shape: vec![1, 2],
        format: Format { bits, frac: 0 },
    };
    let graph = FixedGraph {
        number: NumberFormat::Exact,
        nodes: vec![node(Op::Input, vec![], 8), node(Op::Product { shift: 0 }, vec![0, 0], 16)],
        params: vec![],
        inputs: vec![0],
        input_levels: vec![],
        result_bits: Vec::new(),
        outputs: vec![Output { name: "y".into(), node: 1, post: Post::None }],
    };
    let outline = batch::Plan::derive(&graph)?.outline(&graph)?;
    let (client, keys) = ClientKeys::new(&outline, Seed::from_bytes([1; 32]))?;
    let set = outline.base()?;
    let message = Encoder::new(set).slots(&[1, 2])?;
    let mut randomness = Randomness::new(Seed::from_bytes([2; 32]));
    let fresh = client.secret().encrypt_at(set, &message, outline.fresh_limbs, &mut randomness)?;
    let shape = outline.finish(0)?.shape;
    let reply = bfv::Evaluator::new(set).reply(&fresh, shape, None)?.to_bytes(set)?;
    let ciphertext = fresh.to_bytes(set)?;
    Ok(Setting { graph, outline, keys, ciphertext, reply })
}

/// Bytes laid over a well-formed message, from a place that they choose.
fn over(message: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    let Some((place, bytes)) = bytes.split_at_checked(4) else { return out };
    let place = place.iter().fold(0, |place, byte| place << 8 | usize::from(*byte)) % out.len().max(1);
    out.iter_mut().skip(place).zip(bytes).for_each(|(out, byte)| *out ^= byte);
    out
}

fuzz_target!(|bytes: &[u8]| {
    let Some(setting) = &*SETTING else { return };
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let Ok(set) = setting.outline.base() else { return };
    match kind % 5 {
        0 => {
            let Ok(payload) = serde_json::from_slice(bytes) else { return };
            let plan = Plan { graph: setting.graph.clone(), payload };
            let _ = plans::outline(plans::BATCH, &plan);
            let _ = plans::outline(plans::LOLA, &plan);
        }
        1 => {
            let Ok(mut assembly) = Assembly::new(&setting.outline) else { return };
            for (part, good) in parts(&setting.outline).into_iter().zip(&setting.keys) {
                let _ = assembly.add(part, &over(good, bytes));
            }
            let _ = assembly.add(Part::Automorphism(Rotation { exponent: 3, limbs: 2 }), bytes);
            let _ = assembly.finish();
        }
        2 => {
            let _ = Ciphertext::from_bytes(set, bytes);
            let _ = Ciphertext::from_bytes(set, &over(&setting.ciphertext, bytes));
        }
        3 => {
            let _ = Reply::from_bytes(set, None, bytes);
            let _ = Reply::from_bytes(set, None, &over(&setting.reply, bytes));
        }
        _ => {
            let _ = Digest::from_bytes(bytes);
            let _ = State::from_bytes(bytes);
        }
    }
});
