//! What a text costs the second reader, counted before it is asked.
//!
//! It reads by recursion and backtracks: braces and comments deepen its stack,
//! each slashdash can double its work.

/// Bytes that an edit takes.
pub(crate) const BYTES_MAX: usize = 256 << 10;
/// Braces open at a time that an edit takes.
pub(crate) const DEPTH_MAX: usize = 48;
/// Slashdashes that an edit takes.
pub(crate) const SLASHDASHES_MAX: usize = 8;

/// Braces in all, quoted ones too: in a broken file each may be one that never closes.
/// Its stack holds four times as many.
const BRACES_MAX: usize = 2048;
/// Characters in block comments at which the second reader goes one call deeper.
const COMMENT_MARKS_MAX: usize = 4096;

/// The counts of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    bytes: usize,
    depth: usize,
    slashdashes: usize,
    braces: usize,
    comment_marks: usize,
}

impl Cost {
    /// Counts, skipping strings and comments.
    pub(crate) fn of(text: &str) -> Self {
        let braces = text.bytes().filter(|byte| *byte == b'{').count();
        let bytes = text.len();
        let mut cost = Self { bytes, depth: 0, slashdashes: 0, braces, comment_marks: 0 };
        cost.count(text.as_bytes());
        cost
    }

    /// Returns what is too much for an edit, in words.
    pub(crate) fn too_much(&self) -> Option<String> {
        if self.bytes > BYTES_MAX {
            Some(format!("it has more than {} KiB", BYTES_MAX >> 10))
        } else if self.depth > DEPTH_MAX {
            Some(format!("more than {DEPTH_MAX} braces are open at a time"))
        } else if self.slashdashes > SLASHDASHES_MAX {
            Some(format!("it has more than {SLASHDASHES_MAX} slashdashes"))
        } else {
            None
        }
    }

    /// Returns whether the second reader may be asked.
    pub(crate) fn is_readable(&self) -> bool {
        let marks = self.comment_marks <= COMMENT_MARKS_MAX;
        self.too_much().is_none() && self.braces <= BRACES_MAX && marks
    }

    fn count(&mut self, bytes: &[u8]) {
        let (mut at, mut open) = (0, 0_usize);
        while at < bytes.len() {
            at += match &bytes[at..] {
                [b'/', b'/', rest @ ..] => 2 + line(rest),
                [b'/', b'*', rest @ ..] => 2 + self.comment(rest),
                [b'/', b'-', ..] => {
                    self.slashdashes += 1;
                    2
                }
                [b'"', ..] => string(&bytes[at..], 0),
                [b'#', ..] => {
                    let marks = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
                    let quoted = bytes.get(at + marks) == Some(&b'"');
                    if quoted { marks + string(&bytes[at + marks..], marks) } else { marks }
                }
                [b'{', ..] => {
                    open += 1;
                    self.depth = self.depth.max(open);
                    1
                }
                [b'}', ..] => {
                    open = open.saturating_sub(1);
                    1
                }
                _ => 1,
            };
        }
    }

    /// Returns the length of a block comment without its opening.
    fn comment(&mut self, bytes: &[u8]) -> usize {
        let (mut at, mut open) = (0, 1_usize);
        while at < bytes.len() && open > 0 {
            at += match &bytes[at..] {
                [b'*', b'/', ..] => {
                    open -= 1;
                    2
                }
                [b'/', b'*', ..] => {
                    open += 1;
                    self.comment_marks += 1;
                    2
                }
                [b'*' | b'/', ..] => {
                    self.comment_marks += 2;
                    1
                }
                _ => 1,
            };
        }
        at
    }
}

fn line(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len())
}

/// Returns the length of a string from its first quote; `marks` is how many `#` stand before it.
fn string(bytes: &[u8], marks: usize) -> usize {
    let wide = bytes.starts_with(b"\"\"\"");
    let quotes: &[u8] = if wide { b"\"\"\"" } else { b"\"" };
    let mut at = quotes.len();
    while at < bytes.len() {
        let rest = &bytes[at..];
        let closes = rest.starts_with(quotes)
            && rest[quotes.len()..].iter().take(marks).filter(|byte| **byte == b'#').count()
                == marks;
        match rest {
            _ if closes => return at + quotes.len() + marks,
            // A string on one line that does not end is given up where its line ends.
            [b'\n' | b'\r', ..] if !wide => return at,
            // A backslash takes the blanks and line ends behind it along.
            [b'\\', next @ ..] if marks == 0 => {
                let blanks = next.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                at += 1 + blanks.max(1);
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(text: &str) -> usize {
        Cost::of(text).depth
    }

    #[test]
    fn sf_t13_braces_are_counted_outside_strings_and_comments() {
        assert_eq!(depth("a { b { c } } d { e }"), 2);
        assert_eq!(depth("a \"{{{\" // {{{\n/* {{ /* { */ { */ b { }"), 1);
        assert_eq!(depth("a #\"{{\"# ##\"{ \"# {\"## \"\"\"\n{{\n\"\"\" { b { } }"), 2);
        assert_eq!(depth("a \"\\\"{{\" {}"), 1);
        assert_eq!(depth("a \"b \\ \r\n {{ \" {}"), 1);
        assert_eq!(depth("a \"never ends {{\nb { c { } }"), 2);
    }

    #[test]
    fn sf_t14_the_guard_has_three_limits() {
        let says = |text: String| Cost::of(&text).too_much();
        assert_eq!(says("a {\n".repeat(48) + &"}\n".repeat(48)), None);
        assert!(says("a {\n".repeat(49)).is_some_and(|why| why.contains("48 braces")));
        assert_eq!(says("/-a\n".repeat(8) + "b \"/- /- /-\" // /-\n"), None);
        assert!(says("/-a\n".repeat(9)).is_some_and(|why| why.contains("8 slashdashes")));
        assert_eq!(says(" ".repeat(256 << 10)), None);
        assert!(says(" ".repeat((256 << 10) + 1)).is_some_and(|why| why.contains("256 KiB")));
    }

    #[test]
    fn what_would_overflow_the_second_reader_is_not_shown_to_it() {
        assert!(Cost::of("sandbox \"a\" {\n}\n").is_readable());
        assert!(!Cost::of(&format!("/*{}*/ a\n", "*".repeat(50_000))).is_readable());
        assert!(!Cost::of(&"\"{\n".repeat(20_000)).is_readable());
    }
}
