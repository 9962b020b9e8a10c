//! `export` writes what is as a file, and `adopt` makes a file's what was nobody's.

use serde_json::Value;
use tests::home::Home;

const FILE: &str = r#"project "shop" { labels { team "core" } }
var "SIZE" default="96MiB"
volume "data" { kind "disk"; size "16MiB" }
template "base" { image "builtin:base"; memory "${SIZE}"; stop-grace "1s" }
sandbox "db" { from "base"; command "sleep" "1000"; mount "/data" { named "data" }; env { A "1" } }
sandbox "web" { from "base"; command "sleep" "1000"; replicas 2; depends-on "db"; lifecycle { protect #false } }
job "seed" { from "base"; command "true"; depends-on "db" }
"#;

fn document(home: &Home, words: &[&str]) -> Value {
    let run = home.msb_with(words);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

#[test]
fn sf_x1_what_is_exported_asks_for_what_is() {
    let home = Home::process();
    home.write("Sandboxfile", FILE);
    home.msb(["up"]).exits(0);
    let text = home.msb(["export"]).exits(0).stdout;
    assert!(text.contains("replicas 2") && text.contains("volume \"data\""), "{text}");
    assert!(
        !text.contains("template") && !text.contains("SIZE") && !text.contains("cpus"),
        "{text}"
    );
    for (name, words) in [
        ("again.kdl", &["export", "--force", "-o", "again.kdl"][..]),
        ("again.yaml", &["export", "--force", "--all", "-o", "again.yaml"]),
    ] {
        home.msb_with(words).exits(0);
        home.msb(["-f", name, "diff"]).exits(0);
        assert_eq!(document(&home, &["-f", name, "diff", "--json"])["summary"]["unchanged"], 5);
    }
    home.msb(["export", "-o", "again.kdl"]).exits(77).complains(&["--force"]);
    home.msb(["export", "-o", "x.kdl", "--format", "yaml"]).exits(64);
    let part = home.msb(["export", "seed"]).exits(0).stdout;
    assert!(
        part.contains("job \"seed\"") && part.contains("\"db\"") && !part.contains("web"),
        "{part}"
    );
    home.msb(["export", "sed"]).exits(1).complains(&["`seed`"]);
    // What rests is exported as what it is.
    home.msb(["stop", "web"]).exits(0);
    assert_eq!(home.msb(["export"]).exits(0).stdout, text);
    let shape = document(&home, &["export", "--json"]);
    assert_eq!((&shape["project"], &shape["text"]), (&"shop".into(), &text.as_str().into()));
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_x1_imperative_sandboxes_are_exported_too() {
    let home = Home::process();
    home.msb(["export"]).exits(1).complains(&["msb::project::not-found"]);
    home.msb([
        "create",
        "--name",
        "one",
        "-m",
        "96MiB",
        "-e",
        "A=1",
        "builtin:base",
        "--",
        "sleep",
        "1000",
    ])
    .exits(0);
    let text = home.msb(["export"]).exits(0).stdout;
    assert!(text.contains("sandbox \"one\"") && text.contains("env { A"), "{text}");
    assert_eq!(home.msb(["export", "-p", "adhoc"]).exits(0).stdout, text);
    home.write("one.kdl", &text);
    home.msb(["-f", "one.kdl", "validate"]).exits(0);
    home.msb(["rm", "-f", "one"]).exits(0);
}
