//! What a plan says, as rows: the same for text and for Markdown.

use schema::change::Class;
use schema::project::{Place, Project, Volume};

use super::fold::{Group, folded};
use super::table::{Depth, Row};
use super::{Detail, Layout};
use crate::plan::value::{
    Action, Actor, Address, Cause, Change, Drift, Field, Plan, Refusal, Widening,
};
use crate::report::time;

/// The longest value that is shown whole.
const VALUE_CHARS_MAX: usize = 48;

/// Some rows under a title.
pub(super) struct Block {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// Returns the blocks that are not empty, in their order.
pub(super) fn blocks(plan: &Plan, project: &Project, layout: Layout) -> Vec<Block> {
    let hints = plan.hints.iter().map(|hint| only(hint.clone()));
    let mut blocks = vec![
        Block { title: "Changes", rows: changes(plan, project, layout) },
        Block { title: "Drift", rows: drift(plan, layout) },
        Block { title: "Wider access", rows: widening(plan) },
        Block { title: "Refused", rows: plan.refused.iter().map(refusal).collect() },
        Block { title: "Hints", rows: hints.collect() },
    ];
    if layout.detail == Detail::Full {
        let rows = plan.unchanged.iter().flat_map(|address| unchanged(address, project));
        blocks.push(Block { title: "Unchanged", rows: rows.collect() });
    }
    blocks.retain(|block| !block.rows.is_empty());
    blocks
}

fn only(text: String) -> Row {
    Row { depth: Depth::Address, symbol: "", cells: vec![text], place: String::new() }
}

/// Returns how a group is addressed.
fn addressed<T>(group: &Group<'_, T>, address: &Address) -> String {
    group.name().map_or_else(|| address.to_string(), |name| format!("{}.{name}", address.kind()))
}

/// What only puts back what was changed by hand stands under Drift alone.
fn changes(plan: &Plan, project: &Project, layout: Layout) -> Vec<Row> {
    let wished = plan.changes.iter().filter(|change| change.cause == Cause::Wish);
    let old = |change: &Change| change.was.as_ref().and_then(Address::sandbox).cloned();
    let old = |change: &Change| old(change).map(|old| old.sandbox);
    let groups = folded(
        wished,
        |change| change.address.sandbox(),
        |a, b| {
            (a.action, a.class, &a.reason, &a.fields) == (b.action, b.class, &b.reason, &b.fields)
                && old(a) == old(b)
        },
    );
    groups.iter().flat_map(|group| change(group, project, layout)).collect()
}

fn change(group: &Group<'_, Change>, project: &Project, layout: Layout) -> Vec<Row> {
    let change = group.item;
    let word = match change.action {
        Action::Update => change.class.as_str(),
        Action::Recreate if change.class == Class::DataLoss => Class::DataLoss.as_str(),
        other => other.as_str(),
    };
    let mut rows = vec![Row {
        depth: Depth::Address,
        symbol: symbol(change),
        cells: vec![addressed(group, &change.address), word.to_owned(), change.reason.text.clone()],
        place: place(change.place.as_ref()),
    }];
    rows.extend(change.fields.iter().map(|field| self::field(change, field, layout)));
    if layout.detail == Detail::Full && change.action == Action::Create {
        let known: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
        let all = values(&change.address, project).into_iter();
        rows.extend(all.filter(|(path, _)| !known.contains(&path.as_str())).map(value_row));
    }
    rows
}

const fn symbol(change: &Change) -> &'static str {
    match (change.action, change.class) {
        (_, Class::DataLoss) => "!",
        (Action::Create | Action::Start, _) => "+",
        (Action::Update, Class::None | Class::Meta) | (Action::Forget | Action::Move, _) => "·",
        (Action::Update, _) => "~",
        (Action::Restart, _) => "↻",
        (Action::Recreate, _) => "±",
        (Action::Destroy | Action::Stop | Action::Trash, _) => "-",
    }
}

fn field(change: &Change, field: &Field, layout: Layout) -> Row {
    let cut = |value: &str| match layout.detail {
        Detail::Full => value.to_owned(),
        Detail::Normal | Detail::Summary => middle(value, VALUE_CHARS_MAX),
    };
    let value = match (&field.before, &field.after) {
        // The reference is the same; what it refers to is not.
        (Some(before), Some(after)) if field.sensitive && before == after => {
            format!("{} (changed)", cut(after))
        }
        (Some(before), Some(after)) => format!("{} → {}", cut(before), cut(after)),
        (None, Some(after)) if change.action == Action::Create => cut(after),
        (None, Some(after)) => format!("(none) → {}", cut(after)),
        (Some(before), None) => format!("{} → (none)", cut(before)),
        (None, None) => String::new(),
    };
    let class = if change.action == Action::Create { "" } else { field.class.as_str() };
    Row {
        depth: Depth::Field,
        symbol: "",
        cells: vec![field.path.clone(), value, class.to_owned()],
        place: place(field.place.as_ref()),
    }
}

