//! The JSON that commands print, as JSON Schema, made from one table of shapes.
//!
//! A shape is its name and what it is, then a line for each key and its type;
//! `?` may be null, `[T]` is a list, `{T}` a map, `a|b` one of these words, and
//! a capital letter begins the name of another shape. Keys are only ever added,
//! so others are allowed beside them.

use serde_json::{Map, Value, json};

const SHAPES: &str = include_str!("shapes.txt");

/// Returns the schema of every document, by the command that prints it.
pub(super) fn output() -> Value {
    let mut commands = Map::new();
    let mut definitions = Map::new();
    for block in SHAPES.split("\n\n") {
        let mut lines = block.lines();
        match lines.next().unwrap_or_default().split_once(": ") {
            Some((name, about)) => {
                definitions.insert(name.to_owned(), shape(about, lines));
            }
            None => commands = lines.filter_map(entry).collect(),
        }
    }
    json!({
        "$schema": DRAFT,
        "title": "What msb prints with --output json, by command",
        "type": "object",
        "properties": commands,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// Returns the schema of the document of a plan.
pub(super) fn plan() -> Value {
    let mut schema = output();
    let definitions = schema["$defs"].take();
    json!({
        "$schema": DRAFT,
        "title": "The document of a plan, as msb plan and msb diff print it",
        "$ref": "#/$defs/Plan",
        "$defs": needed(&definitions, "Plan"),
    })
}

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the shapes that `name` is made of, itself included.
fn needed(definitions: &Value, name: &str) -> Map<String, Value> {
    let mut found = Map::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        let shape = &definitions[&name];
        if found.insert(name, shape.clone()).is_none() {
            let text = shape.to_string();
            let others = text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next());
            open.extend(others.map(str::to_owned));
        }
        open.retain(|name| !found.contains_key(name));
    }
    found
}

fn shape<'l>(about: &str, lines: impl Iterator<Item = &'l str>) -> Value {
    let lines: Vec<&str> = lines.map(str::trim).collect();
    if let [one] = lines.as_slice()
        && let Some(written) = one.strip_prefix("= ")
    {
        let mut value = of_type(written);
        value["description"] = json!(about);
        return value;
    }
    let (bases, keys): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.starts_with("+ "));
    let properties: Map<String, Value> = keys.into_iter().filter_map(entry).collect();
    let required: Vec<&String> = properties.keys().collect();
    let mut value = json!({"description": about, "type": "object", "required": required, "properties": properties});
    if !bases.is_empty() {
        value["allOf"] = bases.iter().map(|base| of_type(base.trim_start_matches("+ "))).collect();
    }
    value
}

/// Reads a line of a name and a type; the type is the last word.
fn entry(line: &str) -> Option<(String, Value)> {
    let (name, written) = line.trim().rsplit_once(' ')?;
    Some((name.trim_end().to_owned(), of_type(written)))
}

fn of_type(written: &str) -> Value {
    if let Some(inner) = written.strip_suffix('?') {
        let nothing = json!({"type": "null"});
        return match of_type(inner) {
            Value::Object(mut plain) if plain.get("type").is_some_and(Value::is_string) => {
                let word = plain["type"].take();
                plain.insert("type".to_owned(), json!([word, "null"]));
                Value::Object(plain)
            }
            other => json!({"anyOf": [other, nothing]}),
        };
    }
    if let Some(inner) = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return json!({"type": "array", "items": of_type(inner)});
    }
    if let Some(inner) = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return json!({"type": "object", "additionalProperties": of_type(inner)});
    }
    match written {
        "string" | "boolean" | "object" => json!({"type": written}),
        "integer" | "number" => json!({"type": written}),
        "time" => json!({"type": "string", "format": "date-time"}),
        "any" => json!({}),
        name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
            json!({"$ref": format!("#/$defs/{name}")})
        }
        words => json!({"enum": words.split('|').collect::<Vec<_>>()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_that_is_named_is_there_and_every_one_is_used() {
        let schema = output();
        let definitions = schema["$defs"].as_object().unwrap();
        let text = schema.to_string();
        for named in text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(definitions.contains_key(named), "{named}");
        }
        // These are lines of stderr, which belong to no command.
        let lines = ["ErrorLine", "WarningLine"];
        for name in definitions.keys().filter(|name| !lines.contains(&name.as_str())) {
            assert!(text.contains(&format!("\"#/$defs/{name}\"")), "{name}");
        }
        assert_eq!(schema["properties"]["explain --list"]["type"], "array");
    }

    #[test]
    fn every_command_that_prints_json_has_its_shape() {
        let schema = output();
        let known = schema["properties"].as_object().unwrap();
        let tree = <crate::cli::Cli as clap::CommandFactory>::command();
        // Their result is text: help, or a document that describes itself.
        let silent = ["help", "schema"];
        for command in tree.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let inner: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let names = match inner.as_slice() {
                [] => vec![name.to_owned()],
                some => some.iter().map(|inner| format!("{name} {inner}")).collect(),
            };
            for name in names.iter().filter(|name| !silent.contains(&name.as_str())) {
                assert!(known.contains_key(name), "{name}");
            }
        }
    }

    #[test]
    fn a_plan_brings_what_it_is_made_of_and_no_more() {
        let schema = plan();
        let definitions = schema["$defs"].as_object().unwrap();
        assert!(definitions.contains_key("Step") && !definitions.contains_key("Sandbox"));
    }
}
