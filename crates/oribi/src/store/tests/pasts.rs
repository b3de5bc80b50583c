//! Restored backups, copies and replaced stores are noticed, and their bundles are not used.

use std::sync::Arc;

use protocol::Error;
use protocol::message::Message;

use super::{Action, SERVER, Sim, Used, connect, kind, open, sessions};
use crate::store::wire::{Reason, WISH, Wish};
use crate::store::{ClientSide, Fault, Outcome, ServerSide, Side, Store};

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
        let refused = scope.spawn(|| super::server(&mut far, &theirs, &used));
        let stranger = client(&Sim::default());
        ClientSide::agree(&mut near, &stranger, SERVER, &super::offer(1)).unwrap();
        near.outbox.send(super::GO, &[]).unwrap();
        near.outbox.send(WISH, &Wish::Use { number: 0, mark: 1 }.to_bytes()).unwrap();
        near.outbox.flush().unwrap();
        let refused = refused.join().unwrap().unwrap_err();
        assert!(
            matches!(&refused, Error::Refused(why) if why.contains("not in the server's store")),
            "{refused}"
        );
    });
    let (ours, _) = connect((&ours, &theirs), &[Action::Use; 3], &used);
    assert_eq!(ours.unwrap().1, 3, "the bundles are still there");
}

/// Two processes of one client, with sessions at once: no past is mistaken for another, and no bundle is lost.
#[test]
fn two_processes_of_one_client_interleave() {
    let (ours, theirs, used) = three();
    let theirs = server(&theirs);
    let (one, two) = (client(&ours), client(&ours));
    let ((mut near, mut far), used_) = (sessions(), used.clone());
    std::thread::scope(|scope| {
        let theirs_ = &theirs;
        let serving = scope.spawn(move || super::server(&mut far, theirs_, &used_));
        let first = ClientSide::agree(&mut near, &one, SERVER, &super::offer(1)).unwrap();
        // The first has a bundle in its hands that the server has not heard of when the second agrees.
        let bundle = first.take().unwrap().unwrap();
        let (second, other) = connect((&two, theirs_), &[Action::Use], &used);
        assert_eq!((second.unwrap().1, other.unwrap().outcome().apart), (1, None));
        near.outbox.send(super::GO, &[]).unwrap();
        let ticket = bundle.ticket();
        first.announce(&mut near, ticket).unwrap();
        near.outbox.send(super::PROOF, &bundle.read_all(3000).unwrap()).unwrap();
        near.outbox.flush().unwrap();
        near.inbox.recv(super::PROOF, protocol::Length::Exactly(0)).unwrap();
        first.confirm(ticket).unwrap();
        assert_eq!(super::go_on(&mut near, &first, &[Action::Use], &used).unwrap(), 1);
        serving.join().unwrap().unwrap();
    });
    assert!(one.held(&kind()).unwrap().is_empty());
}

/// A session that agreed before another one began anew: neither side gives it anything any more.
#[test]
fn a_session_of_a_past_that_is_gone() {
    let (ours, theirs, _) = three();
    let (one, theirs) = (client(&ours), server(&theirs));
    let backup = client(&ours.copy());
    let (mut near, mut far) = sessions();
    let (side, far_side) = std::thread::scope(|scope| {
        let agreeing = scope.spawn(|| ServerSide::agree(&mut far, &theirs, &super::offer(1)).unwrap());
        let side = ClientSide::agree(&mut near, &one, SERVER, &super::offer(1)).unwrap();
        (side, agreeing.join().unwrap())
    });
    // The backup parts the server from this client; the client's own next meeting parts it from the server.
    let (copy, _) = connect((&backup, &theirs), &[], &Used::default());
    assert!(copy.unwrap().0.outcome().apart.is_some());
    near.outbox.send(WISH, &Wish::Make.to_bytes()).unwrap();
    near.outbox.flush().unwrap();
    assert!(far_side.next(&mut far).unwrap_err().to_string().contains("begun anew"));
    let (again, _) = connect((&one, &theirs), &[Action::Make], &Used::default());
    assert!(again.unwrap().0.outcome().apart.is_some());
    assert!(side.take().unwrap_err().to_string().contains("begun anew"));
    assert_eq!(one.held(&kind()).unwrap().len(), 1);
}

/// The peer learns that something is wrong with a store, and nothing of its folder.
#[test]
fn peers_are_told_no_paths() {
    let error = Error::from(client(&Sim::default()).error(Fault::disk("reading keys", "no")));
    assert!(error.to_string().contains("a simulated disk"), "{error}");
    assert!(!error.for_peer().contains("disk"), "{}", error.for_peer());
}
