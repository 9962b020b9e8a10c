//! What is being done, while it is being done: repainted lines, plain lines, or JSON lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use super::json::rfc3339;
use super::{Output, Progress, Report, human, time};
use crate::context::Clock;

/// At most this many repaints a second.
const REPAINTS_PER_SECOND: u8 = 10;

/// What changes in between is painted together.
pub const REPAINT_EVERY: Duration = Duration::from_millis(100);

/// Lines that are repainted: one for each active operation, and the summary.
pub struct Screen {
    lines: MultiProgress,
    active: BTreeMap<String, ProgressBar>,
    summary: ProgressBar,
    rows: usize,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("active", &self.active.len()).finish_non_exhaustive()
    }
}

impl Screen {
    fn new(rows: u16) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REPAINTS_PER_SECOND);
        let lines = MultiProgress::with_draw_target(target);
        let summary = lines.add(line());
        Self { lines, active: BTreeMap::new(), summary, rows: usize::from(rows.max(6)) - 3 }
    }

    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.lines.suspend(write);
    }

    /// Shows these operations and this summary, and nothing else.
    fn show(&mut self, active: &BTreeMap<String, String>, summary: &str) {
        self.active.retain(|subject, bar| {
            let stays = active.contains_key(subject);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        for (subject, text) in active {
            if !self.active.contains_key(subject) && self.active.len() < self.rows {
                let bar = self.lines.insert_before(&self.summary, line());
                self.active.insert(subject.clone(), bar);
            }
            if let Some(bar) = self.active.get(subject) {
                bar.set_message(format!("{subject}  {text}"));
            }
        }
        let more = active.len() - self.active.len();
        let more = if more > 0 { format!("and {more} more  ") } else { String::new() };
        self.summary.set_message(format!("{more}{summary}"));
    }
}

fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// What happens to one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Work on it goes on: `started, waiting until ready`.
    Doing(&'a str),
    /// A part of the work on it is done, and more follows.
    Moved(&'a str),
    /// It is somewhere else in its life.
    Phase(&'a str),
    /// Work on it ended well.
    Done(&'a str),
    /// Work on it ended badly; the block about it follows at the end.
    Failed(&'a str),
    /// It was left alone because of another.
    Skipped(&'a str),
}

impl<'a> Event<'a> {
    const fn parts(&self) -> (&'static str, &'a str) {
        match self {
            Self::Doing(text) => ("step-start", text),
            Self::Moved(text) | Self::Done(text) => ("step-done", text),
            Self::Phase(text) => ("phase", text),
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
    seq: u64,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    done: BTreeSet<String>,
    failed: BTreeSet<String>,
    active: BTreeMap<String, String>,
    painted: Option<Duration>,
    is_stale: bool,
}

impl<C: Clock> Follower<C> {
    /// Begins to follow `title`, as `up shop`, over `all` subjects.
    pub fn begin(report: &Rc<Report>, clock: C, title: &str, all: usize) -> Self {
        if report.form.progress == Progress::Tty {
            report.set_screen(Some(Screen::new(report.form.terminal.rows)));
        }
        let counts = Counts { all, ..Counts::default() };
        let report = Rc::clone(report);
        let mut follower = Self { report, clock, title: title.to_owned(), seq: 0, counts };
        let hello = json!({
            "format_version": super::json::FORMAT_VERSION,
            "msb_version": env!("CARGO_PKG_VERSION"),
            "command": title.split(' ').next(),
            "project": title.split(' ').nth(1),
            "run": null,
        });
        follower.event("hello", title, &hello);
        follower
    }

    /// Says what happens to a subject.
    pub fn tell(&mut self, subject: &str, event: &Event<'_>, more: &Value) {
        let (kind, text) = event.parts();
        self.counts.active.remove(subject);
        self.counts.done.remove(subject);
        let name = subject.to_owned();
        match event {
            Event::Doing(text) | Event::Moved(text) | Event::Phase(text) => {
                let text = super::clean::clean(text).into_owned();
                self.counts.active.insert(name, text);
            }
            Event::Done(_) | Event::Skipped(_) => drop(self.counts.done.insert(name)),
            Event::Failed(_) => drop(self.counts.failed.insert(name)),
        }
        match self.report.form.progress {
            Progress::Tty => self.repaint(subject, event),
            Progress::Plain => {
                let now = time::time_of_day(self.clock.unix_ms());
                self.report.err(&format!("{now} {subject}: {}\n", super::clean::clean(text)));
            }
            Progress::Json | Progress::Quiet => {}
        }
        self.event(kind, &format!("{subject}: {text}"), more);
    }

    /// Says something that is no step.
    pub fn say(&mut self, kind: &str, message: &str, more: &Value) {
        self.event(kind, message, more);
    }

    /// Says that nothing has happened for a while, and what is waited for.
    pub fn heartbeat(&mut self) {
        let active: Vec<String> =
            self.counts.active.iter().map(|(name, text)| format!("{name} {text}")).collect();
        let (first, more) = match active.as_slice() {
            [] => return,
            [first, rest @ ..] => (first.clone(), rest.len()),
        };
        let rest = if more > 0 { format!(", {more} more") } else { String::new() };
        match self.report.form.progress {
            Progress::Plain => {
                let now = time::time_of_day(self.clock.unix_ms());
                self.report.err(&format!("{now} still at it: {first}{rest}\n"));
            }
            Progress::Tty | Progress::Json | Progress::Quiet => {}
        }
        self.event("heartbeat", &format!("{first}{rest}"), &json!({ "active": active }));
    }

    fn repaint(&mut self, subject: &str, event: &Event<'_>) {
        if let Event::Failed(text) = event {
            let style = self.report.form.err;
            let word = style.paint(super::style::Colour::Red, "failed");
            self.report.err(&format!("{subject}  {word}  {}\n", super::clean::clean(text)));
        }
        self.counts.is_stale = true;
        self.refresh();
    }

    /// Paints what has changed since, unless it was just painted.
    pub fn refresh(&mut self) {
        let now = self.clock.elapsed();
        let painted = self.counts.painted.is_some_and(|at| now.saturating_sub(at) < REPAINT_EVERY);
        if painted || !self.counts.is_stale {
            return;
        }
        let Ok(mut bars) = self.report.bars.lock() else { return };
        let Some(screen) = bars.as_mut() else { return };
        let Counts { all, done, failed, active, .. } = &self.counts;
        let (title, spent) = (&self.title, human::duration(now));
        let (done, failed, count) = (done.len(), failed.len(), active.len());
        let summary =
            format!("{title}  {done}/{all} done  {count} active  {failed} failed  {spent}");
        screen.show(active, &summary);
        self.counts.painted = Some(now);
        self.counts.is_stale = false;
    }

    fn event(&mut self, kind: &str, message: &str, more: &Value) {
        self.seq += 1;
        event(&self.report, (self.seq, self.clock.unix_ms()), (kind, message), more);
    }

    /// Returns the number of the last event.
    #[must_use]
    pub const fn last_event(&self) -> u64 {
        self.seq
    }
}

/// Writes one event: to stdout where the result is lines, to stderr where progress is.
pub fn event(
    report: &Report,
    (seq, unix_ms): (u64, u64),
    (kind, message): (&str, &str),
    more: &Value,
) {
    let to_stdout = report.form.output == Output::Ndjson;
    if !to_stdout && report.form.progress != Progress::Json {
        return;
    }
    let mut line = Map::new();
    line.insert("seq".into(), json!(seq));
    line.insert("ts".into(), json!(rfc3339(unix_ms)));
    line.insert("type".into(), json!(kind));
    line.insert("message".into(), json!(message));
    if let Value::Object(more) = more {
        line.extend(more.clone());
    }
    let line = Value::Object(line);
    if to_stdout {
        report.line(&line.to_string());
    } else {
        report.err(&format!("{line}\n"));
    }
}

impl<C: Clock> Drop for Follower<C> {
    fn drop(&mut self) {
        let Ok(mut bars) = self.report.bars.lock() else { return };
        if let Some(screen) = bars.take() {
            for bar in screen.active.values() {
                bar.finish_and_clear();
            }
            screen.summary.finish_and_clear();
        }
    }
}

/// How long stderr may be silent before a plain follower says that it is still at it.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
