//! Truncation on shares at its limit: values of a quarter of the ring.

use super::*;

/// Products of pairs of inputs, 64 lanes each, whose low bits are dropped on shares.
fn products(pairs: &[[i64; 2]], shift: u32) -> (Network, Vec<[i64; 2]>) {
    let lanes: Vec<[i64; 2]> = pairs.iter().flat_map(|pair| vec![*pair; 64]).collect();
    let mut builder = Builder::new(43);
    let (x, y) = (builder.input(&[1, lanes.len()]), builder.input(&[1, lanes.len()]));
    let z = builder.same(Op::Product { shift }, &[x, y]);
    let (mut graph, params, mut input) = builder.finish(z);
    for at in 0..2 {
        graph.nodes[[x, y][at]].format.bits = 16;
        input[at] = lanes.iter().map(|pair| pair[at]).collect();
    }
    ((graph, params, input), lanes)
}

/// A product of exactly a quarter of the ring, on the negative side, and of just less on the positive: never a wrap.
#[test]
fn values_of_a_quarter_of_the_ring_do_not_wrap() {
    let half = 1 << 14;
    let pairs = [
        [half - 1, half - 1],
        [1 - half, half - 1],
        [half, -half],
        [half, half - 1],
        [-half, half - 1],
        [0, half],
        [1, 1],
        [-1, 1],
    ];
    let shift = 6;
    let (network, lanes) = products(&pairs, shift);
    let program = Program::ahead(&network.0, Reveal::Scores).expect("stages");
    assert_eq!((program.ring, program.stages[0].products.len()), (30, 1));
    assert!(pairs.iter().all(|[a, b]| (-(1 << 28)..1 << 28).contains(&(a * b))));
    for garbler in GARBLERS {
        for seed in [44, 45] {
            let result = run(&network, garbler, Reveal::Scores, seed).result;
            for (value, [a, b]) in result[0].iter().zip(&lanes) {
                assert!(is_product(*value, [*a, *b], (false, false, shift)), "{value} of {a} and {b}");
            }
        }
    }
}

/// Beyond it results are wrong for some shares, so that formats which reach further stay in circuits.
#[test]
fn wider_products_stay_in_circuits() {
    let (mut network, _) = products(&[[1, 1]], 6);
    let product = network.0.outputs[0].node;
    for (bits, on_shares) in [(23, 1), (24, 0)] {
        network.0.nodes[product].format.bits = bits;
        let program = Program::ahead(&network.0, Reveal::Scores).expect("stages");
        let count: usize = program.stages.iter().map(|stage| stage.products.len()).sum();
        assert_eq!(count, on_shares, "{bits} bits");
    }
}
