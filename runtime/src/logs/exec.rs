//! `exec.log`: what sessions wrote, one JSON line each, written by one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use schema::encoding::base64;
use serde::Serialize;

use super::lines::{Line, Lines};
use super::rotating::{Caps, Rotating};
use super::time::rfc3339;
use crate::clock::{Clock as _, HostClock};
use crate::folder::Folder;

const CAPS: Caps = Caps { bytes_max: 10 * 1024 * 1024, old_max: 3 };

/// How long a line waits for others before it is written, however many come.
const FLUSH: Duration = Duration::from_millis(200);

/// How much output waits for the thread; what comes beyond is dropped and counted.
const ENTRIES_MAX: usize = 256;

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 256 * 1024;

/// The most one session writes in a second.
const LINES_PER_SECOND_MAX: u32 = 10_000;
const BYTES_PER_SECOND_MAX: usize = 8 * 1024 * 1024;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A terminal.
    Output,
    /// The runtime.
    System,
}

#[derive(Debug)]
enum Entry {
    Output {
        at_ms: u64,
        session: Arc<str>,
        source: Source,
        bytes: Vec<u8>,
    },
    System {
        at_ms: u64,
        text: String,
    },
    Over {
        at_ms: u64,
        session: Arc<str>,
    },
    /// Write what waits, and say so.
    Flush(SyncSender<()>),
}

/// The way to the thread, and the thread.
#[derive(Debug)]
struct Open {
    sender: Sender<Entry>,
    thread: JoinHandle<()>,
}

/// The log; dropping it writes what waits.
#[derive(Debug)]
pub(crate) struct ExecLog {
    open: RefCell<Option<Open>>,
    flood: Arc<Flood>,
}

/// What both sides of the way know of a flood.
#[derive(Debug, Default)]
struct Flood {
    /// Entries of output on their way.
    waiting: AtomicUsize,
    /// Lines that were not sent.
    dropped: AtomicU64,
}

impl ExecLog {
    /// Opens `exec.log` and starts its thread.
    pub(crate) fn open(folder: Arc<Folder>) -> std::io::Result<Self> {
        let file = Rotating::open(folder, "exec.log", CAPS)?;
        let (sender, entries) = channel();
        let flood = Arc::<Flood>::default();
        let seen = Arc::clone(&flood);
        let thread = std::thread::Builder::new()
            .name("exec.log".into())
            .spawn(move || Writer::new(file, seen).run(&entries))?;
        Ok(Self { open: RefCell::new(Some(Open { sender, thread })), flood })
    }

    /// Takes what a session wrote.
    pub(crate) fn output(&self, session: &Arc<str>, source: Source, bytes: &[u8]) {
        if self.flood.waiting.load(Ordering::Relaxed) >= ENTRIES_MAX {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count().max(1);
            self.flood.dropped.fetch_add(lines as u64, Ordering::Relaxed);
            return;
        }
        self.flood.waiting.fetch_add(1, Ordering::Relaxed);
        let session = Arc::clone(session);
        let entry = Entry::Output { at_ms: now(), session, source, bytes: bytes.to_vec() };
        self.send(entry);
    }

    /// Takes a line of the runtime's own; no flood drops it.
    pub(crate) fn system(&self, text: &str) {
        self.send(Entry::System { at_ms: now(), text: text.to_owned() });
    }

    /// Ends a session: what has no line feed yet is a line.
    pub(crate) fn over(&self, session: &Arc<str>) {
        self.send(Entry::Over { at_ms: now(), session: Arc::clone(session) });
    }

    fn send(&self, entry: Entry) {
        if let Some(Open { sender, .. }) = &*self.open.borrow() {
            // A thread that panicked writes nothing any more.
            sender.send(entry).ok();
        }
    }

    /// Writes what waits, for somebody who is about to read it; a slow disk is not waited for.
    pub(crate) fn flush(&self) {
        let (done, told) = sync_channel(1);
        self.send(Entry::Flush(done));
        told.recv_timeout(FLUSH).ok();
    }

