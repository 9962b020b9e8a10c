//! Stage three: is every key known here, and written in its shape?
//!
//! What does not fit is reported once and left out of the document, so later
//! stages say nothing that only follows from it.

mod form;
mod keyed;
mod unknown;

use super::document::{Content, Group, Item};
use super::keys::{self, Key, Presence, Principal, Shape, Status, TOP};
use super::problem::{Code, Problem, Problems};
use super::tree::{Entry, Origin, Scalar, ScalarKind, Span, Tree};

/// Puts a tree into the shapes of its keys.
pub fn shape<'a>(tree: Tree<'a>, yaml: bool, problems: &mut Problems) -> Group<'a> {
    shape_with(tree, yaml, NotYet::Refused, problems)
}

/// What happens to keys that are part of the language, and not supported yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotYet {
    /// They are problems.
    Refused,
    /// They are taken, since nothing is done but writing them again.
    Taken,
}

/// Puts a tree into the shapes of its keys, with a say about keys that are not supported yet.
pub fn shape_with<'a>(
    tree: Tree<'a>,
    yaml: bool,
    later: NotYet,
    problems: &mut Problems,
) -> Group<'a> {
    let mut shaper = Shaper { yaml, later, problems };
    let place = Place { noun: "the file", keys: TOP, stand: Stand::Lines };
    shaper.keys(tree.entries, place)
}

/// Where keys are read: what to call the place, and how its keys stand there.
#[derive(Clone, Copy)]
struct Place<'k> {
    noun: &'k str,
    keys: &'static [Key],
    stand: Stand,
}

/// How keys stand: as lines in braces, or as properties of one line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Lines,
    Properties,
}

struct Shaper<'p> {
    yaml: bool,
    later: NotYet,
    problems: &'p mut Problems,
}

