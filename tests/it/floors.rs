//! What is linked in: floors, bans, licences, sources, duplicates. Offline, on every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::programs::checkout;

/// Crate, least version, why.
const FLOORS: [(&str, &str, &str); 18] = [
    ("tar", "0.4.45", "RUSTSEC-2026-0067, -0068: permissions through links, PAX size ignored"),
    ("astral-tokio-tar", "0.6.2", "RUSTSEC-2026-0112, -0113, -0145"),
    ("rustls", "0.23.45", "RUSTSEC-2026-0285"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0049, -0098, -0099, -0104"),
    ("h2", "0.4.16", "RUSTSEC-2026-0258: unbounded empty frames"),
    (
        "hickory-proto",
        "0.26.1",
        "RUSTSEC-2026-0118, -0119, -0120: unbounded work on crafted messages",
    ),
    ("hickory-net", "0.26.1", "the same"),
    ("russh", "0.62.4", "CVE-2026-73429 and the repairs before authentication of 0.60 and 0.61"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055: escapes in log output"),
    ("bytes", "1.11.1", "RUSTSEC-2026-0007"),
    ("crossbeam-epoch", "0.9.20", "RUSTSEC-2026-0204"),
    ("kdl", "6.7.0", "older lines lack KDL 2"),
    ("saphyr-parser", "0.0.6", "older lines lack budgets"),
    ("saphyr", "0.0.6", "older lines lack budgets"),
    ("smoltcp", "0.14.0", "the line current when this was written"),
    ("landlock", "0.4.7", "the line current when this was written"),
    ("seccompiler", "0.5.0", "the line current when this was written"),
    ("rusqlite", "0.41.0", "the line current when this was written"),
];

/// Licences that may be linked in, as deny.toml says.
const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
];

#[derive(Debug)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
}

fn locked() -> Vec<Locked> {
    let text = fs::read_to_string(checkout().join("Cargo.lock")).unwrap();
    let field = |block: &str, key: &str| {
        let start = format!("{key} = \"");
        block
            .lines()
            .find_map(|line| Some(line.strip_prefix(&start)?.trim_end_matches('"').to_owned()))
    };
    text.split("[[package]]")
        .skip(1)
        .map(|block| Locked {
            name: field(block, "name").unwrap(),
            version: field(block, "version").unwrap(),
            source: field(block, "source"),
        })
        .collect()
}

/// What Linux on x86-64 links in; Cargo.lock names other systems' crates too.
fn metadata() -> Value {
    let cargo = env!("CARGO");
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(checkout())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn numbers(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap();
    plain.split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn no_crate_is_below_its_floor() {
    for Locked { name, version, .. } in locked() {
        let Some((_, floor, why)) = FLOORS.iter().find(|(floored, ..)| *floored == name) else {
            continue;
        };
        assert!(numbers(&version) >= numbers(floor), "{name} {version} is below {floor}: {why}");
        assert!(!version.contains('-'), "{name} {version} is a pre-release");
    }
}

#[test]
fn banned_crates_are_nowhere() {
    let policy = fs::read_to_string(checkout().join("deny.toml")).unwrap();
    let banned: BTreeSet<_> = between(&policy, "\ndeny = [", "\n]")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ name = \"")?.split('"').next())
        .collect();
    assert!(banned.len() >= 8, "deny.toml names what is banned");
    for Locked { name, .. } in locked() {
        assert!(!banned.contains(name.as_str()), "{name} is banned in deny.toml");
    }
}

#[test]
fn every_crate_comes_from_the_registry() {
    for Locked { name, source, .. } in locked() {
        let allowed = source
            .as_deref()
            .is_none_or(|source| source == "registry+https://github.com/rust-lang/crates.io-index");
        assert!(allowed, "{name} comes from {source:?}");
    }
}

#[test]
fn no_dependency_is_a_wildcard() {
    let manifest = fs::read_to_string(checkout().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("= \"*\""), "a version says what was tried");
}

#[test]
fn licences_are_on_the_list() {
    let policy = fs::read_to_string(checkout().join("deny.toml")).unwrap();
    for licence in LICENCES {
        assert!(policy.contains(&format!("    \"{licence}\",")), "{licence} is not in deny.toml");
    }
    let named = between(&policy, "exceptions = [", "\n]");
    let metadata = metadata();
    let mut strange = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let expression = package["license"].as_str().unwrap_or("none");
        let excepted = named.contains(&format!("name = \"{name}\""))
            && named.contains(&format!("\"{expression}\""));
        if !is_allowed(expression) && !excepted {
            strange.push(format!("{name}: {expression}"));
        }
    }
    assert!(strange.is_empty(), "{strange:#?}");
}

/// Whether one side of every `OR` is made of allowed licences.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], "");
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())))
}

#[test]
fn a_licence_expression_needs_each_of_its_parts() {
    assert!(is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("(MIT OR GPL-3.0-only) AND Unicode-3.0"));
    assert!(!is_allowed("MIT AND GPL-3.0-only"));
    assert!(!is_allowed("MPL-2.0"));
}

#[test]
fn duplicate_versions_are_on_the_list() {
    let policy = fs::read_to_string(checkout().join("deny.toml")).unwrap();
    let list = between(&policy, "skip = [", "\n]");
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let metadata = metadata();
    let in_graph: BTreeSet<_> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    for package in metadata["packages"].as_array().unwrap() {
        if in_graph.contains(package["id"].as_str().unwrap()) {
            let name = package["name"].as_str().unwrap().to_owned();
            versions
                .entry(name)
                .or_default()
                .insert(package["version"].as_str().unwrap().to_owned());
        }
    }
    versions.retain(|name, versions| {
        versions.len() > 1 && !list.contains(&format!("name = \"{name}\""))
    });
    assert!(versions.is_empty(), "deny.toml has no reason for these: {versions:#?}");
}

/// Returns the part of a text between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or(rest, |(part, _)| part)
}

#[test]
fn every_crate_we_ask_for_has_its_line() {
    let page = fs::read_to_string(checkout().join("docs/decisions/dependencies.md")).unwrap();
    let manifest = fs::read_to_string(checkout().join("Cargo.toml")).unwrap();
    let table = between(&manifest, "[workspace.dependencies]\n", "\n[");
    let asked = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "));
    for (name, _) in asked.filter(|(_, said)| !said.contains("path = ")) {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/decisions/dependencies.md does not say why {name}"
        );
    }
}
