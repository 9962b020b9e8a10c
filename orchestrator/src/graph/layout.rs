//! Where each thing stands: in layers, so that edges point downwards and cross as little as may be.
//!
//! ```text
//! edges that go round are turned ─▶ layers, by the longest way from the top
//!   ─▶ long edges get a bend in each layer ─▶ neighbours are drawn together, layer by layer
//!   ─▶ places
//! ```

use super::{Graph, Node};

/// How often the order within layers is improved.
const SWEEPS: usize = 8;

/// The most bends of long edges; beyond them such edges are drawn straight.
const BENDS_MAX: usize = 20_000;

const LETTER_WIDTH: u32 = 8;
const LINE_HEIGHT: u32 = 18;
const PADDING: u32 = 12;
const GAP_X: u32 = 28;
const GAP_Y: u32 = 56;
const BEND_WIDTH: u32 = 8;
const MARGIN: u32 = 20;

/// A graph with places.
pub(super) struct Layout {
    /// The size of the whole.
    pub(super) size: (u32, u32),
    /// Where each node stands.
    pub(super) boxes: Vec<Box>,
    /// The points that each edge goes through, from its beginning.
    pub(super) ways: Vec<Vec<(u32, u32)>>,
}

/// A place, by its upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Box {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Returns where everything stands; equal graphs stand equally.
pub(super) fn layout(graph: &Graph) -> Layout {
    let mut work = Work::of(graph);
    work.bend();
    for sweep in 0..SWEEPS {
        work.draw_together(sweep % 2 == 0);
    }
    work.place(graph)
}

/// A node or a bend, among others of its layer.
struct Spot {
    layer: usize,
    width: u32,
    height: u32,
    above: Vec<usize>,
    below: Vec<usize>,
}

struct Work {
    /// The nodes, then the bends.
    spots: Vec<Spot>,
    /// What stands in each layer, from the left.
    layers: Vec<Vec<usize>>,
    /// Of each edge, the spots that it goes through from the top, and whether it points upwards.
    ways: Vec<(Vec<usize>, bool)>,
}

impl Work {
    /// Puts each node into its layer.
    fn of(graph: &Graph) -> Self {
        let turned = turned(graph);
        let ways: Vec<(Vec<usize>, bool)> = graph
            .edges
            .iter()
            .zip(&turned)
            .map(|(edge, turned)| match turned {
                true => (vec![edge.to, edge.from], true),
                false => (vec![edge.from, edge.to], false),
            })
            .collect();
        let depth = depths(graph.nodes.len(), &ways);
        let spots = graph.nodes.iter().zip(&depth).map(|(node, layer)| {
            let (width, height) = size(node);
            Spot { layer: *layer, width, height, above: Vec::new(), below: Vec::new() }
        });
        let spots: Vec<Spot> = spots.collect();
        let count = depth.iter().max().map_or(0, |deepest| deepest + 1);
        let mut layers = vec![Vec::new(); count];
        for (at, spot) in spots.iter().enumerate() {
            layers[spot.layer].push(at);
        }
        Self { spots, layers, ways }
    }

    /// Gives edges that pass layers a bend in each, and joins what stands one above the other.
    fn bend(&mut self) {
        let mut bends = 0;
        for index in 0..self.ways.len() {
            let (top, bottom) = (self.ways[index].0[0], self.ways[index].0[1]);
            let (first, last) = (self.spots[top].layer, self.spots[bottom].layer);
            let between = last.saturating_sub(first + 1);
            if first == last || bends + between > BENDS_MAX {
                continue;
            }
            bends += between;
            let mut way = vec![top];
            for layer in first + 1..last {
                let at = self.spots.len();
                let (above, below) = (Vec::new(), Vec::new());
                self.spots.push(Spot { layer, width: BEND_WIDTH, height: 0, above, below });
                self.layers[layer].push(at);
                way.push(at);
            }
            way.push(bottom);
            for pair in way.windows(2) {
                self.spots[pair[0]].below.push(pair[1]);
                self.spots[pair[1]].above.push(pair[0]);
            }
            self.ways[index].0 = way;
        }
    }

