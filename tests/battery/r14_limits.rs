//! R14: limits of the host are messages.
//!
//! Few open files, few processes, few inotify instances, few process numbers: a command works,
//! or it says what it could not get, and leaves nothing half done.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tests::home::Home;
use tests::oracle::{converged, reversed};
use tests::run::{Run, gone_within};
use tests::scenes::TRIO;
use tests::skip::skip;

/// Holds that a command worked or told a failure of the host, and no fault of ours.
fn told(run: &Run) {
    match run.code {
        0 => {}
        1 => {
            for part in ["error: ", "  stage: ", "  code: msb::"] {
                assert!(run.stderr.contains(part), "{part:?} is missing: {run}");
            }
            let explains = ["  cause: ", "  hint: "].iter().any(|part| run.stderr.contains(part));
            assert!(explains, "neither cause nor hint: {run}");
        }
        _ => panic!("neither done nor told: {run}"),
    }
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("internal::bug"), "{run}");
}

/// Runs through a project's whole life inside `words`, then without them.
fn under(words: &[&str]) {
    let mut home = Home::process();
    home.write("Sandboxfile", TRIO);
    home.go_through(words);
    for command in [&["up"][..], &["ps"], &["exec", "db", "--", "true"], &["diff"], &["down"]] {
        let run = home.msb_with(command);
        let is_guests = command[0] == "exec" && !matches!(run.code, 0 | 1);
        let is_change = command[0] == "diff" && run.code == 2;
        if !is_guests && !is_change {
            told(&run);
        }
    }
    home.go_through(&[]);
    home.msb(["up"]).exits(0);
    converged(&home);
    reversed(&home);
}

#[test]
fn r14_few_open_files_are_enough_or_a_message() {
    for files in [256, 64, 32, 24, 20, 16, 12, 8, 5] {
        let limit = format!("ulimit -n {files}; exec \"$@\"");
        under(&["bash", "-c", &limit, "bash"]);
    }
}

#[test]
fn r14_few_processes_are_enough_or_a_message() {
    if !may("unshare", &["-pf", "--mount-proc", "sh", "-c", "echo 301 >/proc/sys/kernel/pid_max"]) {
        return skip("R14-processes");
    }
    // In a world of 301 numbers, all but a few of which are taken.
    for free in [40, 20, 12, 8, 5, 3, 2, 1] {
        crowded(free);
    }
}

/// Fills a small world of processes until so many numbers are free, and goes through a life there.
fn crowded(free: usize) {
    let script = format!(
        r#"echo 301 >/proc/sys/kernel/pid_max
        n=$(({} - {free})); for i in $(seq $n); do sleep 1000 & done 2>/dev/null
        "$@""#,
        300 - 10
    );
    under_script(&script);
}

fn under_script(script: &str) {
    let mut home = Home::process();
    home.write("Sandboxfile", TRIO);
    home.go_through(&["unshare", "-pf", "--mount-proc", "bash", "-c", script, "bash"]);
    let run = home.msb(["up"]);
    told(&run);
    // That world is gone with its first process, and everything that was started there.
    home.go_through(&[]);
    home.msb(["up"]).exits(0);
    converged(&home);
    reversed(&home);
}

#[test]
fn r14_logs_are_followed_without_an_inotify_instance_too() {
    let none = "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$@\"";
    if !may("unshare", &["-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_inotify_instances"]) {
        return skip("R14-inotify");
    }
    let mut home = Home::process();
    let ticking = "command \"sh\" \"-c\" \"while :; do echo tick; sleep 0.2; done\"";
    home.write("Sandboxfile", &TRIO.replacen("command \"sleep\" \"1000\"", ticking, 1));
    home.msb(["up"]).exits(0);
    home.go_through(&["unshare", "-Ur", "sh", "-c", none, "sh"]);
    let before = home.msb(["logs", "db"]).exits(0).stdout.lines().count();
    let follow = home.start(["logs", "-f", "db"]);
    assert!(!gone_within(follow.pid(), Duration::from_secs(3)), "it goes on");
    follow.signal(Signal::INT);
    let run = follow.wait(Duration::from_secs(10)).exits(130);
    assert!(run.stdout.lines().count() > before + 5, "only {before} lines before: {run}");
    home.go_through(&[]);
    converged(&home);
    reversed(&home);
}

#[test]
fn r14_little_memory_is_a_message() {
    for kibibytes in [2_000_000, 400_000, 200_000, 120_000, 80_000] {
        let limit = format!("ulimit -v {kibibytes}; exec \"$@\"");
        under(&["bash", "-c", &limit, "bash"]);
    }
}

fn may(program: &str, words: &[&str]) -> bool {
    let done = Command::new(program).args(words).output();
    done.is_ok_and(|output| output.status.success())
}
