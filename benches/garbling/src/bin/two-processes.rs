//! AND gates a second end to end: one dense layer, or the network of an ONNX file, as one garbled circuit between two
//! processes over loopback, on a plain socket and under TLS, both sharing this machine's cores.
//!
//! `cargo run --release --bin two-processes -- [plain|tls] [MODEL.onnx [WEIGHT_BITS] | ROWS COLUMNS [INPUT_BITS [WEIGHT_BITS]]]`
//!
//! Beside the wall clock stands what the processes' own processor time comes to on two cores, which other work on the
//! machine does not change. A pair of half gates is 32 bytes of tables; a gate whose operand the evaluator knows is half of
//! one.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, ParamData, ParamInfo, Params, Post};
use model::quantise::{Options, WeightBits, quantise};
use model::ranges::Ranges;
use oribi::{Identity, tls};
use protocol::Reveal;
use protocol::channel::Transport;
use protocol::garbled::{BaseOt, FirstLayer, Options as Garbling, Part, client, price, server};
use protocol::session::{Limits, Session};

/// DeepSecure's own form, every layer garbled.
const PURE: Garbling = Garbling {
    base_ot: BaseOt::Ristretto,
    first_layer: FirstLayer::Garbled,
    part: Part::Client,
    session: None,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is computed.
struct Network {
    graph: FixedGraph,
    params: Params,
    input: Vec<Vec<i64>>,
}

/// A number of `bits` bits that depends on `i` alone.
fn draw(i: u64, bits: u32) -> i64 {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as i64) >> (64 - bits)
}

impl Network {
    /// From the arguments.
    fn read(arguments: &[String]) -> Outcome<Self> {
        let number = |i: usize, default: usize| arguments.get(i).map_or(Ok(default), |text| text.parse());
        match arguments.first().filter(|name| name.ends_with(".onnx")) {
            Some(model) => Self::open(model, arguments.get(1).map(|bits| bits.parse()).transpose()?),
            None => Ok(Self::dense(
                number(0, 256)?,
                number(1, 2048)?,
                number(2, 16)? as u32,
                number(3, 8)? as u32,
            )),
        }
    }

    /// An ONNX file's network, ranges from generated inputs, on the first of them.
    fn open(path: &str, weight_bits: Option<u32>) -> Outcome<Self> {
        let (graph, side) = model::open(path.as_ref())?;
        let ranges = Ranges::measure(&graph, &side, &[])?;
        let options = Options {
            weight_bits: weight_bits.map_or(WeightBits::Auto, WeightBits::Fixed),
            ..Options::word16()
        };
        let (fixed, params) = quantise(&graph, &ranges, &options)?;
        let sample = ranges.samples.first().ok_or("no sample")?;
        let input = sample.iter().enumerate().map(|(i, tensor)| fixed.quantise_input(i, tensor.data()));
        let input = input.collect::<Result<_, _>>()?;
        Ok(Self { graph: fixed, params, input })
    }

    fn dense(rows: usize, columns: usize, input_bits: u32, weight_bits: u32) -> Self {
        let format = |bits| Format { bits, frac: 8 };
        let op = Op::Dense { weight: 0, bias: 1, shift: vec![weight_bits + 8] };
        let nodes = vec![
            Node {
                name: "input".into(),
                op: Op::Input,
                inputs: vec![],
                shape: vec![1, columns],
                format: format(input_bits),
            },
            Node { name: "layer".into(), op, inputs: vec![0], shape: vec![1, rows], format: format(16) },
        ];
        let info = |shape: &[usize], bits| ParamInfo {
            name: String::new(),
            shape: shape.to_vec(),
            bits,
            support: None,
        };
        let graph = FixedGraph {
            number: NumberFormat::Word16,
            nodes,
            params: vec![info(&[rows, columns], weight_bits), info(&[rows], 16)],
            inputs: vec![0],
            outputs: vec![Output { name: "output".into(), node: 1, post: Post::None }],
            input_levels: Vec::new(),
            result_bits: Vec::new(),
        };
        let weights = (0..(rows * columns) as u64).map(|i| draw(i, weight_bits)).collect();
        let biases = (0..rows as u64).map(|i| draw(!i, 16)).collect();
        Self {
            graph,
            params: Params { tensors: vec![ParamData::I64(weights), ParamData::I64(biases)] },
            input: vec![(0..columns as u64).map(|i| draw(i << 32, input_bits)).collect()],
        }
    }
}

