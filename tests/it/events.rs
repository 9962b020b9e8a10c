//! `msb events`: what happened is told once, in order, with who did it, and goes on where it left off.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::home::Home;
use tests::json_schema::fits;

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
    let run = home.msb(["events", "--no-follow", "--type", "oom"]);
    assert!(run.code == 1 && run.stderr.contains("--type oom: not supported yet"), "{run}");
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
