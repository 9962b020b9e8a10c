//! What is being done, while it is being done: repainted lines, plain lines, or JSON lines.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::screen::Screen;
use super::{Annotations, Progress, Report, github, human, time};
use crate::context::Clock;

/// What changes in between is painted together.
pub const REPAINT_EVERY: Duration = Duration::from_millis(100);

/// How long stderr may be silent before a plain follower says that it is still at it.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long a command may take before it says that it has begun.
pub const FIRST_WORD: Duration = Duration::from_millis(80);

/// What happens to one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Work on it goes on: `booting`.
    Doing(&'a str),
    /// It is waited for: `waiting for its health check`, until then by the clock.
    Waiting(&'a str, Option<Duration>),
    /// A part of the work on it is done, and more follows.
    Moved(&'a str),
    /// Work on it ended well.
    Done(&'a str),
    /// Work on it ended badly; the block about it follows at the end.
    Failed(&'a str),
    /// It was left alone because of another.
    Skipped(&'a str),
}

impl<'a> Event<'a> {
    /// Returns the type of its line, and what a line for people says.
    const fn parts(&self) -> (&'static str, &'a str) {
        match self {
            Self::Doing(text) | Self::Waiting(text, _) => ("step-start", text),
            Self::Moved(text) | Self::Done(text) => ("step-done", text),
            Self::Failed(text) => ("step-failed", text),
            Self::Skipped(text) => ("step-skipped", text),
        }
    }
}

/// Follows one command's work.
#[derive(Debug)]
pub struct Follower<C: Clock> {
    report: Rc<Report>,
    clock: C,
    title: String,
    /// Over how many subjects; `None` until that is known.
    all: Option<usize>,
    done: BTreeSet<String>,
    failed: BTreeSet<String>,
    active: BTreeMap<String, Active>,
    painted: Option<Duration>,
    is_stale: bool,
}

/// What is being done to one subject.
#[derive(Debug)]
struct Active {
    text: String,
    since: Duration,
    until: Option<Duration>,
}

impl Active {
    /// Returns the line of a terminal: `waiting for its health check: 12s left`.
    fn line(&self, now: Duration) -> String {
        match self.until {
            None => self.text.clone(),
            Some(until) => {
                let left = Duration::from_secs(until.saturating_sub(now).as_secs());
                format!("{}: {} left", self.text, seconds(left))
            }
        }
    }
}

/// Returns whole seconds as `3s`, and more as everywhere.
fn seconds(time: Duration) -> String {
    if time.as_secs() < 10 { format!("{}s", time.as_secs()) } else { human::duration(time) }
}

impl<C: Clock> Follower<C> {
    /// Begins to follow `command`, as `up`, on a project.
    pub fn begin(report: &Rc<Report>, clock: C, command: &str, project: Option<&str>) -> Self {
        let title = project.map_or_else(|| command.to_owned(), |of| format!("{command} {of}"));
        report.hello(clock.unix_ms(), command, project);
        if is_grouped(report) {
            report.err(&github::group(&title));
        }
        let mut follower = Self {
            report: Rc::clone(report),
            clock,
            title,
            all: None,
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            active: BTreeMap::new(),
            painted: None,
            is_stale: true,
        };
        follower.open_screen();
        follower.refresh();
        follower
    }

    /// Says over how many subjects the work goes.
    pub fn over(&mut self, all: usize) {
        self.all = Some(all);
        self.is_stale = true;
    }

    /// Says that it has begun, where nothing else was said.
    pub fn first_word(&self) {
        if self.report.form.progress == Progress::Plain {
            let now = time::time_of_day(self.clock.unix_ms());
            self.report.err(&format!("{now} {}: looking at the host\n", self.title));
        }
    }

    /// Says what happens to a subject.
    pub fn tell(&mut self, subject: &str, event: &Event<'_>, more: &Value) {
        let (kind, text) = event.parts();
        self.active.remove(subject);
        self.done.remove(subject);
        let name = subject.to_owned();
        match event {
            Event::Doing(text) | Event::Moved(text) => self.is_at(name, text, None),
            Event::Waiting(text, until) => self.is_at(name, text, *until),
            Event::Done(_) | Event::Skipped(_) => drop(self.done.insert(name)),
            Event::Failed(_) => drop(self.failed.insert(name)),
        }
        match self.report.form.progress {
            Progress::Tty => self.repaint(subject, event),
            Progress::Plain => {
                let now = time::time_of_day(self.clock.unix_ms());
                self.report.err(&format!("{now} {subject}: {}\n", self.report.guest(text)));
            }
            Progress::Json | Progress::Quiet => {}
        }
        self.say(kind, &format!("{subject}: {text}"), more);
    }

    fn is_at(&mut self, name: String, text: &str, until: Option<Duration>) {
        let (text, since) = (super::clean::clean(text).into_owned(), self.clock.elapsed());
        self.active.insert(name, Active { text, since, until });
    }

    /// Says something that is no step, to programs.
    pub fn say(&self, kind: &str, message: &str, more: &Value) {
        self.report.event(self.clock.unix_ms(), (kind, message), more);
    }

    /// Says that nothing has happened for a while, and what is waited for longest.
    pub fn heartbeat(&self) {
        let now = self.clock.elapsed();
        let mut active: Vec<(&String, &Active)> = self.active.iter().collect();
        active.sort_by_key(|(_, active)| active.since);
        let Some((name, longest)) = active.first() else { return };
        let spent = seconds(now.saturating_sub(longest.since));
        let more = active.len() - 1;
        let rest = if more > 0 { format!(", {more} more") } else { String::new() };
        let message = format!("still at it: {name} {} ({spent}){rest}", longest.text);
        match self.report.form.progress {
            Progress::Plain => {
                let now = time::time_of_day(self.clock.unix_ms());
                self.report.err(&format!("{now} {message}\n"));
            }
            Progress::Tty | Progress::Json | Progress::Quiet => {}
        }
        let names: Vec<&String> = active.iter().map(|(name, _)| *name).collect();
        self.say("heartbeat", &message, &json!({ "active": names }));
    }

    fn repaint(&mut self, subject: &str, event: &Event<'_>) {
        self.open_screen();
        if let Event::Failed(text) = event {
            let style = self.report.form.err;
            let word = style.paint(super::style::Colour::Red, "failed");
            self.report.err(&format!("{subject}  {word}  {}\n", super::clean::clean(text)));
        }
        self.is_stale = true;
        self.refresh();
    }

    /// Paints what has changed since, unless it was just painted.
    pub fn refresh(&mut self) {
        let now = self.clock.elapsed();
        let painted = self.painted.is_some_and(|at| now.saturating_sub(at) < REPAINT_EVERY);
        // Times that are shown go on by themselves.
        let is_second = self.painted.is_some_and(|at| at.as_secs() != now.as_secs());
        if painted || !(self.is_stale || is_second) {
            return;
        }
        let Ok(mut bars) = self.report.bars.lock() else { return };
        let Some(screen) = bars.as_mut() else { return };
        let active = self.active.iter().map(|(name, active)| (name.clone(), active.line(now)));
        screen.show(&active.collect(), &self.summary(now));
        self.painted = Some(now);
        self.is_stale = false;
    }

    fn summary(&self, now: Duration) -> String {
        let (title, spent) = (&self.title, human::duration(now));
        let (done, failed, active) = (self.done.len(), self.failed.len(), self.active.len());
        match self.all {
            None => format!("{title}  looking at the host  {spent}"),
            Some(all) => {
                format!("{title}  {done}/{all} done  {active} active  {failed} failed  {spent}")
            }
        }
    }

    fn open_screen(&self) {
        if self.report.form.progress != Progress::Tty {
            return;
        }
        if let Ok(mut bars) = self.report.bars.lock() {
            bars.get_or_insert_with(|| Screen::new(self.report.form.terminal.rows));
        }
    }

    /// Gives the terminal back until there is something to tell.
    pub fn hide(&self) {
        let Ok(mut bars) = self.report.bars.lock() else { return };
        if let Some(screen) = bars.take() {
            screen.clear();
        }
    }
}

/// Tells whether plain lines are folded for the pages of a continuous integration.
fn is_grouped(report: &Report) -> bool {
    let form = &report.form;
    form.progress == Progress::Plain && form.annotations == Annotations::Github
}

impl<C: Clock> Drop for Follower<C> {
    fn drop(&mut self) {
        self.hide();
        if is_grouped(&self.report) {
            self.report.err(github::END_OF_GROUP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_with_an_end_says_what_is_left_of_it() {
        let since = Duration::from_secs(5);
        let text = "waiting for its health check".to_owned();
        let active = Active { text, since, until: Some(Duration::from_secs(65)) };
        let at = |seconds| active.line(Duration::from_secs(seconds));
        assert_eq!(at(53), "waiting for its health check: 12s left");
        assert_eq!(at(62), "waiting for its health check: 3s left");
        assert_eq!(at(70), "waiting for its health check: 0s left");
    }
}
