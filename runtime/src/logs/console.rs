//! The guest's console: kept as it came, and searched for a panic at the end.

use std::io::Write as _;
use std::sync::Arc;

use super::rotating::{Caps, Rotating};
use crate::folder::Folder;

/// How much of the console is kept in memory.
const KEPT_BYTES: usize = 64 * 1024;

/// What a kernel prints before it gives up.
const PANIC: &[u8] = b"Kernel panic - not syncing";

const CAPS: Caps = Caps { bytes_max: 4 * 1024 * 1024, old_max: 1 };

/// See the module.
#[derive(Debug)]
pub(crate) struct Console {
    file: Option<Rotating>,
    kept: Vec<u8>,
}

impl Console {
    /// Opens `console.log`; without it only its end is kept, in memory.
    pub(crate) fn open(folder: Arc<Folder>) -> Self {
        let file = Rotating::open(folder, "console.log", CAPS)
            .inspect_err(|error| tracing::warn!(%error, "cannot open console.log"))
            .ok();
        Self { file, kept: Vec::new() }
    }

    /// Another guest prints from now on: what the one before printed says nothing of it.
    pub(crate) fn begin_anew(&mut self) {
        self.kept.clear();
    }

    /// Takes what the guest printed.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            // A full disk stops logging, not the machine.
            tracing::warn!(%error, "console.log is closed");
            self.file = None;
        }
        self.kept.extend_from_slice(bytes);
        let excess = self.kept.len().saturating_sub(KEPT_BYTES);
        self.kept.drain(..excess);
    }

    /// Tells whether what is kept shows the line of a kernel panic.
    pub(crate) fn shows_panic(&self) -> bool {
        self.kept.windows(PANIC.len()).any(|window| window == PANIC)
    }

    /// Returns the last lines, made safe to print; after a panic those from its line on.
    pub(crate) fn tail(&self) -> Vec<String> {
        let panic = self.kept.windows(PANIC.len()).rposition(|window| window == PANIC);
        let Some(at) = panic else { return tail_lines(&self.kept) };
        let start =
            self.kept[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        first_lines(&self.kept[start..])
    }
}

/// How many lines a report shows.
const TAIL_LINES: usize = 20;

/// How long a line of a report is.
const TAIL_LINE_CHARS: usize = 500;

/// Returns the last lines of `bytes`, without control characters.
fn tail_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().rev().map(plain).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = lines.take(TAIL_LINES).collect();
    lines.reverse();
    lines
}

/// Returns the first lines of `bytes`, without control characters.
fn first_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(plain).filter(|line| !line.is_empty()).take(TAIL_LINES).collect()
}

fn plain(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(TAIL_LINE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::tests::Scratch;

    #[test]
    fn a_panic_is_seen_across_a_cut() {
        let scratch = Scratch::new("console");
        let mut console = Console::open(Arc::new(scratch.open()));
        console.push(b"[ 1.0] Kernel panic - not ");
        assert!(!console.shows_panic());
        console.push(b"syncing: Attempted to kill init!\n");
        console.push(b"[ 1.1] Rebooting\n");
        assert!(console.shows_panic());
        assert_eq!(console.tail().len(), 2);
        console.push("[ 1.2] a long trace\n".repeat(90).as_bytes());
        assert!(console.tail()[0].contains("Kernel panic"), "{:?}", console.tail());
    }

    #[test]
    fn the_tail_is_short_and_plain() {
        let long = "x".repeat(900);
        let text = format!("{}\x1b[31mred\x07\r\n{long}\n", "line\n".repeat(50));
        let tail = tail_lines(text.as_bytes());
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail[TAIL_LINES - 2], "[31mred");
        assert_eq!(tail[TAIL_LINES - 1].len(), TAIL_LINE_CHARS);
    }
}
