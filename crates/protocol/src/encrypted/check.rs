//! A program is held against the integer reference before it is served.
//!
//! Under an own test key, in the real parameters: random inputs are encrypted, computed, hidden and decrypted. The values must
//! equal the reference's modulo the plaintext space, and the measured noise must stay within the bound by which
//! replies are flooded. A wrong layout, weight, rotation or bound is found here and not by a client.

use bfv::{Ciphertext, Encoder, Randomness, Reply};
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::{FixedGraph, Params};
use model::reference;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::keys::{Assembly, ClientKeys, parts};
use super::program::EvaluationKeys;
use super::server::Service;
use super::values::{answer_residues, centre, modulus, request_slots};
use crate::error::Error;

/// Members of a batch that are compared; the others are encrypted as zeros.
const MEMBERS: usize = 3;

/// What a check measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// The base-2 logarithm of the largest noise of a result.
    pub log2_noise: f64,
    /// That of the bound.
    pub log2_bound: f64,
    /// Seconds of the program alone, all plaintext moduli.
    pub seconds: f64,
}

/// Checks a service on random inputs.
///
/// # Errors
/// [`Error::Refused`] with the reason where it must not be served.
pub fn check(
    service: &Service,
    graph: &FixedGraph,
    params: &Params,
    pool: &ThreadPool,
    seed: &Seed,
) -> Result<Checked, Error> {
    let outline = service.outline();
    let (client, keys) = pool.install(|| test_keys(service, seed))?;
    let batch: Vec<Vec<Vec<i64>>> =
        (0..MEMBERS.min(outline.batch)).map(|member| random_input(graph, seed, member as u64)).collect();
    let expected = batch
        .iter()
        .map(|input| Ok(reference::run_wide(graph, params, input)?.concat()))
        .collect::<Result<Vec<Vec<i128>>, model::Error>>()
        .map_err(|error| Error::Refused(format!("the reference refuses the network: {error}")))?;
    let mut checked =
        Checked { log2_noise: f64::NEG_INFINITY, log2_bound: outline.noise.log2_bound(), seconds: 0.0 };
    for (number, parameters) in outline.parameters.iter().enumerate() {
        let run = Run { service, client: &client, keys: &keys, number, seed };
        let (residues, log2_noise, seconds) = pool.install(|| run.residues(&batch))?;
        checked.log2_noise = checked.log2_noise.max(log2_noise);
        checked.seconds += seconds;
        if log2_noise > checked.log2_bound {
            return Err(Error::Refused(format!(
                "its noise of {log2_noise:.1} bits on a random input is above the bound of {:.1} bits",
                checked.log2_bound
            )));
        }
        let p = modulus(parameters)?;
        let same = residues
            .iter()
            .zip(&expected)
            .all(|(got, want)| want.iter().map(|w| centre(*w, p)).eq(got.iter().copied()));
        if !same {
            return Err(Error::Refused("its result on a random input is not the integer reference's".into()));
        }
    }
    Ok(checked)
}

/// Keys of nobody, through their wire forms.
fn test_keys(service: &Service, seed: &Seed) -> Result<(ClientKeys, EvaluationKeys), Error> {
    let outline = service.outline();
    let (client, made) = ClientKeys::new(outline, seed.child("check/keys", 0))?;
    let mut assembly = Assembly::new(outline)?;
    for (part, bytes) in parts(outline).into_iter().zip(&made) {
        assembly.add(part, bytes)?;
    }
    Ok((client, assembly.finish()?.0))
}

/// An input whose values are uniform in their format.
fn random_input(graph: &FixedGraph, seed: &Seed, member: u64) -> Vec<Vec<i64>> {
    let mut prg = Prg::new(&seed.child("check/input", member));
    let mut word = move || {
        let mut bytes = [0; 8];
        prg.fill_bytes(&mut bytes);
        i64::from_le_bytes(bytes)
    };
    let nodes = graph.inputs.iter().filter_map(|id| graph.nodes.get(*id));
    nodes
        .map(|node| {
            let unused = 64 - node.format.bits.clamp(1, 63);
            (0..node.shape.iter().product::<usize>()).map(|_| word() >> unused).collect()
        })
        .collect()
}

/// One plaintext modulus of a check.
struct Run<'a> {
    service: &'a Service,
    client: &'a ClientKeys,
    keys: &'a EvaluationKeys,
    number: usize,
    seed: &'a Seed,
}

impl Run<'_> {
    /// The results' elements of each member, the largest noise and the program's seconds.
    fn residues(&self, batch: &[Vec<Vec<i64>>]) -> Result<(Vec<Vec<i128>>, f64, f64), Error> {
        let outline = self.service.outline();
        let parameters = &outline.parameters[self.number];
        let (p, encoder, secret) = (modulus(parameters)?, Encoder::new(parameters), self.client.secret());
        let seed = self.seed.child("check/encrypt", self.number as u64);
        let encrypt = |number: usize| {
            let message = encoder.slots_wide(&request_slots(outline, number, batch, p))?;
            let mut randomness = Randomness::new(seed.child("ciphertext", number as u64));
            secret.encrypt_at(parameters, &message, outline.fresh_limbs, &mut randomness)
        };
        let inputs: Result<Vec<Ciphertext>, bfv::Error> =
            (0..outline.request.ciphertexts()).into_par_iter().map(encrypt).collect();
        let start = std::time::Instant::now();
        let results = self.service.run(self.number, inputs?, self.keys)?;
        let seconds = start.elapsed().as_secs_f64();
        let noises: Result<Vec<f64>, bfv::Error> =
            results.par_iter().map(|result| Ok(secret.measure_noise(parameters, result)?.log2_max)).collect();
        let noise = noises?.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let replies =
            self.service.reply(self.number, results, self.keys, &self.seed.child("check/hide", 0))?;
        let open = |bytes: &Vec<u8>| {
            let reply = Reply::from_bytes(parameters, None, bytes)?;
            encoder.decode_slots_wide(&secret.decrypt_reply(parameters, &reply)?)
        };
        let slots: Result<Vec<_>, bfv::Error> = replies.par_iter().map(open).collect();
        Ok((answer_residues(outline, &slots?, batch.len(), p), noise, seconds))
    }
}
