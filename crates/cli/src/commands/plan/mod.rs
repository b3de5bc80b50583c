//! `oribi plan`: what a network would cost, and what training makes of it.

mod budget;
mod cost;
mod progress;
mod search;
mod train;

use std::cell::OnceCell;
use std::path::PathBuf;

use oribi::Fingerprint;
use planner::prune::Mask;
use protocol::shape::Link;

use budget::Seconds;

use crate::choice::{Numbers, Output, Size};
use crate::client;
use crate::failure::Failure;

/// Say what each protocol would cost, train a network, prune it, or find out which of its activations can be quadratic.
///
/// Without --train, seconds and bytes of every choice on a link, layer by layer, which is best, and what many inputs in one pass take. With --train and --min-accuracy,
/// Delphi's search: networks with more and more quadratic activations, each a standard ONNX file in the folder --out, with a table and a
/// picture of accuracy against cost. With --prune, DeepSecure's: fewer products, and a side file that makes the places of zeros public.
/// --projection-error trains on fewer coordinates of the data, pruned or not. With none of them, training alone.
#[derive(clap::Args)]
pub struct Arguments {
    /// The network, an ONNX file.
    #[arg(value_name = "MODEL")]
    model: String,
    /// Labelled examples: a folder with MNIST's files, an IDX file of pictures, or an .npz with an array "labels".
    #[arg(long, value_name = "DATA", requires = "out")]
    train: Option<String>,
    /// Where the labels are, if not beside the pictures.
    #[arg(long, value_name = "FILE", requires = "train")]
    labels: Option<String>,
    /// Examples that training never sees, to measure the result on; by default the test set of the same folder. Without one a search
    /// measures on the fifth of --train that it holds out.
    #[arg(long, value_name = "DATA", requires = "train")]
    test: Option<String>,
    /// Where the labels of --test are.
    #[arg(long, value_name = "FILE", requires = "test")]
    test_labels: Option<String>,
    /// Use only so many examples.
    #[arg(long, value_name = "COUNT", requires = "train")]
    examples: Option<usize>,
    /// The folder for what results; it is made.
    #[arg(long, value_name = "FOLDER", requires = "train")]
    out: Option<PathBuf>,
    /// The link that costs are for: loopback, lan, wan, RATE,RTT such as 400mbit,40ms, or UP/DOWN,RTT such as 20mbit/100mbit,40ms.
    #[arg(long, value_name = "LINK", default_value = "loopback", value_parser = link)]
    link: Way,
    /// Instead of --link: measure the link to a running server (oribi serve, whatever it serves), its round trip and its bandwidth both ways.
    /// It takes a second or so and 16 MB at most.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "link")]
    server: Option<String>,
    /// The fingerprint of that server's certificate, as `oribi serve` prints it; without it, the one seen at first contact.
    #[arg(long, value_name = "FINGERPRINT", requires = "server")]
    fingerprint: Option<Fingerprint>,
    /// The link to --server, once it is measured.
    #[arg(skip)]
    measured: OnceCell<client::Way>,
    /// Costs: what the client is to learn; choices that cannot keep to it are left out.
    #[arg(long, value_name = "WHAT", default_value = "scores")]
    output: Output,
    /// Costs: show every layer of every choice, not of the best alone.
    #[arg(long, conflicts_with = "train")]
    layers: bool,
    #[command(flatten)]
    numbers: Numbers,
    /// Search for networks with quadratic activations of at least this accuracy, such as 0.987.
    #[arg(long, value_name = "SHARE", requires = "train")]
    min_accuracy: Option<f64>,
    /// A search's budget: at most so long from the input to the prediction, such as 1s or 250ms, on --link. The most accurate network
    /// within it is chosen, with its protocol.
    #[arg(long, value_name = "TIME", requires = "min_accuracy")]
    max_online: Option<Seconds>,
    /// A search's budget: at most so many bytes of a prediction, both phases, such as 20MB.
    #[arg(long, value_name = "SIZE", requires = "min_accuracy")]
    max_bytes: Option<Size>,
    /// Prune until this share of the products stays, such as 0.1. With --min-accuracy the networks that were found are pruned too: all of
    /// them, or with a budget those that pruning brings within it.
    #[arg(long, value_name = "SHARE", requires = "train")]
    prune: Option<f64>,
    /// Project the data onto as few coordinates as leave out at most this share of their norm, such as 0.3, and train on these. Clients
    /// multiply their inputs by the published basis (--projection) before the protocol. For networks that begin with a fully connected layer.
    #[arg(long, value_name = "SHARE", conflicts_with = "min_accuracy", requires = "train")]
    projection_error: Option<f64>,
    /// Which weights are pruned: free (the smallest; their places tell something of the weights), block:N (blocks of N x N), or seed:N
    /// (those that a public number says; tells nothing).
    #[arg(long, value_name = "KIND", default_value = "free", value_parser = mask, requires = "prune")]
    mask: Mask,
    /// Passes over the data; for a search those of one step of a population.
    #[arg(long, value_name = "COUNT", requires = "train")]
    epochs: Option<usize>,
    /// Examples a step.
    #[arg(long, value_name = "COUNT", default_value_t = 64, requires = "train")]
    batch: usize,
    /// The rate at the start.
    #[arg(long, value_name = "RATE", requires = "train")]
    rate: Option<f64>,
    /// Plain gradient descent with this momentum, instead of Adam.
    #[arg(long, value_name = "SHARE", requires = "train")]
    momentum: Option<f64>,
    /// Move pictures by up to so many pixels at random.
    #[arg(
        long,
        value_name = "PIXELS",
        default_value_t = 0,
        requires = "train",
        conflicts_with = "projection_error"
    )]
    shift: usize,
    /// Mirror pictures, left to right, half of the time.
    #[arg(long, requires = "train", conflicts_with = "projection_error")]
    flip: bool,
    /// The number that everything random comes from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "train")]
    seed: u64,
    /// Members of a population.
    #[arg(long, value_name = "COUNT", default_value_t = 4, requires = "min_accuracy")]
    population: usize,
    /// Steps of a population over placements, and over rates.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = one_or_more, requires = "min_accuracy")]
    steps: usize,
    /// Threads of a search.
    #[arg(long, value_name = "COUNT", default_value_t = 2, requires = "min_accuracy")]
    workers: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn one_or_more(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("wanted a number from 1".to_owned()),
    }
}

fn mask(text: &str) -> Result<Mask, String> {
    let wrong = || "wanted free, block:N or seed:N".to_owned();
    match text.split_once(':') {
        None if text == "free" => Ok(Mask::Free),
        Some(("block", side)) => side.parse().map(Mask::Block).map_err(|_| wrong()),
        Some(("seed", seed)) => seed.parse().map(Mask::Seed).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// A link, or none: both parties on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Way(Option<Link>);

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("loopback"),
            Some(link) => link.fmt(f),
        }
    }
}

fn link(text: &str) -> Result<Way, String> {
    match text {
        "loopback" => Ok(Way(None)),
        other => other.parse().map(|link| Way(Some(link))),
    }
}

impl Arguments {
    /// The link that costs are for.
    fn way(&self) -> Way {
        self.measured.get().map_or(self.link, |way| Way(way.link))
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(server) = &arguments.server {
        let _ = arguments.measured.set(client::measure(server, arguments.fingerprint)?);
    }
    match (&arguments.train, &arguments.out) {
        (Some(data), Some(folder)) => train::run(arguments, data, folder),
        _ => cost::run(arguments),
    }
}
