//! Moments as people read and write them: local time.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use schema::units::Millis;

fn zoned(unix_ms: u64) -> Option<ZonedDateTime> {
    let stamp = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(stamp.to_zoned_datetime(TimeZone::system()))
}

fn formatted(unix_ms: u64, format: &str) -> String {
    zoned(unix_ms).map_or_else(|| "-".to_owned(), |time| time.strftime(format).to_string())
}

/// Returns a moment as `2026-11-22 10:02:11`.
#[must_use]
pub fn local(unix_ms: u64) -> String {
    formatted(unix_ms, "%Y-%m-%d %H:%M:%S")
}

/// Returns a moment as `2026-11-22 10:02:11.482`.
#[must_use]
pub fn local_ms(unix_ms: u64) -> String {
    formatted(unix_ms, "%Y-%m-%d %H:%M:%S%.3f")
}

/// Returns the time of day as `10:02:11`.
#[must_use]
pub fn time_of_day(unix_ms: u64) -> String {
    formatted(unix_ms, "%H:%M:%S")
}

/// Returns the moment that `text` means: RFC 3339, a local date or time, `@UNIX`, or how long ago.
#[must_use]
pub fn parse_instant(text: &str, now_ms: u64) -> Option<u64> {
    let ms = |stamp: Timestamp| u64::try_from(stamp.as_millisecond()).ok();
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse::<u64>().ok()?.checked_mul(1000);
    }
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return ms(stamp);
    }
    let ago = text.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1000));
    if let Some(ago) = ago.or_else(|| Millis::parse(text).ok().map(|ago| ago.0)) {
        return Some(now_ms.saturating_sub(ago));
    }
    let civil = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| DateTime::strptime(format, text).ok())
        .or_else(|| Date::strptime("%Y-%m-%d", text).ok().map(DateTime::from))?;
    ms(civil.to_zoned_datetime(TimeZone::system()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_five_ways() {
        let now = 1_795_338_131_482;
        assert_eq!(parse_instant("2026-11-22T09:02:11.482+00:00", now), Some(now));
        assert_eq!(parse_instant("@1795338131", now), Some(now - 482));
        assert_eq!(parse_instant("1h30m", now), Some(now - 5_400_000));
        assert_eq!(parse_instant("90", now), Some(now - 90_000));
        assert_eq!(parse_instant(&local(now), now), Some(now - 482));
        assert_eq!(parse_instant(&local_ms(now), now), None);
        assert!(parse_instant("2026-11-22", now).is_some());
        assert_eq!(parse_instant("yesterday", now), None);
    }
}
