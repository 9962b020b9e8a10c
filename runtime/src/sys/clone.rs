//! A copy of this process in namespaces of its own, and what it does before another program takes its place.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::ptr;

use rustix::process::Pid;

/// Which of the two this is.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The one that asked, with the other's number and what names it for good.
    Parent(Pid, OwnedFd),
    /// The copy.
    Child,
}

/// The namespaces of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spaces {
    /// Those of this process.
    Ours,
    /// Its own mounts, processes, network, IPC, host name and control groups.
    Own,
    /// Its own users as well.
    OwnWithUsers,
}

impl Spaces {
    fn flags(self) -> i32 {
        let own = libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        match self {
            Self::Ours => 0,
            Self::Own => own,
            Self::OwnWithUsers => own | libc::CLONE_NEWUSER,
        }
    }
}

/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a copy of this process, in this control group from its first moment on; only where it has one thread.
///
/// # Errors
/// It has several, or the host does not allow the namespaces.
pub(crate) fn clone(spaces: Spaces, group: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads is not copied"));
    }
    let mut pidfd: RawFd = -1;
    let mut flags = i64::from(spaces.flags() | libc::CLONE_PIDFD).unsigned_abs();
    if group.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let arguments = libc::clone_args {
        flags,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD.unsigned_abs().into(),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: group.map_or(0, |folder| i64::from(folder.as_raw_fd()).unsigned_abs()),
    };
    // SAFETY: no memory is shared with the copy, which goes on where this process stands, on a copy of its
    // stack; there is no other thread whose locks it could find taken. The kernel writes one integer.
    let answer = unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>())
    };
    match answer {
        0 => Ok(Cloned::Child),
        pid @ 1.. => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| io::Error::other("no such number is a process"))?;
            // SAFETY: the kernel has just made it for us, and nobody else knows it.
            Ok(Cloned::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts descriptors at the numbers that a program expects them at; all others above standard error are
/// closed when it takes the place of this one. Returns the program, out of their way.
///
/// # Errors
/// There are no numbers left.
pub(crate) fn arrange(
    wanted: Vec<(OwnedFd, RawFd)>,
    program: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    let beyond = wanted.iter().flat_map(|(fd, at)| [fd.as_raw_fd(), *at]).max().unwrap_or(2) + 1;
    let mut aside = Vec::new();
    // SAFETY: integers only.
    let program =
        check(unsafe { libc::fcntl(program.as_raw_fd(), libc::F_DUPFD_CLOEXEC, beyond) })?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    let program = unsafe { OwnedFd::from_raw_fd(program) };
    // All are moved out of the way first, so that none lies at the number of another.
    for (fd, at) in wanted {
        // SAFETY: integers only; the copy is nobody's yet.
        let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, beyond) })?;
        aside.push((copy, at));
    }
    // SAFETY: integers only; nothing is closed before another program takes this one's place.
    let marked =
        unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked != 0 {
        return Err(io::Error::last_os_error());
    }
    for (copy, at) in aside {
        // SAFETY: integers only; what lies at `at` was moved aside, or is nobody's here any more.
        check(unsafe { libc::dup2(copy, at) })?;
    }
    Ok(program)
}

/// Puts a descriptor in the place of one of the standard three.
///
/// # Errors
/// The kernel refuses it.
pub(crate) fn put(fd: OwnedFd, at: RawFd) -> io::Result<()> {
    // SAFETY: integers only; the standard three belong to the whole process.
    check(unsafe { libc::dup2(fd.into_raw_fd(), at) }).map(drop)
}

/// Lets the program of an open file take the place of this one; returns only where that failed.
pub(crate) fn become_program(
    program: BorrowedFd<'_>,
    words: &[CString],
    variables: &[CString],
) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (words, variables, empty): (_, _, &CStr) = (pointers(words), pointers(variables), c"");
    // SAFETY: both lists end with a null and live through the call, as do the texts they point to.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            empty.as_ptr(),
            words.as_ptr(),
            variables.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Lets the program of this name take the place of this one, without any variable; returns only where that failed.
pub(crate) fn become_path(program: &CStr, words: &[CString]) -> io::Error {
    let words: Vec<*const libc::c_char> =
        words.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
    let variables = [ptr::null()];
    // SAFETY: both lists end with a null and live through the call, as do the texts they point to.
    unsafe { libc::execve(program.as_ptr(), words.as_ptr(), variables.as_ptr()) };
    io::Error::last_os_error()
}

fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
