//! The canonical layout: four spaces, keys in the order of the table, one blank line at most.
//!
//! Values, numbers and comments keep their text. What was on one line stays on
//! one, unless it is too wide; what was broken stays broken.

use std::collections::HashMap;

use super::outline::{Block, Body, Node, Part, PartKind, Remark, outline};
use super::place::Place;

/// Blanks of one level.
const INDENT: usize = 4;
/// The widest line that braces may be closed on.
const COLUMNS: usize = 100;

/// Returns a whole text, laid out.
pub(super) fn document(block: &Block<'_>) -> String {
    let mut text = String::new();
    write_block(block, Place::TOP, 0, &mut text);
    text
}

/// Writes what stands between braces, line by line.
fn write_block(block: &Block<'_>, place: Place, level: usize, text: &mut String) {
    let mut is_first = true;
    for remark in &block.head {
        own_line(remark, !is_first && remark.blank, level, text);
        is_first = false;
    }
    let mut apart = !block.head.is_empty();
    for node in ordered(&block.nodes, place) {
        let blank = node.lead.first().map_or(node.blank, |remark| remark.blank);
        if std::mem::take(&mut apart) || (blank && !is_first) {
            text.push('\n');
        }
        is_first = false;
        write_node(node, place, level, text);
    }
    for remark in &block.end {
        own_line(remark, !is_first && remark.blank, level, text);
        is_first = false;
    }
}

fn own_line(remark: &Remark<'_>, blank: bool, level: usize, text: &mut String) {
    if blank {
        text.push('\n');
    }
    text.extend([&indentation(level), remark.text, "\n"]);
}

