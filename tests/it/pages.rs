//! The pages say what is true: links lead somewhere, commands exist, numbers match.

use std::fs;
use std::path::Path;

use regex::Regex;
use schema::exit::Kind;
use tests::golden;
use tests::home::Home;
use tests::programs::checkout;
use tests::reference;
use tests::source::{Source, files};

fn pages() -> Vec<Source> {
    let mut pages = files("docs", "md");
    for name in ["README.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(checkout().join(name)).unwrap();
        pages.push(Source { path: name.to_owned(), text });
    }
    pages
}

#[test]
fn links_lead_to_files_that_exist() {
    let link = Regex::new(r"\]\(([^)#:]+)\)").unwrap();
    for page in pages() {
        let folder = checkout().join(&page.path).parent().map(Path::to_path_buf).unwrap();
        for found in link.captures_iter(&page.text) {
            assert!(folder.join(&found[1]).exists(), "{}: {}", page.path, &found[1]);
        }
    }
}

#[test]
fn the_reference_of_the_language_is_fresh() {
    golden::check_page("docs/reference/sandboxfile.md", &reference::sandboxfile());
}

#[test]
fn the_reference_of_the_command_line_is_fresh() {
    let home = Home::process();
    let tree = home.msb(["schema", "cli"]).exits(0).stdout;
    let tree = serde_json::from_str(&tree).unwrap();
    golden::check_page("docs/reference/cli.md", &reference::cli(&tree));
}

#[test]
fn sf_x5_the_schema_beside_the_reference_is_fresh() {
    let home = Home::process();
    let schema = home.msb(["schema"]).exits(0).stdout;
    golden::check_page("docs/reference/sandboxfile.schema.json", &schema);
}

#[test]
fn every_exit_code_stands_in_the_reference() {
    let page = fs::read_to_string(checkout().join("docs/reference/exit-codes.md")).unwrap();
    for kind in Kind::ALL {
        let row = format!("| {} |", kind.code());
        assert!(page.contains(&row), "docs/reference/exit-codes.md has no row {row} for {kind:?}");
    }
}

#[test]
fn the_architecture_page_is_short() {
    let page = fs::read_to_string(checkout().join("docs/ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 250);
}

#[test]
fn every_command_that_the_readme_types_exists() {
    let home = Home::process();
    let help = home.msb(["--help"]).exits(0).stdout;
    let typed = Regex::new(r"(?m)^msb (?:-[fp] \S+ )?([a-z]+)").unwrap();
    let readme = fs::read_to_string(checkout().join("README.md")).unwrap();
    let mut count = 0;
    for found in typed.captures_iter(&readme) {
        count += 1;
        assert!(
            help.contains(&found[1]),
            "README.md types `msb {}`, --help does not know it",
            &found[1]
        );
    }
    assert!(count >= 5, "the README shows commands");
}

#[test]
fn the_sandboxfile_of_the_readme_is_valid() {
    let readme = fs::read_to_string(checkout().join("README.md")).unwrap();
    let block = readme.split("```kdl\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let home = Home::process();
    home.write("Sandboxfile", block);
    home.msb(["validate"]).exits(0);
    home.msb(["fmt", "--check"]).exits(0);
}

#[test]
fn the_example_at_the_root_is_valid() {
    let home = Home::process();
    home.write(
        "Sandboxfile.example",
        &fs::read_to_string(checkout().join("Sandboxfile.example")).unwrap(),
    );
    home.msb(["-f", "Sandboxfile.example", "validate"]).exits(0);
    home.msb(["-f", "Sandboxfile.example", "fmt", "--check"]).exits(0);
}
