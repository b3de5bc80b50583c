//! Both halves against the integer reference, over memory.

use super::super::tests::{Builder, branches};
use super::bundle::{ClientBundle, ServerBundle};
use super::*;
use crate::channel::{Deadline, Source, Transport};
use crate::session::{Direction, Entry, Limits, Session};
use model::fixed::{Op, ParamData, Params, Term, Window};
use model::reference;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

mod hostile;
mod limits;
mod slots;
mod stored;

use stored::Cut;

type Network = (FixedGraph, Params, Vec<Vec<i64>>);

/// What a run left behind.
struct Run {
    result: Vec<Vec<i64>>,
    frames: Vec<Entry>,
    rounds: [u64; 3],
}

const GARBLERS: [Garbler; 2] = [Garbler::Server, Garbler::Client];

fn plan_of(graph: &FixedGraph, garbler: Garbler) -> Plan {
    let plan = Plan::choose(graph, super::super::Method::HeCoefficients).expect("a plan");
    Plan { garbler, ..plan }
}

/// A prediction, by way of stored bundles.
fn run(network: &Network, garbler: Garbler, reveal: Reveal, seed: u8) -> Run {
    let (graph, params, input) = network;
    let mut run = run_batch((graph, params), garbler, &[input], reveal, seed);
    Run { result: run.results.remove(0), frames: run.frames, rounds: run.rounds }
}

/// What a run of several inputs left behind.
struct Runs {
    results: Vec<Vec<Vec<i64>>>,
    frames: Vec<Entry>,
    rounds: [u64; 3],
}

/// Predictions that share flights, by way of stored bundles.
fn run_batch(
    (graph, params): (&FixedGraph, &Params),
    garbler: Garbler,
    inputs: &[&[Vec<i64>]],
    reveal: Reveal,
    seed: u8,
) -> Runs {
    run_under((graph, params), &plan_of(graph, garbler), inputs, reveal, seed)
}

/// The same under any plan.
fn run_under(
    (graph, params): (&FixedGraph, &Params),
    plan: &Plan,
    inputs: &[&[Vec<i64>]],
    reveal: Reveal,
    seed: u8,
) -> Runs {
    let work = Work::new((graph, plan), reveal, NAMELESS).expect("stages");
    let weights = server::Weights::encode(graph, plan, params, 1 << 20).expect("a valid plan");
    let (mut near, mut far) = Session::pair();
    let transcript = near.record();
    let bundle_seed = |seed: u8, at: usize| Seed::from_bytes([seed; 32]).child("test", at as u64);
    let results = thread::scope(|scope| {
        let (work, weights) = (&work, &weights);
        let serving = scope.spawn(move || {
            let preparer = server::Preparer::new(work, (params, weights), &mut far)?;
            let mut bundles = Vec::new();
            for at in 0..inputs.len() {
                let bundle = preparer.bundle(&mut far, bundle_seed(!seed, at))?;
                let bytes = bundle.encode(work);
                assert_eq!(bytes.len(), ServerBundle::bytes(work));
                let decoded = ServerBundle::open(work, bytes.len() as u64, Box::new(Cut::new(bytes)))?;
                assert_eq!(decoded.pair(), bundle.pair());
                bundles.push(decoded);
            }
            let pairs: Vec<_> = bundles.iter().map(ServerBundle::pair).collect();
            server::predict_batch(work, bundles, (params, weights), &mut far).map(|()| pairs)
        });
        let predicted = (|| {
            let preparer = client::Preparer::new(work, &mut near, &Seed::from_bytes([seed; 32]))?;
            let mut bundles = Vec::new();
            for at in 0..inputs.len() {
                let bundle = preparer.bundle(&mut near, bundle_seed(seed ^ 0x40, at), &())?;
                let bytes = bundle.encode(work);
                assert_eq!(bytes.len(), ClientBundle::bytes(work));
                bundles.push(ClientBundle::open(work, bytes.len() as u64, Box::new(Cut::new(bytes)))?);
            }
            let pairs: Vec<_> = bundles.iter().map(ClientBundle::pair).collect();
            client::predict_batch(work, bundles, inputs, &mut near, &()).map(|results| (results, pairs))
        })();
        if predicted.is_err() {
            near.give_up("the client failed");
        }
        let served = serving.join().expect("no panic");
        let (results, pairs) = predicted.expect("the client succeeds");
        assert_eq!(served.expect("the server succeeds"), pairs);
        results
    });
    let rounds = near.meter.snapshot().phases.map(|phase| phase.rounds);
    Runs { results, frames: transcript.entries(), rounds }
}

