//! Carries out a wish while a person watches: progress, questions, Ctrl-C.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use schema::project::Project;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::call::Call;
use super::failure::{Failure, Failures};
use super::traced;
use super::watcher::{Loudness, Watcher};
use crate::consent::{Answer, Need};
use crate::engine::{Cancel, Canceller, Options, Outcome, SharedUi, Ui};
use crate::execute::Progress as Step;
use crate::plan::{Plan, Wish};
use crate::report::progress::{FIRST_WORD, REPAINT_EVERY};
use crate::sessions::ears;
use crate::store::lease::Holder;

/// What a changing command came to, and the signal that ended it.
#[derive(Debug)]
pub(crate) struct Followed {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The signal that asked it to end, where one did.
    pub(crate) signal: Option<i32>,
}

/// Carries out a wish and shows each step meanwhile; `up` shows the plan first.
///
/// # Errors
/// Nothing was changed.
pub(crate) fn apply(call: &Call, wish: Wish, options: Options) -> Result<Followed, Failures> {
    let loudness = if options.command == "msb up" { Loudness::Plan } else { Loudness::Steps };
    follow(call, wish, options, loudness)
}

/// Carries out a wish and leaves stderr to the command that follows.
///
/// # Errors
/// Nothing was changed.
pub(crate) fn apply_beside_streams(
    call: &Call,
    wish: Wish,
    options: Options,
) -> Result<Followed, Failures> {
    follow(call, wish, options, Loudness::Traceless)
}

fn follow(
    call: &Call,
    wish: Wish,
    options: Options,
    loudness: Loudness,
) -> Result<Followed, Failures> {
    call.context.prepared_home().map_err(Failure::from)?;
    let (canceller, cancel) = Cancel::pair();
    let watcher = Rc::new(Watcher::begin(call, &wish, &options, loudness));
    let options = Options { cancel, ..options };
    let ui = traced::beside(call, Rc::<Watcher>::clone(&watcher));
    let signal = Cell::new(None);
    let ended = call.block_on(async {
        let listener = Listener::begin();
        let listener = listener.map_err(|e| Failure::of("msb::host::signals", "state", &e))?;
        let work = call.engine.apply(wish, options, ui);
        Ok::<_, Failure>(tokio::select! {
            ended = work => ended,
            () = listener.hear(&canceller, &signal, &watcher) => unreachable!("a listener never ends"),
            () = beat(&watcher) => unreachable!("a heart never ends"),
        })
    })??;
    // What is left is to say how it ended, to a reader who may not read.
    ears::close();
    watcher.end();
    let outcome = ended.map_err(|troubles| interrupted(troubles.into()))?;
    if let Some(trace) = &call.trace {
        trace.ran(outcome.run);
    }
    Ok(Followed { outcome, signal: signal.get() })
}

/// A question that was answered by Ctrl-C, or by the end of input, ends as a signal would.
fn interrupted(mut failures: Failures) -> Failures {
    for failure in &mut failures.0 {
        if failure.report.code == "msb::interrupted" {
            failure.exit_code = Some(130);
        }
    }
    failures
}

/// Carries out a wish without a word, for the end of something else.
///
/// # Errors
/// Nothing was changed.
pub(crate) fn quietly(call: &Call, wish: Wish, options: Options) -> Result<Followed, Failures> {
    let outcome = call.block_on(call.engine.apply(wish, options, Rc::new(Silent)))??;
    Ok(Followed { outcome, signal: None })
}

/// Returns one who says nothing, and agrees to nothing.
pub(crate) fn silent() -> SharedUi {
    Rc::new(Silent)
}

/// Says nothing, and agrees to nothing.
struct Silent;

impl Ui for Silent {
    fn waiting(&self, _: &Holder) {}
    fn recovered(&self, _: usize) {}
    fn planned(&self, _: &Plan, _: &Project, _: Option<&str>) {}
    fn consent(&self, _: &Plan, _: &[Need]) -> Answer {
        Answer::Denied
    }
    fn progress(&self, _: &Step<'_>) {}
    fn warn(&self, _: &str) {}
}

/// How long an event loop may take to tell of signals that came before it.
const STALE: Duration = Duration::from_millis(20);

/// Hears that the user asks to stop.
pub(super) struct Listener {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Listener {
    /// Begins to listen; no signal that comes from now on is lost.
    pub(super) fn begin() -> std::io::Result<Self> {
        let listener = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        };
        // Only now: what is caught before anybody listens would be nobody's.
        ears::open()?;
        Ok(listener)
    }

    /// Passes over what came before somebody listened: an event loop tells it to whoever is first.
    pub(super) async fn pass_over(&mut self) {
        drop(tokio::time::timeout(STALE, self.next()).await);
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> i32 {
        let came = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        ears::heard();
        came.as_raw_value()
    }

    async fn hear(mut self, canceller: &Canceller, which: &Cell<Option<i32>>, watcher: &Watcher) {
        let mut count = 0;
        loop {
            let came = self.next().await;
            which.set(which.get().or(Some(came)));
            canceller.ask();
            count += 1;
            watcher.interrupted(count);
        }
    }
}

/// Paints what has changed, and says now and then that it is still at it.
pub(super) async fn beat(watcher: &Watcher) {
    sleep(FIRST_WORD).await;
    watcher.first_word();
    let rhythm = if watcher.is_painted() { REPAINT_EVERY } else { Duration::from_secs(1) };
    loop {
        sleep(rhythm).await;
        watcher.refresh();
        watcher.beat();
    }
}

/// Returns options that every changing command shares.
pub(crate) fn options(call: &Call, command: &str) -> Options {
    Options {
        command: format!("msb {command}"),
        lock_timeout: call.settings.lock_timeout,
        consents: crate::consent::Consents { yes: call.settings.yes, delete_data: false },
        log_level: call
            .settings
            .level
            .or(call.configuration.log_level)
            .unwrap_or("info")
            .to_owned(),
        parallel: call.configuration.boots,
        pulls: call.configuration.pulls,
        require_jail: call.settings.require_jail,
        trash_kept: call.trash_kept(),
        ..Options::default()
    }
}
