//! Ends that are asked for and not waited for, limits of one command, and projects in a list.

use std::time::Duration;

use tests::home::Home;
use tests::run::eventually;

const TWO: &str = r#"
project "shop"
template "plain" { image "builtin:base"; stop-grace "1s"; command "sleep" "1000" }
sandbox "web" { from "plain" }
sandbox "db" { from "plain" }
volume "rows" { kind "dir" }
"#;

#[test]
fn who_does_not_wait_is_told_that_it_was_asked() {
    let home = Home::process();
    home.write("Sandboxfile", TWO);
    home.msb(["up"]).exits(0);
    let asked = home.msb(["stop", "web", "--no-wait", "--json"]).exits(0).json();
    assert_eq!(asked[0]["result"], "requested");
    let rests = |name: &str, reason: &str| {
        let row = home.sandbox(name);
        (row["phase"] == "stopped" && row["reason"] == *reason).then_some(())
    };
    eventually("it stops", Duration::from_secs(20), || rests("web", "requested"));
    home.msb(["kill", "db", "web", "--no-wait"])
        .exits(0)
        .says(&["db  requested", "web  unchanged"]);
    eventually("it is gone", Duration::from_secs(20), || rests("db", "killed"));
    home.msb(["kill", "db", "--no-wait", "-t", "1"]).exits(64);
    home.msb(["down"]).exits(0);
}

#[test]
fn a_limit_of_one_command_is_its_own() {
    let home = Home::process();
    home.write("Sandboxfile", TWO);
    home.msb(["up", "web"]).exits(0);
    let limits =
        ["exec", "--rlimit", "nofile=77:88", "web", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn"];
    assert_eq!(home.msb(limits).exits(0).stdout, "77\n88\n");
    home.msb(["exec", "--rlimit", "files=1", "web", "true"])
        .exits(64)
        .complains(&["there is no limit `files`"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn projects_are_listed_with_what_they_have() {
    let home = Home::process();
    home.msb(["list", "--projects"]).exits(0).complains(&["no projects"]);
    home.write("Sandboxfile", TWO);
    home.msb(["up"]).exits(0);
    home.msb(["stop", "db"]).exits(0);
    let rows = home.msb(["list", "--projects", "--json"]).exits(0).json();
    let shop = rows.as_array().unwrap().iter().find(|row| row["name"] == "shop").unwrap();
    assert_eq!(
        (&shop["sandboxes"], &shop["running"], &shop["volumes"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(shop["folder"], home.project().display().to_string());
    assert_eq!(shop["paused"], false);
    assert!(shop["last_applied_at"].as_str().is_some_and(|at| at.ends_with("+00:00")), "{shop}");
    home.msb(["list", "--projects"]).exits(0).says(&["LAST-APPLIED", "shop"]);
    home.msb(["list", "--projects", "-q"]).exits(0).says(&["shop"]);
    home.msb(["list", "--projects", "--running"]).exits(64);
    home.msb(["down"]).exits(0);
}

#[test]
fn what_is_replaced_has_the_grace_that_was_given() {
    let home = Home::process();
    let stubborn = "trap '' TERM; echo deaf; while :; do sleep 0.2; done";
    let make =
        ["create", "-n", "box", "--stop-grace", "60s", "builtin:base", "--", "sh", "-c", stubborn];
    home.msb(make).exits(0);
    home.msb(["create", "-n", "box", "--replace-grace", "1s", "builtin:base"]).exits(64);
    let again = ["create", "-n", "box", "--replace", "--replace-grace", "1s", "builtin:base"];
    home.msb(again).exits(0);
    home.msb(["rm", "-f", "box"]).exits(0);
}
