//! Plans that are valid and unlike what an importer writes.

use garble::clear::{Clear, ClearWires};
use garble::word::{Bit, Word};

use super::*;
use crate::garbled::inputs;
use crate::garbled::walk::walk;
use crate::garbled::weights::{Encoding, Weights};

/// Weights in the clear.
struct Plain<'a>(&'a Params);

impl Weights<Clear> for Plain<'_> {
    fn load(
        &mut self,
        _gates: &mut Clear,
        param: ParamId,
        indices: &[usize],
        encoding: Encoding,
    ) -> Result<Vec<ClearWires>, std::convert::Infallible> {
        let mut rows = Vec::new();
        for index in indices {
            let value = self.0.tensors[param].get(*index);
            match encoding {
                Encoding::Digits { bits } => garble::known::encode(value, bits, &mut rows),
                Encoding::Plain { bits } => rows.extend((0..bits).map(|bit| value >> bit & 1 == 1)),
            }
        }
        let wires = encoding.wires();
        let wire = |wire| rows.iter().skip(wire).step_by(wires).copied().collect::<Vec<bool>>();
        Ok((0..wires).map(|index| ClearWires::new(&wire(index))).collect())
    }

    fn garblers_share(
        &mut self,
        _gates: &mut Clear,
        _product: usize,
        _lanes: std::ops::Range<usize>,
        _bits: u32,
    ) -> Result<Vec<ClearWires>, std::convert::Infallible> {
        unreachable!("no product is computed by transfers")
    }
}

fn value(word: &Word<ClearWires>, lane: usize) -> i64 {
    let bit = |bit: &Bit<ClearWires>| match bit {
        Bit::Public(bit) => *bit,
        Bit::Wire(wires) => wires.bits()[lane],
    };
    (0..64).map(|place| i64::from(bit(&word.bit(place))) << place).sum()
}

/// Runs the circuit in the clear, which is much faster than between two parties.
fn clear(graph: &FixedGraph, params: &Params, input: &[Vec<i64>], reveal: Reveal) -> Vec<Vec<i64>> {
    let words = inputs::words((graph, &Split::default()), |index, bit, _| {
        ClearWires::new(&input[index].iter().map(|value| value >> bit & 1 == 1).collect::<Vec<_>>())
    });
    let Ok(outputs) =
        walk(&mut Clear, (graph, &Split::default()), words, &mut Plain(params), reveal, &mut ());
    outputs.iter().map(|word| (0..word.lanes()).map(|lane| value(word, lane)).collect()).collect()
}

/// The circuit in the clear equals the reference.
fn check_clear((graph, params, input): (FixedGraph, Params, Vec<Vec<i64>>)) {
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    assert_eq!(clear(&graph, &params, &input, Reveal::Scores), expected, "{:?}", graph.nodes);
    let best = expected[0].iter().max().expect("an output");
    let position = expected[0].iter().position(|value| value == best).expect("its place");
    assert_eq!(clear(&graph, &params, &input, Reveal::Label), [[position as i64]]);
}

#[test]
fn any_window_that_is_valid() {
    let mut draw = Builder::new(77);
    let mut number = |most: i64| (draw.draw(32) & 0xffff_ffff) as usize % most as usize;
    let mut runs = 0;
    while runs < 200 {
        let [h, w] = [1 + number(5), 1 + number(5)];
        let mut two = |least, most| [least + number(most), least + number(most)];
        let (kernel, stride, dilation, [a, b], [c, d]) =
            (two(1, 6), two(1, 4), two(1, 4), two(0, 7), two(0, 7));
        let window = Window { kernel, stride, dilation, pads: [a, b, c, d] };
        let Ok([oh, ow]) = window.output([h, w]) else { continue };
        let average =
            Op::AveragePool { window, factor: vec![if runs % 2 == 0 { 333 } else { -7 }], shift: 5 };
        let factor = (0..(oh * ow) as i64).map(|position| 100 - 7 * position).collect();
        let by_place = Op::AveragePool { window, factor, shift: 5 };
        for op in [average, by_place, Op::MaxPool { window }] {
            let mut builder = Builder::new(runs);
            let x = builder.input(&[1, 2, h, w], 9);
            let y = builder.node(op, &[x], &[1, 2, oh, ow], 9);
            // A pool for the largest value is not valid with a window in the padding alone.
            let sees = window.always_sees([h, w], [oh, ow]);
            if sees || matches!(builder.graph.nodes[y].op, Op::AveragePool { .. }) {
                check_clear(builder.finish(y));
            }
        }
        let mut builder = Builder::new(runs);
        let x = builder.input(&[1, 2, h, w], 9);
        let (weight, bias) = (builder.param(&[4, 1, kernel[0], kernel[1]], 5), builder.param(&[4], 12));
        let op = Op::Conv { window, groups: 2, weight, bias, shift: vec![3, 0, 1, 2] };
        let y = builder.node(op, &[x], &[1, 4, oh, ow], 10);
        check_clear(builder.finish(y));
        runs += 1;
    }
}

#[test]
fn inputs_in_another_order_than_the_nodes_and_nodes_that_nothing_reads() {
    let mut builder = Builder::new(3);
    let (a, unread, b) = (builder.input(&[4], 12), builder.input(&[3], 5), builder.input(&[4], 7));
    builder.node(Op::Relu, &[unread], &[3], 5);
    let terms = vec![Term { left: 0, negative: false }, Term { left: 2, negative: true }];
    let y = builder.node(Op::Sum { terms, shift: 0 }, &[a, b], &[4], 12);
    builder.graph.inputs = vec![b, unread, a];
    check_clear(builder.finish(y));
}

#[test]
fn long_sums_are_taken_in_pieces() {
    let mut builder = Builder::new(4);
    let x = builder.input(&[1, 1, 600, 900], 6);
    let window = Window::new([600, 900]);
    let y = builder.node(Op::AveragePool { window, factor: vec![3], shift: 4 }, &[x], &[1, 1, 1, 1], 24);
    check_clear(builder.finish(y));
}

#[test]
fn constants_alone_make_an_output() {
    let mut builder = Builder::new(6);
    builder.input(&[1], 4);
    let y = builder.node(Op::Constant { values: vec![-8, 7, 0, 7, -1] }, &[], &[5], 4);
    let (graph, params, input) = builder.finish(y);
    check(graph, params, input);
}

/// Far more weights in the padding, for which no tables come, than the server sends ahead.
#[test]
fn transfers_without_tables_do_not_hold_the_parties_up() {
    let mut builder = Builder::new(5);
    let x = builder.input(&[1, 1, 1, 1], 9);
    let (weight, bias) = (builder.param(&[64, 1, 41, 41], 8), builder.param(&[64], 12));
    let window = Window { kernel: [41, 41], stride: [1, 1], dilation: [1, 1], pads: [20; 4] };
    let op = Op::Conv { window, groups: 1, weight, bias, shift: vec![3] };
    let y = builder.node(op, &[x], &[1, 64, 1, 1], BITS);
    let (graph, params, input) = builder.finish(y);
    check(graph, params, input);
}
