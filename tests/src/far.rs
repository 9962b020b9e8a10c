//! A peer that is far away: it takes or sends a stream of known bytes no faster than it is told, and says how
//! that went.
//!
//! The other end is `tests/vm/published/guest.c`.

use std::io::{self, Error, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::run::pause;

/// The longest that a peer waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How one move went.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// From the first byte to the last, and to the answer where there is one.
    pub took: Duration,
    /// The longest time in which nothing moved.
    pub stalled: Duration,
}

/// Calls somebody.
///
/// # Panics
/// When it is not taken.
pub fn call(to: (&str, u16)) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("{to:?}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
    stream
}

/// Takes a stream of words to its end, no faster than `rate`; each must be the right one.
///
/// # Errors
/// It breaks, ends early, or a byte is another one.
pub fn take(mut stream: TcpStream, size: usize, rate: Option<usize>) -> io::Result<Moved> {
    stream.write_all(format!("s{:08}", size >> 10).as_bytes())?;
    let (began, mut bytes, mut moved) = (now(), vec![0; 64 << 10], 0);
    let mut stalled = Duration::ZERO;
    loop {
        let asked = now();
        let count = stream.read(&mut bytes)?;
        // Until the first byte the call itself is under way.
        stalled = if moved == 0 { stalled } else { stalled.max(now() - asked) };
        if count == 0 {
            break;
        }
        for (at, byte) in (moved..).zip(&bytes[..count]) {
            if *byte != word(at as u64 / 8)[at % 8] {
                return Err(Error::other(format!("byte {at} is another one")));
            }
        }
        moved += count;
        hold(began, moved, rate);
    }
    if moved != size {
        return Err(Error::other(format!("it ended after {moved} of {size} bytes")));
    }
    Ok(Moved { took: now() - began, stalled })
}

/// Sends a stream of words, no faster than `rate`, and ends; the other side says that they were right.
///
/// # Errors
/// It breaks, or they were not.
pub fn give(mut stream: TcpStream, size: usize, rate: Option<usize>) -> io::Result<Moved> {
    stream.write_all(b"r")?;
    let (began, mut moved, mut stalled) = (now(), 0, Duration::ZERO);
    while moved < size {
        let words = (moved as u64 / 8)..(moved as u64 / 8 + 8192);
        let bytes: Vec<u8> = words.flat_map(word).collect();
        let asked = now();
        stream.write_all(&bytes)?;
        stalled = stalled.max(now() - asked);
        moved += bytes.len();
        hold(began, moved, rate);
    }
    // Half of it is closed; the answer comes by the other half.
    stream.shutdown(Shutdown::Write)?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    if said != format!("{0} of {0}\n", size / 8) {
        return Err(Error::other(format!("of {} words right were {said:?}", size / 8)));
    }
    Ok(Moved { took: now() - began, stalled })
}

/// Waits until so many bytes may have passed since `began`.
fn hold(began: Instant, moved: usize, rate: Option<usize>) {
    let Some(rate) = rate else { return };
    let due = Duration::from_secs_f64(moved as f64 / rate as f64);
    pause(due.saturating_sub(now() - began));
}

fn word(at: u64) -> [u8; 8] {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

#[expect(clippy::disallowed_methods, reason = "what is measured has real time")]
fn now() -> Instant {
    Instant::now()
}
