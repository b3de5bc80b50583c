//! DeepSecure (DAC '18): the gates of Table 2's elements, and Table 3's four networks, each as one garbled circuit.

use garble::elements::{Element, elements};
use protocol::Reveal;
use protocol::garbled::{FirstLayer, price};

use super::Arguments;
use super::private::{Run, measure};
use super::table::{Figures, Row, Table, heading};
use crate::choice::{Numbers, Protocol};
use crate::console::note;
use crate::failure::Failure;
use crate::source::{Number, Source};

/// The table `deepsecure`.
pub struct DeepSecure;

/// A row of Table 3.
struct Benchmark {
    number: usize,
    network: &'static str,
    /// Whether it takes more than a minute on two cores.
    long: bool,
    xors: u64,
    non_xors: u64,
    bytes: u64,
    computation: f64,
    execution: f64,
}

const BENCHMARKS: [Benchmark; 4] = [
    Benchmark {
        number: 1,
        network: "28x28-5C2-ReLU-100FC-ReLU-10FC",
        long: false,
        xors: 43_100_000,
        non_xors: 24_700_000,
        bytes: 791_000_000,
        computation: 1.98,
        execution: 9.67,
    },
    Benchmark {
        number: 2,
        network: "28x28-300FC-Sigmoid-100FC-Sigmoid-10FC",
        long: false,
        xors: 109_000_000,
        non_xors: 62_300_000,
        bytes: 1_990_000_000,
        computation: 4.99,
        execution: 24.37,
    },
    Benchmark {
        number: 3,
        network: "617-50FC-Tanh-26FC",
        long: false,
        xors: 13_200_000,
        non_xors: 7_540_000,
        bytes: 241_000_000,
        computation: 0.60,
        execution: 2.95,
    },
    Benchmark {
        number: 4,
        network: "5625-2000FC-Tanh-500FC-Tanh-19FC",
        long: true,
        xors: 4_890_000_000,
        non_xors: 2_810_000_000,
        bytes: 89_800_000_000,
        computation: 224.5,
        execution: 1098.3,
    },
];

impl Table for DeepSecure {
    fn name(&self) -> &'static str {
        "deepsecure"
    }

    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        if arguments.preprocessed {
            return super::planner::preprocessed(arguments);
        }
        heading(
            arguments,
            &[
                "DeepSecure (Rouhani, Riazi, Koushanfar, DAC 2018), Table 2: gates of a network's elements, in words of 16 bits;",
                "Table 3: a network as one garbled circuit.",
                "Here: two processes over TLS on loopback, the scores checked against the integer reference.",
            ],
        )?;
        let elements = elements();
        let counted = elements.iter().filter(|element| arguments.wants(element.name));
        let counted =
            counted.map(|element| count(element, arguments.json)).sum::<Result<usize, Failure>>()?;
        let forms = [FirstLayer::Garbled, FirstLayer::Ot];
        let rows = BENCHMARKS.iter().flat_map(|benchmark| forms.map(|first| (benchmark, first)));
        let wanted = rows.filter(|(benchmark, first)| arguments.wants(&benchmark.row(*first)));
        let run: usize =
            wanted.map(|(benchmark, first)| benchmark.run(arguments, first)).sum::<Result<_, Failure>>()?;
        Ok(counted + run + large(arguments)?)
    }
}

