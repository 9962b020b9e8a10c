//! A graph as a drawing that every browser shows; it fetches nothing and runs nothing.

use std::fmt::Write as _;

use super::layout::{Box, layout};
use super::{Edge, Graph, Node, NodeKind};

/// Returns the graph as SVG.
#[must_use]
pub fn svg(graph: &Graph) -> String {
    let layout = layout(graph);
    let (width, height) = layout.size;
    let title = escaped(&graph.title);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n{STYLE}"
    );
    for (edge, way) in graph.edges.iter().zip(&layout.ways) {
        push_edge(&mut text, graph, edge, way);
    }
    for (node, place) in graph.nodes.iter().zip(&layout.boxes) {
        push_node(&mut text, node, *place);
    }
    text.push_str("</svg>\n");
    text
}

const STYLE: &str = "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" \
markerWidth=\"8\" markerHeight=\"8\" orient=\"auto-start-reverse\"><path d=\"M0 0 8 4 0 8z\" \
fill=\"#57606a\"/></marker></defs>\n<style>\
svg{background:#fff;font:13px ui-monospace,monospace}\
.box{fill:#f6f8fa;stroke:#57606a}.job{fill:#fff8c5}.volume{fill:#ddf4ff}.image{fill:#fbefff}\
.live,.meta,.exec{fill:#dafbe1}.restart{fill:#fff8c5}.recreate{fill:#ffe7d1}\
.data-loss{fill:#ffcecb;stroke:#cf222e}\
.edge{fill:none;stroke:#57606a}.loose{stroke-dasharray:5 4}\
text{fill:#1f2328;text-anchor:middle}</style>\n";

fn push_edge(text: &mut String, graph: &Graph, edge: &Edge, way: &[(u32, u32)]) {
    let Some(((x, y), rest)) = way.split_first() else { return };
    let _ = write!(
        text,
        "<path class=\"edge{}\" marker-end=\"url(#tip)\" d=\"M{x} {y}",
        match edge.kind.is_loose() {
            true => " loose",
            false => "",
        }
    );
    let (mut from_x, mut from_y) = (*x, *y);
    for (x, y) in rest {
        let middle = from_y.midpoint(*y);
        let _ = write!(text, "C{from_x} {middle} {x} {middle} {x} {y}");
        (from_x, from_y) = (*x, *y);
    }
    let (from, to) = (&graph.nodes[edge.from].id, &graph.nodes[edge.to].id);
    let told = format!("{from} {} {to} {}", edge.kind.as_str(), edge.label);
    let _ = writeln!(text, "\"><title>{}</title></path>", escaped(told.trim_end()));
}

fn push_node(text: &mut String, node: &Node, place: Box) {
    let Box { x, y, width, height } = place;
    let class = node.class.unwrap_or(match node.kind {
        NodeKind::Sandbox | NodeKind::Step => "sandbox",
        NodeKind::Job => "job",
        NodeKind::Volume => "volume",
        NodeKind::Image => "image",
    });
    let round = if node.kind == NodeKind::Volume { 12 } else { 3 };
    let id = escaped(&node.id);
    let _ = write!(
        text,
        "<g><title>{id}</title><rect class=\"box {class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" \
         height=\"{height}\" rx=\"{round}\"/>"
    );
    let middle = x + width / 2;
    for (index, line) in (1_u32..).zip(&node.lines) {
        let at = y + index * 18;
        let _ =
            write!(text, "<text x=\"{middle}\" y=\"{at}\">{}</text>", escaped(&shortened(line)));
    }
    text.push_str("</g>\n");
}

/// Returns a line as long as its box can be.
fn shortened(line: &str) -> String {
    if line.chars().count() <= 80 {
        return line.to_owned();
    }
    let start: String = line.chars().take(79).collect();
    start + "…"
}

/// Returns text that is no markup.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML has no spelling for these.
            other if other.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}
