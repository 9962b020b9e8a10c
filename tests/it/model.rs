//! What the files say once they are read: `config` shows it, `explain` says where it comes from.

use serde_json::Value;
use tests::home::Home;

const FILE: &str = r#"project "acme"
var "SIZE" default="96MiB"
var "API_TOKEN" default="not-shown"
secret "gh" { from-env "GH_TOKEN"; hosts "api.example" }
volume "data"
template "small" { memory "64MiB"; env { A "1" } }
sandbox "db" { image "builtin:base"; mount "/data" { named "data" } }
sandbox "web" {
    from "small"
    image "builtin:base"
    replicas 2
    memory "${SIZE}"
    env { N "${replica.index}"; GH secret="gh" }
    depends-on "db"
    network { rules { allow "api.example" protocol="tcp" ports=443 } }
}
job "seed" { image "builtin:base"; command "true"; depends-on "db" }
"#;

const LOCAL: &str = "sandbox \"db\" { memory \"128MiB\" }\n";

fn home() -> Home {
    let home = Home::process();
    home.write("Sandboxfile", FILE);
    home.write("Sandboxfile.local.kdl", LOCAL);
    home
}

fn json(home: &Home, words: &[&str]) -> Value {
    let run = home.msb_with(words).exits(0);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

#[test]
fn sf_x3_config_prints_a_file_that_says_the_same_in_every_notation() {
    let home = home();
    let hashes = json(&home, &["config", "--hash", "--json"]);
    assert_eq!(hashes.as_array().map(Vec::len), Some(4));
    for (notation, name) in [("kdl", "a.kdl"), ("yaml", "a.yaml"), ("json", "a.json")] {
        for full in [&[][..], &["--full"]] {
            let words = [&["config", "--format", notation][..], full].concat();
            let text = home.msb_with(&words).exits(0).stdout;
            assert!(!text.contains("${SIZE}") && !text.contains("template"), "{text}");
            home.write(name, &text);
            assert_eq!(json(&home, &["-f", name, "config", "--hash", "--json"]), hashes, "{text}");
            assert_eq!(
                home.msb_with(&["-f", name, "config", "--format", notation]).exits(0).stdout,
                home.msb_with(&["config", "--format", notation]).exits(0).stdout
            );
        }
    }
    assert_eq!(json(&home, &["config", "--json"])["project"], "acme");
    home.msb(["config", "--format", "kdl", "--json"]).exits(64);
    assert!(!home.path().join("db").exists(), "nothing is written by a look");
}

#[test]
fn sf_x3_config_of_a_name_brings_what_it_needs_and_no_more() {
    let home = home();
    let text = home.msb(["config", "seed"]).exits(0).stdout;
    assert!(text.contains("job \"seed\"") && text.contains("volume \"data\""), "{text}");
    assert!(!text.contains("web") && !text.contains("secret"), "{text}");
    home.write("seed.kdl", &text);
    home.msb(["-f", "seed.kdl", "validate"]).exits(0);
    home.msb(["config", "sed"]).exits(1).complains(&["msb::sandbox::not-found", "`seed`"]);
}

#[test]
fn sf_m4_m5_variables_tell_their_source_and_no_secret() {
    let home = home();
    let rows = json(&home, &["config", "--var", "SIZE=80MiB", "--variables", "--json"]);
    assert_eq!(rows[0]["name"], "API_TOKEN");
    assert_eq!((&rows[0]["value"], &rows[0]["secret"]), (&"***".into(), &true.into()));
    assert_eq!((&rows[1]["value"], &rows[1]["source"]), (&"80MiB".into(), &"command-line".into()));
    let text = home.msb(["config", "--variables"]).exits(0).stdout;
    assert!(text.contains("SIZE") && !text.contains("not-shown"), "{text}");
}

#[test]
fn sf_m11_origins_name_place_and_layer_of_every_value() {
    let home = home();
    let text = home.msb(["config", "--origins"]).exits(0).stdout;
    for line in [
        "project.name = acme  Sandboxfile:1 (project)",
        "db.memory.size = 128 MiB  Sandboxfile.local.kdl:1 (local)",
        "web.memory.size = 96 MiB  Sandboxfile:12 (file)",
        "web.env.A = \"1\"  Sandboxfile:6 (template small)",
        "web[1].env.N = \"1\"  Sandboxfile:13 (file)",
        "web.upper = 4 GiB  (default)",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let rows = json(&home, &["config", "seed", "--origins", "--json"]);
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().all(|row| !row["address"].as_str().unwrap().contains("web")));
}

#[test]
fn config_lists_names_images_and_the_policy_rule_by_rule() {
    let home = home();
    let names = json(&home, &["config", "--names", "--json"]);
    let names: Vec<&str> =
        names.as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(names, ["db", "seed", "web[0]", "web[1]"]);
    let images = json(&home, &["config", "--images", "--json"]);
    assert_eq!(images[0]["reference"], "builtin:base");
    assert_eq!(images[0]["used_by"].as_array().map(Vec::len), Some(4));
    let policy = json(&home, &["config", "--policy", "web", "--json"]);
    let rows: Vec<&Value> =
        policy.as_array().unwrap().iter().filter(|r| r["address"] == "sandbox.web").collect();
    assert_eq!(rows.len(), 2, "{policy}");
    assert_eq!(rows[0]["by"], "rule 1");
    assert_eq!(rows[0]["place"]["line"], 15);
    assert_eq!(rows[1]["policy"], "public: allow public addresses");
    home.msb(["config", "--names", "--hash"]).exits(64);
}

#[test]
fn sf_m11_explain_says_what_a_value_is_where_it_is_written_and_what_it_beats() {
    let home = home();
    let text = home.msb(["explain", "sandbox.web.memory.size"]).exits(0).stdout;
    let expected = "sandbox.web.memory.size = 96 MiB\n  written  Sandboxfile:12:5 (file)\n  \
                    uses     SIZE\n  beats    Sandboxfile:6 (template small)  \
                    template \"small\" { memory \"64MiB\"; env { A \"1\" } }\n  \
                    default  512 MiB\n  class    live\n";
    assert_eq!(text, expected);
    let rows = json(&home, &["explain", "web.1.env", "--json"]);
    let paths: Vec<&str> =
        rows.as_array().unwrap().iter().filter_map(|r| r["path"].as_str()).collect();
    assert_eq!(paths, ["env.A", "env.GH", "env.N"]);
    assert_eq!(rows[1]["value"], "secret:gh");
    home.msb(["explain", "web.memry"]).exits(1).complains(&["msb explain sandbox.web.memory"]);
}

#[test]
fn explain_knows_keys_codes_and_topics() {
    let home = Home::process();
    let text = home.msb(["explain", "memory"]).exits(0).stdout;
    assert!(text.starts_with("sandbox.memory\n") && text.contains("class    live"), "{text}");
    home.msb(["explain", "memoryy"]).exits(1).complains(&["msb explain memory"]);
    assert!(home.msb(["explain", "value::range"]).exits(0).stdout.contains("exit 65"));
    let law = home.msb(["help", "merge"]).exits(0).stdout;
    assert!(law.contains("list: the upper one replaces whole; there is no append"), "{law}");
}

#[test]
fn graph_draws_the_project_and_the_plan_without_any_other_program() {
    let home = home();
    let dot = home.msb(["graph"]).exits(0).stdout;
    for line in [
        "digraph \"acme\" {",
        "    \"sandbox.web\" [label=\"web\\n2 replicas\", shape=box];",
        "    \"sandbox.web\" -> \"sandbox.db\" [label=\"ready\"];",
        "    \"sandbox.db\" -> \"volume.data\" [label=\"/data\", style=dashed];",
    ] {
        assert!(dot.lines().any(|found| found == line), "{line}\n{dot}");
    }
    let svg = home.msb(["graph", "--format", "svg"]).exits(0).stdout;
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains(">2 replicas<"));
    assert!(!svg.contains("href") && !svg.contains("<script"), "{svg}");
    let plan = json(&home, &["graph", "--plan", "--json"]);
    let nodes = plan["nodes"].as_array().unwrap();
    assert!(nodes.iter().any(|n| n["label"] == "s1 prepare\nsandbox.db\nrecreate"), "{plan}");
    let boots = nodes.iter().filter(|n| n["label"].as_str().unwrap().contains(" boot\n"));
    assert_eq!(boots.count(), 4, "{plan}");
    assert!(plan["edges"].as_array().unwrap().iter().all(|edge| edge["kind"] == "before"));
    home.msb(["graph", "--format", "svg", "--json"]).exits(64);
}
