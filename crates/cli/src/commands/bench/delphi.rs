//! Delphi (USENIX Security '20): its networks before and after the input is known, its activations, and its figures.

use std::path::Path;

use protocol::Reveal;
use protocol::interactive::ahead::{self, Price};
use protocol::interactive::{Garbler, Method, Plan};
use protocol::shape::Link;

use super::plot::{Line, svg};
use super::private::{Cost, Run, measure, measure_batch, measure_stored};
use super::table::{Figures, Row, Table, heading};
use super::{Arguments, clients, convolutions};
use crate::choice::{Numbers, Protocol};
use crate::failure::Failure;
use crate::networks::residual::CONFIGURATIONS;
use crate::source::{Number, Source};

/// The table `delphi`.
pub struct Delphi;

/// A network and who garbles, and what the paper says of it, as far as its text has figures: online seconds and bytes.
struct Network {
    row: &'static str,
    generated: &'static str,
    file: Option<&'static str>,
    paper: Option<(f64, u64)>,
    garbler: &'static str,
    note: &'static str,
}

const NETWORKS: [Network; 5] = [
    Network {
        row: "network C",
        generated: "builtin:gazelle-c",
        file: Some("deepsecure_b1.onnx"),
        paper: None,
        garbler: "server",
        note: "Gazelle's network C, 1080 ReLUs, all garbled",
    },
    Network {
        row: "MiniONN CIFAR-10",
        generated: "builtin:gazelle-cifar10",
        file: Some("minionn_cifar10.onnx"),
        paper: None,
        garbler: "server",
        note: "173 056 ReLUs, all garbled",
    },
    Network {
        row: "ResNet-32",
        generated: "builtin:delphi-resnet32-0",
        file: Some("resnet32_cifar100.onnx"),
        // The paper's estimate of Gazelle, which garbles every ReLU.
        paper: Some((82.0, 600_000_000)),
        garbler: "server",
        note: "303 104 ReLUs, all garbled; the paper's figures are its estimate of Gazelle",
    },
    Network {
        row: "ResNet-32, 26 quadratic",
        generated: "builtin:delphi-resnet32-26",
        file: None,
        // Of its best planned network.
        paper: Some((3.8, 60_000_000)),
        garbler: "server",
        note: "26 of 31 layers of ReLUs are squares; the paper's figures are those of its best planned network",
    },
    Network {
        row: "ResNet-32, the client garbles",
        generated: "builtin:delphi-resnet32-0",
        file: Some("resnet32_cifar100.onnx"),
        paper: None,
        garbler: "client",
        note: "303 104 ReLUs; the server keeps what is garbled; the paper has no such role",
    },
];

/// Predictions from stored bundles, of which the quickest counts.
const STORED: usize = 3;

const LINKS: [Option<&str>; 3] = [None, Some("lan"), Some("wan")];

impl Table for Delphi {
    fn name(&self) -> &'static str {
        ahead::DELPHI
    }

    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        heading(
            arguments,
            &[
                "Delphi (Mishra, Lehmkuhl, Srinivasan, Zheng, Popa, USENIX Security 2020): before and after the input is known.",
                "Here: two processes over TLS on loopback, slowed to a link where the row says so; scores are checked against the",
                "integer reference. Rows \"stored\" read a bundle that an earlier process prepared, reading it included. The paper's machines were 20 ms apart. The bodies of its Tables 1 and 2 are not in the text at hand:",
                "of them it has \"over 80 times\" the time and \"over 150 times\" the bytes of Gazelle for a convolution online.",
            ],
        )?;
        let rows = NETWORKS.iter().flat_map(|network| LINKS.map(|link| (network, link)));
        let mut count = 0;
        for (network, link) in rows {
            for stored in [false, true] {
                if arguments.wants(&network.name(link, stored)) {
                    network.run(arguments, link, stored)?;
                    count += 1;
                }
            }
        }
        if arguments.wants_long(CLIENTS) {
            crowd(arguments)?;
            count += 1;
        }
        for inputs in [1, 8] {
            if arguments.wants(&together_row(inputs)) {
                together(arguments, inputs)?;
                count += 1;
            }
        }
        count += convolutions::run(arguments)?;
        for (row, activation) in [("ReLU", 0), ("quadratic", 26)] {
            if arguments.wants(row) {
                each(arguments, row, activation)?;
                count += 1;
            }
        }
        if arguments.wants("figure") || arguments.plots.is_some() {
            count += figures(arguments)?;
        }
        Ok(count)
    }
}

