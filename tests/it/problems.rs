//! Each failure is one clear message with its stage, its cause and its remedy, the exit code of
//! the table, and nothing left behind.

use tests::golden;
use tests::home::Home;
use tests::oracle::nothing_lives;

const FIVE_MISTAKES: &str = r#"project "shop"
sandbox "db" {
    image "builtin:base"
    memmory "512MiB"
    cpus 0
}
sandbox "web" {
    image "builtin:base"
    memory "512MB"
    depends-on "bd"
}
sandbox "web" {
    image "builtin:base"
}
"#;

#[test]
fn five_mistakes_are_told_in_one_run() {
    let home = Home::process();
    home.write("Sandboxfile", FIVE_MISTAKES);
    for command in ["validate", "up", "diff"] {
        home.msb([command]).exits(65).complains(&[
            "msb::schema::unknown-key",
            "write memory \"512MiB\"",
            "msb::sandbox::zero-cpus",
            "msb::value::size",
            "msb::ref::unknown",
            "msb::schema::duplicate-definition",
            "5 problems",
        ]);
    }
    let told = home.msb(["validate"]).stderr;
    golden::check("five_mistakes", &golden::steady(&home, &told));
    nothing_lives(&home);
}

#[test]
fn a_file_that_is_not_there_says_where_it_was_looked_for() {
    let home = Home::process();
    home.msb(["up"]).exits(65).complains(&["msb::file::not-found", "hint"]);
    home.msb(["-f", "elsewhere.kdl", "up"]).exits(65).complains(&["elsewhere.kdl"]);
}

#[test]
fn a_wrong_word_is_usage_and_names_the_near_one() {
    let home = Home::process();
    home.msb(["pss"]).exits(64).complains(&["ps"]);
    home.msb(["up", "--yess"]).exits(64).complains(&["--yes"]);
    home.msb(["apply"]).exits(64).complains(&["up"]);
}

#[test]
fn an_image_that_is_missing_is_told_before_anything_starts() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"shop\"\nsandbox \"db\" { image \"nowhere:1\" pull=\"never\" }\n",
    );
    home.msb(["up"]).exits(1).complains(&[
        "nowhere:1",
        "stage: ",
        "hint: ",
        "msb::image::not-found",
    ]);
    nothing_lives(&home);
    home.msb(["down"]).exits(0);
}

#[test]
fn a_damaged_archive_loads_nothing() {
    let home = Home::process();
    home.write("broken.tar", &"no archive at all ".repeat(100));
    home.msb(["load", "-i", "broken.tar"]).exits(1).complains(&[
        "stage: image",
        "cause: ",
        "hint: ",
    ]);
    assert_eq!(home.msb(["image", "ls"]).exits(0).stdout, "");
    let tmp = home.path().join("images/tmp");
    let left = std::fs::read_dir(tmp).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "store.lock").collect();
    assert!(left.is_empty(), "half of an image is left: {left:?}");
}

#[test]
fn a_workload_that_ends_too_early_fails_its_sandbox_and_skips_what_needs_it() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        r#"
project "shop"
sandbox "db" { image "builtin:base"; command "sh" "-c" "echo giving up >&2; exit 3"; ready { exec "test" "-e" "/never" }; restart "no" }
sandbox "web" { image "builtin:base"; command "sleep" "1000"; depends-on "db" }
"#,
    );
    home.msb(["up"])
        .exits(1)
        .says(&["db", "failed", "exit code 3", "web", "skipped"])
        .complains(&["msb logs db"]);
    home.msb(["ps"]).exits(0).says(&["Failed(exit 3)"]);
    home.msb(["down"]).exits(0);
    nothing_lives(&home);
}

#[test]
fn a_command_that_does_not_exist_is_told_as_such() {
    let home = Home::process();
    home.write("Sandboxfile", "project \"shop\"\nsandbox \"db\" { image \"builtin:base\"; command \"no-such-command\" }\n");
    home.msb(["up"]).exits(1).complains(&["no-such-command", "hint: "]);
    home.msb(["down"]).exits(0);
    nothing_lives(&home);
}

#[test]
fn json_failures_are_one_line() {
    let home = Home::process();
    let run = home.msb(["--output", "json", "exec", "nobody", "--", "true"]).exits(1);
    let line = run
        .stderr
        .lines()
        .find(|line| line.starts_with("{\"error\""))
        .unwrap_or_else(|| panic!("{run}"));
    let error: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(error["error"]["code"], "msb::sandbox::not-found");
    assert_eq!(error["error"]["origin"], "msb");
    assert_eq!(error["error"]["exit_code"], 1);
}

#[test]
fn somebody_else_s_home_is_refused() {
    let home = Home::process();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    home.write("Sandboxfile", "project \"shop\"\nsandbox \"db\" { image \"builtin:base\" }\n");
    home.msb(["up"]).exits(77).complains(&["msb::home::foreign"]);
}
