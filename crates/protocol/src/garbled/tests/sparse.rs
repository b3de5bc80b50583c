//! Layers whose zeros are public: they cost their other weights only.

use model::Support;
use model::fixed::ParamData;

use super::*;

/// All layers garbled.
const PURE: Options = Options {
    base_ot: BaseOt::Ristretto,
    first_layer: FirstLayer::Garbled,
    part: Part::Client,
    session: None,
};

/// Sets all but every `keep`-th weight to zero, from a place that differs from row to row; a row in seven is all zeros.
fn prune(builder: &mut Builder, param: ParamId, keep: usize, public: bool) {
    let info = &mut builder.graph.params[param];
    let terms: usize = info.shape[1..].iter().product();
    let kept = |index: usize| {
        let (row, term) = (index / terms, index % terms);
        row % 7 != 3 && (term + 3 * row).is_multiple_of(keep)
    };
    let ParamData::I64(values) = &mut builder.params.tensors[param] else { panic!("weights of 64 bits") };
    for (index, value) in values.iter_mut().enumerate() {
        *value = if kept(index) { *value | 1 } else { 0 };
    }
    info.support = public.then(|| Support::new(values.len(), |index| values[index] != 0));
}

fn dense(keep: usize, public: bool) -> (FixedGraph, Params, Vec<Vec<i64>>) {
    let mut builder = Builder::new(3);
    let x = builder.input(&[2, 90], 12);
    let (weight, bias) = (builder.param(&[70, 90], 8), builder.param(&[70], 18));
    prune(&mut builder, weight, keep, public);
    let y = builder.node(Op::Dense { weight, bias, shift: vec![6] }, &[x], &[2, 70], BITS);
    builder.finish(y)
}

fn convolution(keep: usize, public: bool) -> (FixedGraph, Params, Vec<Vec<i64>>) {
    let mut builder = Builder::new(5);
    let x = builder.input(&[1, 4, 6, 7], 10);
    let (weight, bias) = (builder.param(&[8, 2, 3, 3], 6), builder.param(&[8], 14));
    prune(&mut builder, weight, keep, public);
    let window = Window { kernel: [3, 3], stride: [1, 2], dilation: [1, 1], pads: [1, 1, 1, 1] };
    let op = Op::Conv { window, groups: 2, weight, bias, shift: vec![5] };
    let y = builder.node(op, &[x], &[1, 8, 6, 4], BITS);
    builder.finish(y)
}

#[test]
fn results_are_the_references_and_cost_falls_with_the_weights() {
    for make in [dense, convolution] {
        let full = price(&make(1, false).0, Reveal::Scores, FirstLayer::Garbled);
        for keep in [1, 4, 10, 1000] {
            let (graph, params, input) = make(keep, true);
            let cost = price(&graph, Reveal::Scores, FirstLayer::Garbled);
            let weights = graph.params[0].support.as_ref().expect("a map").count() as u64;
            let all = graph.params[0].shape.iter().product::<usize>() as u64;
            // Weights at the margin of a convolution meet fewer inputs than others.
            assert!(cost.known_ands * all * 4 <= full.known_ands * weights * 5, "{keep}");
            if keep >= 10 {
                assert!(cost.table_bytes < full.table_bytes / 3, "{keep}: {cost:?}, {full:?}");
                assert!(cost.transfers < full.transfers / 3, "{keep}");
            }
            check(graph, params, input);
        }
    }
}

#[test]
fn products_by_transfers_cost_their_weights_only() {
    for make in [dense, convolution] {
        let cost = |keep, public| price(&make(keep, public).0, Reveal::Scores, FirstLayer::Ot);
        let full = cost(1, false);
        for keep in [4, 10, 1000] {
            let info = &make(keep, true).0.params[0];
            let weights = info.support.as_ref().expect("a map").count() as u64;
            let sparse = cost(keep, true);
            assert_eq!(sparse.product_transfers, weights * u64::from(info.bits));
            assert!(
                keep < 10 || sparse.product_bytes < full.product_bytes / 3,
                "{keep}: {sparse:?}, {full:?}"
            );
            assert_eq!(sparse.table_bytes, full.table_bytes);
        }
    }
}

/// A layer in which about so many of 64 weights stay, here and there.
fn scattered(kept: u64, bits: u32, dense: bool, public: bool) -> FixedGraph {
    let mut builder = Builder::new(kept + u64::from(bits));
    let (shape, out, op): (&[usize], &[usize], _) = if dense {
        (&[24, 130], &[1, 24], Op::Dense { weight: 0, bias: 1, shift: vec![6] })
    } else {
        let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] };
        (&[5, 3, 3, 3], &[1, 5, 4, 5], Op::Conv { window, groups: 1, weight: 0, bias: 1, shift: vec![6] })
    };
    let x = builder.input(if dense { &[1, 130] } else { &[1, 3, 4, 5] }, 9);
    let (weight, _) = (builder.param(shape, bits), builder.param(&shape[..1], 18));
    let keep: Vec<bool> =
        (0..shape.iter().product()).map(|_| (builder.draw(6) + 32) as u64 >= 64 - kept).collect();
    builder.graph.params[weight].support = public.then(|| Support::new(keep.len(), |index| keep[index]));
    let y = builder.node(op, &[x], out, BITS);
    builder.finish(y).0
}

#[test]
fn a_map_never_costs_more_than_it_saves() {
    for (dense, bits) in [true, false].into_iter().flat_map(|dense| [1, 2, 3, 5, 8].map(|bits| (dense, bits)))
    {
        for kept in [0, 3, 12, 25, 32, 40, 50, 58, 61, 63, 64] {
            for first in FORMS {
                let [with, without] = [true, false]
                    .map(|public| price(&scattered(kept, bits, dense, public), Reveal::Scores, first));
                let case = format!("{dense}, {bits} bits, {kept} of 64 kept: {with:?}, {without:?}");
                assert!(with.table_bytes <= without.table_bytes, "{case}");
                assert!(with.transfers <= without.transfers, "{case}");
                assert!(with.product_bytes <= without.product_bytes, "{case}");
            }
        }
    }
}

#[test]
fn without_a_map_nothing_shows() {
    for make in [dense, convolution] {
        let (full, sparse) = (make(1, false), make(10, false));
        assert_eq!(
            price(&full.0, Reveal::Scores, FirstLayer::Garbled),
            price(&sparse.0, Reveal::Scores, FirstLayer::Garbled)
        );
        let [full, sparse] = [full, sparse]
            .map(|(graph, params, input)| run_with(PURE, &graph, &params, &input, Reveal::Scores, 6));
        assert_ne!(full.result, sparse.result);
        let lengths = |run: &Run| {
            let mut lengths: Vec<_> = run.frames.iter().map(|entry| (entry.tag, entry.length)).collect();
            lengths.sort_unstable();
            lengths
        };
        assert_eq!(lengths(&full), lengths(&sparse));
    }
}

#[test]
fn maps_of_another_length_are_refused() {
    let (mut graph, _, _) = dense(4, true);
    graph.params[0].support = Some(Support::new(90, |_| true));
    assert!(graph.validate(&Default::default()).is_err());
}
