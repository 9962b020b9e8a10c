//! Limits of processes, by name.

use std::io;

use super::check;

/// A limit that a child sets before it becomes the command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(super) resource: libc::__rlimit_resource_t,
    pub(super) value: libc::rlimit,
}

/// Names of the resources, as `prlimit` writes them.
const RESOURCES: [(&str, libc::__rlimit_resource_t); 16] = [
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

impl Limit {
    /// Returns the limit of this name, or `None` if no resource is called so; `None` is unlimited.
    pub(crate) fn parse(name: &str, soft: Option<u64>, hard: Option<u64>) -> Option<Self> {
        let (_, resource) = RESOURCES.iter().find(|(known, _)| *known == name)?;
        let value = libc::rlimit {
            rlim_cur: soft.unwrap_or(libc::RLIM_INFINITY),
            rlim_max: hard.unwrap_or(libc::RLIM_INFINITY),
        };
        Some(Self { resource: *resource, value })
    }
}

/// Sets how many descriptors this process may have, and returns the limit there was.
pub(crate) fn set_open_files(soft: u64, hard: u64) -> io::Result<()> {
    let value = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `value` lives through the call, which only reads it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const value) })?;
    Ok(())
}

/// Returns how many descriptors this process may have: now, and at most.
pub(crate) fn open_files() -> io::Result<(u64, u64)> {
    let mut value = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `value` is a live value of the type that the call fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut value) })?;
    Ok((value.rlim_cur, value.rlim_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_found_by_its_name() {
        let limit = Limit::parse("nofile", Some(7), None).unwrap();
        assert_eq!(limit.resource, libc::RLIMIT_NOFILE);
        assert_eq!((limit.value.rlim_cur, limit.value.rlim_max), (7, libc::RLIM_INFINITY));
        assert!(Limit::parse("files", Some(7), None).is_none());
    }
}