/// Runs both ways of revealing, each with either garbler, and compares with the reference.
fn check_network(network: &Network) {
    let (graph, params, input) = network;
    let expected = reference::run(graph, params, input).expect("the reference runs");
    let best = expected[0].iter().max().expect("an output");
    let position = expected[0].iter().position(|value| value == best).expect("its place");
    for garbler in GARBLERS {
        assert_eq!(run(network, garbler, Reveal::Scores, 1).result, expected, "{garbler:?}");
        assert_eq!(run(network, garbler, Reveal::Label, 2).result, [[position as i64]], "{garbler:?}");
    }
}

#[test]
fn branches_join_at_any_stage() {
    check_network(&branches());
}

#[test]
fn convolutions_of_all_kinds() {
    let windows = [
        (Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] }, 1),
        (Window { kernel: [2, 2], stride: [1, 2], dilation: [2, 1], pads: [0, 3, 0, 3] }, 2),
    ];
    for (window, groups) in windows {
        let mut builder = Builder::new(groups as u64);
        let x = builder.input(&[1, 4, 6, 7]);
        let y = builder.conv(x, (8, groups), window);
        let y = builder.same(Op::Relu, &[y]);
        let y = builder.conv(y, (4, 1), Window::new([1, 1]));
        check_network(&builder.finish(y));
    }
}

/// A residual network: shortcuts are added to sums before these are shifted, by channel.
fn residual() -> Network {
    let mut builder = Builder::new(23);
    let same = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] };
    let x = builder.input(&[1, 4, 5, 5]);
    let mut y = builder.conv(x, (4, 1), same);
    y = builder.same(Op::Relu, &[y]);
    for (left, shift) in [(0, 0), (2, 1)] {
        let z = builder.conv(y, (4, 1), same);
        let terms = vec![Term { left, negative: shift == 1 }, Term { left: 0, negative: false }];
        let z = builder.same(Op::Sum { terms, shift }, &[y, z]);
        y = builder.same(Op::Relu, &[z]);
    }
    let y = builder.node(Op::Reshape, &[y], &[1, 100]);
    let y = builder.dense(y, 6);
    builder.finish(y)
}

#[test]
fn shortcuts_are_added_on_shares() {
    let network = residual();
    check_network(&network);
    let program = Program::ahead(&network.0, Reveal::Scores).expect("stages");
    assert_eq!(program.stages.iter().map(|stage| stage.merged.len()).sum::<usize>(), 2);
    // One number enters for each ReLU and output.
    let entered: usize = surveys(&program).expect("circuits").iter().map(|survey| survey.late).sum();
    assert_eq!(entered, (3 * 100 + 6) * program.ring as usize);
}

