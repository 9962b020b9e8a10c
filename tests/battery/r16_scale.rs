//! R16: large projects are ordinary.
//!
//! Hundreds of sandboxes come up, a second `up` has nothing to do, one edit changes one of them,
//! and all of them go. What is counted grows with their number and not faster.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tests::home::Home;
use tests::matrix::{is_whole, say};
use tests::oracle::{Watch, clean, gone, pids};
use tests::run::{Run, lasted};
use tests::skip::skip;
use tests::tracer::{Plan, Victim, Which, may_trace, trace};

/// How many sandboxes there are in every run, and at night.
const MANY: usize = 300;
const MANY_AT_NIGHT: [usize; 2] = [1000, 5000];

/// The memory that a machine without a machine takes at most: its runtime and its agent.
const EACH_BYTES: u64 = 16 << 20;

/// What a command may take for each sandbox, and for itself.
const EACH: Duration = Duration::from_millis(400);
const ITSELF: Duration = Duration::from_secs(30);

#[test]
fn r16_a_large_project_comes_up_changes_in_one_place_and_goes() {
    let wanted = if is_whole() { MANY_AT_NIGHT.to_vec() } else { vec![MANY] };
    for many in wanted {
        let room = usize::try_from(memory_available() / EACH_BYTES).unwrap_or(usize::MAX);
        life(many.min(room.max(MANY)));
    }
}

fn life(many: usize) {
    let home = Arc::new(Home::process());
    home.write("Sandboxfile", &project(many));
    let watch = Watch::begin(&home);
    let up = timed(&home, &["up", "--wait-timeout", "0"], many);
    up.0.says(&[&format!("Up: {many} done")]);
    let taken = memory_of(&home) / u64::try_from(many).unwrap();
    let before = pids(&home);
    assert_eq!(before.len(), many, "all of them run");

    let nothing = timed(&home, &["up"], many);
    nothing.0.says(&["nothing to do"]);
    assert_eq!(pids(&home), before);
    clean(&home);

    home.write("Sandboxfile", &project(many).replacen("\"1000\"", "\"2000\"", 1));
    let change = timed(&home, &["up"], many);
    change.0.says(&["Up: 1 done"]);
    let same = pids(&home).intersection(&before).count();
    assert_eq!(same, many - 1, "one edit touches one sandbox");

    let down = timed(&home, &["down"], many);
    gone(&home);
    watch.end();
    say(&format!(
        "R16: {many} sandboxes: up {:.1?}, nothing to do {:.2?}, one change {:.2?}, down {:.1?}, \
         {} KiB of memory each",
        up.1,
        nothing.1,
        change.1,
        down.1,
        taken / 1024
    ));
}

#[test]
fn r16_what_a_look_costs_grows_with_the_number_of_sandboxes_and_no_faster() {
    if !may_trace() {
        return skip("R16-counts");
    }
    let (few, more) = (counts(10), counts(100));
    for ((what, few), (_, more)) in few.iter().zip(&more) {
        assert!(*more <= 12 * few, "{what}: {few} for 10 sandboxes, {more} for 100");
    }
    let of_proc = more[0].1;
    assert!(of_proc <= 100 + 20, "{of_proc} looks into /proc for 100 sandboxes");
    say(&format!("R16: a diff of 100 sandboxes: {more:?}; of 10: {few:?}"));
}

/// Counts what a `diff` of so many running sandboxes does.
fn counts(many: usize) -> [(&'static str, usize); 3] {
    let home = Home::process();
    home.write("Sandboxfile", &project(many));
    home.msb(["up"]).exits(0);
    let mut diff = home.command();
    diff.arg("diff");
    let plan = Plan { victim: Victim::Msb, running: None, which: Which::Failing, fault: None };
    let traced = trace(&diff, &home.scratch("diff"), &plan, home.rung().patience());
    traced.run.exits(0);
    let opens = |about: &str| {
        let calls = traced.seen.iter().filter(|seen| seen.point.call == "openat");
        calls.filter(|seen| seen.about.contains(about)).count()
    };
    home.msb(["down"]).exits(0);
    [
        ("looks into /proc", opens("/proc/")),
        ("files opened", opens("")),
        ("calls", traced.seen.len()),
    ]
}

fn project(many: usize) -> String {
    let mut text = "project \"large\"\n".to_owned();
    for number in 0..many {
        let _ = writeln!(
            text,
            "sandbox \"s{number}\" {{ image \"builtin:base\"; memory \"96MiB\"; command \"sleep\" \"1000\" }}"
        );
    }
    text
}

fn timed(home: &Home, words: &[&str], many: usize) -> (Run, Duration) {
    let mut command = home.command();
    command.args(words);
    let limit = ITSELF + EACH * u32::try_from(many).unwrap();
    lasted(|| home.spawn(command).wait(limit).exits(0))
}

/// Returns what the processes of a home take, what they share counted once.
fn memory_of(home: &Home) -> u64 {
    let share = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    home.alive().iter().filter_map(|process| share(process.pid)).sum::<u64>() * 1024
}

fn memory_available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