    /// Writes what waits and closes the log.
    pub(crate) fn finish(&self) {
        if let Some(Open { sender, thread }) = self.open.take() {
            drop(sender);
            // A thread that panicked has nothing left to say.
            thread.join().ok();
        }
    }
}

impl Drop for ExecLog {
    fn drop(&mut self) {
        self.finish();
    }
}

fn now() -> u64 {
    HostClock.wall_ms()
}

/// One line of the log.
#[derive(Serialize)]
struct Written<'a> {
    t: String,
    s: Source,
    id: &'a str,
    d: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    p: bool,
}

/// What one session wrote in this second.
#[derive(Debug, Default)]
struct Rate {
    second: u64,
    lines: u32,
    bytes: usize,
    dropped: u64,
}

struct Writer {
    file: Option<Rotating>,
    buffer: Vec<u8>,
    streams: HashMap<(Arc<str>, Source), Lines>,
    rates: HashMap<Arc<str>, Rate>,
    flood: Arc<Flood>,
    /// When what is gathered is to be written; absent while nothing is.
    flush_at: Option<Instant>,
}

impl Writer {
    fn new(file: Rotating, flood: Arc<Flood>) -> Self {
        let (streams, rates) = (HashMap::new(), HashMap::new());
        Self { file: Some(file), buffer: Vec::new(), streams, rates, flood, flush_at: None }
    }

    fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            let next = match self.flush_at {
                None => entries.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => entries.recv_timeout(at.saturating_duration_since(HostClock.now())),
            };
            match next {
                Ok(entry) => self.take(entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let is_due = self.flush_at.is_some_and(|at| HostClock.now() >= at);
            if is_due || self.buffer.len() >= BUFFER_BYTES {
                self.flush();
            }
        }
        let sessions: Vec<Arc<str>> = self.streams.keys().map(|(id, _)| Arc::clone(id)).collect();
        for session in sessions {
            self.take(Entry::Over { at_ms: now(), session });
        }
        self.flush();
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Output { at_ms, session, source, bytes } => {
                self.flood.waiting.fetch_sub(1, Ordering::Relaxed);
                let key = (Arc::clone(&session), source);
                let mut lines = self.streams.remove(&key).unwrap_or_default();
                lines.push(&bytes, |line| self.line(at_ms, &session, source, &line));
                self.streams.insert(key, lines);
            }
            Entry::System { at_ms, text } => self.write_text(at_ms, "main", &text),
            Entry::Flush(done) => {
                self.flush();
                // Whoever asked may have waited long enough.
                done.send(()).ok();
            }
            Entry::Over { at_ms, session } => {
                for source in [Source::Stdout, Source::Stderr, Source::Output] {
                    let left = self.streams.remove(&(Arc::clone(&session), source));
                    if let Some(line) = left.and_then(|mut lines| lines.finish()) {
                        self.line(at_ms, &session, source, &line);
                    }
                }
                let dropped = self.rates.remove(&session).map_or(0, |rate| rate.dropped);
                if dropped > 0 {
                    self.write_text(at_ms, &session, &format!("dropped {dropped} lines"));
                }
            }
        }
        let lost = self.flood.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.write_text(now(), "main", &format!("dropped {lost} lines"));
        }
    }

    fn line(&mut self, at_ms: u64, session: &Arc<str>, source: Source, line: &Line) {
        if !self.is_within_rate(at_ms, session, line.bytes.len()) {
            return;
        }
        let encoded;
        let (d, e) = match std::str::from_utf8(&line.bytes) {
            Ok(text) => (text, None),
            Err(_) => {
                encoded = base64(&line.bytes);
                (encoded.as_str(), Some("b64"))
            }
        };
        self.write(&Written { t: rfc3339(at_ms), s: source, id: session, d, e, p: line.partial });
    }

    fn is_within_rate(&mut self, at_ms: u64, session: &Arc<str>, bytes: usize) -> bool {
        let rate = self.rates.entry(Arc::clone(session)).or_default();
        let mut dropped = 0;
        if rate.second != at_ms / 1000 {
            dropped = rate.dropped;
            *rate = Rate { second: at_ms / 1000, ..Rate::default() };
        }
        rate.lines += 1;
        rate.bytes += bytes;
        let within = rate.lines <= LINES_PER_SECOND_MAX && rate.bytes <= BYTES_PER_SECOND_MAX;
        rate.dropped += u64::from(!within);
        if dropped > 0 {
            self.write_text(at_ms, session, &format!("dropped {dropped} lines"));
        }
        within
    }

    fn write_text(&mut self, at_ms: u64, id: &str, d: &str) {
        let (t, s) = (rfc3339(at_ms), Source::System);
        self.write(&Written { t, s, id, d, e: None, p: false });
    }

    fn write(&mut self, line: &Written<'_>) {
        serde_json::to_writer(&mut self.buffer, line).expect("a vector takes every line");
        self.buffer.push(b'\n');
        self.flush_at.get_or_insert_with(|| HostClock.now() + FLUSH);
    }

    fn flush(&mut self) {
        self.flush_at = None;
        let Some(file) = &mut self.file else {
            self.buffer.clear();
            return;
        };
        if let Err(error) = file.write_all(&self.buffer) {
            // A full disk stops logging, not the machine.
            tracing::warn!(%error, "exec.log is closed");
            self.file = None;
        }
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::tests::Scratch;

    fn written(name: &str, write: impl FnOnce(&ExecLog)) -> Vec<serde_json::Value> {
        let scratch = Scratch::new(name);
        let folder = Arc::new(scratch.open());
        let log = ExecLog::open(Arc::clone(&folder)).unwrap();
        write(&log);
        drop(log);
        let text = String::from_utf8(folder.read("exec.log", 1 << 24).unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_is_source_session_and_text() {
        let lines = written("exec-lines", |log| {
            log.system("started");
            log.output(&"main".into(), Source::Stdout, b"hel");
            log.output(&"main".into(), Source::Stderr, b"\xff\n");
            log.output(&"main".into(), Source::Stdout, b"lo\nrest");
        });
        let short: Vec<String> = lines
            .iter()
            .map(|l| format!("{} {} {} {}", l["s"], l["id"], l["d"], l["e"]).replace('"', ""))
            .collect();
        let expected = [
            "system main started null",
            "stderr main /w== b64",
            "stdout main hello null",
            "stdout main rest null",
        ];
        assert_eq!(short, expected);
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let lines = written("exec-flood", |log| {
            log.output(&"7".into(), Source::Stdout, &b"y\n".repeat(30_000));
            log.over(&"7".into());
        });
        assert_eq!(lines.len(), 10_001);
        assert_eq!(lines[10_000]["d"], "dropped 20000 lines");
    }

    #[test]
    fn no_flood_drops_what_the_runtime_says() {
        let session: Arc<str> = "7".into();
        let lines = written("exec-system", |log| {
            for _ in 0..4 * ENTRIES_MAX {
                log.output(&session, Source::Stdout, &[b'x'; 4000]);
            }
            log.system("stopped: test");
            log.over(&session);
        });
        assert!(lines.iter().any(|line| line["d"] == "stopped: test"), "{} lines", lines.len());
    }

    #[test]
    fn lines_are_written_while_others_keep_coming() {
        let scratch = Scratch::new("exec-steady");
        let folder = Arc::new(scratch.open());
        let log = ExecLog::open(Arc::clone(&folder)).unwrap();
        let (_open, never) = channel::<()>();
        for _ in 0..30 {
            log.output(&"main".into(), Source::Stdout, b"tick\n");
            never.recv_timeout(Duration::from_millis(20)).unwrap_err();
        }
        let bytes = folder.read("exec.log", 1 << 20).unwrap();
        assert!(!bytes.is_empty(), "nothing was written in 600 ms");
    }
}
