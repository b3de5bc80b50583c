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
use std::sync::Arc;
use std::time::Instant;

use super::disk::Guard;
use super::error::{Fault, StoreError};
use super::identity::{ClientKey, is_signed};
use super::record::{Account, Peer};
use super::wire::{Answer, Reason, Statement};
use super::{Files, LOOK, MAX_ACCOUNTS, Store, now, random, random_number};

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
    /// Keeps other processes of this client from agreeing with a server meanwhile. What a process changes between another's statement and
    /// the answer to it would look like another past, so that taking and adding bundles waits too.
    pub(super) fn alone(&self, server: Peer) -> Result<Box<dyn Guard>, StoreError> {
        let name = format!("agreement-{:.16}.lock", server.to_string());
        let locked = self.disk.lock(&name, self.options.patience);
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

    /// The client's side of the server's answer: the incarnation under which they agreed, or `None` where it has to make another statement.
    pub(super) fn conclude(
        &self,
        server: Peer,
        said: &Statement,
        answer: &Answer,
        outcome: &mut Outcome,
    ) -> Result<Option<u64>, StoreError> {
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
                    Ok(Some(account.incarnation))
                }
                Answer::Apart(reason) => {
                    // Random, so that copies of one store get different identities.
                    let incarnation = random_number()?;
                    let fresh = Account { incarnation, seen: now(), ..Account::default() };
                    let discarded = files.discard(disk, server, Some(&fresh), |_| true)?;
                    outcome.apart = Some((*reason, discarded));
                    Ok(None)
                }
            }
        })
    }

    /// The server's judgement of a statement, and the client's presence where they agree; `None` where its signature is wrong.
    pub(super) fn judge(
        self: &Arc<Self>,
        said: &Statement,
        binding: &[u8; 32],
        outcome: &mut Outcome,
    ) -> Result<Option<(Answer, Option<Presence>)>, StoreError> {
        if !is_signed(&said.client, binding, &said.signed(), &said.signature) {
            return Ok(None);
        }
        let (peer, disk) = (Peer(said.client), self.disk.as_ref());
        outcome.peer = peer;
        let answer = self.with(|files, notes| {
            if notes.looked.is_none_or(|looked| looked.elapsed() > LOOK) {
                files.expire(disk, now())?;
                *notes.looked = Some(Instant::now());
            }
            let known = files.book.account(peer)?;
            if let Some(reason) = difference(known.as_ref(), said) {
                let discarded = files.discard(disk, peer, None, |_| true)?;
                outcome.apart = Some((reason, discarded));
                return Ok(Answer::Apart(reason));
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
            // A larger number is of a bundle that another session of this client made meanwhile; and while there are other sessions, a bundle
            // that the client has struck off may be on its way to its use.
            let others = notes.present.get(&peer).is_some_and(|sessions| *sessions > 0);
            let alone = |number: u64| !others && number < said.next && !theirs.contains(&number);
            outcome.dropped += files.discard(disk, peer, Some(&account), alone)?;
            let ours: HashSet<u64> = files.book.bundles(Some(peer))?.into_iter().map(|(_, n, _)| n).collect();
            let both = |number: &u64| ours.contains(number) || notes.making.contains(&(peer, *number));
            let kept: Vec<u64> = said.held.iter().copied().filter(both).collect();
            outcome.held = kept.len();
            *notes.present.entry(peer).or_default() += 1;
            Ok(Answer::Agreed { next: account.next, kept })
        })?;
        let agreed = matches!(answer, Answer::Agreed { .. });
        let presence = agreed.then(|| Presence { store: Arc::clone(self), peer });
        Ok(Some((answer, presence)))
    }

    /// Notes durably that the server has struck off what the client has, up to a count.
    pub(super) fn confirm(&self, server: Peer, mark: u64, standing: u64) -> Result<(), StoreError> {
        self.with(|files, _| {
            let mut account = files.account_under(server, Some(standing))?;
            account.confirmed = account.confirmed.max(mark.min(account.spent));
            files.book.update(|page| page.set_account(server, &account))
        })
    }

    /// A number for a bundle that a client is going to make; it was never given before.
    pub(super) fn reserve(&self, peer: Peer) -> Result<Reservation<'_>, StoreError> {
        self.with(|files, notes| {
            let mut account = files.account_under(peer, Some(SERVERS))?;
            let number = account.next;
            account.next = number.checked_add(1).ok_or_else(|| Fault::Full("no number is left".into()))?;
            files.book.update(|page| page.set_account(peer, &account))?;
            notes.making.insert((peer, number));
            Ok(Reservation { store: self, peer, number })
        })
    }
}

/// A session of a client that agreed.
#[derive(Debug)]
pub(super) struct Presence {
    store: Arc<Store>,
    peer: Peer,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = self.store.state();
        if let Some(sessions) = state.present.get_mut(&self.peer) {
            *sessions = sessions.saturating_sub(1);
            if *sessions == 0 {
                state.present.remove(&self.peer);
            }
        }
    }
}

/// The incarnation in all of a server's accounts: for a server, each incarnation of a client is another peer.
pub(super) const SERVERS: u64 = 0;

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
        // Whoever has a past here has met this server before.
        let has_past = said.epoch != [0; 32] || said.next > 0 || said.spent > 0;
        return has_past.then_some(Reason::Unknown);
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
