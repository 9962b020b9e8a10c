//! Values as the command line takes them: bare numbers have a unit here, and only here.

use std::time::Duration;

use schema::units::{Bytes, Millis, Rate, UnitError, parse_count};

/// Reads a size; a bare number is MiB.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn size(text: &str) -> Result<Bytes, String> {
    if let Some(mib) = parse_count(text) {
        return mib.checked_mul(Bytes::MIB).map(Bytes).ok_or_else(|| "it is too large".into());
    }
    Bytes::parse(&text.replace(' ', "")).map_err(|error| explained(&error))
}

/// Reads a duration; a bare number is seconds, and zero is refused.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let time = duration_or_zero(text)?;
    if time.is_zero() { Err("it must be more than zero".into()) } else { Ok(time) }
}

/// Reads a duration that may be zero.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    if let Some(seconds) = parse_count(text) {
        return Ok(Duration::from_secs(seconds));
    }
    Millis::parse(text).map(Millis::as_duration).map_err(|error| explained(&error))
}

/// Reads a rate such as `10MiB/s`; zero is refused.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    match Rate::parse(text) {
        Ok(Rate(0)) => Err("nothing would pass; leave it out for no limit".into()),
        Ok(rate) => Ok(rate),
        Err(error) => Err(explained(&error)),
    }
}

/// Reads `KEY=VALUE`; the first `=` splits.
///
/// # Errors
/// There is no key.
pub(crate) fn pair(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() { Err("the key is empty".into()) } else { Ok((key.to_owned(), value)) }
}

fn explained(error: &UnitError) -> String {
    match error.nearest() {
        Some(nearest) => format!("{error}; write `{nearest}`"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_mebibytes_or_seconds() {
        assert_eq!(size("512"), Ok(Bytes::mib(512)));
        assert_eq!(size("1.5 GiB"), Ok(Bytes::mib(1536)));
        assert!(size("512MB").unwrap_err().contains("512MiB"));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("0").is_err() && duration_or_zero("0").is_ok());
    }

    #[test]
    fn the_first_equals_sign_splits() {
        assert_eq!(pair("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(pair("A="), Ok(("A".into(), Some(String::new()))));
        assert_eq!(pair("A"), Ok(("A".into(), None)));
        pair("=b").unwrap_err();
    }
}
