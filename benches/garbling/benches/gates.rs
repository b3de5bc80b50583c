//! AES blocks a second, and AND gates a second garbled and evaluated, on one core in the same run: by the kernels alone, and
//! through the interpreters on a circuit (16-bit products, their wires recycled by the pool).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use garble::count::Count;
use garble::evaluator::{Evaluator, TableSource};
use garble::gadgets;
use garble::garbler::{Garbler, TableSink};
use garble::gates::Gates;
use garble::labels::{ActiveLabels, Stopped};
use garble::word::Word;
use kernel::aes::Aes128;
use kernel::block::Block;
use kernel::half_gates::{And, HalfGates, Known};
use std::hint::black_box;

/// Gates in a slice: labels and rows stay in the second-level cache.
const GATES: usize = 2048;

fn labels(n: usize) -> Vec<Block> {
    let mut labels = vec![Block::ZERO; n];
    Aes128::new(Block(7)).ctr_fill(0, &mut labels);
    labels
}

fn aes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("aes");
    let mut blocks = labels(GATES);
    let cipher = Aes128::new(Block(9));
    group.throughput(Throughput::Elements(GATES as u64));
    group.bench_function("blocks", |bencher| bencher.iter(|| cipher.encrypt_blocks(black_box(&mut blocks))));
    group.finish();
}

fn half_gates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("half gates");
    group.throughput(Throughput::Elements(GATES as u64));
    let gates = HalfGates::new(Block(3));
    let offset = Block(5).with_lsb();
    let (a, mut b) = (labels(GATES), labels(GATES));
    b.reverse();
    let known: Vec<Block> = b.iter().map(|b| Block(b.0 & !1)).collect();
    let (mut out, mut rows) = (vec![Block::ZERO; GATES], vec![Block::ZERO; 2 * GATES]);
    group.bench_function("garble", |bencher| {
        bencher
            .iter(|| gates.garble(And, (offset, 0), [black_box(&a), black_box(&b)], [&mut out], &mut rows));
    });
    group.bench_function("evaluate", |bencher| {
        bencher.iter(|| gates.evaluate(And, 0, [black_box(&a), black_box(&b)], &rows, [&mut out]));
    });
    group.bench_function("garble known", |bencher| {
        bencher.iter(|| {
            gates.garble(Known, (offset, 0), [black_box(&a), &known], [&mut out], &mut rows[..GATES]);
        });
    });
    group.bench_function("evaluate known", |bencher| {
        bencher.iter(|| gates.evaluate(Known, 0, [black_box(&a), &known], &rows[..GATES], [&mut out]));
    });
    group.finish();
}

/// Tables that are written and read again within one buffer.
#[derive(Default)]
struct Memory {
    tables: Vec<Block>,
    place: usize,
}

impl TableSink for Memory {
    type Error = Stopped;

    fn room(&mut self, count: usize) -> Result<&mut [Block], Stopped> {
        self.place += count;
        Ok(&mut self.tables[self.place - count..self.place])
    }
}

impl TableSource for &mut Memory {
    type Error = Stopped;

    fn rows(&mut self, count: usize) -> Result<&[Block], Stopped> {
        self.place += count;
        Ok(&self.tables[self.place - count..self.place])
    }
}

/// 16-bit products.
fn circuit<G: Gates>(g: &mut G, x: &Word<G::Wires>, y: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    gadgets::mul(g, x, y)
}

fn interpreters(criterion: &mut Criterion) {
    for lanes in [16, 64, 256, 1024, 4096] {
        let mut count = Count::default();
        let word = Word::from_wires(vec![count.input(lanes); 16], lanes);
        let _ = circuit(&mut count, &word, &word);
        let counts = count.counts();
        let mut group = criterion.benchmark_group(format!("16-bit products, {lanes} lanes"));
        group.throughput(Throughput::Elements(counts.ands));
        let memory = Memory { tables: vec![Block::ZERO; counts.table_bytes() as usize / 16], place: 0 };
        let mut garbler = Garbler::new(Block(5), Block(3), memory);
        let mut active = ActiveLabels::new(Block(11));
        let bits = vec![true; lanes];
        let x = Word::from_wires((0..16).map(|_| garbler.input(&mut active, &bits)).collect(), lanes);
        let y = Word::from_wires((0..16).map(|_| garbler.input(&mut active, &bits)).collect(), lanes);
        group.bench_function("garble", |bencher| {
            bencher.iter(|| {
                garbler.sink().place = 0;
                black_box(circuit(&mut garbler, &x, &y))
            });
        });
        let memory = garbler.sink();
        let mut evaluator = Evaluator::new(Block(3), memory);
        let mut active = ActiveLabels::new(Block(11));
        let x = Word::from_wires((0..16).map(|_| evaluator.input(&mut active, lanes)).collect(), lanes);
        let y = Word::from_wires((0..16).map(|_| evaluator.input(&mut active, lanes)).collect(), lanes);
        group.bench_function("evaluate", |bencher| {
            bencher.iter(|| {
                evaluator.source().place = 0;
                black_box(circuit(&mut evaluator, &x, &y))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, aes, half_gates, interpreters);
criterion_main!(benches);
