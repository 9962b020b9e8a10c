//! How a boot is going: what it reached, and until when it must reach more.

use std::time::{Duration, Instant};

use schema::lifecycle::Event;

use super::Verdict;
use super::again::Mends;

/// How many windows a boot may take in all.
const WINDOWS_MAX: u32 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Boot {
    window: Duration,
    progress: Instant,
    latest: Instant,
    step: Option<String>,
    spoke: bool,
    channel_lost: Option<String>,
}

impl Boot {
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        let latest = now + window * WINDOWS_MAX;
        Self { window, progress: now, latest, step: None, spoke: false, channel_lost: None }
    }

    /// Returns when the boot has taken too long.
    pub(super) fn until(&self) -> Instant {
        (self.progress + self.window).min(self.latest)
    }

    /// The agent spoke.
    pub(super) const fn spoke(&mut self, now: Instant) {
        self.spoke = true;
        self.progress = now;
    }

    /// The VMM used processor time, which counts until the agent speaks for itself.
    pub(super) const fn busy(&mut self, now: Instant) {
        if !self.spoke {
            self.progress = now;
        }
    }

    /// A step began.
    pub(super) fn reached(&mut self, step: String, now: Instant) {
        self.step = Some(step);
        self.spoke(now);
    }

    /// The agent's channel is gone.
    pub(super) fn lost_channel(&mut self, why: String) {
        self.channel_lost.get_or_insert(why);
    }

    /// Returns why the agent's channel is gone, if it is.
    pub(super) fn channel_lost(&self) -> Option<&str> {
        self.channel_lost.as_deref()
    }

    /// Returns the verdict of a boot that took too long.
    pub(super) fn overdue(&self) -> Verdict {
        let reached = match (&self.step, self.spoke) {
            (Some(step), _) => format!("the last step it reached is {step}"),
            (None, true) => "the agent said nothing but its first bytes".into(),
            (None, false) => "the agent never spoke".into(),
        };
        let seconds = self.window.as_secs_f64();
        Verdict::new(Event::Died, "boot")
            .detail("deadline")
            .message(format!("the boot made no progress for {seconds} s; {reached}"))
            .mends(Mends::Failure)
            .with_console()
    }
}

/// Returns the verdict of a boot whose step failed.
pub(super) fn step_failed(step: &str, errno: Option<&str>, detail: &str) -> Verdict {
    let short = errno.map_or_else(|| step.to_owned(), |errno| format!("{step} {errno}"));
    let message = match errno {
        Some(errno) => format!("boot step {step}: {detail} ({errno})"),
        None => format!("boot step {step}: {detail}"),
    };
    Verdict::new(Event::Died, "boot").detail(short).message(message).with_console()
}
