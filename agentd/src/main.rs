//! Process 1 of a guest: boots it, runs commands, shuts it down.
//!
//! Its children for files are this program again, see [`errand`]. Started with `--process --root DIR --agent-fd N` it does the same without a
//! machine, for tests: commands run on the host, below that folder.

mod boot;
mod channel;
mod dispatch;
mod errand;
mod figures;
mod groups;
mod log;
mod place;
mod routes;
mod serve;
mod session;
mod sessions;
mod shares;
mod shutdown;
mod sys;
mod users;
mod watch;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::place::Place;
use crate::serve::{Agent, End};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = errand::run(&arguments) {
        return code;
    }
    let is_test = arguments.first().is_some_and(|first| first == "--process");
    if std::process::id() == 1 && !is_test {
        run(Place::Machine, None);
        // Process 1 must not end: the kernel would call that a panic.
        let error = sys::machine::reset();
        log::error!("the machine does not reset: {error}");
        loop {
            sys::poll::pause(u64::MAX);
        }
    }
    let Some((root, channel)) = parse(&arguments) else {
        log::error!("usage: agentd --process --root DIR --agent-fd N");
        return ExitCode::from(64);
    };
    let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
    if run(Place::Process { root, path }, Some(channel)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Boots and serves until the end; tells whether the boot went well.
fn run(place: Place, channel: Option<OwnedFd>) -> bool {
    let Some(booted) = boot::boot(place, channel) else {
        return false;
    };
    let mut agent = Agent::new(booted);
    match agent.serve() {
        End::ShutDown(shutdown) => shutdown::finish(&mut agent, &shutdown),
        End::Lost(error) => {
            if agent.settings.place.is_machine() {
                log::error!("the runtime is gone: {error}");
            }
            shutdown::abandon(&agent);
        }
    }
    true
}

/// Reads the command line of the mode without a machine.
fn parse(arguments: &[OsString]) -> Option<(PathBuf, OwnedFd)> {
    let [process, root_flag, root, fd_flag, fd] = arguments else {
        return None;
    };
    if process != "--process" || root_flag != "--root" || fd_flag != "--agent-fd" {
        return None;
    }
    let root = std::fs::canonicalize(root).ok().filter(|root| root.is_dir())?;
    let channel = sys::io::inherited(fd.to_str()?.parse().ok()?).ok()?;
    Some((root, channel))
}
