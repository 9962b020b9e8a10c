//! An attached sandbox lives with the process that made it, however that ends.

use std::time::Duration;

use rustix::process::Signal;
use tests::home::Home;
use tests::processes::Alive;
use tests::run::{Started, eventually, gone_within, pause};

/// How long the end may take.
const SOON: Duration = Duration::from_secs(8);

/// Starts an attached sandbox that says when its command runs.
fn attached(home: &Home, command: &str) -> Started {
    let script = format!("echo up; {command}");
    let started =
        home.start(["run", "-n", "box", "--keep", "builtin:base", "--", "sh", "-c", &script]);
    eventually("the command runs", home.rung().patience(), || {
        started.printed().contains("up").then_some(())
    });
    started
}

fn phase(home: &Home) -> String {
    let run = home.msb(["-p", "adhoc", "ps", "box", "--json"]);
    // It is not there yet.
    let row = if run.code == 0 { run.json() } else { serde_json::Value::Null };
    let word = |key: &str| row[0][key].as_str().unwrap_or("-").to_owned();
    format!("{} {}", word("phase"), word("reason"))
}

fn is_stopped_by(home: &Home, reason: &str) {
    let expected = format!("stopped {reason}");
    eventually("it stops", SOON, || (phase(home) == expected).then_some(()));
    assert_eq!(home.alive(), [] as [Alive; 0], "nothing of it lives");
}

#[test]
fn rt_1_13_a_creator_that_is_killed_takes_its_sandbox_along() {
    let home = Home::process();
    let started = attached(&home, "sleep 1000");
    started.signal(Signal::KILL);
    started.wait(SOON);
    is_stopped_by(&home, "creator-gone");
}

#[test]
fn rt_1_13_a_creator_that_ends_in_good_order_stops_what_it_started() {
    let home = Home::process();
    attached(&home, "exit 3").wait(home.rung().patience()).exits(3);
    is_stopped_by(&home, "requested");
}

#[test]
fn rt_1_13_a_creator_that_is_stopped_goes_on_later_and_so_does_its_sandbox() {
    let home = Home::process();
    let started = attached(&home, "sleep 1000");
    started.signal(Signal::STOP);
    pause(Duration::from_secs(3));
    assert_eq!(phase(&home).split(' ').next(), Some("ready"), "it stays");
    started.signal(Signal::CONT);
    started.signal(Signal::KILL);
    started.wait(SOON);
    is_stopped_by(&home, "creator-gone");
}

#[test]
fn rt_1_13_a_creator_that_loses_its_session_leader_lives_on_with_its_sandbox() {
    let home = Home::process();
    // A shell that ends: msb is somebody else's child from then on.
    let command = home.command();
    let program = command.get_program().to_owned();
    let mut shell = tests::run::bare("sh");
    shell.args(["-c", "\"$0\" \"$@\" & echo $!"]).arg(program);
    shell.args(["run", "-n", "box", "--keep", "builtin:base", "--", "sleep", "1000"]);
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    let said = home.spawn(shell).wait(home.rung().patience()).exits(0);
    let pid: i32 = said.stdout.trim().parse().unwrap();
    eventually("it runs", home.rung().patience(), || {
        phase(&home).starts_with("ready").then_some(())
    });
    pause(Duration::from_secs(2));
    assert!(phase(&home).starts_with("ready"), "it stays");
    let msb = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(msb, Signal::KILL).unwrap();
    assert!(gone_within(msb, SOON));
    is_stopped_by(&home, "creator-gone");
}

#[test]
fn rt_1_13_a_detached_sandbox_stays_when_its_creator_is_gone() {
    let home = Home::process();
    home.msb(["run", "-d", "-n", "box", "builtin:base", "--", "sleep", "1000"]).exits(0);
    pause(Duration::from_secs(2));
    assert!(phase(&home).starts_with("ready"));
    home.msb(["kill", "box"]).exits(0);
}
