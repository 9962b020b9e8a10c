//! The road from a file to what runs and back: up, nothing to do, an edit, down.

use std::sync::Arc;
use std::time::Duration;

use tests::golden;
use tests::home::Home;
use tests::oracle::{self, Watch, converged, pids, reversed};
use tests::run::eventually;

const SHOP: &str = r#"
project "shop"
sandbox "db" {
    image "builtin:base"
    memory "96MiB"
    command "sh" "-c" "echo db is up; exec sleep 1000"
    ready { exec "true" }
}
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    command "sh" "-c" "echo web is up; exec sleep 1000"
    depends-on "db"
}
job "seed" {
    image "builtin:base"
    memory "96MiB"
    command "sh" "-c" "echo seeded"
    depends-on "web" until="ready"
}
"#;

const SHOP_YAML: &str = r#"
project: {name: shop}
sandboxes:
  db:
    image: builtin:base
    memory: 96MiB
    command: [sh, -c, "echo db is up; exec sleep 1000"]
    ready: {exec: ["true"]}
  web:
    image: builtin:base
    memory: 96MiB
    command: [sh, -c, "echo web is up; exec sleep 1000"]
    depends-on: {db: {}}
jobs:
  seed:
    image: builtin:base
    memory: 96MiB
    command: [sh, -c, "echo seeded"]
    depends-on: {web: {until: ready}}
"#;

fn shop() -> Home {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    home
}

#[test]
fn a_file_becomes_what_it_says_and_goes_again() {
    let home = Arc::new(shop());
    let watch = Watch::begin(&home);
    home.msb(["up"]).exits(0).says(&["db", "web", "seed", "created", "Completed(0)", "Up: 3 done"]);
    let phases: Vec<_> =
        home.ps().iter().map(|row| (row["name"].to_string(), row["phase"].to_string())).collect();
    assert_eq!(
        phases,
        [("\"db\"", "\"ready\""), ("\"seed\"", "\"completed\""), ("\"web\"", "\"ready\"")]
            .map(|(name, phase)| (name.to_owned(), phase.to_owned()))
    );
    converged(&home);
    reversed(&home);
    watch.end();
}

#[test]
fn things_start_in_the_order_of_their_dependencies() {
    let home = shop();
    let up = home.msb(["up", "--output", "json"]).exits(0).json();
    assert_eq!(up["ok"], true, "{up}");
    let started =
        |name: &str| home.sandbox(name)["started_at"].as_str().map(str::to_owned).unwrap();
    let (db, web, seed) = (started("db"), started("web"), started("seed"));
    assert!(db < web && web < seed, "db {db}, web {web}, seed {seed}");
}

#[test]
fn a_second_up_and_a_diff_find_nothing_to_do() {
    let home = shop();
    home.msb(["up"]).exits(0);
    let before = pids(&home);
    assert_eq!(before.len(), 2, "two services run: {before:?}");
    home.msb(["up"]).exits(0).says(&["Up: nothing to do, 3 unchanged"]);
    home.msb(["diff"]).exits(0).says(&["no changes"]);
    assert_eq!(pids(&home), before);
}

#[test]
fn an_edit_of_memory_is_named_and_touches_nothing_else() {
    let home = shop();
    home.msb(["up"]).exits(0);
    let before = pids(&home);
    home.write("Sandboxfile", &SHOP.replacen("96MiB", "128MiB", 1));
    let diff = home.msb(["diff"]).exits(2);
    let diff =
        diff.says(&["sandbox.db", "memory.size", "96 MiB", "128 MiB", "restart", "Sandboxfile:5"]);
    golden::check("diff_memory", &golden::steady(&home, &diff.stdout));

    home.msb(["up"]).exits(0).says(&["db", "memory.size"]);
    let after = pids(&home);
    let same: Vec<_> = before.intersection(&after).map(|(whose, ..)| whose.as_str()).collect();
    assert_eq!(same, ["shop/web[]"], "only db was started again: {before:?} → {after:?}");
    home.msb(["diff"]).exits(0);
    reversed(&home);
}

#[test]
fn yaml_says_the_same_as_kdl() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    std::fs::remove_file(home.project().join("Sandboxfile")).unwrap();
    home.write("Sandboxfile.yaml", SHOP_YAML);
    home.msb(["diff"]).exits(0).says(&["no changes"]);
}

#[test]
fn a_sandbox_that_left_the_file_goes_with_consent_alone() {
    let home = shop();
    home.msb(["up"]).exits(0);
    let without_seed = &SHOP[..SHOP.find("job").unwrap()];
    let without_web = &without_seed[..without_seed.find("sandbox \"web\"").unwrap()];
    home.write("Sandboxfile", without_web);
    home.msb(["up"]).exits(77).complains(&["-y"]);
    assert_eq!(pids(&home).len(), 2, "without consent nothing goes");
    home.msb(["up", "-y"]).exits(0);
    assert_eq!(pids(&home).len(), 1);
    reversed(&home);
}

#[test]
fn the_output_of_each_sandbox_is_kept() {
    let home = shop();
    home.msb(["up"]).exits(0);
    // The runtime writes what it gathered every 200 ms.
    eventually("everybody has said something", Duration::from_secs(10), || {
        let said = home.msb(["logs"]).exits(0).stdout;
        ["db is up", "web is up", "seeded"].iter().all(|line| said.contains(line)).then_some(())
    });
    let alone = home.msb(["logs", "db"]).exits(0).says(&["db is up"]);
    assert!(!alone.stdout.contains("web is up"), "{alone}");
    home.msb(["logs", "seed"]).exits(0).says(&["seeded"]);
}

#[test]
fn a_command_in_a_sandbox_brings_its_own_exit_code() {
    let home = shop();
    home.msb(["up", "db"]).exits(0);
    home.msb(["exec", "db", "--", "sh", "-c", "echo out; echo err >&2; exit 7"])
        .exits(7)
        .says(&["out\n"])
        .complains(&["err\n"]);
    home.msb(["exec", "db", "--", "no-such-command"]).exits(127).complains(&["no-such-command"]);
    home.msb(["exec", "nobody", "--", "true"]).exits(1).complains(&["msb::sandbox::not-found"]);
}

#[test]
fn a_command_reads_what_msb_reads() {
    let home = shop();
    home.msb(["up", "db"]).exits(0);
    home.write("input", "a line\nno newline at the end");
    let run = home.msb_reading(["exec", "db", "--", "cat"], &home.project().join("input")).exits(0);
    assert_eq!(run.stdout, "a line\nno newline at the end");
}

#[test]
fn a_run_is_there_for_one_command() {
    let home = Home::process();
    home.msb(["run", "builtin:base", "--", "sh", "-c", "echo once; exit 3"])
        .exits(3)
        .says(&["once"]);
    oracle::nothing_lives(&home);
    assert!(home.msb(["list", "--output", "json"]).exits(0).json().as_array().unwrap().is_empty());
}

#[test]
fn reading_commands_make_nothing() {
    let home = Home::process();
    std::fs::remove_dir(home.path()).unwrap();
    home.msb(["ps"]).exits(0);
    assert!(!home.path().exists(), "ps on a bare machine left a home behind");
}

#[test]
fn down_works_without_its_file() {
    let home = shop();
    home.msb(["up"]).exits(0);
    std::fs::remove_file(home.project().join("Sandboxfile")).unwrap();
    home.msb(["-p", "shop", "down"]).exits(0);
    oracle::nothing_lives(&home);
}
