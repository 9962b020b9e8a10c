//! R12: every way a machine ends has its own name.
//!
//! Agents that hang, stand still, end, begin again and again or never say a word: `ps` and the error name what it
//! was and show the machine's last words, and nobody waits for longer than was promised. `tests/vm/ends.rs` does
//! what takes a kernel.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::Signal;
use tests::home::{Home, put};
use tests::machines::vmm;
use tests::oracle::{nothing_lives, reversed};
use tests::run::{Run, eventually, lasted, pause};

/// The grace of every case.
const GRACE: Duration = Duration::from_secs(2);

/// What `down` may take beyond it.
const BEYOND: Duration = Duration::from_secs(10);

fn project(home: &Home, kind: &str, lines: &str) {
    let text = format!(
        "project \"ends\"\n{kind} \"box\" {{\n    image \"builtin:base\"\n    memory \"96MiB\"\n    \
         stop-grace \"2s\"\n    {lines}\n}}\n"
    );
    home.write("Sandboxfile", &text);
}

const IDLES: &str = "command \"sleep\" \"100000\"";

/// Holds that a command ends in the grace and what is promised beyond it.
fn in_time(home: &Home, words: &[&str]) -> Run {
    let (run, took) = lasted(|| home.msb_with(words));
    assert!(took <= GRACE + BEYOND, "it took {took:?}: {run}");
    run.exits(0)
}

#[test]
fn r12_an_agent_that_hangs_keeps_nobody_waiting() {
    let home = Home::process();
    project(&home, "sandbox", IDLES);
    home.msb(["up"]).exits(0);
    vmm(&home, "box").signal(Signal::STOP);
    // Nobody can tell it from one that is slow.
    assert_eq!(home.sandbox("box")["phase"], "ready");
    home.msb(["inspect", "box"]).exits(0);
    home.msb(["up"]).exits(0).says(&["nothing to do"]);
    in_time(&home, &["stop", "box"]);
    home.msb(["ps", "-a"]).exits(0).says(&["Stopped(requested"]);
    let inspected = home.msb(["inspect", "box", "--output", "json"]).exits(0).json();
    assert_eq!(inspected[0]["last_exit"]["forced"], true, "{inspected}");
    nothing_lives(&home);

    home.msb(["up"]).exits(0);
    vmm(&home, "box").signal(Signal::STOP);
    in_time(&home, &["down"]);
    reversed(&home);
}

#[test]
fn r12_a_machine_that_stood_still_for_half_a_minute_goes_on() {
    let home = Home::process();
    project(&home, "sandbox", IDLES);
    home.msb(["up"]).exits(0);
    let (machine, row) = (vmm(&home, "box"), home.sandbox("box"));
    machine.signal(Signal::STOP);
    let waiting = home.start(["exec", "box", "--", "echo", "here again"]);
    pause(Duration::from_secs(30));
    assert_eq!(home.sandbox("box")["phase"], "ready");
    machine.signal(Signal::CONT);
    waiting.wait(Duration::from_secs(20)).exits(0).says(&["here again"]);
    assert_eq!(vmm(&home, "box"), machine, "no watchdog ended it");
    let now = home.sandbox("box");
    for same in ["id", "pid", "restarts", "phase", "started_at"] {
        assert_eq!(now[same], row[same], "{same}: {now}");
    }
    reversed(&home);
}

#[test]
fn r12_a_workload_that_ends_is_named_by_how_it_ended() {
    let ways = [
        ("job", "echo last words; exit 7", "Failed(exit 7)"),
        ("sandbox", "echo last words; exit 7", "Failed(exit 7)"),
        ("sandbox", "echo last words; kill -9 $$$$", "Failed(signal 9)"),
        ("sandbox", "echo last words; exit 0", "Failed(exited-early)"),
    ];
    for (kind, script, phase) in ways {
        let home = Home::process();
        let never = if kind == "job" { "" } else { "ready { exec \"false\" }" };
        let lines = format!("restart \"no\"\n    command \"sh\" \"-c\" \"{script}\"\n    {never}");
        project(&home, kind, &lines);
        home.msb(["up"]).exits(1).says(&["box", "failed"]).complains(&["| last words"]);
        home.msb(["ps", "-a"]).exits(0).says(&[phase]);
        nothing_lives(&home);
        in_time(&home, &["down"]);
        reversed(&home);
    }
}

