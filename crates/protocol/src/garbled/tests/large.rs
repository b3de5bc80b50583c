//! Tensors that do not fit in the memory for labels.

use super::*;
use crate::garbled::set_label_memory;

/// Planes of 9,216 positions through every kind of layer, in the memory of a few of their pages; the second convolution steps
/// over most of its input.
#[test]
fn tensors_in_a_file_change_nothing() {
    let window = |kernel: usize, stride: usize, pads: [usize; 4]| Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pads,
    };
    let mut builder = Builder::new(3);
    let x = builder.input(&[1, 1, 96, 96], 5);
    let conv = |builder: &mut Builder, x, shape: [usize; 4], window: Window, channels: usize| {
        let (weight, bias) = (
            builder.param(&[shape[1], channels, window.kernel[0], window.kernel[1]], 3),
            builder.param(&[shape[1]], 5),
        );
        builder.node(Op::Conv { window, groups: 1, weight, bias, shift: vec![2] }, &[x], &shape, 6)
    };
    let one = conv(&mut builder, x, [1, 2, 96, 96], window(3, 1, [1; 4]), 1);
    let two = builder.node(Op::Relu, &[one], &[1, 2, 96, 96], 6);
    let three = conv(&mut builder, two, [1, 2, 96, 96], window(3, 1, [1; 4]), 2);
    let sum = Op::Sum { terms: vec![Term { left: 0, negative: false }; 2], shift: 1 };
    let four = builder.node(sum, &[two, three], &[1, 2, 96, 96], 6);
    let turned = builder.node(Op::Transpose { perm: vec![0, 1, 3, 2] }, &[four], &[1, 2, 96, 96], 6);
    let padded = Op::Pad { before: vec![0, 0, 1, 0], after: vec![0; 4], value: 3 };
    let padded = builder.node(padded, &[turned], &[1, 2, 97, 96], 6);
    let five = builder.node(Op::MaxPool { window: window(2, 1, [0; 4]) }, &[padded], &[1, 2, 96, 95], 6);
    let six = conv(&mut builder, five, [1, 3, 32, 32], window(1, 3, [0; 4]), 2);
    let seven = Op::AveragePool { window: window(8, 8, [0; 4]), factor: vec![1], shift: 6 };
    let seven = builder.node(seven, &[six], &[1, 3, 4, 4], 6);
    let flat = builder.node(Op::Reshape, &[seven], &[1, 48], 6);
    let (weight, bias) = (builder.param(&[4, 48], 4), builder.param(&[4], 6));
    let y = builder.node(Op::Dense { weight, bias, shift: vec![1] }, &[flat], &[1, 4], 10);
    let (graph, params, input) = builder.finish(y);
    set_label_memory(1 << 20);
    check(graph, params, input);
    set_label_memory(96 << 20);
}

#[test]
fn what_no_memory_holds_is_refused() {
    let mut builder = Builder::new(1);
    let x = builder.input(&[1, 1, 4000, 4000], 3);
    let y = builder.node(Op::Relu, &[x], &[1, 1, 4000, 4000], 3);
    builder.graph.outputs.push(Output { name: "y".into(), node: y, post: Post::None });
    let error = crate::garbled::check(&builder.graph, Reveal::Scores, FirstLayer::Ot).expect_err("too large");
    assert!(error.to_string().contains("of memory"), "{error}");
}
