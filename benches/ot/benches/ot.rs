//! Correlated OTs a second at each party alone and at both together, and the time of a set-up, beside the machine's own
//! AES rate. Run with `cargo bench`; `ORIBI_TIER=portable` shows what a machine without vectors does.

use std::hint::black_box;
use std::time::Duration;

use bench_ot::{DELTA, parties, silent_parties};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel::aes::Aes128;
use kernel::block::Block;
use kernel::seed::Seed;
use ot::base::Suite;
use ot::ferret;
use ot::softspoken::{ReceiverSetup, SenderSetup, Width};

/// OTs of a batch.
const N: usize = 1 << 16;

fn machine(c: &mut Criterion) {
    let mut group = c.benchmark_group("machine");
    let mut blocks = vec![Block::ZERO; 1024];
    let aes = Aes128::new(Block(1));
    group.throughput(Throughput::Elements(blocks.len() as u64));
    group.bench_function("AES blocks", |b| b.iter(|| aes.encrypt_blocks(black_box(&mut blocks))));
    group.bench_function("AES counter blocks", |b| b.iter(|| aes.ctr_fill(5, black_box(&mut blocks))));
    let (input, mut output) = (vec![Block(3); 128 * 64], vec![Block::ZERO; 128 * 64]);
    group.throughput(Throughput::Elements(output.len() as u64));
    group.bench_function("transposed rows of 128 bits", |b| {
        b.iter(|| kernel::transpose::transpose(black_box(&input), 128, 128 * 64, &mut output));
    });
    let (mut streams, mut sum, mut rows) =
        (vec![Block(3); 16 * 64], vec![Block::ZERO; 64], vec![Block::ZERO; 4 * 64]);
    group.throughput(Throughput::Elements(streams.len() as u64));
    group.bench_function("blocks of small-field sums", |b| {
        b.iter(|| kernel::prg_fold::fold(black_box(&mut streams), &mut sum, &mut rows));
    });
    group.finish();
}

fn softspoken(c: &mut Criterion) {
    let mut group = c.benchmark_group("softspoken");
    group.throughput(Throughput::Elements(N as u64)).measurement_time(Duration::from_secs(3));
    let (choices, mut output) = (vec![0x5a; N / 8], vec![Block::ZERO; N]);
    for k in [1, 2, 4, 8] {
        let width = Width::new(k).expect("in range");
        let (mut sender, mut receiver) = parties(Suite::Ristretto255, width).expect("honest parties");
        group.bench_function(BenchmarkId::new("receiver", k), |b| {
            b.iter(|| receiver.extend_into(&choices, &mut output).expect("within bounds"));
        });
        let message = receiver.extend(&choices, N).expect("within bounds").0;
        group.bench_function(BenchmarkId::new("sender", k), |b| {
            b.iter(|| sender.extend_into(&message, &mut output).expect("within bounds"));
        });
    }
    group.finish();
}

/// The parties in a thread each, with the message crossing in its wire form: what two cores reach.
fn both(c: &mut Criterion) {
    let mut group = c.benchmark_group("both parties");
    group.throughput(Throughput::Elements(N as u64)).measurement_time(Duration::from_secs(3));
    for k in [2, 4, 8] {
        let width = Width::new(k).expect("in range");
        let (mut sender, mut receiver) = parties(Suite::Ristretto255, width).expect("honest parties");
        group.bench_function(BenchmarkId::new("softspoken", k), |b| {
            b.iter_custom(|batches| {
                let start = std::time::Instant::now();
                let (to, from) = std::sync::mpsc::sync_channel::<Vec<u8>>(2);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let to = to;
                        let (choices, mut t) = (vec![0x5a; N / 8], vec![Block::ZERO; N]);
                        for _ in 0..batches {
                            let message = receiver.extend_into(&choices, &mut t).expect("within bounds");
                            black_box(&t);
                            to.send(message.encode()).expect("the sender is there");
                        }
                    });
                    let mut q = vec![Block::ZERO; N];
                    for bytes in from {
                        let message = ot::softspoken::ExtendMessage::decode(&bytes).expect("honest");
                        sender.extend_into(&message, &mut q).expect("within bounds");
                        black_box(&q);
                    }
                });
                start.elapsed()
            });
        });
    }
    group.finish();
}

fn silent(c: &mut Criterion) {
    let mut group = c.benchmark_group("ferret");
    group
        .throughput(Throughput::Elements(ferret::BATCH as u64))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    let (mut sender, mut receiver) = silent_parties().expect("honest parties");
    let mut output = vec![Block::ZERO; ferret::BATCH];
    group.bench_function("sender", |b| b.iter(|| sender.extend_into(&mut output).expect("within bounds")));
    let message = sender.extend_into(&mut output).expect("within bounds");
    group.bench_function("receiver", |b| {
        b.iter(|| receiver.extend_into(&message, &mut output).expect("within bounds"));
    });
    let (mut sender, mut receiver) = silent_parties().expect("honest parties");
    group.bench_function("both parties", |b| {
        b.iter_custom(|batches| {
            let start = std::time::Instant::now();
            let (to, from) = std::sync::mpsc::sync_channel::<Vec<u8>>(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let to = to;
                    let mut q = vec![Block::ZERO; ferret::BATCH];
                    for _ in 0..batches {
                        let message = sender.extend_into(&mut q).expect("within bounds");
                        black_box(&q);
                        to.send(message.encode()).expect("the receiver is there");
                    }
                });
                let mut t = vec![Block::ZERO; ferret::BATCH];
                for bytes in from {
                    let message = ferret::CorrectionMessage::decode(&bytes).expect("honest");
                    receiver.extend_into(&message, &mut t).expect("within bounds");
                    black_box(&t);
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

fn set_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("set-up");
    group.sample_size(20);
    for suite in Suite::ALL {
        let name = format!("{suite:?}");
        let new = || SenderSetup::with(suite, Width::DEFAULT, DELTA, &Seed::from_bytes([1; 32]));
        let respond = |request| ReceiverSetup::respond(request, &Seed::from_bytes([2; 32]));
        group.bench_function(BenchmarkId::new("sender begins", &name), |b| b.iter(new));
        let request = new().1;
        group.bench_function(BenchmarkId::new("receiver", &name), |b| b.iter(|| respond(&request)));
        let reply = respond(&request).1;
        group.bench_function(BenchmarkId::new("sender ends", &name), |b| {
            b.iter_batched(
                || new().0,
                |setup| setup.finish(&reply).expect("honest"),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, machine, softspoken, both, silent, set_up);
criterion_main!(benches);
