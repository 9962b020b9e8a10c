//! Show what happened

use std::time::Duration;

use schema::sandboxfile::problem::listed;
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, first};
use super::standing::Standing;
use super::targets::Targets;
use super::told::Told;
use crate::context::Clock as _;
use crate::engine::SandboxView;
use crate::report::clean::clean;
use crate::report::human;
use crate::report::time::{local, parse_instant};
use crate::sessions::ears;
use crate::sessions::signals::{ENDING, Signals};
use crate::store::events::{self, BATCH_MAX, Event, Reach};
use crate::store::{Store, journal, time};

/// Show what happened
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// The past from this instant on too: a time, or how long ago [default: none of it]
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,
    /// The past after this `seq` too [default: none of it]
    #[arg(long, value_name = "SEQ", conflicts_with = "since")]
    after: Option<u32>,
    /// Those of this type, as phase, health, restart, step, oom (can be repeated) [default: all]
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// End with what is known now [default: go on until Ctrl-C]
    #[arg(long)]
    no_follow: bool,
    /// Go on, as without it
    #[arg(short, long, hide = true, conflicts_with = "no_follow")]
    follow: bool,
}

/// Types that are written.
const TYPES: [&str; 12] = [
    "snapshot",
    "phase",
    "health",
    "restart",
    "drift",
    "step",
    "run",
    "mount",
    "port",
    "policy-denied",
    "oom",
    "removed",
];

/// Types of which nothing happens yet.
const LATER: [&str; 1] = ["secret-violation"];

/// How often it is looked for more.
const LOOK: Duration = Duration::from_millis(200);

/// Prints the past that is asked for, how things are, and what comes.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    check_types(args)?;
    let now_ms = call.context.clock.unix_ms();
    let since_ms = match &args.since {
        None => None,
        Some(text) => Some(parse_instant(text, now_ms).ok_or_else(|| {
            Failure::usage("usage::value", format!("--since: `{text}` is no instant"))
                .hint("Write a time as `2026-11-22 10:02:11`, or how long ago as `10m`.")
        })?),
    };
    let chosen = Standing::of(call, &args.targets)?;
    let mut watching =
        Watching { call, chosen, args, store: None, told: Told::default(), seq: 0, since: None };
    watching.begin(since_ms)?;
    if args.no_follow {
        return Ok(0);
    }
    watching.go_on()
}

fn check_types(args: &Args) -> Result<(), Failure> {
    for word in &args.types {
        if LATER.contains(&word.as_str()) {
            return Err(Failure::not_yet(&format!("--type {word}")));
        }
        if !TYPES.contains(&word.as_str()) {
            let message = format!("--type: `{word}` is no type of event");
            return Err(Failure::usage("usage::value", message)
                .hint(format!("Use one of {}.", listed(TYPES))));
        }
    }
    Ok(())
}

struct Watching<'a> {
    call: &'a Call,
    chosen: Standing,
    args: &'a Args,
    /// `None` as long as there is no state.
    store: Option<Store>,
    /// What was taken over from runtimes.
    told: Told,
    /// The last event that was looked at.
    seq: i64,
    /// What happened before is not meant: what a runtime wrote down may come late.
    since: Option<String>,
}

