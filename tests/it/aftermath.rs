//! A run that does not come to its end says what failed, who waited for it, what it wrote last and
//! how to go on.

use std::time::Duration;

use rustix::process::Signal;
use tests::golden;
use tests::home::Home;
use tests::run::{eventually, pause};

const CHAIN: &str = r#"
project "shop"
sandbox "cache" { image "builtin:base"; command "sleep" "1000" }
sandbox "db" {
    image "builtin:base"
    command "sh" "-c" "echo opening; echo no such folder >&2; COMMAND"
    ready { timeout "60s"; exec "sh" "-c" "echo no response; exit 2" }
    restart "no"
}
sandbox "api" { image "builtin:base"; command "sleep" "1000"; depends-on "db" }
sandbox "web" { image "builtin:base"; command "sleep" "1000"; depends-on "api" }
job "seed" { image "builtin:base"; command "true"; depends-on "db" until="ready" }
"#;

fn shop(command: &str) -> Home {
    let home = Home::process();
    home.write("Sandboxfile", &CHAIN.replace("COMMAND", command));
    home
}

/// Returns what follows the plan, without the lines of progress.
fn end(stderr: &str) -> String {
    let end = stderr.split_once("Plan: ").map_or(stderr, |(_, end)| end);
    let is_progress = |line: &&str| line.get(2..3) == Some(":") && line.get(5..6) == Some(":");
    let lines = end.lines().filter(|line| !is_progress(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn sf_a5_a_failure_ends_in_one_table_with_what_it_kept_back() {
    let home = shop("exit 3");
    let up = home.msb(["up"]).exits(1);
    let text = golden::steady(&home, &format!("{}---\n{}", up.stdout, end(&up.stderr)));
    golden::check("aftermath_failed", &text);
    assert_eq!(home.sandbox("cache")["phase"], "ready", "everything else goes on");
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_w5_a_wait_that_runs_out_names_the_deepest_cause() {
    let home = shop("exec sleep 1000");
    let up = home.msb(["up", "--wait-timeout", "3s"]).exits(124);
    let text = golden::steady(&home, &format!("{}---\n{}", up.stdout, end(&up.stderr)));
    golden::check("aftermath_late", &text);
    let up = home.msb(["up", "--wait-timeout", "1s", "--output", "json"]).exits(124).json();
    let blocker = &up["blockers"][0];
    assert_eq!(up["blockers"].as_array().unwrap().len(), 1, "{up}");
    assert_eq!(blocker["address"], "sandbox.db");
    assert!(blocker["since"].is_string() && blocker["probe"].is_string(), "{blocker}");
    let waiting = ["sandbox.api", "sandbox.seed", "sandbox.web"];
    assert_eq!(blocker["waiting"], serde_json::json!(waiting));
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_a8_ctrl_c_once_starts_nothing_new_and_leaves_what_runs() {
    let home = shop("exec sleep 1000");
    let up = home.start(["up"]);
    eventually("db has started", Duration::from_secs(20), || {
        let rows = home.ps();
        rows.iter().find(|row| row["name"] == "db" && row["phase"] == "starting").map(drop)
    });
    up.signal(Signal::INT);
    let up = up.wait(home.rung().patience()).exits(130);
    let up = up.complains(&["interrupted: nothing new starts"]);
    assert!(up.stderr.ends_with("interrupted: run msb up again to go on\n"), "{up}");
    assert_eq!(home.sandbox("db")["phase"], "starting", "what runs goes on");
    home.write(
        "Sandboxfile",
        &CHAIN.replace("COMMAND", "exec sleep 1000").replace("exit 2", "exit 0"),
    );
    home.msb(["up"]).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_a8_ctrl_c_twice_leaves_running_steps() {
    let home = Home::process();
    let file = "project \"shop\"\nsandbox \"db\" { image \"builtin:base\"; stop-grace \"60s\"\n\
                command \"sh\" \"-c\" \"trap '' TERM; while true; do sleep 1; done\" }\n";
    home.write("Sandboxfile", file);
    home.msb(["up"]).exits(0);
    let down = home.start(["down"]);
    pause(Duration::from_millis(700));
    down.signal(Signal::INT);
    pause(Duration::from_millis(700));
    down.signal(Signal::INT);
    let down = down.wait(Duration::from_secs(20)).exits(130);
    let down = down.complains(&["interrupted: nothing new starts", "interrupted again"]);
    assert!(down.stderr.ends_with("interrupted: run msb down again to go on\n"), "{down}");
    // The stop that was asked for goes on by itself, with its own grace.
    home.msb(["kill", "db"]).exits(0);
    home.msb(["down"]).exits(0);
    eventually("all is gone", Duration::from_secs(5), || home.alive().is_empty().then_some(()));
}
