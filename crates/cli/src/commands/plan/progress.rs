//! What training shows while it goes on: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use planner::checkpoint::Checkpoint;
use planner::search::{Counted, Watcher};
use planner::train::{Observer, Progress, Round, Settings, State};
use planner::{Error, Network};

use crate::console::note;
use crate::failure::Failure;

static STOP: AtomicBool = AtomicBool::new(false);

/// Ctrl-C ends the training after the step it is in; checkpoints stay. Once more ends it at once.
pub fn stop_on_interrupt() -> Result<(), Failure> {
    let stop = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(stop).map_err(|error| Failure::running(format!("Ctrl-C cannot be caught: {error}")))
}

/// How often a line is printed where nobody sits at a terminal.
const PACE: Duration = Duration::from_secs(30);

/// Lines on standard error: all of them on a terminal, one now and then in a log.
struct Pace {
    begun: Instant,
    /// When the last line was printed; none on a terminal, where all are.
    last: Option<Mutex<Instant>>,
}

impl Pace {
    fn new() -> Self {
        let begun = Instant::now();
        let last = (!std::io::stderr().is_terminal()).then(|| Mutex::new(begun));
        Self { begun, last }
    }

    fn is_terminal(&self) -> bool {
        self.last.is_none()
    }

    fn say(&self, text: &str) {
        if let Some(last) = &self.last {
            let Ok(mut last) = last.lock() else { return };
            if last.elapsed() < PACE {
                return;
            }
            *last = Instant::now();
        }
        note(&format!("{:>6.0} s  {text}", self.begun.elapsed().as_secs_f64()));
    }
}

/// A bar on standard error; on a terminal alone.
fn bar(template: &str, steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// A search's bar, and lines that say which members were trained, and which counts of quadratic layers are done.
pub struct Searching {
    bar: ProgressBar,
    pace: Pace,
}

impl Searching {
    pub fn new() -> Self {
        Self { bar: bar("[{wide_bar}] {percent} %  {elapsed}, {eta} left", 0), pace: Pace::new() }
    }

    fn say(&self, text: &str) {
        let done = self.bar.position().saturating_mul(100) / self.bar.length().unwrap_or(0).max(1);
        self.bar.suspend(|| self.pace.say(&format!("{done:>3} % done  {text}")));
    }
}

impl Watcher for Searching {
    fn begins(&self, steps: u64) {
        self.bar.set_length(steps);
    }

    fn stepped(&self, steps: u64) -> bool {
        self.bar.inc(steps);
        !STOP.load(Ordering::Relaxed)
    }

    fn skipped(&self, steps: u64) {
        self.bar.inc(steps);
        // They took no time: what is left is judged by those that do.
        self.bar.reset_eta();
    }

    fn trained(&self, what: &str, accuracy: f64) -> bool {
        self.say(&format!("{:.2} %: {what}", 100.0 * accuracy));
        !STOP.load(Ordering::Relaxed)
    }

    fn counted(&self, counted: Counted) {
        let Counted { count, of, best, kept } = counted;
        let before = if kept { ", from the run before" } else { "" };
        self.say(&format!("{:.2} % at best with {count} of {of} layers quadratic{before}", 100.0 * best));
    }
}

/// A training's bar, and a checkpoint after each epoch.
pub struct Shown<'a> {
    bar: ProgressBar,
    pace: Pace,
    what: String,
    /// Steps of an epoch.
    steps: u64,
    loss: f32,
    checkpoint: Option<&'a Checkpoint>,
}

impl<'a> Shown<'a> {
    pub fn new(settings: &Settings, examples: usize, checkpoint: Option<&'a Checkpoint>) -> Self {
        let steps = examples.div_ceil(settings.batch.max(1)) as u64;
        let all = steps.saturating_mul(settings.epochs as u64);
        let bar = bar("[{wide_bar}] {pos}/{len}  {elapsed}  {msg}", all);
        Self { bar, pace: Pace::new(), what: String::new(), steps, loss: f32::NAN, checkpoint }
    }

    /// Epochs that were done before.
    pub fn skip(&mut self, epochs: usize) {
        self.bar.inc(self.steps.saturating_mul(epochs as u64));
    }
}

impl Observer for Shown<'_> {
    fn round(&mut self, round: Round) {
        let Round { round, rounds, keep, done, .. } = round;
        self.skip(done);
        self.what = format!("round {round} of {rounds}, {:.1} % of the products, ", 100.0 * keep);
    }

    fn step(&mut self, progress: Progress) -> bool {
        self.bar.inc(1);
        self.loss = progress.loss;
        !STOP.load(Ordering::Relaxed)
    }

    fn epoch(&mut self, network: &Network, state: &State) -> Result<(), Error> {
        let text = format!("{}epoch {}, loss {:.4}", self.what, state.epoch, self.loss);
        if self.pace.is_terminal() {
            self.bar.set_message(text);
        } else {
            self.pace.say(&text);
        }
        self.checkpoint.map_or(Ok(()), |checkpoint| checkpoint.save(network, state))
    }
}
