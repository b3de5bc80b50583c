//! Ratios: the two sides of each row run in turn, and the median of the pairwise ratios is printed.
//!
//! `cargo run --release [FILTER]`: rows whose name contains FILTER.

use cpu_time::ThreadTime;

use bench_bfv::{DEGREES, Row, Side, ntt_rows, scheme_rows, square_rows};

/// Pairs of runs of each row.
const PAIRS: usize = 41;

/// Seconds of processor time of one call, over several: what other work on the machine takes does not count.
fn time(side: &mut Side, calls: usize) -> f64 {
    let start = ThreadTime::now();
    (0..calls).for_each(|_| side());
    start.elapsed().as_secs_f64() / calls as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(row: &mut Row) {
    let calls = |side: &mut Side| (1e-3 / (0..3).map(|_| time(side, 1)).fold(1.0, f64::min)).ceil() as usize;
    let (ours, peer) = (calls(&mut row.ours), calls(&mut row.peer));
    let pairs: Vec<_> = (0..PAIRS).map(|_| (time(&mut row.ours, ours), time(&mut row.peer, peer))).collect();
    let ratio = median(pairs.iter().map(|(a, b)| b / a).collect());
    let [a, b] = [median(pairs.iter().map(|p| p.0).collect()), median(pairs.iter().map(|p| p.1).collect())];
    let aim = row.aim.map_or(String::new(), |aim| format!("  (aim {aim})"));
    println!("{:<78} {:>10.1} us {:>10.1} us  x{ratio:.2}{aim}", row.name, a * 1e6, b * 1e6);
}

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    println!("{:<78} {:>13} {:>13}  ratio", "row", "ours", "peer");
    for degree in DEGREES {
        for mut row in ntt_rows(degree).into_iter().chain(scheme_rows(degree)).chain(square_rows(degree)) {
            if row.name.contains(&filter) {
                measure(&mut row);
            }
        }
    }
}
