//! The end of a machine, in good order or by force.
//!
//! ```text
//! told ── acknowledged within 2 s ──▶ grace G ──▶ flush window W ──▶ killed, forced
//!   └──── not: deaf ────────────────▶ grace G ──▶ quit ── 1 s ────▶ killed, forced
//! ```

use std::time::{Duration, Instant};

use schema::launch::Kind;
use schema::lifecycle::Event;

use super::again::Mends;
use super::{Act, Guest, Life, Over, Verdict, Wish};

/// How long an agent takes to acknowledge before it counts as deaf.
const DEAF_AFTER: Duration = Duration::from_secs(2);

/// What a guest has from the end of the grace to its reset.
const FLUSH_WINDOW: Duration = Duration::from_secs(8);

/// The same when the creator is gone.
const FLUSH_WINDOW_HASTY: Duration = Duration::from_secs(3);

/// What a VMM that was told to quit has to flush its block layer.
const QUIT_WINDOW: Duration = Duration::from_secs(1);

/// The grace of a guest that shuts itself down.
const GRACE_OF_GUEST: Duration = Duration::from_secs(5);

/// How fast a machine is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// In good order.
    Normal,
    /// In good order, with a short flush window.
    Hasty,
    /// At once, without a flush.
    Kill,
}

/// That somebody wants the machine to end.
#[derive(Debug, Clone)]
pub(crate) struct StopAsk {
    pub(crate) actor: String,
    pub(crate) reason: String,
    /// Absent: the machine's own.
    pub(crate) grace: Option<Duration>,
    pub(crate) urgency: Urgency,
}

/// A stop that is under way.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) reason: String,
    /// Whether the guest was told, and so could have said good-bye.
    pub(super) was_told: bool,
    /// When an agent that has said nothing counts as deaf.
    deaf_at: Option<Instant>,
    grace_until: Instant,
    flush: Duration,
    is_deaf: bool,
    kill_at: Option<Instant>,
}

impl Stop {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let quit = (self.is_deaf && self.kill_at.is_none()).then_some(self.grace_until);
        [self.deaf_at, quit, self.kill_at].into_iter().flatten().min()
    }

    /// Returns what is due, and whether it is force.
    pub(super) fn tick(&mut self, now: Instant) -> (Vec<Act>, bool) {
        let mut acts = Vec::new();
        if self.deaf_at.is_some_and(|at| now >= at) {
            self.deaf_at = None;
            self.is_deaf = true;
            self.kill_at = None;
        }
        if self.is_deaf && self.kill_at.is_none() && now >= self.grace_until {
            self.kill_at = Some(now + QUIT_WINDOW);
            acts.push(Act::Quit);
        }
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill_at = None;
            self.is_deaf = false;
            acts.push(Act::Kill);
        }
        let forced = !acts.is_empty();
        (acts, forced)
    }
}

impl Life {
    /// Takes somebody's wish to end the machine.
    pub(super) fn stop_asked(&mut self, ask: StopAsk, now: Instant) -> Vec<Act> {
        self.wish = Wish::Ends;
        let is_kill = ask.urgency == Urgency::Kill || ask.grace == Some(Duration::ZERO);
        if is_kill {
            return self.kill_asked(ask);
        }
        let Some(stop) = &self.stop else {
            return self.begin_stop(ask, now);
        };
        // Under way: a shorter grace hastens it, a longer one changes nothing.
        let grace = ask.grace.unwrap_or(self.terms.grace);
        if now + grace >= stop.grace_until {
            return Vec::new();
        }
        let reason = stop.reason.clone();
        self.stop_within(reason.clone(), grace, ask.urgency, now);
        vec![Act::Shutdown { grace, reason }]
    }

