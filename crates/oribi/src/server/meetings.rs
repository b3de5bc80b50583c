//! Where the two sessions of an outsourced prediction meet on the server: the client's, which brings one share of the input and waits
//! for the outputs' colours, and the proxy's, which garbles.
//!
//! A meeting has a random name that the server gives to the client and the client to the proxy. One proxy session may join it, once.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use model::fixed::FixedGraph;
use protocol::garbled::{Options, SessionId};
use protocol::{Error, Reveal};
use zeroize::Zeroizing;

/// Most meetings at a time: each belongs to a session, and those are limited already.
const MOST: usize = 4096;

/// Time in which the other session must come, and bring its share.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a waiting session looks whether the other has come.
const LOOK: Duration = Duration::from_millis(500);

/// The meetings of a server.
#[derive(Debug, Default)]
pub struct Meetings(Mutex<HashMap<SessionId, Meeting>>);

#[derive(Debug)]
struct Meeting {
    graph: FixedGraph,
    options: Options,
    joined: bool,
    holder: Option<HolderEnd>,
    garbler: Option<GarblerEnd>,
}

/// What the client's session brings for one prediction.
#[derive(Debug)]
pub struct Share {
    /// What the client is to learn.
    pub reveal: Reveal,
    /// Its share of the input.
    pub values: Zeroizing<Vec<Vec<i64>>>,
}

/// The client's end of a meeting.
#[derive(Debug)]
pub struct HolderEnd {
    shares: SyncSender<Share>,
    colours: Receiver<Vec<bool>>,
}

/// The proxy's end.
#[derive(Debug)]
pub struct GarblerEnd {
    shares: Receiver<Share>,
    colours: SyncSender<Vec<bool>>,
}

impl Meetings {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Meeting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new meeting for predictions of a graph; gives its name.
    ///
    /// # Errors
    /// When there are too many, or no randomness.
    pub fn open(&self, graph: &FixedGraph, options: Options) -> Result<SessionId, Error> {
        let seed =
            Seed::from_os().map_err(|e| Error::Refused(format!("the server has no randomness: {e}")))?;
        let name = SessionId(*seed.child("meeting", 0).as_bytes());
        let (to_garbler, shares) = sync_channel(1);
        let (to_holder, colours) = sync_channel(1);
        let mut meetings = self.lock();
        if meetings.len() >= MOST {
            return Err(Error::Refused("the server is busy; try again in a few seconds".into()));
        }
        let meeting = Meeting {
            graph: graph.clone(),
            options,
            joined: false,
            holder: Some(HolderEnd { shares: to_garbler, colours }),
            garbler: Some(GarblerEnd { shares, colours: to_holder }),
        };
        meetings.insert(name, meeting);
        Ok(name)
    }

    /// The proxy joins; gives what was agreed with the client.
    ///
    /// # Errors
    /// When there is no such meeting, it is for another model, or a proxy has joined it before.
    pub fn join(&self, name: SessionId, graph: &FixedGraph) -> Result<Options, Error> {
        match self.lock().get_mut(&name) {
            Some(meeting) if !meeting.joined && meeting.graph == *graph => {
                meeting.joined = true;
                Ok(meeting.options)
            }
            _ => Err(Error::Refused("no client waits for a proxy under this name".into())),
        }
    }

    /// Takes the client's end for a prediction.
    ///
    /// # Errors
    /// When the meeting is over.
    pub fn take_holder(&self, name: SessionId) -> Result<HolderEnd, Error> {
        let mut meetings = self.lock();
        let meeting = meetings.get_mut(&name).ok_or_else(over)?;
        meeting.holder.take().ok_or_else(over)
    }

    /// Takes the proxy's end for a prediction.
    ///
    /// # Errors
    /// When the meeting is over.
    pub fn take_garbler(&self, name: SessionId) -> Result<GarblerEnd, Error> {
        self.lock().get_mut(&name).and_then(|meeting| meeting.garbler.take()).ok_or_else(over)
    }

    /// Gives an end back after a prediction that went well.
    pub fn return_holder(&self, name: SessionId, end: HolderEnd) {
        if let Some(meeting) = self.lock().get_mut(&name) {
            meeting.holder = Some(end);
        }
    }

    /// As [`Meetings::return_holder`].
    pub fn return_garbler(&self, name: SessionId, end: GarblerEnd) {
        if let Some(meeting) = self.lock().get_mut(&name) {
            meeting.garbler = Some(end);
        }
    }

