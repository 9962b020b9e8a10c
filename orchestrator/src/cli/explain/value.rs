//! Values of this project: what holds, where it is written, what it beat, and what a change costs.

use schema::exit::Kind;
use schema::sandboxfile::problem::nearest;
use schema::sandboxfile::provenance::{Leaf, leaves};
use schema::sandboxfile::resolve::Tracing;
use serde_json::{Value, json};

use crate::cli::call::Call;
use crate::cli::ending::Ending;
use crate::cli::failure::Failure;
use crate::cli::file_flags::FileFlags;
use crate::cli::select;

/// Prints every value at an address and a path, or below it.
pub(super) fn tell(call: &Call, flags: &FileFlags, text: &str) -> Ending {
    let files = call.files()?;
    let reading = flags.reading(call, &files, [], Tracing::On)?;
    let resolved = select::read(call, &files, &reading)?;
    let leaves = leaves(&resolved, files.files.len());
    let wanted = spelt(text);
    let found: Vec<&Leaf> = leaves.iter().filter(|leaf| is_meant(leaf, &wanted)).collect();
    if found.is_empty() {
        return Err(unknown(text, &wanted, &leaves).into());
    }
    if !call.report.is_text() {
        call.report.document(&found.into_iter().map(row).collect::<Vec<_>>());
        return Ok(0);
    }
    for (index, leaf) in found.into_iter().enumerate() {
        if index > 0 {
            call.report.line("");
        }
        page(leaf).iter().for_each(|line| call.report.line(line));
    }
    Ok(0)
}

/// Returns the path as leaves are called: jobs are sandboxes, and `web.0` is `web[0]`.
fn spelt(text: &str) -> String {
    let text =
        text.strip_prefix("job.").map_or_else(|| text.to_owned(), |rest| format!("sandbox.{rest}"));
    let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let at = usize::from(parts.first().is_some_and(|first| first == "sandbox"));
    let is_index =
        |part: &String| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.get(at + 1).is_some_and(is_index) {
        let index = parts.remove(at + 1);
        parts[at] = format!("{}[{index}]", parts[at]);
    }
    parts.join(".")
}

fn full(leaf: &Leaf) -> String {
    format!("{}.{}", leaf.address, leaf.path)
}

/// Tells whether a leaf is what was asked for: itself, below it, or of one of its instances.
fn is_meant(leaf: &Leaf, wanted: &str) -> bool {
    let full = full(leaf);
    let short = full.strip_prefix("sandbox.").unwrap_or(&full);
    [full.as_str(), short].into_iter().any(|name| {
        let all = without_index(name);
        let one = without_index(wanted);
        let indexed = name.contains("].");
        let is_at = |name: &str, wanted: &str| {
            name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        is_at(name, wanted)
            // Of all instances, where none is named; of one, what is the same in all.
            || (one == wanted && is_at(&all, wanted))
            || (one != wanted && !indexed && is_at(name, &one))
    })
}

/// Returns a path without the index of an instance.
fn without_index(path: &str) -> String {
    let (before, rest) = path.split_once('[').unwrap_or((path, ""));
    match rest.split_once(']') {
        // An index stands directly behind the name; brackets further in are part of a key.
        Some((index, after)) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{before}{after}")
        }
        _ => path.to_owned(),
    }
}

fn unknown(text: &str, wanted: &str, leaves: &[Leaf]) -> Failure {
    let message = format!("this project has no value `{text}`");
    let failure = Failure::new("usage::value", "usage", message).kind(Kind::Failed);
    let groups = leaves.iter().filter_map(|leaf| {
        let (group, _) = leaf.path.split_once('.')?;
        Some(format!("{}.{group}", leaf.address))
    });
    let names: Vec<String> = leaves.iter().map(full).chain(groups).collect();
    let long = format!("sandbox.{wanted}");
    let near = |wanted: &str| nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned);
    match near(wanted).or_else(|| near(&long)) {
        Some(near) => failure.hint(format!("Read `msb explain {near}`.")),
        None => failure.hint("List all values with `msb config --origins`."),
    }
}

fn page(leaf: &Leaf) -> Vec<String> {
    let mut lines = vec![format!("{} = {}", full(leaf), leaf.value)];
    let place = leaf.place.as_ref();
    lines.push(match place {
        Some(place) => {
            format!("  written  {}:{}:{} ({})", place.file, place.line, place.column, leaf.layer)
        }
        None => "  written  nowhere; it holds by default".to_owned(),
    });
    if !leaf.variables.is_empty() {
        lines.push(format!("  uses     {}", leaf.variables.join(", ")));
    }
    for beat in &leaf.beaten {
        let (place, layer) = (&beat.place, &beat.layer);
        lines.push(format!("  beats    {}:{} ({layer})  {}", place.file, place.line, beat.text));
    }
    if place.is_some() {
        lines.push(format!("  default  {}", leaf.default.as_deref().unwrap_or("none")));
    }
    if let Some(cost) = leaf.cost {
        lines.push(format!("  class    {cost}"));
    }
    lines
}

fn row(leaf: &Leaf) -> Value {
    let beaten: Vec<Value> = leaf
        .beaten
        .iter()
        .map(|beat| {
            json!({
                "text": beat.text, "place": beat.place, "layer": beat.layer.to_string(),
                "by": beat.by,
            })
        })
        .collect();
    json!({
        "address": leaf.address, "path": leaf.path, "value": leaf.value, "default": leaf.default,
        "class": leaf.cost.map(|cost| cost.to_string()), "layer": leaf.layer.to_string(),
        "place": leaf.place, "variables": leaf.variables, "beaten": beaten,
    })
}

#[cfg(test)]
mod tests {
    use schema::sandboxfile::provenance::Layer;

    use super::*;

    fn meant(address: &str, path: &str, wanted: &str) -> bool {
        let leaf = Leaf {
            address: address.to_owned(),
            path: path.to_owned(),
            value: String::new(),
            default: None,
            cost: None,
            place: None,
            layer: Layer::Default,
            variables: Vec::new(),
            beaten: Vec::new(),
        };
        is_meant(&leaf, &spelt(wanted))
    }

    #[test]
    fn a_value_is_named_with_and_without_its_kind_and_by_what_is_around_it() {
        for wanted in ["sandbox.web.memory.size", "sandbox.web.memory", "web.memory", "sandbox.web"]
        {
            assert!(meant("sandbox.web", "memory.size", wanted), "{wanted}");
        }
        for wanted in ["sandbox.web.mem", "sandbox.we", "memory.size", "volume.web.memory"] {
            assert!(!meant("sandbox.web", "memory.size", wanted), "{wanted}");
        }
    }

    #[test]
    fn an_instance_has_its_own_values_and_those_of_all() {
        for (address, wanted, expected) in [
            ("sandbox.web[1]", "web.env", true),
            ("sandbox.web[1]", "web[1].env", true),
            ("sandbox.web[1]", "web.1.env", true),
            ("sandbox.web[1]", "sandbox.web.0.env", false),
            ("sandbox.web", "web[0].env", true),
        ] {
            assert_eq!(meant(address, "env.N", wanted), expected, "{address} {wanted}");
        }
    }
}
