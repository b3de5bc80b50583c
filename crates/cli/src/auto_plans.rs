//! What `--linear auto` chooses for the papers' networks, link by link: planning alone, nothing runs.

use std::fmt::Write;

use model::fixed::FixedGraph;
use protocol::interactive::{Method, Plan};
use protocol::shape::Link;

use crate::choice::{Linear, Numbers, Protocol};
use crate::source::{Number, Source};

/// A link so fast that only computing counts.
const LOOPBACK: Link = Link::even(100_000_000_000, std::time::Duration::ZERO);

const LINKS: [(&str, Link); 3] = [("loopback", LOOPBACK), ("lan", Link::LAN), ("wan", Link::WAN)];

/// A network, and what is chosen for it: the method, the ring's degree, and for each layer the channels a ciphertext sent, the filters a
/// ciphertext returned and the rows and columns of outputs, or the kernel; equal neighbours stand once, with their number. Slots lose on
/// all links, by the time of their rotations; and a tiling of few ciphertexts is short both of time and of bytes.
const CHOSEN: [(&str, &str); 6] = [
    ("gazelle-a", "he-coefficients 4096 157:26:1x1 64:64:1x1 128:10:1x1"),
    ("gazelle-b", "he-coefficients 4096 4:3:14x14 204:20:1x1 100:10:1x1"),
    ("gazelle-c", "he-coefficients 4096 4:3:14x14 204:20:1x1 100:10:1x1"),
    ("gazelle-d", "he-coefficients 4096 1:4:24x24 7:4:8x8 163:25:1x1 100:10:1x1"),
    (
        "gazelle-cifar10",
        "he-coefficients 4096 1:3:32x32 3:1:32x32 2*4:3:16x16 8:5:8x8 8:8:8x8 16:4:8x8 1024:4:1x1",
    ),
    (
        "delphi-resnet32-0",
        "he-coefficients 4096 1:3:32x32 10*3:1:32x32 7:2:16x16 4:3:16x16 4:4:16x16 8*4:3:16x16 10:5:8x8 8:5:8x8 8:8:8x8 8*8:5:8x8 64:50:1x1",
    ),
];

fn words(plan: &Plan) -> String {
    let (method, layers): (_, Vec<String>) = match plan.linear {
        Method::HeCoefficients => {
            let tiling = |layer: &protocol::interactive::plan::Layer| {
                let [rows, columns] = layer.block;
                format!("{}:{}:{rows}x{columns}", layer.channels, layer.filters)
            };
            ("he-coefficients", plan.layers.iter().map(tiling).collect())
        }
        Method::HeSlots => ("he-slots", plan.slots.iter().map(|layer| layer.method.to_string()).collect()),
    };
    let mut line = format!("{method} {}", plan.degree);
    for same in layers.chunk_by(|a, b| a == b) {
        let _ = match same.len() {
            1 => write!(line, " {}", same[0]),
            count => write!(line, " {count}*{}", same[0]),
        };
    }
    line
}

fn graph(network: &str) -> FixedGraph {
    let source = Source::load(&format!("builtin:{network}"), &Numbers::default()).expect("a network");
    source.quantise(Number::Of(Protocol::Gazelle)).expect("integers").0
}

#[test]
fn auto_chooses_by_network_and_link() {
    for (network, chosen) in CHOSEN {
        let graph = graph(network);
        for (name, link) in LINKS {
            let plan = Linear::Auto.plan(&graph, link).expect("a plan");
            assert_eq!(words(&plan), chosen, "{network}, {name}");
        }
    }
}
