//! Show what sandboxes wrote

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use schema::name::{InstanceName, ProjectName};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, first};
use super::log_lines::{Lines, Named};
use super::targets::{self, Targets};
use crate::context::{Clock as _, Stream};
use crate::engine::SandboxView;
use crate::follow::{Entry, Logs, Source};
use crate::report::time::parse_instant;
use crate::sessions::ears;
use crate::sessions::signals::{ENDING, Signals};

/// How often sandboxes that end without a word are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Show what sandboxes wrote
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Go on until every chosen one rests [default: off]
    #[arg(short, long)]
    follow: bool,
    /// From this instant on: a time, or how long ago
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,
    /// The last N lines of each; 0 is none [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
    /// stdout, stderr, output, system, console, runtime, all [default: stdout,stderr,output]
    #[arg(long, value_name = "SRC", value_delimiter = ',')]
    source: Vec<String>,
    /// One session, or `main` (can be repeated) [default: all]
    #[arg(long, value_name = "ID")]
    session: Vec<String>,
    #[command(flatten)]
    pub(super) shape: Shape,
}

/// How lines are shown.
#[derive(Debug, Clone, Copy, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "four flags of the command line")]
pub(super) struct Shape {
    /// Show the time of each line [default: off]
    #[arg(short, long)]
    pub(super) timestamps: bool,
    /// Show the session of each line [default: off]
    #[arg(long)]
    pub(super) show_session: bool,
    /// Show no names [default: names, where there are several]
    #[arg(long)]
    pub(super) no_prefix: bool,
    /// Write bytes as they were written; not to a terminal [default: cleaned]
    #[arg(long)]
    pub(super) raw: bool,
}

/// What is shown of each log.
struct Filter {
    sources: BTreeSet<Source>,
    sessions: Vec<String>,
    since_ms: u64,
}

/// Prints what lies there, and goes on where that is asked for.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let filter = filter(args, call)?;
    let out_is_tty = call.context.terminal.is_tty(Stream::Out);
    if args.shape.raw && out_is_tty && !call.report.form.out.is_coloured() {
        let message = "--raw to a terminal could steer it";
        return Err(Failure::usage("usage::conflict", message)
            .hint("Write to a file, or give `--color always`.")
            .into());
    }
    let views = if args.targets.is_empty() {
        targets::everything(call, false)?
    } else {
        args.targets.find(call)?
    };
    if views.is_empty() {
        call.report.note("no sandboxes");
    }
    let mut lines = Lines::new(call, args.shape, views.len() > 1);
    let mut followed: Vec<Followed> = views.iter().map(|v| Followed::open(v, &filter)).collect();
    first_lines(&mut followed, &filter, args.tail, &mut lines);
    if args.follow {
        return follow(call, followed, &filter, &mut lines);
    }
    lines.end();
    Ok(0)
}

fn filter(args: &Args, call: &Call) -> Result<Filter, Failure> {
    let mut sources = BTreeSet::new();
    for word in &args.source {
        if word == "all" {
            sources.extend(Source::ALL);
            continue;
        }
        let source = Source::parse(word).ok_or_else(|| {
            Failure::usage("usage::value", format!("--source: `{word}` is no source"))
                .hint("Use stdout, stderr, output, system, console, runtime or all.")
        })?;
        sources.insert(source);
    }
    if sources.is_empty() {
        sources.extend([Source::Stdout, Source::Stderr, Source::Output]);
    }
    let since_ms = match &args.since {
        None => 0,
        Some(text) => parse_instant(text, call.context.clock.unix_ms()).ok_or_else(|| {
            Failure::usage("usage::value", format!("--since: `{text}` is no instant"))
                .hint("Write a time as `2026-11-22 10:02:11`, or how long ago as `10m`.")
        })?,
    };
    Ok(Filter { sources, sessions: args.session.clone(), since_ms })
}

