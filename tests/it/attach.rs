//! `up --attach`: logs until Ctrl-C, and what the run started ends with it.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tests::home::Home;
use tests::run::{Started, bare, eventually};

const OLD: &str = r#"
project "shop"
sandbox "old" { image "builtin:base"; command "sh" "-c" "echo old is up; exec sleep 1000" }
"#;

const MORE: &str = r#"
sandbox "db" { image "builtin:base"; command "sh" "-c" "echo db is up; exec sleep 1000" }
sandbox "web" {
    image "builtin:base"
    command "sh" "-c" "echo web is up; exec sleep 1000"
    depends-on "db"
}
"#;

const DEAF: &str = r#"
project "shop"
sandbox "db" {
    image "builtin:base"
    stop-grace "60s"
    command "sh" "-c" "trap '' TERM; echo db is up; while true; do sleep 1; done"
}
"#;

/// Starts `up --attach` and waits until the line of a sandbox was shown.
fn attached(home: &Home, line: &str) -> (Started, PathBuf) {
    let out = home.scratch("attached");
    // What a run prints is known when it has ended; this must be known before.
    let words = format!("exec \"$0\" up --attach > {}", out.display());
    let msb = home.command();
    let mut shell = bare("/bin/sh");
    shell.args(["-c", &words]).arg(msb.get_program()).current_dir(home.project());
    shell.envs(msb.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let started = home.spawn(shell);
    eventually(line, Duration::from_secs(30), || {
        std::fs::read_to_string(&out).ok().filter(|text| text.contains(line)).map(drop)
    });
    (started, out)
}

#[test]
fn ctrl_c_stops_what_the_run_started_and_nothing_else() {
    let home = Home::process();
    home.write("Sandboxfile", OLD);
    home.msb(["up"]).exits(0);
    home.write("Sandboxfile", &format!("{OLD}{MORE}"));
    let (up, out) = attached(&home, "web | web is up");
    up.signal(Signal::INT);
    let up = up.wait(home.rung().patience()).exits(130);
    let told = std::fs::read_to_string(out).unwrap();
    assert!(told.contains("db  | db is up") && !told.contains("old is up"), "{told}");
    up.complains(&["Ctrl-C stops what this run started", "db: stopped", "web: stopped"]);
    let ended = |name: &str| home.sandbox(name)["ended_at"].as_str().map(str::to_owned).unwrap();
    assert!(ended("web") <= ended("db"), "dependents first");
    for (name, phase) in [("old", "ready"), ("db", "stopped"), ("web", "stopped")] {
        assert_eq!(home.sandbox(name)["phase"], phase, "{name}");
    }
    home.msb(["down"]).exits(0);
}

#[test]
fn a_second_ctrl_c_kills() {
    let home = Home::process();
    home.write("Sandboxfile", DEAF);
    let (up, _) = attached(&home, "db is up");
    up.signal(Signal::INT);
    eventually("it is being stopped", Duration::from_secs(10), || {
        home.sandbox("db")["stopping"].as_bool().filter(|stopping| *stopping).map(drop)
    });
    up.signal(Signal::INT);
    let up = up.wait(Duration::from_secs(20)).exits(130);
    up.complains(&["interrupted again: killing them"]);
    assert_eq!(home.sandbox("db")["phase"], "stopped");
    home.msb(["down"]).exits(0);
}

#[test]
fn it_ends_by_itself_when_all_rest() {
    let home = Home::process();
    let file = "project \"shop\"\njob \"test\" { image \"builtin:base\"; command \"sh\" \"-c\" \
                \"echo tested\" }\n";
    home.write("Sandboxfile", file);
    let up = home.msb(["up", "-a", "--exit-code-from", "test"]).exits(0);
    up.says(&["Up: 1 done", "tested"]);
    // Nothing was started and nothing is new.
    assert!(!home.msb(["up", "-a"]).exits(0).stdout.contains("tested"));
    home.write("Sandboxfile", &file.replace("echo tested", "echo wrong; exit 4"));
    let failed = home.msb(["up", "-a", "-y"]).exits(1);
    failed.complains(&["next: mend test", "    | wrong"]);
}

#[test]
fn logs_for_people_do_not_follow_a_result_for_programs() {
    let home = Home::process();
    home.write("Sandboxfile", OLD);
    home.msb(["up", "-a", "--json"]).exits(64).complains(&["msb logs -f --json"]);
    home.msb(["up", "-a", "-d"]).exits(64);
    home.msb(["up", "-a", "--watch"]).exits(64);
    assert!(home.ps().is_empty(), "nothing was begun");
}
