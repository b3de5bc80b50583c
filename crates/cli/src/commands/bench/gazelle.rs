//! Gazelle (USENIX Security '18): its kernels, and its networks on MNIST and CIFAR-10, before and after the input is known.

use protocol::interactive::{Method, Plan};
use protocol::shape::Link;
use protocol::{Reveal, interactive};

use super::Arguments;
use super::private::{Run, measure};
use super::table::{Figures, Row, Table, heading};
use crate::choice::{Numbers, Protocol};
use crate::failure::Failure;
use crate::source::{Number, Source};

/// The table `gazelle`.
pub struct Gazelle;

/// A network of the paper, with what it says of it: seconds and megabytes, offline and online. The text at hand lacks these
/// tables; the figures are those of the field's notes, and their bytes agree with the paper's cost of an activation.
struct Network {
    row: &'static str,
    generated: &'static str,
    file: &'static str,
    layers: &'static str,
    seconds: [f64; 2],
    megabytes: [f64; 2],
}

const NETWORKS: [Network; 5] = [
    Network {
        row: "network A",
        generated: "builtin:gazelle-a",
        file: "gazelle_a.onnx",
        layers: "784-128FC-square-128FC-square-10FC",
        seconds: [0.0, 0.03],
        megabytes: [0.0, 0.5],
    },
    Network {
        row: "network B",
        generated: "builtin:gazelle-b",
        file: "gazelle_b.onnx",
        layers: "28x28-5C2-square-100FC-square-10FC",
        seconds: [0.0, 0.03],
        megabytes: [0.0, 0.5],
    },
    Network {
        row: "network C",
        generated: "builtin:gazelle-c",
        file: "gazelle_c.onnx",
        layers: "28x28-5C2-ReLU-100FC-ReLU-10FC",
        seconds: [0.15, 0.05],
        megabytes: [5.9, 2.1],
    },
    Network {
        row: "network D",
        generated: "builtin:gazelle-d",
        file: "minionn_mnist.onnx",
        layers: "28x28-16C-ReLU-MP2-16C-ReLU-MP2-100FC-ReLU-10FC",
        seconds: [0.481, 0.33],
        megabytes: [47.5, 22.5],
    },
    Network {
        row: "CIFAR-10",
        generated: "builtin:gazelle-cifar10",
        file: "minionn_cifar10.onnx",
        layers: "32x32x3, seven convolutions with ReLU, two average pools, 10FC",
        seconds: [9.34, 3.56],
        megabytes: [940.0, 296.0],
    },
];

/// The links, by the words of `--link`; the first is loopback as it is.
const LINKS: [Option<&str>; 3] = [None, Some("lan"), Some("wan")];

impl Table for Gazelle {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        heading(
            arguments,
            &[
                "Gazelle (Juvekar, Vaikuntanathan, Chandrakasan, USENIX Security 2018): networks on MNIST and CIFAR-10.",
                "Here: two processes over TLS on loopback, slowed to a link where the row says so; the scores are checked",
                "against the integer reference. Set-up (keys, base transfers) is a column of its own.",
                "The paper's figures are quoted at second hand: the text at hand lacks its tables. Their bytes agree with its cost of an",
                "activation; for networks A and B (0.5 MB) they do not agree with its introduction, which says 0.05 MB.",
                "The paper measured between two machines of one data centre: its seconds stand beside every link, and have no counterpart on wan,",
                "where a stage of a network is two round trips whatever is computed.",
            ],
        )?;
        let kernels = super::kernels::run(arguments)?;
        let rows = NETWORKS.iter().flat_map(|network| LINKS.map(|link| (network, link)));
        let wanted = rows.filter(|(network, link)| arguments.wants(&network.name(*link)));
        let networks: usize =
            wanted.map(|(network, link)| network.run(arguments, link)).sum::<Result<_, _>>()?;
        let slots = NETWORKS.iter().filter(|network| arguments.wants(&network.in_slots()));
        let slots: usize = slots.map(|network| network.run_in_slots(arguments)).sum::<Result<_, _>>()?;
        Ok(kernels + networks + slots)
    }
}

impl Network {
    fn name(&self, link: Option<&str>) -> String {
        link.map_or_else(|| self.row.to_owned(), |link| format!("{}, {link}", self.row))
    }

    fn in_slots(&self) -> String {
        format!("{}, he-slots", self.row)
    }

    /// The paper's own method.
    fn run_in_slots(&self, arguments: &Arguments) -> Result<usize, Failure> {
        self.measure(arguments, None, Method::HeSlots)
    }

    fn run(&self, arguments: &Arguments, link: Option<&str>) -> Result<usize, Failure> {
        self.measure(arguments, link, Method::HeCoefficients)
    }

    fn measure(&self, arguments: &Arguments, link: Option<&str>, method: Method) -> Result<usize, Failure> {
        let (path, origin) = match arguments.network(self.file) {
            Some(path) => (path.to_string_lossy().into_owned(), "the given network"),
            None => (self.generated.to_owned(), "weights from a seed"),
        };
        let source = Source::load(&path, &Numbers::default())?;
        let number = if method == Method::HeSlots { Number::InSlots } else { Number::Of(Protocol::Gazelle) };
        let (graph, _) = source.quantise(number)?;
        let shape: Option<Link> = link.and_then(|link| link.parse().ok());
        let plan = Plan::choose_for(&graph, method, shape.unwrap_or(Link::LAN)).map_err(Failure::running)?;
        let circuits = plan.price(&graph, Reveal::Scores).map_err(Failure::running)?;
        let linear = if method == Method::HeSlots { "he-slots" } else { "he-coefficients" };
        let slowed: Vec<&str> = link.iter().flat_map(|link| ["--link", link]).collect();
        let serving = [&["--linear", linear], slowed.as_slice()].concat();
        let run =
            Run { source: &source, protocol: Protocol::Gazelle, number, server: &serving, client: &slowed };
        let cost = measure(&run)?;
        let [setup, offline, online] = cost.phases;
        let measured = Figures::default()
            .real("offline_seconds", offline.seconds)
            .real("online_seconds", online.seconds)
            .real("total_seconds", offline.seconds + online.seconds)
            .whole("offline_bytes", offline.bytes)
            .whole("online_bytes", online.bytes)
            .whole("total_bytes", offline.bytes + online.bytes)
            .real("setup_seconds", setup.seconds)
            .whole("setup_bytes", setup.bytes)
            .whole("activations", circuits.activations)
            .whole("and_gates", circuits.ands)
            .whole("ring_degree", plan.degree as u64)
            .whole("client_peak_rss_bytes", cost.client_rss)
            .whole("server_peak_rss_bytes", cost.server_rss);
        let on = shape.map_or_else(|| "loopback".to_owned(), |link| format!("a link of {link}"));
        let note = format!("{}, {origin}, {on}", self.layers);
        let row = if method == Method::HeSlots { self.in_slots() } else { self.name(link) };
        let row = Row { table: "gazelle-networks", row, measured, paper: self.paper(), note };
        row.print(arguments.json)?;
        Ok(1)
    }

    fn paper(&self) -> Figures {
        let bytes = |megabytes: f64| (megabytes * 1e6) as u64;
        Figures::default()
            .real("offline_seconds", self.seconds[0])
            .real("online_seconds", self.seconds[1])
            .real("total_seconds", self.seconds.iter().sum())
            .whole("offline_bytes", bytes(self.megabytes[0]))
            .whole("online_bytes", bytes(self.megabytes[1]))
            .whole("total_bytes", bytes(self.megabytes.iter().sum()))
    }
}
