//! The language as a JSON Schema, made from the table of keys: for editors of YAML and generators.
//!
//! It describes the YAML form, which is that of JSON too. A value that may hold
//! a variable is any text with `${` in it, or what its key asks for.

mod types;

use serde_json::{Map, Value, json};

use super::keys::{Body, Key, Presence, Principal, SANDBOX, Shape, Status, TOP, Type};

/// Where the schema of the main line of development can be fetched.
pub const ADDRESS: &str =
    concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/main/docs/reference/sandboxfile.schema.json");

/// The first line of YAML that msb writes, with its end; it names the schema to editors.
pub const YAML_HEAD: &str = concat!(
    "# yaml-language-server: $schema=",
    env!("CARGO_PKG_REPOSITORY"),
    "/raw/main/docs/reference/sandboxfile.schema.json\n"
);

/// Which keys are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Those that can be used.
    Supported,
    /// All of the language.
    All,
}

/// Returns the schema of a Sandboxfile, by JSON Schema 2020-12.
#[must_use]
pub fn json_schema(which: Keys) -> Value {
    let describer = Describer { which };
    let mut schema = describer.object(TOP, None, Variables::Taken);
    let mut definitions = types::definitions();
    let sandbox = describer.object(SANDBOX, None, Variables::Taken);
    definitions.insert("sandbox".to_owned(), sandbox);
    for (name, value) in [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("$id", json!(ADDRESS)),
        ("title", json!("Sandboxfile")),
        ("description", json!("Sandboxes, jobs and volumes of one project, in YAML or JSON.")),
        ("$defs", Value::Object(definitions)),
    ] {
        schema[name] = value;
    }
    schema
}

/// Whether a value may hold variables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variables {
    Taken,
    Literal,
}

struct Describer {
    which: Keys,
}

impl Describer {
    /// Describes a map with these keys, and perhaps the value it could also be.
    fn object(
        &self,
        keys: &'static [Key],
        principal: Option<Principal>,
        variables: Variables,
    ) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        if let Some(principal) = principal {
            let value = types::value(principal.ty, variables == Variables::Taken);
            properties.insert(principal.name.to_owned(), value);
            required.extend(principal.required.then_some(principal.name));
        }
        for key in
            keys.iter().filter(|key| self.which == Keys::All || key.status == Status::Supported)
        {
            let name = key.spelling(true);
            properties.insert(name.to_owned(), self.key(key, variables));
            required.extend((key.presence == Presence::Required).then_some(name));
        }
        let mut object = json!({
            "type": "object", "properties": properties, "additionalProperties": false,
        });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        object
    }

    /// Describes a key: its shape, and what the table says of it.
    fn key(&self, key: &'static Key, variables: Variables) -> Value {
        let variables = match key.name {
            // What is read before variables have values.
            "from" | "moved-from" | "var" | "include" => Variables::Literal,
            _ => variables,
        };
        let mut value = match (key.name, &key.shape) {
            ("sandbox" | "job" | "template", Shape::Keyed { identity, .. }) => {
                keyed(*identity, &json!({"$ref": "#/$defs/sandbox"}))
            }
            (_, shape) => self.shape(shape, variables),
        };
        if key.presence == Presence::Nullable {
            value = any_of(vec![value, json!({"type": "null"})]);
        }
        value["description"] = json!(key.about);
        for (name, text) in [("x-default", key.default), ("x-class", key.class)] {
            if !text.is_empty() {
                value[name] = json!(text);
            }
        }
        if key.status == Status::NotYet {
            value["x-status"] = json!("not-yet");
        }
        value
    }

    fn shape(&self, shape: &'static Shape, variables: Variables) -> Value {
        let value = |ty| types::value(ty, variables == Variables::Taken);
        match *shape {
            Shape::Scalar(ty) => value(ty),
            Shape::List(ty) => {
                any_of(vec![json!({"type": "array", "items": value(ty)}), value(ty)])
            }
            Shape::Line { principal, attributes } => any_of(vec![
                value(principal.ty),
                self.object(attributes, Some(principal), variables),
            ]),
            Shape::Block { principal: Some(principal), keys } => {
                any_of(vec![value(principal.ty), self.object(keys, Some(principal), variables)])
            }
            Shape::Block { principal: None, keys } => self.object(keys, None, variables),
            Shape::Map { key, value } => json!({
                "type": "object",
                "propertyNames": types::value(key, false),
                "additionalProperties": self.shape(value, variables),
            }),
            Shape::Keyed { identity, body: Body::Line | Body::Block, keys } => {
                keyed(identity, &self.object(keys, None, variables))
            }
            Shape::Rows(keys) => {
                json!({"type": "array", "items": self.object(keys, None, variables)})
            }
            Shape::Tagged { tags, target, attributes } => {
                let mut row = self.object(attributes, None, variables);
                for tag in tags {
                    row["properties"][*tag] = value(target);
                }
                row["oneOf"] = tags.iter().map(|tag| json!({"required": [tag]})).collect();
                json!({"type": "array", "items": row})
            }
        }
    }
}

/// A map by identity; a body may be left empty.
fn keyed(identity: Type, body: &Value) -> Value {
    json!({
        "type": "object",
        "propertyNames": types::value(identity, false),
        "additionalProperties": any_of(vec![body.clone(), json!({"type": "null"})]),
    })
}

/// Joins choices; those that are choices themselves are taken apart.
fn any_of(choices: Vec<Value>) -> Value {
    let mut flat = Vec::new();
    for mut choice in choices {
        match choice.get_mut("anyOf").map(Value::take) {
            Some(Value::Array(inner)) => flat.extend(inner),
            Some(_) | None => flat.push(choice),
        }
    }
    flat.dedup();
    json!({"anyOf": flat})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_x5_every_key_is_described_with_its_class_and_default() {
        let schema = json_schema(Keys::All);
        let sandbox = &schema["$defs"]["sandbox"]["properties"];
        for key in SANDBOX {
            let described = &sandbox[key.spelling(true)];
            assert_eq!(described["description"], key.about, "{}", key.name);
            assert_eq!(described["x-default"].as_str().unwrap_or(""), key.default);
            assert_eq!(described["x-class"].as_str().unwrap_or(""), key.class);
        }
        assert!(sandbox.get("mount").is_none(), "YAML has the plural");
        assert_eq!(schema["properties"]["vars"]["description"], TOP[1].about);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn what_is_not_supported_is_not_described_unless_it_is_asked_for() {
        let (some, all) = (json_schema(Keys::Supported), json_schema(Keys::All));
        let later = TOP.iter().filter(|key| key.status == Status::NotYet);
        for key in later {
            assert!(some["properties"].get(key.spelling(true)).is_none(), "{}", key.name);
            assert_eq!(all["properties"][key.spelling(true)]["x-status"], "not-yet");
        }
    }

    #[test]
    fn the_head_of_yaml_names_the_schema() {
        assert_eq!(YAML_HEAD, format!("# yaml-language-server: $schema={ADDRESS}\n"));
        assert!(ADDRESS.starts_with("https://"));
    }
}
