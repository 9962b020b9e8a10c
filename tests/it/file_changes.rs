//! A file of the host that is mounted and holds something else by now: what `on-change` does.

use std::time::Duration;

use tests::home::{Home, put};
use tests::oracle::{converged, reversed};
use tests::run::eventually;

const SOON: Duration = Duration::from_secs(30);

/// A sandbox that says when it is up, and when it is asked to read its files again.
fn with_a_file(mount: &str) -> Home {
    let home = Home::process();
    put(&home.project().join("app.conf"), "green\n");
    write(&home, mount);
    home
}

fn write(home: &Home, mount: &str) {
    let run = "trap 'echo reloaded' HUP; trap 'exit 0' TERM; echo up; \
               while true; do sleep 0.05; done";
    home.write(
        "Sandboxfile",
        &format!(
            "project \"shop\"\nsandbox \"a\" {{\n  image \"builtin:base\"\n  \
             command \"sh\" \"-c\" \"{run}\"\n  \
             mount \"/etc/app.conf\" {{ file \"./app.conf\" {mount} }}\n}}\n"
        ),
    );
}

/// Returns how often the workload said a word.
fn said(home: &Home, word: &str) -> usize {
    let logs = home.msb(["logs", "a"]).exits(0).stdout;
    logs.lines().filter(|line| line.ends_with(word)).count()
}

fn is_up(home: &Home) {
    home.msb(["up"]).exits(0);
    says(home, "up");
}

/// Waits until the workload has said a word once.
fn says(home: &Home, word: &str) {
    eventually(word, SOON, || (said(home, word) == 1).then_some(()));
}

/// Returns which machine runs, and since when.
fn running(home: &Home) -> (String, String) {
    let told = home.msb(["inspect", "a", "--output", "json"]).exits(0).json();
    let text = |key: &str| told[0][key].to_string();
    (text("pid"), text("started_at"))
}

#[test]
fn a_change_that_signals_is_told_to_the_workload_that_goes_on() {
    let home = with_a_file("on-change=\"signal:HUP\"");
    is_up(&home);
    converged(&home);
    let before = running(&home);
    put(&home.project().join("app.conf"), "blue\n");
    let diff = home.msb(["diff"]).exits(2);
    diff.says(&["mounts./etc/app.conf.content", "blake3:", "live", "Sandboxfile:5", "1 live"]);
    assert_eq!(said(&home, "reloaded"), 0, "looking tells nobody");
    home.msb(["up"]).exits(0);
    says(&home, "reloaded");
    assert_eq!(running(&home), before, "it goes on");
    home.msb(["diff"]).exits(0).says(&["no changes"]);
    home.msb(["exec", "a", "--", "sh", "-c", "cat \"$PWD/etc/app.conf\""]).exits(0).says(&["blue"]);
    converged(&home);
    assert_eq!(said(&home, "reloaded"), 1);
    reversed(&home);
}

#[test]
fn a_change_that_restarts_starts_the_workload_anew() {
    let home = with_a_file("on-change=\"restart\"");
    is_up(&home);
    let before = running(&home);
    put(&home.project().join("app.conf"), "blue\n");
    let diff = home.msb(["diff"]).exits(2);
    diff.says(&["mounts./etc/app.conf.content", "restart", "a mounted file has changed"]);
    let plan = home.msb(["diff", "--output", "json"]).exits(2).json();
    let change = &plan["changes"][0];
    assert_eq!(change["reason"]["code"], "edited");
    assert_eq!(change["fields"][0]["path"], "mounts./etc/app.conf.content");
    home.msb(["up"]).exits(0);
    assert_ne!(running(&home), before);
    home.msb(["diff"]).exits(0).says(&["no changes"]);
    converged(&home);
    reversed(&home);
}

#[test]
fn a_change_that_nobody_asked_for_is_no_change() {
    let home = with_a_file("");
    is_up(&home);
    put(&home.project().join("app.conf"), "blue\n");
    home.msb(["diff"]).exits(0);
    converged(&home);
    reversed(&home);
}

