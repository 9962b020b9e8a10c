//! Public test-suites of file systems, in a guest, on a shared folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::home::{Home, put};
use tests::oracle::reversed;
use tests::programs::checkout;
use tests::skip::skip;

use crate::calls::Watched;

const BOX: &str = r#"
project "posix"
sandbox "box" {
    image "builtin:base"
    memory "256MiB"
    command "sh" "-c" "exec sleep 1000000"
    stop-grace "2s"
    mount "/tools" { dir "./tools"; options "ro" }
    mount "/work" { dir "./work" ensure="ensure" }
}
"#;

/// What the suite is told: the features of Linux, and users that exist for it.
const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.01
allow_remount = false
expected_failures = []

[dummy_auth]
entries = [["nobody", "nobody"], ["tests", "tests"], ["pjdfstest", "pjdfstest"]]
"#;

/// Adds the users to the guest's own.
const USERS: &str = "for who in nobody:65534 tests:2001 pjdfstest:2002; do \
    name=${who%:*}; id=${who#*:}; \
    grep -q \"^$name:\" /etc/passwd || echo \"$name:x:$id:$id::/:/bin/sh\" >> /etc/passwd; \
    grep -q \"^$name:\" /etc/group || echo \"$name:x:$id:\" >> /etc/group; done; \
    chmod 777 /work";

/// Words of test names that need a device node, which a shared folder never holds.
const DEVICES: [&str; 2] = ["::char", "::block"];

/// How many of the tests must hold: fewer, and the suite did not run.
const PASSED_MIN: usize = 290;

/// Returns where the tools lie, built once per machine; none where crates cannot be had.
fn tools() -> Option<PathBuf> {
    let output = Command::new(checkout().join("tests/fixtures/posix-tools")).output().unwrap();
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
}

/// Returns a machine that has the tools and a folder to try them on.
fn up() -> Option<Home> {
    let tools = tools()?;
    let home = Home::machine();
    home.write("Sandboxfile", BOX);
    let there = home.project().join("tools");
    fs::create_dir(&there).unwrap();
    for name in ["pjdfstest", "fsx"] {
        fs::copy(tools.join(name), there.join(name)).unwrap();
    }
    put(&there.join("pjdfstest.toml"), CONFIGURATION);
    home.msb(["up"]).exits(0);
    home.msb(["exec", "box", "--", "sh", "-c", USERS]).exits(0);
    Some(home)
}

#[test]
fn s2_pjdfstest_holds_but_for_device_nodes_and_calls_nothing_unlisted() {
    let Some(home) = up() else { return skip("posix-tools") };
    let watched = Watched::begin(&home);
    let run = home.msb([
        "exec",
        "box",
        "--",
        "/tools/pjdfstest",
        "-c",
        "/tools/pjdfstest.toml",
        "-p",
        "/work",
    ]);
    let names = |end: &str| -> Vec<&str> {
        let ended = run.stdout.lines().filter(|line| line.ends_with(end));
        ended.filter_map(|line| line.split_whitespace().next()).collect()
    };
    let is_device = |name: &&str| DEVICES.iter().any(|word| name.contains(word));
    let failed: Vec<_> = names("FAILED").into_iter().filter(|name| !is_device(name)).collect();
    assert!(failed.is_empty(), "{}\n{run}", failed.join("\n"));
    let passed = names("ok").len();
    assert!(passed >= PASSED_MIN, "{passed} passed\n{run}");
    println!("pjdfstest: {passed} hold, {} need a device node", names("FAILED").len());
    home.msb(["exec", "box", "--", "/tools/fsx", "-q", "-N", "500", "-S", "3", "/work/file"])
        .exits(0);
    reversed(&home);
    match watched {
        Some(watched) => watched.end(),
        None => skip("S2"),
    }
}

#[test]
fn fsx_finds_no_difference_between_a_shared_file_and_a_file() {
    let Some(home) = up() else { return skip("posix-tools") };
    for seed in ["1", "2"] {
        let words =
            ["exec", "box", "--", "/tools/fsx", "-q", "-N", "1500", "-S", seed, "/work/file"];
        home.msb_with(&words).exits(0).says(&["A-OK"]);
    }
    reversed(&home);
}
