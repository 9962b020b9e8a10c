//! `msb metrics` and `msb top`: what running sandboxes use, and who has gone.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::home::Home;
use tests::run::eventually;

const PATIENCE: Duration = Duration::from_secs(30);

const SHOP: &str = r#"
project "shop"
metrics { interval "1s" }
sandbox "web" {
    image "builtin:base"
    stop-grace "1s"
    labels { tier "front" }
    command "sleep" "1000"
    // web
}
sandbox "db" {
    image "builtin:base"
    stop-grace "1s"
    command "sleep" "1000"
}
"#;

fn up(text: &str) -> Home {
    let home = Home::process();
    home.write("Sandboxfile", text);
    home.msb(["up"]).exits(0);
    home
}

fn names(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| format!("{}/{}", row["project"], row["name"]).replace('"', "")).collect()
}

/// Returns the lines that a watching command has printed until now.
fn printed(text: &str) -> Vec<Value> {
    // The last line may be half a line.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn cli_4_11_figures_of_a_project_of_some_and_of_all() {
    let home = up(SHOP);
    home.msb(["run", "-d", "-n", "alone", "builtin:base", "sleep", "1000"]).exits(0);
    let parts = ["NAME", "CPU", "MEMORY", "DISK READ", "NET TX", "UPTIME", " / 512 MiB", "%"];
    let table = home.msb(["metrics"]).exits(0).says(&parts);
    assert!(!table.stdout.contains("alone") && !table.stdout.contains("PROJECT"), "{table}");

    let all = home.msb(["metrics", "--all", "--json"]).exits(0).json();
    assert_eq!(names(&all), ["adhoc/alone", "shop/db", "shop/web"]);
    let web = &all[2];
    assert_eq!((&web["address"], &web["boot"]), (&json!("sandbox.web"), &json!(1)));
    assert_eq!(web["labels"], json!({ "tier": "front" }));
    assert_eq!((&web["net_rx_bytes"], &web["driver"]), (&Value::Null, &json!("process")));
    assert!(web["cpu_percent"].is_number() && web["memory_bytes"].as_u64() > Some(0), "{web}");
    assert_eq!(web["source"]["vcpu_time_ns"], "vmm");
    assert_eq!(web["id"], home.sandbox("web")["id"]);

    let labelled = home.msb(["metrics", "--label", "tier=front", "--json"]).exits(0).json();
    assert_eq!(names(&labelled), ["shop/web"]);
    let several = ["metrics", "adhoc/alone", "--label", "tier", "--json"];
    assert_eq!(names(&home.msb(several).exits(0).json()), ["adhoc/alone", "shop/web"]);
    home.msb(["metrics", "adhoc/alone", "web"]).exits(0).says(&["PROJECT", "adhoc", "shop"]);
    home.msb(["metrics", "--sort", "memory"]).exits(0);
    home.msb(["metrics", "--interval", "1s"]).exits(64);
    home.msb(["metrics", "--watch", "--interval", "100ms"]).exits(64).complains(&["500ms"]);
    home.msb(["metrics", "nobody"]).exits(1).complains(&["sandbox::not-found"]);
}

#[test]
fn cli_4_11_who_rests_is_left_out_and_told_where_it_was_named() {
    let home = up(SHOP);
    home.msb(["stop", "web"]).exits(0);
    assert_eq!(names(&home.msb(["metrics", "--json"]).exits(0).json()), ["shop/db"]);
    home.msb(["metrics", "web"]).exits(1).complains(&["metrics::not-running", "msb start web"]);
    home.msb(["down"]).exits(0);
    assert_eq!(home.msb(["metrics", "--json"]).exits(0).json(), json!([]));
    home.msb(["metrics"]).exits(0).complains(&["no running sandboxes"]);
}

#[test]
fn reading_figures_on_a_bare_machine_makes_nothing() {
    let home = Home::process();
    std::fs::remove_dir(home.path()).unwrap();
    home.msb(["metrics"]).exits(0).complains(&["no running sandboxes"]);
    assert_eq!(home.msb(["metrics", "--all", "--json"]).exits(0).json(), json!([]));
    assert!(!home.path().exists());
}

