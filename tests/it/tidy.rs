//! The house rules that a machine can hold; docs/STYLE.md and docs/ARCHITECTURE.md say them in words.

use std::fs;

use tests::programs::checkout;
use tests::skip::{LIST, foreseen};
use tests::source::{Source, files, rust};

/// Our crates, and which of the others each may import.
const ARROWS: [(&str, &[&str]); 8] = [
    ("schema", &[]),
    ("tree", &["schema"]),
    ("image", &["schema"]),
    ("orchestrator", &["schema", "tree", "image"]),
    ("runtime", &["schema"]),
    ("agentd", &["schema", "tree"]),
    ("examples", &["schema"]),
    ("tests", &["schema", "tree", "image", "orchestrator", "runtime", "agentd", "examples"]),
];

/// Outside crates, as they are named in code, and the only places that may name them; tests beside
/// the code may look through a door from the other side.
const DOORS: [(&str, &[&str]); 27] = [
    ("saphyr_parser", &["schema/src/sandboxfile/syntax/"]),
    ("minicbor", &["schema/src/wire/"]),
    ("idna", &["schema/src/project/network/host.rs"]),
    ("kdl", &["orchestrator/src/edit", "schema/src/sandboxfile/", "tests/fuzz/src/"]),
    ("libfuzzer_sys", &["tests/fuzz/targets/"]),
    ("miette", &["orchestrator/src/report/", "orchestrator/src/cli/"]),
    ("clap", &["orchestrator/src/cli"]),
    ("petgraph", &["orchestrator/src/plan/"]),
    ("rusqlite", &["orchestrator/src/store/"]),
    ("indicatif", &["orchestrator/src/report/"]),
    ("flate2", &["image/src/", "orchestrator/src/exporter/transport/"]),
    ("zstd", &["image/src/"]),
    ("sha2", &["image/src/", "orchestrator/src/images/"]),
    (
        "rustls",
        &[
            "runtime/src/health/",
            "orchestrator/src/exporter/transport/tls.rs",
            "orchestrator/src/registry/",
        ],
    ),
    ("tokio_rustls", &["orchestrator/src/exporter/transport/tls.rs"]),
    (
        "rustls_native_certs",
        &["orchestrator/src/exporter/transport/tls.rs", "orchestrator/src/registry/trust.rs"],
    ),
    ("oci_client", &["orchestrator/src/registry/"]),
    ("reqwest", &["orchestrator/src/registry/"]),
    ("base64", &["schema/src/encoding.rs"]),
    ("hyper", &["orchestrator/src/exporter/transport/"]),
    ("hyper_util", &["orchestrator/src/exporter/transport/"]),
    ("http_body_util", &["orchestrator/src/exporter/transport/"]),
    ("prost", &["orchestrator/src/exporter/"]),
    ("landlock", &["runtime/src/jail/", "orchestrator/src/images/confine.rs"]),
    ("seccompiler", &["runtime/src/jail/", "orchestrator/src/images/confine/"]),
    ("::krun", &["runtime/src/sys/"]),
    ("libc", &["/sys/", "/sys.rs", "/calls.rs", "/lists.rs", "/syscalls.rs", "tests/"]),
];

fn ours() -> Vec<Source> {
    ARROWS.iter().flat_map(|(name, _)| rust(name)).collect()
}

/// Returns the lines of a file that are code, with their numbers from 1.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_start()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_file_opens_with_its_purpose() {
    let found: Vec<_> = ours()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! ") && !source.text.starts_with("#!/"))
        .map(|source| source.path)
        .collect();
    none("files without a purpose", &found);
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let long = ours().into_iter().filter(|source| source.text.lines().count() > 600);
    none("split these", &long.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn crates_import_along_the_arrows() {
    let names: Vec<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut found = Vec::new();
    for (name, may) in ARROWS {
        let manifest = fs::read_to_string(checkout().join(name).join("Cargo.toml")).unwrap();
        for line in manifest.lines() {
            let key: String =
                line.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
            if line != format!("name = \"{key}\"")
                && names.contains(&key.as_str())
                && !may.contains(&key.as_str())
            {
                found.push(format!("{name}/Cargo.toml: {line}"));
            }
        }
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{name} does not take the house's lints"
        );
    }
    none("imports against the arrows", &found);
}

#[test]
fn outside_crates_come_in_by_their_doors() {
    let mut found = Vec::new();
    for source in ours() {
        for (name, doors) in DOORS {
            let is_test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
            if is_test || doors.iter().any(|door| source.path.contains(door)) {
                continue;
            }
            let path = format!("{name}::");
            let names_it = |line: &str| {
                line.match_indices(&path).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
                })
            };
            for (number, _) in code(&source).filter(|(_, line)| names_it(line)) {
                found.push(format!("{}:{number}: {name}", source.path));
            }
        }
    }
    none("outside crates away from their doors", &found);
}

