//! The computation of a batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bfv::{Ciphertext, Encoder, Evaluator};
use model::fixed::{FixedGraph, NumberFormat, Op, Params};
use rayon::prelude::*;

use super::Plan;
use super::rows::{Row, rows};
use crate::encrypted::outline::Outline;
use crate::encrypted::program::{EvaluationKeys, Program};
use crate::encrypted::values::{centre, modulus as slot_modulus};
use crate::error::Error;
use crate::session::Progress;

/// Rows that a task computes: the inputs pass through its cache once for all of them.
const ROWS: usize = 128;

/// A network with its weights.
pub(super) struct Batch {
    graph: FixedGraph,
    params: Params,
    outline: Outline,
    levels: Vec<usize>,
}

/// An element of a tensor: of every input of the batch, or a public or secret constant.
#[derive(Clone)]
enum Cell {
    Cipher(Arc<Ciphertext>),
    Known(i128),
}

impl Batch {
    pub fn new(plan: &Plan, graph: &FixedGraph, params: &Params, outline: &Outline) -> Result<Self, Error> {
        let fits = params.tensors.len() == graph.params.len()
            && params
                .tensors
                .iter()
                .zip(&graph.params)
                .all(|(data, info)| data.len() == info.shape.iter().product::<usize>());
        if !fits || graph.number != NumberFormat::Exact {
            return Err(Error::Refused("the weights do not fit the graph".into()));
        }
        let (graph, params) = (graph.clone(), params.clone());
        Ok(Self { graph, params, outline: outline.clone(), levels: plan.levels.clone() })
    }
}

impl Program for Batch {
    fn run(
        &self,
        modulus: usize,
        inputs: Vec<Ciphertext>,
        keys: &EvaluationKeys,
        progress: &dyn Progress,
    ) -> Result<Vec<Ciphertext>, Error> {
        let parameters = &self.outline.parameters[modulus];
        let pass = Pass {
            evaluator: Evaluator::new(parameters),
            encoder: Encoder::new(parameters),
            t: slot_modulus(parameters)?,
            keys,
            done: AtomicU64::new(0),
            total: self.graph.nodes.iter().map(|node| node.shape.iter().product::<usize>() as u64).sum(),
            progress,
        };
        let mut last = vec![0; self.graph.nodes.len()];
        for (id, node) in self.graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|operand| last[*operand] = id);
        }
        self.graph.outputs.iter().for_each(|output| last[output.node] = usize::MAX);
        let mut inputs = inputs.into_iter().map(|ciphertext| Cell::Cipher(Arc::new(ciphertext)));
        let mut tensors: Vec<Vec<Cell>> = vec![Vec::new(); self.graph.nodes.len()];
        // Inputs stand in the request in the order of the graph's inputs.
        for id in &self.graph.inputs {
            let count = self.graph.nodes[*id].shape.iter().product();
            tensors[*id] = inputs.by_ref().take(count).collect();
        }
        let mut levels = self.levels.iter();
        for (id, node) in self.graph.nodes.iter().enumerate() {
            let made = match &node.op {
                Op::Input => continue,
                Op::Product { .. } => {
                    let to = *levels.next().unwrap_or(&self.outline.limbs);
                    let [a, b] =
                        [0, 1].map(|k| node.inputs.get(k).or(node.inputs.first()).copied().unwrap_or(0));
                    pass.products(&tensors[a], &tensors[b], to)?
                }
                _ => {
                    let operands: Vec<&[Cell]> =
                        node.inputs.iter().map(|operand| tensors[*operand].as_slice()).collect();
                    pass.linear(&operands, &rows(&self.graph, &self.params, node))?
                }
            };
            tensors[id] = made;
            for operand in &node.inputs {
                if last[*operand] == id {
                    tensors[*operand] = Vec::new();
                }
            }
        }
        let cells = self.graph.outputs.iter().flat_map(|output| tensors[output.node].clone());
        cells.map(|cell| pass.result(cell, self.outline.limbs)).collect()
    }
}

/// One pass modulo one plaintext modulus.
struct Pass<'a> {
    evaluator: Evaluator,
    encoder: Encoder,
    t: i128,
    keys: &'a EvaluationKeys,
    done: AtomicU64,
    total: u64,
    progress: &'a dyn Progress,
}

