//! A plan as people read it: blocks, symbols, old → new, class, place.

use std::fmt::Write as _;

use schema::change::Class;
use schema::project::Place;

use super::value::{Action, Change, Drift, Field, Plan, Refusal, Summary};

/// How a plan is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The column at which a line ends.
    pub width: usize,
    /// Whether long values are cut and unchanged addresses left out.
    pub detail: Detail,
    /// Which characters a terminal can show.
    pub letters: Letters,
}

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What matters.
    Normal,
    /// Everything, in full.
    Full,
    /// The last line only.
    Summary,
}

/// Which characters a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// All of them.
    Unicode,
    /// ASCII only.
    Ascii,
}

impl Default for Layout {
    fn default() -> Self {
        Self { width: 100, detail: Detail::Normal, letters: Letters::Unicode }
    }
}

/// Returns the whole plan as text, the counts in the last line.
#[must_use]
pub fn show(plan: &Plan, layout: Layout) -> String {
    let mut text = String::new();
    if layout.detail != Detail::Summary && !plan.is_empty() {
        text += &head(plan);
        text += "\n\n";
        text += &blocks(plan, layout);
        text.push('\n');
    }
    text += &last_line(&plan.summary());
    text.push('\n');
    match layout.letters {
        Letters::Unicode => text,
        Letters::Ascii => ascii(&text),
    }
}

