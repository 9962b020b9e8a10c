//! The command line itself: help, hints, usage before anything else, output that a pipe can read.

use serde_json::Value;
use tests::home::Home;

#[test]
fn the_page_of_all_commands_lists_them_in_their_groups() {
    let home = Home::process();
    let page = home.msb(["--help"]).exits(0).stdout;
    assert_eq!(home.msb([]).exits(0).stdout, page);
    assert_eq!(home.msb(["help"]).exits(0).stdout, page);
    let groups = ["Project:", "Sandboxes:", "Images:", "Storage:", "Installation:", "Other:"];
    let places: Vec<usize> = groups.iter().map(|group| page.find(group).unwrap()).collect();
    assert!(places.is_sorted(), "{page}");
}

#[test]
fn wrong_usage_is_found_before_anything_is_read() {
    let home = Home::process();
    home.write("Sandboxfile", "this is { no file");
    for line in [
        &["up", "--fail-fats"][..],
        &["ps", "--output", "xml"],
        &["stop"],
        &["--project", "Shop", "ps"],
        &["--info", "--debug", "ps"],
        &["wait", "--for", "never", "web"],
        &["run", "--cpus", "0", "builtin:base", "true"],
        &["run", "-v", "a/b:/x", "builtin:base", "true"],
        &["run", "--rm", "--keep", "builtin:base", "true"],
    ] {
        let mut command = home.command();
        command.args(line);
        let run = home.spawn(command).wait(home.rung().patience());
        assert_eq!(run.code, 64, "{run}");
        assert!(run.stderr.contains("stage: usage"), "{run}");
    }
    assert!(!home.path().join("db").exists(), "nothing was made");
}

#[test]
fn a_malformed_variable_is_named() {
    let home = Home::process();
    for (name, value) in [
        ("MSB_OUTPUT", "xml"),
        ("MSB_LOG", "loud"),
        ("MSB_LOCK_TIMEOUT", "soon"),
        ("MSB_PROJECT", "A"),
    ] {
        let mut command = home.command();
        command.arg("ps").env(name, value);
        let run = home.spawn(command).wait(home.rung().patience());
        assert!(run.code == 64 && run.stderr.contains(name), "{run}");
    }
    let mut command = home.command();
    command.arg("ps").env("MSB_HOEM", "/x");
    let run = home.spawn(command).wait(home.rung().patience());
    assert!(run.code == 0 && run.stderr.contains("MSB_HOME was probably meant"), "{run}");
}

#[test]
fn reading_commands_print_empty_lists_and_make_nothing() {
    let home = Home::process();
    std::fs::remove_dir(home.path()).unwrap();
    for command in ["ps", "list", "images"] {
        let run = home.msb([command]).exits(0);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("no "), "{run}");
        assert_eq!(home.msb([command, "--output", "json"]).exits(0).stdout, "[]\n");
    }
    home.msb(["volume", "ls"]).exits(0);
    home.msb(["logs"]).exits(0);
    home.msb(["explain", "schema::unknown-key"]).exits(0);
    home.msb(["doctor"]);
    assert!(!home.path().exists(), "a home was made");
}

#[test]
fn every_code_that_is_printed_can_be_explained() {
    let home = Home::process();
    for line in [&["exec", "nobody", "true"][..], &["up"], &["ps", "--nothing"], &["snapshot"]] {
        let mut command = home.command();
        command.args(line);
        let run = home.spawn(command).wait(home.rung().patience());
        let hint = run.stderr.lines().find_map(|line| line.trim().strip_prefix("code: "));
        let code = hint.and_then(|hint| hint.split(' ').next()).unwrap_or_default().to_owned();
        home.msb(["explain", code.as_str()]).exits(0).says(&[code.as_str()]);
    }
    home.msb(["explain", "77"]).exits(0).says(&["home::foreign"]);
    home.msb(["explain", "no::such"]).exits(1);
    let all = home.msb(["explain", "--list", "--output", "json"]).exits(0).json();
    assert!(all.as_array().unwrap().len() > 100);
}

#[test]
fn validate_tells_programs_all_it_found() {
    let home = Home::process();
    home.write("good.kdl", "project \"shop\"\nsandbox \"db\" { image \"builtin:base\" }\n");
    home.write("bad.kdl", "project \"shop\"\nsandbox \"db\" { memmory \"1GiB\" }\n");
    home.msb(["validate", "good.kdl"]).exits(0).says(&["good.kdl: valid, 1 sandbox, 0 jobs"]);
    let both = home.msb(["validate", "good.kdl", "bad.kdl", "--output", "json"]).exits(65);
    let told: Value = both.json();
    assert_eq!(told["ok"], false);
    let codes: Vec<&str> =
        told["problems"].as_array().unwrap().iter().filter_map(|p| p["code"].as_str()).collect();
    assert!(codes.contains(&"msb::schema::unknown-key"), "{codes:?}");
}

#[test]
fn logs_are_shown_by_sandbox_and_never_steer_a_terminal() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        r#"
project "shop"
job "one" { image "builtin:base"; command "printf" "first\\nsecond \\033[2J\\007end\\n" }
job "two" { image "builtin:base"; command "sh" "-c" "echo other >&2" }
"#,
    );
    home.msb(["up"]).exits(0);
    let all = home.msb(["logs"]).exits(0).stdout;
    for line in ["one | first", "one | second \\x07end", "two ! other"] {
        assert!(all.lines().any(|shown| shown == line), "{line}: {all}");
    }
    assert!(!all.contains('\u{1b}'));
    let last = home.msb(["logs", "one", "-n", "1"]).exits(0).stdout;
    assert_eq!(last, "second \\x07end\n");
    let raw = home.msb(["logs", "one", "-n", "1", "--raw"]).exits(0).stdout;
    assert_eq!(raw, "second \u{1b}[2J\u{7}end\n");
    let json = home.msb(["logs", "two", "--output", "ndjson"]).exits(0).stdout;
    let line: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&line["source"], &line["line"]), (&"stderr".into(), &"other".into()));
    assert_eq!(home.msb(["logs", "-f", "two"]).exits(0).stdout, "other\n", "what rests ends it");
}
