//! `up --watch`: a loop that keeps the host as the files say, and leaves alone what must be asked.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tests::home::Home;
use tests::run::{Started, eventually};

const SOON: Duration = Duration::from_secs(20);

fn sandbox(name: &str, memory: &str) -> String {
    format!(
        "sandbox \"{name}\" {{\n  image \"builtin:base\"\n  memory \"{memory}\"\n  \
         command \"sleep\" \"1000\"\n}}\n"
    )
}

fn file(sandboxes: &[String]) -> String {
    format!("project \"shop\"\n{}", sandboxes.concat())
}

fn pid(home: &Home, name: &str) -> Option<i64> {
    let row = home.ps().into_iter().find(|row| row["name"] == name)?;
    if row["phase"] == "ready" { row["pid"].as_i64() } else { None }
}

/// Waits until a watch has told of that many rounds: one that is asked to end in the middle of one
/// says so with its code.
fn rests_after(rounds: usize, watching: &Started) {
    let is_told = || (watching.printed().matches("round ").count() >= rounds).then_some(());
    eventually("the round is over", SOON, is_told);
}

#[test]
fn sf_g1_an_edit_and_a_machine_that_dies_are_seen_without_being_asked() {
    let home = Home::process();
    home.write("Sandboxfile", &file(&[sandbox("a", "64MiB")]));
    let watching = home.start(["up", "--watch"]);
    let first = eventually("a is up", SOON, || pid(&home, "a"));

    home.write("Sandboxfile", &file(&[sandbox("a", "64MiB"), sandbox("b", "64MiB")]));
    eventually("b is up", SOON, || pid(&home, "b"));
    assert_eq!(pid(&home, "a"), Some(first), "nothing else was touched");

    let victim = Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    kill_process(victim, Signal::KILL).expect("it is ours");
    eventually("a is up again", SOON, || pid(&home, "a").filter(|now| *now != first));

    rests_after(3, &watching);
    watching.signal(Signal::INT);
    let watched = watching.wait(SOON).exits(0);
    watched.says(&["round 1: 1 create", "1 start"]);
    assert!(pid(&home, "a").is_some() && pid(&home, "b").is_some(), "they go on");
}

#[test]
fn sf_g2_what_must_be_asked_for_is_shown_once_and_left_undone() {
    let home = Home::process();
    let both = [sandbox("a", "64MiB"), sandbox("b", "64MiB")];
    home.write("Sandboxfile", &file(&both));
    let watching = home.start(["up", "--watch"]);
    eventually("both are up", SOON, || pid(&home, "a").and(pid(&home, "b")));

    home.write("Sandboxfile", &file(&[sandbox("a", "96MiB")]));
    eventually("a has more", SOON, || {
        let inspected = home.msb(["inspect", "a"]).stdout;
        inspected.contains("96 MiB memory").then_some(())
    });
    assert!(pid(&home, "b").is_some(), "b left the file and goes on");
    home.write("Sandboxfile", "project \"shop\"\nsandbox \"a\" { memry 1 }\n");
    home.write("Sandboxfile", &file(&[sandbox("a", "64MiB"), sandbox("c", "64MiB")]));
    eventually("c is up", SOON, || pid(&home, "c"));

    rests_after(3, &watching);
    watching.signal(Signal::TERM);
    let watched = watching.wait(SOON).exits(0);
    let told = watched.stderr.matches("left undone: destroy of sandbox.b").count();
    assert_eq!(told, 1, "{watched}");
}

#[test]
fn sf_g2_what_was_agreed_to_is_done() {
    let home = Home::process();
    home.write("Sandboxfile", &file(&[sandbox("a", "64MiB"), sandbox("b", "64MiB")]));
    let watching = home.start(["up", "--watch", "--auto", "destroy"]);
    eventually("both are up", SOON, || pid(&home, "a").and(pid(&home, "b")));
    home.write("Sandboxfile", &file(&[sandbox("a", "64MiB")]));
    eventually("b is gone", SOON, || (home.ps().len() == 1).then_some(()));
    rests_after(2, &watching);
    watching.signal(Signal::INT);
    watching.wait(SOON).exits(0);
    home.msb(["up", "--watch", "--auto", "data-loss"]).exits(64);
    home.msb(["up", "--auto", "destroy"]).exits(64);
}

#[test]
fn sf_g1_an_invalid_file_is_told_and_the_last_good_one_stays_in_force() {
    let home = Home::process();
    home.write("Sandboxfile", &file(&[sandbox("a", "64MiB")]));
    let watching = home.start(["up", "--watch"]);
    let first = eventually("a is up", SOON, || pid(&home, "a"));
    home.write("Sandboxfile", "project \"shop\"\nsandbox \"a\" { memry \"1GiB\" }\n");
    let victim = Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    kill_process(victim, Signal::KILL).expect("it is ours");
    eventually("a is up again", SOON, || pid(&home, "a").filter(|now| *now != first));
    watching.signal(Signal::INT);
    let watched = watching.wait(SOON);
    assert!(watched.stderr.contains("unknown-key"), "{watched}");
    assert_eq!(watched.stderr.matches("unknown-key").count(), 1, "{watched}");
}
