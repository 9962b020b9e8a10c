//! One process: cloned, given its users, and let go.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    set_capabilities,
};

use super::group::Group;
use super::wanted::Wanted;
use crate::sys::{self, Cloned, Spaces};

/// Where a process was not made.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) step: &'static str,
    pub(super) error: io::Error,
}

fn at(step: &'static str) -> impl Fn(io::Error) -> Failed {
    move |error| Failed { step, error }
}

/// A process that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// What it was made in.
    pub(super) group: Option<Group>,
}

/// Makes a process of our own program.
///
/// Where the host refuses the namespaces it is made without them, and told so by its last argument.
pub(super) fn make(
    wanted: &Wanted,
    group: Option<Group>,
    program: BorrowedFd<'_>,
    (stderr, descriptors): (OwnedFd, Vec<OwnedFd>),
) -> Result<Made, Failed> {
    let (go, goes) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| at("a pipe")(e.into()))?;
    // Root keeps its own users: in another namespace the owners of files would have no numbers.
    let spaces = if geteuid().is_root() { Spaces::Own } else { Spaces::OwnWithUsers };
    let (cloned, group, refused) = copied(spaces, group).map_err(at("a process"))?;
    match cloned {
        Cloned::Parent(pid, pidfd) => {
            drop(go);
            // A process that is not let go ends by itself, at the end of its pipe.
            if refused.is_none() && spaces == Spaces::OwnWithUsers {
                tell_users(pid).map_err(at("its users"))?;
            }
            File::from(goes).write_all(b"!").map_err(at("its first byte"))?;
            Ok(Made { pid, pidfd, group })
        }
        Cloned::Child => {
            drop(goes);
            let has_users = refused.is_none() && spaces == Spaces::OwnWithUsers;
            let missing = refused.map_or_else(String::new, |error| error.to_string());
            let parts = Parts { program, go, stderr, descriptors, missing, has_users };
            let error = become_it(wanted, parts);
            // Nobody reads what was on its way out of this copy.
            let line = format!("msb-runtime: cannot begin {}: {error}\n", wanted.name);
            rustix::io::write(io::stderr(), line.as_bytes()).ok();
            #[expect(clippy::exit, reason = "a copy of the starter has nobody to return to")]
            std::process::exit(EXIT_NOT_BEGUN)
        }
    }
}

/// Copies this process into a group and namespaces of its own, or into what of them the host allows; says why not.
fn copied(
    spaces: Spaces,
    group: Option<Group>,
) -> io::Result<(Cloned, Option<Group>, Option<io::Error>)> {
    if let Some(group) = group {
        match sys::clone(spaces, Some(group.folder.as_fd())) {
            Ok(cloned) => return Ok((cloned, Some(group), None)),
            Err(_) => group.remove(),
        }
    }
    match sys::clone(spaces, None) {
        Ok(cloned) => Ok((cloned, None, None)),
        Err(error) => Ok((sys::clone(Spaces::Ours, None)?, None, Some(error))),
    }
}

/// The exit code of a process that did not come as far as its program.
const EXIT_NOT_BEGUN: i32 = 70;

/// Gives a process in a namespace of its own one user and one group: the ones that made it.
fn tell_users(pid: Pid) -> io::Result<()> {
    let of = |name: &str| format!("/proc/{}/{name}", pid.as_raw_nonzero());
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    tell(&of("setgroups"), "deny")?;
    tell(&of("uid_map"), &format!("{user} {user} 1"))?;
    tell(&of("gid_map"), &format!("{group} {group} 1"))
}

/// Takes the capabilities that going to jail needs through to the program: who is not root there either would
/// lose them.
fn keep_capabilities() -> io::Result<()> {
    let kept = CapabilitySet::SYS_ADMIN | CapabilitySet::SETPCAP;
    let have = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: kept, ..have })?;
    for capability in kept.iter() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

fn tell(path: &str, words: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(words.as_bytes())
}

/// What a copy becomes a process with.
struct Parts<'p> {
    program: BorrowedFd<'p>,
    go: OwnedFd,
    stderr: OwnedFd,
    descriptors: Vec<OwnedFd>,
    /// Why it has no namespaces of its own, where it has none.
    missing: String,
    has_users: bool,
}

/// Becomes the process that is wanted; returns only where that failed.
fn become_it(wanted: &Wanted, parts: Parts<'_>) -> io::Error {
    let Parts { program, go, stderr, descriptors, missing, has_users } = parts;
    let begin = || -> io::Result<(Vec<CString>, OwnedFd)> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // Its maker may have died before the line above; then the pipe has come to its end.
        if File::from(go).read(&mut [0])? != 1 {
            return Err(Errno::SRCH.into());
        }
        if has_users {
            keep_capabilities()?;
        }
        rustix::process::setsid()?;
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let null = OFlags::RDWR | OFlags::CLOEXEC;
        for standard in [0, 1] {
            sys::put(rustix::fs::open("/dev/null", null, Mode::empty())?, standard)?;
        }
        sys::put(stderr, 2)?;
        let words = [&wanted.name].into_iter().chain(&wanted.args).chain([&missing]);
        let words = words.map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
        let placed = descriptors.into_iter().zip(wanted.places.iter().copied()).collect();
        Ok((words, sys::arrange(placed, program)?))
    };
    match begin() {
        Ok((words, program)) => sys::become_program(program.as_fd(), &words, &[]),
        Err(error) => error,
    }
}
