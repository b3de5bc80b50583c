//! A layer as a product between layouts.

use serde::{Deserialize, Serialize};

use super::{convolution, matrix};
use crate::Error;
use crate::coefficients::Shape;
use crate::slots::{Count, Cycle, Diagonals, Kernel, Operations, Pattern, Weights, apply};

/// Where the phases of a stride are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phases {
    /// Side by side in a ciphertext, as channels are.
    Slots,
    /// Each in ciphertexts of its own.
    Ciphertexts,
}

/// Who adds up a matrix product's partial sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fold {
    /// The server, by rotations.
    Server,
    /// The client, on its shares.
    Client,
}

/// How a layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A convolution of planes side by side, the padding being zeros in the factors.
    Padded {
        /// Where the phases of a stride are.
        phases: Phases,
        /// Slots of rotation that are applied to inputs; larger steps are applied to sums.
        baby: usize,
    },
    /// A convolution of one plane a ciphertext with zeros around, by numbers.
    Bordered,
    /// A matrix product with an output a ciphertext.
    Naive,
    /// A matrix product by generalised diagonals.
    Hybrid {
        /// Diagonals a copy of the vector: 1 is the input-packed product, as many as inputs the diagonal one.
        rows: usize,
        /// Slots of rotation that are applied to inputs; larger steps are applied to sums.
        baby: usize,
        /// Who adds up the partial sums.
        fold: Fold,
    },
}

impl core::fmt::Display for Method {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let by = |fold: &Fold| match fold {
            Fold::Server => "",
            Fold::Client => ", client adds",
        };
        match self {
            Self::Padded { phases: Phases::Slots, baby } => write!(f, "padded, inputs turned below {baby}"),
            Self::Padded { phases: Phases::Ciphertexts, baby } => {
                write!(f, "padded, phases apart, inputs turned below {baby}")
            }
            Self::Bordered => f.write_str("packed, a channel a ciphertext"),
            Self::Naive => f.write_str("naive"),
            Self::Hybrid { rows: 1, fold, .. } => write!(f, "input packed{}", by(fold)),
            Self::Hybrid { rows, baby, fold } if baby < rows => {
                write!(f, "hybrid, {rows} diagonals by {baby}{}", by(fold))
            }
            Self::Hybrid { rows, fold, .. } => write!(f, "hybrid, {rows} diagonals{}", by(fold)),
        }
    }
}

/// Most pairs of an input and an output that are looked at, axis by axis, before a layer is known to fit.
const MOST_WORK: u64 = 1 << 30;

/// A layer's kernel and what it multiplies: all of it public.
#[derive(Clone, Debug)]
pub struct Product {
    shape: Shape,
    method: Method,
    cycle: Cycle,
    kernel: Kernel,
    diagonals: Diagonals,
    read: Vec<usize>,
}

impl Product {
    /// The product of a layer by a method.
    ///
    /// # Errors
    /// If the shape is none, or the method does not fit it.
    pub fn new(shape: &Shape, method: Method, cycle: Cycle) -> Result<Self, Error> {
        shape.output()?;
        if !cycle.is_valid() {
            return Err(Error::layout("slots that no ciphertext has"));
        }
        let (kernel, pattern) = match method {
            Method::Padded { phases, baby } => convolution::padded(shape, phases, baby, cycle)?,
            Method::Bordered => convolution::bordered(shape, cycle)?,
            Method::Naive => matrix::naive(shape, cycle)?,
            Method::Hybrid { rows, baby, fold } => matrix::hybrid(shape, (rows, baby, fold), cycle)?,
        };
        Self::of(shape, method, cycle, (kernel, pattern))
    }

    fn of(
        shape: &Shape,
        method: Method,
        cycle: Cycle,
        (kernel, pattern): (Kernel, Pattern),
    ) -> Result<Self, Error> {
        kernel.validate(cycle)?;
        pattern.validate()?;
        // Before the work: a method may be a peer's choice.
        if pattern.work() > MOST_WORK {
            return Err(Error::layout("a layer with too many pairs of inputs and outputs"));
        }
        let diagonals = Diagonals::new(cycle, &kernel, &[pattern])?;
        let mut read: Vec<usize> = diagonals.entries().iter().map(|entry| entry.input as usize).collect();
        read.sort_unstable();
        read.dedup();
        let written = diagonals.entries().chunk_by(|a, b| a.output == b.output).count();
        if written != kernel.output.ciphertexts {
            return Err(Error::layout("an output that nothing is added to"));
        }
        Ok(Self { shape: shape.clone(), method, cycle, kernel, diagonals, read })
    }

    /// The layer.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The arrangement of slots.
    pub fn cycle(&self) -> Cycle {
        self.cycle
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// What is multiplied.
    pub fn diagonals(&self) -> &Diagonals {
        &self.diagonals
    }

    /// The input ciphertexts that are read, and so are sent.
    pub fn read(&self) -> &[usize] {
        &self.read
    }

    /// Ciphertexts returned.
    pub fn returned(&self) -> usize {
        self.kernel.output.ciphertexts
    }

    /// The rotations that it performs, in increasing order.
    pub fn steps(&self) -> Vec<usize> {
        self.diagonals.steps(self.cycle, &self.kernel).into_iter().collect()
    }

    /// What it costs, by the counting interpreter.
    ///
    /// # Errors
    /// If kernel and diagonals do not belong together.
    pub fn operations(&self) -> Result<Operations, Error> {
        let count = Count::new(self.cycle);
        let blank = Weights::blank(&self.kernel, &self.diagonals, false);
        apply(&count, &self.kernel, &self.diagonals, &blank, &vec![&(); self.kernel.inputs[0].ciphertexts])?;
        Ok(count.take())
    }
}
