//! Killed at every boundary of every step, finished by the next run.
//!
//! A debug build ends itself where `MSB_FAILPOINT` says: before the intent of
//! a step is written, after it, after the act, after the row is closed. `any:N`
//! counts them all, so N from one on walks through a whole run.

use orchestrator::store::{self, Rows};
use tests::home::{Home, put};
use tests::oracle::{converged, nothing_lives, reversed};
use tests::run::Run;

const TRIO: &str = r#"
project "trio"
volume "data" { kind "disk"; size "16MiB" }
sandbox "db" {
    image "builtin:base"
    memory "96MiB"
    upper "64MiB"
    command "sleep" "1000"
    mount "/data" { named "data" }
}
job "seed" {
    image "builtin:base"
    memory "96MiB"
    command "true"
    depends-on "db"
}
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000"
    depends-on "seed"
}
"#;

/// More boundaries than any of the runs below has.
const BOUNDARIES_MAX: u32 = 100;

/// A run that is killed by `kill -9` ends so.
const KILLED: i32 = 137;

/// Walks a run through all of its boundaries; `before` brings a home to where it begins.
fn walk(before: impl Fn(&Home), args: &[&str], after: impl Fn(&Home)) {
    for boundary in 1..=BOUNDARIES_MAX {
        let home = Home::process();
        before(&home);
        let run = dies_at(&home, boundary, args);
        if run.code != KILLED {
            assert_eq!(run.code, 0, "at boundary {boundary}: {run}");
            assert!(boundary > 1, "a release build dies nowhere");
            reversed(&home);
            return;
        }
        println!("boundary {boundary}");
        after(&home);
    }
    panic!("the run has more than {BOUNDARIES_MAX} boundaries");
}

fn dies_at(home: &Home, boundary: u32, args: &[&str]) -> Run {
    let mut command = home.command();
    command.args(args).env("MSB_FAILPOINT", format!("any:{boundary}"));
    home.spawn(command).wait(home.rung().patience())
}

fn finished(home: &Home) {
    converged(home);
    reversed(home);
}

#[test]
fn a_first_up_is_finished_wherever_it_was_cut_off() {
    let before = |home: &Home| home.write("Sandboxfile", TRIO);
    walk(before, &["up"], finished);
}

#[test]
fn a_restart_is_finished_wherever_it_was_cut_off() {
    let before = |home: &Home| {
        home.write("Sandboxfile", TRIO);
        home.msb(["up"]).exits(0);
        home.write(
            "Sandboxfile",
            &TRIO.replace("\"sleep\" \"1000\"\n    mount", "\"sleep\" \"2000\"\n    mount"),
        );
    };
    walk(before, &["up"], finished);
}

#[test]
fn a_recreate_is_finished_wherever_it_was_cut_off() {
    let before = |home: &Home| {
        home.write("Sandboxfile", &TRIO.replace("64MiB", "128MiB"));
        home.msb(["up"]).exits(0);
        home.write("Sandboxfile", TRIO);
    };
    let after = |home: &Home| {
        home.msb(["up", "-y"]).exits(0);
        finished(home);
    };
    walk(before, &["up", "-y"], after);
}

#[test]
fn a_volume_that_is_taken_over_is_whose_its_folder_says_wherever_that_was_cut_off() {
    let before = |home: &Home| {
        home.write("Sandboxfile", "project \"trio\"\n");
        home.msb(["volume", "create", "data", "--kind", "disk", "--size", "16MiB"]).exits(0);
        put(&home.path().join("volumes/data/disk.raw"), "precious");
    };
    let again = |home: &Home| {
        let run = home.msb(["adopt", "volume.data"]);
        assert!(run.code == 0 || run.stderr.contains("Project trio has it already"), "{run}");
        let disk = home.path().join("volumes/trio.data/disk.raw");
        assert_eq!(std::fs::read_to_string(disk).unwrap(), "precious");
        assert!(!home.path().join("volumes/data").exists());
        let db = Rows::open(store::path(&home.path())).unwrap();
        let sql = "SELECT volume.folder FROM volume JOIN project ON project.id = project_id";
        let folder: String = db.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(folder, "trio.data");
        let text = std::fs::read_to_string(home.project().join("Sandboxfile")).unwrap();
        assert_eq!(text.matches("volume \"data\"").count(), 1, "{text}");
        home.msb(["diff"]).exits(0);
        finished(home);
    };
    walk(before, &["adopt", "volume.data"], again);
    let settled = |home: &Home| {
        home.msb(["up"]).exits(0);
        again(home);
    };
    walk(before, &["adopt", "volume.data"], settled);
}

#[test]
fn what_a_run_protects_is_protected_wherever_it_was_cut_off() {
    let file = |upper: &str, life: &str| {
        format!(
            "sandbox \"db\" {{ image \"builtin:base\"; memory \"96MiB\"; upper \"{upper}\"\n\
             command \"sleep\" \"1000\"\n{life} }}\n"
        )
    };
    let head = "project \"solo\"\n";
    let disk = "volume \"data\" { kind \"disk\"; size \"16MiB\"; lifecycle { protect #true } }\n";
    let life = "lifecycle { protect #true; keep #true }";
    for boundary in 1..=BOUNDARIES_MAX {
        let home = Home::process();
        home.write("Sandboxfile", &format!("{head}{}", file("128MiB", "")));
        home.msb(["up"]).exits(0);
        home.write("Sandboxfile", &format!("{head}{disk}{}", file("64MiB", life)));
        if dies_at(&home, boundary, &["up", "-y"]).code != KILLED {
            assert!(boundary > 1, "a release build dies nowhere");
            return;
        }
        // It settles first, and stops whatever that took over.
        home.msb(["stop", "--all"]).exits(0);
        let db = Rows::open(store::path(&home.path())).unwrap();
        let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
        let bare = "SELECT count(*) FROM sandbox JOIN definition ON digest = applied WHERE \
                    json_extract(body, '$.lifecycle.protect') AND NOT (protect AND keep)";
        assert_eq!(count(bare), 0, "boundary {boundary}: a sandbox is not protected as applied");
        assert_eq!(count("SELECT count(*) FROM volume WHERE NOT protect"), 0, "{boundary}");
    }
    panic!("the run has more than {BOUNDARIES_MAX} boundaries");
}

#[test]
fn a_down_is_finished_wherever_it_was_cut_off() {
    let before = |home: &Home| {
        home.write("Sandboxfile", TRIO);
        home.msb(["up"]).exits(0);
    };
    let after = |home: &Home| {
        home.msb(["down"]).exits(0);
        nothing_lives(home);
    };
    walk(before, &["down"], after);
}