fn drift(plan: &Plan, layout: Layout) -> Vec<Row> {
    let groups = folded(
        &plan.drift,
        |drift| drift.address.sandbox(),
        |a, b| {
            (&a.path, &a.before, &a.after, a.class, &a.by)
                == (&b.path, &b.before, &b.after, b.class, &b.by)
        },
    );
    let row = |group: &Group<'_, Drift>| {
        let drift = group.item;
        let cut = |value: &str| match layout.detail {
            Detail::Full => value.to_owned(),
            Detail::Normal | Detail::Summary => middle(value, VALUE_CHARS_MAX),
        };
        let what = format!("{} {} → {}", drift.path, cut(&drift.before), cut(&drift.after));
        let by = drift.by.as_ref().map_or_else(String::new, |by| actor(by, layout.now_ms));
        Row {
            depth: Depth::Address,
            symbol: "",
            cells: vec![addressed(group, &drift.address), what, drift.class.to_owned(), by],
            place: String::new(),
        }
    };
    groups.iter().map(row).collect()
}

/// Returns `by msb stop, pid 4121, ana, 14:02:11`; with the day, where it was another.
fn actor(by: &Actor, now_ms: u64) -> String {
    let at = match time::parse_instant(&by.at, 0) {
        None => by.at.clone(),
        Some(at) if time::local(at).get(..10) == time::local(now_ms).get(..10) => {
            time::time_of_day(at)
        }
        Some(at) => time::local(at),
    };
    format!("by {}, {}, {at}", by.command, by.who)
}

fn widening(plan: &Plan) -> Vec<Row> {
    let groups = folded(
        &plan.widening,
        |one| one.address.sandbox(),
        |a, b| (&a.path, &a.text) == (&b.path, &b.text),
    );
    let row = |group: &Group<'_, Widening>| Row {
        depth: Depth::Address,
        symbol: "",
        cells: vec![addressed(group, &group.item.address), group.item.text.clone()],
        place: place(group.item.place.as_ref()),
    };
    groups.iter().map(row).collect()
}

fn refusal(refusal: &Refusal) -> Row {
    let address = refusal.address.as_ref().map(ToString::to_string);
    Row {
        depth: Depth::Address,
        symbol: "",
        cells: vec![
            address.unwrap_or_else(|| "project".to_owned()),
            refusal.word.to_owned(),
            format!("{} ({})", refusal.text, refusal.code),
        ],
        place: place(refusal.place.as_ref()),
    }
}

fn unchanged(address: &Address, project: &Project) -> Vec<Row> {
    let mut rows = vec![only(address.to_string())];
    rows.extend(values(address, project).into_iter().map(value_row));
    rows
}

/// Returns every field that an address has in the file.
fn values(address: &Address, project: &Project) -> Vec<(String, String)> {
    match address {
        Address::Sandbox(name) => project.sandboxes.get(name).map(|body| body.fields()),
        Address::Volume(name) => project.volumes.get(name).map(Volume::fields),
        Address::Image(_) => None,
    }
    .unwrap_or_default()
}

fn value_row((path, value): (String, String)) -> Row {
    let cells = vec![path, value];
    Row { depth: Depth::Field, symbol: "", cells, place: String::new() }
}

pub(super) fn place(place: Option<&Place>) -> String {
    place.map_or_else(String::new, |place| format!("{}:{}", place.file, place.line))
}

/// Cuts a value in its middle.
fn middle(value: &str, chars_max: usize) -> String {
    if value.len() <= chars_max {
        return value.to_owned();
    }
    let chars: Vec<char> = value.chars().collect();
    if chars.len() <= chars_max {
        return value.to_owned();
    }
    let half = (chars_max - 1) / 2;
    let (front, back) = (&chars[..half], &chars[chars.len() - half..]);
    format!("{}…{}", front.iter().collect::<String>(), back.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_loses_its_middle() {
        assert_eq!(middle("abcdefghij", 7), "abc…hij");
        assert_eq!(middle("äöü", 3), "äöü");
    }
}
