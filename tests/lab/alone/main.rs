//! The yardstick of a start under libkrun: the same kernel, agent and root, with nothing of msb around them.
//!
//! `krun-alone KERNEL INITRAMFS ROOT MEMORY_MIB`: boots a machine and ends with 0 at the first word of its
//! agent. Each function of the library is called once, with constants.

mod sys;

use std::ffi::{CString, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

const COMMAND_LINE: &str = "console=hvc0 quiet loglevel=4 reboot=t panic=-1 pci=off rdinit=/init \
                            tsc=reliable no_timer_check random.trust_cpu=on cryptomgr.notests";

fn main() -> ExitCode {
    let words: Vec<CString> = std::env::args_os()
        .skip(1)
        .filter_map(|word: OsString| CString::new(word.into_vec()).ok())
        .collect();
    let [kernel, initramfs, root, memory] = &words[..] else {
        writeln!(io::stderr(), "usage: krun-alone KERNEL INITRAMFS ROOT MEMORY_MIB").ok();
        return ExitCode::from(64);
    };
    match boot([kernel, initramfs, root], memory) {
        Ok(call) => writeln!(io::stderr(), "libkrun refused {call}").ok(),
        Err(error) => writeln!(io::stderr(), "krun-alone: {error}").ok(),
    };
    ExitCode::FAILURE
}

/// Becomes the machine; returns the call that was refused.
fn boot([kernel, initramfs, root]: [&CString; 3], memory: &CString) -> io::Result<&'static str> {
    let memory = memory.to_string_lossy().parse().map_err(io::Error::other)?;
    let (mut agent, theirs) = UnixStream::pair()?;
    let (agent_fd, console) = (OwnedFd::from(theirs).into_raw_fd(), terminal()?);
    std::thread::spawn(move || {
        // The first word of the agent is as far as this goes.
        let heard = agent.read_exact(&mut [0; 64]);
        #[expect(clippy::exit, reason = "the library never gives the process back")]
        std::process::exit(i32::from(heard.is_err()));
    });
    let command_line = CString::new(COMMAND_LINE).map_err(io::Error::other)?;
    Ok(sys::machine(&sys::Machine {
        kernel,
        initramfs,
        root,
        command_line,
        memory,
        agent: agent_fd,
        console,
    }))
}

/// Returns the far end of a terminal; the near one stays open.
fn terminal() -> io::Result<RawFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let near = openpt(flags)?;
    unlockpt(&near)?;
    let far = ioctl_tiocgptpeer(&near, flags)?;
    let _: RawFd = near.into_raw_fd();
    Ok(far.into_raw_fd())
}
