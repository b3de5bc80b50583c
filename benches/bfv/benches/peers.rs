//! The same rows under criterion. Building needs protoc (for the peer `fhe`).

use bench_bfv::{DEGREES, ntt_rows, scheme_rows, square_rows};
use criterion::{Criterion, criterion_group, criterion_main};

fn peers(c: &mut Criterion) {
    for degree in DEGREES {
        for mut row in ntt_rows(degree).into_iter().chain(scheme_rows(degree)).chain(square_rows(degree)) {
            let mut group = c.benchmark_group(row.name);
            group.sample_size(10);
            group.bench_function("ours", |b| b.iter(&mut row.ours));
            group.bench_function("peer", |b| b.iter(&mut row.peer));
            group.finish();
        }
    }
}

criterion_group!(benches, peers);
criterion_main!(benches);
