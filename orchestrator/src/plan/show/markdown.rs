//! A plan as Markdown tables, for a comment beside a change.

use std::fmt::Write as _;

use schema::project::Project;

use super::rows::{self, Block};
use super::table::{Depth, Row};
use super::{Detail, Layout, last_line};
use crate::plan::value::Plan;

/// The most bytes of a document: what code review tools take in one comment.
const BYTES_MAX: usize = 60_000;

/// The bytes that are kept free for the last lines.
const TAIL_BYTES: usize = 400;

/// Returns the plan as Markdown, cut by whole rows where it is too long.
#[must_use]
pub fn markdown(plan: &Plan, project: &Project, detail: Detail) -> String {
    let mut text = format!("### Plan of {}\n\n", escaped(plan.head.name.as_str()));
    let layout = Layout { detail, ..Layout::default() };
    let mut left_out = 0;
    if detail != Detail::Summary {
        for block in rows::blocks(plan, project, layout) {
            left_out += table(&mut text, &block);
        }
    }
    if left_out > 0 {
        let _ = write!(text, "… and {left_out} more rows.\n\n");
    }
    let _ = writeln!(text, "**{}**", escaped(&last_line(&plan.summary())));
    text
}

/// Adds one table; returns how many rows did not fit.
fn table(text: &mut String, block: &Block) -> usize {
    let columns = block.rows.iter().map(|row| row.cells.len()).max().unwrap_or(1);
    let mut head = format!("#### {}\n\n|", block.title);
    head += &" |".repeat(columns + 2);
    head += "\n|";
    head += &"---|".repeat(columns + 2);
    head.push('\n');
    if text.len() + head.len() + TAIL_BYTES > BYTES_MAX {
        return block.rows.len();
    }
    *text += &head;
    let mut written = 0;
    for row in &block.rows {
        let line = line(row, columns);
        if text.len() + line.len() + TAIL_BYTES > BYTES_MAX {
            break;
        }
        *text += &line;
        written += 1;
    }
    text.push('\n');
    block.rows.len() - written
}

fn line(row: &Row, columns: usize) -> String {
    let mut line = format!("| {} |", escaped(row.symbol));
    for column in 0..columns {
        let cell = row.cells.get(column).map_or("", String::as_str);
        let cell = escaped(cell);
        let cell = match (row.depth, column) {
            (Depth::Field, 0) => format!("&nbsp;&nbsp;{cell}"),
            _ => cell,
        };
        let _ = write!(line, " {cell} |");
    }
    let _ = writeln!(line, " {} |", escaped(&row.place));
    line
}

/// Returns text that no Markdown reads as anything but text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '!' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_value_is_markdown() {
        assert_eq!(escaped("a|b\n<i>*x*"), "a\\|b &lt;i&gt;\\*x\\*");
    }
}
