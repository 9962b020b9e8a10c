//! Bytes of a stream to lines, each of a bounded length.

/// The longest line; what is longer is cut here and goes on in the next.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line, or the first part of one that is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its bytes, without the line feed.
    pub(crate) bytes: Vec<u8>,
    /// Whether its end is still to come.
    pub(crate) partial: bool,
}

/// What came of a stream and is no whole line yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes bytes as they came; hands each line that became whole to `each`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line)) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.pending.len();
            let reach = bytes.len().min(room);
            match bytes[..reach].iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.pending.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    each(self.take(false));
                }
                None => {
                    self.pending.extend_from_slice(&bytes[..reach]);
                    bytes = &bytes[reach..];
                    // A line of just the allowed length is whole if its end comes next.
                    if self.pending.len() == LINE_BYTES_MAX && bytes.first() == Some(&b'\n') {
                        bytes = &bytes[1..];
                        each(self.take(false));
                    } else if self.pending.len() == LINE_BYTES_MAX {
                        each(self.take(true));
                    }
                }
            }
        }
    }

    /// Returns what is left when the stream ended without a line feed.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        (!self.pending.is_empty()).then(|| self.take(false))
    }

    fn take(&mut self, partial: bool) -> Line {
        Line { bytes: std::mem::take(&mut self.pending), partial }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<(usize, bool)> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk, |line| seen.push((line.bytes.len(), line.partial)));
        }
        seen.extend(lines.finish().map(|line| (line.bytes.len(), line.partial)));
        seen
    }

    #[test]
    fn lines_survive_any_cut() {
        assert_eq!(lines_of(&[b"ab", b"c\n\nd", b"e"]), [(3, false), (0, false), (2, false)]);
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let long = vec![b'x'; LINE_BYTES_MAX + 5];
        assert_eq!(lines_of(&[&long, b"\n"]), [(LINE_BYTES_MAX, true), (5, false)]);
        let just = [vec![b'x'; LINE_BYTES_MAX], vec![b'\n']].concat();
        assert_eq!(lines_of(&[&just]), [(LINE_BYTES_MAX, false)]);
    }
}
