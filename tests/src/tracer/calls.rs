//! Which system calls change the world, which can fail, and what each is about.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use libc::pid_t;

/// A system call as the tracer knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    number: libc::c_long,
    /// Its name.
    pub(crate) name: &'static str,
    about: About,
    changes: Changes,
    /// What the kernel may answer instead.
    errors: &'static [i32],
}

/// What its arguments say that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The path in this argument.
    Path(usize),
    /// The descriptor in this argument.
    File(usize),
    /// Nothing that has a name.
    Nothing,
}

/// When it changes what others can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    Always,
    /// Where it makes or cuts a file; the flags are in this argument.
    Making(usize),
    /// Where it goes to a file, a pipe or a socket that is not one of the standard three.
    Sending,
    /// Where it seals.
    Sealing,
    Never,
}

use About::{File as Fd, Nothing, Path};
use Changes::{Always, Making, Never, Sealing, Sending};
use libc::{EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOLCK, ENOMEM, ENOSPC};

const fn known(
    number: libc::c_long,
    name: &'static str,
    about: About,
    changes: Changes,
    errors: &'static [i32],
) -> Known {
    Known { number, name, about, changes, errors }
}

/// Calls that neither change anything nor can fail for want of something are not here.
const CALLS: &[Known] = &[
    known(libc::SYS_write, "write", Fd(0), Sending, &[ENOSPC, EIO, EINTR]),
    known(libc::SYS_pwrite64, "pwrite64", Fd(0), Sending, &[ENOSPC, EIO]),
    known(libc::SYS_writev, "writev", Fd(0), Sending, &[ENOSPC, EIO, EINTR]),
    known(libc::SYS_pwritev, "pwritev", Fd(0), Sending, &[ENOSPC, EIO]),
    known(libc::SYS_read, "read", Fd(0), Never, &[EIO, EINTR]),
    known(libc::SYS_pread64, "pread64", Fd(0), Never, &[EIO]),
    known(libc::SYS_fsync, "fsync", Fd(0), Always, &[EIO, ENOSPC]),
    known(libc::SYS_fdatasync, "fdatasync", Fd(0), Always, &[EIO, ENOSPC]),
    known(libc::SYS_ftruncate, "ftruncate", Fd(0), Always, &[ENOSPC, EIO, EINTR]),
    known(libc::SYS_fallocate, "fallocate", Fd(0), Always, &[ENOSPC, EINTR]),
    known(libc::SYS_copy_file_range, "copy_file_range", Fd(2), Always, &[ENOSPC, EIO, ENOMEM]),
    known(libc::SYS_sendfile, "sendfile", Fd(0), Always, &[ENOSPC, EIO]),
    known(libc::SYS_open, "open", Path(0), Making(1), &[EMFILE, ENFILE, EIO, ENOSPC, EINTR]),
    known(libc::SYS_openat, "openat", Path(1), Making(2), &[EMFILE, ENFILE, EIO, ENOSPC, EINTR]),
    known(libc::SYS_rename, "rename", Path(1), Always, &[ENOSPC, EIO]),
    known(libc::SYS_renameat, "renameat", Path(3), Always, &[ENOSPC, EIO]),
    known(libc::SYS_renameat2, "renameat2", Path(3), Always, &[ENOSPC, EIO]),
    known(libc::SYS_link, "link", Path(1), Always, &[ENOSPC, EIO]),
    known(libc::SYS_linkat, "linkat", Path(3), Always, &[ENOSPC, EIO]),
    known(libc::SYS_symlink, "symlink", Path(1), Always, &[ENOSPC, EIO]),
    known(libc::SYS_symlinkat, "symlinkat", Path(2), Always, &[ENOSPC, EIO]),
    known(libc::SYS_unlink, "unlink", Path(0), Always, &[EIO]),
    known(libc::SYS_unlinkat, "unlinkat", Path(1), Always, &[EIO]),
    known(libc::SYS_rmdir, "rmdir", Path(0), Always, &[EIO]),
    known(libc::SYS_mkdir, "mkdir", Path(0), Always, &[ENOSPC, EIO]),
    known(libc::SYS_mkdirat, "mkdirat", Path(1), Always, &[ENOSPC, EIO]),
    known(libc::SYS_chmod, "chmod", Path(0), Always, &[EIO]),
    known(libc::SYS_fchmod, "fchmod", Fd(0), Always, &[EIO]),
    known(libc::SYS_fchmodat, "fchmodat", Path(1), Always, &[EIO]),
    known(libc::SYS_fchown, "fchown", Fd(0), Always, &[EIO]),
    known(libc::SYS_flock, "flock", Fd(0), Always, &[EINTR, ENOLCK]),
    known(libc::SYS_fcntl, "fcntl", Fd(0), Sealing, &[ENOLCK]),
    known(libc::SYS_memfd_create, "memfd_create", Nothing, Never, &[EMFILE, ENOMEM]),
    known(libc::SYS_mmap, "mmap", Fd(4), Never, &[ENOMEM]),
    known(libc::SYS_clone, "clone", Nothing, Always, &[EAGAIN, ENOMEM]),
    known(libc::SYS_clone3, "clone3", Nothing, Always, &[EAGAIN, ENOMEM]),
    known(libc::SYS_fork, "fork", Nothing, Always, &[EAGAIN, ENOMEM]),
    known(libc::SYS_vfork, "vfork", Nothing, Always, &[EAGAIN, ENOMEM]),
    known(libc::SYS_kill, "kill", Nothing, Always, &[]),
    known(libc::SYS_pidfd_send_signal, "pidfd_send_signal", Nothing, Always, &[]),
    known(libc::SYS_pidfd_open, "pidfd_open", Nothing, Never, &[EMFILE, ENOMEM]),
    known(libc::SYS_setsid, "setsid", Nothing, Always, &[]),
    known(libc::SYS_socket, "socket", Nothing, Never, &[EMFILE, ENOMEM]),
    known(libc::SYS_socketpair, "socketpair", Nothing, Never, &[EMFILE, ENOMEM]),
    known(libc::SYS_pipe2, "pipe2", Nothing, Never, &[EMFILE, ENFILE]),
    known(libc::SYS_epoll_create1, "epoll_create1", Nothing, Never, &[EMFILE, ENOMEM]),
    known(libc::SYS_eventfd2, "eventfd2", Nothing, Never, &[EMFILE, ENOMEM]),
    known(libc::SYS_bind, "bind", Nothing, Always, &[ENOMEM, ENOSPC]),
    known(libc::SYS_listen, "listen", Nothing, Always, &[ENOMEM]),
    known(libc::SYS_connect, "connect", Nothing, Always, &[EAGAIN, EINTR]),
    known(libc::SYS_accept4, "accept4", Nothing, Never, &[EMFILE, ENFILE]),
    known(libc::SYS_sendto, "sendto", Nothing, Always, &[ENOMEM, EINTR]),
    known(libc::SYS_sendmsg, "sendmsg", Nothing, Always, &[ENOMEM, EINTR]),
    known(libc::SYS_recvmsg, "recvmsg", Nothing, Never, &[ENOMEM, EINTR]),
    known(libc::SYS_exit_group, "exit_group", Nothing, Always, &[]),
];

