//! What the host says of processes, in numbers that cannot be mistaken later, and of its own reach.

use std::fs::read_to_string;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use schema::record::Process;

/// Returns a process with its start, so that a later one of the same number is told apart.
///
/// # Errors
/// It is gone, or the host does not show `/proc`.
pub(crate) fn process(pid: u32) -> io::Result<Process> {
    let start_ticks = stat_field(pid, FIELD_START)?;
    let boot_id = read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(Process { pid, start_ticks, boot_id })
}

/// Returns the processor time of a process, in ticks.
pub(crate) fn cpu_ticks(pid: u32) -> io::Result<u64> {
    Ok(stat_field(pid, FIELD_USER)? + stat_field(pid, FIELD_SYSTEM)?)
}

/// Fields of `/proc/PID/stat`, counted from the one after the name.
const FIELD_USER: usize = 11;
const FIELD_SYSTEM: usize = 12;
const FIELD_START: usize = 19;

fn stat_field(pid: u32, field: usize) -> io::Result<u64> {
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    parse_field(&stat, field).ok_or_else(|| io::Error::other("/proc shows no such field"))
}

/// A name may hold spaces and brackets; the last bracket is the true one.
fn parse_field(stat: &str, field: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(field)?.parse().ok()
}

/// Where the host says whom it asks for names.
pub(crate) const RESOLV: &str = "/etc/resolv.conf";
/// Where the host says where it gets by IPv6.
pub(crate) const ROUTES_V6: &str = "/proc/net/ipv6_route";

/// Returns the servers that the host asks for names, in their order.
pub(crate) fn name_servers() -> Vec<SocketAddr> {
    name_servers_in(Path::new(RESOLV)).unwrap_or_default()
}

/// Returns the servers of a list; `None` where it cannot be read.
pub(crate) fn name_servers_in(list: &Path) -> Option<Vec<SocketAddr>> {
    let text = read_to_string(list).ok()?;
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("nameserver"));
    // An address with a scope is one of a neighbor, which no socket of ours reaches without it.
    let addresses = lines.filter_map(|rest| rest.trim().parse().ok());
    Some(addresses.map(|address| SocketAddr::new(address, 53)).collect())
}

/// Tells whether the host has a way out by IPv6.
pub(crate) fn has_ipv6() -> bool {
    has_ipv6_in(Path::new(ROUTES_V6)) == Some(true)
}

/// Tells whether a table of routes has a way out by IPv6; `None` where it cannot be read.
pub(crate) fn has_ipv6_in(table: &Path) -> Option<bool> {
    match read_to_string(table) {
        Ok(table) => Some(leads_out(&table)),
        // A host without IPv6 has no such file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// The flags of a route: it is in use, it refuses.
const ROUTE_UP: u32 = 0x0001;
const ROUTE_REJECTS: u32 = 0x0200;

/// Tells whether a table of IPv6 routes has one to everywhere that is more than a refusal.
fn leads_out(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [to, prefix, _, _, _, _, _, _, flags, device] = fields[..] else { return false };
        let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
        let is_everywhere = prefix == "00" && to.bytes().all(|digit| digit == b'0');
        is_everywhere && flags & ROUTE_UP != 0 && flags & ROUTE_REJECTS == 0 && device != "lo"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_refuses_everything_is_no_way_out() {
        let zeros = "0".repeat(32);
        let route = |to: &str, prefix: &str, flags: &str, device: &str| {
            let gateway = "fe800000000000000000000000000001";
            format!(
                "{to} {prefix} {zeros} 00 {gateway} 00000400 00000001 00000000 {flags} {device}\n"
            )
        };
        let refusal = route(&zeros, "00", "00200200", "lo");
        let near = route("fe800000000000000000000000000000", "40", "00000001", "eth0");
        assert!(!leads_out(&format!("{refusal}{near}")));
        assert!(!leads_out(&route(&zeros, "00", "00000201", "eth0")));
        let everywhere = route(&zeros, "00", "00000003", "eth0");
        assert!(leads_out(&format!("{refusal}{near}{everywhere}")));
        assert!(!leads_out("") && !leads_out("what is this"));
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4 1 0 0 0 5 6 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse_field(stat, FIELD_USER), Some(5));
        assert_eq!(parse_field(stat, FIELD_START), Some(4242));
    }

    #[test]
    fn this_process_has_a_start() {
        let me = process(std::process::id()).unwrap();
        assert!(me.start_ticks > 0 && !me.boot_id.is_empty());
    }
}
