//! What machines used: each that lives is asked, over a connection that is kept.
//!
//! ```text
//! Roster ─ who lives ─▶ Sampler ─ one question each, at most once per its interval ─▶ Sampled
//! ```
//!
//! End-of-file on a connection is the end of a machine, whatever its folder still says: it is told
//! once, with the last sample, and never listed again. Nothing is created, and no lock taken.

mod document;
mod room;
mod roster;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schema::control::{Call, Reply};
use schema::figures::{OFF, Sample};
use tokio::task::JoinSet;

use crate::context::{Clock as _, SystemClock};
use crate::machines::{Control, ControlError, Machine};
use crate::store::StoreError;

pub use self::document::document;
pub use self::room::Room;
pub use self::roster::{Living, Roster};

/// How long a runtime may take to say what its machine used.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Sampler {
    clock: SystemClock,
    room: Room,
    roster: Roster,
    /// Connections to machines, by id.
    lines: BTreeMap<String, Line>,
    /// Machines that were found to have ended, and nobody was told yet.
    ended: Vec<Sampled>,
    /// How many of those that were meant last found no room.
    left_out: usize,
}

/// What was told of one machine.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// Whose it is.
    pub who: Arc<Living>,
    /// What it used.
    pub figures: Figures,
}

/// What is known of a machine's figures.
#[derive(Debug, Clone, PartialEq)]
pub enum Figures {
    /// It told this just now.
    New(Arc<Sample>),
    /// It told this before, and is not asked again so soon.
    Same(Arc<Sample>),
    /// It is not measured.
    Off,
    /// It does not answer in time, or not yet.
    Silent,
    /// It has ended; this was the last that it told.
    Gone(Option<Arc<Sample>>),
}

impl Figures {
    /// Returns the sample of a machine that lives.
    #[must_use]
    pub const fn sample(&self) -> Option<&Arc<Sample>> {
        match self {
            Self::New(sample) | Self::Same(sample) => Some(sample),
            Self::Off | Self::Silent | Self::Gone(_) => None,
        }
    }
}

/// A connection to one machine, and what came through it.
#[derive(Debug)]
struct Line {
    who: Arc<Living>,
    /// Absent while a question is on its way, and where there is no connection.
    control: Option<Control>,
    /// The question that was not answered in time; no other is put before it is.
    owed: Option<u64>,
    /// When it was asked last.
    asked: Option<Duration>,
    last: Option<Arc<Sample>>,
    is_off: bool,
}

/// What came of a question.
enum Came {
    Told(Box<Sample>, Control),
    Off(Control),
    /// It does not answer in time, but may.
    Late(Control, u64),
    /// It may answer the next one, over a new connection.
    Silent,
    Ended,
}

impl Sampler {
    /// Returns a sampler of the machines of `home`, which need not exist yet.
    #[must_use]
    pub fn new(home: &Path, clock: SystemClock, room: Room) -> Self {
        let roster = Roster::new(home);
        let (lines, ended) = (BTreeMap::new(), Vec::new());
        Self { clock, room, roster, lines, ended, left_out: 0 }
    }

    /// Returns what to tell of machines that were left out for want of room, where some were.
    #[must_use]
    pub fn want_of_room(&self) -> Option<String> {
        (self.left_out > 0).then(|| self.room.told(self.left_out))
    }

