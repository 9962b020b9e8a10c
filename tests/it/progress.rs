//! What a changing command says while it works: plain lines for people, events for programs,
//! folded parts and annotations for the pages of a continuous integration; one line on a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use schema::archive::craft::Archive;
use serde_json::Value;
use tests::golden;
use tests::home::Home;
use tests::run::Run;

const CHAIN: &str = r#"
project "shop"
sandbox "db" { image "builtin:base"; command "sleep" "1000"; ready { exec "true" } }
job "seed" { image "builtin:base"; command "true"; depends-on "db" until="ready" }
"#;

const BROKEN: &str = r#"
project "shop"
sandbox "db" {
    image "builtin:base"
    command "sh" "-c" "echo '::error::mine'; echo '##[group]mine'; exit 3"
    ready { exec "test" "-e" "/never" }
    restart "no"
}
sandbox "web" { image "builtin:base"; command "sleep" "1000"; depends-on "db" }
"#;

fn shop(text: &str) -> Home {
    let home = Home::process();
    home.write("Sandboxfile", text);
    home
}

/// Returns events that are numbered from 1, begin with `hello` and end with `result`.
fn events(text: &str) -> Vec<Value> {
    let events: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], at + 1, "{event}");
        assert!(event["ts"].is_string() && !event["message"].as_str().unwrap().is_empty());
    }
    let of_type = |kind: &str| events.iter().position(|event| event["type"] == kind);
    assert_eq!((of_type("hello"), of_type("result")), (Some(0), Some(events.len() - 1)), "{text}");
    events
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

fn in_ci(home: &Home, args: &[&str]) -> Run {
    let mut command = home.command();
    command.args(args).env("CI", "true").env("GITHUB_ACTIONS", "true");
    home.spawn(command).wait(home.rung().patience())
}

#[test]
fn a_run_is_told_in_plain_lines() {
    // One alone: several go on beside each other, in no certain order.
    let home = shop(CHAIN.split("job").next().unwrap());
    let up = home.msb(["up"]).exits(0);
    assert!(!up.stderr.contains(['\u{1b}', '\r']), "{up}");
    golden::check("progress_plain", &golden::steady(&home, &up.stderr));
    home.msb(["down"]).exits(0);
}

#[test]
fn programs_hear_every_step_and_the_result_last() {
    let home = shop(CHAIN);
    let up = events(&home.msb(["up", "--output", "ndjson"]).exits(0).stdout);
    assert_eq!((&up[0]["command"], &up[0]["project"]), (&"up".into(), &"shop".into()));
    assert_eq!(of(&up, "plan")[0]["summary"]["create"], 2);
    let keys = ["id", "do", "address", "duration_ms", "error", "blocked_by"];
    let steps = up.iter().filter(|event| event["type"].as_str().unwrap().starts_with("step-"));
    for step in steps {
        assert!(keys.iter().all(|key| step.get(key).is_some()), "{step}");
    }
    assert_eq!(of(&up, "step-start").len(), of(&up, "step-done").len());
    let ends: Vec<_> = of(&up, "phase").iter().map(|event| event["to"].clone()).collect();
    assert!(ends.contains(&"ready".into()) && ends.contains(&"completed".into()), "{ends:?}");
    let result = &up.last().unwrap()["result"];
    assert_eq!((&result["ok"], result["results"].as_array().unwrap().len()), (&true.into(), 2));

    let again = events(&home.msb(["up", "--output", "ndjson"]).exits(0).stdout);
    assert!(of(&again, "step-start").is_empty(), "{again:?}");
    let down = home.msb(["down", "--progress", "json"]).exits(0).says(&["Down: 2 destroyed"]);
    events(&down.stderr);
    let nothing = events(&home.msb(["down", "--output", "ndjson"]).exits(0).stdout);
    assert_eq!(nothing.last().unwrap()["result"]["ok"], true);
}

