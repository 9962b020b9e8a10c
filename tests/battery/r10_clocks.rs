//! R10: clocks may jump.
//!
//! The wall clock is set by an hour and by ten years, in both directions, while everything waits for something: idle
//! clocks, greatest ages, delays and windows of restarts, gates, and commands that wait. All of it takes as long as
//! it would have. `tests/vm/clocks.rs` looks at the clock of a guest.

use std::ops::RangeInclusive;
use std::time::Duration;

use tests::clock::{WallClock, right};
use tests::home::Home;
use tests::oracle::{converged, reversed};
use tests::run::{Run, Started, eventually, lasted};
use tests::skip::skip;

const HOUR: i64 = 3600;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

/// Every sandbox waits for something; how long is said in [`jumped`] too.
const WAITING: &str = r#"
project "late"
template "plain" { image "builtin:base"; memory "96MiB"; stop-grace "1s" }
sandbox "plain" { from "plain"; command "sleep" "1000" }
sandbox "idle" { from "plain"; command "sleep" "1000"; idle-timeout "6s" }
sandbox "old" { from "plain"; command "sleep" "1000"; max-duration "8s" }
sandbox "gate" { from "plain"; command "sleep" "1000"; ready { exec "false"; timeout "5s" } }
sandbox "again" {
    from "plain"
    command "sh" "-c" "exit 3"
    ready { exec "false" }
    restart "on-failure" { max 3; delay "1500ms"; factor 1; jitter 0; window "10m" }
}
"#;

const PLAIN: &str = r#"
project "late"
template "plain" { image "builtin:base"; memory "96MiB"; stop-grace "1s" }
sandbox "plain" { from "plain"; command "sleep" "1000" }
"#;

#[test]
fn r10_an_hour_that_is_skipped_is_not_waited() {
    jumped(HOUR);
}

#[test]
fn r10_an_hour_that_comes_again_is_not_waited_twice() {
    jumped(-HOUR);
}

#[test]
fn r10_ten_years_that_are_skipped_age_nothing() {
    jumped(TEN_YEARS);
}

#[test]
fn r10_ten_years_back_hold_nothing_up() {
    jumped(-TEN_YEARS);
}

fn jumped(by: i64) {
    let Some(clock) = WallClock::own() else { return skip("R10") };
    let home = Home::process();
    home.write("Sandboxfile", WAITING);
    let up = home.start(["up"]);
    let limit = Duration::from_secs(20);
    eventually("the first are ready", limit, || {
        let rows = home.ps();
        let is_ready = |name| rows.iter().any(|row| row["name"] == name && row["phase"] == "ready");
        ["plain", "idle", "old"].into_iter().all(is_ready).then_some(())
    });
    let exec = home.start(["exec", "--timeout", "6s", "plain", "--", "sleep", "1000"]);
    let waits = home.start(["wait", "plain", "--for", "stopped", "--timeout", "6s"]);
    let ends = ["idle", "old"]
        .map(|name| home.start(["wait", name, "--for", "stopped", "--timeout", "30s"]));
    clock.set(by);

    let [idle, old] = ends;
    // It was the time of those that end, and nobody else's.
    let waits = [(exec, 4..=12), (waits, 4..=12), (idle, 2..=10), (old, 4..=12), (up, 2..=15)];
    let [exec, waits, idle, old, up] = took(waits);
    assert!(exec.code != 0 && waits.code == 124, "{exec}\n{waits}");
    idle.exits(0).says(&["Stopped(idle)"]);
    old.exits(0).says(&["Stopped(max-duration)"]);
    up.exits(1).says(&["Stalled(not-ready)", "its restarts are used up, after 3"]);
    assert_eq!(home.sandbox("again")["restarts"], 3, "the window is still the same");

    // Programs saw that clock, and what was written under the other is read as before.
    let date = home.msb(["exec", "plain", "--", "date", "+%s"]).exits(0).stdout;
    let off = date.trim().parse::<i64>().unwrap() - right();
    assert!((off - by).abs() <= 5, "it is {off} s off, and was set to {by}");
    home.msb(["logs", "--source", "system"]).exits(0);
    home.write("Sandboxfile", PLAIN);
    home.msb(["up", "-y", "--allow-mass-delete"]).exits(0);
    converged(&home);
    clock.set(-by);
    converged(&home);
    home.msb(["restart", "plain"]).exits(0);
    converged(&home);
    reversed(&home);
}

/// Waits for the ends of commands; holds that from now on each takes so many seconds.
fn took<const N: usize>(waits: [(Started, RangeInclusive<u64>); N]) -> [Run; N] {
    std::thread::scope(|scope| {
        let wait = |(started, seconds): (Started, RangeInclusive<u64>)| {
            scope.spawn(move || {
                let (run, took) = lasted(|| started.wait(Duration::from_secs(60)));
                assert!(seconds.contains(&took.as_secs()), "{took:?}, not {seconds:?}: {run}");
                run
            })
        };
        waits.map(wait).map(|thread| thread.join().unwrap())
    })
}
