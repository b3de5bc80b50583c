//! Gazelle's tables of kernels: matrix-vector products and convolutions in slots, each by itself.

use std::time::Instant;

use kernel::seed::Seed;
use linear::coefficients::{Need, Shape};
use linear::gazelle::{Client, Factors, Product, Server, Setting};

use super::Arguments;
use super::table::{Figures, Row};
use crate::failure::Failure;

/// Bits of the paper's plaintexts, less one: the modulus of shares has one bit more than numbers.
const BITS: u32 = 19;

/// Bits of a weight.
const WEIGHT_BITS: u32 = 8;

/// A kernel of the paper: milliseconds with the input, and before. The text at hand lacks these tables; the figures are those
/// of the field's notes, at N = 2048 below 128-bit security, and rotations and products are by the paper's formulas.
struct Kernel {
    row: &'static str,
    /// Inputs and outputs, or plane, channels, taps and filters.
    size: Size,
    online: f64,
    setup: f64,
    rotations: u64,
    products: u64,
}

enum Size {
    Matrix(usize, usize),
    Convolution { plane: usize, channels: usize, taps: usize, filters: usize },
}

const fn convolution(plane: usize, channels: usize, taps: usize, filters: usize) -> Size {
    Size::Convolution { plane, channels, taps, filters }
}

const fn kernel(row: &'static str, size: Size, times: [f64; 2], counts: [u64; 2]) -> Kernel {
    Kernel { row, size, online: times[0], setup: times[1], rotations: counts[0], products: counts[1] }
}

/// Matrix products are the paper's hybrid ones, convolutions its output rotation; matrix sizes are rounded up as its code does.
const KERNELS: [Kernel; 8] = [
    kernel("matrix 2048 x 1", Size::Matrix(2048, 1), [8.0, 16.2], [11, 1]),
    kernel("matrix 1024 x 128", Size::Matrix(1024, 128), [16.2, 108.0], [67, 64]),
    kernel("matrix 1024 x 16", Size::Matrix(1024, 16), [7.8, 21.0], [14, 8]),
    kernel("matrix 128 x 16", Size::Matrix(128, 16), [5.3, 10.9], [7, 1]),
    kernel("convolution 28x28x1, 5x5x5", convolution(28, 1, 5, 5), [9.2, 11.4], [27, 150]),
    kernel("convolution 16x16x128, 1x1x128", convolution(16, 128, 1, 128), [110.0, 226.0], [112, 2048]),
    kernel("convolution 32x32x32, 3x3x32", convolution(32, 32, 3, 32), [195.0, 704.0], [144, 4608]),
    kernel("convolution 16x16x128, 3x3x128", convolution(16, 128, 3, 128), [704.0, 3312.0], [240, 18_432]),
];

/// Runs the wanted kernels.
///
/// # Errors
/// If one fails, or its result is wrong.
pub fn run(arguments: &Arguments) -> Result<usize, Failure> {
    KERNELS.iter().filter(|kernel| arguments.wants(kernel.row)).map(|kernel| kernel.run(arguments)).sum()
}

impl Size {
    fn shape(&self) -> Shape {
        match *self {
            Self::Matrix(inputs, outputs) => Shape::dense(1, inputs, outputs),
            Self::Convolution { plane, channels, taps, filters } => Shape {
                batch: 1,
                channels,
                plane: [plane; 2],
                filters,
                groups: 1,
                kernel: [taps; 2],
                stride: [1; 2],
                dilation: [1; 2],
                pads: [taps / 2; 4],
                channels_last: false,
            },
        }
    }
}

impl Kernel {
    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        let need = Need { shape: self.size.shape(), weight_bits: WEIGHT_BITS };
        let setting = Setting::choose(std::slice::from_ref(&need), BITS).map_err(Failure::running)?;
        let product = &setting.products[0];
        let (setup, online) = timed(&setting).map_err(Failure::running)?;
        let cost = product.cost().map_err(Failure::running)?;
        let measured = Figures::default()
            .whole("rotations", cost.operations.rotations + cost.operations.hoisted)
            .whole("products", cost.operations.products + cost.operations.scalars)
            .real("online_seconds", online)
            .real("setup_seconds", setup)
            .whole("ring_degree", setting.parameters.degree() as u64);
        let paper = Figures::default()
            .whole("rotations", self.rotations)
            .whole("products", self.products)
            .real("online_seconds", self.online / 1e3)
            .real("setup_seconds", self.setup / 1e3)
            .whole("ring_degree", 2048);
        let note = format!(
            "{}; set-up is the weights' encoding, online the server's work on ciphertexts",
            product.method()
        );
        Row { table: "gazelle-kernels", row: self.row.to_owned(), measured, paper, note }
            .print(arguments.json)?;
        Ok(1)
    }
}

/// Seconds to encode weights, and to run the layer on ciphertexts; the result is checked.
fn timed(setting: &Setting) -> Result<(f64, f64), linear::Error> {
    let (product, modulus) = (&setting.products[0], setting.modulus());
    let key = Seed::from_bytes([1; 32]);
    let client = Client::new(&setting.parameters, &key);
    let mut server = Server::new(&setting.parameters, &client.public_key(&key)?)?;
    for step in setting.steps() {
        server.take_key(step, &client.rotation_key(step, &key)?)?;
    }
    let elements = product.shape().inputs();
    let ones = vec![1; elements];
    let messages = client.encrypt(product, &ones, &Seed::from_bytes([2; 32]))?;
    let operands = server.receive(product, &vec![0; elements], &messages)?;
    // All weights are one: each sum is the number of elements that its window reads.
    let weight = |_: usize| 1;
    let start = Instant::now();
    let factors = Factors::encode(setting, 0, weight)?;
    let setup = start.elapsed().as_secs_f64();
    let mask = Seed::from_bytes([3; 32]);
    let start = Instant::now();
    let replies = server.run((setting, 0), (&factors, weight), &operands, &mask)?;
    let online = start.elapsed().as_secs_f64();
    let shares = [server.shares(setting, 0, &mask)?, client.decrypt(setting, 0, &replies)?];
    let sums: Vec<u64> = shares[0].iter().zip(&shares[1]).map(|(a, b)| (a + b) % modulus).collect();
    if sums == expected(product) {
        Ok((setup, online))
    } else {
        Err(linear::Error::Layout("a wrong result".into()))
    }
}

/// How many elements each sum reads.
fn expected(product: &Product) -> Vec<u64> {
    use linear::slots::Matrix;
    let Ok(filters) = linear::gazelle::Filters::new(product.shape(), |_| 1) else { return Vec::new() };
    let count = |output: usize| {
        let mut count = 0;
        filters.visit_row(output, &mut |_, _| count += 1);
        count
    };
    (0..product.kernel().output.elements()).map(count).collect()
}