/// A network's source and what it costs by counting, the server garbling.
fn priced(path: &str) -> Result<(Source, Price), Failure> {
    priced_for(path, "server")
}

/// The same with either garbler.
fn priced_for(path: &str, garbler: &str) -> Result<(Source, Price), Failure> {
    let source = Source::load(path, &Numbers::default())?;
    let (graph, _) = source.quantise(Number::Of(Protocol::Delphi))?;
    let plan = Plan::choose(&graph, Method::HeCoefficients).map_err(Failure::running)?;
    let garbler = if garbler == "client" { Garbler::Client } else { Garbler::Server };
    let plan = Plan { garbler, ..plan };
    let price = ahead::price((&graph, &plan), Reveal::Scores).map_err(Failure::running)?;
    Ok((source, price))
}

/// Predictions over a link that both sides slow down by these options.
fn over<'a>(source: &'a Source, slowed: &'a [&'a str]) -> Run<'a> {
    let protocol = Protocol::Delphi;
    Run { source, protocol, number: Number::Of(protocol), server: slowed, client: slowed }
}

impl Network {
    fn name(&self, link: Option<&str>, stored: bool) -> String {
        let link = link.map_or_else(String::new, |link| format!(", {link}"));
        format!("{}{}{link}", self.row, if stored { ", stored" } else { "" })
    }

    /// Where the network is, and where it comes from.
    fn path(&self, arguments: &Arguments) -> (String, &'static str) {
        match self.file.and_then(|file| arguments.network(file)) {
            Some(path) => (path.to_string_lossy().into_owned(), "the given network"),
            None => (self.generated.to_owned(), "weights from a seed"),
        }
    }

    fn run(&self, arguments: &Arguments, link: Option<&str>, stored: bool) -> Result<(), Failure> {
        let (path, origin) = self.path(arguments);
        let (source, price) = priced_for(&path, self.garbler)?;
        let slowed: Vec<&str> = link.iter().flat_map(|link| ["--link", link]).collect();
        let serving = [&["--garbler", self.garbler], slowed.as_slice()].concat();
        let run = Run { server: &serving, ..over(&source, &slowed) };
        let (cost, measured) = if stored {
            let (cost, preparing) = measure_stored(&run, STORED)?;
            (cost, Figures::default().real("preparing_seconds", preparing))
        } else {
            let cost = measure(&run)?;
            let [setup, offline, _] = cost.phases;
            let figures = Figures::default()
                .real("offline_seconds", offline.seconds)
                .whole("offline_bytes", offline.bytes)
                .real("setup_seconds", setup.seconds)
                .whole("setup_bytes", setup.bytes);
            (cost, figures)
        };
        let measured = with_online(measured, &cost, &price);
        let paper = self.paper.map_or_else(Figures::default, |(seconds, bytes)| {
            Figures::default().real("online_seconds", seconds).whole("online_bytes", bytes)
        });
        let on = match link.map(str::parse::<Link>) {
            Some(Ok(link)) => format!("a link of {link}"),
            _ => "loopback".to_owned(),
        };
        let from = if stored { ", a bundle that was stored" } else { "" };
        let note = format!("{}; {origin}, {on}{from}", self.note);
        let row = self.name(link, stored);
        Row { table: "delphi-networks", row, measured, paper, note }.print(arguments.json)
    }
}

