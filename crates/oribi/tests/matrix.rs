//! One suite of models for every preset: `tests/matrix.toml` says what runs whole, what as a small twin, and what is refused;
//! whatever runs gives the integer reference's numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;
mod generated;

use std::path::{Path, PathBuf};
use std::thread;

use kernel::seed::Seed;
use model::fixed::{FixedGraph, NumberFormat, Op, Params};
use model::quantise::{Options, quantise};
use model::ranges::Ranges;
use model::{Graph, Side, onnx, reference};
use protocol::encrypted::{Client, ClientKeys, plans};
use protocol::handshake::Plan;
use protocol::interactive::keys::{ClientKeys as InteractiveKeys, Held, Host};
use protocol::{Reveal, Session, garbled, interactive};
use serde::Deserialize;

#[derive(Deserialize)]
struct Matrix {
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    preset: String,
    model: PathBuf,
    run: Run,
    /// For a small twin, the network that it stands for.
    of: Option<String>,
    /// For a refusal, words of it.
    says: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Run {
    Full,
    /// Whole, but only among the ignored tests.
    Long,
    Small,
    Refused,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn matrix() -> Vec<Entry> {
    let text = std::fs::read_to_string(root().join("tests/matrix.toml")).expect("the matrix");
    toml::from_str::<Matrix>(&text).expect("a well-formed matrix").entry
}

/// The model on a preset's integers, and an input that spans its input's range.
fn prepare(path: &Path, options: &Options) -> Result<(FixedGraph, Params, Vec<Vec<i64>>), String> {
    let graph = onnx::load(path).expect("the model");
    prepare_graph(&graph, &Side::load(path).expect("the side file"), options)
}

fn prepare_graph(
    graph: &Graph,
    side: &Side,
    options: &Options,
) -> Result<(FixedGraph, Params, Vec<Vec<i64>>), String> {
    let ranges = Ranges::measure(graph, side, &[]).expect("ranges");
    if options.number == NumberFormat::Exact {
        plans::supports(graph).map_err(|error| error.to_string())?;
    }
    let (plan, params) = quantise(graph, &ranges, options).map_err(|error| error.to_string())?;
    let input = plan
        .inputs
        .iter()
        .zip(ranges.inputs(graph))
        .enumerate()
        .map(|(index, (input, [low, high]))| {
            let count = plan.nodes[*input].shape.iter().product::<usize>();
            let values: Vec<f32> =
                (0..count).map(|i| low + (high - low) * ((i * 7919 % 1009) as f32 / 1008.0)).collect();
            plan.quantise_input(index, &values).expect("an input")
        })
        .collect();
    Ok((plan, params, input))
}

/// Integers without truncation.
fn exact() -> Options {
    Options::new(NumberFormat::Exact)
}

/// Both parties in memory, the server in a thread of its own: the client's result, or what went wrong first.
fn between<T>(
    server: impl FnOnce(&mut Session) -> Result<(), protocol::Error> + Send,
    client: impl FnOnce(&mut Session) -> Result<T, protocol::Error>,
) -> Result<T, protocol::Error> {
    let (mut near, mut far) = Session::pair();
    thread::scope(|scope| {
        let serving = scope.spawn(move || server(&mut far));
        let result = client(&mut near);
        drop(near);
        let served = serving.join().expect("no panic");
        result.and_then(|result| served.map(|()| result))
    })
}

fn deepsecure(
    plan: &FixedGraph,
    params: &Params,
    input: &[Vec<i64>],
) -> Result<Vec<Vec<i64>>, protocol::Error> {
    let (options, reveal) = (garbled::Options::default(), Reveal::Scores);
    let [servers, clients] = [1, 2].map(|fill| Seed::from_bytes([fill; 32]));
    between(
        |far| garbled::server::predict(plan, options, params, reveal, far, &servers),
        |near| garbled::client::predict(plan, options, input, reveal, near, &clients, &()),
    )
}

/// A linear method of `gazelle`, and its integers: in slots products are garbled, and their bits dropped at once.
fn linear(slots: bool) -> (interactive::Method, Options) {
    let method = if slots { interactive::Method::HeSlots } else { interactive::Method::HeCoefficients };
    (method, Options { whole_products: !slots, ..Options::ring() })
}

fn gazelle(
    method: interactive::Method,
    graph: &FixedGraph,
    params: &Params,
    input: &[Vec<i64>],
) -> Result<Vec<Vec<i64>>, protocol::Error> {
    let plan = &interactive::Plan::choose(graph, method)?;
    let [servers, clients] = [1, 2].map(|fill| Seed::from_bytes([fill; 32]));
    between(
        |far| {
            let weights = interactive::server::Weights::encode(graph, plan, params, 1 << 28)?;
            let far = (far, &mut Held::default(), &() as &dyn Host);
            interactive::server::predict((graph, plan), (params, &weights), Reveal::Scores, far, &servers)
        },
        |near| {
            let input = (input, &mut InteractiveKeys::new(clients.child("keys", 0)));
            interactive::client::predict((graph, plan), input, Reveal::Scores, near, &clients, &())
        },
    )
}

fn delphi(
    method: interactive::Method,
    graph: &FixedGraph,
    params: &Params,
    input: &[Vec<i64>],
) -> Result<Vec<Vec<i64>>, protocol::Error> {
    use interactive::ahead::{client, server};
    let plan = &interactive::Plan::choose(graph, method)?;
    let [servers, clients] = [1, 2].map(|fill| Seed::from_bytes([fill; 32]));
    between(
        |far| {
            let weights = server::Weights::encode(graph, plan, params, 1 << 28)?;
            server::prepare_and_predict((graph, plan), (params, &weights), Reveal::Scores, far, &servers)
        },
        |near| {
            let results =
                client::prepare_and_predict((graph, plan), &[input], Reveal::Scores, near, &clients, &());
            results.map(|mut results| results.remove(0))
        },
    )
}

/// Truncation on shares is right to a unit; what follows makes that more.
fn near(graph: &FixedGraph, result: &[Vec<i64>], expected: &[Vec<i64>]) -> bool {
    if !graph.nodes.iter().any(|node| matches!(node.op, Op::Product { .. })) {
        return result == expected;
    }
    result.len() == expected.len()
        && result.iter().zip(expected).all(|(result, expected)| {
            let top = expected.iter().map(|value| value.abs()).max().unwrap_or(0);
            let units = result.iter().zip(expected).map(|(a, b)| (a - b).abs()).max().unwrap_or(0);
            result.len() == expected.len() && units * 100 <= top
        })
}

/// Both halves in memory, the plan as it goes through the handshake.
fn lola(
    name: &str,
    graph: &FixedGraph,
    params: &Params,
    input: &[Vec<i64>],
) -> Result<Vec<Vec<i128>>, protocol::Error> {
    let payload = plans::make(name, graph, &plans::Options::default())?;
    let plan = Plan { graph: graph.clone(), payload };
    let service = plans::service(name, &plan, params)?;
    let outline = plans::outline(name, &plan)?;
    let pool = rayon::ThreadPoolBuilder::new().build().expect("threads");
    let (keys, made) = ClientKeys::new(&outline, Seed::from_bytes([3; 32]))?;
    let seeds = [4, 5].map(|fill| Seed::from_bytes([fill; 32]));
    between(
        |far| {
            let host = common::OneClient::new();
            let keys = service.receive_keys(far, &host)?;
            service.predict(&keys, far, &host, &seeds[0])
        },
        |near| {
            let client = Client { outline: &outline, graph, keys: &keys, pool: &pool };
            client.share_keys(near, Some(made))?;
            let mut results = client.predict(&[input.to_vec()], near, &seeds[1], &())?;
            Ok(results.pop().expect("one result"))
        },
    )
}

fn check(entry: &Entry) {
    let path = root().join(&entry.model);
    if entry.model.starts_with("..") && !path.exists() {
        println!("{}: not present here", entry.model.display());
        return;
    }
    assert_eq!(entry.of.is_some(), entry.run == Run::Small, "a twin names its original");
    let outcome = match entry.preset.as_str() {
        "deepsecure" => prepare(&path, &Options::word16()).and_then(|(plan, params, input)| {
            let expected = reference::run(&plan, &params, &input).expect("the reference");
            let result = deepsecure(&plan, &params, &input).map_err(|error| error.to_string())?;
            Ok(result == expected)
        }),
        name @ ("gazelle" | "gazelle-slots") => {
            let (method, options) = linear(name == "gazelle-slots");
            prepare(&path, &options).and_then(|(plan, params, input)| {
                let expected = reference::run(&plan, &params, &input).expect("the reference");
                let result = gazelle(method, &plan, &params, &input).map_err(|error| error.to_string())?;
                Ok(result == expected)
            })
        }
        "delphi" => prepare(&path, &Options::narrow_ring()).and_then(|(plan, params, input)| {
            let expected = reference::run(&plan, &params, &input).expect("the reference");
            let method = interactive::Method::HeCoefficients;
            let result = delphi(method, &plan, &params, &input).map_err(|error| error.to_string())?;
            Ok(near(&plan, &result, &expected))
        }),
        "delphi-slots" => prepare(&path, &Options::narrow_ring()).and_then(|(plan, params, input)| {
            let expected = reference::run(&plan, &params, &input).expect("the reference");
            let method = interactive::Method::HeSlots;
            let result = delphi(method, &plan, &params, &input).map_err(|error| error.to_string())?;
            Ok(result == expected)
        }),
        name @ ("lola" | "lola-batch") => prepare(&path, &exact()).and_then(|(plan, params, input)| {
            let expected = reference::run_wide(&plan, &params, &input).expect("the reference");
            let result = lola(name, &plan, &params, &input).map_err(|error| error.to_string())?;
            Ok(result == expected)
        }),
        other => panic!("no preset {other}"),
    };
    match (&entry.says, outcome) {
        (None, outcome) => assert_eq!(outcome, Ok(true), "{} {}", entry.preset, entry.model.display()),
        (Some(words), outcome) => {
            let error = outcome.expect_err("a refusal");
            assert!(error.contains(words), "{}: {error}", entry.model.display());
        }
    }
    println!("{} {}: ok", entry.preset, entry.model.display());
}

#[test]
fn every_entry_equals_the_reference_or_is_refused() {
    matrix().iter().filter(|entry| entry.run != Run::Long).for_each(check);
}

#[test]
#[ignore = "seconds to minutes for each model"]
fn every_long_entry_equals_the_reference() {
    matrix().iter().filter(|entry| entry.run == Run::Long).for_each(check);
}

#[test]
fn generated_networks_equal_the_reference_by_both_linear_methods() {
    let (mut whole, mut slots) = (0, 0);
    for seed in 0..24 {
        let graph = generated::network(seed);
        for in_slots in [false, true] {
            let (method, options) = linear(in_slots);
            // Branches of products may need more bits than a ring has: refused in words.
            let prepared = prepare_graph(&graph, &generated::side(), &options);
            let Ok((plan, params, input)) = prepared else { continue };
            let expected = reference::run(&plan, &params, &input).expect("the reference");
            match gazelle(method, &plan, &params, &input) {
                Ok(result) => assert_eq!(result, expected, "seed {seed}, {method:?}"),
                Err(protocol::Error::Refused(_)) => continue,
                Err(error) => panic!("seed {seed}, {method:?}: {error}"),
            }
            *(if in_slots { &mut slots } else { &mut whole }) += 1;
        }
    }
    assert!(whole >= 20 && slots >= 20, "{whole} and {slots} of 24 ran");
}
