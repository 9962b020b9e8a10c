//! The yardstick of a start under libkrun: the same machine, with nothing of msb around it or in it.
//!
//! `krun-alone KERNEL INITRAMFS ROOT UPPER MEMORY_MIB`: boots a machine with the devices that each of ours has and
//! ends with 0 at the first line on its console. The library's functions are called with constants.

mod sys;

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
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
    let [kernel, initramfs, root, upper, memory] = &words[..] else {
        writeln!(io::stderr(), "usage: krun-alone KERNEL INITRAMFS ROOT UPPER MEMORY_MIB").ok();
        return ExitCode::from(64);
    };
    match boot([kernel, initramfs, root, upper], memory) {
        Ok(call) => writeln!(io::stderr(), "libkrun refused {call}").ok(),
        Err(error) => writeln!(io::stderr(), "krun-alone: {error}").ok(),
    };
    ExitCode::FAILURE
}

/// Becomes the machine; returns the call that was refused.
fn boot(
    [kernel, initramfs, root, upper]: [&CString; 4],
    memory: &CString,
) -> io::Result<&'static str> {
    let memory = memory.to_string_lossy().parse().map_err(io::Error::other)?;
    let (near, console) = terminal()?;
    std::thread::spawn(move || {
        let mut line = String::new();
        let heard = BufReader::new(File::from(near)).read_line(&mut line);
        write!(io::stdout(), "{line}").ok();
        #[expect(clippy::exit, reason = "the library never gives the process back")]
        std::process::exit(i32::from(heard.is_err()));
    });
    let command_line = CString::new(COMMAND_LINE).map_err(io::Error::other)?;
    let streams = [stream()?, stream()?, stream()?];
    let machine =
        sys::Machine { kernel, initramfs, root, upper, command_line, memory, console, streams };
    Ok(sys::machine(&machine))
}

/// Returns the end of a stream on which nobody ever speaks; the other one stays open.
fn stream() -> io::Result<RawFd> {
    let (near, far) = UnixStream::pair()?;
    let _: RawFd = OwnedFd::from(near).into_raw_fd();
    Ok(OwnedFd::from(far).into_raw_fd())
}

/// Returns both ends of a terminal, the far one for good.
fn terminal() -> io::Result<(OwnedFd, RawFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let near = openpt(flags)?;
    unlockpt(&near)?;
    let far = ioctl_tiocgptpeer(&near, flags)?;
    Ok((near, far.into_raw_fd()))
}
