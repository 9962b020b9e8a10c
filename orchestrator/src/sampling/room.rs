//! How many machines can be asked at once: each has a connection, and a host counts open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What else a sampler's process opens: the state, a receiver, a folder that is looked at.
const BESIDE: u64 = 32;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    files_max: u64,
}

impl Room {
    /// Lets this process open as many files as the host allows it.
    #[must_use]
    pub fn make() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        // Where that is refused there is the room that there was.
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let files_max = if raised.is_ok() { maximum } else { current };
        Self { files_max: files_max.unwrap_or(u64::MAX) }
    }

    /// Returns how many connections there is room for.
    pub(super) fn lines_max(self) -> usize {
        usize::try_from(self.files_max.saturating_sub(BESIDE)).unwrap_or(usize::MAX)
    }

    /// Returns what is to be told of those that there is no room for.
    #[must_use]
    pub fn told(self, left_out: usize) -> String {
        let files = self.files_max;
        let who = if left_out == 1 { "one sandbox is" } else { "sandboxes are" };
        let many = if left_out == 1 { String::new() } else { format!("{left_out} ") };
        format!(
            "{many}{who} left out: this host lets a process open {files} files, and each sandbox \
             takes one; raise the hard limit (`ulimit -Hn`, LimitNOFILE=)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_beside_has_its_place() {
        for (files_max, want) in
            [(0, 0), (32, 0), (34, 2), (1024, 992), (u64::MAX, usize::MAX - 32)]
        {
            assert_eq!(Room { files_max }.lines_max(), want, "{files_max}");
        }
    }

    #[test]
    fn how_many_are_left_out_is_told_with_what_to_do() {
        let room = Room { files_max: 34 };
        assert!(room.told(1).starts_with("one sandbox is left out: "), "{}", room.told(1));
        let told = room.told(7);
        assert!(told.starts_with("7 sandboxes are left out: "), "{told}");
        assert!(told.contains("open 34 files") && told.contains("LimitNOFILE"), "{told}");
    }
}
