//! A plan as people read it: blocks, symbols, old → new, class, place.

mod fold;
mod markdown;
mod rows;
mod table;

use std::fmt::Write as _;

use schema::project::Project;

use super::value::{Plan, Summary};
use crate::report::style::Style;
use crate::report::time;
use fold::folded_names;

pub use markdown::markdown;

/// How a plan is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The column at which a line ends.
    pub width: usize,
    /// How much is shown.
    pub detail: Detail,
    /// Colour, and the characters that a terminal can show.
    pub style: Style,
    /// When it is shown: what happened on the same day is told by its time.
    pub now_ms: u64,
}

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What matters.
    Normal,
    /// Everything, in full: what is unchanged, with every field, and no value cut.
    Full,
    /// The last line only.
    Summary,
}

impl Default for Layout {
    fn default() -> Self {
        Self { width: 100, detail: Detail::Normal, style: Style::PLAIN, now_ms: 0 }
    }
}

/// The most names of a part that its line holds.
const PART_NAMES_MAX: usize = 8;

/// Returns the whole plan as text, the counts in the last line.
///
/// `project` is what the plan was made for; only [`Detail::Full`] looks at it.
#[must_use]
pub fn show(plan: &Plan, project: &Project, layout: Layout) -> String {
    let mut text = String::new();
    let full = layout.detail == Detail::Full;
    if layout.detail != Detail::Summary && (full || !plan.is_empty() || !plan.hints.is_empty()) {
        text += &head(plan);
        text += "\n\n";
        for block in rows::blocks(plan, project, layout) {
            text += block.title;
            text.push('\n');
            text += &table::text(&block.rows, layout);
        }
        text.push('\n');
    }
    text += &last_line(&plan.summary());
    text.push('\n');
    layout.style.twins(&text).into_owned()
}

/// Returns the lines that say whose plan it is, and how much of it.
#[must_use]
pub fn head(plan: &Plan) -> String {
    let head = &plan.head;
    let mut line = format!("Project {}  {}", head.name, head.path.display());
    if let Some((run, at)) = &head.last_applied {
        let at = time::parse_instant(at, 0).map_or_else(|| at.clone(), time::local);
        let _ = write!(line, "  (last applied {at}, run {run})");
    }
    if let Some(part) = &head.part {
        let mut names = folded_names(part.iter());
        let more = names.len().saturating_sub(PART_NAMES_MAX);
        names.truncate(PART_NAMES_MAX);
        let mut names = names.join(", ");
        if more > 0 {
            let _ = write!(names, " and {more} more");
        } else if names.is_empty() {
            names.push_str("nothing");
        }
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
