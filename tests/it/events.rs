//! `msb events`: what happened is told once, in order, with who did it, and goes on where it left off.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::home::Home;
use tests::json_schema::fits;
use tests::machines;
use tests::processes::Alive;
use tests::run::{eventually, pause};

const SHOP: &str = "project \"shop\"\n\
                    sandbox \"web\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n";

fn past(home: &Home, words: &[&str]) -> Vec<Value> {
    let mut command = home.command();
    command.args(["events", "--no-follow", "--json"]).args(words);
    let run = home.spawn(command).wait(home.rung().patience()).exits(0);
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn words(events: &[Value], of: &str, keys: [&str; 2]) -> Vec<String> {
    let of_kind = events.iter().filter(|event| event["type"] == of);
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    of_kind.map(|event| format!("{} {}", word(&event[keys[0]]), word(&event[keys[1]]))).collect()
}

#[test]
fn what_an_up_and_a_down_did_is_told_in_order_with_who_did_it() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    let told = past(&home, &["--after", "0"]);
    let schema = home.msb(["schema", "output"]).exits(0).stdout;
    let mut schema: Value = serde_json::from_str(&schema).unwrap();
    schema["properties"] = json!({ "line": { "$ref": "#/$defs/Event" } });
    told.iter().for_each(|event| fits(&schema, &json!({ "line": event })));
    let phases = words(&told, "phase", ["from", "to"]);
    assert_eq!(phases.first().map(String::as_str), Some("pending booting"), "{told:?}");
    assert!(phases.last().is_some_and(|last| last.ends_with(" ready")), "{told:?}");
    assert_eq!(words(&told, "run", ["from", "to"]), ["- started", "started ended"], "{told:?}");
    let steps: Vec<&Value> = told.iter().filter(|event| event["type"] == "step").collect();
    assert!(steps.iter().any(|step| step["data"]["do"] == "boot" && step["to"] == "done"));
    for event in told.iter().filter(|event| event["type"] != "snapshot") {
        assert_eq!(event["actor"]["command"], "msb up", "{event}");
        assert!(event["actor"]["pid"].is_u64() && event["project"] == "shop", "{event}");
    }
    let seqs: Vec<i64> = told.iter().filter_map(|event| event["seq"].as_i64()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    let snapshot = told.last().unwrap();
    assert_eq!((&snapshot["type"], &snapshot["to"]), (&json!("snapshot"), &json!("ready")));
    home.msb(["down"]).exits(0);
    let last = seqs.last().unwrap().to_string();
    let rest = past(&home, &["--after", &last]);
    assert!(rest.iter().all(|event| event["seq"].as_i64() > seqs.last().copied()), "{rest:?}");
    assert_eq!(words(&rest, "removed", ["project", "address"]), ["shop sandbox.web"], "{rest:?}");
    assert!(past(&home, &["--since", "1h", "--type", "removed"]).len() == 1);
    assert!(past(&home, &[]).is_empty(), "nothing of the past was asked for");
    let page = home.msb(["events", "--no-follow", "--since", "1h"]).exits(0).stdout;
    assert!(page.contains("web  phase  Pending → Booting"), "{page}");
    assert!(page.contains("shop  run  msb down ended with 0"), "{page}");
}

#[test]
fn only_what_is_chosen_is_told() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    home.msb(["up"]).exits(0);
    home.msb(["create", "--name", "box", "builtin:base", "sleep", "1000"]).exits(0);
    let of = |words: &[&str]| {
        let told = past(&home, words);
        assert!(!told.is_empty());
        move |address: &str| told.iter().any(|event| event["address"] == address)
    };
    let named = of(&["--after", "0", "box"]);
    assert!(named("sandbox.box") && !named("sandbox.web"));
    let all = of(&["--after", "0", "--all", "--all-projects"]);
    assert!(all("sandbox.box") && all("sandbox.web"));
    let run = home.msb(["events", "--no-follow", "--type", "secret-violation"]);
    assert!(
        run.code == 1 && run.stderr.contains("--type secret-violation: not supported yet"),
        "{run}"
    );
    assert_eq!(home.msb(["events", "--no-follow", "--type", "phases"]).code, 64);
    home.msb(["down"]).exits(0);
    home.msb(["rm", "-f", "box"]).exits(0);
}

