//! How two stores find out whether they have the same past, and what both still hold.
//!
//! At each connection the client proposes a fresh nonce, the *epoch*, and both sides take it: the client notes it durably before it says it, the server before it
//! answers, the client again on the answer. So the server's epoch is the client's, or the one that it proposed last; any
//! other means that one of the two went back in time or is a copy. Within an epoch three counts say the same:
//!
//! - the client counts what it strikes off before the server does, so that the server never knows of more than the client;
//! - the client notes how many of those the server has confirmed, so that the server never knows of fewer;
//! - the server numbers bundles, so that the client never knows of a larger number.
//!
//! Where they have the same past, what one side alone holds is what a crash left, and is dropped. Where they have not, all bundles of the pair are, and the client takes
//! a new identity: a copy and its original do not meet again under one name.

use std::collections::HashSet;

use super::disk::Guard;
use super::error::{Fault, StoreError};
use super::identity::{ClientKey, is_signed};
use super::record::{Account, Peer};
use super::wire::{Answer, Reason, Statement};
use super::{Files, MAX_ACCOUNTS, Store, now, random, random_number};

/// The lock that keeps two processes of a client from agreeing at the same time.
const LOCK: &str = "agreement.lock";

/// What an agreement came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The other party; for a server, the client under its newest name.
    pub peer: Peer,
    /// Bundles that both sides hold.
    pub held: usize,
    /// Bundles that this side alone held, after a crash.
    pub dropped: usize,
    /// Why everything was discarded before, and how many bundles.
    pub apart: Option<(Reason, usize)>,
}

impl Outcome {
    /// What a person should know: that bundles were discarded because a store is not what it was.
    pub fn warning(&self) -> Option<String> {
        let (reason, discarded) = self.apart?;
        let why = match reason {
            Reason::Unknown => {
                "the server does not know this client's store (its own store is new or was replaced)"
            }
            Reason::Epoch | Reason::Count => {
                "the two stores remember different pasts: one of them is a restored backup or a copy"
            }
        };
        Some(format!(
            "{why}; {discarded} prepared bundles were discarded, so that none is used twice, and new ones have to be prepared"
        ))
    }
}

impl Store {
    /// Keeps other processes from agreeing with a server meanwhile.
    pub(super) fn alone(&self) -> Result<Box<dyn Guard>, StoreError> {
        let locked = self.disk.lock(LOCK, self.options.patience);
        let locked =
            locked.map_err(|e| Fault::disk("locking the store", e)).and_then(|l| l.ok_or(Fault::Busy));
        locked.map_err(|what| self.error(what))
    }

    /// The client's statement to a server.
    pub(super) fn propose(&self, server: Peer, binding: &[u8; 32]) -> Result<Statement, StoreError> {
        self.with(|files, _| {
            let mut account = files.book.account(server)?.unwrap_or_default();
            let proposed = match account.proposed {
                Some(nonce) => nonce,
                None => *random()?.as_bytes(),
            };
            if account.proposed.is_none() {
                account.proposed = Some(proposed);
                files.book.update(|page| page.set_account(server, &account))?;
            }
            let held: Vec<u64> = files.book.bundles(Some(server))?.into_iter().map(|(_, n, _)| n).collect();
            let key = ClientKey::derive(&files.secret()?, server, account.incarnation)?;
            let mut statement = Statement {
                client: key.public(),
                epoch: account.epoch,
                proposed,
                next: account.next,
                spent: account.spent,
                confirmed: account.confirmed,
                held,
                signature: [0; 64],
            };
            statement.signature = key.sign(binding, &statement.signed());
            Ok(statement)
        })
    }

    /// The client's side of the server's answer. `false` where it has to make another statement.
    pub(super) fn conclude(
        &self,
        server: Peer,
        said: &Statement,
        answer: &Answer,
        outcome: &mut Outcome,
    ) -> Result<bool, StoreError> {
        let disk = self.disk.as_ref();
        self.with(|files, _| {
            let mut account = files.book.account(server)?.unwrap_or_default();
            match answer {
                Answer::Agreed { next, kept } => {
                    if account.proposed == Some(said.proposed) {
                        (account.epoch, account.proposed) = (said.proposed, None);
                    }
                    account.next = account.next.max(*next);
                    account.confirmed = account.confirmed.max(said.spent);
                    account.seen = now();
                    let (said, kept): (HashSet<_>, HashSet<_>) =
                        (said.held.iter().collect(), kept.iter().collect());
                    let alone = |number: u64| said.contains(&number) && !kept.contains(&number);
                    outcome.dropped += files.discard(disk, server, Some(&account), alone)?;
                    outcome.held = files.book.bundles(Some(server))?.len();
                    Ok(true)
                }
                Answer::Apart(reason) => {
                    // Random, so that copies of one store get different identities.
                    let incarnation = random_number()?;
                    let fresh = Account { incarnation, seen: now(), ..Account::default() };
                    let discarded = files.discard(disk, server, Some(&fresh), |_| true)?;
                    outcome.apart = Some((*reason, discarded));
                    Ok(false)
                }
            }
        })
    }