/// What was measured, with the online phase, what is counted, and memory.
fn with_online(measured: Figures, cost: &Cost, price: &Price) -> Figures {
    let measured = match cost.cpu_seconds {
        Some(seconds) => measured.real("processor_seconds", seconds),
        None => measured,
    };
    let online = cost.phases[2];
    measured
        .real("online_seconds", online.seconds)
        .whole("online_bytes", online.bytes)
        .whole("garbled_activations", price.activations)
        .whole("products_on_shares", price.products)
        .whole("and_gates", price.ands)
        .whole("ring_bits", u64::from(price.ring))
        .whole("stored_client_bytes", price.stored_bytes[0])
        .whole("stored_server_bytes", price.stored_bytes[1])
        .whole("client_peak_rss_bytes", cost.client_rss)
        .whole("server_peak_rss_bytes", cost.server_rss)
}

/// Many clients at once, each with a bundle.
const CLIENTS: &str = "64 clients";

/// A network of 1080 ReLUs, whose bundles of all clients fit anywhere.
fn crowd(arguments: &Arguments) -> Result<(), Failure> {
    let measured = clients::measure("builtin:gazelle-c", 64)?;
    let note = "Gazelle's network C, 1080 ReLUs: all predict at the same moment, each from a prepared bundle; loopback";
    let row = Row {
        table: "delphi-clients",
        row: CLIENTS.to_owned(),
        measured,
        paper: Figures::default(),
        note: note.to_owned(),
    };
    row.print(arguments.json)
}

/// A batch's row.
fn together_row(inputs: usize) -> String {
    format!("batch of {inputs}, wan")
}

/// Inputs of one command on the slow link: they share flights.
fn together(arguments: &Arguments, inputs: usize) -> Result<(), Failure> {
    let (source, _) = priced("builtin:gazelle-c")?;
    let cost = measure_batch(&over(&source, &["--link", "wan"]), inputs)?;
    let measured = Figures::default()
        .whole("inputs", inputs as u64)
        .real("online_seconds", cost.online_seconds)
        .real("online_seconds_each", cost.online_seconds / inputs as f64)
        .whole("online_bytes", cost.phases[2].bytes);
    let note = "Gazelle's network C, 1080 ReLUs; the paper has no batches of private inputs".to_owned();
    let row = together_row(inputs);
    Row { table: "delphi-batches", row, measured, paper: Figures::default(), note }.print(arguments.json)
}

/// Table 3: bytes of an activation, ciphertexts aside, by counting.
fn each(arguments: &Arguments, row: &str, squares: usize) -> Result<(), Failure> {
    let (_, price) = priced(&format!("builtin:delphi-resnet32-{squares}"))?;
    let each = |bytes: u64, count: u64| bytes as f64 / count.max(1) as f64;
    let (measured, paper) = if squares == 0 {
        let sum = |both: [u64; 2]| both[0] + both[1];
        let offline = sum(price.offline_bytes) - sum(price.ciphertext_bytes);
        ([offline, sum(price.online_bytes)].map(|bytes| each(bytes, price.activations)), [17_500.0, 2_048.0])
    } else {
        (price.product_bytes.map(|bytes| each(bytes, price.products)), [152.0, 10.7])
    };
    let columns = |[offline, online]: [f64; 2]| {
        Figures::default().real("offline_bytes_each", offline).real("online_bytes_each", online)
    };
    let note = "by counting, in ResNet-32, ciphertexts aside; the paper's table is not in the text at hand, its figures are the field's notes";
    let row = Row {
        table: "delphi-3",
        row: row.to_owned(),
        measured: columns(measured),
        paper: columns(paper),
        note: note.to_owned(),
    };
    row.print(arguments.json)
}

/// The links of the figures' seconds, with the names of their columns.
const TIMED: [(&str, [&str; 2]); 2] = [
    ("lan", ["lan_offline_seconds", "lan_online_seconds"]),
    ("wan", ["wan_offline_seconds", "wan_online_seconds"]),
];