#[test]
fn r12_a_machine_that_halts_or_is_gone_after_it_was_up_says_which() {
    let ways = [
        (Signal::USR1, "stopped", "guest-shutdown", "Stopped(guest-shutdown)"),
        (
            Signal::KILL,
            "failed",
            "machine-died",
            "vmm-exited: the machine's process is gone: signal 9 ended it",
        ),
    ];
    for (signal, phase, reason, shown) in ways {
        let home = Home::process();
        project(&home, "sandbox", &format!("restart \"no\"; {IDLES}"));
        home.msb(["up"]).exits(0);
        vmm(&home, "box").signal(signal);
        eventually("it ends", GRACE + BEYOND, || {
            let row = home.sandbox("box");
            (row["phase"] == *phase && row["reason"] == *reason).then_some(())
        });
        home.msb(["ps", "-a"]).exits(0).says(&[shown]);
        nothing_lives(&home);
        in_time(&home, &["down"]);
        reversed(&home);
    }
}

/// Machines that never come up: what is run as their agent, what the policy is, and what is said of it.
const STILLBORN: &[(&str, &str, &str, &[&str])] = &[
    (
        "it ends at once",
        "echo last words >&2; exit 3",
        "restart \"no\"",
        &["machine-died", "vmm-exited", "it exited with code 3"],
    ),
    (
        "it resets",
        "echo last words >&2; exit 0",
        "restart \"no\"",
        &["machine-died", "guest-reset"],
    ),
    (
        "its kernel panics",
        "echo 'Kernel panic - not syncing: last words' >&2; exit 0",
        "restart \"no\"",
        &["boot", "kernel-panic"],
    ),
    (
        "it speaks another language",
        "echo last words >&2; echo 'HTTP/1.1 200 OK' >&$5; exec sleep 1000",
        "restart \"no\"",
        &["machine-died", "agent-lost"],
    ),
    (
        "it boots again and again",
        "echo last words >&2; exit 3",
        "restart \"on-failure\" { max 3; delay \"50ms\"; jitter 0 }",
        &["restarts", "exited with code 3; its restarts are used up, after 3"],
    ),
    (
        "it never speaks",
        "echo last words >&2; exec sleep 1000",
        "restart \"no\"",
        &["boot", "deadline", "the boot made no progress for 30 s; the agent never spoke"],
    ),
];

#[test]
fn r12_a_machine_that_never_comes_up_says_why_with_its_last_words() {
    std::thread::scope(|scope| {
        for (what, script, restart, said) in STILLBORN {
            scope.spawn(move || stillborn(what, script, restart, said));
        }
    });
}

fn stillborn(what: &str, script: &str, restart: &str, said: &[&str]) {
    let mut home = Home::process();
    let agent = home.scratch("agent");
    put(&agent, &format!("#!/bin/bash\n{script}\n"));
    fs::set_permissions(&agent, Permissions::from_mode(0o700)).unwrap();
    home.go_through(&["env", &format!("MSB_PROCESS_AGENT={}", agent.display())]);
    project(&home, "sandbox", &format!("{restart}; {IDLES}"));
    let up = home.msb(["up"]).exits(1);
    let shown = home.msb(["ps", "-a"]).exits(0);
    let told = format!("{}{}{}", up.stdout, up.stderr, shown.stdout);
    for part in said.iter().chain(&["last words"]) {
        assert!(told.contains(part), "{what}: {part:?} is not said: {up}\n{shown}");
    }
    nothing_lives(&home);
    in_time(&home, &["down"]);
    reversed(&home);
}
