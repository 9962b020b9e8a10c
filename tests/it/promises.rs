//! The two published pages promise what a test shows: ids, names of tests, numbers, rows, caps.
//!
//! A statement of `docs/SPECIFICATION.md` and a row of `docs/THREAT-MODEL.md` is an entry with fields; in a field
//! a file stands before the tests that it holds. What a page says is judged by functions that see nothing but text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;
use tests::programs::checkout;

const SPECIFICATION: &str = "docs/SPECIFICATION.md";
const THREAT_MODEL: &str = "docs/THREAT-MODEL.md";

/// What the battery, the fuzzers and the benches are to show: a letter, and how many.
const PROMISES: [(char, u8); 6] = [('R', 20), ('F', 6), ('K', 1), ('M', 1), ('S', 28), ('P', 16)];

/// Promises that stand between two numbers.
const BETWEEN: [&str; 2] = ["P5a", "P5b"];

/// The rows of the threat model.
const ROWS: std::ops::RangeInclusive<char> = 'A'..='R';

/// What each row says, and what each statement says at least.
const OF_A_ROW: [&str; 5] = ["Who", "Promise", "Kept by", "Tests", "Left over"];
const OF_A_STATEMENT: [&str; 1] = ["Test"];

/// Every promise by its id.
fn promises() -> BTreeSet<String> {
    let numbered = PROMISES
        .iter()
        .flat_map(|(letter, most)| (1..=*most).map(move |number| format!("{letter}{number}")));
    numbered.chain(BETWEEN.map(str::to_owned)).collect()
}

/// Something with a name of its own on a page, and what is said of it under a word.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Entry {
    fn says(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

/// Returns the entries of a page: each begins as `head` says and ends with an empty line or the next one.
fn entries(page: &str, head: &str) -> Vec<Entry> {
    let head = Regex::new(head).unwrap();
    let field = Regex::new(r"^ *- ([A-Z][a-z ]+): *(.*)$").unwrap();
    let mut found: Vec<Entry> = Vec::new();
    let mut last: Option<String> = None;
    let mut is_open = false;
    for line in page.lines() {
        if let Some(named) = head.captures(line) {
            found.push(Entry { name: named[1].to_owned(), ..Entry::default() });
            (last, is_open) = (None, true);
        } else if line.is_empty() {
            is_open = false;
        } else if let Some(entry) = found.last_mut().filter(|_| is_open) {
            if let Some(said) = field.captures(line) {
                entry.fields.insert(said[1].to_owned(), said[2].to_owned());
                last = Some(said[1].to_owned());
            } else if let Some(text) = last.as_ref().and_then(|last| entry.fields.get_mut(last)) {
                *text += " ";
                *text += line.trim_start();
            }
        }
    }
    found
}

fn statements(page: &str) -> Vec<Entry> {
    entries(page, r"^- \*\*(SPEC-\d+)\*\* ")
}

fn rows(page: &str) -> Vec<Entry> {
    entries(page, r"^### (TM-[A-Z]+): ")
}

/// Returns the ids that a page says to have no whole test.
fn unproven(page: &str) -> Vec<String> {
    let list = page.split("\n## Unproven\n").nth(1).unwrap_or_default();
    let list = list.split("\n## ").next().unwrap_or_default();
    entries(list, r"^- \*\*([A-Z]\d+[a-z]?)\*\* ").into_iter().map(|entry| entry.name).collect()
}

/// What a field takes as its proof.
#[derive(Debug, Default, PartialEq, Eq)]
struct Proof {
    ids: Vec<String>,
    benches: Vec<String>,
    /// Files, and the names of tests in them.
    tests: Vec<(String, Vec<String>)>,
    /// Names that stand behind no file.
    lost: Vec<String>,
}

/// Reads a field: ids, and between back-ticks benches, files and the tests in them.
fn proof(field: &str) -> Proof {
    let id = Regex::new(r"\b[A-Z]\d+[a-z]?\b").unwrap();
    let mut proof = Proof::default();
    for (at, part) in field.split('`').enumerate() {
        if at % 2 == 0 {
            proof.ids.extend(id.find_iter(part).map(|found| found.as_str().to_owned()));
        } else if let Some(bench) = part.strip_prefix("tests/bench/run ") {
            proof.benches.push(bench.to_owned());
        } else if part.contains('/') {
            proof.tests.push((part.to_owned(), Vec::new()));
        } else if let Some((_, tests)) = proof.tests.last_mut() {
            tests.push(part.to_owned());
        } else {
            proof.lost.push(part.to_owned());
        }
    }
    proof
}

/// Returns what a proof names that is not there; `read` gives the text of a file.
fn absent(proof: &Proof, benches: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let known = promises();
    let ids = proof.ids.iter().filter(|id| !known.contains(*id));
    let mut found: Vec<String> = ids.map(|id| format!("{id} is no promise")).collect();
    let gone = proof.benches.iter().filter(|bench| !benches.contains(*bench));
    found.extend(gone.map(|bench| format!("no bench is called {bench}")));
    found.extend(proof.lost.iter().map(|name| format!("{name} stands behind no file")));
    for (file, tests) in &proof.tests {
        let Some(text) = read(file) else {
            found.push(format!("{file} is not there"));
            continue;
        };
        if tests.is_empty() {
            found.push(format!("{file}: no test of it is named"));
        }
        let gone = tests.iter().filter(|test| !has_test(&text, test));
        found.extend(gone.map(|test| format!("{file} has no test {test}")));
    }
    if proof.tests.is_empty() && proof.benches.is_empty() {
        found.push("no test and no bench is named".to_owned());
    }
    found
}

/// Tells whether a text has a function of that name, marked as a test that runs.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let begins = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    let is_mark = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let found = lines.iter().position(|line| begins(line));
    found.is_some_and(|at| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let marks: Vec<&str> = above.copied().collect();
        marks.iter().any(is_mark) && !marks.iter().any(|line| line.starts_with("#[ignore"))
    })
}

