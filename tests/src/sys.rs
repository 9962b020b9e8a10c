//! The kernel's calls that the suite needs and no crate wraps: ptrace with its wait, own mounts and networks.
#![expect(unsafe_code, reason = "kernel interfaces; each block states why it is sound")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_char, c_int, c_long, c_short, pid_t};

/// The size of a register in a process's user area.
#[cfg(target_arch = "x86_64")]
const REGISTER_BYTES: c_long = 8;

/// How a stopped process goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// To the border of its next system call.
    Call,
    /// To whatever stops it next.
    Stop,
}

/// At which border of a system call a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Border {
    /// It asks for this call with these arguments.
    Entry { number: u64, args: [u64; 6] },
    /// It got its answer.
    Exit,
    /// At none.
    None,
}

/// What the kernel fills in for `PTRACE_GET_SYSCALL_INFO`.
#[repr(C)]
#[derive(Default)]
struct Info {
    op: u8,
    arch: u32,
    instruction: u64,
    stack: u64,
    words: [u64; 8],
}

/// Begins to trace a process or thread without stopping it.
pub(crate) fn seize(pid: pid_t, options: c_int) -> io::Result<()> {
    // SAFETY: address and data are integers for this request.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0_usize, c_long::from(options)) })
}

/// Lets a stopped process go on, with a signal where there is one.
pub(crate) fn go_on(pid: pid_t, until: Until, signal: c_int) -> io::Result<()> {
    let request = match until {
        Until::Call => libc::PTRACE_SYSCALL,
        Until::Stop => libc::PTRACE_CONT,
    };
    // SAFETY: address and data are integers for these requests.
    check(unsafe { libc::ptrace(request, pid, 0_usize, c_long::from(signal)) })
}

/// Stops a thread that is traced and runs.
pub(crate) fn interrupt(pid: pid_t) -> io::Result<()> {
    // SAFETY: address and data are integers for this request.
    check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, pid, 0_usize, 0_usize) })
}

/// Changes what is told of a stopped process.
pub(crate) fn set_options(pid: pid_t, options: c_int) -> io::Result<()> {
    // SAFETY: address and data are integers for this request.
    check(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0_usize, c_long::from(options)) })
}

/// Lets go of a stopped process for good.
pub(crate) fn detach(pid: pid_t) -> io::Result<()> {
    // SAFETY: address and data are integers for this request.
    check(unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0_usize, 0_usize) })
}

/// Returns the number of the process or thread that a stopped one has just made.
pub(crate) fn made(pid: pid_t) -> io::Result<pid_t> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one word, which lives on our stack.
    check(unsafe {
        libc::ptrace(libc::PTRACE_GETEVENTMSG, pid, 0_usize, (&raw mut message).cast::<u8>())
    })?;
    pid_t::try_from(message).map_err(io::Error::other)
}

/// Returns at which border of which call a stopped process stands.
pub(crate) fn border(pid: pid_t) -> io::Result<Border> {
    let mut info = Info::default();
    let size = size_of::<Info>();
    // SAFETY: the kernel writes at most `size` bytes into a struct on our stack that has them.
    check(unsafe {
        libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, (&raw mut info).cast::<u8>())
    })?;
    let [number, a, b, c, d, e, f, _] = info.words;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => Border::Entry { number, args: [a, b, c, d, e, f] },
        libc::PTRACE_SYSCALL_INFO_EXIT => Border::Exit,
        _ => Border::None,
    })
}

/// Makes the kernel pass over the call that a process stands before.
#[cfg(target_arch = "x86_64")]
pub(crate) fn pass_over(pid: pid_t) -> io::Result<()> {
    poke(pid, libc::ORIG_RAX, -1)
}

/// Gives a process that stands behind a call this error for an answer.
#[cfg(target_arch = "x86_64")]
pub(crate) fn answer(pid: pid_t, errno: i32) -> io::Result<()> {
    poke(pid, libc::RAX, -i64::from(errno))
}

#[cfg(target_arch = "x86_64")]
fn poke(pid: pid_t, register: c_int, value: i64) -> io::Result<()> {
    let offset = c_long::from(register) * REGISTER_BYTES;
    // SAFETY: the offset is that of a register in the process's user area; data is an integer.
    check(unsafe { libc::ptrace(libc::PTRACE_POKEUSER, pid, offset, value) })
}

/// Waits for what happens next to a child or tracee of this thread; `None` where there is none left.
pub(crate) fn wait() -> io::Result<Option<(pid_t, c_int)>> {
    loop {
        let mut status = 0;
        let flags = libc::__WALL | libc::__WNOTHREAD;
        // SAFETY: the kernel writes one integer, which lives on our stack.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        match io::Error::last_os_error() {
            _ if pid > 0 => return Ok(Some((pid, status))),
            error if error.raw_os_error() == Some(libc::EINTR) => {}
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error => return Err(error),
        }
    }
}

/// Gives this thread mounts of its own, which no other sees.
pub(crate) fn own_mounts() -> io::Result<()> {
    // SAFETY: flags only; what this thread shares with others stays as it was for them.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the path is a text that ends with a zero; the others may be absent for these flags.
    check(unsafe { libc::mount(none, root, none, flags, none.cast()) }.into())
}

/// Gives this thread a network of its own, in which there is nothing yet.
pub(crate) fn own_network() -> io::Result<()> {
    // SAFETY: flags only; what this thread shares with others stays as it was for them.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into())
}

/// Makes an opened `/dev/net/tun` the far end of a new device for packets, in this thread's network.
pub(crate) fn make_device(tun: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    // SAFETY: an all-zero value is a valid one of this plain struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: the kernel reads and writes one request, which lives on our stack.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }.into())
}

fn check(answer: c_long) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
