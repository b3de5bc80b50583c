//! What a plan on shares takes: stages, gates, bytes before and after the input is known.

use linear::gazelle::Product;
use linear::slots::Operations;
use model::fixed::FixedGraph;
use protocol::interactive::{Garbler, Method, Plan, Price, ahead};
use protocol::{Error, Reveal};
use serde::Serialize;

use crate::choice::Linear;
use crate::commands::inspect::printable;
use crate::report::bytes;

/// A plan's figures, and part of the object of `inspect --json`. Bytes are without the headers of frames.
#[derive(Serialize)]
pub struct Shared {
    /// The circuits.
    circuits: Price,
    offline_client_bytes: u64,
    offline_server_bytes: u64,
    online_client_bytes: u64,
    online_server_bytes: u64,
    /// Bytes of circuits for each activation, both ways together.
    offline_bytes_per_activation: f64,
    online_bytes_per_activation: f64,
    /// Ciphertexts of a prediction, sent and returned.
    ciphertext_bytes: [u64; 2],
    /// The client's keys, sent once a session: the public key, and those of rotations.
    key_bytes: [u64; 2],
    /// The kernel of each linear layer in slots.
    kernels: Vec<Kernel>,
    /// The plan as the client receives it.
    plan: Plan,
}

/// A linear layer in slots.
#[derive(Serialize)]
struct Kernel {
    layer: String,
    method: String,
    /// Ciphertexts sent and returned.
    ciphertexts: [u64; 2],
    /// What the server does with them.
    operations: Operations,
}

impl Kernel {
    fn new(graph: &FixedGraph, (node, product): &(usize, Product)) -> Result<Self, Error> {
        let cost = product.cost().map_err(|error| Error::Refused(error.to_string()))?;
        Ok(Self {
            layer: graph.nodes[*node].name.clone(),
            method: product.method().to_string(),
            ciphertexts: [cost.sent, cost.returned],
            operations: cost.operations,
        })
    }

    fn line(&self) -> String {
        let Operations { rotations, hoisted, products, scalars, .. } = self.operations;
        let [sent, returned] = self.ciphertexts;
        format!(
            "kernel      {}: {}; {} rotations ({hoisted} hoisted), {} products, {sent} ciphertexts sent, {returned} returned",
            printable(&self.layer),
            self.method,
            rotations + hoisted,
            products + scalars,
        )
    }
}

impl Shared {
    /// Makes the plan that `serve` would make, and measures it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn new(graph: &FixedGraph, linear: Linear) -> Result<Self, Error> {
        let plan = linear.plan(graph, protocol::shape::Link::LAN)?;
        let circuits = plan.price(graph, Reveal::Scores)?;
        let kernels =
            plan.kernels(graph)?.iter().map(|kernel| Kernel::new(graph, kernel)).collect::<Result<_, _>>()?;
        let ciphertext_bytes = plan.ciphertext_bytes(graph)?;
        let (offline, online) = (circuits.offline_bytes(), circuits.online_bytes());
        let each = |both: [u64; 2]| (both[0] + both[1]) as f64 / circuits.activations.max(1) as f64;
        Ok(Self {
            offline_client_bytes: offline[0],
            offline_server_bytes: offline[1],
            online_client_bytes: online[0] + ciphertext_bytes[0],
            online_server_bytes: online[1] + ciphertext_bytes[1],
            offline_bytes_per_activation: each(offline),
            online_bytes_per_activation: each(online),
            ciphertext_bytes,
            key_bytes: plan.key_bytes(graph)?,
            kernels,
            circuits,
            plan,
        })
    }

    /// What people read.
    pub fn lines(&self) -> Vec<String> {
        let [sent, returned] = self.ciphertext_bytes;
        let mut lines = vec![
            format!("stages      {}, two round trips each", self.circuits.stages),
            format!(
                "encryption  ring degree {}, {} primes; {} of ciphertexts sent, {} returned",
                self.plan.degree,
                self.plan.primes.len(),
                bytes(sent),
                bytes(returned)
            ),
            format!("gates       {} AND for {} activations", self.circuits.ands, self.circuits.activations),
            format!(
                "offline     {} from the client, {} from the server; {:.0} bytes an activation",
                bytes(self.offline_client_bytes),
                bytes(self.offline_server_bytes),
                self.offline_bytes_per_activation
            ),
            format!(
                "online      {} from the client, {} from the server; {:.0} bytes an activation, ciphertexts aside",
                bytes(self.online_client_bytes),
                bytes(self.online_server_bytes),
                self.online_bytes_per_activation
            ),
            format!(
                "keys        {} and {} of rotations, once a session",
                bytes(self.key_bytes[0]),
                bytes(self.key_bytes[1])
            ),
        ];
        lines.extend(self.kernels.iter().map(Kernel::line));
        lines
    }
}