/// Returns the entries that lack a field, with its name.
fn silent(entries: &[Entry], fields: &[&str]) -> Vec<String> {
    let lacks = |entry: &Entry| {
        let gone = fields.iter().filter(|field| entry.says(field).trim().is_empty());
        gone.map(|field| format!("{}: no {field}", entry.name)).collect::<Vec<_>>()
    };
    entries.iter().flat_map(lacks).collect()
}

/// Returns the names that do not come after the one before them.
fn disordered(entries: &[Entry]) -> Vec<String> {
    let pairs = entries.iter().zip(entries.iter().skip(1));
    pairs.filter(|(one, next)| one.name >= next.name).map(|(_, next)| next.name.clone()).collect()
}

/// Returns the lines that speak as statements or rows do, and were read as none.
fn unread(page: &str, mark: &str, entries: &[Entry]) -> Vec<String> {
    let marked = page.lines().filter(|line| line.contains(mark));
    let is_read =
        |line: &str| entries.iter().any(|entry| line.contains(&format!("{mark}{}", entry.name)));
    marked.filter(|line| !is_read(line)).map(str::to_owned).collect()
}

/// Returns the promises that are neither shown nor told to be unproven, and those that are both.
fn misplaced(claimed: &BTreeSet<String>, unproven: &[String]) -> Vec<String> {
    let open: BTreeSet<String> = unproven.iter().cloned().collect();
    let known = promises();
    let nowhere = known.iter().filter(|id| !claimed.contains(*id) && !open.contains(*id));
    let mut found: Vec<String> = nowhere.map(|id| format!("{id} stands nowhere")).collect();
    let both = claimed.intersection(&open);
    found.extend(both.map(|id| format!("{id} is unproven and taken as a proof")));
    let unknown = open.difference(&known);
    found.extend(unknown.map(|id| format!("{id} is no promise")));
    if open.len() != unproven.len() {
        found.push("an id is told twice to be unproven".to_owned());
    }
    found
}

/// Returns what the table of caps quotes and the code does not say.
fn misquoted(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let table = page.split("| in the code |\n").nth(1).unwrap_or_default();
    let lines = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let mut found = Vec::new();
    for line in lines {
        let quoted = proof(line.split('|').nth(3).unwrap_or_default());
        if quoted.tests.iter().all(|(_, quotes)| quotes.is_empty()) {
            found.push(format!("nothing is quoted: {line}"));
        }
        for (file, quotes) in quoted.tests {
            let text = read(&file).unwrap_or_default();
            let gone = quotes.iter().filter(|quote| !text.contains(&format!("{quote};")));
            found.extend(gone.map(|quote| format!("{file} does not say {quote}")));
        }
    }
    found
}

fn of_checkout(path: &str) -> Option<String> {
    fs::read_to_string(checkout().join(path)).ok()
}

fn page(path: &str) -> String {
    of_checkout(path).unwrap_or_else(|| panic!("{path} is not there"))
}