    /// The server's judgement of a statement; `None` where its signature is wrong.
    pub(super) fn judge(
        &self,
        said: &Statement,
        binding: &[u8; 32],
        outcome: &mut Outcome,
    ) -> Result<Option<Answer>, StoreError> {
        if !is_signed(&said.client, binding, &said.signed(), &said.signature) {
            return Ok(None);
        }
        let (peer, disk) = (Peer(said.client), self.disk.as_ref());
        outcome.peer = peer;
        self.with(|files, notes| {
            let known = files.book.account(peer)?;
            if let Some(reason) = difference(known.as_ref(), said) {
                let discarded = files.discard(disk, peer, None, |_| true)?;
                outcome.apart = Some((reason, discarded));
                return Ok(Some(Answer::Apart(reason)));
            }
            if known.is_none() {
                files.make_room_for_account()?;
            }
            let mut account = known.unwrap_or_default();
            account.epoch = said.proposed;
            account.next = account.next.max(said.next);
            account.spent = account.spent.max(said.spent);
            account.seen = now();
            let theirs: HashSet<u64> = said.held.iter().copied().collect();
            // A larger number is of a bundle that another session of this client made meanwhile.
            let alone = |number: u64| number < said.next && !theirs.contains(&number);
            outcome.dropped += files.discard(disk, peer, Some(&account), alone)?;
            let ours: HashSet<u64> = files.book.bundles(Some(peer))?.into_iter().map(|(_, n, _)| n).collect();
            let both = |number: &u64| ours.contains(number) || notes.making.contains(&(peer, *number));
            let kept: Vec<u64> = said.held.iter().copied().filter(both).collect();
            outcome.held = kept.len();
            Ok(Some(Answer::Agreed { next: account.next, kept }))
        })
    }

    /// Notes durably that the server has struck off what the client has, up to a count.
    pub(super) fn confirm(&self, server: Peer, mark: u64) -> Result<(), StoreError> {
        self.with(|files, _| {
            let mut account = files.book.account(server)?.unwrap_or_default();
            account.confirmed = account.confirmed.max(mark.min(account.spent));
            files.book.update(|page| page.set_account(server, &account))
        })
    }

    /// A number for a bundle that a client is going to make; it was never given before.
    pub(super) fn reserve(&self, peer: Peer) -> Result<Reservation<'_>, StoreError> {
        self.with(|files, notes| {
            let mut account = files.book.account(peer)?.unwrap_or_default();
            let number = account.next;
            account.next = number.checked_add(1).ok_or_else(|| Fault::Full("no number is left".into()))?;
            files.book.update(|page| page.set_account(peer, &account))?;
            notes.making.insert((peer, number));
            Ok(Reservation { store: self, peer, number })
        })
    }
}

/// A number that a session of this process makes a bundle for.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    store: &'a Store,
    peer: Peer,
    pub(super) number: u64,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.store.state().making.remove(&(self.peer, self.number));
    }
}

/// What shows that a client's statement and a server's account have different pasts.
fn difference(known: Option<&Account>, said: &Statement) -> Option<Reason> {
    let Some(account) = known else {
        return (said.epoch != [0; 32]).then_some(Reason::Unknown);
    };
    if account.epoch != said.epoch && account.epoch != said.proposed {
        return Some(Reason::Epoch);
    }
    let backwards = account.spent > said.spent || account.spent < said.confirmed || account.next < said.next;
    backwards.then_some(Reason::Count)
}

impl Files {
    /// Forgets the client that was away for longest, where there are too many; never one with bundles.
    fn make_room_for_account(&self) -> Result<(), Fault> {
        let accounts = self.book.accounts()?;
        if accounts.len() < MAX_ACCOUNTS {
            return Ok(());
        }
        let busy: HashSet<Peer> = self.book.bundles(None)?.into_iter().map(|(peer, _, _)| peer).collect();
        let idle = accounts.into_iter().filter(|(peer, _)| !busy.contains(peer));
        let (peer, _) = idle
            .min_by_key(|(_, account)| account.seen)
            .ok_or_else(|| Fault::Full("the store knows as many clients as it can".into()))?;
        self.book.update(|page| page.remove_account(peer))
    }
}