#[test]
fn unsafe_stands_only_in_sys() {
    let mut found = Vec::new();
    for source in ours() {
        if source.path.contains("/sys/") || source.path.ends_with("/sys.rs") {
            continue;
        }
        for (number, line) in code(&source) {
            if ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|word| line.starts_with(word) || line.contains(&format!(" {word}")))
            {
                found.push(format!("{}:{number}", source.path));
            }
        }
    }
    found.retain(|place| !place.starts_with("tests/it/tidy.rs"));
    none("unsafe outside sys", &found);
}

#[test]
fn exceptions_to_lints_say_why() {
    let mut found = Vec::new();
    for source in ours() {
        for (number, line) in code(&source) {
            if line.starts_with("#[allow(") || line.starts_with("#![allow(") {
                found.push(format!("{}:{number}: {line}", source.path));
            }
        }
    }
    none("write #[expect(…, reason = \"…\")]", &found);
}

#[test]
fn no_drawer_is_called_util() {
    let drawers = ["common", "util", "utils", "helper", "helpers", "manager", "misc"];
    let named = |source: &Source| {
        source.path.split('/').any(|part| drawers.contains(&part.trim_end_matches(".rs")))
    };
    none(
        "name the noun",
        &ours().into_iter().filter(named).map(|source| source.path).collect::<Vec<_>>(),
    );
}

#[test]
fn no_test_file_is_forgotten() {
    let mut found = Vec::new();
    for suite in ["it", "battery", "vm"] {
        let folder = checkout().join("tests").join(suite);
        let main = fs::read_to_string(folder.join("main.rs")).unwrap();
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let module = name.trim_end_matches(".rs");
            if module != "main" && !main.lines().any(|line| line == format!("mod {module};")) {
                found.push(format!("tests/{suite}/{name}"));
            }
        }
    }
    none("not in main.rs", &found);
}

#[test]
fn every_module_of_schema_is_used_by_two_crates() {
    let lib = fs::read_to_string(checkout().join("schema/src/lib.rs")).unwrap();
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let crates: Vec<_> =
        ARROWS.iter().map(|(name, _)| *name).filter(|name| *name != "schema").collect();
    let texts: Vec<(&str, String)> = crates
        .iter()
        .map(|name| (*name, rust(name).into_iter().map(|source| source.text).collect()))
        .collect();
    // What only the command reads, and others will: the reason stands beside the name.
    let one_reader = [
        ("sandboxfile", "the language; the suites and bindings read it through the command"),
        ("exit", "the runtime does not exit for people"),
        ("event", "the runtime writes it; msb takes it over with `msb events`"),
        ("change", "the plan's classes; bindings read them later"),
        ("widening", "the plan's grants; bindings read them later"),
        ("project", "the wish; examples and bindings read it later"),
        ("policy", "what may be reached; the runtime asks it once it has a network"),
        ("name", "checked text inside the shapes that cross"),
        ("units", "numbers with units inside the shapes that cross"),
    ];
    let mut found = Vec::new();
    for module in modules.filter(|module| !one_reader.iter().any(|(name, _)| name == module)) {
        let users = texts.iter().filter(|(_, text)| uses(text, module)).count();
        if users < 2 {
            found.push(format!("schema::{module}: {users}"));
        }
    }
    none("a type enters schema only if it crosses a boundary", &found);
}

/// Whether a crate's text names a module of `schema`, alone or in braces.
fn uses(text: &str, module: &str) -> bool {
    text.contains(&format!("schema::{module}"))
        || text.match_indices("use schema::{").any(|(at, _)| {
            let list = &text[at..];
            list[..list.find("};").unwrap_or(list.len())].contains(module)
        })
}

#[test]
fn scripts_stop_at_the_first_failure() {
    let scripts = [
        "setup",
        "test",
        ".ci/run",
        ".ci/newcomer",
        "tests/fuzz/run",
        ".ci/nightly",
        "runtime/kernel/build",
        "runtime/base/build",
        "tests/fixtures/debian-image",
        "tests/fixtures/state-1",
    ];
    let lax = scripts.iter().filter(|path| {
        fs::read_to_string(checkout().join(path))
            .is_ok_and(|text| !text.contains("set -euo pipefail"))
    });
    none("set -euo pipefail", &lax.map(|path| (*path).to_owned()).collect::<Vec<_>>());
}

#[test]
fn every_foreseen_skip_belongs_to_a_test() {
    let mut texts: String = rust("tests").into_iter().map(|source| source.text).collect();
    texts += &fs::read_to_string(checkout().join(".ci/run")).unwrap();
    let written = LIST.lines().filter(|line| line.starts_with("skip ")).count();
    assert_eq!(foreseen().len(), written);
    for skip in foreseen() {
        let called = texts.contains(&format!("skip(\"{}\")", skip.id))
            || texts.contains(&format!("skip: {}: ", skip.id));
        assert!(called, "{}: its test is gone", skip.id);
    }
}

#[test]
fn decisions_are_short() {
    let long =
        files("docs/decisions", "md").into_iter().filter(|page| page.text.lines().count() > 60);
    none("one page, 10 to 25 lines", &long.map(|page| page.path).collect::<Vec<_>>());
}