/// Returns the benches by the names that `tests/bench/run` takes.
fn benches() -> Vec<String> {
    let run = page("tests/bench/run");
    let list = run.lines().find_map(|line| line.strip_prefix("BENCHES = (")).unwrap();
    let names = list.split('"').skip(1).step_by(2).map(str::to_owned);
    let is_there = |name: &String| {
        of_checkout(&format!("tests/bench/benches/{}.py", name.to_lowercase())).is_some()
    };
    names.filter(is_there).collect()
}

/// Returns what both pages take as proofs, with who does.
fn proofs() -> Vec<(String, Proof)> {
    let statements = statements(&page(SPECIFICATION));
    let rows = rows(&page(THREAT_MODEL));
    let of = |entry: &Entry, field| (entry.name.clone(), proof(entry.says(field)));
    let both = statements.iter().map(|entry| of(entry, "Test"));
    both.chain(rows.iter().map(|entry| of(entry, "Tests"))).collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_promise_is_shown_or_told_to_be_unproven_and_never_both() {
    let claimed = proofs().into_iter().flat_map(|(_, proof)| proof.ids).collect();
    none("promises", &misplaced(&claimed, &unproven(&page(SPECIFICATION))));
}

#[test]
fn every_test_that_a_page_names_exists() {
    let benches = benches();
    let judge = |(name, proof): (String, Proof)| {
        let found = absent(&proof, &benches, of_checkout).into_iter();
        found.map(|what| format!("{name}: {what}")).collect::<Vec<_>>()
    };
    none("named and not there", &proofs().into_iter().flat_map(judge).collect::<Vec<_>>());
}

#[test]
fn every_statement_has_a_test_and_a_number_of_its_own() {
    let page = page(SPECIFICATION);
    let statements = statements(&page);
    assert!(statements.len() > 50, "{} statements are read", statements.len());
    none("statements", &silent(&statements, &OF_A_STATEMENT));
    none("numbers that do not ascend", &disordered(&statements));
    none("statements that are not read", &unread(&page, "**", &statements_and_unproven(&page)));
}

/// Returns what stands in bold on the page, which are statements, what is unproven, and words.
fn statements_and_unproven(page: &str) -> Vec<Entry> {
    let words = ["Results.", "Where the tests run."];
    let open = unproven(page).into_iter().chain(words.map(str::to_owned));
    let open = open.map(|name| Entry { name, ..Entry::default() });
    statements(page).into_iter().chain(open).collect()
}

#[test]
fn every_row_says_who_what_how_by_which_tests_and_what_is_left_over() {
    let page = page(THREAT_MODEL);
    let rows = rows(&page);
    let names: Vec<_> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names, ROWS.map(|letter| format!("TM-{letter}")).collect::<Vec<_>>());
    none("rows", &silent(&rows, &OF_A_ROW));
    none("rows that are not read", &unread(&page, "### ", &rows));
}

#[test]
fn every_cap_of_the_specification_stands_in_the_code() {
    let page = page(SPECIFICATION);
    assert!(page.contains("| in the code |\n"), "the table of caps is there");
    none("caps", &misquoted(&page, of_checkout));
}

/// A page on which everything is in order.
const GOOD: &str = "\
- **SPEC-001** It holds.
  - Test: R1; `a/x.rs` `one`
    `two`, `tests/bench/run P1`
  - Limits: not on Sundays.
- **SPEC-002** It is measured.
  - Test: P1; `tests/bench/run P1`

More words.

| what | number | in the code |
|---|---|---|
| things | 8 | `a/x.rs` `MAX: u8 = 8` |

## Unproven

- **R8** Nothing is tried.
";

/// What the file `a/x.rs` holds.
const CODE: &str = "const MAX: u8 = 8;\n#[test]\n#[cfg(unix)]\nfn one() {}\n#[test]\n#[ignore]\nfn aside() {}\n#[tokio::test]\nasync fn two() {}\nfn helper() {}\n";

fn file(path: &str) -> Option<String> {
    (path == "a/x.rs").then(|| CODE.to_owned())
}

/// Returns what is absent from the first statement of a page.
fn absent_of(page: &str) -> Vec<String> {
    absent(&proof(statements(page)[0].says("Test")), &["P1".to_owned()], file)
}

