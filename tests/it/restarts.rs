//! Restart policies and the clocks that end a machine, as files and flags say them.

use std::time::Duration;

use tests::home::{Home, put};
use tests::machines;
use tests::oracle::{nothing_lives, reversed};
use tests::processes::Alive;
use tests::run::eventually;

/// How long something may take that happens by itself.
const SOON: Duration = Duration::from_secs(30);

/// Returns a project of one sandbox with these lines.
fn project(home: &Home, lines: &str) {
    let text = format!(
        "project \"shop\"\nsandbox \"web\" {{\n    image \"builtin:base\"\n    \
         stop-grace \"2s\"\n    {lines}\n}}\n"
    );
    home.write("Sandboxfile", &text);
}

/// A gate that is never passed, so that nobody is ready for a moment.
const NEVER: &str = "ready { exec \"test\" \"-e\" \"/never\" }";

const QUICK: &str = "restart \"on-failure\" { max 2; delay \"50ms\"; jitter 0 }";

fn is(home: &Home, phase: &str, reason: &str) -> Option<()> {
    let row = home.sandbox("web");
    (row["phase"] == *phase && row["reason"] == *reason).then_some(())
}

fn machine(home: &Home) -> Alive {
    machines::vmm(home, "web")
}

#[test]
fn sf_3_7_a_service_comes_back_by_itself_unless_its_file_says_no() {
    let home = Home::process();
    project(&home, "command \"sleep\" \"1000\"");
    home.msb(["up"]).exits(0);
    let (before, id) = (machine(&home), home.sandbox("web")["id"].clone());
    before.kill();
    eventually("it is restarted", SOON, || (home.sandbox("web")["restarts"] == 1).then_some(()));
    home.msb(["wait", "web", "--for", "ready", "--timeout", "20s"]).exits(0);
    assert_eq!(home.sandbox("web")["id"], id);
    assert_ne!(machine(&home).pid, before.pid);
    home.msb(["up"]).exits(0).says(&["nothing to do"]);
    home.msb(["inspect", "web"]).exits(0).says(&["restarts 1", "on-failure, 5 in 10m"]);

    // Another policy is told to what runs; then what dies stays dead.
    project(&home, "command \"sleep\" \"1000\"\n    restart \"no\"");
    home.msb(["diff"]).exits(2).says(&["restart.policy", "on-failure", "live"]);
    home.msb(["up"]).exits(0);
    machine(&home).kill();
    eventually("it failed", SOON, || is(&home, "failed", "machine-died"));
    home.msb(["down"]).exits(0);
    reversed(&home);
}

