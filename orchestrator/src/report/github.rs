//! What GitHub's runner reads between the lines of a log: its commands, and lines that must be none.

/// Begins a part of the log that is folded.
#[must_use]
pub fn group(title: &str) -> String {
    format!("::group::{}\n", escaped(title))
}

/// Ends it.
pub const END_OF_GROUP: &str = "::endgroup::\n";

/// Returns the annotation of something that has no place in a file: `error` or `warning`.
#[must_use]
pub fn annotation(word: &str, title: &str, message: &str) -> String {
    format!("::{word} title={}::{}\n", escaped_property(title), escaped(message))
}

/// Returns text as a command takes it.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Returns text as a property of a command takes it.
#[must_use]
pub fn escaped_property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

/// Returns one line of a guest that the runner takes for no command of its own.
#[must_use]
pub fn no_command(line: &str) -> String {
    let line = line.replace("##[", "#\u{200b}#[");
    let blank = line.len() - line.trim_start().len();
    match line.get(blank..).and_then(|rest| rest.strip_prefix("::")) {
        Some(rest) => format!("{}:\u{200b}:{rest}", &line[..blank]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_s_line_is_no_command_of_a_runner() {
        assert_eq!(no_command("::error::x"), ":\u{200b}:error::x");
        assert_eq!(no_command("  ::error::x"), "  :\u{200b}:error::x");
        assert_eq!(no_command("a ##[group]b"), "a #\u{200b}#[group]b");
        assert_eq!(no_command("plain"), "plain");
    }

    #[test]
    fn a_message_of_two_lines_is_one_command() {
        assert_eq!(
            annotation("warning", "msb::a,b", "50%\nof it"),
            "::warning title=msb%3A%3Aa%2Cb::50%25%0Aof it\n"
        );
    }
}
