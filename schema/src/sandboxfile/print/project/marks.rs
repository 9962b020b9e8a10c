//! Keys that differ from instance to instance, written as they were.

use std::borrow::Cow;

use super::Paths;
use super::values::told;
use crate::name::{InstanceName, SandboxName};
use crate::project::{Definition, Written};
use crate::sandboxfile::interpolate::{Lookup, escaped, expand};
use crate::sandboxfile::keys::{Key, Presence, SANDBOX, Shape, Type, find};
use crate::sandboxfile::tree::{Entry, Origin, Scalar, ScalarKind, Span};

/// Returns the node; `None` where no sandbox has such a key.
pub(super) fn node(written: &Written, paths: Paths<'_>) -> Option<Entry<'static>> {
    let key = find(SANDBOX, &written.key, false)?;
    Some(of_key(written, key, paths))
}

fn of_key(written: &Written, key: &Key, paths: Paths<'_>) -> Entry<'static> {
    let entry = of_shape(written, &key.shape, paths);
    let none = key.presence == Presence::Nullable && entry.items.is_empty();
    if none { entry.with(Scalar::null()) } else { entry }
}

fn of_shape(written: &Written, shape: &Shape, paths: Paths<'_>) -> Entry<'static> {
    let Written { key, words, fields } = written;
    let entry = Entry::node(key.clone());
    let with = |ty| {
        let items = words.iter().map(|word| scalar(word, ty, paths)).collect();
        Entry { items, ..entry.clone() }
    };
    match *shape {
        Shape::Scalar(ty) | Shape::List(ty) => with(ty),
        Shape::Line { principal, attributes } => {
            properties(with(principal.ty), fields, attributes, paths)
        }
        Shape::Block { principal, keys } => {
            let ty = principal.map_or(Type::Text(0), |principal| principal.ty);
            lines(with(ty), fields, keys, paths)
        }
        Shape::Map { value, .. } => {
            let fields = fields.iter().map(|field| of_shape(field, value, paths)).collect();
            Entry { origin: Origin::Block, fields, ..entry }
        }
        Shape::Keyed { body, keys, .. } => {
            // What tells it from others is never filled in.
            let items = words.iter().map(|word| Scalar::text(word.clone())).collect();
            let entry = Entry { items, ..entry };
            match body {
                crate::sandboxfile::keys::Body::Line => properties(entry, fields, keys, paths),
                crate::sandboxfile::keys::Body::Block => lines(entry, fields, keys, paths),
            }
        }
        Shape::Rows(keys) => properties(entry, fields, keys, paths),
        Shape::Tagged { target, attributes, .. } => {
            let row = |row: &Written| {
                let items = row.words.iter().map(|word| scalar(word, target, paths)).collect();
                let entry = Entry { items, ..Entry::node(row.key.clone()) };
                properties(entry, &row.fields, attributes, paths)
            };
            Entry { origin: Origin::Block, fields: fields.iter().map(row).collect(), ..entry }
        }
    }
}

fn properties(
    mut entry: Entry<'static>,
    fields: &[Written],
    keys: &'static [Key],
    paths: Paths<'_>,
) -> Entry<'static> {
    for field in fields {
        let Some(key) = find(keys, &field.key, false) else { continue };
        let value = of_key(field, key, paths);
        entry.fields.push(Entry { origin: Origin::Property, ..value });
    }
    entry
}

fn lines(
    entry: Entry<'static>,
    fields: &[Written],
    keys: &'static [Key],
    paths: Paths<'_>,
) -> Entry<'static> {
    fields.iter().fold(entry, |entry, field| match find(keys, &field.key, false) {
        Some(key) => entry.line(of_key(field, key, paths)),
        None => entry,
    })
}

/// Returns a value in the looks that its type has.
fn scalar(word: &str, ty: Type, paths: Paths<'_>) -> Scalar<'static> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    match (ty, word) {
        (Type::Bool, "true" | "false") => Scalar::boolean(word == "true"),
        (Type::HostPath, _) => Scalar::text(match paths {
            Paths::Absolute => word.to_owned(),
            Paths::Below(folder) => told(word, Paths::Below(&escaped(folder))),
        }),
        (
            Type::Count(..)
            | Type::Decimal
            | Type::Port
            | Type::PortRange
            | Type::PortSet
            | Type::HostPort
            | Type::Limit,
            _,
        ) if digits => Scalar::new(Cow::Owned(word.to_owned()), ScalarKind::Number, Span::NOWHERE),
        _ => Scalar::text(word.to_owned()),
    }
}

/// Tells whether a key of a sandbox holds something that is filled in.
fn is_marked(written: &Written) -> bool {
    let keyed = |key: &Key| matches!(key.shape, Shape::Keyed { .. });
    let identity = find(SANDBOX, &written.key, false).is_some_and(keyed);
    let filled = |word: &String| {
        let mut room = WORD_BYTES_MAX;
        expand(word, &|_: &str| Lookup::Undeclared, &mut room).is_err()
    };
    fn any(fields: &[Written], filled: &impl Fn(&String) -> bool) -> bool {
        fields.iter().any(|field| field.words.iter().any(filled) || any(&field.fields, filled))
    }
    written.words.iter().skip(usize::from(identity)).any(filled) || any(&written.fields, &filled)
}

/// More than a value ever has.
const WORD_BYTES_MAX: usize = 4 << 20;

/// Returns the volumes that the mounts of a definition's instances define by the way.
pub(super) fn inline_volumes(name: &SandboxName, definition: &Definition) -> Vec<String> {
    let mounts = definition.marks.get("mount").into_iter().flatten();
    let named = mounts.flat_map(|mount| &mount.fields).filter(|field| field.key == "named");
    let defining = named.filter(|field| !field.fields.is_empty());
    let words: Vec<&String> = defining.filter_map(|field| field.words.first()).collect();
    if words.is_empty() {
        return Vec::new();
    }
    let indexes: Vec<Option<u32>> = match definition.replicas {
        None => vec![None],
        // Without instances a body is read only where it is the same for all of them.
        Some(0) if definition.marks.values().flatten().any(is_marked) => return Vec::new(),
        Some(count) => (0..count.max(1)).map(Some).collect(),
    };
    let count = definition.replicas.unwrap_or(1).to_string();
    let each = indexes.into_iter().flat_map(|index| {
        let instance = InstanceName { sandbox: name.clone(), index }.to_string();
        let (index, count) = (index.unwrap_or(0).to_string(), count.clone());
        let fill = move |word: &&String| {
            let lookup = |mark: &str| match mark {
                "replica.index" => Lookup::Value(Cow::Owned(index.clone())),
                "replica.count" => Lookup::Value(Cow::Owned(count.clone())),
                "sandbox.instance" => Lookup::Value(Cow::Owned(instance.clone())),
                _ => Lookup::Undeclared,
            };
            let mut room = WORD_BYTES_MAX;
            expand(word, &lookup, &mut room).ok()
        };
        words.iter().filter_map(fill).collect::<Vec<String>>()
    });
    each.collect()
}