/// What a plan with everything heavy before the input takes, and part of the object of `inspect --json`.
#[derive(Serialize)]
pub struct Ahead {
    /// By counting.
    #[serde(flatten)]
    price: ahead::Price,
    /// Bytes for each activation, both ways together, ciphertexts aside.
    offline_bytes_per_activation: f64,
    online_bytes_per_activation: f64,
    /// The client's keys: the public key, sent once a connection that prepares, and those of rotations, with which it is sent for each bundle.
    key_bytes: [u64; 2],
    /// The plan as the client receives it.
    plan: Plan,
}

impl Ahead {
    /// Makes the plan that `serve` would make, and measures it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn new(graph: &FixedGraph, linear: Linear, garbler: Garbler) -> Result<Self, Error> {
        let plan = linear.ahead(graph, protocol::shape::Link::LAN, garbler)?;
        let key_bytes = Plan { garbler: Garbler::Server, ..plan.clone() }.key_bytes(graph)?;
        let price = ahead::price((graph, &plan), Reveal::Scores)?;
        let each = |bytes: u64| bytes as f64 / price.activations.max(1) as f64;
        let sum = |both: [u64; 2]| both[0] + both[1];
        Ok(Self {
            offline_bytes_per_activation: each(sum(price.offline_bytes) - sum(price.ciphertext_bytes)),
            online_bytes_per_activation: each(sum(price.online_bytes)),
            key_bytes,
            price,
            plan,
        })
    }

    /// What people read.
    pub fn lines(&self) -> Vec<String> {
        let price = &self.price;
        let method = match self.plan.linear {
            Method::HeSlots => "he-slots",
            Method::HeCoefficients => "he-coefficients",
        };
        // A server does not keep keys of rotations for a connection that waits.
        let often = if self.key_bytes[1] > 0 { "for each bundle" } else { "once a connection" };
        let both = |[client, server]: [u64; 2]| {
            format!("{} from the client, {} from the server", bytes(client), bytes(server))
        };
        vec![
            match self.plan.garbler {
                Garbler::Server => format!("stages      {}, one round trip each", price.stages),
                Garbler::Client => {
                    format!(
                        "stages      {}, one round trip each and one more; the client garbles",
                        price.stages
                    )
                }
            },
            format!(
                "encryption  {method}, ring degree {}, {} primes; keys of {} {often}, {} of ciphertexts sent, {} returned, offline",
                self.plan.degree,
                self.plan.primes.len(),
                bytes(self.key_bytes[0] + self.key_bytes[1]),
                bytes(price.ciphertext_bytes[0]),
                bytes(price.ciphertext_bytes[1])
            ),
            format!(
                "gates       {} AND for {} activations, shares of {} bits",
                price.ands, price.activations, price.ring
            ),
            format!(
                "offline     {}; {:.0} bytes an activation, ciphertexts aside",
                both(price.offline_bytes),
                self.offline_bytes_per_activation
            ),
            format!(
                "online      {}; {:.0} bytes an activation",
                both(price.online_bytes),
                self.online_bytes_per_activation
            ),
            format!(
                "a bundle    {} at the client, {} at the server, for one prediction",
                bytes(price.stored_bytes[0]),
                bytes(price.stored_bytes[1])
            ),
        ]
    }
}