/// Sums of two layers of which one or both drop nothing: one number enters the circuit.
#[test]
fn whole_sums_of_layers_are_added_on_shares() {
    for both in [false, true] {
        let mut builder = Builder::new(26);
        let x = builder.input(&[1, 3, 6, 6]);
        let y = builder.conv(x, (4, 1), Window::new([1, 1]));
        let y = builder.same(Op::Relu, &[y]);
        let layers =
            [builder.conv(y, (4, 1), Window::new([1, 1])), builder.conv(y, (4, 1), Window::new([1, 1]))];
        let terms = vec![Term { left: 0, negative: false }; 2];
        let z = builder.same(Op::Sum { terms, shift: if both { 8 } else { 0 } }, &layers);
        let z = builder.same(Op::Relu, &[z]);
        let (mut graph, params, input) = builder.finish(z);
        for id in &layers[usize::from(!both)..] {
            if let Op::Conv { shift, .. } = &mut graph.nodes[*id].op {
                *shift = vec![0];
            }
        }
        let program = Program::ahead(&graph, Reveal::Scores).expect("stages");
        assert_eq!(program.stages.iter().map(|stage| stage.merged.len()).sum::<usize>(), 1);
        let entered: usize = surveys(&program).expect("circuits").iter().map(|survey| survey.late).sum();
        assert_eq!(entered, 2 * 144 * program.ring as usize);
        check_network(&(graph, params, input));
    }
}

/// As many additions as a graph may have: nothing recurses along them.
#[test]
fn long_chains_of_additions() {
    let mut builder = Builder::new(24);
    let x = builder.input(&[1, 2]);
    let mut y = builder.dense(x, 2);
    for _ in 0..9_990 {
        let terms = vec![Term { left: 0, negative: false }; 2];
        y = builder.same(Op::Sum { terms, shift: 0 }, &[y, x]);
    }
    let (graph, ..) = builder.finish(y);
    let program = Program::ahead(&graph, Reveal::Scores).expect("stages");
    assert_eq!(program.stages[0].merged.len(), 9_990);
    assert_eq!(program.shifts(9_991), (&[9][..], 1));
}

#[test]
fn bundles_of_networks_that_are_too_large_are_refused() {
    let mut builder = Builder::new(25);
    let x = builder.input(&[1, 9 << 20]);
    let y = builder.same(Op::Relu, &[x]);
    let (graph, ..) = builder.finish(y);
    let refused = Work::new((&graph, &plan_of(&graph, Garbler::Server)), Reveal::Scores, NAMELESS);
    let refused = refused.err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|text| text.contains("would take")), "{refused:?}");
}

#[test]
fn other_operations_and_secret_parameters() {
    let shape = [1, 2, 3];
    let mut builder = Builder::new(5);
    let (a, b) = (builder.input(&shape), builder.input(&shape));
    let a = builder.same(Op::Relu, &[a]);
    let slope = builder.param(&[1, 2, 1], 6);
    let prelu = builder.same(Op::PRelu { slope, shift: 4 }, &[a]);
    let constant = builder.node(Op::Constant { values: vec![1, -2, 3, 4, -5, 6] }, &[], &shape);
    let joined = builder.node(Op::Concat { axis: 1 }, &[prelu, constant, b], &[1, 6, 3]);
    let bias = builder.param(&[1], 14);
    let local = builder.same(Op::Affine { weight: None, left: 1, bias, shift: 2 }, &[b]);
    builder.output(local);
    check_network(&builder.finish(joined));
}

/// Payload bytes of these frames, sent and received.
fn payload_bytes(frames: &[Entry], tags: &[crate::frame::Tag]) -> [u64; 2] {
    [Direction::Sent, Direction::Received].map(|direction| {
        let frames = frames.iter().filter(|frame| frame.direction == direction);
        frames.filter(|f| tags.iter().any(|tag| tag.id() == f.tag)).map(|f| u64::from(f.length)).sum()
    })
}

/// Flights of a bundle's making: set-up and its answer, the masks' ciphertexts, then for halves, bits of products, products and
/// labels one each way.
const OFFLINE_FLIGHTS: u64 = 12;

