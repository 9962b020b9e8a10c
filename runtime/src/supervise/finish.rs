//! The end: the last record, and nothing left behind.

use schema::event::{self, What};
use schema::lifecycle::Phase;
use schema::record;

use super::Supervisor;
use crate::boot::Sockets;
use crate::clock::Clock as _;
use crate::folder::Folder;
use crate::life::Rest;

impl Supervisor {
    /// Writes down how the machine rests; only then does anybody learn of it.
    pub(super) fn rest(&mut self, rest: &Rest) {
        let at = self.clock.wall_ms();
        let verdict = &rest.verdict;
        self.log.system(&format!("stopped: {}", verdict.reason));
        self.log.finish();
        let console = if verdict.shows_console { self.console.tail() } else { Vec::new() };
        self.note(What::Phase {
            from: rest.from,
            to: rest.phase,
            reason: Some(verdict.reason.clone()),
            exit_code: rest.exit.map(record::Exit::shell_code),
        });
        tracing::info!(
            phase = rest.phase.as_str(),
            reason = verdict.reason,
            detail = verdict.detail,
            message = verdict.message,
            forced = rest.forced,
            "the machine rests"
        );
        self.standing.change(|record| {
            record.phase = rest.phase;
            record.reason = Some(verdict.reason.clone());
            record.detail.clone_from(&verdict.detail);
            record.message.clone_from(&verdict.message);
            record.since_ms = at;
            record.ended_at_ms = Some(at);
            record.exit = rest.exit;
            record.forced = rest.forced;
            record.health = record::Health::None;
            record.console_tail = console;
        });
        self.rests = true;
        for done in self.kills.drain(..) {
            // Whoever asked may be gone.
            done.send(()).ok();
        }
    }
}

impl Drop for Supervisor {
    /// A fault of the runtime is written down where it still can be.
    fn drop(&mut self) {
        if self.rests || !std::thread::panicking() {
            return;
        }
        let at = self.clock.wall_ms();
        self.standing.change(|record| {
            record.phase = Phase::Failed;
            record.reason = Some("internal".into());
            record.message = Some("the runtime panicked; its log says where".into());
            (record.since_ms, record.ended_at_ms) = (at, Some(at));
        });
    }
}

/// Removes the sockets, and of a machine that leaves nothing everything but what tells how it ended.
pub(super) fn clear(folder: &Folder, sockets: Sockets, is_ephemeral: bool) {
    drop(sockets);
    if is_ephemeral && let Err(error) = folder.clear_but(&[record::FILE, event::FILE]) {
        tracing::warn!(%error, "the folder of an ephemeral machine was not cleared");
    }
}