    /// A session of the meeting has ended, and with it the meeting.
    pub fn close(&self, name: SessionId) {
        self.lock().remove(&name);
    }

    fn joined(&self, name: SessionId) -> bool {
        self.lock().get(&name).is_some_and(|meeting| meeting.joined)
    }

    /// Hands the client's share to the proxy's session and waits for the colours, as long as that session lives.
    ///
    /// # Errors
    /// When no proxy comes, or its session ends.
    pub fn exchange(&self, name: SessionId, end: &HolderEnd, share: Share) -> Result<Vec<bool>, Error> {
        let left = || Error::Refused("the proxy's session ended before the prediction".into());
        end.shares.try_send(share).map_err(|_| left())?;
        let start = Instant::now();
        loop {
            match end.colours.recv_timeout(LOOK) {
                Ok(colours) => return Ok(colours),
                Err(RecvTimeoutError::Disconnected) => return Err(left()),
                Err(RecvTimeoutError::Timeout) if start.elapsed() > PATIENCE && !self.joined(name) => {
                    return Err(Error::Refused("no proxy came for this session".into()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl GarblerEnd {
    /// Waits for the client's share.
    ///
    /// # Errors
    /// When the client does not bring it in time, or its session ended.
    pub fn share(&self) -> Result<Share, Error> {
        self.shares.recv_timeout(PATIENCE).map_err(|_| Error::Refused("the client brought no share".into()))
    }

    /// Hands over the outputs' colours.
    ///
    /// # Errors
    /// When the client's session has ended.
    pub fn deliver(&self, colours: Vec<bool>) -> Result<(), Error> {
        self.colours.try_send(colours).map_err(|_| Error::Refused("the client's session has ended".into()))
    }
}

fn over() -> Error {
    Error::Refused("this outsourced session is over".into())
}

#[cfg(test)]
mod tests {
    use model::fixed::NumberFormat;

    use super::*;

    fn graph(inputs: Vec<usize>) -> FixedGraph {
        FixedGraph {
            number: NumberFormat::Word16,
            nodes: Vec::new(),
            params: Vec::new(),
            inputs,
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: Vec::new(),
        }
    }

    fn share() -> Share {
        Share { reveal: Reveal::Scores, values: Zeroizing::new(vec![vec![5]]) }
    }

    #[test]
    fn a_name_is_good_for_one_proxy_and_one_model() {
        let meetings = Meetings::default();
        let (mine, other) = (graph(vec![0]), graph(vec![1]));
        let name = meetings.open(&mine, Options::default()).unwrap();
        assert_ne!(name, meetings.open(&mine, Options::default()).unwrap());
        assert!(meetings.join(SessionId([0; 32]), &mine).is_err(), "a guessed name");
        assert!(meetings.join(name, &other).is_err(), "another model");
        assert!(meetings.join(name, &mine).is_ok());
        assert!(meetings.join(name, &mine).is_err(), "twice");
        meetings.close(name);
        assert!(meetings.take_holder(name).is_err() && meetings.take_garbler(name).is_err());
    }

    #[test]
    fn shares_and_colours_meet_as_often_as_wanted() {
        let meetings = Meetings::default();
        let name = meetings.open(&graph(vec![0]), Options::default()).unwrap();
        meetings.join(name, &graph(vec![0])).unwrap();
        for round in 0..3 {
            let colours = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let end = meetings.take_garbler(name).unwrap();
                    assert_eq!(*end.share().unwrap().values, [[5]]);
                    end.deliver(vec![round % 2 == 0]).unwrap();
                    meetings.return_garbler(name, end);
                });
                let end = meetings.take_holder(name).unwrap();
                let colours = meetings.exchange(name, &end, share()).unwrap();
                meetings.return_holder(name, end);
                colours
            });
            assert_eq!(colours, [round % 2 == 0]);
        }
    }

    #[test]
    fn an_end_that_is_dropped_frees_the_other() {
        let meetings = Meetings::default();
        let name = meetings.open(&graph(vec![0]), Options::default()).unwrap();
        let holder = meetings.take_holder(name).unwrap();
        drop(meetings.take_garbler(name).unwrap());
        assert!(meetings.exchange(name, &holder, share()).is_err(), "the proxy has left");
        let name = meetings.open(&graph(vec![0]), Options::default()).unwrap();
        let garbler = meetings.take_garbler(name).unwrap();
        meetings.close(name);
        assert!(garbler.share().is_err() && garbler.deliver(vec![]).is_err(), "the client has left");
    }
}