#[test]
fn sf_3_8_whether_a_sandbox_is_measured_changes_while_it_runs() {
    let home = up(SHOP);
    let born = home.sandbox("web")["started_at"].clone();
    home.write("Sandboxfile", &SHOP.replace("// web", "metrics { enabled #false }"));
    home.msb(["diff"]).exits(2).says(&["metrics.enabled", "live"]);
    home.msb(["up"]).exits(0);
    home.msb(["metrics", "web"]).exits(1).complains(&["metrics::off"]);
    assert_eq!(names(&home.msb(["metrics", "--json"]).exits(0).json()), ["shop/db"]);
    // What only the exporter wants to know is no business of the machine's.
    let labelled =
        "metrics { labels #false; exclude-labels \"tier\"; attributes { env \"prod\" } }";
    home.write("Sandboxfile", &SHOP.replace("// web", labelled));
    home.msb(["diff"]).exits(2).says(&["metrics.attributes", "live"]);
    home.msb(["up"]).exits(0);
    home.msb(["diff"]).exits(0);
    home.msb(["metrics", "web"]).exits(0);
    assert_eq!(home.sandbox("web")["started_at"], born, "it was restarted");
}

#[test]
fn cli_4_1_flags_say_whether_and_how_often_one_is_measured() {
    let home = Home::process();
    let image = ["builtin:base", "sleep", "1000"];
    let run = |name: &str, flags: &[&str]| {
        home.msb_with(&[&["run", "-d", "-n", name], flags, &image].concat())
    };
    run("off", &["--no-metrics"]).exits(0);
    run("slow", &["--metrics-interval", "1h"]).exits(0);
    run("both", &["--no-metrics", "--metrics-interval", "2s"]).exits(64);
    run("fast", &["--metrics-interval", "500ms"]).exits(64).complains(&["1s to 1h"]);
    home.msb(["metrics", "off"]).exits(1).complains(&["metrics::off"]);
    let at = || home.msb(["metrics", "slow", "--json"]).exits(0).json()[0]["sampled_at"].clone();
    assert_eq!(at(), at(), "a sample is good for an hour");
}

#[test]
fn rt_11_2_a_watch_tells_who_lives_and_forgets_who_was_killed_at_once() {
    let home = up(SHOP);
    let watch = home.start(["metrics", "--watch", "--interval", "500ms", "--json"]);
    let seen = |name: &str| {
        let lines = printed(&watch.printed());
        lines.iter().filter(|line| line["name"] == name).count()
    };
    eventually("both are told of, again and again", PATIENCE, || {
        (seen("web") >= 2 && seen("db") >= 2).then_some(())
    });
    let pid = home.sandbox("web")["pid"].as_u64().unwrap();
    let runtime = home.alive().into_iter().find(|it| u64::from(it.pid) == pid).unwrap();
    runtime.kill();
    eventually("the runtime is gone", PATIENCE, || {
        home.alive().iter().all(|it| u64::from(it.pid) != pid).then_some(())
    });
    let (web, db) = (seen("web"), seen("db"));
    eventually("the other goes on", PATIENCE, || (seen("db") >= db + 4).then_some(()));
    assert!(seen("web") <= web + 1, "it is told of after its end");
    watch.signal(Signal::INT);
    watch.wait(PATIENCE).exits(0);
}

#[test]
fn cli_4_11_top_watches_everybody_and_appends_where_nothing_can_be_repainted() {
    let home = up(SHOP);
    let top = home.start(["top", "--interval", "500ms"]);
    eventually("two tables", PATIENCE, || {
        (top.printed().matches("PROJECT  NAME").count() >= 2).then_some(())
    });
    let text = top.printed();
    assert!(text.contains("READ/S") && !text.contains('\x1b'), "{text}");
    top.signal(Signal::INT);
    top.wait(PATIENCE).exits(0);
}
