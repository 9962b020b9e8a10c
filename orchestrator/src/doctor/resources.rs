//! Where state lies, and what is left of disk and memory.

use super::Finding;
use crate::context::Context;
use crate::report::human;
use crate::store::Store;

/// Below this not even a small machine boots.
const MEMORY_RESERVE_BYTES: u64 = 512 << 20;

/// Looks at the home folder.
pub(super) fn home(context: &Context) -> Finding {
    let path = context.home().display();
    match context.existing_home() {
        Ok(Some(_)) => Finding::ok("home", path.to_string()),
        Ok(None) => Finding::warn("home", format!("{path} is not there yet"))
            .hint("run `msb setup`; `up` and `run` make it too"),
        Err(error) => Finding::fail("home", error.to_string()).hint(error.hint()),
    }
}

/// Opens the database to read it.
pub(super) fn state(context: &Context) -> Finding {
    match Store::open_read_only(context.home()) {
        Ok(Some(_)) => Finding::ok("state", "the database opens"),
        Ok(None) => Finding::ok("state", "there is none yet"),
        Err(error) => {
            let hints = error.report().hints;
            let finding = Finding::fail("state", error.to_string());
            hints
                .into_iter()
                .next()
                .map_or_else(|| finding.clone(), |hint| finding.clone().hint(hint))
        }
    }
}

/// Looks how much room the home's disk has.
pub(super) fn disk(context: &Context) -> Finding {
    let mut folders = context.home().ancestors();
    let Some(stat) = folders.find_map(|folder| rustix::fs::statvfs(folder).ok()) else {
        return Finding::warn("disk", "the file system does not say");
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let detail = format!("{} free", human::size(free));
    if free < context.disk_reserve.0 {
        let detail = format!("{detail}, {} are to stay free", context.disk_reserve);
        return Finding::fail("disk", detail).hint("free some, or name a home on another disk");
    }
    Finding::ok("disk", detail)
}

/// Looks how much memory the host could give.
pub(super) fn memory(_: &Context) -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let Some(bytes) = kib.and_then(|kib| kib.checked_mul(1024)) else {
        return Finding::warn("memory", "the kernel does not say");
    };
    let detail = format!("{} available", human::size(bytes));
    if bytes < MEMORY_RESERVE_BYTES {
        return Finding::warn("memory", detail).hint("stop something; a sandbox asks for 512 MiB");
    }
    Finding::ok("memory", detail)
}