/// What is drawn against the number of quadratic layers: the paper's Figures 10 to 13.
#[derive(Default)]
struct Curves {
    /// MB of preprocessing, of the online phase, and of a stored bundle.
    bytes: [Vec<(f64, f64)>; 3],
    /// Seconds of preprocessing and of the online phase, link by link.
    seconds: [[Vec<(f64, f64)>; 2]; 2],
}

/// The figures: bytes against the number of quadratic layers, and seconds where rows that take minutes are wanted.
fn figures(arguments: &Arguments) -> Result<usize, Failure> {
    let mut curves = Curves::default();
    for (squares, relus) in CONFIGURATIONS {
        let (source, price) = priced(&format!("builtin:delphi-resnet32-{squares}"))?;
        let sum = |both: [u64; 2]| both[0] + both[1];
        let across = squares as f64;
        let bytes = [sum(price.offline_bytes), sum(price.online_bytes), price.stored_bytes[0]];
        curves.bytes.iter_mut().zip(bytes).for_each(|(curve, b)| curve.push((across, b as f64 / 1e6)));
        let mut measured = Figures::default()
            .whole("quadratic_layers", squares as u64)
            .whole("garbled_activations", price.activations)
            .whole("offline_bytes", bytes[0])
            .whole("online_bytes", bytes[1])
            .whole("stored_client_bytes", bytes[2]);
        for ((link, columns), curves) in TIMED.iter().zip(&mut curves.seconds) {
            if arguments.full {
                let [_, offline, online] = measure(&over(&source, &["--link", link]))?.phases;
                for ((column, phase), curve) in columns.iter().zip([offline, online]).zip(curves) {
                    measured = measured.real(column, phase.seconds);
                    curve.push((across, phase.seconds));
                }
            }
        }
        // The paper's cost of a ReLU, times those that are left.
        let paper = Figures::default()
            .whole("quadratic_layers", squares as u64)
            .whole("garbled_activations", relus as u64)
            .whole("offline_bytes", relus as u64 * 17_500)
            .whole("online_bytes", relus as u64 * 2_048);
        let row = format!("figure, {squares} quadratic layers");
        let note = "bytes by counting, in ResNet-32, seconds with --full; the paper's cost of a ReLU times their number";
        Row { table: "delphi-figures", row, measured, paper, note: note.to_owned() }.print(arguments.json)?;
    }
    if let Some(folder) = &arguments.plots {
        curves.draw(folder)?;
    }
    Ok(CONFIGURATIONS.len())
}

impl Curves {
    fn draw(self, folder: &Path) -> Result<(), Failure> {
        let [offline, online, stored] = self.bytes;
        let [lan, wan] = self.seconds;
        let ([lan_offline, lan_online], [wan_offline, wan_online]) = (lan, wan);
        let one = |name, points| vec![Line { name, points }];
        let both = |lan, wan| vec![Line { name: "lan", points: lan }, Line { name: "wan", points: wan }];
        let drawn = [
            ("delphi-online.svg", "Online, ResNet-32", "MB", one("online", online)),
            ("delphi-offline.svg", "Preprocessing, ResNet-32", "MB", one("offline", offline)),
            ("delphi-stored.svg", "A client's bundle, ResNet-32", "MB", one("stored", stored)),
            ("delphi-online-seconds.svg", "Online, ResNet-32", "seconds", both(lan_online, wan_online)),
            (
                "delphi-offline-seconds.svg",
                "Preprocessing, ResNet-32",
                "seconds",
                both(lan_offline, wan_offline),
            ),
        ];
        for (name, title, unit, lines) in drawn {
            if lines.iter().all(|line| line.points.is_empty()) {
                continue;
            }
            let path = folder.join(name);
            std::fs::write(&path, svg(title, ["quadratic layers", unit], &lines)).map_err(|error| {
                Failure::running(format!("{}: cannot be written: {error}", path.display()))
            })?;
        }
        Ok(())
    }
}
