//! The official cases of KDL 2: every valid one gives the expected document, every other one fails.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{Answer, Target, Theirs, is_below_guard, ours, run};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/kdl")
}

/// Valid cases whose expected document the package lacks, with the document.
const LACKING: &[(&str, &str)] = &[
    // Its number has 64 bits, one too many for the suite; the package carries no document for it.
    ("hex.kdl", "node 12379813812177893520\n"),
];

/// Official cases that we read otherwise: none. Only F11, and numbers wider than 128 bits or a
/// double, would be a reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Returns each case's name, text, and expected document, where it is valid.
fn each() -> Vec<(String, Vec<u8>, Option<Vec<u8>>)> {
    let mut each = Vec::new();
    for case in fs::read_dir(cases().join("input")).unwrap() {
        let path = case.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let written = fs::read(cases().join("expected_kdl").join(&name)).ok();
        let lacking = LACKING.iter().find(|(lacking, _)| *lacking == name);
        let expected = written.or_else(|| lacking.map(|(_, text)| text.as_bytes().to_vec()));
        assert_eq!(expected.is_none(), name.ends_with("_fail.kdl"), "{name}");
        each.push((name, fs::read(&path).unwrap(), expected));
    }
    each
}

#[test]
fn sf_t12_every_official_case_reads_as_expected() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, input, expected) in each() {
        if EXCEPTIONS.iter().any(|(exception, _)| *exception == name) {
            continue;
        }
        count += 1;
        let expected = expected.map(|bytes| ours(&bytes).unwrap());
        match (ours(&input), expected) {
            (Ok(read), Some(expected)) if read == expected => {}
            (Err(_), None) => {}
            (read, expected) => wrong.push(format!("{name}\n  {read:?}\n  {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 320, "{count} official cases");
}

#[test]
fn sf_t15_both_readers_read_the_valid_official_cases_alike() {
    let mut theirs = Theirs::default();
    for (name, input, _) in each().into_iter().filter(|(.., expected)| expected.is_some()) {
        let text = String::from_utf8(input).unwrap();
        assert!(is_below_guard(&text), "{name}");
        assert_eq!(Answer::Read(ours(text.as_bytes()).unwrap()), theirs.read(&text), "{name}");
    }
}

#[test]
fn sf_t15_both_readers_agree_on_official_cases_that_are_cut() {
    for (_, input, _) in each() {
        for quarter in 1..4 {
            run(Target::BothReaders, &input[..input.len() * quarter / 4]);
        }
    }
}
