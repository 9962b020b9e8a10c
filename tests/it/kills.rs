//! Killed at any moment, finished by the next run; a runtime that dies takes its machine along.
//!
//! Delays come from a generator with a printed seed; `MSB_SEED` gives it again.

use std::sync::Arc;
use std::time::Duration;

use tests::home::Home;
use tests::oracle::{Watch, converged, reversed, single};
use tests::processes::Alive;
use tests::run::eventually;

const PAIR: &str = r#"
project "pair"
volume "data" { kind "disk"; size "16MiB" }
sandbox "db" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000"
    mount "/data" { named "data" }
}
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000"
    depends-on "db"
}
"#;

const ROUNDS: u32 = 12;

/// A small generator of delays; the same seed gives the same ones.
struct Delays(u64);

impl Delays {
    fn new() -> Self {
        let given = std::env::var_os("MSB_SEED").and_then(|seed| seed.to_str()?.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()) | 1);
        println!("MSB_SEED={seed}");
        Self(seed)
    }

    /// Returns a delay below `limit_ms`, short ones more often.
    fn next(&mut self, limit_ms: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let share = self.0 % 1000;
        Duration::from_millis(limit_ms * share * share / 1_000_000)
    }
}

#[test]
fn up_killed_at_any_moment_is_finished_by_the_next() {
    let mut delays = Delays::new();
    for round in 0..ROUNDS {
        let home = Arc::new(Home::process());
        home.write("Sandboxfile", PAIR);
        let watch = Watch::begin(&home);
        let delay = delays.next(2000);
        let killed = home.start(["up"]).kill_after(delay);
        println!("round {round}: {delay:?}, exit {}", killed.code);
        converged(&home);
        reversed(&home);
        watch.end();
    }
}

#[test]
fn down_killed_at_any_moment_is_finished_by_the_next() {
    let mut delays = Delays::new();
    let home = Arc::new(Home::process());
    home.write("Sandboxfile", PAIR);
    for round in 0..ROUNDS / 2 {
        home.msb(["up"]).exits(0);
        let delay = delays.next(600);
        let killed = home.start(["down"]).kill_after(delay);
        println!("round {round}: {delay:?}, exit {}", killed.code);
        single(&home);
        reversed(&home);
    }
}

#[test]
fn a_runtime_that_is_killed_takes_its_machine_along_and_ps_says_so() {
    let home = Home::process();
    home.write("Sandboxfile", PAIR);
    home.msb(["up"]).exits(0);
    let web = home.sandbox("web");
    let pid = u32::try_from(web["pid"].as_u64().unwrap()).unwrap();
    let runtime = Alive::find(pid).unwrap();
    let before = home.alive().len();
    assert!(runtime.command.contains("msb-runtime"), "{runtime:?}");
    runtime.kill();
    eventually("its machine dies with it", Duration::from_secs(10), || {
        (home.alive().len() * 2 <= before).then_some(())
    });
    let web = home.sandbox("web");
    assert_eq!(web["phase"], "failed", "{web}");
    assert!(
        web["reason"].as_str().is_some_and(|reason| reason.starts_with("machine-died")),
        "{web}"
    );
    home.msb(["ps"]).exits(0).says(&["Failed(machine-died"]);
    assert_eq!(home.sandbox("db")["phase"], "ready");
    home.msb(["diff"]).exits(2).says(&["sandbox.web", "start"]);
    converged(&home);
    reversed(&home);
}

#[test]
fn two_ups_at_once_agree() {
    let home = Home::process();
    home.write("Sandboxfile", PAIR);
    let one = home.start(["--lock-timeout", "0s", "up"]);
    let other = home.start(["--lock-timeout", "0s", "up"]);
    for run in [one.wait(Duration::from_secs(60)), other.wait(Duration::from_secs(60))] {
        assert!(matches!(run.code, 0 | 75), "{run}");
        if run.code == 75 {
            assert!(run.stderr.contains("msb::lock::busy"), "{run}");
        }
    }
    converged(&home);
    reversed(&home);
}

#[test]
fn an_interrupted_up_says_so_and_the_next_goes_on() {
    let home = Home::process();
    home.write("Sandboxfile", &PAIR.replace("command \"sleep\" \"1000\"\n    mount", "command \"sleep\" \"1000\"\n    ready { exec \"test\" \"-e\" \"/never\"; timeout \"3s\" }\n    mount"));
    let up = home.start(["up"]);
    eventually("db is booting", Duration::from_secs(20), || {
        (!home.alive().is_empty()).then_some(())
    });
    up.signal(rustix::process::Signal::INT);
    let run = up.wait(Duration::from_secs(60));
    assert_eq!(run.code, 130, "{run}");
    home.write("Sandboxfile", PAIR);
    converged(&home);
    reversed(&home);
}

#[test]
fn a_restart_starts_what_is_missing_first_and_leaves_alone_what_runs() {
    let home = Home::process();
    home.write("Sandboxfile", PAIR);
    home.msb(["up"]).exits(0);
    home.msb(["kill", "db"]).exits(0);
    home.msb(["restart", "web"]).exits(0).says(&["db", "started", "web", "restarted"]);
    assert_eq!(home.sandbox("db")["phase"], "ready");
    let pid = home.sandbox("db")["pid"].clone();
    let again = home.msb(["restart", "web"]).exits(0);
    assert!(!again.stdout.contains("db"), "{again}");
    assert_eq!(home.sandbox("db")["pid"], pid, "it ran, so it was not disturbed");
    reversed(&home);
}
