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

const CREATE: [&str; 10] =
    ["create", "--name", "one", "-m", "96MiB", "-e", "A=1", "builtin:base", "--", "sleep"];

fn create(home: &Home) {
    home.msb_with(&[&CREATE[..], &["1000"]].concat()).exits(0);
}

/// Returns what is known of a sandbox, in whatever project.
fn known(home: &Home, name: &str) -> Value {
    document(home, &["inspect", name, "--json"])[0].clone()
}

#[test]
fn sf_x2_what_was_nobodys_is_taken_over_running_and_untouched() {
    let home = Home::process();
    create(&home);
    let before = known(&home, "adhoc/one")["pid"].clone();
    let text = "// mine\nproject \"shop\"\n\nsandbox \"web\" { image \"builtin:base\" } // last\n";
    home.write("Sandboxfile", text);
    let node = home.msb(["adopt", "one", "--print"]).exits(0).stdout;
    assert!(
        node.starts_with("sandbox \"one\" {\n") && node.contains("\"sleep\" \"1000\""),
        "{node}"
    );
    assert_eq!(std::fs::read_to_string(home.project().join("Sandboxfile")).unwrap(), text);
    let run = home.msb(["adopt", "adhoc/one"]).exits(0);
    let said = format!("adhoc/one: adopted as one, running, pid {before}\n");
    assert_eq!(run.stdout, said, "{run}");
    let now = std::fs::read_to_string(home.project().join("Sandboxfile")).unwrap();
    assert_eq!(now, format!("{text}\n{node}"), "every other byte stays");
    let after = known(&home, "shop/one");
    assert_eq!((&after["pid"], &after["definition"]), (&before, &"current".into()));
    home.msb(["diff", "one"]).exits(0);
    home.msb(["adopt", "one"]).exits(1).complains(&["msb::sandbox::not-found"]);
    home.msb(["up", "one"]).exits(0);
    home.msb(["rm", "-f", "one"]).exits(77);
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_x2_a_name_of_its_own_and_a_node_that_is_there_already() {
    let home = Home::process();
    create(&home);
    let node = "sandbox \"two\" { image \"builtin:base\"; memory \"96MiB\"; env { A \"1\" }; \
                command \"sleep\" \"1000\"; restart \"no\" }\n";
    home.write(
        "Sandboxfile",
        &format!("project \"shop\" {{ labels {{ team \"core\" }} }}\n{node}"),
    );
    let was = known(&home, "adhoc/one");
    let shape = document(&home, &["adopt", "one", "--as", "two", "--json"]);
    assert_eq!(shape["address"], "sandbox.two");
    assert_eq!((&shape["was"], &shape["line"]), (&"adhoc/one".into(), &2.into()));
    assert_eq!(home.sandbox("two")["pid"], was["pid"]);
    // What only state knows follows with the next run, and the machine goes on.
    home.msb(["up"]).exits(0);
    assert_eq!(home.sandbox("two")["labels"]["team"], "core");
    assert_eq!(home.sandbox("two")["pid"], was["pid"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_x2_a_node_goes_into_yaml_as_well() {
    let home = Home::process();
    home.msb(["volume", "create", "data", "--kind", "disk", "--size", "16MiB"]).exits(0);
    home.msb_with(&[&CREATE[..5], &["-v", "data:/data"], &CREATE[5..], &["1000"]].concat())
        .exits(0);
    let text = "# mine\nproject: shop  # it\nsandboxes:\n  # the one\n  web:\n    image: builtin:base\n\
                \x20   memory: 96MiB\n\njobs: {}\n";
    home.write("Sandboxfile.yaml", text);
    let before = known(&home, "adhoc/one")["pid"].clone();
    home.msb(["adopt", "one"]).exits(0);
    let path = home.project().join("Sandboxfile.yaml");
    let now = std::fs::read_to_string(&path).unwrap();
    let (head, tail) = text.split_once("\njobs").unwrap();
    assert!(now.starts_with(&format!("{head}  one:\n")), "{now}");
    assert!(now.contains(&format!("\njobs{tail}\nvolumes:\n  data:")), "{now}");
    assert_eq!(known(&home, "shop/one")["pid"], before);
    home.msb(["diff", "one"]).exits(0);
    home.msb(["down"]).exits(0);
    home.write(
        "Sandboxfile.yaml",
        "project: shop\nvolumes:\n    other: {kind: disk, size: 16MiB}\n",
    );
    home.msb(["adopt", "volume.data"]).exits(0);
    let now = std::fs::read_to_string(&path).unwrap();
    assert!(now.ends_with("16MiB}\n    data:\n      kind: disk\n      size: 16MiB\n"), "{now}");
    home.msb(["up"]).exits(0);
    home.msb(["diff"]).exits(0);
}

#[test]
fn sf_i6_what_does_not_fit_is_refused_and_nothing_is_written() {
    let home = Home::process();
    create(&home);
    let other = "project \"shop\"\nsandbox \"one\" { image \"builtin:base\"; memory \"128MiB\" }\n";
    home.write("Sandboxfile", other);
    let run = home.msb(["adopt", "one"]).exits(77);
    run.complains(&["msb::owner::differs", "memory.size", "command"]);
    home.msb(["adopt", "one", "--as", "three", "--print"]).exits(0);
    home.msb(["adopt", "--moved", "one"]).exits(64);
    home.write("other.yaml", "{project: shop}\n");
    let run = home.msb(["-f", "other.yaml", "adopt", "one"]).exits(1);
    run.complains(&["not supported yet", "--print"]);
    let node = home.msb(["-f", "other.yaml", "adopt", "one", "--print"]).exits(0).stdout;
    assert!(node.starts_with("sandboxes:\n  one:\n"), "{node}");
    assert_eq!(std::fs::read_to_string(home.project().join("Sandboxfile")).unwrap(), other);
    assert_eq!(known(&home, "adhoc/one")["definition"], "imperative");
    // What the project says of all is kept away from it, as far as the file can.
    home.write("Sandboxfile", "project \"shop\" { driver \"qemu\" }\n");
    home.msb(["adopt", "one"]).exits(0);
    home.msb(["diff", "one"]).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn sf_i3_i4_a_project_that_moved_is_tied_to_its_file_again() {
    let home = Home::process();
    let one = "project \"shop\"\nvolume \"data\" { kind \"disk\"; size \"16MiB\" }\n\
               sandbox \"web\" { image \"builtin:base\"; memory \"96MiB\"; command \"sleep\" \"1000\"; \
               mount \"/data\" { named \"data\" } }\n";
    home.write("Sandboxfile", one);
    home.msb(["up"]).exits(0);
    let pid = known(&home, "shop/web")["pid"].clone();
    home.msb(["adopt", "--moved"]).exits(1).complains(&["has not moved"]);
    // Another name in the same folder.
    home.write("Sandboxfile", &one.replace("shop", "store"));
    home.msb(["up"]).exits(77).complains(&["msb::owner::renamed", "msb adopt --moved"]);
    let shape = document(&home, &["adopt", "--moved", "--json"]);
    assert_eq!((&shape["address"], &shape["was"]), (&"project.store".into(), &"shop".into()));
    assert_eq!(known(&home, "store/web")["pid"], pid);
    let volumes = home.path().join("volumes");
    assert!(volumes.join("store.data").is_dir() && !volumes.join("shop.data").exists());
    home.msb(["diff"]).exits(0);
    // The same name in another folder.
    std::fs::create_dir(home.project().join("elsewhere")).unwrap();
    home.write("elsewhere/Sandboxfile", &one.replace("shop", "store"));
    let there = ["-f", "elsewhere/Sandboxfile"];
    home.msb_with(&[&there[..], &["up"]].concat()).exits(77).complains(&["msb::owner::elsewhere"]);
    let run = home.msb_with(&[&there[..], &["adopt", "--moved"]].concat()).exits(0);
    assert!(run.stdout.starts_with("store: adopted from "), "{run}");
    home.msb_with(&[&there[..], &["diff"]].concat()).exits(0);
    assert_eq!(known(&home, "store/web")["pid"], pid);
    home.msb(["up"]).exits(77).complains(&["msb::owner::elsewhere"]);
    home.msb_with(&[&there[..], &["restart", "store/web"]].concat()).exits(0);
    home.msb_with(&[&there[..], &["down"]].concat()).exits(0);
}
