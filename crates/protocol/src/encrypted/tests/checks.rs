//! Plans and programs that must not be served; masks.

use bfv::{Ciphertext, Evaluator, Noise};

use super::*;
use crate::encrypted::Rotation;
use crate::encrypted::check::check;
use crate::encrypted::masks::masks;
use crate::encrypted::values::{centre, modulus as slot_modulus};
use crate::session::Progress;

/// A program that does something to the results of another.
struct Bent(Box<dyn Program>, fn(&Evaluator, &mut Ciphertext), Outline);

impl Program for Bent {
    fn run(
        &self,
        modulus: usize,
        inputs: Vec<Ciphertext>,
        keys: &EvaluationKeys,
        progress: &dyn Progress,
    ) -> Result<Vec<Ciphertext>, Error> {
        let mut results = self.0.run(modulus, inputs, keys, progress)?;
        let evaluator = Evaluator::new(&self.2.parameters[modulus]);
        results.iter_mut().for_each(|result| (self.1)(&evaluator, result));
        Ok(results)
    }
}

fn checked(bend: fn(&Evaluator, &mut Ciphertext), change: fn(&mut Outline)) -> Result<check::Checked, Error> {
    let (graph, params) = network();
    let plan = plan();
    let mut outline = plan.outline(&graph).unwrap();
    change(&mut outline);
    let program = Bent(plan.program(&graph, &params).unwrap(), bend, outline.clone());
    let service = Service::new(outline, Box::new(program)).unwrap();
    check(&service, &graph, &params, &pool(), &seed(9))
}

#[test]
fn a_right_program_passes_and_wrong_ones_do_not() {
    let right = checked(|_, _| {}, |_| {}).unwrap();
    assert!(right.log2_noise <= right.log2_bound && right.log2_noise > right.log2_bound - 40.0, "{right:?}");
    let wrong = checked(|evaluator, result| evaluator.mul_scalar_assign(result, 2).unwrap(), |_| {});
    assert!(wrong.unwrap_err().to_string().contains("not the integer reference's"));
    let noisy = checked(|_, _| {}, |outline| outline.noise = Noise::of_variance(1.0));
    assert!(noisy.unwrap_err().to_string().contains("above the bound"));
}

fn rotation(exponent: usize, limbs: usize) -> Rotation {
    Rotation { exponent, limbs }
}

#[test]
fn outlines_that_contradict_themselves_are_refused() {
    let (graph, _) = network();
    let good = plan().outline(&graph).unwrap();
    good.validate(&graph).unwrap();
    let bad: [fn(&mut Outline); 11] = [
        |o| o.parameters.clear(),
        |o| o.limbs = 0,
        |o| o.fresh_limbs = 99,
        |o| o.batch = 1 << 20,
        |o| o.rotations = vec![rotation(5, 1), rotation(3, 1)],
        |o| o.rotations = vec![rotation(4, 1)],
        |o| o.rotations = vec![rotation(3, 0)],
        |o| o.rotations = vec![rotation(3, 99)],
        |o| o.request = Request::Batch { elements: 5 },
        |o| o.answer = Answer::Slots { ciphertexts: 1, elements: vec![vec![]; 2] },
        |o| o.noise = Noise::of_variance(2f64.powi(300)),
    ];
    for (number, change) in bad.into_iter().enumerate() {
        let mut outline = good.clone();
        change(&mut outline);
        assert!(outline.validate(&graph).is_err(), "{number}");
    }
}

#[test]
fn plans_of_a_hostile_server_are_refused() {
    let (graph, _) = network();
    let good = plan();
    let bad: [fn(&mut Plan); 11] = [
        |p| p.limbs = 0,
        |p| p.limbs = 99,
        |p| p.degree = 1 << 30,
        |p| p.degree = 4096,
        |p| p.data = vec![(1 << 40) + 1; 4],
        |p| p.data.clear(),
        |p| p.plain = vec![2],
        |p| p.plain = vec![17; 100],
        |p| p.levels = vec![0],
        |p| p.levels.push(1),
        |p| p.digit_bits = Some(0),
    ];
    for (number, change) in bad.into_iter().enumerate() {
        let mut plan = good.clone();
        change(&mut plan);
        assert!(plan.outline(&graph).is_err(), "{number}");
    }
}

#[test]
fn networks_that_ciphertexts_cannot_compute_are_named() {
    let (mut graph, _) = network();
    graph.nodes[2].op = Op::Relu;
    graph.nodes[2].inputs = vec![1];
    let error = Plan::derive(&graph).unwrap_err().to_string();
    assert!(error.contains("layer square") && error.contains("squares"), "{error}");
}

/// Masks are uniform where nothing is said and add up to zero where something is.
#[test]
fn masks_hide_all_but_sums() {
    let (graph, _) = network();
    let mut outline = plan().outline(&graph).unwrap();
    let place = |ciphertext, slot| Place { ciphertext, slot };
    let elements = vec![vec![place(0, 3)], vec![place(0, 1), place(1, 5), place(1, 6)]];
    outline.answer = Answer::Slots { ciphertexts: 2, elements: elements.clone() };
    for modulus in 0..outline.parameters.len() {
        let t = slot_modulus(&outline.parameters[modulus]).unwrap();
        let masks = masks(&outline, modulus, &seed(3)).unwrap();
        let at = |place: &Place| masks[place.ciphertext as usize][place.slot as usize];
        for places in &elements {
            assert_eq!(centre(places.iter().map(at).sum(), t), 0);
        }
        assert_ne!(at(&elements[1][0]), 0);
        // Chi-square over sixteen bins of all other slots; 83 is exceeded with probability below 1e-10.
        let mut bins = [0u64; 16];
        masks
            .iter()
            .flat_map(|mask| mask.iter())
            .for_each(|m| bins[(m.rem_euclid(t) * 16 / t) as usize] += 1);
        let count = bins.iter().sum::<u64>() as f64;
        let chi: f64 = bins.iter().map(|b| (*b as f64 - count / 16.0).powi(2) / (count / 16.0)).sum();
        assert!(chi < 83.0, "{chi}");
    }
}
