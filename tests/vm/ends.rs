//! R12: every way a machine ends has its own name; here those that take a kernel.

use std::time::Duration;

use rustix::process::Signal;
use tests::home::Home;
use tests::machines::vmm;
use tests::oracle::{nothing_lives, reversed};
use tests::run::{eventually, lasted, pause};

const ONE: &str = r#"
project "ends"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "2s"
    restart "no"
    command "sh" "-c" "SCRIPT"
}
"#;

/// The grace, and what `down` may take beyond it.
const IN_TIME: Duration = Duration::from_secs(12);

fn up(script: &str) -> Home {
    let home = Home::machine();
    home.write("Sandboxfile", &ONE.replace("SCRIPT", script));
    home
}

/// Waits until it rests so; holds that the machine is gone.
fn rests(home: &Home, shown: &str) {
    eventually("it rests", Duration::from_secs(60), || {
        home.msb(["ps", "-a"]).exits(0).stdout.contains(shown).then_some(())
    });
    nothing_lives(home);
}

fn down(home: &Home) {
    let (run, took) = lasted(|| home.msb(["down"]));
    assert!(took <= IN_TIME, "it took {took:?}: {run}");
    run.exits(0);
    reversed(home);
}

#[test]
fn r12_a_guest_without_memory_loses_its_workload_and_says_so() {
    let home = up("echo last words; sleep 3; exec tail /dev/zero");
    home.msb(["up"]).exits(0);
    rests(&home, "Failed(oom)");
    home.msb(["logs", "box"]).exits(0).says(&["last words"]);
    home.msb(["events", "--no-follow", "--after", "0", "--type", "oom"])
        .exits(0)
        .says(&["oom", "box"]);
    // One that dies before it is ready fails the command.
    home.write(
        "Sandboxfile",
        &ONE.replace("SCRIPT", "echo last words; exec tail /dev/zero")
            .replace("restart", "ready { exec \"false\" }; restart"),
    );
    home.msb(["up"]).exits(1).says(&["Failed(oom)"]).complains(&["| last words"]);
    down(&home);
}

#[test]
fn r12_a_guest_that_halts_and_one_that_ends_with_7_are_told_apart() {
    let home = up("sleep 100000");
    home.msb(["up"]).exits(0);
    drop(home.start(["exec", "box", "--", "poweroff"]).wait(Duration::from_secs(60)));
    rests(&home, "Stopped(guest-shutdown)");
    home.write("Sandboxfile", &ONE.replace("SCRIPT", "echo last words; sleep 3; exit 7"));
    home.msb(["up"]).exits(0);
    rests(&home, "Failed(exit 7)");
    home.msb(["logs", "box"]).exits(0).says(&["last words"]);
    down(&home);
}

#[test]
fn r12_a_vmm_that_stood_still_for_half_a_minute_goes_on_and_one_that_hangs_holds_nobody_up() {
    let home = up("sleep 100000");
    home.msb(["up"]).exits(0);
    let (machine, row) = (vmm(&home, "box"), home.sandbox("box"));
    machine.signal(Signal::STOP);
    pause(Duration::from_secs(30));
    assert_eq!(home.sandbox("box")["phase"], "ready");
    machine.signal(Signal::CONT);
    home.msb(["exec", "box", "--", "echo", "here again"]).exits(0).says(&["here again"]);
    assert_eq!(vmm(&home, "box"), machine, "no watchdog ended it");
    let now = home.sandbox("box");
    for same in ["id", "pid", "restarts", "phase", "started_at"] {
        assert_eq!(now[same], row[same], "{same}: {now}");
    }
    machine.signal(Signal::STOP);
    down(&home);
}

/// A kernel that does nothing, for ever.
const SILENT: &str = r#"
    .section .note.Xen, "a", @note
    .long 4, 8, 18
    .asciz "Xen"
    .quad _start
    .text
    .code32
    .globl _start
_start: cli
1:  hlt
    jmp 1b
"#;

#[test]
fn r12_a_kernel_that_never_speaks_is_named_before_anything_is_made() {
    let mut home = up("sleep 100000");
    let kernel = home.project().join("silent");
    home.write("silent.S", SILENT);
    let mut gcc = std::process::Command::new("gcc");
    gcc.args(["-nostdlib", "-static", "-Wl,-Ttext=0x100000,--build-id=none", "-o"]).arg(&kernel);
    let status = gcc.arg("silent.S").current_dir(home.project()).status().unwrap();
    assert!(status.success(), "{gcc:?}: {status}");
    home.go_through(&["env", &format!("MSB_KERNEL={}", kernel.display())]);
    let up = home.msb(["up"]);
    assert_eq!(up.code, 69, "{up}");
    up.complains(&["no word of the agent within", "hint: "]);
    nothing_lives(&home);
    home.go_through(&[]);
    down(&home);
}
