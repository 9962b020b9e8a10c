//! The machine suite's short list on a host with a working KVM, whatever this host has: `tests/lab/run`.
//!
//! The whole suite runs there at night (`.ci/nightly LAB`).

use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};

use tests::programs;
use tests::skip::skip;

/// What runs under libkrun: a whole life, the jail, crashes, restarts and durability.
const KRUN: &[&str] = &[
    "drivers::a_sandbox_comes_up_is_used_seen_stopped_started_and_taken_down",
    "drivers::rt_13_3_a_vmm_is_in_a_control_group_where_one_is_given_and_the_group_goes_with_it",
    "drivers::rt_13_3_a_vmm_is_in_every_layer_of_its_jail",
    "drivers::s2_a_vmm_calls_what_it_may_and_libkrun_no_less",
    "drivers::s28_a_vmm_holds_only_what_it_was_given",
    "durable::r11_what_was_synced_is_kept_through_every_end",
    "faults::a_runtime_that_is_killed_takes_its_machine_along_and_ps_says_so",
    "faults::up_killed_while_it_boots_is_finished_by_the_next",
];

/// What runs under QEMU on KVM, which differs from the emulator by its processor alone.
const QEMU: &[&str] = &[
    "drivers::a_sandbox_comes_up_is_used_seen_stopped_started_and_taken_down",
    "drivers::rt_13_3_a_vmm_is_in_every_layer_of_its_jail",
    "drivers::s28_a_vmm_holds_only_what_it_was_given",
];

/// Where there is no lab, and why is told.
const NONE: i32 = 69;

/// Runs tests in the lab; false where there is none here.
fn lab(driver: &str, names: &[&str]) -> bool {
    let mut command = Command::new(programs::checkout().join("tests/lab/run"));
    command.args(["--driver", driver, "--cpus", "1", "--minutes", "14"]).args(names);
    command.env("CARGO_TARGET_DIR", programs::target());
    // What it tells is seen while it runs by who asked for it.
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    if output.status.code() == Some(NONE) {
        return false;
    }
    assert!(output.status.success(), "{said}");
    let verdict = |name: &&str| {
        said.lines().any(|line| line.starts_with(&format!("LAB: {driver} {name} ok")))
    };
    let without: Vec<_> = names.iter().filter(|name| !verdict(name)).collect();
    assert!(without.is_empty(), "no word of {without:?} in\n{said}");
    let path = programs::target().join("suite/battery.log");
    let mut log = OpenOptions::new().create(true).append(true).open(path).unwrap();
    for line in said.lines().filter(|line| line.starts_with("LAB: ") && line.contains("::")) {
        writeln!(log, "{line}").unwrap();
    }
    true
}

#[test]
fn the_short_list_of_the_machine_suite_passes_under_libkrun_and_qemu_on_kvm() {
    let ran = std::thread::scope(|scope| {
        let krun = scope.spawn(|| lab("krun", KRUN));
        let qemu = lab("qemu", QEMU);
        krun.join().unwrap_or_else(|failed| std::panic::resume_unwind(failed)) && qemu
    });
    if !ran {
        skip("lab");
    }
}
