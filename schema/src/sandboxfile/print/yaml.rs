//! The canonical layout of YAML: two spaces, lines and rows in braces where they fit, one document.
//!
//! The document first becomes a value as any YAML or JSON has it; that value is then laid out.

mod layout;

use serde_json::Value as Json;

use super::{Order, ordered, string};
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::keys::{Body, Key, Principal, Shape, TOP};
use crate::sandboxfile::tree::{Scalar, ScalarKind};

/// Writes a document as YAML.
pub(super) fn text(document: &Group<'_>, order: Order) -> String {
    layout::document(&Writer { order }.keys(document, TOP))
}

/// Makes a document a JSON value.
pub(super) fn json(document: &Group<'_>, order: Order) -> Json {
    object(&Writer { order }.keys(document, TOP))
}

/// A value of the kinds that YAML and JSON share.
#[derive(Debug)]
enum Value<'d> {
    Scalar(&'d Scalar<'d>),
    Null,
    List(Vec<Self>),
    Map(Fields<'d>, Wish),
}

/// What a map holds, in the order it is written.
type Fields<'d> = Vec<(&'d str, Value<'d>)>;

/// How a map would like to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// In braces, if it fits on its line.
    Line,
    /// A line for each key.
    Block,
}

struct Writer {
    order: Order,
}

impl Writer {
    fn keys<'d>(&self, group: &'d Group<'d>, keys: &[Key]) -> Fields<'d> {
        let said = |item: &&&Item<'_>| match &item.content {
            Content::Keyed(members) => !members.is_empty(),
            Content::Rows(rows) => !rows.is_empty(),
            _ => true,
        };
        let items = ordered(&group.items, keys, self.order);
        let items = items.iter().filter(said);
        items.map(|item| (item.key.spelling(true), self.item(item))).collect()
    }

    fn item<'d>(&self, item: &'d Item<'d>) -> Value<'d> {
        let shape = &item.key.shape;
        match &item.content {
            Content::Scalar(value) => Value::Scalar(value),
            Content::List(values) => list(values),
            Content::Null(_) => Value::Null,
            Content::Group(group) => self.body(group, shape),
            Content::Map(members) => {
                let value = match shape {
                    Shape::Map { value, .. } => value,
                    _ => shape,
                };
                self.members(members, value)
            }
            Content::Keyed(members) => self.members(members, shape),
            Content::Rows(rows) => {
                Value::List(rows.iter().map(|row| self.body(row, shape)).collect())
            }
            Content::Tagged(rows) => {
                Value::List(rows.iter().map(|row| self.tagged(row, shape)).collect())
            }
        }
    }

    fn members<'d>(&self, members: &'d [Member<'d>], shape: &Shape) -> Value<'d> {
        let fields = members.iter().map(|member| {
            let value = match &member.content {
                Content::Scalar(value) => Value::Scalar(value),
                Content::List(values) => list(values),
                Content::Group(group) => self.body(group, shape),
                Content::Null(_)
                | Content::Map(_)
                | Content::Keyed(_)
                | Content::Rows(_)
                | Content::Tagged(_) => Value::Null,
            };
            (member.name.as_ref(), value)
        });
        Value::Map(fields.collect(), Wish::Block)
    }

    /// Returns a line or a block: its value alone, or a map with the value under its name.
    fn body<'d>(&self, group: &'d Group<'d>, shape: &Shape) -> Value<'d> {
        let (principal, keys, wish) = parts(shape);
        match (&group.principal, group.items.as_slice()) {
            (Some(value), []) => Value::Scalar(value),
            (value, _) => {
                let name = principal.map_or("value", |principal| principal.name);
                let value = value.as_ref().map(|value| (name, Value::Scalar(value)));
                let fields = value.into_iter().chain(self.keys(group, keys));
                Value::Map(fields.collect(), wish)
            }
        }
    }

    fn tagged<'d>(&self, row: &'d Member<'d>, shape: &Shape) -> Value<'d> {
        let mut fields = Vec::new();
        if let Content::Group(group) = &row.content {
            let target = group.principal.as_ref();
            fields.extend(target.map(|target| (row.name.as_ref(), Value::Scalar(target))));
            fields.extend(self.keys(group, parts(shape).1));
        }
        Value::Map(fields, Wish::Line)
    }
}

/// Returns what a line or block begins with, its keys, and how it would like to stand.
fn parts(shape: &Shape) -> (Option<Principal>, &'static [Key], Wish) {
    match *shape {
        Shape::Line { principal, attributes } => (Some(principal), attributes, Wish::Line),
        Shape::Block { principal, keys } => (principal, keys, Wish::Block),
        Shape::Keyed { body: Body::Line, keys, .. } | Shape::Rows(keys) => (None, keys, Wish::Line),
        Shape::Keyed { body: Body::Block, keys, .. } => (None, keys, Wish::Block),
        Shape::Tagged { attributes, .. } => (None, attributes, Wish::Line),
        Shape::Scalar(_) | Shape::List(_) | Shape::Map { .. } => (None, &[], Wish::Block),
    }
}

fn list<'d>(values: &'d [Scalar<'d>]) -> Value<'d> {
    Value::List(values.iter().map(Value::Scalar).collect())
}

/// Returns a scalar on one line.
fn scalar(value: &Scalar<'_>) -> String {
    match value.kind {
        ScalarKind::Number if string::number(&value.text).is_some() => value.text.to_string(),
        ScalarKind::Quoted | ScalarKind::Word | ScalarKind::Number => string::yaml(&value.text),
        ScalarKind::True => "true".to_owned(),
        ScalarKind::False => "false".to_owned(),
        ScalarKind::Null | ScalarKind::Nothing => "null".to_owned(),
    }
}

fn object(fields: &Fields<'_>) -> Json {
    Json::Object(fields.iter().map(|(name, value)| ((*name).to_owned(), of_value(value))).collect())
}

fn of_value(value: &Value<'_>) -> Json {
    match value {
        Value::Scalar(value) => of_scalar(value),
        Value::Null => Json::Null,
        Value::List(values) => Json::Array(values.iter().map(of_value).collect()),
        Value::Map(fields, _) => object(fields),
    }
}

/// A number stays one where JSON keeps its text; `3.10` is text there.
fn of_scalar(value: &Scalar<'_>) -> Json {
    let number = || {
        let text = string::number(&value.text)?;
        let number: serde_json::Number = serde_json::from_str(text).ok()?;
        (number.to_string() == text).then_some(Json::Number(number))
    };
    match value.kind {
        ScalarKind::Number => number().unwrap_or_else(|| Json::String(value.text.to_string())),
        ScalarKind::Quoted | ScalarKind::Word => Json::String(value.text.to_string()),
        ScalarKind::True => Json::Bool(true),
        ScalarKind::False => Json::Bool(false),
        ScalarKind::Null | ScalarKind::Nothing => Json::Null,
    }
}