#[test]
fn one_flight_each_way_for_each_stage_and_as_many_bytes_as_priced() {
    use super::super::wire::{
        CIPHERTEXT, COLOURS, CORRECTIONS, CROSSED, EXTENSION, FACTORS, HALVES, LABELS, MASKED, OPENED,
        SHIFTS, TABLES,
    };
    for (network, garbler) in
        [residual(), quadratics()].iter().flat_map(|network| GARBLERS.map(|garbler| (network, garbler)))
    {
        let run = run(network, garbler, Reveal::Scores, 6);
        let plan = plan_of(&network.0, garbler);
        let priced = price((&network.0, &plan), Reveal::Scores).expect("a price");
        let offline = [CIPHERTEXT, EXTENSION, MASKED, HALVES, CROSSED, SHIFTS, TABLES];
        let online = [OPENED, LABELS, FACTORS, CORRECTIONS];
        let [mut offline, mut online] =
            [&offline[..], &online[..]].map(|tags| payload_bytes(&run.frames, tags));
        let colours = payload_bytes(&run.frames, &[COLOURS])[1];
        *if garbler == Garbler::Server { &mut offline[1] } else { &mut online[1] } += colours;
        assert_eq!(offline, priced.offline_bytes, "{garbler:?}");
        assert_eq!(online, priced.online_bytes, "{garbler:?}");
        let extra = if garbler == Garbler::Client { 2 } else { 0 };
        assert_eq!(run.rounds[2], 2 * priced.stages as u64 + extra, "{garbler:?}: {:?}", run.rounds);
        assert!(run.rounds[1] <= OFFLINE_FLIGHTS, "{garbler:?}: {:?}", run.rounds);
    }
}

/// Inputs that differ, all at once: results are each input's own, and there are as many flights as for one.
#[test]
fn predictions_share_flights() {
    for (graph, params, input) in [residual(), branches()] {
        let turned = |by: usize| -> Vec<Vec<i64>> {
            let turn =
                |values: &Vec<i64>| (0..values.len()).map(|at| values[(at + by) % values.len()]).collect();
            input.iter().map(turn).collect()
        };
        let inputs = [input.clone(), turned(1), turned(5)];
        let inputs: Vec<&[Vec<i64>]> = inputs.iter().map(Vec::as_slice).collect();
        for garbler in GARBLERS {
            let alone = run_batch((&graph, &params), garbler, &inputs[..1], Reveal::Scores, 7);
            let together = run_batch((&graph, &params), garbler, &inputs, Reveal::Scores, 8);
            for (input, result) in inputs.iter().zip(&together.results) {
                assert_eq!(*result, reference::run(&graph, &params, input).expect("the reference runs"));
            }
            assert_ne!(together.results[0], together.results[1]);
            assert_eq!(together.rounds[2], alone.rounds[2], "{garbler:?}");
        }
    }
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let (graph, params, input) = residual();
    let plan = plan_of(&graph, Garbler::Server);
    let work = Work::new((&graph, &plan), Reveal::Scores, NAMELESS).expect("stages");
    let weights = server::Weights::encode(&graph, &plan, &params, 0).expect("a valid plan");
    let (mut near, mut far) = Session::pair();
    let refused = client::predict_batch(&work, Vec::new(), &[&input], &mut near, &());
    assert!(refused.is_err_and(|error| error.to_string().contains("0 bundles for 1 inputs")));
    assert!(server::predict_batch(&work, Vec::new(), (&params, &weights), &mut far).is_err());
    for count in [0, MOST_BATCH as u32 + 1, u32::MAX] {
        let (mut near, mut far) = Session::pair();
        near.outbox.send(super::super::wire::BATCH, &count.to_le_bytes()).expect("room");
        near.outbox.flush().expect("room");
        let (weights, seed) = ((&params, &weights), Seed::from_bytes([1; 32]));
        let refused = server::prepare_and_predict((&graph, &plan), weights, Reveal::Scores, &mut far, &seed);
        assert!(refused.is_err_and(|error| error.to_string().contains("batch")), "{count}");
    }
}

