//! Commands in a sandbox: streams byte for byte, codes, time limits, signals, and who may leave.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::home::Home;

/// A home with one sandbox `box` that waits.
fn with_a_box() -> Home {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"shop\"\nsandbox \"box\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n",
    );
    home.msb(["up"]).exits(0);
    home
}

#[test]
fn streams_stay_apart_and_pass_byte_for_byte() {
    let home = with_a_box();
    let run = home.msb(["exec", "box", "sh", "-c", "printf 'a\\000\\n'; printf err >&2; exit 7"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (7, "a\0\n", "err"));
}

#[test]
fn more_than_every_window_passes_through_without_a_byte_lost() {
    let home = with_a_box();
    let bytes: Vec<u8> = (0..6_000_000_u32).map(|n| (n % 251) as u8).collect();
    let input = home.scratch("input");
    std::io::Write::write_all(&mut fs::File::create(&input).unwrap(), &bytes).unwrap();
    let run = home.msb_reading(["exec", "box", "md5sum"], &input).exits(0);
    let sum = home.msb_reading(["exec", "box", "sh", "-c", "cat | md5sum"], &input).exits(0);
    assert_eq!(run.stdout, sum.stdout);
    let there_and_back = home.msb_reading(["exec", "box", "cat"], &input).exits(0);
    let lossy = String::from_utf8_lossy(&bytes).into_owned();
    assert_eq!(there_and_back.stdout.len(), lossy.len());
    assert!(there_and_back.stdout == lossy, "bytes differ");
}

#[test]
fn a_missing_command_is_127_and_one_that_cannot_be_run_is_126() {
    let home = with_a_box();
    home.msb(["exec", "box", "no-such"]).exits(127).complains(&["msb::exec::not-found"]);
    home.msb(["exec", "box", "/etc/passwd"]).exits(126).complains(&["msb::exec::not-executable"]);
    home.msb(["exec", "box", "sh", "-c", "kill -9 $$"]).exits(137);
}

#[test]
fn a_time_limit_ends_a_command_with_124() {
    let home = with_a_box();
    home.msb(["exec", "--timeout", "1", "box", "sleep", "1000"])
        .exits(124)
        .complains(&["msb::exec::timeout", "stage: exec"]);
}

#[test]
fn a_signal_to_msb_is_the_commands() {
    let home = with_a_box();
    let script = "trap 'echo told; exit 5' TERM; echo up; while :; do sleep 0.1; done";
    let started = home.start(["exec", "box", "sh", "-c", script]);
    // The command says that it listens; a signal before that would end msb itself.
    assert!(!tests::run::gone_within(started.pid(), Duration::from_millis(700)));
    started.signal(Signal::TERM);
    let run = started.wait(home.rung().patience()).exits(5);
    assert_eq!(run.stdout, "up\ntold\n");
}

#[test]
fn a_session_that_is_left_goes_on_and_is_in_the_log() {
    let home = with_a_box();
    let id = home.msb(["exec", "-d", "box", "sh", "-c", "echo early; sleep 1; echo late"]).exits(0);
    let id = id.stdout.trim().to_owned();
    assert!(id.parse::<u32>().is_ok(), "{id}");
    home.msb(["exec", "box", "sleep", "2"]).exits(0);
    let log = home.msb(["logs", "box", "--session", id.as_str(), "--no-prefix"]).exits(0);
    assert_eq!(log.stdout, "early\nlate\n");
}

#[test]
fn json_is_one_document_that_tells_whose_code_it_is() {
    let home = with_a_box();
    let run = home.msb(["exec", "--output", "json", "box", "sh", "-c", "echo hi; exit 3"]).exits(3);
    let told: Value = run.json();
    assert_eq!((&told["origin"], &told["exit_code"]), (&"guest".into(), &3.into()));
    assert_eq!((&told["stdout"], &told["encoding"]), (&"hi\n".into(), &"utf-8".into()));
    for key in [
        "format_version",
        "project",
        "address",
        "session",
        "signal",
        "timed_out",
        "stderr",
        "truncated",
        "duration_ms",
    ] {
        assert!(told.get(key).is_some(), "{key}");
    }
    let binary = home.msb(["exec", "--output", "json", "box", "printf", "\\377"]).exits(0).json();
    assert_eq!((&binary["stdout"], &binary["encoding"]), (&"/w==".into(), &"base64".into()));
}

#[test]
fn a_sandbox_at_rest_is_started_only_when_asked() {
    let home = with_a_box();
    home.msb(["stop", "box"]).exits(0);
    home.msb(["exec", "box", "true"]).exits(1).complains(&["not running", "--start"]);
    let run = home.msb(["exec", "--start", "box", "echo", "hi"]).exits(0);
    assert_eq!(run.stdout, "hi\n");
}

#[test]
fn a_run_leaves_stderr_to_its_command() {
    let home = Home::process();
    home.msb(["setup"]);
    let run = home.msb(["run", "builtin:base", "sh", "-c", "echo out; echo err >&2; exit 9"]);
    assert_eq!((run.code, run.stdout.as_str()), (9, "out\n"));
    let rest: Vec<&str> =
        run.stderr.lines().filter(|line| !line.starts_with("warning: ")).collect();
    assert_eq!(rest, ["err"]);
    assert_eq!(home.msb(["list", "-q"]).exits(0).stdout, "", "nothing is left");
}

#[test]
fn what_a_machine_was_launched_with_is_told() {
    let home = Home::process();
    let brief = home.start(["run", "builtin:base", "sleep", "1000"]);
    let held = home.start(["run", "-n", "held", "builtin:base", "sleep", "1000"]);
    let mut told = Vec::new();
    tests::run::eventually("two that live", Duration::from_secs(10), || {
        let rows = home.ps().into_iter().filter(|row| row["phase"] == "ready");
        told = rows.map(|row| (row["attached"].clone(), row["ephemeral"].clone())).collect();
        (told.len() == 2).then_some(())
    });
    told.sort_by_key(|(_, ephemeral)| ephemeral.as_bool());
    assert_eq!(told, [(json!(true), json!(false)), (json!(true), json!(true))]);
    drop((brief.kill_after(Duration::ZERO), held.kill_after(Duration::ZERO)));
    home.write(
        "Sandboxfile",
        "sandbox \"web\" { image \"builtin:base\"; command \"sleep\" \"9\" }",
    );
    home.msb(["up"]).exits(0);
    let web = home.sandbox("web");
    assert_eq!((&web["attached"], &web["ephemeral"]), (&json!(false), &json!(false)), "{web}");
    assert_eq!(web["command"], json!(["sleep", "9"]));
}

#[test]
fn an_attached_run_ends_with_its_creator() {
    let home = Home::process();
    let started = home.start(["run", "-n", "held", "builtin:base", "sleep", "1000"]);
    assert!(!tests::run::gone_within(started.pid(), Duration::from_secs(2)));
    assert_eq!(home.msb(["list", "--running", "-q"]).exits(0).stdout, "adhoc/held\n");
    drop(started.kill_after(Duration::ZERO));
    home.msb(["wait", "adhoc/held", "--timeout", "10s"]).exits(0);
    assert_eq!(home.msb(["list", "--running", "-q"]).exits(0).stdout, "");
}