/// Returns the nodes in the order of the table; one without a rank stays behind its predecessor.
fn ordered<'b, 't>(nodes: &'b [Node<'t>], place: Place) -> Vec<&'b Node<'t>> {
    let mut last = 0;
    // Those of one name stay in their order.
    let mut strangers: HashMap<&str, usize> = HashMap::new();
    let ranked = nodes.iter().map(|node| {
        last = place.rank(&node.key).map_or_else(
            || {
                let earlier = strangers.get(node.key.as_str()).copied().unwrap_or(0);
                strangers.insert(&node.key, earlier.max(last));
                earlier.max(last)
            },
            |rank| rank + 1,
        );
        (last, node)
    });
    let mut ranked: Vec<(usize, &Node<'_>)> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, node)| node).collect()
}

/// Writes a node with its comments; the blank line before all of it is written already.
fn write_node(node: &Node<'_>, place: Place, level: usize, text: &mut String) {
    let mut on_line = false;
    for (at, remark) in node.lead.iter().enumerate() {
        if at > 0 && remark.blank {
            text.push('\n');
        }
        if !std::mem::replace(&mut on_line, remark.joins) {
            text.push_str(&indentation(level));
        }
        text.push_str(remark.text);
        text.push(if remark.joins { ' ' } else { '\n' });
    }
    if !node.lead.is_empty() && node.blank {
        text.push('\n');
    }
    if !on_line {
        text.push_str(&indentation(level));
    }
    write_body(node, place, level, text);
    for remark in &node.tail {
        text.extend([" ", remark]);
    }
    text.push('\n');
}

fn write_body(node: &Node<'_>, place: Place, level: usize, text: &mut String) {
    match &node.body {
        Body::Hidden(victim) => text.push_str(&hidden(victim, place, level)),
        Body::Said { name, parts, children } => {
            let (attributes, inner) = place.inside(&node.key);
            text.push_str(name);
            let places = |name: &str| attributes.iter().position(|key| key.name == name);
            write_parts(parts, places, level, text);
            let Some(block) = children else { return };
            let column = text.rfind('\n').map_or(0, |at| at + 1);
            let column = text[column..].chars().count();
            let fits = |line: &String| column + 1 + line.chars().count() <= COLUMNS;
            let gap = match parts.last() {
                Some(Part { kind: PartKind::LineComment, .. }) => {
                    format!("\n{}", indentation(level + 1))
                }
                Some(_) | None => " ".to_owned(),
            };
            if let Some(line) = one_line(block, inner).filter(fits) {
                text.extend([gap.as_str(), &line]);
                return;
            }
            text.extend([gap.as_str(), "{"]);
            if let Some(remark) = block.opening {
                text.extend([" ", remark]);
            }
            text.push('\n');
            write_block(block, inner, level + 1, text);
            text.extend([&indentation(level), "}"]);
        }
    }
}

/// Lays out what is behind a slashdash as if it were not.
fn hidden(victim: &str, place: Place, level: usize) -> String {
    let Ok(block) = outline(victim) else { return format!("/-{victim}") };
    let ([node], [], []) = (&*block.nodes, &*block.head, &*block.end) else {
        return format!("/-{victim}");
    };
    let mut text = indentation(level);
    write_node(node, place, level, &mut text);
    format!("/-{}", text.trim())
}

/// Writes arguments and properties; the name stands before them.
fn write_parts(
    parts: &[Part<'_>],
    rank: impl Fn(&str) -> Option<usize>,
    level: usize,
    text: &mut String,
) {
    let mut behind_comment = false;
    for part in ordered_parts(parts, rank) {
        if behind_comment || part.is_broken {
            let backslash = if behind_comment { "\n" } else { " \\\n" };
            text.extend([backslash, &indentation(level + 1)]);
        } else {
            text.push(' ');
        }
        behind_comment = part.kind == PartKind::LineComment;
        match &part.kind {
            PartKind::LineComment => text.extend(["\\ ", part.text]),
            PartKind::Aside => text.push_str(part.text),
            PartKind::Argument => text.push_str(&value(part.text, level)),
            PartKind::Property(_, name, written) => {
                let plain = part.text.len() == name.len() + 1 + written.len();
                let blanks = part.text[name.len()..part.text.len() - written.len()].trim();
                if plain || blanks == "=" {
                    text.extend([name, "=", &value(written, level)]);
                } else {
                    text.push_str(part.text);
                }
            }
        }
    }
}

/// Returns arguments, then properties in the order of the table; as written where the line is
/// broken, or holds a comment or a property that the table does not know.
fn ordered_parts<'p, 't>(
    parts: &'p [Part<'t>],
    rank: impl Fn(&str) -> Option<usize>,
) -> Vec<&'p Part<'t>> {
    let ranked = |part: &'p Part<'t>| match &part.kind {
        _ if part.is_broken => None,
        PartKind::Argument => Some((0, part)),
        PartKind::Property(key, ..) => Some((rank(key)? + 1, part)),
        PartKind::Aside | PartKind::LineComment => None,
    };
    match parts.iter().map(ranked).collect::<Option<Vec<_>>>() {
        None => parts.iter().collect(),
        Some(mut ranked) => {
            ranked.sort_by_key(|(rank, _)| *rank);
            ranked.into_iter().map(|(_, part)| part).collect()
        }
    }
}

/// Returns a value as it was written; text over several lines moves with its node.
fn value(written: &str, level: usize) -> String {
    moved(written, &indentation(level + 1)).unwrap_or_else(|| written.to_owned())
}

/// Returns text between three quotes with another indentation, where that changes nothing it says.
fn moved(written: &str, indentation: &str) -> Option<String> {
    let raw = written.starts_with('#');
    if !written.trim_start_matches('#').starts_with("\"\"\"") {
        return None;
    }
    let mut lines = written.split('\n');
    let first = lines.next()?;
    let last = lines.next_back()?;
    let quotes = last.trim_start_matches([' ', '\t']);
    let old = &last[..last.len() - quotes.len()];
    let escapes_blanks =
        |line: &str| line.ends_with('\\') || line.contains("\\ ") || line.contains("\\\t");
    if !quotes.starts_with("\"\"\"") || (!raw && written.split('\n').any(escapes_blanks)) {
        return None;
    }
    let mut text = format!("{first}\n");
    for line in lines {
        if !line.trim().is_empty() {
            text.extend([indentation, line.strip_prefix(old)?]);
        }
        text.push('\n');
    }
    text.extend([indentation, quotes]);
    Some(text)
}

/// Returns braces and all on one line, if that is how they were written and nothing forbids it.
fn one_line(block: &Block<'_>, place: Place) -> Option<String> {
    let is_empty = block.nodes.is_empty() && block.head.is_empty() && block.end.is_empty();
    if is_empty && block.opening.is_none() {
        return Some("{}".to_owned());
    }
    if !block.is_line {
        return None;
    }
    let remarks = |remarks: &[Remark<'_>]| {
        remarks.iter().map(|remark| remark.text.to_owned()).collect::<Vec<_>>().join(" ")
    };
    let mut pieces = Vec::new();
    for node in ordered(&block.nodes, place) {
        let mut text = String::new();
        write_node(node, place, 0, &mut text);
        let line = text.trim_end_matches('\n');
        if line.contains('\n') {
            return None;
        }
        pieces.push(line.to_owned());
    }
    let head = remarks(&block.head);
    let end = remarks(&block.end);
    let inner = pieces.join("; ");
    let whole: Vec<&str> =
        [head.as_str(), &inner, &end].into_iter().filter(|piece| !piece.is_empty()).collect();
    Some(format!("{{ {} }}", whole.join(" ")))
}

fn indentation(level: usize) -> String {
    " ".repeat(level * INDENT)
}