#[test]
fn programs_hear_what_failed_and_what_was_left_out() {
    let home = shop(BROKEN);
    let up = home.msb(["up", "--output", "ndjson"]).exits(1);
    let told = events(&up.stdout);
    let failed = of(&told, "step-failed");
    assert_eq!((failed.len(), &failed[0]["address"]), (1, &"sandbox.db".into()));
    assert!(failed[0]["error"]["code"].is_string(), "{failed:?}");
    let skipped = of(&told, "step-skipped");
    assert_eq!(skipped[0]["blocked_by"], serde_json::json!(["sandbox.db"]));
    assert_eq!(told.last().unwrap()["exit_code"], 1);
    let up = home.msb(["up", "--progress", "json"]).exits(1);
    let lines = up.stderr.lines().filter(|line| !line.starts_with("{\"error\""));
    events(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn a_file_with_mistakes_is_told_as_problems() {
    let home = shop("project \"shop\"\nsandbox \"db\" { memmory \"1GiB\" }\n");
    let told = events(&home.msb(["up", "--output", "ndjson"]).exits(65).stdout);
    let problems = of(&told, "problem");
    let unknown = problems.iter().find(|row| row["code"] == "msb::schema::unknown-key");
    assert_eq!(unknown.map(|row| row["line"].clone()), Some(2.into()), "{problems:?}");
    let last = told.last().unwrap();
    assert_eq!((&last["exit_code"], &last["result"]["ok"]), (&65.into(), &false.into()));
}

#[test]
fn commands_on_sandboxes_are_told_the_same_way() {
    let home = shop(CHAIN);
    home.msb(["up"]).exits(0);
    for command in ["stop", "start", "restart"] {
        let told = events(&home.msb([command, "db", "--output", "ndjson"]).exits(0).stdout);
        assert_eq!(told[0]["command"], command);
        let result = &told.last().unwrap()["result"];
        assert!(result.as_array().is_some_and(|rows| !rows.is_empty()), "{result}");
    }
    home.msb(["down"]).exits(0);
}

#[test]
fn a_runner_folds_the_run_and_no_guest_steers_it() {
    let home = shop(BROKEN);
    let up = in_ci(&home, &["up"]).exits(1);
    let at = |text: &str| {
        let found = up.stderr.lines().position(|line| line.starts_with(text));
        found.unwrap_or_else(|| panic!("{text}: {up}"))
    };
    assert!(at("::group::up shop") < at("::endgroup::"), "{up}");
    assert!(at("::endgroup::") < at("::error title="), "what failed is not folded: {up}");
    assert_eq!(up.stderr.matches("::endgroup::").count(), 1, "{up}");
    assert!(up.stderr.contains("mine") && !up.stderr.contains("##["), "{up}");
    let logs = in_ci(&home, &["logs", "db"]).exits(0);
    assert!(!logs.stdout.lines().any(|line| line.starts_with("::")), "{logs}");
    let warned = in_ci(&home, &["logs", "--label", "nobody"]).exits(0);
    assert!(warned.stderr.contains("::warning title=msb::no sandbox"), "{warned}");
    home.msb(["down"]).exits(0);
}

/// Runs `msb cp - …` on a terminal of its own with an archive that comes slowly; returns what it
/// showed until its first line stood there, and all it showed.
fn copied_on_a_terminal(home: &Home, archive: &[u8]) -> (String, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
    let mut command = home.command();
    command.args(["cp", "-", "box:/"]).env("TERM", "xterm-256color");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(slave);
    let mut child = command.spawn().unwrap();
    // Our own copy of the terminal's other end: reading ends only when nobody has it.
    drop(command);
    let (mut input, mut screen) = (child.stdin.take().unwrap(), File::from(master));
    let (begin, rest) = archive.split_at(archive.len() / 2);
    input.write_all(begin).unwrap();
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while !shown.windows(7).any(|seen| seen == b"copying") {
        let count = screen.read(&mut buffer).unwrap();
        shown.extend_from_slice(&buffer[..count]);
    }
    let first = String::from_utf8(shown.clone()).unwrap();
    input.write_all(rest).unwrap();
    drop(input);
    // The kernel says with an error that the last one has closed it.
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..count]);
    }
    assert!(child.wait().unwrap().success());
    (first, String::from_utf8(shown).unwrap())
}

#[test]
fn a_copy_paints_one_line_that_is_gone_at_the_end() {
    let home = shop(
        "project \"shop\"\n\
         sandbox \"box\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n",
    );
    home.msb(["up"]).exits(0);
    let archive = Archive::default().file("large", &[7; 3 << 20]).end();
    let (first, all) = copied_on_a_terminal(&home, &archive);
    assert!(first.contains(" MiB  ") && first.contains("/s  "), "{first:?}");
    let painted = all.rfind("copying").unwrap();
    // The line is erased before the result takes its place.
    let erased = painted + all[painted..].find("\u{1b}[2K").unwrap();
    let result = erased + all[erased..].find("copied 1 file, 3 MiB in ").unwrap();
    assert_eq!(all[painted..result].matches("copied").count(), 0, "{all:?}");
    // Where nobody looks, only the result is said.
    home.write("small", "x");
    let run = home.msb(["cp", "small", "box:/"]).exits(0);
    assert!(run.stderr.starts_with("copied 1 file, 1 B in "), "{run}");
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
}
