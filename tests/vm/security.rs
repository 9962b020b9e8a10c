//! What a security profile does, looked at from inside: to the workload, to sessions, to mounts.

use std::time::Duration;

use tests::home::Home;
use tests::oracle::reversed;
use tests::run::eventually;

const PROFILES: &str = r#"
project "profiles"
template "small" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    command "sh" "-c" "cat /proc/self/status; exec sleep 1000000"
    mount "/data" { tmpfs "1MiB" }
    mount "/shared" { dir "./shared" ensure="ensure" }
}
sandbox "plain" { from "small" }
sandbox "tight" { from "small"; security "restricted" }
"#;

/// The bit of `CAP_SYS_ADMIN` in the sets of `/proc/PID/status`.
const SYS_ADMIN: u64 = 1 << 21;

/// Returns a field of a `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

fn set(status: &str, name: &str) -> u64 {
    u64::from_str_radix(field(status, name), 16).unwrap()
}

/// Looks at a process of either kind: what it may gain, and the sets of what it may do.
fn check(status: &str, is_restricted: bool) {
    assert_eq!(field(status, "NoNewPrivs"), if is_restricted { "1" } else { "0" });
    for name in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(set(status, name) & SYS_ADMIN == 0, is_restricted, "{name}: {status}");
        // Root is root otherwise: that of files, of the network and of processes stays.
        assert_ne!(set(status, name) & !SYS_ADMIN, 0, "{name}: {status}");
    }
    assert_eq!(set(status, "CapInh") & SYS_ADMIN, 0, "{status}");
    assert_eq!(set(status, "CapAmb"), 0, "{status}");
}

#[test]
fn rt_13_1_a_restricted_sandbox_gains_nothing_and_mounts_nothing_and_a_plain_one_may() {
    let home = Home::machine();
    home.write("Sandboxfile", PROFILES);
    home.msb(["up"]).exits(0);
    for (name, is_restricted) in [("plain", false), ("tight", true)] {
        // A workload that has begun need not have said anything yet.
        let workload = eventually("the workload's words", Duration::from_secs(30), || {
            let said = home.msb(["logs", name, "--no-prefix"]).exits(0).stdout;
            said.contains("\nNoNewPrivs:").then_some(said)
        });
        check(&workload, is_restricted);
        let session = home.msb(["exec", name, "--", "cat", "/proc/self/status"]).exits(0).stdout;
        check(&session, is_restricted);

        let mount = home.msb(["exec", name, "--", "mount", "-t", "tmpfs", "none", "/mnt"]);
        assert_eq!(mount.code != 0, is_restricted, "{mount}");
        // Nobody gets more by what lies in a mount of the user's.
        let mounts = home.msb(["exec", name, "--", "cat", "/proc/mounts"]).exits(0).stdout;
        for target in ["/data", "/shared"] {
            let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(target)).unwrap();
            let options: Vec<&str> = line.split(' ').nth(3).unwrap().split(',').collect();
            for option in ["nosuid", "nodev"] {
                assert_eq!(options.contains(&option), is_restricted, "{line}");
            }
        }
    }
    home.msb(["down"]).exits(0);
    reversed(&home);
}
