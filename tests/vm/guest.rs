//! What a command in a guest sees, and what its caller gets back.

use std::time::Duration;

use rustix::process::Signal;
use tests::home::Home;
use tests::oracle::{nothing_lives, reversed};
use tests::run::eventually;

const ONE: &str = r#"
project "one"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    cpus 1
    hostname "tidy"
    workdir "/srv/app"
    env { COLOUR "green" }
    mount "/scratch/here" { tmpfs "2MiB" mode="0700" }
    command "sh" "-c" "echo begun; trap 'echo told to stop; exit 0' TERM; while :; do sleep 0.1; done"
}
"#;

#[test]
fn a_command_sees_its_machine_and_its_caller_sees_all_of_it() {
    let home = Home::machine();
    home.write("Sandboxfile", ONE);
    home.msb(["up"]).exits(0);
    let sh = |script: &str| home.msb(["exec", "box", "--", "sh", "-c", script]);

    assert_eq!(
        sh("hostname; pwd; echo $COLOUR; id -u").exits(0).stdout,
        "tidy\n/srv/app\ngreen\n0\n"
    );
    sh("cat /proc/1/comm").exits(0).says(&["init"]);
    sh("uname -r").exits(0).says(&["-msb"]);
    sh("awk '/MemTotal/ { print ($2 < 98304) }' /proc/meminfo").exits(0).says(&["1"]);
    assert_eq!(sh("nproc").exits(0).stdout, "1\n");
    sh("touch /written-to-the-upper && ls /").exits(0).says(&["written-to-the-upper"]);
    sh("grep ' / ' /proc/mounts").exits(0).says(&["overlay"]);

    sh("grep /scratch/here /proc/mounts; stat -c %a /scratch/here")
        .exits(0)
        .says(&["size=2048k", "700\n"]);

    // Exit codes, signals, streams apart, binary bytes, no newline at the end.
    sh("echo out; echo err >&2; exit 9").exits(9).says(&["out\n"]).complains(&["err\n"]);
    sh("kill -KILL $$").exits(137);
    home.msb(["exec", "box", "--", "no-such-command"]).exits(127).complains(&["no-such-command"]);
    home.msb(["exec", "box", "--", "/etc"]).exits(126);
    assert_eq!(sh("printf '%s' partial").exits(0).stdout, "partial");
    let many = sh("seq 1 20000").exits(0).stdout;
    assert_eq!(many.lines().count(), 20_000);
    assert!(many.ends_with("\n20000\n"));

    // Standard input arrives whole, with its end.
    let input: String = (0..50_000).map(|n| format!("{n}\n")).collect();
    home.write("input", &input);
    let back =
        home.msb_reading(["exec", "box", "--", "cat"], &home.project().join("input")).exits(0);
    assert!(back.stdout == input, "{} of {} bytes came back", back.stdout.len(), input.len());

    // A terminal, where one is asked for.
    let terminal =
        home.msb(["exec", "-t", "box", "--", "sh", "-c", "tty; stty size; echo gone >&2"]).exits(0);
    terminal.says(&["/dev/pts/", "24 80", "gone"]);

    // A signal to msb reaches the command.
    let exec = home.start([
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "trap 'exit 33' TERM; touch /run/armed; while :; do sleep 0.1; done",
    ]);
    eventually("the trap is set", Duration::from_secs(60), || {
        (sh("test -e /run/armed").code == 0).then_some(())
    });
    exec.signal(Signal::TERM);
    exec.wait(Duration::from_secs(60)).exits(33);

    // A stop lets the workload say goodbye.
    home.msb(["stop", "box"]).exits(0);
    home.msb(["logs", "box"]).exits(0).says(&["begun", "told to stop"]);
    assert_eq!(home.sandbox("box")["phase"], "stopped");
    nothing_lives(&home);
    reversed(&home);
}

#[test]
fn s18_the_agents_port_is_roots_alone() {
    let home = Home::machine();
    home.write("Sandboxfile", ONE);
    home.msb(["up"]).exits(0);
    let ports = "cd /sys/class/virtio-ports; for port in *; do echo $port $(cat $port/name); done";
    let listed = home.msb(["exec", "box", "--", "sh", "-c", ports]).exits(0).stdout;
    for name in ["msb.agent", "msb.files"] {
        let line = listed.lines().find(|line| line.ends_with(name)).expect("a port of that name");
        let node = format!("/dev/{}", line.split(' ').next().unwrap());
        let mode = home.msb(["exec", "box", "--", "stat", "-c", "%a %u %g", &node]).exits(0);
        assert_eq!(mode.stdout, "600 0 0\n", "{node}");
        for way in ["<", ">"] {
            let open = format!("exec 3{way}{node}");
            let words = ["exec", "--user", "1000", "box", "--", "sh", "-c", &open];
            let refused = home.msb_with(&words);
            assert_ne!(refused.code, 0, "{refused}");
            refused.complains(&["ermission denied"]);
        }
    }
    reversed(&home);
}

#[test]
fn a_run_is_there_for_one_command() {
    let home = Home::machine();
    home.msb(["run", "-m", "96MiB", "builtin:base", "--", "sh", "-c", "echo once; exit 5"])
        .exits(5)
        .says(&["once\n"]);
    nothing_lives(&home);
    assert!(home.ps().is_empty());
}
