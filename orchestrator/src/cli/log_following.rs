//! The logs of chosen sandboxes: what lies there, then what comes, as long as anything may come.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::Regex;
use schema::name::{InstanceName, ProjectName};

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::log_lines::{Lines, Named};
use super::standing::Standing;
use crate::engine::SandboxView;
use crate::follow::{Cursor, Entry, Logs, Source};
use crate::report::clean::clean;
use crate::sessions::ears;
use crate::sessions::signals::{ENDING, Signals};

/// How often sandboxes that end without a word, and new ones, are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// What is shown of each log.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) sources: BTreeSet<Source>,
    /// Empty is all.
    pub(super) sessions: Vec<String>,
    /// Inclusive.
    pub(super) since_ms: u64,
    /// Exclusive.
    pub(super) until_ms: u64,
    /// Empty is all; else one must match.
    pub(super) grep: Vec<Regex>,
}

impl Filter {
    fn passes(&self, entry: &Entry) -> bool {
        self.is_wanted(entry)
            && (self.since_ms..self.until_ms).contains(&entry.at_ms)
            && (self.sessions.is_empty() || self.sessions.contains(&entry.session))
            && (self.grep.is_empty() || entry.dropped.is_some() || self.matches(entry))
    }

    /// A gap is shown to whoever would have seen what is missing.
    fn is_wanted(&self, entry: &Entry) -> bool {
        let workload = [Source::Stdout, Source::Stderr, Source::Output];
        self.sources.contains(&entry.source)
            || (entry.dropped.is_some() && workload.iter().any(|of| self.sources.contains(of)))
    }

    fn matches(&self, entry: &Entry) -> bool {
        let text = String::from_utf8_lossy(&entry.bytes);
        let text = clean(&text);
        self.grep.iter().any(|expression| expression.is_match(&text))
    }
}

/// One sandbox whose log is shown.
struct Followed {
    named: Named,
    project: ProjectName,
    name: InstanceName,
    machine: Option<String>,
    logs: Option<Logs>,
    alive: bool,
}

impl Followed {
    fn open(view: &SandboxView, sources: &BTreeSet<Source>) -> Self {
        let logs = view.folder().map(|folder| {
            let started = view.record.as_ref().and_then(|record| record.started_at_ms);
            let mut logs = Logs::open(folder.path(), sources, started.unwrap_or(0));
            logs.watch(folder.path());
            logs
        });
        let (project, name) = (view.project.clone(), view.name.clone());
        let machine = view.machine_id.clone();
        let named = Named::new(&project, &name, machine.as_deref().unwrap_or_default());
        Self { named, project, name, machine, logs, alive: view.alive }
    }

    fn read(&mut self) -> Vec<Entry> {
        self.logs.as_mut().map(Logs::read).unwrap_or_default()
    }

    fn is(&self, view: &SandboxView) -> bool {
        (&self.project, &self.name) == (&view.project, &view.name)
    }
}

/// See the module.
pub(super) struct Following<'a> {
    call: &'a Call,
    chosen: Standing,
    filter: Filter,
    lines: Lines<'a>,
    followed: Vec<Followed>,
    /// A command is at work that may start what rests.
    is_being_changed: bool,
}