impl Watching<'_> {
    /// Prints the past, then a snapshot of what is chosen.
    fn begin(&mut self, since_ms: Option<u64>) -> Result<(), Failure> {
        self.take_over()?;
        let reach = self.read(events::reach)?.unwrap_or_default();
        let from = match (self.args.after.map(i64::from), since_ms) {
            (Some(seq), _) => {
                is_kept(seq, reach)?;
                seq
            }
            (None, Some(since)) => {
                self.read(|db| events::before(db, since, reach))?.unwrap_or_default()
            }
            (None, None) => reach.last,
        };
        self.seq = from;
        // What is told of after this moment is told behind the snapshot.
        let views = self.chosen.find(self.call)?;
        self.since = since_ms.map(time::rfc3339);
        self.news(&views, reach.last)?;
        self.since = None;
        self.seq = self.seq.max(reach.last);
        for view in &views {
            self.print(&snapshot(view, self.seq, self.call.context.clock.unix_ms()));
        }
        Ok(())
    }

    /// Prints what comes, until a signal does or nobody reads.
    fn go_on(&mut self) -> Ending {
        let mut signals = Signals::catch(&ENDING).map_err(|error| {
            Failure::new("host::signals", "state", "cannot catch signals").cause(error.to_string())
        })?;
        loop {
            // Whoever waits for a reader hears nothing.
            ears::close();
            if self.call.report.is_closed() {
                return Ok(0);
            }
            self.rest()?;
            ears::heard();
            // Whatever woke us, it is looked for both.
            drop(signals.wait_beside(std::iter::empty(), LOOK));
            if let Some(signal) = signals.take().first() {
                self.rest()?;
                return Ok(u8::try_from(128 + signal).unwrap_or(130));
            }
        }
    }

    /// Prints every event that was not looked at.
    fn rest(&mut self) -> Result<(), Failure> {
        self.take_over()?;
        // Who is meant is asked of every machine, so only where there is something to tell.
        let seq = self.seq;
        if self.read(|db| Ok(events::reach(db)?.last > seq))? != Some(true) {
            return Ok(());
        }
        let views = self.chosen.find(self.call)?;
        self.news(&views, i64::MAX)
    }

    /// Prints the events up to `last` that were not looked at.
    fn news(&mut self, views: &[SandboxView], last: i64) -> Result<(), Failure> {
        loop {
            let seq = self.seq;
            let Some(batch) = self.read(|db| match events::reach(db)?.last > seq {
                true => events::after(db, seq),
                false => Ok(Vec::new()),
            })?
            else {
                return Ok(());
            };
            let is_last = batch.len() < BATCH_MAX;
            for event in batch.iter().take_while(|event| event.seq <= last) {
                self.seq = event.seq;
                let (project, address) = (event.project.as_deref(), event.address.as_deref());
                if self.chosen.means_what_happened(project, address, views) {
                    self.print(event);
                }
            }
            if is_last || self.seq >= last || self.call.report.is_closed() {
                return Ok(());
            }
        }
    }

    /// Takes over what runtimes wrote down.
    fn take_over(&mut self) -> Result<(), Failure> {
        if self.read(journal::is_possible)? != Some(true) {
            return Ok(());
        }
        let machines = self.read(journal::machines)?.unwrap_or_default();
        self.told.take(self.call, machines)
    }

    /// Reads the state; `None` where there is none yet.
    fn read<T>(
        &mut self,
        work: impl FnOnce(&crate::store::Rows) -> Result<T, crate::store::StoreError>,
    ) -> Result<Option<T>, Failure> {
        if self.store.is_none() && self.call.context.existing_home()?.is_some() {
            self.store = self.call.engine.store_read_only().map_err(first)?;
        }
        let Some(store) = &mut self.store else { return Ok(None) };
        store.read(work).map(Some).map_err(|error| first(crate::engine::Troubles::from(error)))
    }

    fn print(&self, event: &Event) {
        let types = &self.args.types;
        if !types.is_empty() && !types.contains(&event.kind) {
            return;
        }
        if self.since.as_ref().is_some_and(|since| event.at < *since) {
            return;
        }
        let report = &self.call.report;
        if report.is_text() {
            report.line(&report.form.out.twins(&text(event)));
        } else {
            report.line(&document(event).to_string());
        }
    }
}

/// Refuses to go on after an event when others after it are gone.
fn is_kept(seq: i64, reach: Reach) -> Result<(), Failure> {
    if seq >= reach.before {
        return Ok(());
    }
    let message = format!("the events after {seq} are not kept any more");
    let first = format!("The first that is kept is {}.", reach.before + 1);
    Err(Failure::new("events::gone", "state", message)
        .note(first)
        .hint("Go on with `--since`, or look at what is with `msb ps`."))
}