#[test]
fn a_follower_hears_what_another_command_does() {
    let home = Home::process();
    home.write("Sandboxfile", SHOP);
    assert!(past(&home, &["--all", "--all-projects"]).is_empty());
    assert!(!home.path().join("db").exists(), "reading makes nothing");
    let follower = home.start(["events", "--json"]);
    home.msb(["up"]).exits(0);
    follower.signal(Signal::INT);
    let heard = follower.wait(home.rung().patience()).exits(130).stdout;
    assert!(heard.contains("\"to\":\"ready\"") && heard.contains("\"to\":\"ended\""), "{heard}");
    home.msb(["down"]).exits(0);
}

/// How long something may take that happens by itself.
const SOON: Duration = Duration::from_secs(30);

/// A sandbox that comes back, and is well as long as a file is there.
fn lively(home: &Home) -> std::path::PathBuf {
    let well = home.project().join("well");
    home.write("well", "");
    let text = format!(
        "project \"shop\"\nsandbox \"web\" {{\n    image \"builtin:base\"\n    \
         stop-grace \"1s\"\n    command \"sleep\" \"1000\"\n    \
         restart \"always\" {{ delay \"50ms\"; jitter 0 }}\n    \
         health {{ exec \"test\" \"-e\" \"{}\"; interval \"50ms\"; failures 2 }}\n}}\n",
        well.display()
    );
    home.write("Sandboxfile", &text);
    well
}

/// Kills what stands in for the machine of `web`.
fn kill_machine(home: &Home) {
    let folder = machines::of(home).into_iter().find(|folder| folder.whose() == "shop/web[]");
    let record = folder.and_then(|folder| folder.record).expect("web has a machine");
    Alive::find(record.vmm.expect("it was started").pid).expect("it runs").kill();
}

fn has(home: &Home, key: &str, value: &str) {
    eventually(value, SOON, || (home.sandbox("web")[key] == *value).then_some(()));
}

#[test]
fn what_goes_on_by_itself_is_told_once_with_its_own_time_whether_or_not_somebody_listens() {
    let home = Home::process();
    let well = lively(&home);
    home.msb(["up"]).exits(0);
    has(&home, "health", "passing");
    // Nobody listens here.
    kill_machine(&home);
    eventually("it is restarted", SOON, || (home.sandbox("web")["restarts"] == 1).then_some(()));
    has(&home, "health", "passing");
    std::fs::remove_file(&well).unwrap();
    has(&home, "phase", "degraded");
    pause(Duration::from_millis(300));

    let follower = home.start(["events", "--after", "0", "--json"]);
    let looks = || home.msb(["events", "--no-follow", "--after", "0", "--json"]).exits(0).stdout;
    eventually("it looks", SOON, || looks().contains("\"degraded\"").then_some(()));
    home.write("well", "");
    has(&home, "phase", "ready");
    home.msb(["down"]).exits(0);
    pause(Duration::from_secs(1));
    follower.signal(Signal::INT);
    let heard = follower.wait(home.rung().patience()).exits(130).stdout;
    let heard: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let healths = words(&heard, "health", ["from", "to"]);
    let turns = ["starting passing", "passing failing", "failing passing"];
    assert!(turns.iter().all(|turn| healths.iter().any(|told| told == turn)), "{healths:?}");
    assert_eq!(words(&heard, "restart", ["to", "reason"]).len(), 1, "{heard:?}");
    let phases = words(&heard, "phase", ["from", "to"]);
    let chained =
        phases.windows(2).all(|pair| pair[0].split(' ').nth(1) == pair[1].split(' ').next());
    assert!(chained, "{phases:?}");
    let ways = ["ready booting", "ready degraded", "degraded ready", "ready stopped"];
    assert!(
        ways.iter().all(|way| phases.iter().filter(|told| told == way).count() == 1),
        "{phases:?}"
    );

    // Another reader is told the same, and nothing twice; the last machine is gone by now.
    let rest = |events: Vec<Value>| -> Vec<Value> {
        events.into_iter().filter(|event| event["type"] != "snapshot").collect()
    };
    assert_eq!(rest(heard.clone()), rest(past(&home, &["--after", "0"])));
    let restart = heard.iter().find(|event| event["type"] == "restart").unwrap();
    let first = heard.iter().find(|event| event["to"] == "degraded").unwrap();
    assert!(restart["ts"].as_str() < first["ts"].as_str(), "each has its own time: {heard:?}");
    assert!(restart["actor"].is_null(), "nobody did it: {restart}");
    let by_down = heard.iter().find(|event| event["to"] == "stopped").unwrap();
    assert_eq!(by_down["actor"]["command"], "msb down", "{by_down}");
}
