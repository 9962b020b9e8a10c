//! The canonical layout of KDL: four spaces, small blocks on one line, definitions in the open.

use super::string::{self, COLUMNS};
use super::{Order, ordered};
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::keys::{Body, Key, Shape, TOP};
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::syntax::kdl::number::is_number;
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};

/// Blanks of one level.
const INDENT: usize = 4;

/// The most lines that a block on one line holds.
const SHORT_LINES_MAX: usize = 3;

/// Writes a document.
pub(super) fn text(document: &Group<'_>, order: Order) -> Result<String, Problem> {
    let writer = Writer { order };
    let mut nodes = Vec::new();
    writer.group(document, TOP, 0, &mut nodes)?;
    let mut text = String::new();
    let mut before: Option<bool> = None;
    for node in &nodes {
        let mut written = String::new();
        node.write(0, &mut written);
        let tall = written.trim_end().contains('\n');
        if before.is_some_and(|above| above || tall) {
            text.push('\n');
        }
        before = Some(tall);
        text.push_str(&written);
    }
    Ok(text)
}

/// A node that is about to be written.
struct Node {
    head: String,
    children: Option<Vec<Self>>,
}

impl Node {
    fn leaf(head: String) -> Self {
        Self { head, children: None }
    }

    fn write(&self, level: usize, text: &mut String) {
        let indent = " ".repeat(level * INDENT);
        text.push_str(&indent);
        let few = self.children.as_ref().is_none_or(|all| all.len() <= SHORT_LINES_MAX);
        let short = (level > 0 && few).then(|| self.line()).flatten();
        let fits = |line: &String| level * INDENT + line.chars().count() <= COLUMNS;
        if let Some(line) = short.filter(fits) {
            text.extend([&line, "\n"]);
            return;
        }
        text.push_str(&self.head);
        if let Some(children) = &self.children {
            if children.is_empty() {
                text.push_str(" {}");
            } else {
                text.push_str(" {\n");
                children.iter().for_each(|child| child.write(level + 1, text));
                text.extend([&indent, "}"]);
            }
        }
        text.push('\n');
    }

    /// Returns the node on one line, if it can stand on one.
    fn line(&self) -> Option<String> {
        if self.head.contains('\n') {
            return None;
        }
        let Some(children) = &self.children else { return Some(self.head.clone()) };
        if children.is_empty() {
            return Some(format!("{} {{}}", self.head));
        }
        let lines: Option<Vec<String>> = children.iter().map(Self::line).collect();
        Some(format!("{} {{ {} }}", self.head, lines?.join("; ")))
    }
}

struct Writer {
    order: Order,
}

impl Writer {
    fn group(
        &self,
        group: &Group<'_>,
        keys: &[Key],
        level: usize,
        nodes: &mut Vec<Node>,
    ) -> Result<(), Problem> {
        for item in ordered(&group.items, keys, self.order) {
            self.item(item, level, nodes)?;
        }
        Ok(())
    }

    fn item(&self, item: &Item<'_>, level: usize, nodes: &mut Vec<Node>) -> Result<(), Problem> {
        let (name, shape) = (item.key.name, &item.key.shape);
        match &item.content {
            Content::Scalar(value) => {
                nodes.push(Node::leaf(format!("{name}{}", value_text(value, level))));
            }
            Content::List(values) => nodes.push(list(name, values, item.at, level)?),
            Content::Null(_) => nodes.push(Node::leaf(format!("{name} #null"))),
            Content::Group(group) => {
                nodes.push(self.body(name.to_owned(), group, shape, level)?);
            }
            Content::Map(members) => {
                let value = match shape {
                    Shape::Map { value, .. } => value,
                    _ => shape,
                };
                let children = members.iter().map(|member| self.member(member, value, level + 1));
                let children = children.collect::<Result<_, _>>()?;
                nodes.push(Node { head: name.to_owned(), children: Some(children) });
            }
            Content::Keyed(members) => {
                for member in members {
                    let head = format!("{name} {}", string::kdl(&member.name));
                    if let Content::Group(group) = &member.content {
                        nodes.push(self.body(head, group, shape, level)?);
                    }
                }
            }
            Content::Rows(rows) => {
                for row in rows {
                    nodes.push(self.body(name.to_owned(), row, shape, level)?);
                }
            }
            Content::Tagged(rows) => {
                let children = rows.iter().map(|row| self.member(row, shape, level + 1));
                let children = children.collect::<Result<_, _>>()?;
                nodes.push(Node { head: name.to_owned(), children: Some(children) });
            }
        }
        Ok(())
    }

