//! Drawings of graphs, also of those that go round.

use super::layout::layout;
use super::*;

fn graph(count: usize, edges: &[(usize, usize)]) -> Graph {
    let node = |at: usize| Node {
        id: format!("n{at}"),
        kind: NodeKind::Sandbox,
        lines: vec![format!("n{at}")],
        class: None,
    };
    let edge = |(from, to): &(usize, usize)| Edge {
        from: *from,
        to: *to,
        kind: EdgeKind::DependsOn,
        label: String::new(),
    };
    Graph {
        title: "t".to_owned(),
        nodes: (0..count).map(node).collect(),
        edges: edges.iter().map(edge).collect(),
    }
}

/// Holds that nothing lies over anything else, and that no way leaves the drawing.
fn check(graph: &Graph) {
    let layout = layout(graph);
    for (at, a) in layout.boxes.iter().enumerate() {
        assert!(a.x + a.width <= layout.size.0 && a.y + a.height <= layout.size.1);
        for b in &layout.boxes[at + 1..] {
            let apart = a.x + a.width <= b.x
                || b.x + b.width <= a.x
                || a.y + a.height <= b.y
                || b.y + b.height <= a.y;
            assert!(apart, "{a:?} {b:?}");
        }
    }
    assert_eq!(layout.ways.len(), graph.edges.len());
    let points = layout.ways.iter().flatten();
    assert!(points.clone().all(|(x, y)| *x <= layout.size.0 && *y <= layout.size.1));
}

#[test]
fn edges_point_downwards_and_boxes_lie_apart() {
    let graph = graph(6, &[(0, 1), (1, 2), (0, 2), (3, 2), (4, 0)]);
    check(&graph);
    let layout = layout(&graph);
    for edge in &graph.edges {
        assert!(layout.boxes[edge.from].y < layout.boxes[edge.to].y, "{edge:?}");
    }
}

#[test]
fn graphs_that_go_round_are_drawn_too() {
    check(&graph(3, &[(0, 1), (1, 2), (2, 0), (1, 1), (0, 1)]));
    check(&graph(0, &[]));
    check(&graph(1, &[(0, 0)]));
}

#[test]
fn a_crossing_that_need_not_be_is_taken_out() {
    let graph = graph(4, &[(0, 3), (1, 2)]);
    let layout = layout(&graph);
    assert!(layout.boxes[0].x < layout.boxes[1].x && layout.boxes[3].x < layout.boxes[2].x);
}

#[test]
fn a_large_graph_is_drawn_at_once() {
    let edges: Vec<(usize, usize)> = (1..5000).flat_map(|at| [(at / 2, at), (0, at)]).collect();
    let graph = graph(5000, &edges);
    assert!(svg(&graph).ends_with("</svg>\n"));
}

#[test]
fn names_are_no_markup_and_no_syntax() {
    let mut graph = graph(1, &[]);
    graph.nodes[0].lines = vec!["<a> \"b\" & c\\".to_owned()];
    assert!(svg(&graph).contains(">&lt;a&gt; &quot;b&quot; &amp; c\\</text>"));
    assert!(dot(&graph).contains(r#"label="<a> \"b\" & c\\""#));
}
