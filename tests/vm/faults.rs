//! Machines that fail: each says its stage, its cause and a remedy, and leaves nothing behind.

use std::time::Duration;

use tests::home::Home;
use tests::oracle::{converged, nothing_lives, reversed, single};
use tests::processes::Alive;
use tests::run::eventually;

const ONE: &str = r#"
project "one"
sandbox "box" { image "builtin:base"; memory "96MiB"; command "sleep" "1000" }
"#;

#[test]
fn a_guest_that_panics_is_told_with_its_console() {
    let home = Home::machine();
    home.write("Sandboxfile", &ONE.replace("command", "restart \"no\"; command"));
    home.msb(["up"]).exits(0);
    // Process 1 gone, or sysrq: either way the kernel panics, and the answer may never come.
    let exec =
        home.start(["exec", "box", "--", "sh", "-c", "echo c > /proc/sysrq-trigger; sleep 60"]);
    drop(exec.wait(Duration::from_secs(120)));
    let row = eventually("the machine has failed", Duration::from_secs(60), || {
        let row = home.sandbox("box");
        (row["phase"] == "failed").then_some(row)
    });
    assert!(
        row["reason"].as_str().is_some_and(|reason| reason.starts_with("machine-died")),
        "{row}"
    );
    home.msb(["ps"]).exits(0).says(&["Failed(machine-died", "panic"]);
    home.msb(["logs", "box", "--source", "console"]).exits(0).says(&["Kernel panic"]);
    nothing_lives(&home);
    converged(&home);
    reversed(&home);
}

#[test]
fn a_workload_that_does_not_exist_fails_the_start() {
    let home = Home::machine();
    home.write("Sandboxfile", &ONE.replace("\"sleep\" \"1000\"", "\"no-such-command\""));
    home.msb(["up"]).exits(1).says(&["box", "failed"]).complains(&["no-such-command", "hint: "]);
    home.msb(["ps"]).exits(0).says(&["Failed(exec)"]);
    nothing_lives(&home);
    reversed(&home);
}

#[test]
fn a_runtime_that_is_killed_takes_its_machine_along_and_ps_says_so() {
    let home = Home::machine();
    home.write("Sandboxfile", ONE);
    home.msb(["up"]).exits(0);
    let pid = home.sandbox("box")["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap();
    let runtime = Alive::find(pid).unwrap();
    assert!(
        home.alive().iter().any(|process| process.command.contains("msb-vmm")),
        "{:#?}",
        home.alive()
    );
    runtime.kill();
    eventually("nothing of the machine lives", Duration::from_secs(20), || {
        home.alive().is_empty().then_some(())
    });
    home.msb(["ps"]).exits(0).says(&["Failed(machine-died"]);
    converged(&home);
    reversed(&home);
}

#[test]
fn up_killed_while_it_boots_is_finished_by_the_next() {
    let home = Home::machine();
    home.write("Sandboxfile", ONE);
    // Before anything, while the driver is proved, while the image is made, while the guest boots.
    for delay_ms in [50, 700, 2500, 6000] {
        let killed = home.start(["up"]).kill_after(Duration::from_millis(delay_ms));
        println!("{delay_ms} ms: exit {}", killed.code);
        single(&home);
    }
    converged(&home);
    reversed(&home);
}

const SHARING: &str = r#"
project "sharing"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000"
    mount "/work" { dir "./work" ensure="ensure" }
}
"#;

/// Returns the share server once it is in its jail, has said so, and waits for what is asked of it.
fn share_server(home: &Home) -> Option<Alive> {
    home.alive().into_iter().find(|process| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid));
        process.command.starts_with("msb-share ")
            && status
                .is_ok_and(|status| status.contains("Seccomp:\t2") && status.contains("State:\tS"))
    })
}

#[test]
fn a_share_server_that_dies_while_the_guest_boots_ends_the_boot_with_its_cause() {
    let home = Home::machine();
    home.write("Sandboxfile", SHARING);
    let up = home.start(["up"]);
    let server =
        eventually("the share server is there", Duration::from_secs(60), || share_server(&home));
    server.kill();
    // A boot that only went on would have two minutes.
    let run = up.wait(Duration::from_secs(60)).exits(1);
    run.complains(&["the server of shared folders is gone", "signal 9"]);
    nothing_lives(&home);
    converged(&home);
    reversed(&home);
}
