//! A file that is renamed away when it is full.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use crate::folder::Folder;

/// How large a log grows, and how many old ones are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    /// Size at which the file is renamed away.
    pub(crate) bytes_max: u64,
    /// How many old ones are kept: `.1` is the youngest.
    pub(crate) old_max: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Rotating {
    folder: Arc<Folder>,
    name: &'static str,
    caps: Caps,
    file: File,
    bytes: u64,
}

impl Rotating {
    /// Opens the log for appending.
    pub(crate) fn open(folder: Arc<Folder>, name: &'static str, caps: Caps) -> io::Result<Self> {
        let file = folder.append(name)?;
        Self::over(folder, name, caps, file)
    }

    /// Goes on with a file that was opened already.
    pub(crate) fn over(
        folder: Arc<Folder>,
        name: &'static str,
        caps: Caps,
        file: File,
    ) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { folder, name, caps, file, bytes })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.caps.old_max).rev() {
            let from = format!("{}.{number}", self.name);
            match self.folder.rename(&from, &format!("{}.{}", self.name, number + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                Ok(()) | Err(_) => {}
            }
        }
        self.folder.rename(self.name, &format!("{}.1", self.name))?;
        self.file = self.folder.append(self.name)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + bytes.len() as u64 > self.caps.bytes_max {
            self.rotate()?;
        }
        // Whole or not at all: a line is never split over two files.
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::tests::Scratch;

    #[test]
    fn a_full_log_is_renamed_and_the_oldest_goes() {
        let scratch = Scratch::new("rotating");
        let folder = Arc::new(scratch.open());
        let caps = Caps { bytes_max: 8, old_max: 2 };
        let mut log = Rotating::open(Arc::clone(&folder), "x.log", caps).unwrap();
        for word in ["one--\n", "two--\n", "three\n", "four-\n"] {
            log.write_all(word.as_bytes()).unwrap();
        }
        let read = |name: &str| String::from_utf8(folder.read(name, 100).unwrap()).unwrap();
        assert_eq!(
            [read("x.log"), read("x.log.1"), read("x.log.2"), read("x.log.3")],
            ["four-\n", "three\n", "two--\n", ""]
        );
    }
}
