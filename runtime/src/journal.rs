//! What happened to the machine: told at once, kept for those who ask later.
//!
//! The file `events` is a ring: when it has grown past its size, it is
//! replaced by its younger half.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use schema::event::{Event, FILE, FILE_BYTES_MAX as BYTES_MAX, What};
use tokio::sync::broadcast;

use crate::folder::{Durability, Folder};

/// How far behind a subscriber may fall before it is let go.
const BEHIND_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: Arc<Folder>,
    file: Option<File>,
    file_bytes: usize,
    kept: VecDeque<(Event, usize)>,
    kept_bytes: usize,
    seq: u64,
    sender: broadcast::Sender<Event>,
}

impl Journal {
    /// Opens the journal; numbers go on where an earlier runtime left them.
    pub(crate) fn open(folder: Arc<Folder>) -> io::Result<Self> {
        let text = folder.read(FILE, 2 * BYTES_MAX as u64)?;
        let file = Some(folder.append(FILE)?);
        let mut journal = Self {
            folder,
            file,
            file_bytes: text.len(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            seq: 0,
            sender: broadcast::Sender::new(BEHIND_MAX),
        };
        for line in text.split(|byte| *byte == b'\n') {
            // A line that a crash cut short is not an event.
            if let Ok(event) = serde_json::from_slice::<Event>(line) {
                journal.seq = journal.seq.max(event.seq);
                journal.keep(event, line.len() + 1);
            }
        }
        Ok(journal)
    }

    /// Writes down that something happened, and tells whoever listens.
    pub(crate) fn push(&mut self, at_ms: u64, what: What) {
        self.seq += 1;
        let event = Event { seq: self.seq, at_ms, what };
        let Ok(mut line) = serde_json::to_vec(&event) else { return };
        line.push(b'\n');
        self.keep(event.clone(), line.len());
        if let Err(error) = self.write(&line) {
            tracing::warn!(%error, "the file of events is closed");
            self.file = None;
        }
        // Nobody may be listening.
        self.sender.send(event).ok();
    }

    /// Returns the kept events after a number, and those to come.
    pub(crate) fn follow(&self, after: Option<u64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let since = after.unwrap_or(self.seq);
        let kept = self.kept.iter().map(|(event, _)| event);
        (kept.filter(|event| event.seq > since).cloned().collect(), self.sender.subscribe())
    }

    fn keep(&mut self, event: Event, bytes: usize) {
        self.kept.push_back((event, bytes));
        self.kept_bytes += bytes;
        while self.kept_bytes > BYTES_MAX / 2 {
            let Some((_, bytes)) = self.kept.pop_front() else { break };
            self.kept_bytes -= bytes;
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.file_bytes + line.len() <= BYTES_MAX {
            self.file_bytes += line.len();
            return file.write_all(line);
        }
        let mut text = Vec::with_capacity(self.kept_bytes);
        for (event, _) in &self.kept {
            serde_json::to_writer(&mut text, event)?;
            text.push(b'\n');
        }
        self.folder.replace(FILE, &text, Durability::Lazy)?;
        self.file = Some(self.folder.append(FILE)?);
        self.file_bytes = text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::tests::Scratch;

    fn step(name: &str) -> What {
        What::BootStep { name: name.into() }
    }

    #[test]
    fn numbers_go_on_after_another_runtime() {
        let scratch = Scratch::new("journal");
        let folder = Arc::new(scratch.open());
        Journal::open(Arc::clone(&folder)).unwrap().push(1, step("early"));
        let mut journal = Journal::open(folder).unwrap();
        journal.push(2, step("ports"));
        let (kept, _) = journal.follow(Some(0));
        assert_eq!(kept.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
        assert!(journal.follow(None).0.is_empty());
    }

    #[test]
    fn the_ring_keeps_its_younger_half() {
        let scratch = Scratch::new("ring");
        let folder = Arc::new(scratch.open());
        let mut journal = Journal::open(Arc::clone(&folder)).unwrap();
        for _ in 0..12 {
            journal.push(1, step(&"x".repeat(100_000)));
        }
        let text = folder.read("events", 1 << 24).unwrap();
        assert!(text.len() <= BYTES_MAX, "{} bytes", text.len());
        let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
        assert_eq!(serde_json::from_slice::<Event>(last).unwrap().seq, 12);
    }
}
