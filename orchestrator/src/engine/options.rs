//! What a command may say of how its work is done, and how it hears of it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use schema::name::InstanceName;
use schema::project::Project;
use schema::units::Millis;
use tokio::sync::watch;

use super::storage::TRASH_KEPT;
use crate::consent::{Answer, Consents, Need};
use crate::execute::Progress;
use crate::plan::Plan;
use crate::plan::saved::Saved;
use crate::store::lease::Holder;

/// How a changing command wants its work done.
#[derive(Clone, Debug)]
pub struct Options {
    /// The command, for rows and messages: `msb up`.
    pub command: String,
    /// How long a held lock is waited for.
    pub lock_timeout: Duration,
    /// What was consented to by flags.
    pub consents: Consents,
    /// How long the end is waited for.
    pub wait: Wait,
    /// What a first failure means for the rest.
    pub after_failure: AfterFailure,
    /// How many machines boot at once; `None` follows the host.
    pub parallel: Option<usize>,
    /// How many images are fetched at once; `None` leaves it to msb.
    pub pulls: Option<usize>,
    /// The grace of every stop; `None` is each sandbox's own.
    pub grace: Option<Millis>,
    /// The level of the runtimes that are started.
    pub log_level: String,
    /// The sandbox that lives with this process, and what becomes of it then.
    pub attach: Option<Attach>,
    /// Whether a jail with a layer missing refuses the start.
    pub require_jail: bool,
    /// How long what was removed can be restored.
    pub trash_kept: Duration,
    /// The plan that is carried out, whatever else would change by now.
    pub saved: Option<Rc<Saved>>,
    /// Hears of Ctrl-C.
    pub cancel: Cancel,
}

/// How long a command waits for what it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until every machine is booted, at most so long; `None` without limit.
    Booted(Option<Duration>),
    /// Until everything is ready or completed, at most so long; `None` without limit.
    Settled(Option<Duration>),
    /// Not at all: what is wished for is written down, and nothing is done about it.
    Recorded,
}

/// What a machine is asked for that nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedEnd {
    /// To stop, with a grace; `None` is its own.
    Stop(Option<Duration>),
    /// To end at once, without a flush.
    Kill,
}

/// What a first failure means for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFailure {
    /// What does not depend on it goes on.
    #[default]
    GoOn,
    /// Nothing further is started.
    Stop,
}

/// A sandbox that lives with this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Its name.
    pub name: InstanceName,
    /// What becomes of it when it ends.
    pub end: AttachedEnd,
}

/// What becomes of an attached sandbox when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedEnd {
    /// It stays, at rest.
    Keep,
    /// The runtime clears it away.
    Remove,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command: "msb up".to_owned(),
            lock_timeout: Duration::ZERO,
            consents: Consents::default(),
            wait: Wait::Settled(Some(Duration::from_secs(300))),
            after_failure: AfterFailure::GoOn,
            parallel: None,
            pulls: None,
            grace: None,
            log_level: "info".to_owned(),
            attach: None,
            require_jail: false,
            trash_kept: TRASH_KEPT,
            saved: None,
            cancel: Cancel::never(),
        }
    }
}

/// Hears how often the user asked to stop.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<u8>);

/// Says that the user asked to stop.
#[derive(Debug)]
pub struct Canceller(watch::Sender<u8>);

impl Cancel {
    /// Returns a pair: one end says it, the other hears it.
    #[must_use]
    pub fn pair() -> (Canceller, Self) {
        let (sender, receiver) = watch::channel(0);
        (Canceller(sender), Self(receiver))
    }

    /// Returns one that never hears anything.
    #[must_use]
    pub fn never() -> Self {
        Self::pair().1
    }

    /// Returns how often the user has asked.
    #[must_use]
    pub fn count(&self) -> u8 {
        *self.0.borrow()
    }

    /// Waits until the user has asked at least `count` times.
    pub async fn reached(&mut self, count: u8) {
        // A canceller that is gone can never ask again.
        if self.0.wait_for(|asked| *asked >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Canceller {
    /// Says once more that the user asks to stop.
    pub fn ask(&self) {
        self.0.send_modify(|asked| *asked = asked.saturating_add(1));
    }
}

/// The one who watches a changing command.
pub trait Ui {
    /// A lock is waited for.
    fn waiting(&self, holder: &Holder);
    /// Operations that a killed run left open were settled.
    fn recovered(&self, count: usize);
    /// This is what will be done; nothing has changed yet.
    fn planned(&self, plan: &Plan, project: &Project, driver: Option<&str>);
    /// Something needs to be said aloud.
    fn consent(&self, plan: &Plan, needs: &[Need]) -> Answer;
    /// A step moves on.
    fn progress(&self, progress: &Progress<'_>);
    /// Something is worth knowing and stops nothing.
    fn warn(&self, text: &str);
}

/// A watcher that is shared with the tasks of a run.
pub type SharedUi = Rc<dyn Ui>;

/// A watcher's ear for what is worth knowing and stops nothing.
#[derive(Clone)]
pub struct Warnings(SharedUi);

impl Warnings {
    /// Returns the ear of a watcher.
    #[must_use]
    pub const fn of(ui: SharedUi) -> Self {
        Self(ui)
    }

    /// Says something.
    pub fn warn(&self, text: &str) {
        self.0.warn(text);
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warnings")
    }
}
