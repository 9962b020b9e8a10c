//! From this process to a command: everything between fork and exec.
//!
//! All memory is made ready before the fork. The child then makes system calls
//! and nothing else, and says over a close-on-exec pipe which one failed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::limits::Limit;

/// Length of what a child writes that could not become its command.
pub(crate) const REPORT_BYTES: usize = 8;

/// `CAP_SYS_ADMIN`.
const SYS_ADMIN: libc::c_ulong = 21;

/// The flag of `clone3` whose constant in `libc` is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// What a child was about to do when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its session, terminal, descriptors or capabilities.
    Setup,
    /// Its limits.
    Limits,
    /// Its user and groups.
    User,
    /// Its working folder.
    Cwd,
    /// The command itself.
    Exec,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Setup, Self::Limits, Self::User, Self::Cwd, Self::Exec];

    /// Returns the stage and the kernel's answer that a child wrote.
    pub(crate) fn parse(report: [u8; REPORT_BYTES]) -> (Self, i32) {
        let [a, b, c, d, e, f, g, h] = report;
        let stage = usize::try_from(i32::from_ne_bytes([a, b, c, d])).ok();
        let stage = stage.and_then(|index| Self::ALL.get(index)).copied();
        (stage.unwrap_or(Self::Setup), i32::from_ne_bytes([e, f, g, h]))
    }
}

/// Who a command runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The user's number.
    pub(crate) uid: u32,
    /// The group's number.
    pub(crate) gid: u32,
    /// The other groups' numbers.
    pub(crate) groups: Vec<u32>,
}

/// What a command may do beyond its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// What its user may.
    Default,
    /// No new privileges, and no administration of the system.
    Restricted,
}

/// What becomes of a command when this process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// The kernel sees to it; for process 1.
    None,
    /// It dies with us.
    DiesWithUs,
}

/// A command, ready to become a process.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// Paths that are tried in turn.
    pub(crate) programs: &'a [CString],
    /// Its arguments, the first one included.
    pub(crate) argv: &'a [CString],
    /// Its environment.
    pub(crate) envp: &'a [CString],
    /// Its working folder.
    pub(crate) cwd: &'a CStr,
    /// Standard input, output and error.
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    /// Whether standard input is a terminal that it controls.
    pub(crate) has_terminal: bool,
    /// Who it runs as; `None` leaves that as it is.
    pub(crate) credentials: Option<&'a Credentials>,
    /// Its limits.
    pub(crate) limits: &'a [Limit],
    /// What it may do.
    pub(crate) profile: Profile,
    /// The folder of the control group it is born into.
    pub(crate) group: Option<BorrowedFd<'a>>,
    /// What becomes of it without us.
    pub(crate) bond: Bond,
    /// Where it reports what failed.
    pub(crate) report: BorrowedFd<'a>,
}

/// Starts a command and returns its process id.
///
/// That it became its program is known when the report pipe ends without a word.
pub(crate) fn spawn(launch: &Launch<'_>) -> io::Result<u32> {
    let argv = pointers(launch.argv);
    let envp = pointers(launch.envp);
    let child = Child { launch, argv: &argv, envp: &envp, parent: std::process::id() };
    // SAFETY: an all-zero `clone_args` asks for a plain fork.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    if let Some(group) = launch.group {
        arguments.flags = CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
    }
    // SAFETY: without CLONE_VM the child has its own copy of everything. This program has one
    // thread, so no lock is held by somebody who is not there; `run` allocates nothing and
    // never returns.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
    };
    if pid == 0 {
        child.run();
    }
    u32::try_from(pid).map_err(|_| io::Error::last_os_error())
}

/// Returns the addresses of the texts and the null that ends the list.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The new process before it is its command. Only system calls from here on.
struct Child<'a> {
    launch: &'a Launch<'a>,
    argv: &'a [*const libc::c_char],
    envp: &'a [*const libc::c_char],
    parent: u32,
}

type Step = Result<(), (Stage, i32)>;

