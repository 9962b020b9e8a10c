//! A graph in the language DOT.

use std::fmt::Write as _;

use super::{Graph, NodeKind};

/// Returns the graph as DOT, a line a node and a line an edge.
#[must_use]
pub fn dot(graph: &Graph) -> String {
    let mut text = format!(
        "digraph {} {{\n    rankdir=TB;\n    node [shape=box, fontname=\"sans-serif\"];\n",
        quoted(&graph.title)
    );
    for node in &graph.nodes {
        let label = quoted(&node.lines.join("\n"));
        let shape = match node.kind {
            NodeKind::Sandbox | NodeKind::Step => "box",
            NodeKind::Job => "cds",
            NodeKind::Volume => "cylinder",
            NodeKind::Image => "component",
        };
        let class =
            node.class.map_or_else(String::new, |class| format!(", class={}", quoted(class)));
        let _ = writeln!(text, "    {} [label={label}, shape={shape}{class}];", quoted(&node.id));
    }
    for edge in &graph.edges {
        let (from, to) = (&graph.nodes[edge.from].id, &graph.nodes[edge.to].id);
        let mut rest = Vec::new();
        if !edge.label.is_empty() {
            rest.push(format!("label={}", quoted(&edge.label)));
        }
        if edge.kind.is_loose() {
            rest.push("style=dashed".to_owned());
        }
        let rest = if rest.is_empty() { String::new() } else { format!(" [{}]", rest.join(", ")) };
        let _ = writeln!(text, "    {} -> {}{rest};", quoted(from), quoted(to));
    }
    text.push_str("}\n");
    text
}

/// Returns a text as DOT writes it: whatever is in it, it is one word.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
