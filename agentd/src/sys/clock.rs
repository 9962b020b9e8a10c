//! The clocks of this kernel.

use std::io;

use super::check;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Returns the milliseconds since this kernel started.
pub(crate) fn monotonic_ms() -> u64 {
    read(libc::CLOCK_MONOTONIC) / 1_000_000
}

/// Returns the nanoseconds since 1970, as this kernel has them.
pub(crate) fn unix_ns() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// Sets the wall clock at once.
pub(crate) fn step(unix_ns: u64) -> io::Result<()> {
    let time = libc::timespec { tv_sec: seconds(unix_ns)?, tv_nsec: nanoseconds(unix_ns) };
    // SAFETY: `time` lives through the call, which only reads it.
    check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) })?;
    Ok(())
}

/// Lets the wall clock run towards a difference without a jump.
pub(crate) fn slew(difference_ns: i64) -> io::Result<()> {
    let microseconds = difference_ns / 1000;
    let delta = libc::timeval {
        tv_sec: microseconds.div_euclid(1_000_000),
        tv_usec: microseconds.rem_euclid(1_000_000),
    };
    // SAFETY: `delta` lives through the call, which only reads it; no old value is asked for.
    check(unsafe { libc::adjtime(&raw const delta, std::ptr::null_mut()) })?;
    Ok(())
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live value of the type that the call fills.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    debug_assert_eq!(answer, 0, "both clocks exist in every kernel");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * NS_PER_SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn seconds(unix_ns: u64) -> io::Result<libc::time_t> {
    libc::time_t::try_from(unix_ns / NS_PER_SECOND)
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn nanoseconds(unix_ns: u64) -> libc::c_long {
    libc::c_long::try_from(unix_ns % NS_PER_SECOND).expect("less than a second fits every integer")
}
