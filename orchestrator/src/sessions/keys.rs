//! The keys that leave a terminal.

/// What is used where nothing else is said: `ctrl-]`.
pub const DEFAULT: &str = "ctrl-]";

/// Returns the bytes of `ctrl-p,ctrl-q`, `ctrl-]`, `x`; none for `none`.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<u8>> {
    if text == "none" {
        return Some(Vec::new());
    }
    text.split(',').map(key).collect()
}

fn key(text: &str) -> Option<u8> {
    let (is_control, key) = match text.strip_prefix("ctrl-") {
        Some(key) => (true, key),
        None => (false, text),
    };
    let [byte] = key.as_bytes() else { return None };
    let byte = byte.to_ascii_uppercase();
    match (is_control, byte) {
        (true, b'@'..=b'_') => Some(byte & 0x1f),
        (false, b'!'..=b'~') => Some(key.as_bytes()[0]),
        (true | false, _) => None,
    }
}

/// Looks for the keys in what is typed; a part of them is held back until it is clear.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    keys: Vec<u8>,
    matched: usize,
}

impl Watch {
    /// Returns a watch for `keys`; without keys nothing is ever found.
    #[must_use]
    pub const fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Returns what is to be passed on of `typed`, and whether the keys were completed in it.
    pub fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if *byte != self.keys[self.matched] {
                passed.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (passed, true);
                }
            } else {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_people_name_them() {
        assert_eq!(parse("ctrl-]"), Some(vec![0x1d]));
        assert_eq!(parse("ctrl-p,ctrl-q"), Some(vec![0x10, 0x11]));
        assert_eq!(parse("ctrl-a,d"), Some(vec![0x01, b'd']));
        assert_eq!(parse("none"), Some(vec![]));
        for bad in ["", "ctrl-", "ctrl-ä", "alt-x", "ab", "ctrl-p,"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_typed_passes_unless_it_is_the_keys() {
        let mut watch = Watch::new(vec![0x10, 0x11]);
        assert_eq!(watch.pass(b"ab"), (b"ab".to_vec(), false));
        assert_eq!(watch.pass(b"c\x10"), (b"c".to_vec(), false));
        assert_eq!(watch.pass(b"d"), (b"\x10d".to_vec(), false));
        assert_eq!(watch.pass(b"\x10\x10\x11x"), (b"\x10".to_vec(), true));
    }
}