    /// Orders each layer by where the neighbours of its spots stand.
    fn draw_together(&mut self, downwards: bool) {
        let mut place = vec![0_usize; self.spots.len()];
        for layer in &self.layers {
            layer.iter().enumerate().for_each(|(at, spot)| place[*spot] = at);
        }
        let count = self.layers.len();
        for step in 1..count {
            let layer = if downwards { step } else { count - 1 - step };
            let mut keyed: Vec<(usize, usize)> = self.layers[layer]
                .iter()
                .map(|spot| {
                    let spot_of = &self.spots[*spot];
                    let near = if downwards { &spot_of.above } else { &spot_of.below };
                    let sum: usize = near.iter().map(|other| place[*other]).sum();
                    let key = (sum * 1000).checked_div(near.len()).unwrap_or(place[*spot] * 1000);
                    (key, *spot)
                })
                .collect();
            keyed.sort_by_key(|(key, spot)| (*key, place[*spot]));
            self.layers[layer] = keyed.into_iter().map(|(_, spot)| spot).collect();
            let order = &self.layers[layer];
            order.iter().enumerate().for_each(|(at, spot)| place[*spot] = at);
        }
    }

    /// Gives everything its place: layers below one another, each in the middle.
    fn place(self, graph: &Graph) -> Layout {
        let width_of = |layer: &Vec<usize>| -> u32 {
            let boxes: u32 = layer.iter().map(|spot| self.spots[*spot].width).sum();
            boxes + GAP_X * u32::try_from(layer.len().saturating_sub(1)).unwrap_or(0)
        };
        let width = self.layers.iter().map(width_of).max().unwrap_or(0);
        let mut boxes = vec![Box::default(); self.spots.len()];
        let mut y = MARGIN;
        for layer in &self.layers {
            let height = layer.iter().map(|spot| self.spots[*spot].height).max().unwrap_or(0);
            let mut x = MARGIN + (width - width_of(layer)) / 2;
            for spot in layer {
                let Spot { width, height: own, .. } = self.spots[*spot];
                // A bend passes its layer in the middle of it.
                let down = (height - own) / 2;
                boxes[*spot] = Box { x, y: y + down, width, height: own };
                x += width + GAP_X;
            }
            y += height + GAP_Y;
        }
        let height = y.saturating_sub(GAP_Y) + MARGIN;
        let ways = self.ways.iter().map(|(way, turned)| points(way, *turned, &boxes)).collect();
        boxes.truncate(graph.nodes.len());
        Layout { size: (width + 2 * MARGIN, height.max(2 * MARGIN)), boxes, ways }
    }
}

/// Returns the points of a way: out of the lower side of a box, into the upper side of the next.
fn points(way: &[usize], turned: bool, boxes: &[Box]) -> Vec<(u32, u32)> {
    let point = |(at, spot): (usize, &usize)| {
        let place = boxes[*spot];
        let y = if at == 0 { place.y + place.height } else { place.y };
        (place.x + place.width / 2, y)
    };
    let mut points: Vec<(u32, u32)> = way.iter().enumerate().map(point).collect();
    if turned {
        points.reverse();
    }
    points
}

/// Returns what a box takes.
fn size(node: &Node) -> (u32, u32) {
    let longest = node.lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let letters = u32::try_from(longest.max(4)).unwrap_or(u32::MAX / 64).min(80);
    let lines = u32::try_from(node.lines.len().max(1)).unwrap_or(1);
    (letters * LETTER_WIDTH + 2 * PADDING, lines * LINE_HEIGHT + PADDING)
}

/// Tells of each edge whether it must be turned for no edge to go round.
fn turned(graph: &Graph) -> Vec<bool> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (index, edge) in graph.edges.iter().enumerate() {
        out[edge.from].push(index);
    }
    let mut turned = vec![false; graph.edges.len()];
    let mut state = vec![State::New; graph.nodes.len()];
    for start in 0..graph.nodes.len() {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        let mut open = vec![(start, 0)];
        while let Some((node, next)) = open.pop() {
            let Some(edge) = out[node].get(next) else {
                state[node] = State::Done;
                continue;
            };
            open.push((node, next + 1));
            let to = graph.edges[*edge].to;
            match state[to] {
                State::Open => turned[*edge] = true,
                State::New => {
                    state[to] = State::Open;
                    open.push((to, 0));
                }
                State::Done => {}
            }
        }
    }
    turned
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// Returns the layer of each node: one more than the deepest above it.
fn depths(count: usize, ways: &[(Vec<usize>, bool)]) -> Vec<usize> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut waits = vec![0_usize; count];
    // What joins a thing with itself orders nothing.
    for (way, _) in ways.iter().filter(|(way, _)| way[0] != way[1]) {
        below[way[0]].push(way[1]);
        waits[way[1]] += 1;
    }
    let mut depth = vec![0; count];
    let mut free: Vec<usize> = (0..count).filter(|node| waits[*node] == 0).collect();
    while let Some(node) = free.pop() {
        for to in &below[node] {
            depth[*to] = depth[*to].max(depth[node] + 1);
            waits[*to] -= 1;
            if waits[*to] == 0 {
                free.push(*to);
            }
        }
    }
    depth
}