impl Child<'_> {
    fn run(&self) -> ! {
        let (stage, errno) = match self.prepare() {
            Ok(()) => (Stage::Exec, self.exec()),
            Err(failed) => failed,
        };
        let index = Stage::ALL.iter().position(|known| *known == stage).unwrap_or(0);
        let index = i32::try_from(index).unwrap_or(0).to_ne_bytes();
        let errno = errno.to_ne_bytes();
        let [a, b, c, d] = index;
        let [e, f, g, h] = errno;
        let report = [a, b, c, d, e, f, g, h];
        // SAFETY: the array is readable for its length; `write` may be called after a fork.
        unsafe {
            libc::write(self.launch.report.as_raw_fd(), report.as_ptr().cast(), report.len())
        };
        // SAFETY: `_exit` ends this process without running anything of the parent's.
        unsafe { libc::_exit(127) }
    }

    fn prepare(&self) -> Step {
        self.forget_signals()?;
        // SAFETY: the call takes nothing; a new process leads no group, so it succeeds.
        step(Stage::Setup, unsafe { libc::setsid() })?;
        self.take_terminal()?;
        for (fd, number) in self.launch.stdio.iter().zip(0..) {
            // SAFETY: the descriptor is borrowed by the launch, so it is open; it is above 2,
            // because the three standard ones are open in the parent all the time.
            step(Stage::Setup, unsafe { libc::dup2(fd.as_raw_fd(), number) })?;
        }
        // What whoever started us left open, a lease say, is no business of a command.
        // SAFETY: the call takes three integers; it closes nothing before the exec.
        step_long(unsafe {
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
        })?;
        self.leave_our_score()?;
        self.set_limits()?;
        self.restrict()?;
        self.become_user()?;
        self.die_with_us()?;
        // SAFETY: the text ends with a zero and lives as long as the launch.
        step(Stage::Cwd, unsafe { libc::chdir(self.launch.cwd.as_ptr()) })
    }

    fn forget_signals(&self) -> Step {
        // SAFETY: an all-zero set is the empty one.
        let none: libc::sigset_t = unsafe { std::mem::zeroed() };
        let null = std::ptr::null_mut();
        // SAFETY: the set lives through the call, which only reads it.
        step(Stage::Setup, unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, null) })?;
        // The parent ignores this one, and what is ignored would survive the exec.
        // SAFETY: the default action is no function of ours.
        if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err((Stage::Setup, errno()));
        }
        Ok(())
    }

    fn die_with_us(&self) -> Step {
        if self.launch.bond == Bond::None {
            return Ok(());
        }
        // SAFETY: this option takes one integer.
        step(Stage::Setup, unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // SAFETY: the call takes nothing and cannot fail.
        let parent = unsafe { libc::getppid() };
        // We may have been killed before the line that asks for the signal; then nobody sends it.
        if u32::try_from(parent) == Ok(self.parent) {
            Ok(())
        } else {
            Err((Stage::Setup, libc::ESRCH))
        }
    }

    fn take_terminal(&self) -> Step {
        let [stdin, ..] = self.launch.stdio;
        if !self.launch.has_terminal {
            return Ok(());
        }
        // SAFETY: the request takes an integer; the descriptor is borrowed, so it is open.
        step(Stage::Setup, unsafe { libc::ioctl(stdin.as_raw_fd(), libc::TIOCSCTTY, 0) })
    }

    /// Process 1 is never killed for memory; its commands may be.
    fn leave_our_score(&self) -> Step {
        if self.launch.bond == Bond::DiesWithUs {
            return Ok(());
        }
        let path = c"/proc/self/oom_score_adj".as_ptr();
        // SAFETY: the text ends with a zero.
        let fd: RawFd = unsafe { libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC) };
        if fd >= 0 {
            // SAFETY: one byte is readable at this address.
            unsafe { libc::write(fd, c"0".as_ptr().cast(), 1) };
            // SAFETY: this function opened it and nobody else knows it.
            unsafe { libc::close(fd) };
        }
        Ok(())
    }

    fn set_limits(&self) -> Step {
        for limit in self.launch.limits {
            // SAFETY: the value lives as long as the launch; the call only reads it.
            step(Stage::Limits, unsafe {
                libc::setrlimit(limit.resource, &raw const limit.value)
            })?;
        }
        Ok(())
    }

    fn restrict(&self) -> Step {
        if self.launch.profile == Profile::Default {
            return Ok(());
        }
        // SAFETY: these options take integers.
        step(Stage::Setup, unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL;
        // SAFETY: as above.
        step(Stage::Setup, unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) })?;
        // SAFETY: as above.
        if unsafe { libc::prctl(libc::PR_CAPBSET_READ, SYS_ADMIN) } == 1 {
            // SAFETY: as above.
            step(Stage::Setup, unsafe { libc::prctl(libc::PR_CAPBSET_DROP, SYS_ADMIN) })?;
        }
        let header = [CAPABILITY_VERSION, 0];
        let mut sets = [[0_u32; 3]; 2];
        // SAFETY: the header is the version and "myself"; version 3 fills two sets of three words.
        step_long(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) })?;
        let [low, _] = &mut sets;
        for word in low {
            *word &= !(1 << SYS_ADMIN);
        }
        // SAFETY: as above; the sets are only read.
        step_long(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })
    }

    /// The raw calls, because those of the C library speak to threads that do not exist here.
    fn become_user(&self) -> Step {
        let Some(who) = self.launch.credentials else {
            return Ok(());
        };
        let (count, groups) = (who.groups.len(), who.groups.as_ptr());
        let user = |answer| step_long(answer).map_err(|(_, errno)| (Stage::User, errno));
        // SAFETY: the list is readable for the length that is passed.
        user(unsafe { libc::syscall(libc::SYS_setgroups, count, groups) })?;
        // SAFETY: the call takes three integers.
        user(unsafe { libc::syscall(libc::SYS_setresgid, who.gid, who.gid, who.gid) })?;
        // SAFETY: the call takes three integers.
        user(unsafe { libc::syscall(libc::SYS_setresuid, who.uid, who.uid, who.uid) })
    }

    /// Tries each path; returns the answer that says most about why none could be run.
    fn exec(&self) -> i32 {
        let mut answer = libc::ENOENT;
        for program in self.launch.programs {
            // SAFETY: path, list and texts end with zeros and live as long as the launch.
            unsafe { libc::execve(program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                // A later folder of the path may have one that can be run.
                libc::EACCES => answer = libc::EACCES,
                other => return other,
            }
        }
        answer
    }
}

fn errno() -> i32 {
    // This reads a number and allocates nothing.
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn step(stage: Stage, answer: libc::c_int) -> Step {
    if answer < 0 { Err((stage, errno())) } else { Ok(()) }
}

fn step_long(answer: libc::c_long) -> Step {
    if answer < 0 { Err((Stage::Setup, errno())) } else { Ok(()) }
}
