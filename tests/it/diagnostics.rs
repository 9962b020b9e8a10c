//! Each code of a Sandboxfile's problems has a smallest file that brings it about, and all that is
//! said of it is held: as a terminal shows it, as a pipe takes it, as a program reads it.
//!
//! The file is `tests/golden/diagnostics/TOPIC.NAME.kdl` or `.yaml`; beside it lies the golden file.

use std::fs;
use std::path::{Path, PathBuf};

use orchestrator::context::Terminal;
use orchestrator::report::style::Style;
use orchestrator::report::{Annotations, Form, Output, Progress, problems};
use schema::sandboxfile::problem::{Code, Problem, Severity};
use schema::sandboxfile::resolve::{ResolveInputs, resolve};
use schema::sandboxfile::source::{Format, SourceFile, Sources};
use tests::golden;

/// Codes that no small file alone brings about, and why.
const ELSEWHERE: &[(Code, &str)] = &[
    (Code::FILE_NOT_FOUND, "it is about a file that is not there"),
    (Code::FILE_AMBIGUOUS, "it takes two files in one folder"),
    (Code::FILE_FOREIGN, "it takes a file of another user"),
    (Code::FILE_UNKNOWN_FORMAT, "it is about the name of a file"),
    (Code::FILE_UNREADABLE, "it takes a file that may not be read"),
    (Code::FILE_OUTSIDE, "it takes an include and a folder around it"),
    (Code::LIMIT_FILE_BYTES, "the file would be larger than 1 MiB"),
    (Code::LIMIT_TOTAL_BYTES, "the files would be larger than 8 MiB"),
    (Code::LIMIT_FILES, "it takes more than 64 files"),
    (Code::LIMIT_NODES, "the file would have more than 131,072 nodes"),
    (Code::LIMIT_SCALAR_BYTES, "the value would be larger than 256 KiB"),
    (Code::LIMIT_PROBLEMS, "it is told as `and N more`, in no problem of its own"),
    (Code::LIMIT_SECONDS, "it takes a reading that outlasts its time"),
    (Code::LIMIT_EDIT, "it is about a command that writes the file"),
    (Code::CONFIG_INVALID, "it is about config.kdl, not about a Sandboxfile"),
];

#[test]
fn sf_d7_every_code_has_a_file_that_brings_it_about_or_a_reason() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let reason = ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == code);
        match (files(*code).as_slice(), reason) {
            ([_], false) | ([], true) => {}
            ([], false) => wrong.push(format!("{code}: no file and no reason")),
            ([_], true) => wrong.push(format!("{code}: a file, and a reason why there is none")),
            (_, _) => wrong.push(format!("{code}: more than one file")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let known: Vec<String> = Code::ALL.iter().map(|code| stem(*code)).collect();
    let strange: Vec<PathBuf> = all_files()
        .into_iter()
        .filter(|path| !known.iter().any(|stem| path.file_stem().is_some_and(|is| is == &**stem)))
        .collect();
    assert!(strange.is_empty(), "these are named for no code: {strange:#?}");
}

#[test]
fn sf_d4_every_problem_is_drawn_written_and_reported_as_it_was_read() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        for path in files(*code) {
            let (found, sources) = read(&path);
            let codes: Vec<String> = found.iter().map(|it| it.code.to_string()).collect();
            if !found.iter().all(|problem| problem.code == *code) || found.is_empty() {
                wrong.push(format!("{}: {codes:?}", path.display()));
                continue;
            }
            golden::check(&format!("diagnostics/{}.txt", stem(*code)), &page(&found, &sources));
        }
    }
    assert!(wrong.is_empty(), "these bring about something else: {wrong:#?}");
}

#[test]
fn sf_d3_every_error_says_what_to_write_and_no_sentence_ends_in_a_stop() {
    let mut wrong = Vec::new();
    for path in Code::ALL.iter().flat_map(|code| files(*code)) {
        for problem in read(&path).0 {
            let mute = problem.severity == Severity::Error && problem.help.is_none();
            let long = problem.message.ends_with('.') || problem.message.contains('\n');
            if mute || long || problem.message.is_empty() {
                wrong.push(format!("{}: {} {:?}", problem.code, problem.message, problem.help));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the page of one file: the three forms of all that is said of it.
fn page(found: &[Problem], sources: &Sources) -> String {
    let plain: String = found.iter().map(|problem| problem.plain(sources)).collect();
    let rows: Vec<_> = found.iter().map(|problem| problem.row(sources)).collect();
    let json = serde_json::to_string_pretty(&rows).expect("rows are plain values");
    let drawn = problems::drawing(found, sources, &form());
    format!("--- terminal\n{drawn}--- pipe\n{plain}--- json\n{json}\n")
}

fn form() -> Form {
    let (output, progress, annotations) = (Output::Text, Progress::Plain, Annotations::Off);
    let (out, err, terminal) = (Style::PLAIN, Style::PLAIN, Terminal::none());
    Form { output, progress, out, err, annotations, terminal }
}

/// Reads a file as the only one of a project, and returns all that is said of it.
fn read(path: &Path) -> (Vec<Problem>, Sources) {
    let format = Format::of(path).expect("a suffix of ours");
    let name = if format == Format::Kdl { "Sandboxfile.kdl" } else { "Sandboxfile.yaml" };
    let bytes = fs::read(path).expect("the checkout can be read");
    let file = SourceFile { path: name.into(), bytes, format };
    let (folder, home) = ("/home/ana/acme".into(), "/home/ana".into());
    match resolve(&[file], &ResolveInputs { folder, home, ..ResolveInputs::default() }) {
        Ok(resolved) => (resolved.warnings, Sources::clone(&resolved.sources)),
        Err(failed) => (failed.problems, Sources::clone(&failed.sources)),
    }
}

/// Returns the files that are named for a code.
fn files(code: Code) -> Vec<PathBuf> {
    let stem = stem(code);
    let is_named = |path: &PathBuf| path.file_stem().is_some_and(|is| is == &*stem);
    all_files().into_iter().filter(|path| is_named(path) && is_input(path)).collect()
}

fn is_input(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix == "kdl" || suffix == "yaml")
}

fn all_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/diagnostics");
    let entries = fs::read_dir(folder).expect("the checkout can be read");
    entries.map(|entry| entry.expect("the checkout can be read").path()).collect()
}

/// Returns how files are named for a code: `schema.unknown-key`.
fn stem(code: Code) -> String {
    code.as_str().trim_start_matches("msb::").replace("::", ".")
}
