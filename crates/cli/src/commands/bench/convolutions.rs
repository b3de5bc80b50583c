//! Delphi's Tables 1 and 2: the convolutions of ResNet-32, before and after the input is known, and several inputs together.

use std::time::Instant;

use kernel::seed::Seed;
use linear::coefficients::{Client, Factors, Link, Need, Server, Setting, Shape};
use linear::plain::Layer;

use super::Arguments;
use super::table::{Figures, Row};
use crate::failure::Failure;

/// Channels and the side of planes, of filters of 3 x 3.
const LAYERS: [(usize, usize); 3] = [(16, 32), (32, 16), (64, 8)];

/// Bits of the ring: those of ResNet-32's plan.
const RING: u32 = 26;

/// Bits of weights.
const WEIGHT_BITS: u32 = 8;

/// Inputs together, in Table 2.
const BATCHES: [usize; 3] = [1, 5, 10];

/// The least of the paper's ratios to Gazelle, which is all that its text has: of times and of bytes.
const PAPER: [f64; 2] = [80.0, 150.0];

/// Runs both tables; gives the number of rows.
pub fn run(arguments: &Arguments) -> Result<usize, Failure> {
    let mut count = 0;
    for (channels, side) in LAYERS {
        let row = format!("convolution {side}x{side}x{channels}");
        if arguments.wants(&row) {
            measured(channels, side).map_err(Failure::running)?.print(arguments, &row)?;
            count += 1 + BATCHES.len();
        }
    }
    Ok(count)
}

/// What a convolution took.
struct Measured {
    encrypted: f64,
    encrypted_bytes: usize,
    plain: [f64; 3],
    plain_bytes: usize,
}

fn weight(index: usize) -> i64 {
    (index * 37 % 251) as i64 - 125
}

/// Seconds of a call, the least of three.
fn timed<R>(mut call: impl FnMut() -> Result<R, linear::Error>) -> Result<(f64, R), linear::Error> {
    let mut once = || {
        let start = Instant::now();
        call().map(|result| (start.elapsed().as_secs_f64(), result))
    };
    let mut best = once()?;
    for _ in 0..2 {
        let next = once()?;
        if next.0 < best.0 {
            best = next;
        }
    }
    Ok(best)
}

fn measured(channels: usize, side: usize) -> Result<Measured, linear::Error> {
    let shape = Shape {
        batch: 1,
        channels,
        plane: [side; 2],
        filters: channels,
        groups: 1,
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pads: [1; 4],
        channels_last: false,
    };
    let need = Need { shape: shape.clone(), weight_bits: WEIGHT_BITS };
    let setting = Setting::choose(&[need], RING, Link { rate: 1.25e8 })?;
    let (layout, reply) = (&setting.layouts[0], setting.replies[0]);
    let (client, key) = Client::new(&setting.parameters, &Seed::from_bytes([1; 32]))?;
    let server = Server::new(&setting.parameters, &key)?;
    let count = shape.inputs();
    let operand: Vec<u64> = (0..count as u64).map(|at| at * 7919 % (1 << RING)).collect();
    let (zeros, factors) = (vec![0; count], Factors::on_the_fly());
    let (encrypted, bytes) = timed(|| {
        let messages = client.encrypt(layout, &operand, &Seed::from_bytes([2; 32]))?;
        let ciphertexts = server.receive(layout, &zeros, &messages)?;
        let seed = Seed::from_bytes([3; 32]);
        let replies = server.run(layout, reply, (&factors, weight), &ciphertexts, &seed)?;
        client.decrypt(layout, reply, &replies)?;
        Ok(messages.iter().chain(&replies).map(Vec::len).sum())
    })?;
    let layer = Layer::new(&shape, RING, weight)?;
    let mut plain = [0.0; 3];
    for (seconds, batch) in plain.iter_mut().zip(BATCHES) {
        *seconds = timed(|| (0..batch).try_for_each(|_| layer.apply(&operand).map(drop)))?.0;
    }
    let plain_bytes = (count * RING as usize).div_ceil(8);
    Ok(Measured { encrypted, encrypted_bytes: bytes, plain, plain_bytes })
}

impl Measured {
    fn print(&self, arguments: &Arguments, row: &str) -> Result<(), Failure> {
        let measured = Figures::default()
            .real("preprocessing_seconds", self.encrypted)
            .whole("preprocessing_bytes", self.encrypted_bytes as u64)
            .real("online_seconds", self.plain[0])
            .whole("online_bytes", self.plain_bytes as u64)
            .real("gazelle_times_the_seconds", self.encrypted / self.plain[0].max(1e-9))
            .real("gazelle_times_the_bytes", self.encrypted_bytes as f64 / self.plain_bytes as f64);
        let paper = Figures::default()
            .real("gazelle_times_the_seconds", PAPER[0])
            .real("gazelle_times_the_bytes", PAPER[1]);
        let note = "3x3, on one thread; Gazelle's online work is this preprocessing; the paper's ratios are the least that its text has";
        Row { table: "delphi-1", row: row.to_owned(), measured, paper, note: note.to_owned() }
            .print(arguments.json)?;
        for (seconds, batch) in self.plain.iter().zip(BATCHES) {
            let measured = Figures::default()
                .whole("batch", batch as u64)
                .real("online_seconds", *seconds)
                .real("online_seconds_each", seconds / batch as f64);
            let note = "on this processor's vector units, where the paper has a graphics card; its table is not in the text at hand";
            let row = format!("{row}, batch {batch}");
            Row { table: "delphi-2", row, measured, paper: Figures::default(), note: note.to_owned() }
                .print(arguments.json)?;
        }
        Ok(())
    }
}