    fn kill_asked(&mut self, ask: StopAsk) -> Vec<Act> {
        let StopAsk { actor, reason, .. } = ask;
        self.judge(Verdict::new(Event::Stopped, reason.clone()));
        let asked = Act::Ask { actor, reason, grace: Duration::ZERO };
        if self.give_up_again() {
            return self.rest_between(asked);
        }
        self.forced = true;
        vec![asked, Act::Kill]
    }

    /// Rests where there is no machine: the one ended, and the next has not begun.
    fn rest_between(&mut self, asked: Act) -> Vec<Act> {
        let verdict = self.verdict.take();
        let verdict = verdict.unwrap_or_else(|| Verdict::new(Event::Stopped, "requested"));
        std::iter::once(asked).chain(self.rest(verdict)).collect()
    }

    /// A clock ran out.
    pub(super) fn is_over(&mut self, over: Over, now: Instant) -> Vec<Act> {
        if self.is_closing() {
            return Vec::new();
        }
        let reason = match over {
            Over::Idle => "idle",
            Over::Old => "max-duration",
        };
        if over == Over::Old && self.terms.kind == Kind::Job {
            let message = "it did not come to its end in the time it has";
            self.judge(Verdict::new(Event::Died, reason).message(message));
        }
        let (actor, reason) = ("msb-runtime".to_owned(), reason.to_owned());
        self.stop_asked(StopAsk { actor, reason, grace: None, urgency: Urgency::Normal }, now)
    }

    /// Begins the end of the machine.
    pub(super) fn begin_stop(&mut self, ask: StopAsk, now: Instant) -> Vec<Act> {
        let grace = ask.grace.unwrap_or(self.terms.grace);
        let reason = ask.reason.clone();
        let asked = Act::Ask { actor: ask.actor, reason: ask.reason, grace };
        if self.give_up_again() {
            self.judge(Verdict::new(Event::Stopped, reason));
            return self.rest_between(asked);
        }
        self.stop_within(reason.clone(), grace, ask.urgency, now);
        if self.guest != Guest::Down {
            return vec![asked, Act::Shutdown { grace, reason }];
        }
        // A guest that is not up runs nothing that could lose data.
        if let Some(stop) = &mut self.stop {
            stop.was_told = false;
        }
        vec![asked, Act::Kill]
    }

    fn stop_within(&mut self, reason: String, grace: Duration, urgency: Urgency, now: Instant) {
        let flush = match urgency {
            Urgency::Normal => FLUSH_WINDOW,
            Urgency::Hasty | Urgency::Kill => FLUSH_WINDOW_HASTY,
        };
        let acknowledged = self.stop.as_ref().is_some_and(|stop| stop.deaf_at.is_none());
        self.stop = Some(Stop {
            reason,
            was_told: true,
            deaf_at: (!acknowledged).then(|| now + DEAF_AFTER),
            grace_until: now + grace,
            flush,
            is_deaf: false,
            kill_at: Some(now + grace + flush),
        });
    }

    /// Takes the guest's word that it shuts down.
    pub(super) fn stopping(&mut self, from_guest: bool, now: Instant) -> Vec<Act> {
        if let Some(stop) = &mut self.stop {
            stop.deaf_at = None;
            if std::mem::take(&mut stop.is_deaf) {
                stop.kill_at = Some(stop.grace_until.max(now) + stop.flush);
            }
            return Vec::new();
        }
        if !from_guest || self.is_closing() {
            return Vec::new();
        }
        self.judge(by_guest());
        self.stop_within("guest-shutdown".into(), GRACE_OF_GUEST, Urgency::Normal, now);
        if let Some(stop) = &mut self.stop {
            stop.deaf_at = None;
        }
        vec![Act::Ask {
            actor: "guest".into(),
            reason: "guest-shutdown".into(),
            grace: GRACE_OF_GUEST,
        }]
    }
}

/// Returns the verdict of a machine whose guest shut it down unasked.
pub(super) fn by_guest() -> Verdict {
    Verdict::new(Event::Stopped, "guest-shutdown").mends(Mends::Success)
}
