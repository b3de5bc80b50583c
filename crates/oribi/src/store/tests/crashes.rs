//! Either machine dies at any step of its disk: no bundle is used twice, the stores agree afterwards, and the next run is right.

use std::sync::Arc;

use super::{Action, Dice, Sim, Used, connect, open};
use crate::store::{Side, Store};

fn both(disks: &(Sim, Sim)) -> Option<(Arc<Store>, Arc<Store>)> {
    let client = open(&disks.0, Side::Client).ok()?;
    Some((Arc::new(client), Arc::new(open(&disks.1, Side::Server).ok()?)))
}

/// The disk as the machine finds it after it died, or was ended.
fn after(disk: &Sim, dice: &mut Dice) -> Sim {
    if dice.roll(2) == 0 { disk.after_kill() } else { disk.after_power_cut(dice) }
}

/// With both machines up: they agree, everything that both hold is used, and a new bundle is made and used.
fn settle(disks: &(Sim, Sim), used: &Used) {
    let (client, server) = both(disks).expect("stores open after any crash");
    let (ours, theirs) = connect((&client, &server), &[], used);
    let (ours, theirs) = (ours.unwrap().0, theirs.unwrap());
    assert_eq!((&ours.outcome().apart, &theirs.outcome().apart), (&None, &None), "a crash is no other past");
    let held = ours.outcome().held;
    assert_eq!(held, theirs.outcome().held);
    assert_eq!(ours.numbers().unwrap(), theirs.numbers().unwrap());
    let actions = [vec![Action::Use; held], vec![Action::Make, Action::Use, Action::Use]].concat();
    let (ours, theirs) = connect((&client, &server), &actions, used);
    assert_eq!(ours.unwrap().1, held + 1);
    theirs.unwrap();
}

/// A few connections, one of them broken by a disk; `aim` chooses the step.
fn round(disks: &mut (Sim, Sim), dice: &mut Dice, used: &Used, aim: impl Fn(&mut Dice) -> u64) {
    let victim = dice.roll(3);
    let aimed = |on: bool, dice: &mut Dice| on.then(|| aim(dice));
    let (first, second) = (aimed(victim != 1, dice), aimed(victim != 0, dice));
    disks.0.die_after(first);
    disks.1.die_after(second);
    let actions: Vec<Action> =
        (0..dice.roll(5)).map(|_| if dice.roll(5) < 3 { Action::Make } else { Action::Use }).collect();
    if let Some((client, server)) = both(disks) {
        let _ = connect((&client, &server), &actions, used);
    }
    *disks = (after(&disks.0, dice), after(&disks.1, dice));
}

#[test]
fn crashes_at_every_step_of_a_first_meeting() {
    // Enough steps for making both stores, agreeing, and several bundles.
    for step in 0..160 {
        for victim in 0..2 {
            let (mut dice, used) = (Dice(step * 2 + victim), Used::default());
            let disks = (Sim::default(), Sim::default());
            [&disks.0, &disks.1][victim as usize].die_after(Some(step));
            if let Some((client, server)) = both(&disks) {
                let actions = [Action::Make, Action::Make, Action::Use, Action::Use];
                let _ = connect((&client, &server), &actions, &used);
            }
            settle(&(after(&disks.0, &mut dice), after(&disks.1, &mut dice)), &used);
        }
    }
}

#[test]
fn crashes_one_after_another() {
    for seed in 0..12 {
        let (mut dice, used) = (Dice(seed), Used::default());
        let mut disks = (Sim::default(), Sim::default());
        for _ in 0..20 {
            round(&mut disks, &mut dice, &used, |dice| dice.roll(120));
        }
        settle(&disks, &used);
        assert!(used.count() > 0);
    }
}
