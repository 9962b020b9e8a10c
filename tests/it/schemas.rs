//! The schemas that `msb schema` prints hold for what people write and for what commands print.

use std::time::Duration;

use serde_json::{Value, json};
use tests::home::Home;
use tests::json_schema::{faults, fits, of_yaml};
use tests::programs::checkout;
use tests::run::Run;

use schema::sandboxfile::describe::{Keys, json_schema};

const WORKED: &str = include_str!("../../schema/src/sandboxfile/print/tests/worked.yaml");

fn schema(home: &Home, topic: &str) -> Value {
    serde_json::from_str(&home.msb(["schema", topic]).exits(0).stdout).unwrap()
}

/// Runs `msb` with any number of words.
fn run(home: &Home, words: &[&str]) -> Run {
    let mut command = home.command();
    command.args(words);
    home.spawn(command).wait(Duration::from_secs(60))
}

/// Returns a Sandboxfile of either format as an editor of YAML sees it.
fn seen(home: &Home, name: &str, text: &str) -> Value {
    if name.ends_with(".yaml") {
        return of_yaml(text);
    }
    home.write(name, text);
    of_yaml(&home.msb(["convert", name, "--to", "yaml"]).exits(0).stdout)
}

#[test]
fn sf_x5_every_example_fits_the_schema() {
    let home = Home::process();
    let schema = schema(&home, "sandboxfile");
    for example in examples::ALL {
        fits(&schema, &seen(&home, example.file, example.text));
    }
    let read = |name: &str| std::fs::read_to_string(checkout().join(name)).unwrap();
    fits(&schema, &seen(&home, "Sandboxfile.example", &read("Sandboxfile.example")));
    let readme = read("README.md");
    let block = readme.split("```kdl\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    fits(&schema, &seen(&home, "readme.kdl", block));
    fits(&json_schema(Keys::All), &of_yaml(WORKED));
}

#[test]
fn sf_x5_what_msb_refuses_does_not_fit_the_schema() {
    let schema = json_schema(Keys::All);
    for (text, at) in [
        ("sandboxes: {a: {memmory: 1GiB}}", "$.sandboxes.a"),
        ("sandboxes: {a: {memory: 512MB}}", "$.sandboxes.a"),
        ("sandboxes: {a: {cpus: 256}}", "$.sandboxes.a"),
        ("sandboxes: {a: {cpus: {max: 2}}}", "$.sandboxes.a"),
        ("sandboxes: {A: {image: x}}", "$.sandboxes.A"),
        ("sandbox: {a: {image: x}}", "$.sandbox"),
        ("sandboxes: {a: {command: true}}", "$.sandboxes.a"),
        ("sandboxes: {a: {stop-grace: 10}}", "$.sandboxes.a"),
        ("sandboxes: {a: {env: {MSB_X: y}}}", "$.sandboxes.a"),
        ("sandboxes: {a: {ports: [{host: 80}]}}", "$.sandboxes.a"),
        ("network: {rules: [{ports: 80}]}", "$.network.rules[0]"),
        ("network: {rules: [{allow: any, deny: any}]}", "$.network.rules[0]"),
        ("vars: {A: {default: 1, pattern: \"x\", from: y}}", "$.vars.A"),
    ] {
        let found = faults(&schema, &of_yaml(text));
        assert!(found.iter().any(|fault| fault.starts_with(at)), "{text}: {found:?}");
    }
    for text in [
        "sandboxes: {a: {memory: \"${SIZE}\", cpus: \"2\", command: null, restart: \"no\"}}",
        "sandboxes: {a: {command: sh, user: 1000, image: {ref: \"x:${TAG}\"}}, b: }",
        "jobs: {a: {depends-on: {b: , c: {until: started}}}}",
    ] {
        fits(&schema, &of_yaml(text));
    }
}

#[test]
fn the_documents_of_commands_fit_their_schemas() {
    let home = Home::process();
    let (output, plan) = (schema(&home, "output"), schema(&home, "plan"));
    home.write(
        "Sandboxfile",
        "project \"shop\"\nvolume \"data\" { kind \"disk\"; size \"16MiB\" }\n\
         sandbox \"db\" { image \"builtin:base\"; command \"sleep\" \"1000\"; mount \"/data\" { named \"data\" } }\n\
         job \"once\" { image \"builtin:base\"; command \"true\"; depends-on \"db\" }\n",
    );
    let document = |words: &[&str], code: i32| -> Value {
        let run = run(&home, &[&["--json"], words].concat()).exits(code);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
    };
    let check = |name: &str, words: &[&str], code: i32| {
        let document = document(words, code);
        fits(&output, &json!({ name: document }));
    };
    fits(&plan, &document(&["diff"], 2));
    check("plan", &["plan"], 0);
    check("ps", &["ps"], 0);
    check("up", &["up"], 0);
    fits(&plan, &document(&["plan"], 0));
    check("ps", &["ps"], 0);
    check("list", &["list"], 0);
    check("inspect", &["inspect", "db"], 0);
    check("metrics", &["metrics"], 0);
    check("net test", &["net", "test", "db", "a.example:443"], 0);
    check("net test", &["net", "test", "db", "10.0.0.1:443/udp"], 1);
    check("volume ls", &["volume", "ls"], 0);
    check("volume inspect", &["volume", "inspect", "data"], 0);
    check("volume create", &["volume", "create", "v", "--kind", "disk", "--size", "16MiB"], 0);
    check("volume rm", &["volume", "rm", "v"], 0);
    check("volume restore", &["volume", "restore", "v"], 0);
    check("image ls", &["image", "ls"], 0);
    check("agent-socket", &["agent-socket", "db"], 0);
    check("wait", &["wait", "db", "--for", "ready"], 0);
    check("stop", &["stop", "db"], 0);
    check("diff", &["diff"], 2);
    check("start", &["start", "db"], 0);
    check("validate", &["validate"], 0);
    check("fmt", &["fmt", "--check"], 0);
    check("convert", &["convert", "Sandboxfile", "--to", "yaml"], 0);
    check("explain", &["explain", "ref::cycle"], 0);
    check("explain --list", &["explain", "--list"], 0);
    check("init", &["init", "fresh"], 0);
    check("exec", &["exec", "-T", "db", "--", "echo", "hello"], 0);
    check("down", &["down"], 0);
    check("down", &["down"], 0);
}

#[test]
fn failures_and_warnings_fit_their_schemas() {
    let home = Home::process();
    let mut lines = schema(&home, "output");
    home.write("Sandboxfile", "sandbox \"a\" {\n memmory 1\n}\n");
    for (words, shape) in [
        (&["--json", "up"][..], "ErrorLine"),
        (&["--json", "exec", "nobody", "--", "true"], "ErrorLine"),
        (&["--json", "upp"], "ErrorLine"),
    ] {
        let run = run(&home, words);
        let line = run.stderr.lines().find(|line| line.starts_with('{')).unwrap();
        lines["properties"] = json!({"line": {"$ref": format!("#/$defs/{shape}")}});
        fits(&lines, &json!({"line": serde_json::from_str::<Value>(line).unwrap()}));
    }
}

#[test]
fn the_command_tree_says_every_flag_with_its_type_and_default() {
    let home = Home::process();
    let tree = schema(&home, "cli");
    let commands = tree["commands"].as_array().unwrap();
    let fmt = commands.iter().find(|command| command["name"] == "fmt").unwrap();
    let check = fmt["flags"].as_array().unwrap().iter().find(|flag| flag["long"] == "--check");
    assert_eq!(check.unwrap()["type"], "boolean");
    assert_eq!(check.unwrap()["default"], "off");
    let run = commands.iter().find(|command| command["name"] == "run").unwrap();
    let memory = run["flags"].as_array().unwrap().iter().find(|flag| flag["long"] == "--memory");
    assert_eq!(
        (&memory.unwrap()["type"], &memory.unwrap()["default"]),
        (&json!("size"), &json!("512MiB"))
    );
    let names: Vec<&str> = commands.iter().filter_map(|command| command["name"].as_str()).collect();
    assert!(names.contains(&"schema") && names.contains(&"init") && names.contains(&"convert"));
    let output =
        tree["global_flags"].as_array().unwrap().iter().find(|flag| flag["long"] == "--output");
    assert_eq!(output.unwrap()["choices"], json!(["text", "json", "ndjson", "markdown"]));
}
