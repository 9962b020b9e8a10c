//! Maps, keyed nodes, rows and tagged rows: what may hold many entries.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::{Place, Shaper, Stand, form, is_list, unknown};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::keys::{Body, Key, Shape};
use crate::sandboxfile::problem::{Code, Problem, listed, nearest, shown};
use crate::sandboxfile::tree::{Entry, Origin, ScalarKind, Span};

impl Shaper<'_> {
    fn shape_problem(&mut self, name: &str, at: Span, message: &str, help: String) {
        let message = format!("`{}` {message}", shown(name));
        self.problems.push(Problem::error(Code::SCHEMA_SHAPE, message, at).help(help));
    }

    /// Reports a property where lines in braces are due.
    fn stray_property(&mut self, field: &Entry<'_>) {
        let (name, values) = (shown(&field.key), form::items(&field.items));
        let message = format!("`{name}` is a line of its own here");
        let problem = Problem::error(Code::SCHEMA_PROPERTY_OR_CHILD, message, field.key_span);
        self.problems.push(problem.help(format!("write `{name} {values}` in the braces")));
    }

    /// Reads a map with free keys.
    pub(super) fn map<'a>(
        &mut self,
        entry: Entry<'a>,
        key: &'static Key,
        value: &'static Shape,
    ) -> Option<Content<'a>> {
        if !entry.items.is_empty() || is_list(&entry) {
            let help = if self.yaml {
                format!("write a map under {}", key.name)
            } else {
                format!("write {} {{ NAME \"VALUE\" }}", key.name)
            };
            self.shape_problem(key.name, entry.key_span, "is a map", help);
            return None;
        }
        let mut members: Vec<Member<'a>> = Vec::with_capacity(entry.fields.len());
        let mut seen: HashMap<Cow<'a, str>, Span> = HashMap::new();
        for field in entry.fields {
            if field.origin == Origin::Property {
                self.stray_property(&field);
                continue;
            }
            if let Some(first) = seen.insert(field.key.clone(), field.key_span) {
                self.problems.push(unknown::duplicate(&field.key, field.key_span, first));
                continue;
            }
            let (name, at) = (field.key.clone(), field.key_span);
            let content = match *value {
                Shape::Line { principal, attributes } => {
                    let noun = "a value here";
                    let place = Place { noun, keys: attributes, stand: Stand::Properties };
                    self.group(field, Some(principal), place)
                }
                Shape::List(_) => self.list(field, false),
                _ => self.scalar(field, false),
            };
            if let Some(content) = content {
                members.push(Member { name, at, content });
            }
        }
        Some(Content::Map(members))
    }

    /// Reads a keyed node of KDL, or the whole map of YAML.
    pub(super) fn keyed<'a>(&mut self, entry: Entry<'a>, key: &'static Key) -> Option<Content<'a>> {
        if self.yaml {
            if entry.origin != Origin::YamlMap {
                let help = format!("write {}: {{NAME: {{…}}}}", entry.key);
                self.shape_problem(&entry.key, entry.key_span, "is a map by name", help);
                return None;
            }
            let mut members = Vec::with_capacity(entry.fields.len());
            for field in entry.fields {
                members.extend(self.yaml_member(field, key));
            }
            return Some(Content::Keyed(members));
        }
        self.kdl_member(entry, key).map(|member| Content::Keyed(vec![member]))
    }

    fn kdl_member<'a>(&mut self, entry: Entry<'a>, key: &'static Key) -> Option<Member<'a>> {
        let name = key.name;
        let mut items = entry.items.into_iter();
        let (Some(identity), None) = (items.next(), items.next()) else {
            let help = format!("write {name} \"NAME\"");
            self.shape_problem(name, entry.key_span, "takes exactly one name", help);
            return None;
        };
        if !matches!(identity.kind, ScalarKind::Quoted | ScalarKind::Word | ScalarKind::Number) {
            let help = format!("write {name} \"NAME\"");
            self.shape_problem(name, identity.span, "takes a name", help);
            return None;
        }
        let (fields, at) = (entry.fields, identity.span);
        Some(self.member(identity.text, at, fields, key))
    }

    fn member<'a>(
        &mut self,
        name: Cow<'a, str>,
        at: Span,
        fields: Vec<Entry<'a>>,
        key: &'static Key,
    ) -> Member<'a> {
        let Shape::Keyed { body, keys, .. } = key.shape else {
            return Member { name, at, content: Content::Group(Group::default()) };
        };
        let stand = match body {
            Body::Line => Stand::Properties,
            Body::Block => Stand::Lines,
        };
        let noun = format!("a {}", key.name);
        let place = Place { noun: &noun, keys, stand };
        let group = self.keys(fields, place);
        self.require(&group, place, at);
        Member { name, at, content: Content::Group(group) }
    }

    fn yaml_member<'a>(&mut self, field: Entry<'a>, key: &'static Key) -> Option<Member<'a>> {
        let nothing = field
            .items
            .iter()
            .all(|item| matches!(item.kind, ScalarKind::Nothing | ScalarKind::Null));
        if !nothing || is_list(&field) {
            let help = format!("write {}: {{…}}", shown(&field.key));
            self.shape_problem(&field.key, field.key_span, "is a map", help);
            return None;
        }
        Some(self.member(field.key, field.key_span, field.fields, key))
    }

    /// Reports identities that stand twice, and keeps the first of each.
    pub(super) fn distinct<'a>(&mut self, members: &mut Vec<Member<'a>>, key: &'static Key) {
        let mut seen: HashMap<Cow<'a, str>, Span> = HashMap::with_capacity(members.len());
        members.retain(|member| match seen.entry(member.name.clone()) {
            Slot::Vacant(place) => {
                place.insert(member.at);
                true
            }
            Slot::Occupied(first) => {
                if !self.problems.is_full() {
                    let first = *first.get();
                    let problem = unknown::duplicate_identity(key, &member.name, member.at, first);
                    self.problems.push(problem);
                }
                false
            }
        });
    }

    /// Reads a row of KDL, or the list of YAML.
    pub(super) fn rows<'a>(
        &mut self,
        entry: Entry<'a>,
        keys: &'static [Key],
    ) -> Option<Content<'a>> {
        let (name, at) = (entry.key.clone(), entry.key_span);
        let is_rows = is_list(&entry) && entry.items.is_empty();
        if self.yaml && !is_rows {
            let help = format!("write {name}: [{{…}}, {{…}}]");
            self.shape_problem(&name, at, "is a list of maps", help);
            return None;
        }
        let noun = format!("a {name}");
        let place = Place { noun: &noun, keys, stand: Stand::Properties };
        let entries = if self.yaml { entry.fields } else { vec![entry] };
        let mut rows = Vec::new();
        for row in entries {
            if !row.items.is_empty() || is_list(&row) {
                let help = if self.yaml {
                    format!("write {name}: [{{…}}, {{…}}]")
                } else {
                    format!("write {name} with properties only")
                };
                self.shape_problem(&name, row.key_span, "takes no value of its own", help);
                continue;
            }
            let at = row.key_span;
            let group = self.keys(row.fields, place);
            self.require(&group, place, at);
            rows.push(group);
        }
        Some(Content::Rows(rows))
    }

    /// Reads a block of tagged lines.
    pub(super) fn tagged<'a>(
        &mut self,
        entry: Entry<'a>,
        tags: &'static [&'static str],
        attributes: &'static [Key],
    ) -> Option<Content<'a>> {
        if !entry.items.is_empty() || (self.yaml && !is_list(&entry)) {
            let tag = tags.first().copied().unwrap_or_default();
            let help = if self.yaml {
                format!("write {}: [{{{tag}: TARGET}}]", entry.key)
            } else {
                format!("write {} {{ {tag} \"TARGET\" }}", entry.key)
            };
            self.shape_problem(&entry.key, entry.key_span, "is a list of rows", help);
            return None;
        }
        let mut rows = Vec::new();
        for row in entry.fields {
            let name = &entry.key;
            let row =
                if self.yaml { self.yaml_row(row, name, tags) } else { self.kdl_row(row, tags) };
            let Some(mut row) = row else { continue };
            let target = row.items.pop().filter(|_| row.items.is_empty() && !is_list(&row));
            let Some(target) = target else {
                let help = if self.yaml {
                    format!("write {}: TARGET", row.key)
                } else {
                    format!("write {} \"TARGET\"", row.key)
                };
                self.shape_problem(&row.key, row.key_span, "takes one target", help);
                continue;
            };
            let read = self.value_or_null(target, &row.key, false);
            let Some(Content::Scalar(target)) = read else { continue };
            let place = Place { noun: "a rule", keys: attributes, stand: Stand::Properties };
            let group = Group { principal: Some(target), ..self.keys(row.fields, place) };
            let (name, at) = (row.key, row.key_span);
            rows.push(Member { name, at, content: Content::Group(group) });
        }
        Some(Content::Tagged(rows))
    }

    /// Reads a row of KDL, whose name is its tag.
    fn kdl_row<'a>(&mut self, row: Entry<'a>, tags: &[&'static str]) -> Option<Entry<'a>> {
        if row.origin == Origin::Property {
            self.stray_property(&row);
            return None;
        }
        if tags.contains(&row.key.as_ref()) {
            return Some(row);
        }
        let near = nearest(&row.key, tags.iter().copied());
        let message = format!("`{}` is not a rule", shown(&row.key));
        let problem = Problem::error(Code::SCHEMA_UNKNOWN_KEY, message, row.key_span);
        let valid = listed(tags.iter().copied());
        self.problems.push(problem.nearest(near).help(format!("write one of {valid}")));
        None
    }

    /// Reads a row of YAML, a map with one tag; gives it the key and the values of its tag.
    fn yaml_row<'a>(
        &mut self,
        mut row: Entry<'a>,
        name: &str,
        tags: &[&'static str],
    ) -> Option<Entry<'a>> {
        let is_tag = |field: &Entry<'_>| tags.contains(&field.key.as_ref());
        let Some(index) = row.fields.iter().position(is_tag) else {
            let help = format!("begin it with one of {}", listed(tags.iter().copied()));
            self.shape_problem(name, row.span, "has a row without a tag", help);
            return None;
        };
        let tag = row.fields.remove(index);
        if let Some(second) = row.fields.iter().find(|field| is_tag(field)) {
            let problem = unknown::duplicate_tag(&second.key, second.key_span, tag.key_span);
            self.problems.push(problem);
            return None;
        }
        Some(Entry { fields: row.fields, ..tag })
    }
}
