//! Whole readings: the worked example in both formats, and the limits on all files together.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use schema::sandboxfile::keys::{Key, Shape, TOP};
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::Problem;
use schema::sandboxfile::resolve::{Failed, ResolveInputs, Resolved, resolve};
use schema::sandboxfile::source::{Format, SourceFile};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(files: &[(&str, &[u8])], limits: Limits) -> Result<Resolved, Box<Failed>> {
    let files: Vec<SourceFile> = files
        .iter()
        .map(|(name, bytes)| {
            let format = Format::of(Path::new(name)).unwrap();
            SourceFile { path: name.into(), bytes: bytes.to_vec(), format }
        })
        .collect();
    let (folder, home) = ("/home/ana/acme".into(), "/home/ana".into());
    resolve(&files, &ResolveInputs { folder, home, limits, ..ResolveInputs::default() })
}

/// Returns the codes of what was found, in order of the alphabet.
fn codes(problems: &[Problem]) -> Vec<&'static str> {
    let mut codes: Vec<_> = problems.iter().map(|problem| problem.code.as_str()).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn sf_t2_the_worked_example_is_the_same_in_both_formats() {
    for name in ["acme", "today"] {
        let of = |suffix: &str| {
            let path = format!("{name}.{suffix}");
            let bytes = fs::read(here("corpus/sandboxfile").join(&path)).unwrap();
            read(&[(&path, &bytes)], Limits::default())
        };
        match (of("kdl"), of("yaml")) {
            (Ok(kdl), Ok(yaml)) => {
                assert_eq!(kdl.project, yaml.project, "{name}");
                assert_eq!(codes(&kdl.warnings), codes(&yaml.warnings), "{name}");
            }
            // What is not supported yet is told of both alike.
            (Err(kdl), Err(yaml)) => assert_eq!(codes(&kdl.problems), codes(&yaml.problems)),
            (kdl, yaml) => panic!("{name}: {kdl:?}\n{yaml:?}"),
        }
    }
}

#[test]
fn sf_f11_all_files_together_have_limits() {
    let check = |count: usize, bytes: &[u8], limits: Limits, code: &str| {
        let files = vec![("a.kdl", bytes); count];
        let failed = read(&files, limits).unwrap_err();
        assert_eq!(codes(&failed.problems)[0], code, "{}", failed.plain());
        let last = failed.problems.iter().find(|problem| problem.code.as_str() == code).unwrap();
        assert_eq!(usize::from(last.span().file), count - 1, "{code} names the file");
    };
    let small = Limits { files: 3, total_bytes: 100, ..Limits::default() };
    check(4, b"", small, "msb::limit::files");
    check(3, &[b' '; 40], small, "msb::limit::total-bytes");
    read(&[("a.kdl", &[b' '; 50]), ("b.yaml", &[b' '; 50])], small).unwrap();
}

#[test]
fn sf_f11_what_interpolation_makes_has_a_limit_in_all() {
    let limits = Limits { expanded_bytes: 100, ..Limits::default() };
    let file = |times: usize| {
        let env: String = (0..times).map(|n| format!("V{n} \"x${{A}}\"\n")).collect();
        format!("var A default=\"123456789\"\nsandbox a {{ image \"x:1\"; env {{\n{env}}} }}\n")
    };
    read(&[("a.kdl", file(10).as_bytes())], limits).unwrap();
    let failed = read(&[("a.kdl", file(20).as_bytes())], limits).unwrap_err();
    assert_eq!(codes(&failed.problems), ["msb::limit::expanded-bytes"], "it is said once");
    assert!(failed.plain().starts_with("a.kdl:13:5: "), "{}", failed.plain());
}

#[test]
fn sf_f11_so_many_problems_are_told_and_the_rest_counted() {
    let limits = Limits { problems: 5, ..Limits::default() };
    let text = "unknown 1\n".repeat(12);
    let failed = read(&[("a.kdl", text.as_bytes())], limits).unwrap_err();
    assert_eq!((failed.problems.len(), failed.more), (5, 7));
    assert!(failed.plain().ends_with("and 7 more\nerror: a.kdl: 12 problems\n"));
}

/// Collects the spellings of keys, words of tags among them.
fn spell(keys: &'static [Key], into: &mut Vec<&'static str>) {
    for key in keys {
        into.extend([key.name].into_iter().chain(key.plural));
        match key.shape {
            Shape::Scalar(_) | Shape::List(_) => {}
            Shape::Map { value, .. } => {
                if let Shape::Line { attributes, .. } = value {
                    spell(attributes, into);
                }
            }
            Shape::Line { attributes, .. } => spell(attributes, into),
            Shape::Tagged { tags, attributes, .. } => {
                into.extend(tags);
                spell(attributes, into);
            }
            Shape::Block { keys, .. } | Shape::Keyed { keys, .. } | Shape::Rows(keys) => {
                spell(keys, into);
            }
        }
    }
}

#[test]
fn every_key_stands_in_the_dictionary_of_the_fuzzer() {
    let dictionary = fs::read_to_string(here("dictionary")).unwrap();
    let mut words = Vec::new();
    spell(TOP, &mut words);
    words.retain(|word| !dictionary.contains(&format!("\"{word}\"\n")));
    words.sort_unstable();
    words.dedup();
    assert!(words.is_empty(), "add these to tests/fuzz/dictionary: {words:?}");
}
