//! What a child does to itself between fork and exec.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Makes `command` start in a session of its own that dies with this thread.
///
/// The child gains no privileges, dumps no core, and has `keep` and the
/// standard three open, nothing else; of those at most `files_max`.
pub(crate) fn confined(command: &mut Command, keep: Vec<RawFd>, files_max: Option<u64>) {
    let parent = std::process::id();
    let enter = move || {
        die_with(parent)?;
        // SAFETY: integers only.
        check(unsafe { libc::setsid() })?;
        // SAFETY: integers only.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        limit(libc::RLIMIT_CORE, 0)?;
        if let Some(most) = files_max {
            limit(libc::RLIMIT_NOFILE, most)?;
        }
        only(&keep)
    };
    // SAFETY: `enter` makes system calls and reads memory copied by fork; it allocates nothing.
    unsafe { command.pre_exec(enter) };
}

fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    // SAFETY: no arguments, cannot fail.
    let now = unsafe { libc::getppid() };
    // The parent may have died before the line above; then nobody would send the signal.
    if u32::try_from(now) == Ok(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

fn limit(what: libc::__rlimit_resource_t, most: libc::rlim_t) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills a struct that lives on our stack.
    check(unsafe { libc::getrlimit(what, &raw mut now) })?;
    let most = most.min(now.rlim_max);
    let new = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the kernel reads a struct that lives on our stack.
    check(unsafe { libc::setrlimit(what, &raw const new) })
}

fn only(keep: &[RawFd]) -> io::Result<()> {
    // Marked, not closed: the standard library still has its own pipe to report a failed exec.
    // SAFETY: integers only; the descriptors stay open until exec.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    for fd in keep {
        // SAFETY: integers only.
        check(unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) })?;
    }
    Ok(())
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
