//! Where the lines of YAML break.

use super::{Fields, Value, Wish, scalar};
use crate::sandboxfile::print::string::{self, COLUMNS};
use crate::sandboxfile::tree::ScalarKind;

/// Blanks of one level.
const INDENT: usize = 2;

/// Returns a whole document, with a blank line between what stands at its top.
pub(super) fn document(fields: &Fields<'_>) -> String {
    if fields.is_empty() {
        return "{}\n".to_owned();
    }
    let mut text = String::new();
    let mut before: Option<bool> = None;
    for (name, value) in fields {
        let mut written = String::new();
        field(name, value, 0, &mut written);
        let tall = written.trim_end().contains('\n');
        if before.is_some_and(|above| above || tall) {
            text.push('\n');
        }
        before = Some(tall);
        text.push_str(&written);
    }
    text
}

/// Writes a key and its value; the cursor stands where the key begins.
fn field(name: &str, value: &Value<'_>, indent: usize, text: &mut String) {
    let name = string::yaml(name);
    text.extend([&name, ":"]);
    below(value, indent, indent + name.chars().count() + 1, text);
}

/// Writes the value of a key, or of a row; `column` is how far its line has come.
fn below(value: &Value<'_>, indent: usize, column: usize, text: &mut String) {
    if let Some(lines) = literal(value) {
        write_literal(lines, indent + INDENT, text);
    } else if let Some(line) = on_one_line(value, column) {
        text.extend([" ", &line, "\n"]);
    } else {
        text.push('\n');
        block(value, indent + INDENT, text);
    }
}

/// Returns text that stands as it is, line by line.
fn literal<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    let Value::Scalar(scalar) = value else { return None };
    let is_text = matches!(scalar.kind, ScalarKind::Quoted | ScalarKind::Word);
    // The blanks before the first line would be taken for the indentation of all, and blank lines
    // after the last for lines of the file.
    let starts = scalar.text.trim_start_matches('\n').starts_with([' ', '\t']);
    let stands = !starts && !scalar.text.ends_with("\n\n");
    (is_text && stands && string::has_readable_lines(&scalar.text)).then_some(&scalar.text)
}

fn write_literal(lines: &str, indent: usize, text: &mut String) {
    let (mark, lines) = match lines.strip_suffix('\n') {
        Some(lines) => (" |\n", lines),
        None => (" |-\n", lines),
    };
    text.push_str(mark);
    for line in lines.split('\n') {
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
        text.push('\n');
    }
}

/// Returns the value as it stands behind its key, if it can and may.
fn on_one_line(value: &Value<'_>, column: usize) -> Option<String> {
    let wishes = match value {
        Value::Scalar(_) | Value::Null | Value::Map(_, Wish::Line) => true,
        Value::List(values) => !values.iter().any(|value| matches!(value, Value::Map(..))),
        Value::Map(fields, Wish::Block) => fields.is_empty(),
    };
    let line = wishes.then(|| flow(value)).flatten()?;
    let short = matches!(value, Value::Scalar(_)) || column + 1 + line.chars().count() <= COLUMNS;
    short.then_some(line)
}

/// Returns the value in brackets and braces; `None` where some text needs lines of its own.
fn flow(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Scalar(one) => literal(value).is_none().then(|| scalar(one)),
        Value::List(values) => {
            let values: Option<Vec<String>> = values.iter().map(flow).collect();
            Some(format!("[{}]", values?.join(", ")))
        }
        Value::Map(fields, _) => {
            let field = |(name, value): &(&str, Value<'_>)| {
                Some(format!("{}: {}", string::yaml(name), flow(value)?))
            };
            let fields: Option<Vec<String>> = fields.iter().map(field).collect();
            Some(format!("{{{}}}", fields?.join(", ")))
        }
    }
}

/// Writes a value on lines of its own.
fn block(value: &Value<'_>, indent: usize, text: &mut String) {
    let blanks = " ".repeat(indent);
    match value {
        Value::Scalar(one) => text.extend([&blanks, &scalar(one), "\n"]),
        Value::Null => text.extend([&blanks, "null\n"]),
        Value::Map(fields, _) => {
            for (name, value) in fields {
                text.push_str(&blanks);
                field(name, value, indent, text);
            }
        }
        Value::List(values) => {
            for value in values {
                text.extend([&blanks, "-"]);
                row(value, indent, text);
            }
        }
    }
}

/// Writes an element of a list; a map begins on the line of its dash.
fn row(value: &Value<'_>, indent: usize, text: &mut String) {
    let Value::Map(fields, _) = value else { return below(value, indent, indent + 1, text) };
    if let Some(line) = on_one_line(value, indent + 1) {
        text.extend([" ", &line, "\n"]);
        return;
    }
    for (count, (name, value)) in fields.iter().enumerate() {
        if count == 0 {
            text.push(' ');
        } else {
            text.push_str(&" ".repeat(indent + INDENT));
        }
        field(name, value, indent + INDENT, text);
    }
}
