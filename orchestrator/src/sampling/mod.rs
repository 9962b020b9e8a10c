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
use tokio::time::sleep;

use crate::context::{Clock as _, SystemClock};
use crate::machines::{ControlError, Machine, Quiet};
use crate::store::StoreError;

pub use self::document::document;
pub use self::room::Room;
pub use self::roster::{Living, Roster};

/// How long it is until answers are looked for, each time in milliseconds: a second in all, which is
/// how long a runtime may take to say what its machine used. Nobody is woken by each answer.
const LOOKS_MS: &[u64] = &[5, 10, 15, 30, 60, 60, 60, 60, 100, 200, 400];

/// The same where many are asked: a look at each costs more than what a few milliseconds are worth.
const LOOKS_AT_MANY_MS: &[u64] = &[50, 150, 300, 500];

/// How many are many.
const MANY: usize = 100;

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
    control: Option<Quiet>,
    /// The question that is not answered yet; no other is put before it is.
    owed: Option<u64>,
    /// When it was asked last.
    asked: Option<Duration>,
    last: Option<Arc<Sample>>,
    is_off: bool,
}

/// A round of questions.
#[derive(Default)]
struct Round {
    max_age_ms: u64,
    /// Who is waited for, and whether for the answer to a question of an earlier round.
    waited: Vec<(String, Owed)>,
    /// Who is being connected to.
    connecting: JoinSet<(String, Result<Quiet, ControlError>)>,
    /// What was told.
    new: BTreeMap<String, Arc<Sample>>,
}

/// Since when an answer is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    SinceNow,
    SinceBefore,
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
        let over = |line: &Line| line.control.as_ref().is_some_and(Quiet::is_over);
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
        let max_age_ms = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        let mut round = Round { max_age_ms, ..Round::default() };
        let now = self.clock.elapsed();
        for one in &who {
            let id = one.machine.id().to_owned();
            if self.lines.len() >= self.room.lines_max() && !self.lines.contains_key(&id) {
                left_out.insert(id);
                continue;
            }
            let line = self.lines.entry(id.clone()).or_insert_with(|| Line::new(one));
            line.who = Arc::clone(one);
            if !line.is_due(now, max_age) {
                continue;
            }
            line.asked = Some(now);
            if line.control.is_some() {
                self.put(id, &mut round);
            } else {
                let machine = one.machine.clone();
                round.connecting.spawn(async move { (id, connect(&machine).await) });
            }
        }
        self.hear(&mut round).await;
        let Round { mut new, .. } = round;
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

    /// Puts the question to a machine, unless it owes an answer.
    fn put(&mut self, id: String, round: &mut Round) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let Some(control) = &mut line.control else { return };
        if line.owed.is_some() {
            round.waited.push((id, Owed::SinceBefore));
            return;
        }
        match control.send(Call::Sample { max_age_ms: round.max_age_ms }) {
            Ok(question) => {
                line.owed = Some(question);
                round.waited.push((id, Owed::SinceNow));
            }
            Err(ControlError::Ended) => self.end(&id),
            Err(_) => line.lose(),
        }
    }

    /// Looks for answers until all have come, or their time is over.
    async fn hear(&mut self, round: &mut Round) {
        let asked = round.waited.len() + round.connecting.len();
        let looks = if asked > MANY { LOOKS_AT_MANY_MS } else { LOOKS_MS };
        for look_ms in looks.iter().copied() {
            if round.waited.is_empty() && round.connecting.is_empty() {
                break;
            }
            let rest = sleep(Duration::from_millis(look_ms));
            tokio::pin!(rest);
            loop {
                tokio::select! {
                    biased;
                    Some(connected) = round.connecting.join_next() => {
                        // One that panicked has connected nobody.
                        let Ok((id, connected)) = connected else { continue };
                        self.connected(id, connected, round);
                    }
                    () = &mut rest => break,
                }
            }
            std::mem::take(&mut round.waited)
                .into_iter()
                .for_each(|(id, owed)| self.look(id, owed, round));
        }
        // Who did not answer is waited for the next time.
        for line in self.lines.values_mut().filter(|line| !line.is_told()) {
            line.asked = None;
        }
    }

    /// Takes in what came of connecting to a machine.
    fn connected(&mut self, id: String, connected: Result<Quiet, ControlError>, round: &mut Round) {
        match connected {
            Ok(control) => {
                if let Some(line) = self.lines.get_mut(&id) {
                    line.control = Some(control);
                }
                self.put(id, round);
            }
            // Its socket is there as long as it is, and is that of this very launch.
            Err(ControlError::Connect { source, .. }) if is_nobody(&source) => self.end(&id),
            Err(ControlError::Stranger { .. } | ControlError::Ended) => self.end(&id),
            // It may answer the next time.
            Err(_) => {}
        }
    }

    /// Looks for the answer of one machine.
    fn look(&mut self, id: String, owed: Owed, round: &mut Round) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let (Some(control), Some(question)) = (&mut line.control, line.owed) else { return };
        match control.answer_to(question) {
            Ok(None) => round.waited.push((id, owed)),
            Ok(Some(Reply::Sample { sample })) => {
                (line.owed, line.is_off) = (None, false);
                if line.last.as_ref().is_none_or(|last| !last.is_the_one(&sample)) {
                    let sample = Arc::new(*sample);
                    line.last = Some(Arc::clone(&sample));
                    round.new.insert(id.clone(), sample);
                }
                if owed == Owed::SinceBefore {
                    self.put(id, round);
                }
            }
            Err(ControlError::Refused(report)) if report.code == OFF => {
                (line.owed, line.last, line.is_off) = (None, None, true);
            }
            Err(ControlError::Ended) => self.end(&id),
            Ok(Some(_)) | Err(_) => line.lose(),
        }
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

    /// Gives up a connection that is no good.
    fn lose(&mut self) {
        (self.control, self.owed, self.asked) = (None, None, None);
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

async fn connect(machine: &Machine) -> Result<Quiet, ControlError> {
    machine.control().await?.quiet()
}

/// Tells whether nobody listens any more; whoever has no room for a connection knows nothing.
fn is_nobody(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_has_a_second_to_answer_however_many_are_asked() {
        for looks in [LOOKS_MS, LOOKS_AT_MANY_MS] {
            assert_eq!(looks.iter().sum::<u64>(), 1000);
        }
    }
}
