//! Keys that are not keys here, and keys that stand twice.

use super::form;
use crate::sandboxfile::keys::{Key, Shape};
use crate::sandboxfile::problem::{Code, Problem, listed, nearest, shown};
use crate::sandboxfile::tree::{Entry, Span};

/// A key that the place does not have, and the key that was probably meant.
pub(super) fn key(
    entry: &Entry<'_>,
    noun: &str,
    keys: &'static [Key],
    yaml: bool,
) -> (Problem, Option<&'static str>) {
    let name = shown(&entry.key);
    let message = format!("{noun} has no key `{name}`");
    let problem = Problem::error(Code::SCHEMA_UNKNOWN_KEY, message, entry.key_span);
    // The spelling of the other format is nearest of all.
    let other = keys.iter().find(|key| key.spelling(!yaml) == entry.key);
    let near = other
        .map(|key| key.spelling(yaml))
        .or_else(|| nearest(&entry.key, keys.iter().map(|key| key.spelling(yaml))));
    let problem = match near {
        Some(near) => problem.nearest(Some(near)).help(rewritten(entry, near, yaml)),
        None if keys.is_empty() => problem.help("leave it out"),
        None => {
            let valid = listed(keys.iter().map(|key| key.spelling(yaml)));
            problem.help(format!("the keys here are {valid}"))
        }
    };
    let meant = near.and_then(|near| crate::sandboxfile::keys::find(keys, near, yaml));
    (problem, meant.map(|key| key.name))
}

fn rewritten(entry: &Entry<'_>, near: &str, yaml: bool) -> String {
    let values = form::items(&entry.items);
    if yaml {
        format!("write {near}:")
    } else if entry.fields.is_empty() && !values.is_empty() {
        format!("write {near} {values}")
    } else {
        format!("write {near}")
    }
}

/// A key that stands twice in one place.
pub(super) fn duplicate(name: &str, second: Span, first: Span) -> Problem {
    let message = format!("`{}` is written twice", shown(name));
    Problem::error(Code::SCHEMA_DUPLICATE_KEY, message, second)
        .related(first, "first here")
        .help("keep one of the two; the last does not win")
}

/// A second tag in one row.
pub(super) fn duplicate_tag(name: &str, second: Span, first: Span) -> Problem {
    let message = format!("`{}` is a second tag in one row", shown(name));
    Problem::error(Code::SCHEMA_DUPLICATE_KEY, message, second)
        .related(first, "the first is here")
        .help("write a row for each")
}

/// An identity that stands twice.
pub(super) fn duplicate_identity(key: &Key, name: &str, second: Span, first: Span) -> Problem {
    let shown_name = shown(name);
    let defines = matches!(key.shape, Shape::Keyed { .. })
        && matches!(key.name, "sandbox" | "job" | "volume");
    if !defines {
        let message = format!("{} `{shown_name}` is written twice", key.name);
        return Problem::error(Code::SCHEMA_DUPLICATE_KEY, message, second)
            .related(first, "first here")
            .help("keep one of the two; the last does not win");
    }
    let message = format!("{} `{shown_name}` is defined twice", key.name);
    let help = match key.name {
        "sandbox" | "job" => {
            "merge the two or rename one; several copies of one sandbox are `replicas`"
        }
        _ => "merge the two or rename one",
    };
    Problem::error(Code::SCHEMA_DUPLICATE_DEFINITION, message, second)
        .related(first, "first here")
        .help(help)
}
