//! AND gates a second end to end: one dense layer as one garbled circuit between two processes over loopback, on a
//! plain socket and under TLS, both sharing this machine's cores.
//!
//! `cargo run --release --bin two-processes -- [ROWS COLUMNS [INPUT_BITS [WEIGHT_BITS [plain|tls]]]]`

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, ParamData, ParamInfo, Params, Post};
use oribi::{Identity, tls};
use protocol::Reveal;
use protocol::channel::Transport;
use protocol::garbled::{client, price, server};
use protocol::session::{Limits, Session};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One dense layer.
struct Layer {
    graph: FixedGraph,
    params: Params,
    input: Vec<i64>,
}

/// A number of `bits` bits that depends on `i` alone.
fn draw(i: u64, bits: u32) -> i64 {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as i64) >> (64 - bits)
}

impl Layer {
    fn new(rows: usize, columns: usize, input_bits: u32, weight_bits: u32) -> Self {
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
        let info = |shape: &[usize], bits| ParamInfo { name: String::new(), shape: shape.to_vec(), bits };
        let graph = FixedGraph {
            number: NumberFormat::Word16,
            nodes,
            params: vec![info(&[rows, columns], weight_bits), info(&[rows], 16)],
            inputs: vec![0],
            outputs: vec![Output { name: "output".into(), node: 1, post: Post::None }],
        };
        let weights = (0..(rows * columns) as u64).map(|i| draw(i, weight_bits)).collect();
        let biases = (0..rows as u64).map(|i| draw(!i, 16)).collect();
        Self {
            graph,
            params: Params { tensors: vec![ParamData::I64(weights), ParamData::I64(biases)] },
            input: (0..columns as u64).map(|i| draw(i << 32, input_bits)).collect(),
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

fn serve(stream: TcpStream, secure: bool, layer: &Layer) -> Outcome<()> {
    let transport = if secure {
        let config = tls::server_config(&Identity::ephemeral()?)?;
        tls::accept(stream, &config, Instant::now() + Duration::from_secs(10))?
    } else {
        Transport::tcp(stream)?
    };
    let mut session = Session::new(transport, Limits::default());
    server::predict(&layer.graph, &layer.params, Reveal::Scores, &mut session, &Seed::from_bytes([1; 32]))?;
    session.close();
    Ok(())
}

/// The other process: garbles, and prints its seconds, processor seconds and memory.
fn garble(port: u16, secure: bool, layer: &Layer) -> Outcome<()> {
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
    let input = std::slice::from_ref(&layer.input);
    client::predict(&layer.graph, input, Reveal::Scores, &mut session, &Seed::from_bytes([2; 32]), &())?;
    let seconds = start.elapsed().as_secs_f64();
    let (after, peak) = usage()?;
    println!("{seconds} {} {peak}", after - before);
    Ok(())
}

fn measure(secure: bool, layer: &Layer, sizes: &[String]) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let child = Command::new(std::env::current_exe()?)
        .args(["garble", &port, if secure { "tls" } else { "plain" }])
        .args(sizes)
        .stdout(Stdio::piped())
        .spawn()?;
    let stream = listener.accept()?.0;
    let (before, _) = usage()?;
    serve(stream, secure, layer)?;
    let (after, peak) = usage()?;
    let said = String::from_utf8(child.wait_with_output()?.stdout)?;
    let numbers: Vec<f64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [seconds, garbler, garbler_peak] = numbers[..] else {
        return Err("the garbling process failed".into());
    };
    let cost = price(&layer.graph, Reveal::Scores);
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
    let role = (arguments.first().map(String::as_str) == Some("garble"))
        .then(|| arguments.drain(..3).collect::<Vec<_>>());
    let number = |i: usize, default: usize| arguments.get(i).map_or(Ok(default), |text| text.parse());
    let layer = Layer::new(number(0, 256)?, number(1, 2048)?, number(2, 16)? as u32, number(3, 8)? as u32);
    if let Some(role) = role {
        return garble(role[1].parse()?, role[2] == "tls", &layer);
    }
    let cost = price(&layer.graph, Reveal::Scores);
    println!(
        "{:.1} M ANDs, {:.1} M known ANDs, {:.1} M XORs, {:.1} M transfers, {:.2} GB of tables",
        cost.ands as f64 / 1e6,
        cost.known_ands as f64 / 1e6,
        cost.xors as f64 / 1e6,
        cost.transfers as f64 / 1e6,
        cost.table_bytes as f64 / 1e9
    );
    let only = arguments.get(4).map(String::as_str);
    for (name, secure) in [("plain", false), ("tls", true)] {
        if only.is_none_or(|only| only == name) {
            measure(secure, &layer, &arguments)?;
        }
    }
    Ok(())
}
