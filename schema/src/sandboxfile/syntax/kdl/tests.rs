//! The official cases, our hints, and hostile files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::sandboxfile::source::{Format, check_text};

/// A value as KDL means it, so that `0x10` equals `16`.
#[derive(Clone, Debug, PartialEq)]
enum Meaning {
    Text(String),
    Keyword(String),
    Whole(i128),
    Real(f64),
}

type Typed = (Option<String>, Meaning);

#[derive(Clone, Debug, Default, PartialEq)]
struct Document(Vec<Meant>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Meant {
    annotation: Option<String>,
    name: String,
    arguments: Vec<Typed>,
    properties: BTreeMap<String, Typed>,
    children: Vec<Self>,
}

#[derive(Default)]
struct Collector {
    open: Vec<Meant>,
    done: Vec<Meant>,
}

fn meaning(value: &Scalar<'_>) -> Meaning {
    let text = value.text.replace('_', "");
    match value.kind {
        ScalarKind::Quoted | ScalarKind::Word => Meaning::Text(value.text.to_string()),
        ScalarKind::Number if !text.starts_with('#') => {
            whole(&text).map_or_else(|| Meaning::Real(text.parse().unwrap()), Meaning::Whole)
        }
        _ => match text.as_str() {
            "#inf" => Meaning::Real(f64::INFINITY),
            "#-inf" => Meaning::Real(f64::NEG_INFINITY),
            _ => Meaning::Keyword(text),
        },
    }
}

fn whole(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    i128::from_str_radix(digits, radix).ok().map(|value| sign * value)
}

impl<'a> Sink<'a> for Collector {
    fn node(&mut self, annotation: Option<Placed<'a>>, name: Placed<'a>) -> Result<(), Problem> {
        let annotation = annotation.map(|(text, _)| text.into_owned());
        self.open.push(Meant { annotation, name: name.0.into_owned(), ..Meant::default() });
        Ok(())
    }

    fn argument(
        &mut self,
        annotation: Option<Placed<'a>>,
        value: Scalar<'a>,
    ) -> Result<(), Problem> {
        let annotation = annotation.map(|(text, _)| text.into_owned());
        let top = self.open.last_mut().unwrap();
        top.arguments.push((annotation, meaning(&value)));
        Ok(())
    }

    fn property(
        &mut self,
        name: Placed<'a>,
        annotation: Option<Placed<'a>>,
        value: Scalar<'a>,
    ) -> Result<(), Problem> {
        let annotation = annotation.map(|(text, _)| text.into_owned());
        let top = self.open.last_mut().unwrap();
        top.properties.insert(name.0.into_owned(), (annotation, meaning(&value)));
        Ok(())
    }

    fn open(&mut self, _brace: Span) -> Result<(), Problem> {
        Ok(())
    }

    fn close(&mut self, _brace: Span) {}

    fn end(&mut self, _byte: u32) {
        let node = self.open.pop().unwrap();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.done.push(node),
        }
    }
}

fn document(bytes: &[u8]) -> Result<Document, Problem> {
    let text = check_text(bytes, Format::Kdl, 0, &Limits::default()).map_err(|failed| failed.1)?;
    let mut collector = Collector::default();
    read(&text, 0, &mut collector)?;
    assert!(collector.open.is_empty());
    Ok(Document(collector.done))
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/kdl")
}

/// Official cases that we read otherwise, each with its reason.
const EXCEPTIONS: &[(&str, &str)] =
    &[("hex.kdl", "its number is wider than 63 bits, so the package has no expected document")];

#[test]
fn sf_t12_every_official_case_reads_as_expected() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in std::fs::read_dir(cases().join("input")).unwrap() {
        let input = case.unwrap().path();
        let name = input.file_name().unwrap().to_str().unwrap().to_owned();
        if EXCEPTIONS.iter().any(|(exception, _)| *exception == name) {
            continue;
        }
        count += 1;
        let read = document(&std::fs::read(&input).unwrap());
        let expected = std::fs::read(cases().join("expected_kdl").join(&name)).ok();
        let expected = expected.map(|bytes| document(&bytes).unwrap());
        match (read, expected) {
            (Ok(read), Some(expected)) if read == expected => {}
            (Err(_), None) => {}
            (read, expected) => wrong.push(format!("{name}\n  {read:?}\n  {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 300);
}

/// Below the guard, the package `kdl` and we agree on what is KDL, and on what it says.
#[test]
fn sf_t15_both_readers_accept_the_same_files() {
    let mut wrong = Vec::new();
    for case in std::fs::read_dir(cases().join("input")).unwrap() {
        let path = case.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        for cut in 0..4 {
            // Whole, and cut at a quarter, a half and three quarters.
            let length = if cut == 0 { text.len() } else { text.len() * cut / 4 };
            let Some(part) = text.get(..length) else { continue };
            let ours = document(part.as_bytes()).is_ok();
            let theirs = part.parse::<kdl::KdlDocument>().is_ok();
            if ours != theirs && !KNOWN_DIFFERENCES.iter().any(|mark| part.contains(mark)) {
                wrong.push(format!("{}: ours {ours}, theirs {theirs}\n{part}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What tells files on which the package is laxer than the official cases.
const KNOWN_DIFFERENCES: &[&str] = &["#\"\"\"", "\u{7f}", "\u{202c}", "\u{19}", "\u{feff}"];
