//! The merge law: how one document is laid over another.
//!
//! Values and lists replace; lines, blocks, maps and keyed nodes merge by key,
//! deeply; rows merge by what tells them apart. Where exactly one kind is
//! allowed, writing another drops the lower one. There is no append.

use super::document::{Content, Group, Item, Member};

/// Lays `upper` over `lower`; `place` is the key whose body both are, empty at the top.
#[must_use]
pub fn merge<'a>(lower: Group<'a>, upper: Group<'a>, place: &str) -> Group<'a> {
    let mut merged = lower;
    drop_rivals(&mut merged, &upper, place);
    if upper.principal.is_some() {
        merged.principal = upper.principal;
    }
    merged.dropped.extend(upper.dropped);
    for item in upper.items {
        let under = merged.items.iter().position(|under| under.key.name == item.key.name);
        match under {
            None => merged.items.push(item),
            Some(index) => {
                let under =
                    std::mem::replace(&mut merged.items[index].content, Content::Rows(Vec::new()));
                let content = lay(under, item.content, item.key.name);
                merged.items[index] = Item { content, ..item };
            }
        }
    }
    merged
}

fn lay<'a>(lower: Content<'a>, upper: Content<'a>, key: &str) -> Content<'a> {
    match (lower, upper) {
        (Content::Group(lower), Content::Group(upper)) => Content::Group(merge(lower, upper, key)),
        (Content::Map(lower), Content::Map(upper)) => Content::Map(members(lower, upper, key)),
        (Content::Keyed(lower), Content::Keyed(upper)) => {
            Content::Keyed(members(lower, upper, key))
        }
        (Content::Rows(lower), Content::Rows(upper)) => Content::Rows(rows(lower, upper)),
        (_, upper) => upper,
    }
}

fn members<'a>(lower: Vec<Member<'a>>, upper: Vec<Member<'a>>, key: &str) -> Vec<Member<'a>> {
    let mut merged = lower;
    let mut index: std::collections::HashMap<String, usize> =
        merged.iter().enumerate().map(|(at, member)| (member.name.to_string(), at)).collect();
    for member in upper {
        match index.get(member.name.as_ref()) {
            None => {
                index.insert(member.name.to_string(), merged.len());
                merged.push(member);
            }
            Some(at) => {
                let under = std::mem::replace(&mut merged[*at].content, Content::Rows(Vec::new()));
                let content = lay(under, member.content, key);
                merged[*at] = Member { content, ..member };
            }
        }
    }
    merged
}

/// Rows are ports: the same address on the host is the same row.
fn rows<'a>(lower: Vec<Group<'a>>, upper: Vec<Group<'a>>) -> Vec<Group<'a>> {
    let mut merged = lower;
    for row in upper {
        let name = row_name(&row);
        match merged.iter().position(|under| row_name(under) == name) {
            None => merged.push(row),
            Some(at) => {
                let under = std::mem::take(&mut merged[at]);
                merged[at] = merge(under, row, "port");
            }
        }
    }
    merged
}

fn row_name(row: &Group<'_>) -> [String; 3] {
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

/// Where exactly one kind is allowed, the kinds.
fn kinds(place: &str) -> &'static [&'static str] {
    match place {
        "sandbox" | "job" | "template" => &["image", "root-disk", "root-dir"],
        "mount" => &["named", "dir", "file", "disk", "tmpfs"],
        "ready" | "health" => &["exec", "tcp", "http", "log", "agent"],
        "env" => &["secret", "from-env", "from-file"],
        "secret" => &["from-env", "from-file"],
        _ => &[],
    }
}

fn drop_rivals(lower: &mut Group<'_>, upper: &Group<'_>, place: &str) {
    let kinds = kinds(place);
    let written = |name: &str| kinds.contains(&name) && upper.mentions(name);
    let anew = place == "env" && upper.principal.is_some();
    if !anew && !kinds.iter().any(|kind| written(kind)) {
        return;
    }
    lower.items.retain(|item| !kinds.contains(&item.key.name) || written(item.key.name));
    lower.dropped.retain(|name| !kinds.contains(name) || written(name));
    if place == "env" {
        lower.principal = None;
    }
}
