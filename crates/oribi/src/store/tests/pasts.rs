//! Restored backups, copies and replaced stores are noticed, and their bundles are not used.

use std::sync::Arc;

use protocol::Length;
use protocol::message::Message;

use super::{Action, SERVER, Sim, Used, connect, open, sessions};
use crate::store::wire::{REPLY, REPLY_BYTES, Reason, Reply, WISH, Wish};
use crate::store::{ClientSide, Outcome, Side, Store};

fn client(disk: &Sim) -> Arc<Store> {
    Arc::new(open(disk, Side::Client).unwrap())
}

fn server(disk: &Sim) -> Arc<Store> {
    Arc::new(open(disk, Side::Server).unwrap())
}

/// Two stores with three bundles.
fn three() -> (Sim, Sim, Used) {
    let (disks, used) = ((Sim::default(), Sim::default()), Used::default());
    let (ours, theirs) = connect((&client(&disks.0), &server(&disks.1)), &[Action::Make; 3], &used);
    assert_eq!((ours.unwrap().0.outcome().apart, theirs.unwrap().outcome().apart), (None, None));
    (disks.0, disks.1, used)
}

fn run(disks: (&Sim, &Sim), actions: &[Action], used: &Used) -> (Outcome, usize) {
    let (ours, theirs) = connect((&client(disks.0), &server(disks.1)), actions, used);
    let ((ours, count), theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(ours.outcome().held, theirs.outcome().held);
    assert_eq!(ours.outcome().apart.is_some(), theirs.outcome().apart.is_some());
    (ours.outcome().clone(), count)
}

fn apart(outcome: &Outcome, reason: Reason, bundles: usize) {
    assert_eq!((outcome.apart, outcome.held), (Some((reason, bundles)), 0));
    assert!(outcome.warning().unwrap().contains(&format!("{bundles} prepared bundles were discarded")));
}

#[test]
fn restored_backups_are_noticed() {
    for is_client in [true, false] {
        let (ours, theirs, used) = three();
        let backup = if is_client { ours.copy() } else { theirs.copy() };
        assert_eq!(run((&ours, &theirs), &[Action::Use], &used).1, 1);
        let disks = if is_client { (&backup, &theirs) } else { (&ours, &backup) };
        let (outcome, count) = run(disks, &[Action::Use; 3], &used);
        apart(&outcome, Reason::Epoch, if is_client { 3 } else { 2 });
        assert_eq!(count, 0);
        // From then on all is as at first.
        let (outcome, count) = run(disks, &[Action::Make, Action::Use], &used);
        assert_eq!((outcome.apart, count), (None, 1));
    }
}

#[test]
fn restored_backups_are_noticed_within_an_epoch() {
    for is_client in [true, false] {
        let (ours, theirs, used) = three();
        let (stores, (mut near, mut far)) = ((client(&ours), server(&theirs)), sessions());
        let backup = std::thread::scope(|scope| {
            let theirs_ = scope.spawn(|| super::server(&mut far, &stores.1, &used));
            let backup = std::cell::RefCell::new(None);
            // The backup is made between the agreement and the use of a bundle.
            let side = ClientSide::agree(&mut near, &stores.0, SERVER, &super::offer(1)).unwrap();
            *backup.borrow_mut() = Some(if is_client { ours.copy() } else { theirs.copy() });
            super::go_on(&mut near, &side, &[Action::Use], &used).unwrap();
            theirs_.join().unwrap().unwrap();
            backup.into_inner().unwrap()
        });
        drop(stores);
        let backup = backup.after_kill();
        let disks = if is_client { (&backup, &theirs) } else { (&ours, &backup) };
        let (outcome, count) = run(disks, &[Action::Use; 3], &used);
        apart(&outcome, Reason::Count, if is_client { 3 } else { 2 });
        assert_eq!(count, 0);
    }
}

#[test]
fn a_copy_and_its_original_become_two_clients() {
    let (original, theirs, used) = three();
    let copy = original.copy();
    assert_eq!(run((&original, &theirs), &[Action::Use], &used).1, 1);
    // The copy is not what was here last, so that nobody keeps anything.
    let (outcome, count) = run((&copy, &theirs), &[Action::Make, Action::Make, Action::Use], &used);
    apart(&outcome, Reason::Epoch, 3);
    assert_eq!(count, 1);
    let (outcome, _) = run((&original, &theirs), &[Action::Make, Action::Use], &used);
    apart(&outcome, Reason::Unknown, 2);
    // Now they have names of their own.
    for disk in [&copy, &original, &copy] {
        let (outcome, _) = run((disk, &theirs), &[Action::Make, Action::Use], &used);
        assert_eq!(outcome.apart, None);
    }
}

#[test]
fn both_restored_from_backups_of_different_times() {
    let (ours, theirs, used) = three();
    let backup = ours.copy();
    run((&ours, &theirs), &[Action::Use], &used);
    let later = theirs.copy();
    run((&ours, &theirs), &[Action::Use], &used);
    let (outcome, count) = run((&backup, &later), &[Action::Use; 3], &used);
    apart(&outcome, Reason::Epoch, 3);
    assert_eq!(count, 0);
}

#[test]
fn a_new_server_and_a_new_client() {
    let (ours, theirs, used) = three();
    let (outcome, _) = run((&ours, &Sim::default()), &[], &used);
    apart(&outcome, Reason::Unknown, 3);
    let (ours_, _) = run((&Sim::default(), &theirs), &[Action::Use], &used);
    assert_eq!((ours_.apart, ours_.held), (None, 0), "a client without a past is another client");
}

#[test]
fn nobody_spends_anothers_bundles() {
    let (ours, theirs, used) = three();
    let (ours, theirs) = (client(&ours), server(&theirs));
    // A proof that was made for another connection.
    let said = ours.propose(SERVER, &[1; 32]).unwrap();
    let mut outcome = Outcome { peer: SERVER, held: 0, dropped: 0, apart: None };
    assert!(theirs.judge(&said, &[2; 32], &mut outcome).unwrap().is_none());
    // A statement that was changed.
    let mut changed = said.clone();
    changed.held.pop();
    assert!(theirs.judge(&changed, &[1; 32], &mut outcome).unwrap().is_none());
    // A client under its own name, with another's number.
    let (mut near, mut far) = sessions();
    std::thread::scope(|scope| {
        scope.spawn(|| super::server(&mut far, &theirs, &used));
        let stranger = client(&Sim::default());
        ClientSide::agree(&mut near, &stranger, SERVER, &super::offer(1)).unwrap();
        near.outbox.send(super::GO, &[]).unwrap();
        near.outbox.send(WISH, &Wish::Use { number: 0, mark: 1 }.to_bytes()).unwrap();
        near.outbox.flush().unwrap();
        let reply = near.inbox.recv(REPLY, Length::Exactly(REPLY_BYTES)).unwrap();
        assert_eq!(Reply::from_bytes(&reply).unwrap(), Reply::Lacking);
        drop(near);
    });
    let (ours, _) = connect((&ours, &theirs), &[Action::Use; 3], &used);
    assert_eq!(ours.unwrap().1, 3, "the bundles are still there");
}