/// What a process has used: processor seconds, and the most memory at one time in MiB.
fn usage() -> Outcome<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Fields 14 and 15 of the line, in hundredths of a second.
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: f64 = peak.split_whitespace().next().unwrap_or("0").parse()?;
    Ok((ticks / 100.0, kib / 1024.0))
}

fn serve(stream: TcpStream, secure: bool, network: &Network) -> Outcome<()> {
    let transport = if secure {
        let config = tls::server_config(&Identity::ephemeral()?)?;
        tls::accept(stream, &config, Instant::now() + Duration::from_secs(10))?
    } else {
        Transport::tcp(stream)?
    };
    let mut session = Session::new(transport, Limits::default());
    server::predict(
        &network.graph,
        PURE,
        &network.params,
        Reveal::Scores,
        &mut session,
        &Seed::from_bytes([1; 32]),
    )?;
    session.close();
    Ok(())
}

/// The other process: garbles, and prints its seconds, processor seconds and memory.
fn garble(port: u16, secure: bool, network: &Network) -> Outcome<()> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    let transport = if secure {
        let name = rustls::pki_types::ServerName::try_from("localhost")?;
        tls::connect(stream, name, &tls::client_config()?, Instant::now() + Duration::from_secs(10))?.0
    } else {
        Transport::tcp(stream)?
    };
    let mut session = Session::new(transport, Limits::default());
    let (before, _) = usage()?;
    let start = Instant::now();
    let seed = Seed::from_bytes([2; 32]);
    let result =
        client::predict(&network.graph, PURE, &network.input, Reveal::Scores, &mut session, &seed, &())?;
    let seconds = start.elapsed().as_secs_f64();
    let (after, peak) = usage()?;
    if result != model::reference::run(&network.graph, &network.params, &network.input)? {
        return Err("the result is not the reference's".into());
    }
    println!("{seconds} {} {peak}", after - before);
    Ok(())
}

fn measure(secure: bool, network: &Network, sizes: &[String]) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let child = Command::new(std::env::current_exe()?)
        .args(["garble", &port, if secure { "tls" } else { "plain" }])
        .args(sizes)
        .stdout(Stdio::piped())
        .spawn()?;
    let stream = listener.accept()?.0;
    let (before, _) = usage()?;
    serve(stream, secure, network)?;
    let (after, peak) = usage()?;
    let said = String::from_utf8(child.wait_with_output()?.stdout)?;
    let numbers: Vec<f64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [seconds, garbler, garbler_peak] = numbers[..] else {
        return Err("the garbling process failed".into());
    };
    let cost = price(&network.graph, Reveal::Scores, FirstLayer::Garbled);
    let gates = (cost.ands + cost.known_ands) as f64 / 1e6;
    let pairs = cost.table_bytes as f64 / 32e6;
    let cores = (garbler + after - before) / 2.0;
    println!(
        "{:5}  {seconds:6.2} s  {:6.1} M gates/s ({:6.1} M pairs of half gates/s)  by CPU: {:6.1} ({:6.1})  {:5.2} GB/s\n       \
         garbler {garbler:5.2} s {garbler_peak:4.0} MiB, evaluator {:5.2} s {peak:4.0} MiB",
        if secure { "TLS" } else { "plain" },
        gates / seconds,
        pairs / seconds,
        gates / cores,
        pairs / cores,
        cost.table_bytes as f64 / seconds / 1e9,
        after - before,
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some("garble") {
        return garble(arguments[1].parse()?, arguments[2] == "tls", &Network::read(&arguments[3..])?);
    }
    let only =
        matches!(arguments.first().map(String::as_str), Some("plain" | "tls")).then(|| arguments.remove(0));
    let network = Network::read(&arguments)?;
    let cost = price(&network.graph, Reveal::Scores, FirstLayer::Garbled);
    let million = |count: u64| count as f64 / 1e6;
    let widths: Vec<u32> = network.graph.params.iter().map(|param| param.bits).collect();
    println!(
        "{:.2} M non-XOR gates ({:.2} M ANDs, {:.2} M known ANDs; {:.2} M pairs of half gates), {:.1} M XORs, {:.1} M \
         transfers, {:.2} GB of tables; parameters of {widths:?} bits",
        million(cost.ands + cost.known_ands),
        million(cost.ands),
        million(cost.known_ands),
        million(cost.table_bytes) / 32.0,
        million(cost.xors),
        million(cost.transfers),
        cost.table_bytes as f64 / 1e9
    );
    for (name, secure) in [("plain", false), ("tls", true)] {
        if only.as_ref().is_none_or(|only| only == name) {
            measure(secure, &network, &arguments)?;
        }
    }
    Ok(())
}
