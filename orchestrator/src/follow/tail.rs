//! One log file with its rotated predecessors.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::entry::{self, Entry, Source};

/// The most that is read at once; what is more comes with the next look.
const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Exec,
    Console,
    Runtime,
}

/// Every kind.
pub(super) const KINDS: [Kind; 3] = [Kind::Exec, Kind::Console, Kind::Runtime];

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec.log",
            Self::Console => "console.log",
            Self::Runtime => "runtime.log",
        }
    }

    /// How many older files are kept beside it.
    const fn older(self) -> u8 {
        match self {
            Self::Exec => 3,
            Self::Console | Self::Runtime => 1,
        }
    }

    /// Returns the sources that it holds.
    pub(super) const fn sources(self) -> &'static [Source] {
        match self {
            Self::Exec => &[Source::Stdout, Source::Stderr, Source::Output, Source::System],
            Self::Console => &[Source::Console],
            Self::Runtime => &[Source::Runtime],
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    kind: Kind,
    started_ms: u64,
    /// The file that is read, and its number; `None` before the first look.
    open: Option<(File, u64)>,
    /// Bytes of a line that has no end yet.
    rest: Vec<u8>,
}

impl Tail {
    pub(super) fn new(folder: &Path, kind: Kind, started_ms: u64) -> Self {
        let path = folder.join(kind.name());
        Self { path, kind, started_ms, open: None, rest: Vec::new() }
    }

    /// Returns the lines that were written since the last time.
    pub(super) fn read(&mut self) -> Vec<Entry> {
        let mut bytes = std::mem::take(&mut self.rest);
        match self.open.take() {
            None => self.read_all(&mut bytes),
            Some((mut file, number)) => {
                self.read_more(&mut file, &mut bytes);
                if inode(&self.path).is_some_and(|now| now != number) {
                    // It was renamed away; those that came between it and today's are read in order.
                    self.read_since(number, &mut bytes);
                } else {
                    self.open = Some((file, number));
                }
            }
        }
        self.split(&bytes)
    }

    fn read_all(&mut self, bytes: &mut Vec<u8>) {
        for age in (1..=self.kind.older()).rev() {
            if let Ok(mut file) = File::open(self.aged(age)) {
                self.read_more(&mut file, bytes);
            }
        }
        self.read_current(bytes);
    }

    /// Reads every file that is younger than the one of this number.
    fn read_since(&mut self, number: u64, bytes: &mut Vec<u8>) {
        let ages = 1..=self.kind.older();
        let of_number = ages.clone().find(|age| inode(&self.aged(*age)) == Some(number));
        for age in (1..of_number.unwrap_or(self.kind.older() + 1)).rev() {
            if let Ok(mut file) = File::open(self.aged(age)) {
                self.read_more(&mut file, bytes);
            }
        }
        self.read_current(bytes);
    }

    fn read_current(&mut self, bytes: &mut Vec<u8>) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let Ok(metadata) = file.metadata() else { return };
        self.read_more(&mut file, bytes);
        self.open = Some((file, metadata.ino()));
    }

    fn read_more(&self, file: &mut File, bytes: &mut Vec<u8>) {
        // What cannot be read now is tried again at the next look.
        drop(file.by_ref().take(READ_BYTES_MAX).read_to_end(bytes));
    }

    fn aged(&self, age: u8) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{age}"));
        path.into()
    }

    fn split(&mut self, bytes: &[u8]) -> Vec<Entry> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (lines, rest) = bytes.split_at(whole);
        self.rest = rest.to_vec();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.filter_map(|line| self.entry(line)).collect()
    }

    fn entry(&self, line: &[u8]) -> Option<Entry> {
        match self.kind {
            Kind::Exec => entry::of_exec(line),
            Kind::Runtime => entry::of_runtime(line),
            Kind::Console => Some(Entry {
                at_ms: self.started_ms,
                source: Source::Console,
                session: "console".to_owned(),
                bytes: line.strip_suffix(b"\r").unwrap_or(line).to_vec(),
                partial: false,
            }),
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("msb-tail-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn append(path: &Path, text: &str) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn texts(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned()).collect()
    }

    #[test]
    fn no_line_is_lost_or_repeated_over_rotations() {
        let folder = folder("rotate");
        let (log, old) = (folder.join("console.log"), folder.join("console.log.1"));
        append(&old, "one\n");
        append(&log, "two\nthr");
        let mut tail = Tail::new(&folder, Kind::Console, 7);
        assert_eq!(texts(&tail.read()), ["one", "two"]);
        append(&log, "ee\n");
        assert_eq!(texts(&tail.read()), ["three"]);
        append(&log, "four\n");
        std::fs::rename(&log, &old).unwrap();
        append(&log, "five\n");
        assert_eq!(texts(&tail.read()), ["four", "five"]);
        assert_eq!(texts(&tail.read()), [""; 0]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_log_that_comes_later_is_read_from_its_start() {
        let folder = folder("later");
        let mut tail = Tail::new(&folder, Kind::Console, 7);
        assert!(tail.read().is_empty());
        append(&folder.join("console.log"), "hello\r\n");
        assert_eq!(texts(&tail.read()), ["hello"]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
