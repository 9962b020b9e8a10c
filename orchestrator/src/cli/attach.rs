//! `up --attach`: what was brought up is listened to, and what this run started ends with it.

use std::collections::BTreeSet;
use std::rc::Rc;

use schema::name::{InstanceName, ProjectName};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::following::{self, Followed, Listener};
use super::log_following::{Filter, Following};
use super::log_lines::Lines;
use super::logs::Shape;
use super::standing::Standing;
use super::watcher::{Loudness, Watcher};
use crate::engine::{Options, Outcome, Ui, Verb, Wait};
use crate::follow::Source;
use crate::plan::{Goal, Reach, Wish};
use crate::sessions::ears;

/// The codes of signals that ended a command begin here.
pub(super) const SIGNALLED: u8 = 128;

/// Refuses a form of the result that logs cannot follow.
///
/// # Errors
/// The result is for programs.
pub(super) fn check(call: &Call) -> Result<(), Failure> {
    if call.report.is_text() {
        return Ok(());
    }
    Err(Failure::usage("usage::conflict", "--attach: logs follow the result, for people alone")
        .hint("Follow with `msb logs -f --json` after `msb up`."))
}

/// Follows the logs of the chosen from `since_ms` on; a signal ends what the run started.
///
/// Returns 0 when all rest by themselves.
pub(super) fn run(call: &Call, wish: &Wish, followed: &Followed, since_ms: u64) -> Ending {
    let project = &wish.project.name;
    let started = started(&followed.outcome);
    let whose = if started.is_empty() { "ends this" } else { "stops what this run started" };
    call.report.note(&format!("attached to {project}: Ctrl-C {whose}"));
    let filter = Filter {
        sources: [Source::Stdout, Source::Stderr, Source::Output].into(),
        sessions: Vec::new(),
        since_ms,
        until_ms: u64::MAX,
        grep: Vec::new(),
    };
    let lines = Lines::new(call, Shape::default());
    let code = Following::open(call, chosen(wish), filter, lines)?.go_on()?;
    if code < SIGNALLED || started.is_empty() {
        return Ok(code);
    }
    let mut wish = call.engine.wish_of_state(project, Goal::Stopped)?;
    wish.selection.names = started;
    wish.selection.reach = Reach::Alone;
    let outcome = end(call, wish)?;
    super::outcome::failures(&outcome)?;
    Ok(code)
}

/// Returns whose logs are followed: the chosen, or all that were not left out.
fn chosen(wish: &Wish) -> Standing {
    let (project, selection) = (&wish.project, &wish.selection);
    if selection.names.is_empty() && selection.exclude.is_empty() {
        return Standing::of_project(&project.name);
    }
    let is_chosen = |name: &&InstanceName| {
        let in_these = |names: &BTreeSet<InstanceName>| names.iter().any(|one| one.means(name));
        (selection.names.is_empty() || in_these(&selection.names)) && !in_these(&selection.exclude)
    };
    Standing::of_names(&project.name, project.sandboxes.keys().filter(is_chosen).cloned().collect())
}

/// Returns what the run started.
fn started(outcome: &Outcome) -> BTreeSet<InstanceName> {
    let verbs = [Verb::Created, Verb::Started, Verb::Restarted, Verb::Recreated];
    let rows = outcome.results.iter().filter(|row| verbs.contains(&row.verb));
    rows.filter_map(|row| row.address.sandbox().cloned()).collect()
}

/// Stops them, dependents first; a further signal ends them at once.
fn end(call: &Call, wish: Wish) -> Result<Outcome, Failures> {
    let mut options = Options { wait: Wait::Settled(None), ..following::options(call, "up") };
    options.consents.yes = true;
    let watcher = Rc::new(Watcher::begin(call, &wish, &options, Loudness::Steps));
    let ui: Rc<dyn Ui> = Rc::<Watcher>::clone(&watcher);
    let (project, names) = (wish.project.name.clone(), wish.selection.names.clone());
    let ended = call.block_on(async {
        let listener = Listener::begin();
        let mut listener = listener.map_err(|e| Failure::of("msb::host::signals", "state", &e))?;
        // The signal that ended the logs is no second one.
        listener.pass_over().await;
        let mut work = std::pin::pin!(call.engine.apply(wish, options, ui));
        loop {
            tokio::select! {
                ended = &mut work => return Ok::<_, Failure>(ended),
                _ = listener.next() => {
                    call.report.note("interrupted again: killing them");
                    kill(call, &project, &names).await;
                }
                () = following::beat(&watcher) => unreachable!("a heart never ends"),
            }
        }
    })??;
    ears::close();
    watcher.end();
    Ok(ended?)
}

/// Ends the machines of these at once; the stops that wait for them end with that.
async fn kill(call: &Call, project: &ProjectName, names: &BTreeSet<InstanceName>) {
    let views = call.engine.sandboxes(Some(project)).unwrap_or_default();
    for view in views.iter().filter(|view| view.alive && names.contains(&view.name)) {
        if let Err(troubles) = call.engine.kill(view).await {
            for failure in &Failures::from(troubles).0 {
                call.report.warn(&format!("{}: {}", view.name, failure.report.message));
            }
        }
    }
}
