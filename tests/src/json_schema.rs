//! A validator of JSON Schema 2020-12, as far as our own schemas use it; what it does not know, it
//! refuses to read, so that nothing in a schema goes unheld.

use regex::Regex;
use serde_json::{Map, Value};

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::Problems;
use schema::sandboxfile::syntax::yaml;
use schema::sandboxfile::tree::{Entry, Origin, Scalar, ScalarKind};

/// Holds that a document fits a schema.
///
/// # Panics
/// When it does not; the message says where.
pub fn fits(schema: &Value, document: &Value) {
    let faults = faults(schema, document);
    assert!(faults.is_empty(), "{}\n{document:#}", faults.join("\n"));
}

/// Returns what does not fit, by its place in the document.
pub fn faults(schema: &Value, document: &Value) -> Vec<String> {
    let mut validator = Validator { root: schema, faults: Vec::new() };
    validator.check(schema, document, "$");
    validator.faults
}

struct Validator<'s> {
    root: &'s Value,
    faults: Vec<String>,
}

impl Validator<'_> {
    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        let rules = schema.as_object().unwrap_or_else(|| panic!("{at}: {schema} is no schema"));
        for (word, rule) in rules {
            match word.as_str() {
                "$ref" => self.refer(rule, value, at),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"));
                    }
                }
                "properties" => self.properties(rule, value, at),
                "propertyNames" => {
                    for name in value.as_object().into_iter().flat_map(Map::keys) {
                        self.check(rule, &Value::from(name.as_str()), &format!("{at}.{name}"));
                    }
                }
                "additionalProperties" => self.others(rules, value, at),
                word if self.is_broken(word, rule, value) => {
                    self.faults.push(format!("{at}: {value} against {word} {rule}"));
                }
                _ => {}
            }
        }
    }

    fn refer(&mut self, rule: &Value, value: &Value, at: &str) {
        let name = rule.as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        let name = name.unwrap_or_else(|| panic!("{at}: {rule} leads nowhere"));
        self.check(&self.root["$defs"][name], value, at);
    }

    fn properties(&mut self, rule: &Value, value: &Value, at: &str) {
        for (name, inner) in value.as_object().into_iter().flatten() {
            if let Some(schema) = rule.get(name) {
                self.check(schema, inner, &format!("{at}.{name}"));
            }
        }
    }

    /// Holds the rule for keys that `properties` does not name.
    fn others(&mut self, rules: &Map<String, Value>, value: &Value, at: &str) {
        let rule = &rules["additionalProperties"];
        for (name, inner) in value.as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            let named = rules.get("properties").is_some_and(|named| named.get(name).is_some());
            match rule {
                _ if named => {}
                Value::Bool(false) => self.faults.push(format!("{at}: not a key here")),
                schema => self.check(schema, inner, &at),
            }
        }
    }

    /// Tells whether a value breaks a rule that concerns it alone.
    fn is_broken(&self, word: &str, rule: &Value, value: &Value) -> bool {
        let fits = |schema: &Value| {
            let mut inner = Validator { root: self.root, faults: Vec::new() };
            inner.check(schema, value, "");
            inner.faults.is_empty()
        };
        let count = |rule: &Value| list(rule).iter().filter(|schema| fits(schema)).count();
        let letters = |text: &str| text.chars().count() as u64;
        match word {
            "anyOf" => count(rule) == 0,
            "oneOf" => count(rule) != 1,
            "allOf" => count(rule) != list(rule).len(),
            "not" => fits(rule),
            "type" => !is_of_type(rule, value),
            "enum" => !list(rule).contains(value),
            "const" => rule != value,
            "pattern" => {
                let pattern = rule.as_str().and_then(|text| Regex::new(text).ok());
                let pattern = pattern.unwrap_or_else(|| panic!("{rule} is no pattern"));
                value.as_str().is_some_and(|text| !pattern.is_match(text))
            }
            "maxLength" => value.as_str().is_some_and(|text| Some(letters(text)) > rule.as_u64()),
            "minimum" => value.as_f64().is_some_and(|number| Some(number) < rule.as_f64()),
            "maximum" => value.as_f64().is_some_and(|number| Some(number) > rule.as_f64()),
            "required" => value.as_object().is_some_and(|object| {
                list(rule).iter().filter_map(Value::as_str).any(|name| !object.contains_key(name))
            }),
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" => false,
            extension if extension.starts_with("x-") => false,
            unknown => panic!("the validator does not know `{unknown}`"),
        }
    }
}