#[test]
fn the_transcript_says_nothing_of_secrets() {
    let (graph, params, input) = residual();
    let others: Vec<Vec<i64>> =
        input.iter().map(|values| values.iter().map(|value| !value).collect()).collect();
    let negated = Params {
        tensors: params
            .tensors
            .iter()
            .map(|tensor| ParamData::I64((0..tensor.len()).map(|i| !tensor.get(i)).collect()))
            .collect(),
    };
    let networks = [
        (graph.clone(), params.clone(), input.clone()),
        (graph.clone(), params, others),
        (graph, negated, input),
    ];
    for garbler in GARBLERS {
        let runs = [0, 1, 2].map(|at| run(&networks[at], garbler, Reveal::Scores, 3 + at as u8));
        for direction in [Direction::Sent, Direction::Received] {
            // Frames that cross have an order that the clock decides.
            let [a, b, c] = [&runs[0], &runs[1], &runs[2]].map(|run| {
                run.frames.iter().filter(|frame| frame.direction == direction).copied().collect::<Vec<_>>()
            });
            assert!(a.len() > 10 && a == b && a == c, "{garbler:?}");
        }
        assert_ne!(runs[0].result, runs[1].result);
    }
}

#[test]
fn bundles_decode_from_their_own_bytes_alone() {
    let (graph, ..) = residual();
    for garbler in GARBLERS {
        let plan = plan_of(&graph, garbler);
        let of = |plan, reveal, weights| Work::new((&graph, plan), reveal, weights).expect("stages");
        let work = of(&plan, Reveal::Scores, NAMELESS);
        let (other, parties) = match garbler {
            Garbler::Server => (Garbler::Client, [1, 2]),
            Garbler::Client => (Garbler::Server, [2, 1]),
        };
        let swapped = plan_of(&graph, other);
        let others = [
            of(&plan, Reveal::Label, NAMELESS),
            of(&plan, Reveal::Scores, ModelId([1; 16])),
            of(&swapped, Reveal::Scores, NAMELESS),
        ];
        type Decode = fn(&Work<'_>, &[u8]) -> Result<Vec<u8>, Error>;
        let client: Decode = |work, bytes| Ok(ClientBundle::decode(work, bytes)?.encode(work).to_vec());
        let server: Decode = |work, bytes| Ok(ServerBundle::decode(work, bytes)?.encode(work).to_vec());
        let decoders = if garbler == Garbler::Server { [client, server] } else { [server, client] };
        let [kept, seed] = [ClientBundle::bytes(&work), ServerBundle::bytes(&work)];
        let lengths = if garbler == Garbler::Server { [kept, seed] } else { [seed, kept] };
        assert!(lengths[0] > 100_000 && lengths[1] < 200, "{lengths:?}");
        for at in 0..2 {
            let mut bytes = vec![0; lengths[at]];
            bytes[..2].copy_from_slice(&[2, parties[at]]);
            bytes[2..18].copy_from_slice(&work.digest());
            assert_eq!(decoders[at](&work, &bytes).expect("zeros are a bundle"), bytes);
            assert!(decoders[1 - at](&work, &bytes).is_err(), "the other party's");
            others.iter().for_each(|other| assert!(decoders[at](other, &bytes).is_err()));
            assert!(decoders[at](&work, &bytes[1..]).is_err());
            assert!(decoders[at](&work, &bytes[..bytes.len() - 1]).is_err());
            assert!(decoders[at](&work, &[&bytes[..], &[0]].concat()).is_err());
        }
        // Numbers come before the tables that end the bundle: spare bits of theirs are zeros.
        let mut bytes = vec![0; lengths[0]];
        bytes[..2].copy_from_slice(&[2, parties[0]]);
        bytes[2..18].copy_from_slice(&work.digest());
        let tables = work.found.surveys.last().expect("a stage").rows * size_of::<kernel::block::Block>();
        bytes[lengths[0] - tables - 1] = 0x80;
        assert!(decoders[0](&work, &bytes).is_err(), "spare bits");
    }
}

/// Whether a value is a product of these factors, shifted as on shares: every factor and the product may be one less than the
/// reference has them.
fn is_product(value: i64, factors: [i64; 2], (square, factors_shifted, shift): (bool, bool, u32)) -> bool {
    let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
    let lower = i64::from(factors_shifted);
    (0..=lower).any(|a| {
        (0..=lower).any(|b| {
            let b = if square { a } else { b };
            let product = ((factors[0] - a) * (factors[1] - b) + half) >> shift;
            value == product || (shift > 0 && value == product - 1)
        })
    })
}

#[test]
fn products_of_inputs_are_right_to_a_unit() {
    for shift in [0, 6] {
        for square in [true, false] {
            let mut builder = Builder::new(40);
            let (x, y) = (builder.input(&[1, 3000]), builder.input(&[1, 3000]));
            let z = builder.same(Op::Product { shift }, &[x, if square { x } else { y }]);
            // A second output keeps both inputs in the program.
            let sum = builder
                .same(Op::Sum { terms: vec![Term { left: 0, negative: false }; 2], shift: 0 }, &[x, y]);
            builder.output(sum);
            let network = builder.finish(z);
            for garbler in GARBLERS {
                let result = run(&network, garbler, Reveal::Scores, 9).result;
                let factors = network.2[0].iter().zip(&network.2[usize::from(!square)]);
                for (value, (a, b)) in result[1].iter().zip(factors) {
                    assert!(is_product(*value, [*a, *b], (square, false, shift)), "{value} of {a} and {b}");
                }
            }
        }
    }
}

#[test]
fn products_of_sums_are_right_to_a_unit_of_each_shift() {
    for square in [true, false] {
        let mut builder = Builder::new(41);
        let same = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] };
        let x = builder.input(&[1, 3, 16, 16]);
        let (a, b) = (builder.conv(x, (6, 1), same), builder.conv(x, (6, 1), same));
        let z = builder.same(Op::Product { shift: 5 }, &[a, if square { a } else { b }]);
        builder.output(a);
        builder.output(b);
        let network = builder.finish(z);
        let expected = reference::run(&network.0, &network.1, &network.2).expect("the reference runs");
        for garbler in GARBLERS {
            let result = run(&network, garbler, Reveal::Scores, 10).result;
            assert_eq!((&result[0], &result[1]), (&expected[0], &expected[1]));
            let factors = expected[0].iter().zip(&expected[usize::from(!square)]);
            for (value, (a, b)) in result[2].iter().zip(factors) {
                assert!(is_product(*value, [*a, *b], (square, true, 5)), "{value} of {a} and {b}");
            }
        }
    }
}

