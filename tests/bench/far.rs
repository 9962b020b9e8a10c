//! A peer in another network, for `tests/bench/run P8`.
//!
//!     bench-far DELAY_MS    two networks, and a wire that takes so long each way
//!
//! It prints where the near network is, then what each line asks for, seconds and the longest time without a byte:
//!
//!     take|give PORT BYTES RATE    from or to that port of the near network, so many bytes a second; 0 is any

use std::env;
use std::io::{self, Error, Write as _};
use std::time::Duration;

use tests::far::{self, Moved};
use tests::wire::{NEAR, Wire};

fn main() -> io::Result<()> {
    let delay = env::args().nth(1).and_then(|delay| delay.parse().ok());
    let delay = delay.ok_or_else(|| Error::other("bench-far DELAY_MS"))?;
    let wire = Wire::slow(Duration::from_millis(delay))
        .ok_or_else(|| Error::other("this host lets nobody make networks"))?;
    say(&wire.near().through()[1])?;
    for line in io::stdin().lines() {
        let line = line?;
        let moved = wire.far().inside(|| go(&line))?;
        say(&format!("{} {}", moved.took.as_secs_f64(), moved.stalled.as_secs_f64()))?;
    }
    Ok(())
}

fn go(line: &str) -> io::Result<Moved> {
    let usage = || Error::other(format!("take|give PORT BYTES RATE, not {line}"));
    let words: Vec<&str> = line.split(' ').collect();
    let [way, port, size, rate] = words.as_slice() else { return Err(usage()) };
    let number = |text: &str| text.parse::<usize>().map_err(|_| usage());
    let stream = far::call((NEAR, port.parse().map_err(|_| usage())?));
    let (size, rate) = (number(size)?, Some(number(rate)?).filter(|rate| *rate > 0));
    match *way {
        "take" => far::take(stream, size, rate),
        "give" => far::give(stream, size, rate),
        _ => Err(usage()),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