impl Filter {
    fn passes(&self, entry: &Entry) -> bool {
        self.sources.contains(&entry.source)
            && entry.at_ms >= self.since_ms
            && (self.sessions.is_empty() || self.sessions.contains(&entry.session))
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
    fn open(view: &SandboxView, filter: &Filter) -> Self {
        let logs = view.folder().map(|folder| {
            let started = view.record.as_ref().and_then(|record| record.started_at_ms);
            let mut logs = Logs::open(folder.path(), &filter.sources, started.unwrap_or(0));
            logs.watch(folder.path());
            logs
        });
        let (project, name) = (view.project.clone(), view.name.clone());
        let named = Named::new(project.as_str(), &name.to_string());
        Self { named, project, name, machine: view.machine_id.clone(), logs, alive: view.alive }
    }

    fn read(&mut self, filter: &Filter) -> Vec<Entry> {
        let entries = self.logs.as_mut().map(Logs::read).unwrap_or_default();
        entries.into_iter().filter(|entry| filter.passes(entry)).collect()
    }
}

/// Prints what lies there, by time across sandboxes.
fn first_lines(
    followed: &mut [Followed],
    filter: &Filter,
    tail: Option<usize>,
    lines: &mut Lines<'_>,
) {
    let mut all: Vec<(usize, Entry)> = Vec::new();
    for (at, one) in followed.iter_mut().enumerate() {
        let entries = one.read(filter);
        let skipped = tail.map_or(0, |tail| entries.len().saturating_sub(tail));
        all.extend(entries.into_iter().skip(skipped).map(|entry| (at, entry)));
    }
    all.sort_by_key(|(_, entry)| entry.at_ms);
    for (at, entry) in &all {
        lines.print(&followed[*at].named, entry);
        if lines.is_closed() {
            return;
        }
    }
}

/// Prints what comes, until every chosen one rests.
fn follow(
    call: &Call,
    mut followed: Vec<Followed>,
    filter: &Filter,
    lines: &mut Lines<'_>,
) -> Ending {
    let mut signals = Signals::catch(&ENDING).map_err(|error| {
        Failure::new("host::signals", "state", "cannot catch signals").cause(error.to_string())
    })?;
    loop {
        // Whoever waits for a reader hears nothing.
        ears::close();
        let resting = followed.iter().all(|one| !one.alive);
        for one in &mut followed {
            let named = one.named.clone();
            for entry in one.read(filter) {
                lines.print(&named, &entry);
            }
        }
        if lines.is_closed() || resting {
            lines.end();
            return Ok(0);
        }
        ears::heard();
        wait(&followed, &signals);
        if let Some(signal) = signals.take().first() {
            lines.end();
            return Ok(u8::try_from(128 + signal).unwrap_or(130));
        }
        look(call, &mut followed, filter)?;
    }
}

/// Waits until something happens in a folder, a signal comes, or it is time to look.
fn wait(followed: &[Followed], signals: &Signals) {
    let watched = followed.iter().filter_map(|one| one.logs.as_ref()?.as_watched());
    let fds = watched.chain(signals.pipes());
    let mut fds: Vec<PollFd<'_>> =
        fds.map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let limit = Timespec { tv_sec: i64::try_from(LOOK.as_secs()).unwrap_or(1), tv_nsec: 0 };
    // Whatever woke us, the logs are looked at.
    let _ = poll(&mut fds, Some(&limit));
}

/// Looks who rests, and who has a new machine.
fn look(call: &Call, followed: &mut [Followed], filter: &Filter) -> Result<(), Failure> {
    let mut projects: BTreeMap<ProjectName, Vec<SandboxView>> = BTreeMap::new();
    for one in followed {
        if !projects.contains_key(&one.project) {
            let views = call.engine.sandboxes(Some(&one.project)).map_err(first)?;
            projects.insert(one.project.clone(), views);
        }
        let views = projects.get(&one.project).map(Vec::as_slice).unwrap_or_default();
        match views.iter().find(|view| view.name == one.name) {
            Some(view) if view.machine_id != one.machine => {
                *one = Followed::open(view, filter);
            }
            Some(view) => one.alive = view.alive,
            None => one.alive = false,
        }
    }
    Ok(())
}