impl Pass<'_> {
    /// Tells that so many elements more are done.
    fn step(&self, count: usize) {
        let done = self.done.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        self.progress.report(done, self.total);
    }

    /// The residue next to zero.
    fn centred(&self, value: i128) -> i64 {
        centre(value, self.t) as i64
    }

    /// A linear operation.
    fn linear(&self, operands: &[&[Cell]], rows: &[Row]) -> Result<Vec<Cell>, Error> {
        let level = operands.iter().copied().flatten().filter_map(limbs).min();
        let made: Result<Vec<Vec<Cell>>, Error> =
            rows.par_chunks(ROWS).map(|rows| self.rows(operands, rows, level)).collect();
        Ok(made?.concat())
    }

    /// Some rows: the ciphertexts that they read, as a matrix of scalars.
    fn rows(&self, operands: &[&[Cell]], rows: &[Row], level: Option<usize>) -> Result<Vec<Cell>, Error> {
        let cell = |operand: usize, index: usize| operands.get(operand).and_then(|cells| cells.get(index));
        let mut numbers: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut used: Vec<Arc<Ciphertext>> = Vec::new();
        let (mut scalars, mut constants) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for row in rows {
            let (mut terms, mut constant) = (Vec::with_capacity(row.terms.len()), row.constant);
            for (operand, index, weight) in &row.terms {
                match cell(*operand, *index) {
                    Some(Cell::Known(value)) => constant = constant.wrapping_add(value.wrapping_mul(*weight)),
                    Some(Cell::Cipher(ciphertext)) => {
                        let number = *numbers.entry((*operand, *index)).or_insert_with(|| {
                            used.push(ciphertext.clone());
                            used.len() - 1
                        });
                        terms.push((number, self.centred(*weight)));
                    }
                    None => return Err(Error::Refused("a tensor of the network is missing".into())),
                }
            }
            scalars.push(terms);
            constants.push(constant);
        }
        let moved = scalars
            .iter()
            .zip(&constants)
            .all(|(terms, c)| matches!(terms[..], [] | [(_, 1)]) && *c == 0 || terms.is_empty());
        if moved {
            let cell = |(terms, constant): (&Vec<(usize, i64)>, &i128)| {
                terms
                    .first()
                    .map_or(Cell::Known(*constant), |(number, _)| Cell::Cipher(used[*number].clone()))
            };
            return Ok(scalars.iter().zip(&constants).map(cell).collect());
        }
        let level = level.ok_or_else(|| Error::Refused("a layer of the network reads no input".into()))?;
        let used = used
            .into_iter()
            .map(|ciphertext| self.lowered(ciphertext, level))
            .collect::<Result<Vec<_>, _>>()?;
        let references: Vec<&Ciphertext> = used.iter().map(AsRef::as_ref).collect();
        let sums = self.evaluator.combine(&references, &scalars)?;
        self.step(rows.len());
        let mut cells = Vec::with_capacity(sums.len());
        for ((mut sum, terms), constant) in sums.into_iter().zip(&scalars).zip(constants) {
            if terms.is_empty() {
                cells.push(Cell::Known(constant));
            } else {
                self.add_constant(&mut sum, constant)?;
                cells.push(Cell::Cipher(Arc::new(sum)));
            }
        }
        Ok(cells)
    }

    /// Adds a constant to all slots.
    fn add_constant(&self, sum: &mut Ciphertext, constant: i128) -> Result<(), Error> {
        // The polynomial with this constant coefficient alone has it in every slot.
        let message = self.encoder.coefficients(&[constant.rem_euclid(self.t) as u64])?;
        Ok(self.evaluator.add_plain_assign(sum, &message)?)
    }

    /// Products, element by element, switched to `to` limbs.
    fn products(&self, a: &[Cell], b: &[Cell], to: usize) -> Result<Vec<Cell>, Error> {
        let missing = || Error::Refused("the relinearisation key is missing".into());
        let key = self.keys.relinearisation.as_ref().ok_or_else(missing)?;
        let level = a.iter().chain(b).filter_map(limbs).min().unwrap_or(to);
        let one = |(a, b): (&Cell, &Cell)| -> Result<Cell, Error> {
            let product = match (a, b) {
                (Cell::Known(a), Cell::Known(b)) => return Ok(Cell::Known(a.wrapping_mul(*b))),
                (Cell::Cipher(a), Cell::Known(b)) | (Cell::Known(b), Cell::Cipher(a)) => {
                    let mut scaled = (*self.lowered(a.clone(), level)?).clone();
                    self.evaluator.mul_scalar_assign(&mut scaled, self.centred(*b))?;
                    scaled
                }
                (Cell::Cipher(a), Cell::Cipher(b)) if Arc::ptr_eq(a, b) => {
                    self.evaluator.square(self.lowered(a.clone(), level)?.as_ref(), key)?
                }
                (Cell::Cipher(a), Cell::Cipher(b)) => {
                    let [a, b] = [self.lowered(a.clone(), level)?, self.lowered(b.clone(), level)?];
                    self.evaluator.multiply(&a, &b, key)?
                }
            };
            self.step(1);
            let to = to.min(product.limbs());
            Ok(Cell::Cipher(Arc::new(self.evaluator.switch_down(&product, to)?)))
        };
        a.par_iter().zip(b).map(one).collect()
    }

    /// A ciphertext on a level.
    fn lowered(&self, ciphertext: Arc<Ciphertext>, level: usize) -> Result<Arc<Ciphertext>, Error> {
        if ciphertext.limbs() <= level {
            return Ok(ciphertext);
        }
        Ok(Arc::new(self.evaluator.switch_down(&ciphertext, level)?))
    }

    /// A result of its own, on the outline's level; a constant becomes the trivial encryption.
    fn result(&self, cell: Cell, limbs: usize) -> Result<Ciphertext, Error> {
        match cell {
            Cell::Cipher(ciphertext) => Ok(Arc::unwrap_or_clone(self.lowered(ciphertext, limbs)?)),
            Cell::Known(value) => {
                let mut zero = self.keys.public.encrypt_zero(
                    self.evaluator.parameters(),
                    limbs,
                    &mut bfv::Randomness::from_os()?,
                )?;
                self.add_constant(&mut zero, value)?;
                Ok(zero)
            }
        }
    }
}

/// Limbs of an element.
fn limbs(cell: &Cell) -> Option<usize> {
    match cell {
        Cell::Cipher(ciphertext) => Some(ciphertext.limbs()),
        Cell::Known(_) => None,
    }
}