    /// Returns an entry of a map, or a row with its tag.
    fn member(&self, member: &Member<'_>, shape: &Shape, level: usize) -> Result<Node, Problem> {
        let name = string::kdl_name(&member.name);
        match &member.content {
            Content::Scalar(value) => Ok(Node::leaf(format!("{name}{}", value_text(value, level)))),
            Content::List(values) => list(&name, values, member.at, level),
            Content::Group(group) => self.body(name, group, shape, level),
            Content::Null(_)
            | Content::Map(_)
            | Content::Keyed(_)
            | Content::Rows(_)
            | Content::Tagged(_) => Ok(Node::leaf(format!("{name} #null"))),
        }
    }

    /// Returns a line or a block: its head, its value, then properties or braces.
    fn body(
        &self,
        mut head: String,
        group: &Group<'_>,
        shape: &Shape,
        level: usize,
    ) -> Result<Node, Problem> {
        if let Some(value) = &group.principal {
            head.push_str(&value_text(value, level));
        }
        match *shape {
            Shape::Block { keys, .. } | Shape::Keyed { body: Body::Block, keys, .. } => {
                if group.items.is_empty() {
                    return Ok(Node::leaf(head));
                }
                let mut children = Vec::new();
                self.group(group, keys, level + 1, &mut children)?;
                Ok(Node { head, children: Some(children) })
            }
            Shape::Line { attributes: keys, .. }
            | Shape::Tagged { attributes: keys, .. }
            | Shape::Keyed { body: Body::Line, keys, .. }
            | Shape::Rows(keys) => {
                for item in ordered(&group.items, keys, self.order) {
                    head.extend([" ", item.key.name, "="]);
                    head.push_str(&property(&item.content, level));
                }
                Ok(Node::leaf(head))
            }
            Shape::Scalar(_) | Shape::List(_) | Shape::Map { .. } => Ok(Node::leaf(head)),
        }
    }
}

fn list(name: &str, values: &[Scalar<'_>], at: Span, level: usize) -> Result<Node, Problem> {
    if values.is_empty() {
        let message = format!("KDL has no spelling for `{name}` with an empty list");
        return Err(Problem::error(Code::SCHEMA_SHAPE, message, at)
            .help(format!("leave `{name}` out, or write null where it may be none")));
    }
    let values: String = values.iter().map(|value| value_text(value, level)).collect();
    Ok(Node::leaf(format!("{name}{values}")))
}

fn property(content: &Content<'_>, level: usize) -> String {
    match content {
        Content::Scalar(value) => value_text(value, level).trim_start().to_owned(),
        Content::Null(_)
        | Content::List(_)
        | Content::Group(_)
        | Content::Map(_)
        | Content::Keyed(_)
        | Content::Rows(_)
        | Content::Tagged(_) => "#null".to_owned(),
    }
}

/// Returns a value with the blank before it.
fn value_text(value: &Scalar<'_>, level: usize) -> String {
    let text = match value.kind {
        ScalarKind::Number if is_number(&value.text) || value.text.starts_with('#') => {
            value.text.to_string()
        }
        ScalarKind::Quoted | ScalarKind::Word | ScalarKind::Number => {
            string::kdl_lines(&value.text, (level + 1) * INDENT)
                .unwrap_or_else(|| string::kdl(&value.text))
        }
        ScalarKind::True => "#true".to_owned(),
        ScalarKind::False => "#false".to_owned(),
        ScalarKind::Null | ScalarKind::Nothing => "#null".to_owned(),
    };
    format!(" {text}")
}
