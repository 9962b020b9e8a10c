//! R10: a guest's clock after the host's was set.

use std::time::Duration;

use tests::clock::{WallClock, right};
use tests::home::Home;
use tests::matrix::is_whole;
use tests::oracle::reversed;
use tests::run::eventually;
use tests::skip::skip;

/// It writes down what time it is; nobody talks to it.
const CLOCK: &str = r#"
project "late"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    mount "/work" { dir "./work" ensure="ensure" }
    command "sh" "-c" "while :; do date +%s > /work/new; mv /work/new /work/now; sleep 1; done"
}
"#;

const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;

/// What a guest may take to be right again.
const RIGHT_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn r10_a_guest_is_right_a_minute_after_the_host_jumped_though_nobody_asks_it() {
    let Some(clock) = WallClock::own() else { return skip("R10") };
    let home = Home::machine();
    home.write("Sandboxfile", CLOCK);
    home.msb(["up"]).exits(0);
    // How far a guest is off that was told of `by`; a second each for what lies between.
    let is_right = |by: i64| {
        let said = std::fs::read_to_string(home.project().join("work/now")).ok()?;
        let off = said.trim().parse::<i64>().ok()? - right() - by;
        (off.abs() <= 3).then_some(())
    };
    eventually("it was born right", RIGHT_WITHIN, || is_right(0));
    let jumps: &[i64] = if is_whole() { &[3600, TEN_YEARS, -3600] } else { &[] };
    for by in jumps.iter().copied().chain([-TEN_YEARS]) {
        clock.set(by);
        eventually("it is right again", RIGHT_WITHIN + Duration::from_secs(2), || is_right(by));
    }
    assert_eq!(home.sandbox("box")["restarts"], 0);
    reversed(&home);
}
