//! The merge law: how one document is laid over another.
//!
//! Values and lists replace; lines, blocks, maps and keyed nodes merge by key,
//! deeply; rows merge by what tells them apart. Where exactly one kind is
//! allowed, writing another drops the lower one. There is no append. What a
//! `remove` of the upper layer names is taken out of the lower one first.

mod law;
mod remove;
mod trace;

pub use law::{LAW, Law};
pub use trace::{Beaten, Trace};

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::document::{Content, Group, Item, Member};
use super::tree::Span;
use remove::Removal;

use remove::row_names;
pub(super) use remove::{REMOVE, names};

/// Lays documents over one another; `trace` hears of what is beaten, where somebody asks.
#[derive(Debug, Default)]
pub struct Layering {
    trace: Option<Trace>,
    /// Names of removals that were looked for in a lower layer, and whether one had it.
    removed: HashMap<Span, bool>,
}

impl Layering {
    /// Returns one that remembers what was beaten.
    #[must_use]
    pub fn traced() -> Self {
        Self { trace: Some(Trace::default()), ..Self::default() }
    }

    /// Returns what was remembered.
    #[must_use]
    pub fn into_trace(self) -> Option<Trace> {
        self.trace
    }

    /// Tells whether what is removed at `at` was in a layer below; `None` where there was none.
    #[must_use]
    pub fn was_removed(&self, at: Span) -> Option<bool> {
        self.removed.get(&at).copied()
    }

    /// Says what the upper layer of the next lays is called, and whose body it is.
    pub fn enter(&mut self, address: &str, layer: &str) {
        if let Some(trace) = &mut self.trace {
            trace.enter(address, layer);
        }
    }

    /// Lays `upper` over `lower`; `place` is the key whose body both are, empty at the top.
    pub fn lay<'a>(&mut self, lower: Group<'a>, upper: Group<'a>, place: &str) -> Group<'a> {
        let mut merged = lower;
        if let Some(removal) = Removal::of(&upper) {
            removal.apply(&mut merged, &mut self.removed);
        }
        let below = merged.principal.as_ref().map(|below| below.span);
        drop_rivals(&mut merged, &upper, place);
        if let Some(principal) = upper.principal {
            self.beat(below, "");
            merged.principal = Some(principal);
        }
        merged.dropped.extend(upper.dropped);
        for item in upper.items {
            let name = item.key.name;
            if name == REMOVE && place != REMOVE {
                // What is to be taken away may lie in a layer that comes in below, too.
                remove::join(&mut merged, item);
                continue;
            }
            match merged.items.iter().position(|under| under.key.name == name) {
                None => merged.items.push(item),
                Some(index) => {
                    let under = Item { content: Content::Rows(Vec::new()), ..merged.items[index] };
                    let lower = std::mem::replace(&mut merged.items[index], under);
                    let content =
                        self.within(name, |layering| layering.over(lower, item.content, name));
                    merged.items[index] = Item { key: item.key, at: item.at, content };
                }
            }
        }
        merged
    }

    fn over<'a>(&mut self, lower: Item<'a>, upper: Content<'a>, key: &str) -> Content<'a> {
        match (lower.content, upper) {
            (Content::Group(lower), Content::Group(upper)) => {
                Content::Group(self.lay(lower, upper, key))
            }
            (Content::Map(lower), Content::Map(upper)) => {
                Content::Map(self.members(lower, upper, key))
            }
            (Content::Keyed(lower), Content::Keyed(upper)) => {
                Content::Keyed(self.members(lower, upper, key))
            }
            (Content::Rows(lower), Content::Rows(upper)) => Content::Rows(self.rows(lower, upper)),
            (_, upper) => {
                self.beat(Some(lower.at), "");
                upper
            }
        }
    }

    fn members<'a>(
        &mut self,
        lower: Vec<Member<'a>>,
        upper: Vec<Member<'a>>,
        key: &str,
    ) -> Vec<Member<'a>> {
        let mut merged = lower;
        let mut index: HashMap<Cow<'a, str>, usize> =
            merged.iter().enumerate().map(|(at, member)| (member.name.clone(), at)).collect();
        for member in upper {
            match index.get(&member.name) {
                None => {
                    index.insert(member.name.clone(), merged.len());
                    merged.push(member);
                }
                Some(at) => {
                    let under =
                        std::mem::replace(&mut merged[*at].content, Content::Rows(Vec::new()));
                    let (name, beaten) = (member.name.clone(), merged[*at].at);
                    let content = self.within(&name, |layering| match (under, member.content) {
                        (Content::Group(lower), Content::Group(upper)) => {
                            Content::Group(layering.lay(lower, upper, key))
                        }
                        (_, upper) => {
                            layering.beat(Some(beaten), "");
                            upper
                        }
                    });
                    merged[*at] = Member { content, ..member };
                }
            }
        }
        merged
    }

    /// Rows are ports: the same address on the host is the same row.
    fn rows<'a>(&mut self, lower: Vec<Group<'a>>, upper: Vec<Group<'a>>) -> Vec<Group<'a>> {
        let mut merged = lower;
        let mut index = HashMap::with_capacity(merged.len());
        for (at, row) in merged.iter().enumerate() {
            // Of rows with one name, the first is the one that is laid over.
            index.entry(row_names(row)).or_insert(at);
        }
        for row in upper {
            match index.entry(row_names(&row)) {
                Entry::Vacant(place) => {
                    place.insert(merged.len());
                    merged.push(row);
                }
                Entry::Occupied(place) => {
                    let under = std::mem::take(&mut merged[*place.get()]);
                    let name = place.key().join("/");
                    merged[*place.get()] = self.within(&name, |l| l.lay(under, row, "port"));
                }
            }
        }
        merged
    }

    fn within<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        if let Some(trace) = &mut self.trace {
            trace.push(key);
        }
        let done = work(self);
        if let Some(trace) = &mut self.trace {
            trace.pop();
        }
        done
    }

    fn beat(&mut self, span: Option<Span>, key: &str) {
        if let (Some(trace), Some(span)) = (&mut self.trace, span) {
            trace.beat(span, key);
        }
    }
}

/// Where exactly one kind is allowed, the kinds.
pub(super) fn kinds(place: &str) -> &'static [&'static str] {
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
