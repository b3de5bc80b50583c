//! Both halves joined in memory, on a small network, against the integer reference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod checks;
mod hostile;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use kernel::seed::Seed;
use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, ParamData, ParamInfo, Params, Post};
use model::reference;
use rayon::ThreadPool;

use super::batch::Plan;
use super::*;
use crate::error::Error;
use crate::meter::Phase;
use crate::session::{Direction, Session};

/// A dense layer, a square, a dense layer.
pub fn network() -> (FixedGraph, Params) {
    let node = |name: &str, op, inputs: &[usize], width, bits| Node {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        shape: vec![1, width],
        format: Format { bits, frac: 0 },
    };
    let dense = |weight, bias| Op::Dense { weight, bias, shift: vec![0] };
    let info = |name: &str, shape: &[usize], bits| ParamInfo {
        name: name.into(),
        shape: shape.to_vec(),
        bits,
        support: None,
    };
    let graph = FixedGraph {
        number: NumberFormat::Exact,
        nodes: vec![
            node("x", Op::Input, &[], 4, 8),
            node("fc1", dense(0, 1), &[0], 3, 18),
            node("square", Op::Product { shift: 0 }, &[1, 1], 3, 36),
            node("fc2", dense(2, 3), &[2], 2, 46),
        ],
        params: vec![
            info("w1", &[3, 4], 8),
            info("b1", &[3], 16),
            info("w2", &[2, 3], 8),
            info("b2", &[2], 44),
        ],
        inputs: vec![0],
        input_levels: Vec::new(),
        result_bits: Vec::new(),
        outputs: vec![Output { name: "y".into(), node: 3, post: Post::None }],
    };
    let tensor = |count: i32, step: i32| ParamData::I32((0..count).map(|i| (i * step) % 127 - 60).collect());
    let wide = ParamData::I64(vec![-(1 << 40), 12345]);
    (graph, Params { tensors: vec![tensor(12, 37), tensor(3, 1000), tensor(6, 53), wide] })
}

/// An input by number.
pub fn input(number: i64) -> Vec<Vec<i64>> {
    vec![(0..4).map(|i| (number * 31 + i * 17) % 256 - 128).collect()]
}

/// The network's plan, derived once.
pub fn plan() -> Plan {
    static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan::derive(&network().0).unwrap());
    PLAN.clone()
}

pub fn service() -> Service {
    let (graph, params) = network();
    let plan = plan();
    Service::new(plan.outline(&graph).unwrap(), plan.program(&graph, &params).unwrap()).unwrap()
}

pub fn pool() -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

/// A store without limits.
pub struct TestHost {
    pub keys: Mutex<HashMap<Digest, Arc<EvaluationKeys>>>,
    pub pool: ThreadPool,
    pub full: bool,
}

impl TestHost {
    pub fn new() -> Self {
        Self { keys: Mutex::default(), pool: pool(), full: false }
    }
}

impl Host for TestHost {
    fn find(&self, digest: Digest) -> Option<Arc<EvaluationKeys>> {
        self.keys.lock().unwrap().get(&digest).cloned()
    }

    fn room_for_keys(&self, _bytes: u64) -> Result<Box<dyn Any + Send>, Error> {
        if self.full { Err(Error::Refused("no room for keys".into())) } else { Ok(Box::new(())) }
    }

    fn keep(&self, digest: Digest, keys: EvaluationKeys, _room: Box<dyn Any + Send>) -> Arc<EvaluationKeys> {
        let keys = Arc::new(keys);
        self.keys.lock().unwrap().insert(digest, keys.clone());
        keys
    }

    fn memory(&self, _bytes: u64) -> Result<Box<dyn Send>, Error> {
        Ok(Box::new(()))
    }

    fn pool(&self) -> &ThreadPool {
        &self.pool
    }
}

/// Seeds of one run.
pub fn seed(number: u8) -> Seed {
    Seed::from_bytes([number; 32])
}

/// Predictions of some batches over one connection; gives the results and what the client saw of frames and costs.
pub fn predict(
    service: &Service,
    host: &TestHost,
    keys: u8,
    batches: &[Vec<Vec<Vec<i64>>>],
) -> Result<(Vec<Results>, Seen), Error> {
    let (graph, _) = network();
    let (mut near, mut far) = Session::pair();
    let transcript = near.record();
    let outline = service.outline();
    let (keys, made) = ClientKeys::new(outline, seed(keys)).unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(move || -> Result<(), Error> {
            let keys = service.receive_keys(&mut far, host)?;
            for number in 0..batches.len() {
                service.predict(&keys, &mut far, host, &seed(100 + number as u8))?;
            }
            Ok(())
        });
        let pool = pool();
        let client = Client { outline, graph: &graph, keys: &keys, pool: &pool };
        let run = || {
            client.share_keys(&mut near, Some(made))?;
            let one = |(number, batch): (usize, &Vec<_>)| {
                client.predict(batch, &mut near, &seed(50 + number as u8), &())
            };
            batches.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()
        };
        let results = run();
        let costs = near.meter.snapshot().phases.map(|phase| (phase.sent, phase.received, phase.rounds));
        let seen = (transcript.direction(Direction::Sent), transcript.direction(Direction::Received), costs);
        drop(near);
        let served = serving.join().expect("no panic");
        results.and_then(|results| served.map(|()| (results, seen)))
    })
}

/// The integers of each output of each member.
pub type Results = Vec<Vec<Vec<i128>>>;

/// Frames each way, costs of each phase.
pub type Seen = (Vec<(u16, u32)>, Vec<(u16, u32)>, [(u64, u64, u64); 3]);

pub fn expected(batch: &[Vec<Vec<i64>>]) -> Results {
    let (graph, params) = network();
    batch.iter().map(|input| reference::run_wide(&graph, &params, input).unwrap()).collect()
}

#[test]
fn batches_equal_the_reference() {
    let (service, host) = (service(), TestHost::new());
    let batches = [vec![input(0)], (0..40).map(input).collect(), vec![input(7), input(9)]];
    let (results, _) = predict(&service, &host, 1, &batches).unwrap();
    for (result, batch) in results.iter().zip(&batches) {
        assert_eq!(*result, expected(batch));
    }
}

#[test]
fn transcripts_depend_on_the_plan_alone() {
    let (service, host) = (service(), TestHost::new());
    let one = |keys, number| predict(&service, &host, keys, &[vec![input(number)]]).unwrap().1;
    let first = one(1, 3);
    assert_eq!(first, one(2, 4), "another client, another input");
    // Keys that the server has are not sent again.
    let again = one(1, 5);
    let sent = |seen: &Seen| (seen.2[Phase::Setup as usize].0, seen.2[Phase::Online as usize].0);
    let ((setup, online), (setup_again, online_again)) = (sent(&first), sent(&again));
    assert_eq!((online, setup_again), (online_again, 40));
    let keys: u64 = keys::wire_bytes(service.outline()).unwrap();
    assert!(setup > keys && setup < keys + 100);
    assert!(online > client::request_bytes(service.outline()));
    // One request and one reply: two flights.
    assert_eq!(first.2[Phase::Online as usize].2, 2);
}

#[test]
fn an_input_of_another_shape_is_refused_before_it_is_sent() {
    let (service, host) = (service(), TestHost::new());
    let error = predict(&service, &host, 1, &[vec![vec![vec![1, 2, 3]]]]).unwrap_err();
    assert!(error.to_string().contains("shape"), "{error}");
    let error = predict(&service, &host, 1, &[vec![]]).unwrap_err();
    assert!(error.to_string().contains("shape"), "{error}");
}
