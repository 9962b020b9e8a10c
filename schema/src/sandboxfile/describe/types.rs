//! What a value must be, in the words of JSON Schema.

use serde_json::{Map, Value, json};

use super::any_of;
use crate::sandboxfile::keys::Type;
use crate::units::Bytes;

const NUMBER: &str = r"[0-9](_?[0-9])*";
const NAME: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
const PORTS: &str = r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*";

/// Returns what several keys refer to.
pub(super) fn definitions() -> Map<String, Value> {
    let size = format!(r"^{NUMBER}(\.[0-9]{{1,3}})?([KkMmGgTt]([Ii][Bb])?|[Bb])$");
    let rate = format!(r"^{NUMBER}(\.[0-9]{{1,3}})?([KkMmGgTt]([Ii][Bb])?|[Bb])/s$");
    let duration = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
    let entries = [
        ("variable", text(r"\$\{", "a text with a variable in it: ${NAME}")),
        ("size", text(&size, "a size: 512MiB, 1.5GiB")),
        ("rate", text(&rate, "bytes a second: 20MiB/s")),
        ("duration", but_not(text(duration, "a duration: 1h30m, 10s, 200ms"), "^$")),
        ("name", word(&format!("^{NAME}$"), "a name: a-z, 0-9 and -, up to 63 letters")),
        ("count", text(&format!("^{NUMBER}$"), "a whole number")),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(pattern: &str, description: &str) -> Value {
    json!({"type": "string", "pattern": pattern, "description": description})
}

/// Takes texts of another pattern away; looking ahead is not for every engine.
fn but_not(mut value: Value, pattern: &str) -> Value {
    value["not"] = json!({"pattern": pattern});
    value
}

/// A text that may look like a number.
fn word(pattern: &str, description: &str) -> Value {
    json!({"type": ["string", "integer"], "pattern": pattern, "description": description})
}

fn defined(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn pattern(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

/// Describes a value; one that takes variables may be a text with a variable in it.
pub(super) fn value(ty: Type, variables: bool) -> Value {
    let plain = plain(ty);
    // Any text holds variables as it is.
    let is_text = matches!(ty, Type::Text(_) | Type::Regex | Type::HostPath);
    if variables && !is_text { any_of(vec![plain, defined("variable")]) } else { plain }
}

fn plain(ty: Type) -> Value {
    match ty {
        // A number is taken by its text.
        Type::Text(most) => json!({"type": ["string", "number"], "maxLength": most}),
        Type::Bool => json!({"enum": [true, false, "true", "false"]}),
        Type::Count(least, most) => count(least, most),
        Type::Decimal => any_of(vec![
            json!({"type": "number", "minimum": 0}),
            pattern(&format!(r"^{NUMBER}(\.[0-9]{{1,3}})?$")),
        ]),
        Type::Size(least, most) => size(least, most),
        Type::SizeOrNone => any_of(vec![json!({"const": "none"}), defined("size")]),
        Type::Rate => defined("rate"),
        Type::Duration(least) => {
            let mut duration = defined("duration");
            if least > 0 {
                duration["x-minimum"] = json!(format!("{least}ms"));
            }
            duration
        }
        Type::Choice(words) => json!({"enum": words}),
        Type::Limit => any_of(vec![json!({"const": "unlimited"}), count(0, u64::MAX)]),
        Type::Port => any_of(vec![port(), pattern("^[0-9]{1,5}$")]),
        Type::PortRange => any_of(vec![port(), pattern("^[0-9]{1,5}(-[0-9]{1,5})?$")]),
        Type::PortSet => any_of(vec![port(), pattern(&format!("^({PORTS}|any)$"))]),
        Type::HostPort => any_of(vec![port(), pattern("^([0-9]{1,5}(-[0-9]{1,5})?|auto)$")]),
        Type::Mode => any_of(vec![
            json!({"type": "integer", "minimum": 0, "maximum": 7777}),
            pattern("^[0-7]{1,5}$"),
        ]),
        words => of_words(words),
    }
}

/// Describes what is always a text, by its grammar.
fn of_words(ty: Type) -> Value {
    let length =
        |value: &str, most: usize| json!({"type": "string", "pattern": value, "maxLength": most});
    match ty {
        Type::Name => defined("name"),
        Type::Instance => pattern(&format!(r"^{NAME}(\[[^\]]+\])?$")),
        Type::VarName => pattern("^[A-Za-z_][A-Za-z0-9_]{0,127}$"),
        Type::EnvKey => but_not(pattern("^[A-Za-z_][A-Za-z0-9_.-]{0,254}$"), "^MSB_"),
        Type::LabelKey => {
            let reserved = r"^(msb|sandbox|microsandbox|service|host)\.";
            but_not(length(r"^[^\x00-\x1f]+$", 128), reserved)
        }
        Type::GuestPath => length("^/", 4095),
        Type::HostPath => but_not(length(r"^[^\x00]+$", 4095), "^~[^/]"),
        Type::Image => pattern(r"^\S+$"),
        Type::User => word(r"^[^\s:]+(:[^\s:]+)?$", "a user, perhaps with a group"),
        Type::Signal => pattern("^[A-Za-z0-9+-]+$"),
        Type::Regex => json!({"type": "string", "maxLength": 512}),
        Type::Address => pattern(r"^[0-9A-Fa-f.:\[\]%]+$"),
        Type::Server => pattern(r"^[0-9A-Fa-f.:\[\]%]+$"),
        Type::HostPattern => pattern(r"^(\*\.)?[^\s*/:]+\.[^\s*/:]+$"),
        Type::Target => pattern(r"^\S+$"),
        Type::Text(_)
        | Type::Bool
        | Type::Count(..)
        | Type::Decimal
        | Type::Size(..)
        | Type::SizeOrNone
        | Type::Rate
        | Type::Duration(_)
        | Type::Choice(_)
        | Type::Port
        | Type::PortRange
        | Type::PortSet
        | Type::HostPort
        | Type::Mode
        | Type::Limit => json!({"type": "string"}),
    }
}

fn count(least: u64, most: u64) -> Value {
    let mut number = json!({"type": "integer", "minimum": least});
    if most < u64::MAX {
        number["maximum"] = json!(most);
    }
    any_of(vec![number, defined("count")])
}

fn port() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 65535})
}

/// A size has its bounds beside it: JSON Schema compares numbers only.
fn size(least: u64, most: u64) -> Value {
    let mut size = defined("size");
    let written = |bytes: u64| json!(Bytes(bytes).to_string().replace(' ', ""));
    if least > 1 {
        size["x-minimum"] = written(least);
    }
    size["x-maximum"] = written(most);
    size
}
