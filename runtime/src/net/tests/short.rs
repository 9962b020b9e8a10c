//! Short connections, one after the other without end, and nothing that stays behind them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use super::guest::Guest;
use super::{gateway, hosts, listening};

/// How many; `MSB_BATTERY=whole` makes all that was promised.
fn how_many() -> usize {
    let is_whole = std::env::var_os("MSB_BATTERY").is_some_and(|value| value == "whole");
    if is_whole { 1_000_000 } else { 20_000 }
}

/// How many are open at a time.
const AT_ONCE: usize = 50;

/// Memory may grow by so much in all, once everything was done a few times.
const GROWTH_MAX: usize = 4 << 20;

/// What a guest says is how its connection ends: answered, closed at once, reset, or by the guest.
const WORDS: [&[u8]; 4] = [b"e.", b"h", b"r.", b"w"];

/// Ends each connection as its first byte asks for.
fn ends(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut word = [0; 2];
            if stream.read_exact(&mut word[..1]).is_err() {
                continue;
            }
            match word[0] {
                b'e' => {
                    stream.read_exact(&mut word[1..]).ok();
                    stream.write_all(&word).ok();
                }
                // The guest ends.
                b'w' => drop(stream.read(&mut word)),
                // What was not read makes the end a reset.
                _ => {}
            }
        }
    });
}

/// Lets so many connections begin and end, each in its own way.
fn round(guest: &mut Guest, port: u16) {
    let calls: Vec<SocketHandle> = (0..AT_ONCE).map(|_| guest.connect(gateway(port))).collect();
    let mut waiting: Vec<(usize, SocketHandle)> = calls.iter().copied().enumerate().collect();
    guest.until("all were answered", |guest| {
        waiting.retain(|(at, call)| {
            if guest.state(*call) != State::Established {
                // One that the server has reset already was answered too.
                return guest.state(*call) != State::Closed;
            }
            let word = WORDS[at % WORDS.len()];
            guest.send(*call, word);
            if word == b"w" {
                guest.close(*call);
            }
            false
        });
        waiting.is_empty()
    });
    let mut open = calls.clone();
    guest.until("all have ended", |guest| {
        open.retain(|call| {
            let mut heard = Vec::new();
            guest.receive(*call, &mut heard);
            if !guest.may_hear(*call) {
                guest.close(*call);
            }
            !matches!(guest.state(*call), State::Closed | State::TimeWait)
        });
        open.is_empty()
    });
    calls.into_iter().for_each(|call| guest.forget(call));
}

/// Returns how many files this process has open.
fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns the bytes of memory that this process holds.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn rt_9_6_short_connections_without_end_leave_nothing_behind() {
    let (listener, port) = listening();
    ends(listener);
    let mut guest = Guest::new(hosts(), Vec::new());
    let before = files();
    for _ in 0..2000 / AT_ONCE {
        round(&mut guest, port);
    }
    let warm = memory();
    for _ in 0..how_many() / AT_ONCE {
        round(&mut guest, port);
    }
    guest.until("none is known any more", |guest| guest.figures().connections == 0);
    guest.until("no file is held for one", |_| files() <= before);
    let grown = memory().saturating_sub(warm);
    assert!(grown <= GROWTH_MAX, "{grown} bytes more than after the first 2,000");
    println!("{} connections: {before} files before and after, {grown} bytes more", how_many());
}
