//! Keys as they would be written again: in any file, in one form whatever form they had.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::decode::{Decoder, rooted};
use super::instances::{MARKS, has_mark, replaced};
use crate::project::Written;
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::interpolate::escaped;
use crate::sandboxfile::keys::{Key, Presence, Shape, Type};
use crate::sandboxfile::tree::{Scalar, ScalarKind};

/// What a definition holds itself, or what has been done by now.
const NOT_OF_A_BODY: &[&str] = &["from", "remove", "replicas", "profiles"];

impl Decoder<'_, '_> {
    /// Returns the keys of a definition that hold a mark; without instances, all.
    pub(super) fn marks(
        &self,
        group: &Group<'_>,
        replicas: Option<u32>,
    ) -> BTreeMap<String, Vec<Written>> {
        let every = replicas == Some(0);
        let items = group.items.iter().filter(|item| {
            !NOT_OF_A_BODY.contains(&item.key.name) && (every || has_mark(&item.content))
        });
        let written = items.map(|item| (item.key.name.to_owned(), self.written_again(item)));
        written.filter(|(_, nodes)| !nodes.is_empty()).collect()
    }

    fn written_again(&self, item: &Item<'_>) -> Vec<Written> {
        let key = item.key;
        let mut nodes: Vec<Written> = match (&item.content, &key.shape) {
            (Content::Keyed(members), Shape::Keyed { keys, .. }) => {
                members.iter().map(|member| self.keyed(key, member, keys)).collect()
            }
            (Content::Rows(rows), Shape::Rows(keys)) => {
                rows.iter().map(|row| node(key.name, Vec::new(), self.fields(row, keys))).collect()
            }
            // No value at all is what holds anyway, but where none is a value of its own.
            (Content::List(values), _)
                if values.is_empty() && key.presence != Presence::Nullable =>
            {
                Vec::new()
            }
            (content, shape) => vec![self.node(key.name, content, shape)],
        };
        nodes.sort();
        nodes
    }

    fn keyed(&self, key: &Key, member: &Member<'_>, keys: &'static [Key]) -> Written {
        let fields = member.group().map(|group| self.fields(group, keys)).unwrap_or_default();
        node(key.name, vec![member.name.to_string()], fields)
    }

    fn node(&self, name: &str, content: &Content<'_>, shape: &Shape) -> Written {
        let (words, fields) = match (content, *shape) {
            (Content::Scalar(value), Shape::Scalar(ty)) => {
                (vec![self.again(value, ty)], Vec::new())
            }
            (Content::List(values), Shape::List(ty)) => {
                (values.iter().map(|value| self.again(value, ty)).collect(), Vec::new())
            }
            (Content::Group(group), Shape::Line { principal, attributes }) => {
                (self.principal_again(group, principal.ty), self.fields(group, attributes))
            }
            (Content::Group(group), Shape::Block { principal, keys }) => {
                let ty = principal.map_or(Type::Text(0), |principal| principal.ty);
                (self.principal_again(group, ty), self.fields(group, keys))
            }
            (Content::Group(group), Shape::Tagged { target, attributes, .. }) => {
                (self.principal_again(group, target), self.fields(group, attributes))
            }
            (Content::Map(members), Shape::Map { value, .. }) => {
                let each = members.iter();
                let mut fields: Vec<Written> =
                    each.map(|member| self.node(&member.name, &member.content, value)).collect();
                fields.sort();
                (Vec::new(), fields)
            }
            (Content::Tagged(members), Shape::Tagged { .. }) => {
                let each = members.iter();
                let fields = each.map(|row| self.node(&row.name, &row.content, shape)).collect();
                (Vec::new(), fields)
            }
            _ => (Vec::new(), Vec::new()),
        };
        node(name, words, fields)
    }

    fn principal_again(&self, group: &Group<'_>, ty: Type) -> Vec<String> {
        group.principal.iter().map(|value| self.again(value, ty)).collect()
    }

    /// Returns the fields of a body, in the order of the table.
    fn fields(&self, group: &Group<'_>, keys: &'static [Key]) -> Vec<Written> {
        let of = |key: &Key| group.get(key.name).map(|item| self.written_again(item));
        keys.iter().filter_map(of).flatten().collect()
    }

    /// Returns a value as it would be written again: marks by their names, dollars escaped, paths of
    /// the host from the root, since its file may be another.
    fn again(&self, scalar: &Scalar<'_>, ty: Type) -> String {
        let text = match scalar.kind {
            ScalarKind::True => Cow::Borrowed("true"),
            ScalarKind::False => Cow::Borrowed("false"),
            _ if ty == Type::HostPath && !scalar.text.is_empty() => self.absolute(scalar),
            _ => Cow::Borrowed(scalar.text.as_ref()),
        };
        replaced(&escaped(&text), |mark| format!("${{{}}}", MARKS[mark].0).into())
    }

    fn absolute<'t>(&self, scalar: &'t Scalar<'_>) -> Cow<'t, str> {
        let path = rooted(&scalar.text, self.folder_of(scalar.span), &self.inputs.home);
        let text = path.and_then(|path| path.into_os_string().into_string().ok());
        text.map_or(Cow::Borrowed(scalar.text.as_ref()), Cow::Owned)
    }
}

fn node(key: &str, words: Vec<String>, fields: Vec<Written>) -> Written {
    Written { key: key.to_owned(), words, fields }
}
