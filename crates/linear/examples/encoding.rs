//! Processor time of encoding a layer's weights once, in slots and in coefficients, beside the transforms alone:
//! `RAYON_NUM_THREADS=1 cargo run --release -p linear --example encoding`.

use std::time::Instant;

use linear::coefficients::{self, Need, Shape};
use linear::{Error, gazelle};

/// 128 planes of 16 x 16, filters of 3 x 3.
fn layer() -> Need {
    let shape = Shape {
        batch: 1,
        channels: 128,
        plane: [16; 2],
        filters: 128,
        groups: 1,
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pads: [1; 4],
        channels_last: false,
    };
    Need { shape, weight_bits: 8 }
}

fn weight(index: usize) -> i64 {
    (index * 37 % 251) as i64 - 125
}

/// Seconds of a call, the least of three.
fn seconds(mut call: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Seconds of transforming as many blank factors.
fn transforms(parameters: &bfv::Parameters, count: usize, slots: bool) -> Result<f64, Error> {
    let (encoder, evaluator) = (bfv::Encoder::new(parameters), bfv::Evaluator::new(parameters));
    let (ones, wide) = (vec![1; parameters.degree()], vec![1; parameters.degree()]);
    seconds(|| {
        for _ in 0..count {
            let message =
                if slots { encoder.slots_wide(&wide)? } else { encoder.coefficients_signed(&ones)? };
            std::hint::black_box(evaluator.multiplicand(&message, parameters.limbs())?);
        }
        Ok(())
    })
}

fn print(name: &str, parameters: &bfv::Parameters, count: usize, [all, floor]: [f64; 2]) {
    println!(
        "{name}: {count} factors of {} coefficients, {} limbs: {all:.2} s, of which transforms {floor:.2} s",
        parameters.degree(),
        parameters.limbs()
    );
}

fn main() -> Result<(), Error> {
    let need = layer();
    let setting = gazelle::Setting::choose(std::slice::from_ref(&need), 19)?;
    let count = setting.products[0].diagonals().entries().len();
    let all = seconds(|| gazelle::Factors::encode(&setting, 0, weight).map(drop))?;
    print("slots", &setting.parameters, count, [all, transforms(&setting.parameters, count, true)?]);

    let link = coefficients::Link::LAN;
    let setting = coefficients::Setting::choose(std::slice::from_ref(&need), 26, link)?;
    let (layout, scheme) = (&setting.layouts[0], coefficients::Bfv::new(&setting.parameters));
    let count = (0..layout.filter_tiles()).map(|tile| layout.met(tile).len()).sum();
    let all = seconds(|| coefficients::Factors::encode(&scheme, layout, weight).map(drop))?;
    print("coefficients", &setting.parameters, count, [all, transforms(&setting.parameters, count, false)?]);
    Ok(())
}
