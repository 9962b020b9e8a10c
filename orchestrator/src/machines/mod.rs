//! Runtime processes: start, find, ask and wait for them.

mod control;
mod folder;
mod holder;
mod launch;
pub mod names;
pub mod process;
mod shelf;
mod spawn;

use std::path::PathBuf;
use std::time::Duration;

use schema::control::{AGENT_SOCKET, Call, Left, Milestone, NetworkFigures, Reply, Update};
use schema::record::Record;

pub use control::{Control, ControlError, Quiet};
pub use folder::{Folder, Look, Looks, Stamp, Standing};
pub use holder::{holders, named, of_runtime};
pub(crate) use launch::rlimit;
pub use launch::{
    ImageFacts, Launch, LaunchError, Making, VolumeSource, assemble, health, kind, metrics,
    neighbours, network,
};
pub use shelf::Shelf;
pub use spawn::{Creator, SpawnError, Started, spawn};

/// A machine that lives, or did when it was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    folder: Folder,
    id: String,
    nonce: String,
}

/// What came of waiting for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It came that far.
    Yes(Box<Record>),
    /// It cannot come that far any more.
    No(Box<Record>),
}

/// The longest that a runtime may need to end after it said that nothing lives any more.
const LAST_STEPS_MAX: Duration = Duration::from_secs(5);
/// How long a runtime may take to say how its network stands.
const FIGURES_MAX: Duration = Duration::from_secs(1);

impl Machine {
    /// Returns the machine of this id and launch.
    #[must_use]
    pub const fn new(folder: Folder, id: String, nonce: String) -> Self {
        Self { folder, id, nonce }
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns its folder.
    #[must_use]
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Returns the socket at which clients of its agent are served.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.folder.file(AGENT_SOCKET)
    }

    /// Opens a connection to its runtime and checks that it is this very launch.
    ///
    /// # Errors
    /// Nobody answers, or somebody else.
    pub async fn control(&self) -> Result<Control, ControlError> {
        Control::connect(&self.folder, &self.id, &self.nonce).await
    }

    /// Waits until the machine has come so far, or cannot any more.
    ///
    /// # Errors
    /// The runtime ended and its record does not say how.
    pub async fn wait(&self, until: Milestone) -> Result<Reached, ControlError> {
        let mut control = match self.control().await {
            Ok(control) => control,
            Err(error) => return self.judged(until)?.ok_or(error),
        };
        match control.call(Call::Wait { until }).await {
            Ok(Reply::Status { record, .. }) => Ok(Reached::Yes(record)),
            Ok(Reply::Unreachable { record }) => Ok(Reached::No(record)),
            Ok(_) => Err(ControlError::Unexpected),
            Err(error) => self.judged(until)?.ok_or(error),
        }
    }

    /// Judges by the record of a runtime that has ended how far the machine came.
    fn judged(&self, until: Milestone) -> Result<Option<Reached>, process::LookError> {
        use schema::lifecycle::Phase;
        let ours = |record: &Record| record.nonce == self.nonce && record.rests();
        let Some(record) = self.folder.record()?.filter(ours) else { return Ok(None) };
        let came = match until {
            Milestone::Stopped => true,
            Milestone::Completed => record.phase == Phase::Completed,
            Milestone::Running => {
                record.agent_ready_at_ms.is_some() && record.phase == Phase::Completed
            }
            Milestone::Ready | Milestone::Healthy => false,
        };
        let record = Box::new(record);
        Ok(Some(if came { Reached::Yes(record) } else { Reached::No(record) }))
    }

    /// Asks the machine to stop and returns when nothing of it lives any more.
    ///
    /// # Errors
    /// It does not answer, or lives on past its grace and flush window.
    pub async fn stop(
        &self,
        grace: Option<Duration>,
        actor: &str,
    ) -> Result<Option<Record>, ControlError> {
        let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let call = Call::Stop { grace_ms, reason: "requested".to_owned(), actor: actor.to_owned() };
        self.end(call).await
    }

