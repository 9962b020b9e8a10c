//! The only room in this crate where `unsafe` is written.
//!
//! Each file wraps one kernel interface in functions or types that cannot be misused.
#![expect(unsafe_code, reason = "kernel interfaces; each block states why it is sound")]

pub(crate) mod children;
pub(crate) mod clock;
pub(crate) mod ext4;
pub(crate) mod fanotify;
pub(crate) mod io;
pub(crate) mod limits;
pub(crate) mod machine;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod poll;
pub(crate) mod pty;
pub(crate) mod random;
pub(crate) mod signals;
pub(crate) mod spawn;

/// Returns what a system call said, or the error it left behind.
fn check(answer: libc::c_int) -> std::io::Result<libc::c_int> {
    if answer < 0 { Err(std::io::Error::last_os_error()) } else { Ok(answer) }
}

/// Returns a text as the kernel takes it.
fn c_string(text: impl Into<Vec<u8>>) -> std::io::Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|_| std::io::Error::from_raw_os_error(libc::EINVAL))
}