/// Returns what is known of a call.
pub(crate) fn find(number: u64) -> Option<&'static Known> {
    CALLS.iter().find(|known| u64::try_from(known.number) == Ok(number))
}

impl Known {
    /// Tells whether this very call changes what others can see.
    pub(crate) fn changes(&self, pid: pid_t, args: &[u64; 6]) -> bool {
        match self.changes {
            Always => true,
            Never => false,
            Making(at) => {
                let making = libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE;
                let making = making & !libc::O_DIRECTORY;
                args[at] & u64::try_from(making).unwrap_or_default() != 0
            }
            Sending => self.is_sent_away(pid, args),
            // A lock of a process dies with it, so being killed before or after it is the same.
            Sealing => u64::try_from(libc::F_ADD_SEALS) == Ok(args[1]),
        }
    }

    /// Tells whether a failure of this very call means anything: not that of a wake-up of ours.
    pub(crate) fn may_fail(&self, pid: pid_t, args: &[u64; 6]) -> bool {
        match (self.name, self.about) {
            ("mmap", _) => true,
            ("read" | "write" | "pread64" | "pwrite64" | "writev", Fd(_)) => {
                self.is_sent_away(pid, args)
            }
            // To give a lock back needs nothing.
            ("fcntl", _) => is_locking(pid, args),
            _ => !self.errors.is_empty(),
        }
    }

    fn is_sent_away(&self, pid: pid_t, args: &[u64; 6]) -> bool {
        let Fd(at) = self.about else { return true };
        let wakes = ["anon_inode:[eventfd]", "anon_inode:[eventpoll]", "/dev/null"];
        args[at] > 2 && link(pid, args[at]).is_some_and(|to| !wakes.contains(&to.as_str()))
    }

    /// Returns what this very call can fail with: a pipe or socket is never full, nor broken.
    pub(crate) fn errors(&self, pid: pid_t, args: &[u64; 6]) -> Vec<i32> {
        let Fd(at) = self.about else { return self.errors.to_vec() };
        let target = link(pid, args[at]).unwrap_or_default();
        let is_file = target.starts_with('/') && target != "/dev/null";
        let is_talk = matches!(self.name, "read" | "write" | "writev") && !is_file;
        let errors = self.errors.iter().copied();
        errors.filter(|errno| !is_talk || *errno == EINTR).collect()
    }

    /// Returns what the call is about, for people.
    pub(crate) fn about(&self, pid: pid_t, args: &[u64; 6]) -> String {
        let named = match self.about {
            Path(at) => text(pid, args[at]),
            Fd(at) => link(pid, args[at]),
            Nothing => None,
        };
        named.unwrap_or_default()
    }
}

/// Tells whether a `fcntl` takes a lock.
fn is_locking(pid: pid_t, args: &[u64; 6]) -> bool {
    if u64::try_from(libc::F_SETLK) != Ok(args[1]) {
        return u64::try_from(libc::F_GETLK) != Ok(args[1]);
    }
    // The first field of what it points to is the kind of lock.
    let mut kind = [0; 2];
    let read = File::open(format!("/proc/{pid}/mem"))
        .and_then(|memory| memory.read_exact_at(&mut kind, args[2]));
    read.is_ok() && i32::from(i16::from_ne_bytes(kind)) != libc::F_UNLCK
}

fn link(pid: pid_t, fd: u64) -> Option<String> {
    let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// Reads a text that ends with a zero out of a stopped process.
fn text(pid: pid_t, address: u64) -> Option<String> {
    let mut bytes = [0; 256];
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let count = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..count].iter().position(|byte| *byte == 0).unwrap_or(count);
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
