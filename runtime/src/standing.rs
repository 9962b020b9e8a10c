//! How the machine stands: its record, on disk and before the eyes of those who wait.

use std::sync::Arc;

use schema::control::Milestone;
use schema::lifecycle::Phase;
use schema::record::{self, Health, Record};
use tokio::sync::watch;

use crate::folder::{Durability, Folder};

/// What is shown of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) record: Record,
    /// The last answer of a probe.
    pub(crate) last_probe: Option<String>,
    /// Whether the workload, or the agent without one, ever ran.
    pub(crate) has_run: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Standing {
    folder: Arc<Folder>,
    shown: watch::Sender<Shown>,
}

impl Standing {
    /// Writes the first record.
    pub(crate) fn begin(folder: Arc<Folder>, record: Record) -> std::io::Result<Self> {
        let shown = Shown { record, last_probe: None, has_run: false };
        let standing = Self { folder, shown: watch::Sender::new(shown) };
        standing.write(Durability::Lazy)?;
        Ok(standing)
    }

    /// Returns the record as it is now.
    pub(crate) fn record(&self) -> Record {
        self.shown.borrow().record.clone()
    }

    /// Returns what is shown, now and later.
    pub(crate) fn watch(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// Notes the last answer of a probe.
    pub(crate) fn probed(&self, answer: String) {
        self.shown.send_modify(|shown| shown.last_probe = Some(answer));
    }

    /// Returns the last answer of a probe.
    pub(crate) fn last_probe(&self) -> Option<String> {
        self.shown.borrow().last_probe.clone()
    }

    /// Changes the record; what rests is on disk before anybody sees it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) {
        let mut record = self.record();
        change(&mut record);
        let rests = record.rests();
        let how = if rests { Durability::Synced } else { Durability::Lazy };
        if let Err(error) = self.write_record(&record, how) {
            tracing::error!(%error, "the record was not written");
        }
        let runs = has_run(record.phase);
        self.shown.send_modify(|shown| {
            shown.record = record;
            shown.has_run |= runs;
        });
    }

    fn write(&self, how: Durability) -> std::io::Result<()> {
        self.write_record(&self.record(), how)
    }

    fn write_record(&self, record: &Record, how: Durability) -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(record)?;
        self.folder.replace(record::FILE, &text, how)
    }
}

const fn has_run(phase: Phase) -> bool {
    match phase {
        Phase::Starting | Phase::Ready | Phase::Degraded | Phase::Stalled | Phase::Completed => {
            true
        }
        Phase::Absent
        | Phase::Pending
        | Phase::Pulling
        | Phase::Booting
        | Phase::Failed
        | Phase::Stopped => false,
    }
}

/// Whether a machine came as far as somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It did.
    Reached,
    /// It may.
    NotYet,
    /// It cannot any more.
    Unreachable,
}

impl Shown {
    /// Tells how far the machine came.
    pub(crate) const fn reach(&self, until: Milestone) -> Reach {
        let phase = self.record.phase;
        let reached = match until {
            Milestone::Running => self.has_run,
            Milestone::Ready => matches!(phase, Phase::Ready | Phase::Degraded | Phase::Completed),
            Milestone::Healthy => {
                // A machine whose health nobody asks is as well as it is ready.
                matches!(phase, Phase::Ready)
                    && matches!(self.record.health, Health::Passing | Health::None)
            }
            Milestone::Completed => matches!(phase, Phase::Completed),
            Milestone::Stopped => self.record.rests(),
        };
        // A gate that was missed may still pass, but nobody should wait for it.
        let until_ready = matches!(until, Milestone::Ready | Milestone::Healthy);
        let stalled = until_ready && matches!(phase, Phase::Stalled);
        if reached {
            Reach::Reached
        } else if stalled || self.record.rests() {
            Reach::Unreachable
        } else {
            Reach::NotYet
        }
    }
}
