//! Rows of cells: columns of equal depth aligned, the place flush right.

use std::collections::BTreeMap;

use super::Layout;
use crate::report::style::Colour;

/// One line: cells from the left, and a place at the right edge.
pub(super) struct Row {
    /// Whether it is of an address, or of a field below one.
    pub(super) depth: Depth,
    /// What stands before the first cell.
    pub(super) symbol: &'static str,
    /// The cells.
    pub(super) cells: Vec<String>,
    /// Where it is written.
    pub(super) place: String,
}

/// Whether a row is of an address, or of a field below one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    Address,
    Field,
}

impl Depth {
    const fn indent(self) -> usize {
        match self {
            Self::Address => 2,
            Self::Field => 6,
        }
    }
}

impl Row {
    /// Returns the colour that repeats what the symbol says.
    fn colour(&self) -> Option<Colour> {
        match self.symbol {
            "+" => Some(Colour::Green),
            "~" | "↻" | "±" => Some(Colour::Yellow),
            "-" | "!" => Some(Colour::Red),
            "·" => Some(Colour::Grey),
            _ => None,
        }
    }
}

/// Returns the rows as lines.
pub(super) fn text(rows: &[Row], layout: Layout) -> String {
    let mut widths: BTreeMap<(Depth, usize), usize> = BTreeMap::new();
    for row in rows {
        // The last cell pushes nothing away.
        for (column, cell) in row.cells.iter().enumerate() {
            let is_last = row.cells[column + 1..].iter().all(String::is_empty);
            let width = widths.entry((row.depth, column)).or_default();
            *width = (*width).max(if is_last { 0 } else { cell.chars().count() });
        }
    }
    rows.iter().map(|row| line(row, &widths, layout)).collect()
}

fn line(row: &Row, widths: &BTreeMap<(Depth, usize), usize>, layout: Layout) -> String {
    let mut line = " ".repeat(row.depth.indent());
    if row.depth == Depth::Address && !row.symbol.is_empty() {
        line += row.symbol;
        line.push(' ');
    }
    let mut gap = 0;
    for (column, cell) in row.cells.iter().enumerate() {
        let width = widths.get(&(row.depth, column)).copied().unwrap_or(0);
        if !cell.is_empty() {
            line += &" ".repeat(gap);
            line += cell;
            gap = 0;
        }
        let pad = width.saturating_sub(cell.chars().count());
        gap += pad + if width > 0 { 2 } else { 0 };
    }
    let used = line.chars().count();
    if !row.place.is_empty() {
        let end = layout.width.saturating_sub(row.place.chars().count());
        line += &" ".repeat(end.saturating_sub(used).max(2));
        line += &row.place;
    }
    let mut line = match (row.colour(), row.depth) {
        (Some(colour), Depth::Address) => layout.style.paint(colour, &line).into_owned(),
        _ => line,
    };
    line.push('\n');
    line
}
