//! Wires in pages, some of which leave memory, against wires in memory: the same tables and the same labels.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::HashMap;
use std::io;

use garble::evaluator::{Evaluator, TableSource};
use garble::gadgets;
use garble::garbler::{Garbler, TableSink};
use garble::gates::Gates;
use garble::labels::{ActiveLabels, Backing, Spill, Stopped};
use garble::word::{Bit, Word};
use kernel::block::Block;

#[derive(Default)]
struct Tables(Vec<Block>, usize);

impl TableSink for Tables {
    type Error = Stopped;

    fn room(&mut self, count: usize) -> Result<&mut [Block], Stopped> {
        let from = self.0.len();
        self.0.resize(from + count, Block::ZERO);
        Ok(&mut self.0[from..])
    }
}

impl TableSource for Tables {
    type Error = Stopped;

    fn rows(&mut self, count: usize) -> Result<&[Block], Stopped> {
        self.1 += count;
        Ok(&self.0[self.1 - count..self.1])
    }
}

/// Room for so many pages.
struct Shelf(HashMap<u64, Vec<u8>>, usize);

impl Backing for Shelf {
    fn write(&mut self, number: u64, page: &[u8]) -> io::Result<()> {
        if self.0.len() == self.1 {
            return Err(io::Error::other("full"));
        }
        self.0.insert(number, page.to_vec());
        Ok(())
    }

    fn read(&mut self, number: u64, page: &mut [u8]) -> io::Result<()> {
        let kept = self.0.get(&number).ok_or_else(|| io::Error::other("lost"))?;
        page.copy_from_slice(kept);
        Ok(())
    }
}

fn spill(pages: usize) -> Spill {
    let backing = Box::new(Shelf(HashMap::new(), pages));
    Spill { key: Block(99), memory: 1 << 18, cache: 8 * Spill::PAGE_BYTES, backing }
}

const LANES: usize = 9_000;
const WIDTH: usize = 3;

/// Everything that may meet a wide wire: movement in and out of order, parts of all lengths, constants, free and paid gates.
fn circuit<G: Gates>(g: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let mixed: Vec<u32> = (0..LANES).map(|lane| (lane * 7919 % LANES) as u32).collect();
    let mixed = gadgets::gather(g, x, &mixed);
    let third = |g: &G, from: usize, to: usize| {
        Word::from_wires(
            wires_of(&mixed).into_iter().map(|wire| g.slice(wire, from..to)).collect(),
            to - from,
        )
    };
    let parts = [third(g, 0, 2048), third(g, 2048, 6144), third(g, 6144, LANES)];
    let aligned = gadgets::concat(g, &parts.iter().collect::<Vec<_>>());
    let constant = gadgets::public(1, WIDTH, 5_000);
    let odd = gadgets::concat(g, &[&parts[2], &constant, &parts[0], &parts[1]]);
    let odd = gadgets::gather(g, &odd, &(0..LANES as u32).collect::<Vec<_>>());
    let sum = gadgets::add_signed(g, &aligned, &odd)?;
    let negated = gadgets::sub_signed(g, &gadgets::public(0, 1, LANES), &sum)?;
    let small: Vec<u32> = (0..1500).map(|lane| (lane * 5) as u32).collect();
    let small = gadgets::gather(g, &negated, &small);
    gadgets::relu(g, &small)
}

fn wires_of<W>(word: &Word<W>) -> Vec<&W> {
    fn wire<W>(bit: &Bit<W>) -> &W {
        match bit {
            Bit::Wire(wire) => wire,
            Bit::Public(_) => panic!("a wire"),
        }
    }
    word.bits().iter().map(wire).collect()
}

fn garble(spill: Option<Spill>) -> Result<(Vec<Block>, Vec<Vec<Block>>), Stopped> {
    let mut g = Garbler::new(Block(0x1357_9bdf), Block(5), Tables::default());
    if let Some(spill) = spill {
        g = g.spilling(spill);
    }
    let mut labels = ActiveLabels::new(Block(7));
    let bits = |wire: usize| (0..LANES).map(|lane| lane >> wire & 1 == 1).collect::<Vec<bool>>();
    let wires = (0..WIDTH).map(|wire| g.input(&mut labels, &bits(wire))).collect();
    let out = circuit(&mut g, &Word::from_wires(wires, LANES))?;
    g.check()?;
    let labels = out.wires(&mut g).iter().map(|wire| wire.blocks().to_vec()).collect();
    Ok((std::mem::take(&mut g.sink().0), labels))
}

fn evaluate(tables: &[Block], spill: Option<Spill>) -> Vec<Vec<Block>> {
    let mut g = Evaluator::new(Block(5), Tables(tables.to_vec(), 0));
    if let Some(spill) = spill {
        g = g.spilling(spill);
    }
    let mut labels = ActiveLabels::new(Block(7));
    let wires = (0..WIDTH).map(|_| g.input(&mut labels, LANES)).collect();
    let out = circuit(&mut g, &Word::from_wires(wires, LANES)).expect("evaluated");
    g.check().expect("nothing lost");
    out.wires(&mut g).iter().map(|wire| wire.blocks().to_vec()).collect()
}

#[test]
fn pages_change_nothing() {
    let (tables, zeros) = garble(None).expect("garbled");
    assert_eq!(garble(Some(spill(usize::MAX))), Ok((tables.clone(), zeros.clone())));
    let active = evaluate(&tables, None);
    assert_eq!(evaluate(&tables, Some(spill(usize::MAX))), active);
    assert!(zeros.iter().zip(&active).any(|(zero, active)| zero != active));
}

#[test]
fn a_full_disk_ends_the_circuit() {
    assert_eq!(garble(Some(spill(3))), Err(Stopped::Spill("full".into())));
}
