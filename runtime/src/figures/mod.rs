//! What a machine uses, taken when somebody asks and never otherwise.
//!
//! ```text
//! ask ─▶ one task ─ fresh enough? ─▶ the last sample
//!                 └─ else ─▶ Sources: VMM, agent, runtime ─▶ Readings ─ assemble ─▶ Sample
//! ```
//!
//! Questions are answered one after the other: those that came while a sample was taken find it
//! fresh, so however many ask, one is taken at a time.

mod agent;
mod assemble;
mod children;
mod host;
mod slow;
mod sources;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use schema::figures::{Measuring, Sample};
use schema::launch::LaunchRecord;
use schema::wire::message::StatsReply;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock as _, HostClock};
use assemble::Before;
pub(crate) use sources::Parts;
use sources::Sources;

/// How many questions wait; whoever asks beyond is told to ask again.
const QUESTIONS_MAX: usize = 64;

/// How many words of the agent wait; it is asked for one at a time.
const WORDS_MAX: usize = 4;

/// What is said to who asks.
#[derive(Debug)]
pub(crate) enum Told {
    /// What was used.
    Sample(Box<Sample>),
    /// The machine is not to be measured.
    Off,
    /// Too many ask.
    Busy,
}

/// Somebody who wants to know.
type Question = (Duration, oneshot::Sender<Told>);

/// See the module. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Figures {
    questions: mpsc::Sender<Question>,
    /// What the agent says; `None` where it does not know how.
    words: mpsc::Sender<Option<StatsReply>>,
    measuring: Rc<Cell<Measuring>>,
}

impl Figures {
    /// Waits for questions, in a task of its own.
    pub(crate) fn start(launch: &LaunchRecord, parts: Parts) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let (words, said) = mpsc::channel(WORDS_MAX);
        let measuring = Rc::new(Cell::new(launch.metrics));
        let sources = Sources::new(launch, parts, said);
        tokio::task::spawn_local(answer(asked, sources, Rc::clone(&measuring)));
        Self { questions, words, measuring }
    }

    /// Answers a question when there is a sample no older than it allows.
    pub(crate) fn ask(&self, max_age_ms: u64, done: oneshot::Sender<Told>) {
        let question = (Duration::from_millis(max_age_ms), done);
        if let Err(error) = self.questions.try_send(question) {
            let (_, done) = error.into_inner();
            // Whoever asked may be gone.
            drop(done.send(Told::Busy));
        }
    }

    /// Measures differently from now on.
    pub(crate) fn change(&self, measuring: Measuring) {
        self.measuring.set(measuring);
    }

    /// Takes what the agent says about the guest; `None` where it does not know how.
    pub(crate) fn hear(&self, said: Option<StatsReply>) {
        // A guest that says more than it was asked is not listened to.
        self.words.try_send(said).ok();
    }
}

async fn answer(
    mut asked: mpsc::Receiver<Question>,
    mut sources: Sources,
    measuring: Rc<Cell<Measuring>>,
) {
    let mut before: Option<Before> = None;
    while let Some((max_age, done)) = asked.recv().await {
        let Measuring { enabled, interval_ms } = measuring.get();
        if !enabled {
            drop(done.send(Told::Off));
            continue;
        }
        let age = max_age.max(Duration::from_millis(interval_ms));
        // Another boot is another machine: nothing of the one before is compared with it.
        before = before.filter(|before| before.sample.boot == sources.boot());
        let now = match before.take() {
            Some(last) if is_fresh(last.taken, HostClock.now(), age) => last,
            last => sources.take(last.as_ref()).await,
        };
        drop(done.send(Told::Sample(Box::new(now.sample.clone()))));
        before = Some(now);
    }
}

/// Tells whether what was taken at `taken` is younger than `age`.
fn is_fresh(taken: Instant, now: Instant, age: Duration) -> bool {
    now.saturating_duration_since(taken) < age
}