    /// Ends the machine at once and returns when nothing of it lives any more.
    ///
    /// # Errors
    /// It does not answer, or lives on.
    pub async fn kill(&self, actor: &str) -> Result<Option<Record>, ControlError> {
        self.end(Call::Kill { actor: actor.to_owned() }).await
    }

    /// Asks the machine to stop; returns once that stands in its record.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ask_to_stop(
        &self,
        grace: Option<Duration>,
        actor: &str,
    ) -> Result<(), ControlError> {
        let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let call = Call::Stop { grace_ms, reason: "requested".to_owned(), actor: actor.to_owned() };
        match self.control().await?.call(call).await {
            // It ended before it could answer.
            Ok(_) | Err(ControlError::Ended) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks for the machine's end at once, and does not wait for it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ask_to_die(&self, actor: &str) -> Result<(), ControlError> {
        self.control().await?.send(Call::Kill { actor: actor.to_owned() }).await.map(|_| ())
    }

    async fn end(&self, call: Call) -> Result<Option<Record>, ControlError> {
        let runtime = self.folder.record()?.map(|record| record.runtime);
        let mut control = match self.control().await {
            Ok(control) => control,
            // A runtime that has ended in between is what was asked for.
            Err(error) if self.is_gone() => {
                drop(error);
                return Ok(self.folder.record()?);
            }
            Err(error) => return Err(error),
        };
        match control.call(call).await {
            Ok(_) => control.until_end().await,
            // It ended before it could answer.
            Err(ControlError::Ended) => {}
            Err(error) => return Err(error),
        }
        if let Some(runtime) = runtime
            && !process::until_gone(&runtime, LAST_STEPS_MAX).await
        {
            return Err(ControlError::LivesOn { pid: runtime.pid });
        }
        Ok(self.folder.record()?)
    }

    fn is_gone(&self) -> bool {
        let look = process::boot_id().and_then(|boot_id| self.folder.look(&boot_id));
        // What cannot be looked at is not known to be gone.
        look.is_ok_and(|look| !look.alive)
    }

    /// Changes live values; returns the names that were applied, and those refused with reasons.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn update(
        &self,
        update: Update,
    ) -> Result<(Vec<String>, Vec<(String, String)>), ControlError> {
        match self.control().await?.call(Call::Update(update)).await? {
            Reply::Updated { applied, refused } => Ok((applied, refused)),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Gives its workload a signal.
    ///
    /// # Errors
    /// It does not answer, or does not know how.
    pub async fn signal(&self, number: u8) -> Result<(), ControlError> {
        match self.control().await?.call(Call::Signal { number }).await? {
            Reply::Done => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Starts its idle clock anew.
    ///
    /// # Errors
    /// It does not answer, or does not know how.
    pub async fn touch(&self) -> Result<(), ControlError> {
        match self.control().await?.call(Call::Touch {}).await? {
            Reply::Done => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Returns what is left of its timers; nothing where it does not say so at once.
    pub async fn left(&self) -> Left {
        let asked = async {
            match self.control().await.ok()?.call(Call::Status {}).await.ok()? {
                Reply::Status { left, .. } => Some(left),
                _ => None,
            }
        };
        tokio::time::timeout(FIGURES_MAX, asked).await.ok().flatten().unwrap_or_default()
    }

    /// Returns how its network stands; `None` where it has none, or does not say so at once.
    pub async fn network(&self) -> Option<NetworkFigures> {
        let asked = async {
            match self.control().await.ok()?.call(Call::Network {}).await.ok()? {
                Reply::Network { figures } => figures,
                _ => None,
            }
        };
        tokio::time::timeout(FIGURES_MAX, asked).await.ok()?
    }

    /// Returns the last answer of the gate's probe.
    pub async fn last_probe(&self) -> Option<String> {
        match self.control().await.ok()?.call(Call::Status {}).await.ok()? {
            Reply::Status { last_probe, .. } => last_probe,
            _ => None,
        }
    }
}
