//! Files of `KEY=VALUE` lines: variables of a project, environments of a guest.
//!
//! The value is the rest of the line as it stands: no quotes, no escapes, no
//! variables in it. Empty lines and those that begin with `#` say nothing.

use thiserror::Error;

/// Why a file of lines cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinesError {
    /// It is not text.
    #[error("it is not UTF-8: byte {0} fits no character")]
    NotUtf8(usize),
    /// A line names nothing.
    #[error("line {0} has no `=`")]
    NoEquals(usize),
    /// A line names something impossible.
    #[error("line {0}: {1}")]
    Key(usize, String),
}

/// Returns the pairs of a file in their order; `check` judges each key.
///
/// # Errors
/// The first line that is none.
pub fn pairs(
    bytes: &[u8],
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<(&str, &str)>, LinesError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text =
        std::str::from_utf8(bytes).map_err(|error| LinesError::NotUtf8(error.valid_up_to()))?;
    let mut pairs = Vec::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(LinesError::NoEquals(number))?;
        check(key).map_err(|why| LinesError::Key(number, why))?;
        pairs.push((key, value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_v7_a_value_is_the_rest_of_its_line() {
        let text = b"# a\n\nA=1\nB= \"x\" # no comment\r\nC=\nD=a=b\n";
        let found = pairs(text, |_| Ok(())).unwrap();
        assert_eq!(found, [("A", "1"), ("B", " \"x\" # no comment"), ("C", ""), ("D", "a=b")]);
    }

    #[test]
    fn sf_v7_what_is_no_pair_is_told_by_its_line() {
        let refused = |text: &[u8]| pairs(text, |_| Ok(())).unwrap_err();
        assert_eq!(refused(b"A=1\n\nexport B\n"), LinesError::NoEquals(3));
        assert_eq!(refused(b"A=\xff"), LinesError::NotUtf8(2));
        let never = |_: &str| Err("no".to_owned());
        assert_eq!(pairs(b"A=1", never).unwrap_err(), LinesError::Key(1, "no".into()));
    }
}
