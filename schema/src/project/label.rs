//! Constants by key: whose each is to give, and how long it may be.

use std::collections::BTreeMap;

/// Constants by key, as people and metrics group by them.
pub type Labels = BTreeMap<String, String>;

/// Prefixes of keys that nobody but msb gives.
pub const RESERVED_LABELS: [&str; 5] = ["msb.", "sandbox.", "microsandbox.", "service.", "host."];

/// The longest key of a label, in bytes.
pub const LABEL_KEY_BYTES_MAX: usize = 128;

/// The longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 1024;

/// Tells whether a label that somebody else wrote could stand in a Sandboxfile.
#[must_use]
pub fn is_label(key: &str, value: &str) -> bool {
    let is_reserved = RESERVED_LABELS.iter().any(|prefix| key.starts_with(prefix));
    let has_controls = key.chars().chain(value.chars()).any(char::is_control);
    let fits = (1..=LABEL_KEY_BYTES_MAX).contains(&key.len());
    fits && value.len() <= LABEL_VALUE_BYTES_MAX && !is_reserved && !has_controls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_msb_keeps_for_itself_is_nobodys_label() {
        assert!(is_label("org.example.vendor", "acme") && is_label("msb", ""));
        for key in ["", "msb.project", "sandbox.name", "microsandbox.x", "service.name", "host.a"] {
            assert!(!is_label(key, "x"), "{key}");
        }
        assert!(!is_label("a\n", "x") && !is_label("a", "\x1b[2J"));
        assert!(is_label(&"k".repeat(128), &"v".repeat(1024)));
        assert!(!is_label(&"k".repeat(129), "") && !is_label("k", &"v".repeat(1025)));
    }
}
