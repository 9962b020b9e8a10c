//! Taking out of the layers below: `remove { env "DEBUG"; mounts "/src" }`.

use std::collections::HashMap;

use crate::sandboxfile::document::{Content, Group, Item};
use crate::sandboxfile::tree::{Scalar, Span};

/// The key of it.
pub(crate) const REMOVE: &str = "remove";

/// The names of keys, as `remove` writes them, that stand for a key by another name.
const PLURALS: &[(&str, &str)] = &[
    ("mounts", "mount"),
    ("ports", "port"),
    ("sandboxes", "sandbox"),
    ("jobs", "job"),
    ("volumes", "volume"),
    ("secrets", "secret"),
    ("templates", "template"),
    ("includes", "include"),
    ("vars", "var"),
];

/// Everything that a layer takes away.
pub(super) struct Removal<'g, 'a> {
    lists: Vec<(&'static str, &'g [Scalar<'a>])>,
}

impl<'g, 'a> Removal<'g, 'a> {
    /// Returns what a layer takes away, where it does.
    pub(super) fn of(layer: &'g Group<'a>) -> Option<Self> {
        let (_, group) = layer.group(REMOVE)?;
        let lists = group.items.iter().filter_map(|item| match &item.content {
            Content::List(names) => Some((item.key.name, names.as_slice())),
            _ => None,
        });
        Some(Self { lists: lists.collect() })
    }

    /// Takes it out of the layer below, and notes by place what was there.
    pub(super) fn apply(&self, lower: &mut Group<'_>, found: &mut HashMap<Span, bool>) {
        for (list, names) in &self.lists {
            let wanted = names.iter().map(|name| (&*name.text, false)).collect();
            let taken = take(lower, list, wanted);
            for name in *names {
                *found.entry(name.span).or_default() |= taken.get(&*name.text) == Some(&true);
            }
        }
    }
}

/// Takes the names of one list out of a body; returns of each whether it was there.
fn take<'n>(
    body: &mut Group<'_>,
    list: &str,
    mut names: HashMap<&'n str, bool>,
) -> HashMap<&'n str, bool> {
    let mut is_wanted = |name: &str| {
        names.get_mut(name).is_some_and(|there| {
            *there = true;
            true
        })
    };
    if list == "keys" {
        body.items.retain(|item| {
            let named = is_wanted(item.key.name);
            let plural = item.key.plural.is_some_and(&mut is_wanted);
            !named && !plural
        });
        body.dropped.retain(|dropped| !is_wanted(dropped));
        return names;
    }
    let key = PLURALS.iter().find(|(plural, _)| *plural == list).map_or(list, |(_, key)| key);
    let Some(item) = body.items.iter_mut().find(|item| item.key.name == key) else {
        // What was written wrongly has been reported; nothing more is said about it.
        let told = body.dropped.contains(&key);
        names.values_mut().for_each(|there| *there = told);
        return names;
    };
    match &mut item.content {
        Content::Map(members) | Content::Keyed(members) => {
            members.retain(|member| !is_wanted(&member.name));
        }
        Content::Rows(rows) => rows.retain(|row| {
            let spelled = spellings(row).iter().filter(|name| is_wanted(name)).count();
            spelled == 0
        }),
        _ => {}
    }
    names
}

/// Joins what a layer takes away with what the layers below it do.
pub(super) fn join<'a>(merged: &mut Group<'a>, item: Item<'a>) {
    let Some(index) = merged.items.iter().position(|under| under.key.name == REMOVE) else {
        merged.items.push(item);
        return;
    };
    let (Content::Group(below), Content::Group(above)) =
        (&mut merged.items[index].content, item.content)
    else {
        return;
    };
    for list in above.items {
        let known = below.items.iter().position(|under| under.key.name == list.key.name);
        match (known.map(|at| &mut below.items[at].content), list.content) {
            (Some(Content::List(names)), Content::List(more)) => names.extend(more),
            (_, content) => below.items.push(Item { content, ..list }),
        }
    }
}

/// Returns what tells a port apart: address, port of the host or `auto:GUEST`, protocol.
pub(super) fn row_names(row: &Group<'_>) -> [String; 3] {
    let text = |name: &str, default: &str| match row.get(name).map(|item| &item.content) {
        Some(Content::Scalar(scalar)) => scalar.text.to_string(),
        _ => default.to_owned(),
    };
    let mut host = text("host", "auto");
    if host == "auto" {
        host = format!("auto:{}", text("guest", ""));
    }
    [text("bind", "127.0.0.1"), host, text("protocol", "tcp")]
}

/// Returns what a port may be called: `[BIND:]HOST[/PROTOCOL]`; `auto:GUEST` stands for a host's
/// port.
fn spellings(row: &Group<'_>) -> Vec<String> {
    let [bind, host, protocol] = row_names(row);
    let mut names = vec![format!("{bind}:{host}"), format!("[{bind}]:{host}")];
    if bind == "127.0.0.1" {
        names.push(host);
    }
    let with_protocol = names.iter().map(|name| format!("{name}/{protocol}")).collect();
    if protocol == "tcp" { [names, with_protocol].concat() } else { with_protocol }
}

/// One name that a layer takes away, with where it is written.
pub(crate) struct Named<'g> {
    /// The list: `env`, `mounts`.
    pub(crate) list: &'static str,
    /// The name.
    pub(crate) name: &'g str,
    /// Where it is written.
    pub(crate) at: Span,
}

/// Returns every name that a body takes away.
pub(crate) fn names<'g>(body: &'g Group<'_>) -> Vec<Named<'g>> {
    let Some((_, group)) = body.group(REMOVE) else { return Vec::new() };
    let lists = group.items.iter().filter_map(|item| match &item.content {
        Content::List(names) => Some((item.key.name, names)),
        _ => None,
    });
    lists
        .flat_map(|(list, names)| {
            names.iter().map(move |name| Named { list, name: &name.text, at: name.span })
        })
        .collect()
}