    /// Returns what every machine of the home used, by project and name; a sample that is no older
    /// than `max_age` is as good as a new one.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn collect(&mut self, max_age: Duration) -> Result<Vec<Sampled>, StoreError> {
        let living = self.living()?;
        Ok(self.ask(living, max_age).await)
    }

    /// Returns who lives, by project and name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn living(&mut self) -> Result<Vec<Arc<Living>>, StoreError> {
        let over = |line: &Line| line.control.as_ref().is_some_and(Control::is_over);
        let ended: Vec<String> =
            self.lines.iter().filter(|(_, line)| over(line)).map(|(id, _)| id.clone()).collect();
        ended.iter().for_each(|id| self.end(id));
        let lines = &self.lines;
        self.roster.living(|id| lines.get(id).is_some_and(|line| line.control.is_some()))
    }

    /// Asks those of `who` that are due; whoever is left out is forgotten.
    ///
    /// Those that were found to have ended come last. Those that there is no room for are silent.
    pub async fn ask(&mut self, who: Vec<Arc<Living>>, max_age: Duration) -> Vec<Sampled> {
        let meant: BTreeSet<&str> = who.iter().map(|one| one.machine.id()).collect();
        self.lines.retain(|id, _| meant.contains(id.as_str()));
        let mut left_out = BTreeSet::new();
        let mut under_way = JoinSet::new();
        let now = self.clock.elapsed();
        let max_age_ms = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        for one in &who {
            let id = one.machine.id().to_owned();
            if self.lines.len() >= self.room.lines_max() && !self.lines.contains_key(&id) {
                left_out.insert(id);
                continue;
            }
            let line = self.lines.entry(id.clone()).or_insert_with(|| Line::new(one));
            line.who = Arc::clone(one);
            if line.is_due(now, max_age) {
                line.asked = Some(now);
                let connected = line.control.take().map(|control| (control, line.owed.take()));
                let machine = one.machine.clone();
                under_way
                    .spawn(async move { (id, question(connected, &machine, max_age_ms).await) });
            }
        }
        let mut new = BTreeMap::new();
        while let Some(came) = under_way.join_next().await {
            // A question that panicked was not answered.
            let Ok((id, came)) = came else { continue };
            let Some(line) = self.lines.get_mut(&id) else { continue };
            match came {
                Came::Told(sample, control) => {
                    (line.control, line.is_off) = (Some(control), false);
                    if line.last.as_ref().is_none_or(|last| !last.is_the_one(&sample)) {
                        let sample = Arc::new(*sample);
                        line.last = Some(Arc::clone(&sample));
                        new.insert(id, sample);
                    }
                }
                Came::Off(control) => {
                    (line.control, line.last, line.is_off) = (Some(control), None, true);
                }
                Came::Late(control, owed) => {
                    (line.control, line.owed, line.asked) = (Some(control), Some(owed), None);
                }
                Came::Silent => line.asked = None,
                Came::Ended => self.end(&id),
            }
        }
        self.left_out = left_out.len();
        let told = who.into_iter().filter_map(|who| {
            if left_out.contains(who.machine.id()) {
                return Some(Sampled { who, figures: Figures::Silent });
            }
            let line = self.lines.get(who.machine.id())?;
            let figures = match (new.remove(who.machine.id()), &line.last) {
                (Some(sample), _) => Figures::New(sample),
                (None, Some(sample)) if line.is_told() => Figures::Same(Arc::clone(sample)),
                (None, _) if line.is_off => Figures::Off,
                (None, _) => Figures::Silent,
            };
            Some(Sampled { who, figures })
        });
        let mut told: Vec<Sampled> = told.collect();
        told.append(&mut self.ended);
        told
    }

    /// Forgets a machine that has ended, and keeps its last sample to be told.
    fn end(&mut self, id: &str) {
        self.roster.forget(id);
        let Some(Line { who, last, is_off, .. }) = self.lines.remove(id) else { return };
        // Of one that never said anything nobody knows.
        if last.is_some() || is_off {
            self.ended.push(Sampled { who, figures: Figures::Gone(last) });
        }
    }
}

impl Line {
    fn new(who: &Arc<Living>) -> Self {
        let who = Arc::clone(who);
        Self { who, control: None, owed: None, asked: None, last: None, is_off: false }
    }

    /// Tells whether it has answered what it was asked last.
    const fn is_told(&self) -> bool {
        self.control.is_some() && self.owed.is_none()
    }

    /// Tells whether the machine may have something new to say.
    fn is_due(&self, now: Duration, max_age: Duration) -> bool {
        let interval = self.who.interval().max(max_age);
        // Whoever asks in a rhythm of just that is not to miss every second time.
        let least = interval.saturating_sub(interval / 10);
        self.asked.is_none_or(|asked| now.saturating_sub(asked) >= least)
    }
}

/// Asks one machine, at most for [`ANSWER_MAX`]; one that owes an answer is only waited for.
async fn question(
    connected: Option<(Control, Option<u64>)>,
    machine: &Machine,
    max_age_ms: u64,
) -> Came {
    let put = async {
        let (mut control, owed) = match connected {
            Some(connected) => connected,
            None => match machine.control().await {
                Ok(control) => (control, None),
                // Its socket is there as long as it is, and is that of this very launch.
                Err(ControlError::Connect { source, .. }) if is_nobody(&source) => {
                    return Err(Came::Ended);
                }
                Err(ControlError::Stranger { .. } | ControlError::Ended) => {
                    return Err(Came::Ended);
                }
                Err(_) => return Err(Came::Silent),
            },
        };
        match owed {
            Some(owed) => Ok((control, owed)),
            None => match control.send(Call::Sample { max_age_ms }).await {
                Ok(id) => Ok((control, id)),
                Err(ControlError::Ended) => Err(Came::Ended),
                Err(_) => Err(Came::Silent),
            },
        }
    };
    let until = tokio::time::Instant::now() + ANSWER_MAX;
    let (mut control, id) = match tokio::time::timeout_at(until, put).await {
        Ok(Ok(put)) => put,
        Ok(Err(came)) => return came,
        Err(_) => return Came::Silent,
    };
    match tokio::time::timeout_at(until, control.answer_to(id)).await {
        Err(_) => Came::Late(control, id),
        Ok(Ok(Reply::Sample { sample })) => Came::Told(sample, control),
        Ok(Err(ControlError::Refused(report))) if report.code == OFF => Came::Off(control),
        Ok(Err(ControlError::Ended)) => Came::Ended,
        Ok(_) => Came::Silent,
    }
}

/// Tells whether nobody listens any more; whoever has no room for a connection knows nothing.
fn is_nobody(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}