fn ascii(text: &str) -> String {
    let pairs = [("→", "->"), ("…", "..."), ("↻", "@"), ("±", "%"), ("·", ".")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Returns the line that says whose plan it is.
#[must_use]
pub fn head(plan: &Plan) -> String {
    let head = &plan.head;
    let mut line = format!("Project {}  {}", head.name, head.path.display());
    if let Some((run, at)) = &head.last_applied {
        let at = at.get(..19).unwrap_or(at).replace('T', " ");
        let _ = write!(line, "  (last applied {at} UTC, run {run})");
    }
    if let Some(part) = &head.part {
        let names: Vec<String> = part.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        let _ = write!(line, "\npart of {}: {names}; removals not considered", head.name);
    }
    line
}

/// Returns the last line: every count that is not zero, then what is unchanged.
#[must_use]
pub fn last_line(summary: &Summary) -> String {
    let counts = [
        (summary.create, "create"),
        (summary.start, "start"),
        (summary.meta, "meta"),
        (summary.live, "live"),
        (summary.exec, "exec"),
        (summary.restart, "restart"),
        (summary.recreate, "recreate"),
        (summary.destroy, "destroy"),
        (summary.data_loss, "data-loss"),
        (summary.drift, "drift"),
        (summary.refused, "refused"),
    ];
    let named: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let counts = if named.is_empty() { "no changes".to_owned() } else { named.join(", ") };
    format!("Plan: {counts} ({} unchanged)", summary.unchanged)
}

fn blocks(plan: &Plan, layout: Layout) -> String {
    let mut blocks = vec![
        ("Changes", table(plan.changes.iter().flat_map(|c| change_rows(c, layout)), layout)),
        ("Drift", table(plan.drift.iter().map(drift_row), layout)),
        ("Refused", table(plan.refused.iter().map(refusal_row), layout)),
        ("Hints", plan.hints.iter().map(|hint| format!("  {hint}\n")).collect()),
    ];
    if layout.detail == Detail::Full {
        let rows = plan.unchanged.iter().map(|address| format!("    {address}\n"));
        blocks.push(("Unchanged", rows.collect()));
    }
    let shown = blocks.iter().filter(|(_, rows)| !rows.is_empty());
    shown.map(|(name, rows)| format!("{name}\n{rows}")).collect()
}

/// One line: cells from the left, and a place at the right edge.
struct Row {
    indent: usize,
    cells: Vec<String>,
    place: String,
}

fn change_rows(change: &Change, layout: Layout) -> Vec<Row> {
    let word = match change.action {
        Action::Update => change.class.as_str(),
        other => other.as_str(),
    };
    let first = Row {
        indent: 2,
        cells: vec![
            format!("{} {}", symbol(change), change.address),
            word.to_owned(),
            change.reason.text.clone(),
        ],
        place: place(change.place.as_ref()),
    };
    let fields = change.fields.iter().map(|field| field_row(change, field, layout));
    std::iter::once(first).chain(fields).collect()
}

fn symbol(change: &Change) -> &'static str {
    match (change.action, change.class) {
        (Action::Create | Action::Start, _) => "+",
        (Action::Update, Class::None | Class::Meta) => "·",
        (Action::Update, _) => "~",
        (Action::Restart, _) => "↻",
        (_, Class::DataLoss) => "!",
        (Action::Recreate, _) => "±",
        (Action::Destroy | Action::Stop, _) => "-",
    }
}

fn field_row(change: &Change, field: &Field, layout: Layout) -> Row {
    let cut = |value: &str| match layout.detail {
        Detail::Full => value.to_owned(),
        Detail::Normal | Detail::Summary => middle(value, VALUE_CHARS_MAX),
    };
    let value = match (&field.before, &field.after) {
        (Some(before), Some(after)) => format!("{} → {}", cut(before), cut(after)),
        (None, Some(after)) if change.action == Action::Create => cut(after),
        (None, Some(after)) => format!("(none) → {}", cut(after)),
        (Some(before), None) => format!("{} → (none)", cut(before)),
        (None, None) => String::new(),
    };
    let class = if change.action == Action::Create { "" } else { field.class.as_str() };
    Row {
        indent: 6,
        cells: vec![field.path.clone(), value, class.to_owned()],
        place: place(field.place.as_ref()),
    }
}

fn drift_row(drift: &Drift) -> Row {
    let what = format!("{} {} → {}", drift.path, drift.before, drift.after);
    let by = drift.by.as_ref().map_or_else(String::new, |by| format!("by {by}"));
    let cells = vec![drift.address.to_string(), what, drift.class.to_owned(), by];
    Row { indent: 2, cells, place: String::new() }
}

fn refusal_row(refusal: &Refusal) -> Row {
    let address = refusal.address.as_ref().map(ToString::to_string).unwrap_or_default();
    let cells = vec![address, format!("{} ({})", refusal.text, refusal.code)];
    Row { indent: 2, cells, place: place(refusal.place.as_ref()) }
}

fn place(place: Option<&Place>) -> String {
    place.map_or_else(String::new, |place| format!("{}:{}", place.file, place.line))
}

/// The longest value that is shown whole.
const VALUE_CHARS_MAX: usize = 48;

/// Cuts a value in its middle.
fn middle(value: &str, chars_max: usize) -> String {
    let chars: Vec<char> = value.chars().collect();
    if chars.len() <= chars_max {
        return value.to_owned();
    }
    let half = (chars_max - 1) / 2;
    let (front, back) = (&chars[..half], &chars[chars.len() - half..]);
    format!("{}…{}", front.iter().collect::<String>(), back.iter().collect::<String>())
}

/// Lays rows out: columns of equal indent aligned, the place flush right.
fn table(rows: impl Iterator<Item = Row>, layout: Layout) -> String {
    let rows: Vec<Row> = rows.collect();
    let mut widths = std::collections::BTreeMap::new();
    for row in &rows {
        for (column, cell) in row.cells.iter().enumerate() {
            let width = widths.entry((row.indent, column)).or_insert(0);
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = " ".repeat(row.indent);
        for (column, cell) in row.cells.iter().enumerate() {
            let width = widths.get(&(row.indent, column)).copied().unwrap_or(0);
            line += cell;
            let pad = width.saturating_sub(cell.chars().count()) + if width > 0 { 2 } else { 0 };
            line += &" ".repeat(pad);
        }
        let used = line.trim_end().chars().count();
        let end = layout.width.saturating_sub(row.place.chars().count());
        line.truncate(line.trim_end().len());
        if !row.place.is_empty() {
            line += &" ".repeat(end.saturating_sub(used).max(2));
            line += &row.place;
        }
        text += &line;
        text.push('\n');
    }
    text
}