#[test]
fn sf_3_7_exit_codes_that_are_no_failure_change_while_it_runs() {
    let home = Home::process();
    let go = home.scratch("go");
    let waits = format!("while ! test -e {}; do sleep 0.1; done; exit 3", go.display());
    let lines = format!("command \"sh\" \"-c\" \"{waits}\"\n    {QUICK}");
    project(&home, &lines);
    home.msb(["up"]).exits(0);
    let before = (machine(&home).pid, home.sandbox("web")["id"].clone());
    project(&home, &format!("{lines}\n    success-codes 0 3\n    labels {{ tier \"web\" }}"));
    let plan = home.msb(["diff"]).exits(2).says(&["success-codes", "live", "labels.tier", "meta"]);
    assert!(!plan.stdout.contains("restart"), "{plan}");
    home.msb(["up"]).exits(0);
    home.msb(["diff"]).exits(0);
    assert_eq!((machine(&home).pid, home.sandbox("web")["id"].clone()), before);
    put(&go, "");
    eventually("it has ended well", SOON, || is(&home, "stopped", "exited"));
    assert_eq!(home.sandbox("web")["restarts"], 0);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

#[test]
fn sf_w2_restarts_that_are_used_up_stall_the_sandbox_and_fail_the_run() {
    let home = Home::process();
    project(
        &home,
        &format!("command \"sh\" \"-c\" \"echo giving up; exit 3\"\n    {NEVER}; {QUICK}"),
    );
    let up = home.msb(["up"]).exits(1);
    let up = up.says(&["failed", "exit code 3; its restarts are used up, after 2"]);
    up.complains(&["Stalled(restarts)", "| giving up"]);
    home.msb(["ps"]).exits(0).says(&["Stalled(restarts)"]);
    assert_eq!(home.sandbox("web")["restarts"], 2);
    home.msb(["logs", "web", "--source", "system"]).exits(0).says(&["restarting (2)"]);
    home.msb(["exec", "web", "echo", "inside"]).exits(0).says(&["inside"]);
    home.msb(["diff"]).exits(2).says(&["start", "phase ready → stalled (restarts)"]);
    project(&home, &format!("command \"sleep\" \"1000\"\n    {QUICK}"));
    home.msb(["up"]).exits(0);
    assert_eq!(home.sandbox("web")["phase"], "ready");
    home.msb(["down"]).exits(0);
    nothing_lives(&home);
}

#[test]
fn sf_h3_then_recreate_gives_one_fresh_machine_once_per_definition() {
    let home = Home::process();
    let restart = "restart \"on-failure\" { max 1; delay \"50ms\"; then \"recreate\" }";
    let lines = |code: u8| format!("command \"sh\" \"-c\" \"exit {code}\"\n    {NEVER}; {restart}");
    project(&home, &lines(3));
    home.msb(["up"]).exits(1);
    let first = home.sandbox("web")["id"].clone();
    home.msb(["diff"]).exits(2).says(&["recreate", "its restarts are used up: made anew, once"]);
    // The new machine fails as well, and the old one is put back: that was the one time.
    home.msb(["up"]).exits(1);
    eventually("it is given up", SOON, || is(&home, "stalled", "restarts"));
    assert_eq!(home.sandbox("web")["id"], first);
    let diff = home.msb(["diff"]).exits(2);
    assert!(!diff.stdout.contains("recreate"), "{diff}");
    // Another definition has its own.
    project(&home, &lines(4));
    home.msb(["up"]).exits(1);
    eventually("it is given up", SOON, || is(&home, "stalled", "restarts"));
    home.msb(["diff"]).exits(2).says(&["recreate", "made anew, once"]);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

#[test]
fn rt_10_10_an_idle_sandbox_is_stopped_and_a_touch_keeps_it() {
    let home = Home::process();
    project(&home, "command \"sleep\" \"1000\"\n    idle-timeout \"3s\"");
    home.msb(["up"]).exits(0);
    home.msb(["inspect", "web"]).exits(0).says(&["idle 3s (", "left), stop grace 2.00s"]);
    for _ in 0..3 {
        tests::run::pause(Duration::from_millis(1500));
        home.msb(["touch", "web"]).exits(0).says(&["web  touched"]);
    }
    let left = home.msb(["inspect", "web", "--output", "json"]).exits(0).json();
    let left = left[0]["timers"]["idle_left_ms"].as_u64();
    assert!(left.is_some_and(|left| left <= 3000), "{left:?}");
    home.msb(["wait", "web", "--timeout", "20s"]).exits(0).says(&["Stopped(idle)"]);
    home.msb(["touch", "web"]).exits(1).complains(&["web does not run"]);
    // It sleeps until somebody asks for it.
    home.msb(["start", "web"]).exits(0);
    home.msb(["wait", "web", "--timeout", "20s"]).exits(0).says(&["Stopped(idle)"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn rt_10_10_a_command_that_says_nothing_is_use_for_as_long_as_it_runs() {
    let home = Home::process();
    project(&home, "command \"sleep\" \"1000\"\n    idle-timeout \"2s\"");
    home.msb(["up"]).exits(0);
    home.msb(["exec", "web", "--", "sleep", "8"]).exits(0);
    assert_eq!(home.sandbox("web")["phase"], "ready");
    home.msb(["wait", "web", "--timeout", "20s"]).exits(0).says(&["Stopped(idle)"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn rt_10_11_a_job_that_takes_too_long_fails() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"shop\"\njob \"web\" { image \"builtin:base\"; command \"sleep\" \"1000\"; \
         max-duration \"1s\"; stop-grace \"1s\" }\n",
    );
    home.msb(["up"]).exits(1).says(&["failed", "it did not come to its end in the time it has"]);
    home.msb(["ps"]).exits(0).says(&["Failed(max-duration)"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn flags_say_what_the_keys_do() {
    let home = Home::process();
    let words = ["create", "-n", "web", "builtin:base", "sleep", "1000"];
    home.msb_with(
        &[&words[..3], &["--restart", "always", "--idle-timeout", "1h"], &words[3..]].concat(),
    )
    .exits(0);
    let inspect = home.msb(["inspect", "adhoc/web"]).exits(0);
    inspect.says(&["always, 5 in 10m", "idle 1h"]);
    let run = |words: &[&str]| home.msb_with(&[words, &["builtin:base", "true"]].concat());
    run(&["run", "--restart", "always"]).exits(64).complains(&["--restart"]);
    run(&["run", "--idle-timeout", "10ms"]).exits(64).complains(&["it is 1s at least"]);
    run(&["run", "-d", "--restart", "sometimes"]).exits(64).complains(&["on-failure:MAX"]);
    home.msb(["stop", "adhoc/web"]).exits(0);
    home.msb(["rm", "adhoc/web"]).exits(0);
}
