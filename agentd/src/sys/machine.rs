//! The machine as a whole: its name, its kernel, its end.

use std::ffi::CStr;
use std::io;

use super::check;

/// Sets the host name.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer is readable for exactly the length that is passed.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}

/// Returns the kernel's release, as `6.12.1-msb`.
pub(crate) fn kernel_release() -> String {
    // SAFETY: an all-zero `utsname` is a valid value of a plain C struct.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `names` is a live value of the type that the call fills.
    if unsafe { libc::uname(&raw mut names) } < 0 {
        return String::new();
    }
    // SAFETY: the kernel ended the text with a zero inside the array.
    let release = unsafe { CStr::from_ptr(names.release.as_ptr()) };
    release.to_string_lossy().into_owned()
}

/// Writes everything that waits in memory to its disk.
pub(crate) fn sync() {
    // SAFETY: `sync` takes nothing and always succeeds.
    unsafe { libc::sync() };
}

/// Resets the machine, which ends it; returns only where that is not allowed.
pub(crate) fn reset() -> io::Error {
    // SAFETY: the call takes one integer; it returns only with an error.
    unsafe { libc::reboot(libc::RB_AUTOBOOT) };
    io::Error::last_os_error()
}

/// Lets Ctrl-Alt-Del come as an interrupt to process 1, instead of resetting the machine.
pub(crate) fn take_ctrl_alt_del() {
    // SAFETY: the call takes one integer and touches no memory of ours.
    unsafe { libc::reboot(libc::RB_DISABLE_CAD) };
}
