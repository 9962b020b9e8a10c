//! One log file with its rotated predecessors.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::entry::{self, Entry, Place, Source};

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
    /// The file that is read; `None` before the first look.
    open: Option<Open>,
    /// Bytes of a line that has no end yet, and where it begins.
    rest: (Place, Vec<u8>),
}

/// A file, and how far it was read.
#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    offset: u64,
}

impl Open {
    fn of(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let inode = file.metadata().ok()?.ino();
        Some(Self { file, inode, offset: 0 })
    }
}

impl Tail {
    pub(super) fn new(folder: &Path, kind: Kind, started_ms: u64) -> Self {
        let path = folder.join(kind.name());
        Self { path, kind, started_ms, open: None, rest: (Place::default(), Vec::new()) }
    }

    /// Returns the lines that were written since the last time.
    pub(super) fn read(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        match self.open.take() {
            None => self.read_younger(self.kind.older() + 1, &mut entries),
            Some(mut open) => {
                self.read_more(&mut open, &mut entries);
                if inode(&self.path).is_some_and(|now| now != open.inode) {
                    // What was written before it was renamed away, and after the first look.
                    self.read_more(&mut open, &mut entries);
                    self.read_younger(self.age_of(open.inode), &mut entries);
                } else {
                    self.open = Some(open);
                }
            }
        }
        entries
    }

    /// Returns which of the older files it is by now; one that is gone was the oldest.
    fn age_of(&self, number: u64) -> u8 {
        let mut ages = 1..=self.kind.older();
        let of_number = ages.find(|age| inode(&self.aged(*age)) == Some(number));
        of_number.unwrap_or(self.kind.older() + 1)
    }

    /// Reads every file that is younger than the one of this age, oldest first.
    fn read_younger(&mut self, age: u8, entries: &mut Vec<Entry>) {
        for age in (1..age).rev() {
            if let Some(mut open) = Open::of(&self.aged(age)) {
                self.read_more(&mut open, entries);
            }
        }
        self.open = Open::of(&self.path);
        if let Some(mut open) = self.open.take() {
            self.read_more(&mut open, entries);
            self.open = Some(open);
        }
    }

    fn read_more(&mut self, open: &mut Open, entries: &mut Vec<Entry>) {
        let mut bytes = Vec::new();
        // What cannot be read now is tried again at the next look.
        drop(open.file.by_ref().take(READ_BYTES_MAX).read_to_end(&mut bytes));
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let place = Place { inode: open.inode, offset: open.offset };
            open.offset += piece.len() as u64;
            if self.rest.1.is_empty() {
                self.rest.0 = place;
            }
            self.rest.1.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let (place, line) = (self.rest.0, std::mem::take(&mut self.rest.1));
                entries.extend(self.entry(line.strip_suffix(b"\n").unwrap_or(&line), place));
            }
        }
    }

    fn aged(&self, age: u8) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{age}"));
        path.into()
    }

    fn entry(&self, line: &[u8], place: Place) -> Option<Entry> {
        match self.kind {
            Kind::Exec => entry::of_exec(line, place),
            Kind::Runtime => entry::of_runtime(line, place),
            Kind::Console if line.is_empty() => None,
            Kind::Console => Some(Entry {
                at_ms: self.started_ms,
                source: Source::Console,
                session: "console".to_owned(),
                bytes: line.strip_suffix(b"\r").unwrap_or(line).to_vec(),
                partial: false,
                dropped: None,
                place,
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
    fn a_line_keeps_its_place_when_its_file_is_renamed() {
        let folder = folder("place");
        let (log, old) = (folder.join("console.log"), folder.join("console.log.1"));
        append(&log, "one\ntwo\nthr");
        let places = |tail: &mut Tail| -> Vec<Place> {
            tail.read().into_iter().map(|entry| entry.place).collect()
        };
        let mut tail = Tail::new(&folder, Kind::Console, 7);
        let before = places(&mut tail);
        std::fs::rename(&log, &old).unwrap();
        append(&log, "ee\nfour\n");
        let after = places(&mut Tail::new(&folder, Kind::Console, 7));
        assert_eq!(before, after[..2]);
        assert_eq!(after, [before, places(&mut tail)].concat());
        assert_eq!(after.iter().map(|place| place.offset).collect::<Vec<_>>(), [0, 4, 8, 3]);
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
