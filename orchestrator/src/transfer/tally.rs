//! What was copied, and what was left out and why.

use schema::wire::files::{FileNote, NoteKind};

/// How many names are kept of what was left out; the others are counted.
const LEFT_OUT_MAX: usize = 1000;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files and links that were copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of what was left out, or is not as it was.
    pub left_out: Vec<FileNote>,
    /// How many there were of those.
    pub left_out_count: u64,
    /// How many of them could not be copied safely.
    pub unsafe_count: u64,
}

impl Tally {
    /// Takes note of something that was left out.
    pub fn leave_out(&mut self, note: FileNote) {
        self.left_out_count += 1;
        self.unsafe_count += u64::from(note.kind == NoteKind::Unsafe);
        if self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.push(note);
        }
    }

    /// Takes note of what one side counted.
    pub fn add(&mut self, files: u64, bytes: u64) {
        // A guest may count as it likes.
        self.files = self.files.saturating_add(files);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Takes what another tally left out.
    pub fn append(&mut self, other: Self) {
        let told = other.left_out.len() as u64;
        let untold = other.left_out_count - told;
        let untold_unsafe = other.unsafe_count
            - other.left_out.iter().filter(|n| n.kind == NoteKind::Unsafe).count() as u64;
        other.left_out.into_iter().for_each(|note| self.leave_out(note));
        self.left_out_count += untold;
        self.unsafe_count += untold_unsafe;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_named() {
        let mut tally = Tally::default();
        for _ in 0..LEFT_OUT_MAX + 5 {
            tally.leave_out(FileNote::new(NoteKind::Unsafe, b"x", "y"));
        }
        assert_eq!((tally.left_out.len(), tally.left_out_count), (LEFT_OUT_MAX, 1005));
        let mut all = Tally::default();
        all.leave_out(FileNote::new(NoteKind::Skipped, b"x", "y"));
        all.append(tally);
        assert_eq!(
            (all.left_out.len(), all.left_out_count, all.unsafe_count),
            (LEFT_OUT_MAX, 1006, 1005)
        );
    }
}
