//! Probes of a sandbox as the commands show them: what was answered, and what health does to a phase.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tests::home::Home;
use tests::machines;
use tests::run::eventually;

/// How long health may take to turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns a project of one sandbox with these lines.
fn project(home: &Home, lines: &str) {
    let text = format!(
        "project \"shop\"\nsandbox \"web\" {{\n    image \"builtin:base\"\n    \
         stop-grace \"1s\"\n    {lines}\n}}\n"
    );
    home.write("Sandboxfile", &text);
}

/// Returns a health that is asked often, and is well as long as a file of the project is there.
fn health(home: &Home, rest: &str) -> String {
    let file = home.project().join("well").display().to_string();
    format!(
        "command \"sleep\" \"1000\"\n    \
         health {{ exec \"test\" \"-e\" \"{file}\"; interval \"50ms\"; {rest} }}"
    )
}

#[test]
fn a_gate_on_a_line_of_the_log_opens_by_it() {
    let home = Home::process();
    let script = "sleep 0.3; echo listening on 80; exec sleep 1000";
    let gate = "ready { log #\"^listening on \\d+$\"#; timeout \"20s\" }";
    project(&home, &format!("command \"sh\" \"-c\" \"{script}\"\n    {gate}"));
    home.msb(["up"]).exits(0);
    assert_eq!(home.sandbox("web")["phase"], "ready");
    project(&home, "command \"sleep\" \"1000\"\n    ready { log \"never\"; timeout \"300ms\" }");
    home.msb(["up"]).exits(124).complains(&["log never: no line matched"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_w5_a_gate_that_was_missed_names_what_its_probe_was_answered() {
    let home = Home::process();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    project(
        &home,
        &format!("command \"sleep\" \"1000\"\n    ready {{ tcp {port}; timeout \"300ms\" }}"),
    );
    let answer = format!("tcp {port}: connection refused");
    let up = home.msb(["up"]).exits(124);
    assert!(up.stderr.contains("Stalled(not-ready)"), "{up}");
    assert!(up.stderr.contains(&format!(", probe {answer}")), "{up}");
    home.msb(["ps"]).exits(0).says(&["Stalled(not-ready)", &answer]);
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_w2_health_moves_a_sandbox_between_ready_and_degraded() {
    let home = Home::process();
    home.write("well", "");
    project(&home, &health(&home, "failures 2"));
    home.msb(["up"]).exits(0);
    home.msb(["wait", "web", "--for", "healthy", "--timeout", "20s"]).exits(0);
    assert_eq!(home.sandbox("web")["health"], "passing");
    home.msb(["ps"]).exits(0).says(&["Ready", "passing"]);
    home.msb(["inspect", "web"]).exits(0).says(&["Health        passing"]);

    std::fs::remove_file(home.project().join("well")).unwrap();
    let is = |word: &str| (home.sandbox("web")["phase"] == *word).then_some(());
    eventually("it degrades", PATIENCE, || is("degraded"));
    assert_eq!(home.sandbox("web")["health"], "failing");
    home.msb(["ps"]).exits(0).says(&["Degraded", "failing"]);
    home.msb(["wait", "web", "--for", "healthy", "--timeout", "300ms"]).exits(124);
    // It runs, and that is what was asked for.
    home.msb(["up"]).exits(0).says(&["nothing to do"]);

    home.write("well", "");
    eventually("it is well again", PATIENCE, || is("ready"));
    home.msb(["wait", "web", "--for", "healthy", "--timeout", "20s"]).exits(0);
    home.msb(["stop", "web"]).exits(0);
    assert_eq!(home.sandbox("web")["health"], "none", "nobody asks what does not run");
    home.msb(["down"]).exits(0);
}

#[test]
fn health_is_changed_live() {
    let home = Home::process();
    let plain = "command \"sleep\" \"1000\"";
    project(&home, plain);
    home.msb(["up"]).exits(0);
    home.msb(["ps"]).exits(0).says(&["Ready", "  -  "]);
    let before = machines::of(&home).remove(0).id();
    let is = |word: &str| (home.sandbox("web")["health"] == *word).then_some(());

    project(&home, &health(&home, "failures 1"));
    home.msb(["diff"]).exits(2).says(&["health", "live"]);
    home.msb(["up"]).exits(0);
    eventually("it fails", PATIENCE, || is("failing"));
    assert_eq!(home.sandbox("web")["phase"], "degraded");
    home.msb(["diff"]).exits(0);

    // Another label is another live change, by which nothing is asked anew.
    home.write("well", "");
    eventually("it passes", PATIENCE, || is("passing"));
    project(&home, &format!("labels {{ tier \"front\" }}\n    {}", health(&home, "failures 1")));
    home.msb(["up"]).exits(0);
    assert_eq!(home.sandbox("web")["health"], "passing");

    project(&home, plain);
    home.msb(["up"]).exits(0);
    eventually("nobody asks", PATIENCE, || is("none"));
    assert_eq!(machines::of(&home).remove(0).id(), before, "no machine was started anew");
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_3_7_a_dependent_waits_for_a_line_of_what_it_depends_on() {
    let home = Home::process();
    let file = |script: &str| {
        format!(
            "project \"shop\"\nsandbox \"db\" {{ image \"builtin:base\"; restart \"no\"; \
             command \"sh\" \"-c\" \"{script}\" }}\nsandbox \"web\" {{ image \"builtin:base\"; \
             command \"sleep\" \"1000\"; depends-on \"db\" until=\"log\" pattern=\"^ready to \" }}\n"
        )
    };
    home.write("Sandboxfile", &file("sleep 1.5; echo ready to accept; exec sleep 1000"));
    let plan = home.msb(["plan", "--output", "json"]).json();
    let steps = plan["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["until"] == "log").unwrap();
    assert_eq!((&step["do"], &step["address"]), (&"gate".into(), &"sandbox.web".into()), "{plan}");
    home.msb(["up"]).exits(0);
    let started = |name: &str| {
        let whose = format!("shop/{name}[]");
        let folder = machines::of(&home).into_iter().find(|folder| folder.whose() == whose);
        folder.and_then(|folder| folder.record?.started_at_ms).unwrap()
    };
    let waited = started("web") - started("db");
    assert!(waited >= 1500, "web was started {waited} ms after db");
    home.msb(["up"]).exits(0).says(&["nothing to do"]);

    // A line of an earlier start is none of this one's.
    home.write("Sandboxfile", &file("sleep 1; exit 0"));
    home.msb(["down"]).exits(0);
    let up = home.msb(["up"]).exits(1);
    up.complains(&["db ended, and no line of it matched `^ready to `"]);
    home.msb(["down"]).exits(0);
}
