//! The first layer: namespaces of its own.
//!
//! Who makes them itself gets none of processes: that would take a second process to be its parent. A starter is
//! one, and gives that namespace too.

use std::fs::File;
use std::io::{self, Write as _};

use rustix::process::{getegid, geteuid};

use crate::sys;

/// This process is in namespaces of its own: what it does to mounts is nobody else's.
#[derive(Debug)]
pub(super) struct Own(());

/// Moves this process into new namespaces.
///
/// Root stays in the namespace of users that it is in: in another one the owners of files would
/// have no numbers. What root may do is taken away by the capabilities.
pub(super) fn enter(is_root: bool) -> io::Result<Own> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    sys::unshare(!is_root)?;
    if !is_root {
        tell("/proc/self/setgroups", "deny")?;
        tell("/proc/self/uid_map", &format!("{user} {user} 1"))?;
        tell("/proc/self/gid_map", &format!("{group} {group} 1"))?;
    }
    Ok(Own(()))
}

/// Whoever made this process has given it its own.
pub(super) fn given() -> Own {
    Own(())
}

/// Tells the kernel something by a file of its own.
fn tell(path: &str, words: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(words.as_bytes())
}