impl<'a> Following<'a> {
    /// Opens the logs of what is chosen now.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(super) fn open(
        call: &'a Call,
        chosen: Standing,
        filter: Filter,
        lines: Lines<'a>,
    ) -> Result<Self, Failure> {
        let mut following =
            Self { call, chosen, filter, lines, followed: Vec::new(), is_being_changed: false };
        following.look()?;
        Ok(following)
    }

    /// Tells whether nothing was chosen.
    pub(super) fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }

    /// Prints what lies there, by time across sandboxes.
    ///
    /// # Errors
    /// The line that was left off at is not there any more.
    pub(super) fn first_lines(
        &mut self,
        tail: Option<usize>,
        after: Option<&Cursor>,
    ) -> Result<(), Failure> {
        if let Some(cursor) = after {
            // The line itself is found also where its source is not shown.
            let sources = [cursor.source()].into_iter().chain(self.filter.sources.iter().copied());
            let sources: BTreeSet<Source> = sources.collect();
            for view in self.chosen.find(self.call)? {
                let seen = self.followed.iter_mut().filter(|one| one.is(&view));
                seen.for_each(|one| *one = Followed::open(&view, &sources));
            }
        }
        let mut read: Vec<Vec<Entry>> = self.followed.iter_mut().map(Followed::read).collect();
        if let Some(cursor) = after {
            self.drop_until(cursor, &mut read)?;
        }
        let mut all: Vec<(usize, Entry)> = Vec::new();
        for (at, mut entries) in read.into_iter().enumerate() {
            entries.retain(|entry| self.filter.passes(entry));
            let skipped = tail.map_or(0, |tail| entries.len().saturating_sub(tail));
            all.extend(entries.into_iter().skip(skipped).map(|entry| (at, entry)));
        }
        self.print(all);
        Ok(())
    }

    /// Drops what was printed before the line of `cursor`, and that line.
    fn drop_until(&self, cursor: &Cursor, read: &mut [Vec<Entry>]) -> Result<(), Failure> {
        let of_machine = |one: &Followed| one.machine.as_ref() == Some(&cursor.machine);
        let at = self.followed.iter().position(of_machine);
        let line = at.and_then(|at| read[at].iter().position(|entry| cursor.is(entry)));
        let (Some(at), Some(line)) = (at, line) else {
            let message = "the line of --after is not kept any more by what was chosen";
            return Err(Failure::new("logs::rotated", "state", message)
                .hint("Choose the sandbox of that line, or go on by time with `--since`."));
        };
        for (other, entries) in read.iter_mut().enumerate() {
            if other == at {
                entries.drain(..=line);
            } else {
                entries.retain(|entry| (entry.at_ms, other) > (cursor.at_ms, at));
            }
        }
        Ok(())
    }

    /// Prints what comes, until every chosen one rests and none is about to start.
    ///
    /// # Errors
    /// The state cannot be read, or signals cannot be caught.
    pub(super) fn go_on(&mut self) -> Ending {
        let mut signals = Signals::catch(&ENDING).map_err(|error| {
            Failure::new("host::signals", "state", "cannot catch signals").cause(error.to_string())
        })?;
        loop {
            // Whoever waits for a reader hears nothing.
            ears::close();
            let resting = !self.is_being_changed && self.followed.iter().all(|one| !one.alive);
            self.print_new();
            if self.lines.is_closed() || resting {
                return Ok(self.end());
            }
            ears::heard();
            self.wait(&signals);
            if let Some(signal) = signals.take().first() {
                self.end();
                return Ok(u8::try_from(128 + signal).unwrap_or(130));
            }
            self.look()?;
        }
    }

    /// Ends a line that has no end yet.
    pub(super) fn end(&mut self) -> u8 {
        self.lines.end();
        0
    }

    fn print_new(&mut self) {
        let mut all = Vec::new();
        for (at, one) in self.followed.iter_mut().enumerate() {
            let entries = one.read().into_iter().filter(|entry| self.filter.passes(entry));
            all.extend(entries.map(|entry| (at, entry)));
        }
        self.print(all);
    }

    fn print(&mut self, mut all: Vec<(usize, Entry)>) {
        all.sort_by_key(|(_, entry)| entry.at_ms);
        for (at, entry) in &all {
            self.lines.print(&self.followed[*at].named, entry);
            if self.lines.is_closed() {
                return;
            }
        }
    }

    /// Waits until something happens in a folder, a signal comes, or it is time to look.
    fn wait(&self, signals: &Signals) {
        let watched = self.followed.iter().filter_map(|one| one.logs.as_ref()?.as_watched());
        // Whatever woke us, the logs are looked at.
        drop(signals.wait_beside(watched, LOOK));
    }

    /// Looks who rests, who has a new machine, and who is new.
    fn look(&mut self) -> Result<(), Failure> {
        // In this order: what a command started before it ended is seen.
        self.is_being_changed = self.chosen.is_being_changed(self.call)?;
        let views = self.chosen.find(self.call)?;
        for one in &mut self.followed {
            one.alive = false;
        }
        for view in &views {
            match self.followed.iter().position(|one| one.is(view)) {
                Some(at) if view.machine_id == self.followed[at].machine => {
                    self.followed[at].alive = view.alive;
                }
                Some(at) => {
                    self.print_rest(at);
                    self.followed[at] = Followed::open(view, &self.filter.sources);
                }
                None => self.followed.push(Followed::open(view, &self.filter.sources)),
            }
        }
        self.lines.make_room(self.followed.iter().map(|one| &one.named));
        Ok(())
    }

    /// Prints what the machine of a sandbox wrote before another took its place.
    fn print_rest(&mut self, at: usize) {
        let mut rest = self.followed[at].read();
        rest.retain(|entry| self.filter.passes(entry));
        self.print(rest.into_iter().map(|entry| (at, entry)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Place;

    fn entry(source: Source, at_ms: u64, text: &str) -> Entry {
        Entry {
            at_ms,
            source,
            session: "main".to_owned(),
            bytes: text.as_bytes().to_vec(),
            partial: false,
            dropped: None,
            place: Place::default(),
        }
    }

    fn filter() -> Filter {
        Filter {
            sources: [Source::Stdout].into(),
            sessions: Vec::new(),
            since_ms: 10,
            until_ms: 20,
            grep: Vec::new(),
        }
    }

    #[test]
    fn since_is_inclusive_and_until_exclusive() {
        let passes = |at_ms| filter().passes(&entry(Source::Stdout, at_ms, "x"));
        assert_eq!([9, 10, 19, 20].map(passes), [false, true, true, false]);
    }

    #[test]
    fn an_expression_matches_the_cleaned_line_and_any_is_enough() {
        let grep = ["^red$", "blue"].map(|text| Regex::new(text).unwrap()).to_vec();
        let filter = Filter { grep, ..filter() };
        let passes = |text| filter.passes(&entry(Source::Stdout, 10, text));
        assert!(passes("\u{1b}[31mred\u{1b}[0m") && passes("a blue one") && !passes("reddish"));
    }

    #[test]
    fn a_gap_is_shown_to_whoever_would_have_seen_what_is_missing() {
        let gap = Entry { dropped: Some(7), ..entry(Source::System, 10, "dropped 7 lines") };
        assert!(filter().passes(&gap));
        assert!(Filter { grep: vec![Regex::new("never").unwrap()], ..filter() }.passes(&gap));
        assert!(!Filter { sources: [Source::Console].into(), ..filter() }.passes(&gap));
        assert!(!filter().passes(&entry(Source::System, 10, "a mark of another kind")));
    }
}
