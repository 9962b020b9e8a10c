//! Lines that are repainted: one for each active operation, what does not fit, and the summary.

use std::collections::BTreeMap;
use std::fmt;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// At most this many repaints a second.
const REPAINTS_PER_SECOND: u8 = 10;

/// See the module.
pub(super) struct Screen {
    lines: MultiProgress,
    active: BTreeMap<String, ProgressBar>,
    more: Option<ProgressBar>,
    summary: ProgressBar,
    rows: usize,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("active", &self.active.len()).finish_non_exhaustive()
    }
}

impl Screen {
    /// Takes so many rows of the terminal, but for three.
    pub(super) fn new(rows: u16) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REPAINTS_PER_SECOND);
        let lines = MultiProgress::with_draw_target(target);
        let summary = lines.add(line());
        let rows = usize::from(rows.max(6)) - 3;
        Self { lines, active: BTreeMap::new(), more: None, summary, rows }
    }

    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.lines.suspend(write);
    }

    /// Shows these operations and this summary, and nothing else.
    pub(super) fn show(&mut self, active: &BTreeMap<String, String>, summary: &str) {
        self.active.retain(|subject, bar| {
            let stays = active.contains_key(subject);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        for (subject, text) in active {
            if !self.active.contains_key(subject) && self.active.len() < self.rows {
                let below = self.more.as_ref().unwrap_or(&self.summary);
                let bar = self.lines.insert_before(below, line());
                self.active.insert(subject.clone(), bar);
            }
            if let Some(bar) = self.active.get(subject) {
                bar.set_message(format!("{subject}  {text}"));
            }
        }
        match (active.len() - self.active.len(), self.more.take()) {
            (0, Some(bar)) => bar.finish_and_clear(),
            (0, None) => {}
            (count, bar) => {
                let bar = bar.unwrap_or_else(|| self.lines.insert_before(&self.summary, line()));
                bar.set_message(format!("… {count} more"));
                self.more = Some(bar);
            }
        }
        self.summary.set_message(summary.to_owned());
    }

    /// Takes every line away.
    pub(super) fn clear(self) {
        self.active.into_values().chain(self.more).for_each(|bar| bar.finish_and_clear());
        self.summary.finish_and_clear();
    }
}

fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
