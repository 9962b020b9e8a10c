//! Children: how they ended, and that orphans become ours.

use std::io;

use super::check;

/// A child that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its process id, which the kernel may give away again.
    pub(crate) pid: u32,
    /// Its exit code, where it ended by itself.
    pub(crate) code: Option<u8>,
    /// The signal that ended it otherwise.
    pub(crate) signal: Option<u8>,
    /// Whether it dumped core.
    pub(crate) core: bool,
    /// Processor time of it and of the children it waited for.
    pub(crate) cpu_ms: u64,
    /// The largest resident set among them.
    pub(crate) rss_max_bytes: u64,
}

/// Takes one child that ended, or none if all that are left still run.
pub(crate) fn reap() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid value of a plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that `wait4` fills.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let signalled = libc::WIFSIGNALED(status);
    Some(Ended {
        pid,
        code: if signalled { None } else { u8::try_from(libc::WEXITSTATUS(status)).ok() },
        signal: if signalled { u8::try_from(libc::WTERMSIG(status)).ok() } else { None },
        core: signalled && libc::WCOREDUMP(status),
        cpu_ms: milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
        rss_max_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    })
}

/// Tells whether any child is left, running or not.
pub(crate) fn are_any_left() -> bool {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: an all-zero `siginfo_t` is a valid value of a plain C struct.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a live value of the type that the call fills.
    unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) == 0 }
}

/// Makes this process the parent of every orphan below it.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: this option takes one integer and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
    Ok(())
}

/// Tells whether this process is root.
pub(crate) fn is_root() -> bool {
    user_id() == 0
}

/// Returns this process's effective user.
pub(crate) fn user_id() -> u32 {
    // SAFETY: `geteuid` takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

fn milliseconds(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_usec).unwrap_or(0) / 1000
}
