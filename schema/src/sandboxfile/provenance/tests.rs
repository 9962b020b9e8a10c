//! Leaves of files that lie over one another.

use super::*;
use crate::sandboxfile::resolve::{ResolveInputs, Tracing, resolve};
use crate::sandboxfile::source::{Format, SourceFile};

const FILE: &str = r#"project "acme" { labels { team "core" } }
var "SIZE" default="1GiB"
secret "gh" { from-env "GH"; hosts "api.example" }
template "base" {
    memory "256MiB"
    env { A "1"; B "2" }
}
sandbox "web" {
    from "base"
    image "builtin:base"
    memory "${SIZE}"; workdir "/${SIZE}"
    mount "/data" { named "data"; options "ro" }
    env { B "3"; GH secret="gh" }
    network { preset "public"; rules { allow "any"; deny "any" } }
}
sandbox "many" { image "builtin:base"; replicas 2; env { N "${replica.index}"; M "m" } }
volume "data" { quota "1GiB" }
"#;

const LOCAL: &str = "sandbox \"web\" { memory \"1GiB\" max=\"4GiB\"; env { A \"local\" } }\n";

fn read() -> Vec<Leaf> {
    let file = |path: &str, text: &str| SourceFile {
        path: path.into(),
        bytes: text.as_bytes().to_vec(),
        format: Format::Kdl,
    };
    let files = [file("Sandboxfile", FILE), file("Sandboxfile.local.kdl", LOCAL)];
    let inputs = ResolveInputs {
        folder: "/srv/acme".into(),
        tracing: Tracing::On,
        ..ResolveInputs::default()
    };
    let resolved = resolve(&files, &inputs).unwrap_or_else(|failed| panic!("{}", failed.plain()));
    leaves(&resolved, files.len())
}

fn line(leaf: &Leaf) -> String {
    let place = leaf
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!("{}:{} ", place.file, place.line));
    let Leaf { address, path, value, layer, .. } = leaf;
    format!("{address}.{path} = {value}  {place}({layer})")
}

#[test]
fn sf_m11_every_leaf_knows_its_place_and_its_layer() {
    let lines: Vec<String> = read().iter().map(line).collect();
    for expected in [
        "project.labels.team = core  Sandboxfile:1 (project)",
        "secret.gh.source = env:GH  Sandboxfile:3 (file)",
        "secret.gh.require-tls = true  (default)",
        "volume.data.quota = 1 GiB  Sandboxfile:17 (file)",
        "sandbox.web.memory.size = 1 GiB  Sandboxfile.local.kdl:1 (local)",
        "sandbox.web.memory.max = 4 GiB  Sandboxfile.local.kdl:1 (local)",
        "sandbox.web.env.A = \"local\"  Sandboxfile.local.kdl:1 (local)",
        "sandbox.web.env.B = \"3\"  Sandboxfile:13 (file)",
        "sandbox.web.labels.team = \"core\"  Sandboxfile:1 (project)",
        "sandbox.web.mounts./data = named data  Sandboxfile:12 (file)",
        "sandbox.web.network.rules.1 = deny any  Sandboxfile:14 (file)",
        "sandbox.web.secrets.gh.source = env:GH  Sandboxfile:3 (file)",
        "sandbox.web.upper = 4 GiB  (default)",
        "sandbox.many.replicas = 2  Sandboxfile:16 (file)",
        "sandbox.many[1].env.N = \"1\"  Sandboxfile:16 (file)",
        "sandbox.many.env.M = \"m\"  Sandboxfile:16 (file)",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{}", lines.join("\n"));
    }
}

#[test]
fn sf_m11_a_leaf_knows_its_variables_its_class_and_what_it_beat() {
    let leaves = read();
    let leaf = |address: &str, path: &str| {
        leaves.iter().find(|leaf| leaf.address == address && leaf.path == path).unwrap()
    };
    let memory = leaf("sandbox.web", "memory.size");
    assert_eq!(leaf("sandbox.web", "workdir").variables, ["SIZE"]);
    assert_eq!(memory.default.as_deref(), Some("512 MiB"));
    assert_eq!(memory.cost.map(|cost| cost.to_string()).as_deref(), Some("live"));
    let beat: Vec<String> = memory
        .beaten
        .iter()
        .map(|beat| format!("{} {} ({}) by {}", beat.place.line, beat.text, beat.layer, beat.by))
        .collect();
    assert_eq!(
        beat,
        [
            "11 memory \"${SIZE}\"; workdir \"/${SIZE}\" (file) by Sandboxfile.local.kdl",
            "5 memory \"256MiB\" (template base) by the sandbox itself"
        ]
    );
    assert!(leaf("sandbox.web", "upper").beaten.is_empty());
    let env = leaf("sandbox.web", "env.A");
    assert_eq!(env.beaten.len(), 1, "{env:?}");
}