/// Quadratics between layers, and a ReLU: small weights keep the errors of a unit from growing.
fn quadratics() -> Network {
    let mut builder = Builder::new(42);
    let x = builder.input(&[1, 20]);
    let y = builder.dense(x, 17);
    let y = builder.same(Op::Product { shift: 8 }, &[y, y]);
    let y = builder.dense(y, 15);
    let z = builder.same(Op::Relu, &[y]);
    let z = builder.same(Op::Product { shift: 8 }, &[z, y]);
    let z = builder.dense(z, 6);
    builder.finish(z)
}

#[test]
fn networks_of_quadratics_stay_near_the_reference() {
    let network = quadratics();
    let expected = reference::run(&network.0, &network.1, &network.2).expect("the reference runs");
    for garbler in GARBLERS {
        let run = run(&network, garbler, Reveal::Scores, 11);
        let differences = expected[0].iter().zip(&run.result[0]).map(|(a, b)| (a - b).abs());
        let difference = differences.max().expect("outputs");
        let largest = expected[0].iter().map(|value| value.abs()).max().expect("outputs");
        assert!(difference * 20 <= largest.max(100), "{difference} of {largest}");
    }
}

/// A reading half that keeps what it read.
struct Tap {
    inner: Box<dyn Source>,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Deadline for Tap {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.inner.set_deadline(deadline);
    }
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.lock().expect("no panic").extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

fn tapped(transport: Transport) -> (Session, Arc<Mutex<Vec<u8>>>) {
    let read = Arc::new(Mutex::new(Vec::new()));
    let tap = Tap { inner: transport.source, read: Arc::clone(&read) };
    (
        Session::new(
            Transport { source: Box::new(tap), sink: transport.sink, binding: transport.binding },
            Limits::default(),
        ),
        read,
    )
}

/// The payloads of a kind of frame, last bytes left out: they may be filled up with zeros.
fn payloads(stream: &[u8], tag: crate::frame::Tag) -> Vec<u8> {
    let (mut rest, mut payloads) = (stream, Vec::new());
    while let Some((header, after)) = rest.split_first_chunk::<{ crate::frame::HEADER_BYTES }>() {
        let header = crate::frame::Header::decode(*header);
        let (payload, after) = after.split_at(header.length as usize);
        if header.tag == tag.id() {
            payloads.extend_from_slice(&payload[..payload.len().saturating_sub(1)]);
        }
        rest = after;
    }
    payloads
}

/// Equal inputs, squares of equal sums, and a ReLU of them: what crosses is uniform all the same. A uniform stream fails with probability
/// below 1e-12: 256 bins, ten standard deviations.
#[test]
fn masked_values_are_uniform() {
    let mut builder = Builder::new(50);
    let x = builder.input(&[1, 4, 24, 24]);
    let y = builder.conv(x, (4, 1), Window::new([1, 1]));
    let z = builder.same(Op::Product { shift: 8 }, &[y, y]);
    let y = builder.same(Op::Relu, &[y]);
    let terms = vec![Term { left: 0, negative: false }; 2];
    let y = builder.same(Op::Sum { terms, shift: 0 }, &[y, z]);
    let y = builder.conv(y, (4, 1), Window::new([1, 1]));
    let (graph, params, mut input) = builder.finish(y);
    input[0].fill(1000);
    GARBLERS.iter().for_each(|garbler| uniform((&graph, &params, &input), *garbler));
}

fn uniform((graph, params, input): (&FixedGraph, &Params, &[Vec<i64>]), garbler: Garbler) {
    let plan = plan_of(graph, garbler);
    let weights = server::Weights::encode(graph, &plan, params, 0).expect("a valid plan");
    let (near, far) = crate::memory::pair();
    let ((mut near, received), (mut far, sent)) = (tapped(near), tapped(far));
    thread::scope(|scope| {
        let (plan, weights) = (&plan, &weights);
        let serving = scope.spawn(move || {
            let seed = Seed::from_bytes([61; 32]);
            server::prepare_and_predict((graph, plan), (params, weights), Reveal::Scores, &mut far, &seed)
        });
        let seed = Seed::from_bytes([62; 32]);
        client::prepare_and_predict((graph, plan), &[input], Reveal::Scores, &mut near, &seed, &())
            .expect("the client succeeds");
        serving.join().expect("no panic").expect("the server succeeds");
    });
    let (received, sent) = (received.lock().expect("no panic"), sent.lock().expect("no panic"));
    use super::super::wire::{CORRECTIONS, CROSSED, EXTENSION, FACTORS, HALVES, LABELS, OPENED, SHIFTS};
    let (evaluators, garblers) =
        if garbler == Garbler::Server { (&sent, &received) } else { (&received, &sent) };
    let mut streams = vec![
        (&sent, OPENED),
        (evaluators, EXTENSION),
        (garblers, HALVES),
        (garblers, CROSSED),
        (garblers, SHIFTS),
        (&received, FACTORS),
        (garblers, LABELS),
    ];
    streams.extend((garbler == Garbler::Client).then_some((&received, CORRECTIONS)));
    for (stream, tag) in streams {
        let bytes = payloads(stream, tag);
        assert!(bytes.len() > 8000, "{tag}: {}", bytes.len());
        let mut bins = [0u32; 256];
        bytes.iter().for_each(|byte| bins[usize::from(*byte)] += 1);
        let due = bytes.len() as f64 / 256.0;
        let distance: f64 = bins.iter().map(|bin| (f64::from(*bin) - due).powi(2) / due).sum();
        assert!(distance < 255.0 + 10.0 * 510f64.sqrt(), "{garbler:?}, {tag}: {distance}");
    }
}
