//! A server on a folder, given the calls of a stranger: what fuzzing and its corpus run.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat};
use schema::launch::{HostPerms, StatVirt};

use super::guard::Guard;
use super::opcode::ALL;
use super::quota::Usage;
use super::reply::Reply;
use super::serve::Server;
use super::share::{Rules, Share};
use super::tally::Tally;
use super::wire::{Call, Head, OPCODE_USER};

/// What the folder may hold: nothing that is asked for fills a disk.
const QUOTA_BYTES: u64 = 1 << 20;

/// The files that a guest may hold.
const NODES_MAX: usize = 64;

/// The number of the first file that is looked up.
const FIRST_NODE: u64 = 1 << 16;

/// Does what the calls in `bytes` ask for in `folder`; what it holds is counted in `usage`.
///
/// A call is a byte that chooses it, a byte that chooses its node, two of its length, and its body.
/// Returns how many there were.
///
/// # Errors
/// The folder cannot be shared.
pub fn trial(folder: &Path, usage: &Path, bytes: &[u8]) -> io::Result<usize> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = openat(CWD, folder, flags, Mode::empty())?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    let figures = options.open(usage)?;
    let usage = Usage::attach(figures.into(), fd.as_fd(), QUOTA_BYTES).map_err(io::Error::other)?;
    let rules = Rules {
        read_only: false,
        stat_virt: StatVirt::Strict,
        host_perms: HostPerms::Private,
        usage: Some(usage),
        guard: Guard::new(["kept"]),
        reserve: 0,
    };
    let share = Arc::new(Share::new(0, fd, None, rules));
    let server = Server::new(vec![share], NODES_MAX, Tally::make()?.0)?;
    let (mut rest, mut calls, mut reply) = (bytes, 0, Reply::new());
    while let Some((&[code, node, low, high], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high]));
        let (body, behind) = after.split_at(len.min(after.len()));
        rest = behind;
        let opcode = match usize::from(code).checked_rem(ALL.len() + 2) {
            Some(at) if at < ALL.len() => ALL.get(at).copied().unwrap_or(OPCODE_USER),
            Some(at) if at == ALL.len() => OPCODE_USER,
            _ => u32::from(code),
        };
        let node = match node {
            0..=15 => u64::from(node),
            known => FIRST_NODE + u64::from(known - 16),
        };
        let head = Head { len: 0, opcode, unique: 1, node, uid: 0, gid: 0 };
        let answer = server.answer(&head, Call::parse(opcode, body), &mut reply);
        if let Some(answer) = answer {
            reply.finish(head.unique, answer);
        }
        calls += 1;
    }
    Ok(calls)
}
