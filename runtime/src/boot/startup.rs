//! What the creator is told while the machine comes to be.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use schema::launch::StartUp;

/// The start-up pipe; closed when the last word was said.
#[derive(Debug)]
pub(crate) struct StartPipe(Option<File>);

impl StartPipe {
    /// Takes the pipe.
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self(Some(File::from(pipe)))
    }

    /// Says a word; after [`StartUp::Serving`] or [`StartUp::Failed`] there is no other.
    pub(crate) fn say(&mut self, word: &StartUp) {
        let Some(pipe) = &mut self.0 else { return };
        let mut line = serde_json::to_vec(word).unwrap_or_default();
        line.push(b'\n');
        // A creator that went away is told by the record.
        pipe.write_all(&line).ok();
        if !matches!(word, StartUp::Leased { .. }) {
            self.0 = None;
        }
    }
}