#[test]
fn a_file_that_is_to_be_made_counts_as_empty_until_it_holds_something() {
    let home = with_a_file("");
    std::fs::remove_file(home.project().join("app.conf")).unwrap();
    write(&home, "ensure=\"ensure\" on-change=\"signal:HUP\"");
    is_up(&home);
    converged(&home);
    put(&home.project().join("app.conf"), "blue\n");
    home.msb(["up"]).exits(0);
    says(&home, "reloaded");
    reversed(&home);
}

#[test]
fn a_file_that_is_away_for_a_while_is_compared_with_what_it_was() {
    let home = with_a_file("on-change=\"restart\"");
    is_up(&home);
    let (before, path) = (running(&home), home.project().join("app.conf"));
    std::fs::remove_file(&path).unwrap();
    let file = std::fs::read_to_string(home.project().join("Sandboxfile")).unwrap();
    let labelled = file.replace("  mount", "  labels { team \"core\" }\n  mount");
    home.write("Sandboxfile", &labelled);
    home.msb(["up"]).exits(0);
    assert_eq!(running(&home), before);
    put(&path, "green\n");
    home.msb(["diff"]).exits(0);
    put(&path, "blue\n");
    home.msb(["diff"]).exits(2).says(&["mounts./etc/app.conf.content", "1 restart"]);
    home.msb(["up"]).exits(0);
    assert_ne!(running(&home), before);
    reversed(&home);
}

#[test]
fn a_file_with_too_much_in_it_is_refused_where_its_changes_count() {
    let home = with_a_file("on-change=\"restart\"");
    let file = std::fs::File::create(home.project().join("app.conf")).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    let told = ["msb::mount::too-large", "mounts./etc/app.conf.content", "16 MiB", "Sandboxfile:5"];
    home.msb(["up"]).exits(1).complains(&told);
    assert!(home.msb(["ps", "-q"]).stdout.is_empty(), "nothing was made");
    home.msb(["validate", "--preflight"]).exits(1).complains(&told[..3]);
    file.set_len(16 << 20).unwrap();
    is_up(&home);
    file.set_len((16 << 20) + 1).unwrap();
    home.msb(["diff"]).exits(2).says(&told[..3]);
    home.msb(["up"]).exits(1).complains(&told);
    home.msb(["down"]).exits(0);
    write(&home, "");
    home.msb(["up"]).exits(0);
    reversed(&home);
}

#[test]
fn a_saved_plan_tells_of_what_it_was_made_from_or_is_stale() {
    let home = with_a_file("on-change=\"signal:HUP\"");
    is_up(&home);
    put(&home.project().join("app.conf"), "blue\n");
    home.msb(["plan", "-o", "saved.json"]).exits(0);
    put(&home.project().join("app.conf"), "red\n");
    home.msb(["up", "--plan", "saved.json"])
        .exits(73)
        .complains(&["a: the value of mounts./etc/app.conf.content has changed"]);
    put(&home.project().join("app.conf"), "blue\n");
    home.msb(["up", "--plan", "saved.json"]).exits(0);
    says(&home, "reloaded");
    converged(&home);
    reversed(&home);
}

#[test]
fn who_watches_notices_a_file_that_changes() {
    let home = with_a_file("on-change=\"signal:HUP\"");
    let watching = home.start(["up", "--watch"]);
    let is_up = || home.msb(["logs", "a"]).stdout.contains("up").then_some(());
    eventually("the workload says that it is up", SOON, is_up);
    put(&home.project().join("app.conf"), "blue\n");
    says(&home, "reloaded");
    let is_told = || (watching.printed().matches("round ").count() >= 2).then_some(());
    eventually("the round is over", SOON, is_told);
    watching.signal(rustix::process::Signal::INT);
    watching.wait(SOON).exits(0).says(&["1 live"]);
    converged(&home);
    reversed(&home);
}