impl Shaper<'_> {
    /// Reads entries as the keys of a place.
    fn keys<'a>(&mut self, entries: Vec<Entry<'a>>, place: Place<'_>) -> Group<'a> {
        let mut group = Group { items: Vec::with_capacity(entries.len()), ..Group::default() };
        for entry in entries {
            let Some(key) = keys::find(place.keys, &entry.key, self.yaml) else {
                if self.problems.is_full() {
                    continue;
                }
                let (problem, meant) = unknown::key(&entry, place.noun, place.keys, self.yaml);
                self.problems.push(problem);
                // What nobody knows may have been anything that is missed later.
                group.dropped.push(meant.unwrap_or(""));
                continue;
            };
            if key.status == Status::NotYet && self.later == NotYet::Refused {
                self.not_yet(key, &entry);
                group.dropped.push(key.name);
            } else if self.stands(&entry, key, place) {
                self.item(entry, key, &mut group);
            } else {
                group.dropped.push(key.name);
            }
        }
        for item in &mut group.items {
            if let Content::Keyed(members) = &mut item.content {
                self.distinct(members, item.key);
            }
        }
        group
    }

    fn item<'a>(&mut self, entry: Entry<'a>, key: &'static Key, group: &mut Group<'a>) {
        let gathers = !self.yaml && matches!(key.shape, Shape::Keyed { .. } | Shape::Rows(_));
        let earlier = group.items.iter_mut().find(|item| item.key.name == key.name);
        if let (Some(earlier), false) = (&earlier, gathers) {
            self.problems.push(unknown::duplicate(&entry.key, entry.key_span, earlier.at));
            return;
        }
        let at = entry.key_span;
        match (self.content(entry, key), earlier) {
            (None, _) => group.dropped.push(key.name),
            (Some(content), None) => group.items.push(Item { key, at, content }),
            (Some(Content::Keyed(more)), Some(Item { content: Content::Keyed(members), .. })) => {
                members.extend(more);
            }
            (Some(Content::Rows(more)), Some(Item { content: Content::Rows(rows), .. })) => {
                rows.extend(more);
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Reads one entry by its key's shape.
    fn content<'a>(&mut self, entry: Entry<'a>, key: &'static Key) -> Option<Content<'a>> {
        let nullable = key.presence == Presence::Nullable;
        match key.shape {
            Shape::Scalar(_) => self.scalar(entry, nullable),
            Shape::List(_) => self.list(entry, nullable),
            Shape::Line { principal, attributes } => {
                let stand = Stand::Properties;
                self.group(
                    entry,
                    Some(principal),
                    Place { noun: key.name, keys: attributes, stand },
                )
            }
            Shape::Block { principal, keys } => {
                let stand = Stand::Lines;
                self.group(entry, principal, Place { noun: key.name, keys, stand })
            }
            Shape::Map { value, .. } => self.map(entry, key, value),
            Shape::Keyed { .. } => self.keyed(entry, key),
            Shape::Rows(keys) => self.rows(entry, keys),
            Shape::Tagged { tags, attributes, .. } => self.tagged(entry, tags, attributes),
        }
    }

    fn not_yet(&mut self, key: &Key, entry: &Entry<'_>) {
        let message = format!("`{}` is not supported yet", key.spelling(self.yaml));
        let problem = Problem::error(Code::SCHEMA_NOT_YET, message, entry.key_span);
        self.problems.push(problem.help("leave it out for now; nothing is ever ignored silently"));
    }

    /// Holds KDL to writing properties as properties and lines as lines.
    fn stands(&mut self, entry: &Entry<'_>, key: &Key, place: Place<'_>) -> bool {
        let (wrong, advice) = match (place.stand, entry.origin) {
            (Stand::Lines, Origin::Property) => (
                format!("`{}` is a line of its own, not a property", key.name),
                format!("write `{} {}` inside the braces", key.name, form::items(&entry.items)),
            ),
            (Stand::Properties, Origin::Node | Origin::Block) => (
                format!("`{}` is a property, not a line of its own", key.name),
                format!("write {}={} on the line above", key.name, form::items(&entry.items)),
            ),
            _ => return true,
        };
        let code = Code::SCHEMA_PROPERTY_OR_CHILD;
        self.problems.push(Problem::error(code, wrong, entry.key_span).help(advice));
        false
    }

    fn scalar<'a>(&mut self, entry: Entry<'a>, nullable: bool) -> Option<Content<'a>> {
        let (at, name) = (entry.key_span, entry.key.clone());
        let is_one = entry.items.len() == 1
            && matches!(entry.origin, Origin::Property | Origin::Node | Origin::YamlScalar);
        if !entry.fields.is_empty() || !is_one {
            let problem =
                Problem::error(Code::SCHEMA_SHAPE, format!("`{name}` takes exactly one value"), at);
            self.problems.push(problem.help(form::scalar(&name, self.yaml)));
            return None;
        }
        let value = entry.items.into_iter().next()?;
        self.value_or_null(value, &name, nullable)
    }

    fn value_or_null<'a>(
        &mut self,
        value: Scalar<'a>,
        name: &str,
        nullable: bool,
    ) -> Option<Content<'a>> {
        match (value.kind, nullable) {
            (ScalarKind::Null, true) => Some(Content::Null(value.span)),
            (ScalarKind::Null | ScalarKind::Nothing, _) => {
                self.problems.push(form::null(name, value.span, nullable));
                None
            }
            _ => Some(Content::Scalar(value)),
        }
    }

    fn list<'a>(&mut self, entry: Entry<'a>, nullable: bool) -> Option<Content<'a>> {
        let (at, name) = (entry.key_span, entry.key.clone());
        let empty_kdl = entry.items.is_empty() && !self.yaml;
        let is_block = matches!(entry.origin, Origin::YamlMap | Origin::Block);
        if !entry.fields.is_empty() || empty_kdl || is_block {
            let message = format!("`{name}` takes a list of values");
            let problem = Problem::error(Code::SCHEMA_SHAPE, message, at);
            self.problems.push(problem.help(form::list(&name, self.yaml)));
            return None;
        }
        let lone = entry.items.len() == 1 && !is_list(&entry);
        if lone && matches!(entry.items[0].kind, ScalarKind::Null | ScalarKind::Nothing) {
            let value = entry.items.into_iter().next()?;
            return self.value_or_null(value, &name, nullable);
        }
        for item in &entry.items {
            if matches!(item.kind, ScalarKind::Null | ScalarKind::Nothing) {
                self.problems.push(form::null(&name, item.span, false));
                return None;
            }
        }
        Some(Content::List(entry.items))
    }

    /// Reads a line or a block.
    fn group<'a>(
        &mut self,
        entry: Entry<'a>,
        principal: Option<Principal>,
        place: Place<'_>,
    ) -> Option<Content<'a>> {
        let (at, name) = (entry.key_span, entry.key.clone());
        let many = if principal.is_some() { 1 } else { 0 };
        if entry.items.len() > many || is_list(&entry) {
            let message = match many {
                0 => format!("`{name}` takes no value of its own"),
                _ => format!("`{name}` takes one value"),
            };
            let problem = Problem::error(Code::SCHEMA_SHAPE, message, at);
            let help = form::group(&name, principal, place.stand, self.yaml);
            self.problems.push(problem.help(help));
            return None;
        }
        let mut value = entry.items.into_iter().next();
        let mut fields = entry.fields;
        if let Some(principal) = principal.filter(|_| self.yaml && value.is_none()) {
            value = self.take_principal(&mut fields, principal.name)?;
        }
        let value = match value {
            None => None,
            Some(value) => match self.value_or_null(value, &name, false)? {
                Content::Scalar(value) => Some(value),
                _ => None,
            },
        };
        if value.is_none() && principal.is_some_and(|principal| principal.required) {
            let message = format!("`{name}` needs a value");
            let problem = Problem::error(Code::SCHEMA_SHAPE, message, at);
            let help = form::group(&name, principal, place.stand, self.yaml);
            self.problems.push(problem.help(help));
            return None;
        }
        let group = self.keys(fields, place);
        self.require(&group, place, at);
        Some(Content::Group(Group { principal: value, ..group }))
    }

    /// Takes the principal out of the fields of a YAML map; `None` where it is malformed.
    fn take_principal<'a>(
        &mut self,
        fields: &mut Vec<Entry<'a>>,
        name: &str,
    ) -> Option<Option<Scalar<'a>>> {
        let (named, rest): (Vec<_>, Vec<_>) =
            std::mem::take(fields).into_iter().partition(|field| field.key == name);
        *fields = rest;
        let mut named = named.into_iter();
        let Some(field) = named.next() else { return Some(None) };
        for second in named {
            let problem = unknown::duplicate(&second.key, second.key_span, field.key_span);
            self.problems.push(problem);
        }
        match self.scalar(field, false)? {
            Content::Scalar(value) => Some(Some(value)),
            _ => None,
        }
    }

    /// Reports keys that must be there and are not.
    fn require(&mut self, group: &Group<'_>, place: Place<'_>, at: Span) {
        for key in place.keys.iter().filter(|key| key.presence == Presence::Required) {
            if !group.mentions(key.name) {
                let message = format!("`{}` needs `{}`", place.noun, key.name);
                let problem = Problem::error(Code::SCHEMA_MISSING_KEY, message, at);
                self.problems.push(problem.help(format!("add `{}`", key.name)));
            }
        }
    }
}

fn is_list(entry: &Entry<'_>) -> bool {
    entry.origin == Origin::YamlList
}

#[cfg(test)]
mod tests;