/// Activations that do not fit in memory as labels: what both parties have of it.
fn large(arguments: &Arguments) -> Result<usize, Failure> {
    const ROW: &str = "activations of 64 x 224 x 224";
    if !arguments.wants(ROW) {
        return Ok(0);
    }
    let source = Source::load("builtin:deepsecure-large", &Numbers::default())?;
    let (graph, _) = source.quantise(Number::Of(Protocol::DeepSecure))?;
    let gates = price(&graph, Reveal::Scores, FirstLayer::Ot);
    let measured = Figures::default()
        .whole("xor_gates", gates.xors)
        .whole("non_xor_gates", gates.ands + gates.known_ands);
    let (measured, extent) = if arguments.wants_long(ROW) {
        note(&format!("{ROW} take a few minutes."));
        let run = Run {
            source: &source,
            protocol: Protocol::DeepSecure,
            number: Number::Of(Protocol::DeepSecure),
            server: &[],
            client: &[],
        };
        (measure(&run)?.figures(measured), "run")
    } else {
        (measured, "counted, not run: it takes minutes, and --full runs it")
    };
    let note =
        format!("3x224x224-64C3-ReLU-pools-10FC, weights from a seed, first layer by transfers, {extent}");
    Row { table: "deepsecure-memory", row: ROW.into(), measured, paper: Figures::default(), note }
        .print(arguments.json)?;
    Ok(1)
}

/// Prints a row of Table 2.
fn count(element: &Element, json: bool) -> Result<usize, Failure> {
    let gates = element.counts;
    let measured = Figures::default()
        .whole("xor_gates", gates.xors)
        .whole("non_xor_gates", element.non_xors())
        .whole("table_bytes", gates.table_bytes());
    let paper = element.paper.map_or(Figures::default(), |(xors, non_xors)| {
        // Half gates there too: two rows of 16 bytes each.
        Figures::default()
            .whole("xor_gates", xors)
            .whole("non_xor_gates", non_xors)
            .whole("table_bytes", 32 * non_xors)
    });
    let known = match gates.known_ands {
        0 => String::new(),
        known => format!(
            "{known} of the non-XOR gates have an operand that the evaluator knows, and one row for two"
        ),
    };
    let notes = [known.as_str(), element.remark];
    let note = notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ");
    Row { table: "deepsecure-2", row: element.name.into(), measured, paper, note }.print(json)?;
    Ok(1)
}

impl Benchmark {
    fn row(&self, first: FirstLayer) -> String {
        match first {
            FirstLayer::Garbled => format!("benchmark {}", self.number),
            FirstLayer::Ot => format!("benchmark {}, first layer by transfers", self.number),
        }
    }

    fn run(&self, arguments: &Arguments, first: FirstLayer) -> Result<usize, Failure> {
        let row = self.row(first);
        let long = self.long && first == FirstLayer::Garbled;
        let (path, origin) = self.network(arguments);
        let source = Source::load(&path, &Numbers::default())?;
        let (graph, _) = source.quantise(Number::Of(Protocol::DeepSecure))?;
        let gates = price(&graph, Reveal::Scores, first);
        let measured = Figures::default()
            .whole("xor_gates", gates.xors)
            .whole("non_xor_gates", gates.ands + gates.known_ands);
        let (measured, extent) = if long && !arguments.wants_long(&row) {
            (measured, "counted, not run: it takes minutes, and --full runs it")
        } else {
            if long {
                note(&format!("{row} takes a few minutes."));
            }
            let form = ["--first-layer", first.name()];
            let run = Run {
                source: &source,
                protocol: Protocol::DeepSecure,
                number: Number::Of(Protocol::DeepSecure),
                server: &form,
                client: &[],
            };
            (measure(&run)?.figures(measured), "run")
        };
        let note = format!("{}, {origin}, {extent}", self.network);
        Row { table: "deepsecure-3", row, measured, paper: self.paper(), note }.print(arguments.json)?;
        Ok(1)
    }

    /// The network to be measured, and what it is.
    fn network(&self, arguments: &Arguments) -> (String, &'static str) {
        let file = format!("deepsecure_b{}.onnx", self.number);
        match arguments.network(&file) {
            Some(path) => (path.to_string_lossy().into_owned(), "the given network"),
            None => (format!("builtin:deepsecure-{}", self.number), "weights from a seed"),
        }
    }

    fn paper(&self) -> Figures {
        Figures::default()
            .whole("xor_gates", self.xors)
            .whole("non_xor_gates", self.non_xors)
            .whole("communication_bytes", self.bytes)
            .real("computation_seconds", self.computation)
            .real("execution_seconds", self.execution)
    }
}