/// Returns how a sandbox is, as an event.
fn snapshot(view: &SandboxView, seq: i64, now_ms: u64) -> Event {
    let body = events::Body {
        to: Some(view.phase.as_str().to_ascii_lowercase()),
        reason: view.reason.clone(),
        data: json!({ "machine": view.machine_id }),
        ..events::Body::default()
    };
    Event {
        seq,
        at: time::rfc3339(now_ms),
        project: Some(view.project.to_string()),
        address: Some(format!("sandbox.{}", view.name)),
        kind: "snapshot".to_owned(),
        body,
    }
}

/// Returns an event as programs read it.
fn document(event: &Event) -> Value {
    let Event { seq, at, project, address, kind, body } = event;
    json!({
        "seq": seq, "ts": at, "type": kind, "project": project, "address": address,
        "run": body.run, "actor": body.actor, "from": body.from, "to": body.to,
        "reason": body.reason, "data": body.data,
    })
}

/// Returns an event as people read it.
fn text(event: &Event) -> String {
    let when = time::parse(&event.at).map_or_else(|| event.at.clone(), local);
    let subject = event.address.as_deref().or(event.project.as_deref()).unwrap_or("-");
    let subject = subject.strip_prefix("sandbox.").unwrap_or(subject);
    let body = &event.body;
    let word = |field: &str| body.data[field].as_str().unwrap_or_default().to_owned();
    let to = body.to.as_deref().unwrap_or_default();
    let what = match event.kind.as_str() {
        "run" => {
            let command = body.actor.as_ref().map_or("a run", |actor| actor.command.as_str());
            match body.data["exit_code"].as_u64() {
                Some(code) => format!("{command} ended with {code}"),
                None => format!("{command} {to}"),
            }
        }
        "step" => format!("{} {to}", word("do")),
        "drift" => {
            let from = body.from.as_deref().unwrap_or_default();
            format!("{} {from} → {to}", word("path"))
        }
        "restart" => format!("{to}, number {}", body.data["count"]),
        "mount" => format!("disk {}", word("serial")),
        "port" => format!("{} {to}", word("port")),
        "oom" => format!("session {}", word("session")),
        "policy-denied" => {
            format!("{} {} {}", word("direction"), word("protocol"), word("remote"))
        }
        _ => match &body.from {
            Some(from) => format!("{} → {}", capital(from), capital(to)),
            None => capital(to),
        },
    };
    let lasted = body.data["duration_ms"].as_u64().map(human::millis);
    let reason = body.reason.as_deref().map(|reason| clean(reason).into_owned());
    let more: Vec<String> = [reason, lasted].into_iter().flatten().collect();
    let more = if more.is_empty() { String::new() } else { format!("  ({})", more.join(", ")) };
    let what = clean(&what);
    format!("{when}  {subject}  {}  {what}{more}", event.kind).trim_end().to_owned()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, body: events::Body) -> Event {
        Event {
            seq: 7,
            at: "2026-11-22T10:02:11.000+00:00".to_owned(),
            project: Some("shop".to_owned()),
            address: Some("sandbox.web[0]".to_owned()),
            kind: kind.to_owned(),
            body,
        }
    }

    #[test]
    fn an_event_is_one_line() {
        let phase = events::Body {
            from: Some("starting".to_owned()),
            to: Some("ready".to_owned()),
            ..events::Body::default()
        };
        assert!(text(&event("phase", phase)).ends_with("  web[0]  phase  Starting → Ready"));
        let step = events::Body {
            to: Some("failed".to_owned()),
            reason: Some("no \u{1b}[2Jkernel".to_owned()),
            data: json!({ "do": "boot", "duration_ms": 310 }),
            ..events::Body::default()
        };
        let line = text(&event("step", step));
        assert!(line.contains("  step  boot failed  (no ") && line.ends_with("0.31s)"), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn what_is_gone_is_never_skipped_in_silence() {
        let reach = Reach { before: 10, last: 20 };
        is_kept(10, reach).unwrap();
        assert_eq!(is_kept(9, reach).unwrap_err().report.code, "msb::events::gone");
        is_kept(0, Reach::default()).unwrap();
    }
}