#[test]
fn a_page_is_read_into_entries_and_proofs() {
    let read = statements(GOOD);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].says("Limits"), "not on Sundays.");
    let test = proof(read[0].says("Test"));
    let tests = vec![("a/x.rs".to_owned(), vec!["one".to_owned(), "two".to_owned()])];
    assert_eq!(
        (test.ids, test.benches, test.tests),
        (vec!["R1".to_owned()], vec!["P1".to_owned()], tests)
    );
    assert_eq!(unproven(GOOD), ["R8"]);
    assert_eq!(absent_of(GOOD), [""; 0]);
    assert_eq!(misquoted(GOOD, file), [""; 0]);
    assert_eq!(silent(&read, &OF_A_STATEMENT), [""; 0]);
    assert_eq!(disordered(&read), [""; 0]);
}

#[test]
fn a_test_file_bench_or_id_that_is_not_there_is_told() {
    let with = |from: &str, to: &str| absent_of(&GOOD.replacen(from, to, 1));
    assert_eq!(with("`two`", "`three`"), ["a/x.rs has no test three"]);
    assert_eq!(with("`two`", "`helper`"), ["a/x.rs has no test helper"]);
    assert_eq!(with("`two`", "`aside`"), ["a/x.rs has no test aside"]);
    assert_eq!(with("`one`", "`on`"), ["a/x.rs has no test on"]);
    assert_eq!(with("a/x.rs", "a/y.rs"), ["a/y.rs is not there"]);
    assert_eq!(with("run P1", "run P2"), ["no bench is called P2"]);
    assert_eq!(with("R1;", "R99;"), ["R99 is no promise"]);
    assert_eq!(with("`a/x.rs` `one`\n    `two`", "`a/x.rs`"), ["a/x.rs: no test of it is named"]);
    assert_eq!(with("`a/x.rs` `one`", "`one`")[0], "one stands behind no file");
    let bare = GOOD.replacen("`a/x.rs` `one`\n    `two`, `tests/bench/run P1`", "by hand", 1);
    assert_eq!(absent_of(&bare), ["no test and no bench is named"]);
}

#[test]
fn a_statement_without_a_test_or_with_a_number_of_another_is_told() {
    let bare = statements(&GOOD.replacen("  - Test: P1; `tests/bench/run P1`\n", "", 1));
    assert_eq!(silent(&bare, &OF_A_STATEMENT), ["SPEC-002: no Test"]);
    let twice = statements(&GOOD.replace("SPEC-002", "SPEC-001"));
    assert_eq!(disordered(&twice), ["SPEC-001"]);
    let back = statements(&GOOD.replace("SPEC-001", "SPEC-003"));
    assert_eq!(disordered(&back), ["SPEC-002"]);
    let odd = GOOD.replace("- **SPEC-002**", "* **SPEC-002**");
    assert_eq!(
        unread(&odd, "**", &statements_and_unproven(&odd)),
        ["* **SPEC-002** It is measured."]
    );
}

#[test]
fn a_row_that_keeps_something_to_itself_is_told() {
    let row = "### TM-A: out\n- Who: G.\n- Promise: no.\n- Kept by: a wall.\n- Tests: R1.\n- Left over: \n";
    assert_eq!(silent(&rows(row), &OF_A_ROW), ["TM-A: no Left over"]);
    let whole = row.replace("over: ", "over: much,\n  and more.");
    assert_eq!(silent(&rows(&whole), &OF_A_ROW), [""; 0]);
    assert_eq!(unread("### A wall\n", "### ", &rows(row)), ["### A wall"]);
}

#[test]
fn a_promise_that_stands_nowhere_or_twice_is_told() {
    let all = promises();
    assert_eq!(all.len(), 74);
    let mut claimed = all.clone();
    claimed.remove("R8");
    assert_eq!(misplaced(&claimed, &unproven(GOOD)), [""; 0]);
    assert_eq!(misplaced(&claimed, &[]), ["R8 stands nowhere"]);
    assert_eq!(misplaced(&all, &unproven(GOOD)), ["R8 is unproven and taken as a proof"]);
    let twice = ["R8", "R8", "R99"].map(str::to_owned);
    assert_eq!(
        misplaced(&claimed, &twice),
        ["R99 is no promise", "an id is told twice to be unproven"]
    );
}

#[test]
fn a_cap_that_the_code_does_not_have_is_told() {
    assert_eq!(
        misquoted(&GOOD.replace("u8 = 8`", "u8 = 80`"), file),
        ["a/x.rs does not say MAX: u8 = 80"]
    );
    let bare = GOOD.replace("`a/x.rs` `MAX: u8 = 8`", "somewhere");
    assert_eq!(misquoted(&bare, file), ["nothing is quoted: | things | 8 | somewhere |"]);
}