fn list(rule: &Value) -> &Vec<Value> {
    rule.as_array().unwrap_or_else(|| panic!("{rule} is no list"))
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |word: &Value| match word.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("no type `{other}`"),
    };
    rule.as_array().map_or_else(|| is(rule), |words| words.iter().any(is))
}

/// Returns YAML as an editor sees it: as the JSON that it stands for.
///
/// # Panics
/// When it is no YAML of ours.
pub fn of_yaml(text: &str) -> Value {
    let mut problems = Problems::new(10);
    let tree = yaml::yaml(text, 0, &Limits::default(), &mut problems);
    let tree = tree.unwrap_or_else(|| panic!("{problems:?}\n{text}"));
    Value::Object(
        tree.entries.iter().map(|entry| (entry.key.to_string(), of_entry(entry))).collect(),
    )
}

fn of_entry(entry: &Entry<'_>) -> Value {
    match entry.origin {
        Origin::YamlMap => Value::Object(
            entry.fields.iter().map(|field| (field.key.to_string(), of_entry(field))).collect(),
        ),
        // A list holds scalars or maps, never both in our language.
        Origin::YamlList if entry.fields.is_empty() => entry.items.iter().map(of_scalar).collect(),
        Origin::YamlList => entry.fields.iter().map(of_entry).collect(),
        _ => entry.items.first().map_or(Value::Null, of_scalar),
    }
}

fn of_scalar(scalar: &Scalar<'_>) -> Value {
    let text = scalar.text.as_ref();
    match scalar.kind {
        ScalarKind::True => Value::Bool(true),
        ScalarKind::False => Value::Bool(false),
        ScalarKind::Null | ScalarKind::Nothing => Value::Null,
        ScalarKind::Number => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        ScalarKind::Quoted | ScalarKind::Word => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_rule_is_held() {
        let schema = json!({
            "$defs": {"name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3}},
            "type": "object",
            "required": ["a"],
            "properties": {
                "a": {"$ref": "#/$defs/name"},
                "b": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, {"const": "x"}]},
                "c": {"type": ["array", "null"], "items": {"enum": [1, 2]}},
                "d": {"oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
                "e": {"not": {"type": "string"}, "allOf": [{"type": "boolean"}]},
            },
            "propertyNames": {"maxLength": 2},
            "additionalProperties": {"type": "boolean"},
        });
        let good = json!({"a": "ab", "b": 5, "c": [1, 2], "d": {"x": 1}, "e": true, "f": false});
        assert_eq!(faults(&schema, &good), Vec::<String>::new());
        for (bad, at) in [
            (json!({}), "$: {} against required"),
            (json!({"a": "A"}), "$.a"),
            (json!({"a": "abcd"}), "$.a"),
            (json!({"a": "a", "b": 6}), "$.b"),
            (json!({"a": "a", "b": 0}), "$.b"),
            (json!({"a": "a", "c": [3]}), "$.c[0]"),
            (json!({"a": "a", "d": {"x": 1, "y": 2}}), "$.d"),
            (json!({"a": "a", "e": "s"}), "$.e"),
            (json!({"a": "a", "f": 1}), "$.f"),
            (json!({"a": "a", "long": true}), "$.long"),
            (json!([]), "$"),
        ] {
            let found = faults(&schema, &bad);
            assert!(found.iter().any(|fault| fault.starts_with(at)), "{bad}: {found:?}");
        }
    }
}
