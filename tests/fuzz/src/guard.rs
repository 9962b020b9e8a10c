//! Below what size a file may be given to the package `kdl`, which recurses and goes back.

const BYTES_MOST: usize = 256 << 10;
const LEVELS_MOST: usize = 48;
const SLASHDASHES_MOST: usize = 8;

/// Returns whether a text is small and flat enough: 256 KiB, 48 levels of braces outside strings
/// and comments, 8 slashdashes in all.
#[must_use]
pub fn is_below_guard(text: &str) -> bool {
    if text.len() > BYTES_MOST || text.matches("/-").count() > SLASHDASHES_MOST {
        return false;
    }
    let mut depth = 0_usize;
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let skipped = match rest {
            [b'/', b'/', ..] => to(rest, b"\n"),
            [b'/', b'*', ..] => block_comment(rest),
            [b'#' | b'"', ..] => string(rest),
            _ => 1,
        };
        match first {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > LEVELS_MOST {
            return false;
        }
        rest = rest.get(skipped..).unwrap_or(&tail[tail.len()..]);
    }
    true
}

/// Returns how many bytes there are up to the end of `mark`; all of them where it is absent.
fn to(rest: &[u8], mark: &[u8]) -> usize {
    let at = rest.windows(mark.len()).position(|window| window == mark);
    at.map_or(rest.len(), |at| at + mark.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the length of the string that begins here, or 1 where none does.
fn string(rest: &[u8]) -> usize {
    let marks = rest.iter().take_while(|byte| **byte == b'#').count();
    let body = &rest[marks..];
    let quotes = if body.starts_with(b"\"\"\"") { 3 } else { 1 };
    if body.first() != Some(&b'"') {
        return marks.max(1);
    }
    let start = marks + quotes;
    if marks > 0 {
        let end = [&b"\"\"\""[..quotes], &b"#".repeat(marks)].concat();
        return start + to(&rest[start..], &end);
    }
    let mut at = start;
    while at < rest.len() {
        match &rest[at..] {
            [b'\\', ..] => at += 2,
            [b'"', ..] if quotes == 1 => return at + 1,
            [b'"', b'"', b'"', ..] => return at + 3,
            // Text on one line ends with it, closed or not.
            [b'\n', ..] if quotes == 1 => return at,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_t13_braces_count_outside_strings_and_comments() {
        let deep = "{".repeat(LEVELS_MOST + 1);
        assert!(!is_below_guard(&deep));
        for text in [
            deep[1..].to_owned(),
            format!("a \"{deep}\""),
            format!("a \"\\\"{deep}\""),
            format!("a #\"{deep}\"\"#"),
            format!("a \"\"\"\n{deep}\"\n\"\"\""),
            format!("// {deep}"),
            format!("/* /* */ {deep} */ a"),
            "a {}".repeat(LEVELS_MOST + 1),
        ] {
            assert!(is_below_guard(&text), "{text}");
        }
        for text in [format!("a \"\" {deep}"), format!("// \n{deep}"), format!("a #true {deep}")] {
            assert!(!is_below_guard(&text), "{text}");
        }
        assert!(is_below_guard(&"/-a ".repeat(8)) && !is_below_guard(&"/-a ".repeat(9)));
    }
}
