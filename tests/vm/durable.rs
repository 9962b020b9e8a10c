//! What a guest has synced is kept, however its machine ends; after an orderly end journals are clean.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::home::{Home, driver};
use tests::matrix::is_whole;
use tests::oracle::reversed;
use tests::run::{bare, eventually};

const COUNTER: &str = r#"
project "count"
volume "rows" { kind "disk"; size "32MiB" }
volume "files" { kind "dir" }
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "2s"
    restart "no"
    mount "/rows" { named "rows" }
    mount "/files" { named "files" }
    command "sh" "-c" "trap 'exit 0' TERM; n=$(cat /rows/n 2>/dev/null || echo 0); while :; do n=$((n+1)); for at in /rows /files; do echo $n > $at/.n; sync; mv $at/.n $at/n; done; sync; echo synced $n; done"
}
"#;

/// How many rounds each way of ending is tried, and how many where the battery is whole.
const ROUNDS: [usize; 2] = [3, 50];

/// Returns the last number that the guest said it had synced.
fn said(home: &Home) -> u64 {
    let logs = home.msb(["logs", "box", "--tail", "1"]).exits(0).stdout;
    logs.split_whitespace().next_back().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Waits until the guest has synced a few more.
fn counts(home: &Home, from: u64) -> u64 {
    eventually("the guest counts", Duration::from_secs(60), || {
        Some(said(home)).filter(|now| *now >= from + 3)
    })
}

/// Returns the numbers that are there; the guest counts on from what was kept.
fn kept(home: &Home) -> [u64; 2] {
    let read = |path: &str| {
        let run = home.msb(["exec", "box", "--", "cat", path]).exits(0);
        run.stdout.trim().parse().unwrap_or(0)
    };
    [read("/rows/n"), read("/files/n")]
}

fn disk(home: &Home) -> std::path::PathBuf {
    home.path().join("volumes/count.rows/disk.raw")
}

/// Tells whether the journal of a disk has nothing left to do.
fn is_clean(disk: &Path) -> bool {
    let output = Command::new("/usr/sbin/dumpe2fs").arg("-h").arg(disk).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.contains("Filesystem state:         clean") && !text.contains("needs_recovery")
}

#[test]
fn r11_what_was_synced_is_kept_through_every_end() {
    let home = Home::machine();
    home.write("Sandboxfile", COUNTER);
    home.msb(["up"]).exits(0);
    let mut last = counts(&home, 0);
    let [few, many] = ROUNDS;
    // In the lab a boot takes as long as a round does here.
    let few = if driver().is_some() { 1 } else { few };
    for round in 0..if is_whole() { many } else { few } {
        for victim in ["msb-vmm", "msb-runtime", "stop"] {
            let before = said(&home);
            if victim == "stop" {
                home.msb(["stop", "box"]).exits(0);
                assert!(is_clean(&disk(&home)), "round {round}: the journal has work left");
            } else {
                let found = home
                    .alive()
                    .into_iter()
                    .find(|it| it.command.contains(victim) && !it.command.contains(" share "));
                found.unwrap_or_else(|| panic!("no {victim}: {:#?}", home.alive())).kill();
                eventually("the machine is gone", Duration::from_secs(20), || {
                    home.alive().is_empty().then_some(())
                });
            }
            home.msb(["up"]).exits(0);
            let now = kept(&home);
            assert!(now.iter().all(|n| *n >= before), "{victim}: {before} synced, {now:?} kept");
            last = counts(&home, before.max(last));
        }
    }
    let mut check = bare("/usr/sbin/e2fsck");
    home.msb(["down"]).exits(0);
    check.arg("-fn").arg(disk(&home));
    home.spawn(check).wait(Duration::from_secs(60)).exits(0);
    reversed(&home);
}
