//! From what the reader tells, in order, to blocks and nodes with what stands around them.

use std::ops::Range;

use schema::sandboxfile::syntax::kdl::{Aside, AsideKind};

use super::{Block, Body, Node, Part, PartKind, Remark, Token, TokenKind, outline};

/// A block that is being read, and the node that waits in it for its end.
#[derive(Default)]
struct Open<'t> {
    block: Block<'t>,
    node: Option<Node<'t>>,
    /// Comments that wait for what follows.
    pending: Vec<Remark<'t>>,
    start: usize,
}

pub(super) struct Builder<'t> {
    text: &'t str,
    open: Vec<Open<'t>>,
    /// Where the last thing ended.
    last: usize,
}

impl<'t> Builder<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, open: vec![Open { start, ..Open::default() }], last: start }
    }

    fn top(&mut self) -> &mut Open<'t> {
        self.open.last_mut().expect("the block of the whole text is never closed")
    }

    /// Returns how many lines end between the last thing and `start`.
    fn lines_before(&self, start: usize) -> usize {
        let gap = self.text.get(self.last..start).unwrap_or_default();
        gap.bytes().filter(|byte| *byte == b'\n').count()
    }

    pub(super) fn token(&mut self, token: Token<'t>) {
        let Range { start, end } = token.at;
        let text = &self.text[start..end];
        match token.kind {
            TokenKind::Name(key) => {
                let body = Body::Said { name: text, parts: Vec::new(), children: None };
                let node = self.begin(start..end, key, body);
                self.top().node = Some(node);
            }
            TokenKind::Argument => self.part(PartKind::Argument, start, end),
            TokenKind::Property(key, name, value) => {
                self.part(PartKind::Property(key, name, value), start, end);
            }
            TokenKind::Open => self.open.push(Open { start, ..Open::default() }),
            TokenKind::Close => {
                let block = self.close(end);
                if let Some(Node { body: Body::Said { children, .. }, .. }) = &mut self.top().node {
                    *children = Some(block);
                }
            }
            TokenKind::End => {
                let end = self.text[..end].trim_end_matches([' ', '\t']).len().max(self.last);
                let top = self.top();
                if let Some(mut node) = top.node.take() {
                    node.place.end = end;
                    settle(&mut node);
                    top.block.nodes.push(node);
                }
                self.last = end;
                return;
            }
        }
        self.last = end;
    }

    /// Makes a node of what waited for it.
    fn begin(&mut self, at: Range<usize>, key: String, body: Body<'t>) -> Node<'t> {
        let lines = self.lines_before(at.start);
        let top = self.top();
        let mut lead = std::mem::take(&mut top.pending);
        if let Some(last) = lead.last_mut() {
            last.joins = lines == 0;
        }
        let blank = lines > 1;
        if top.block.nodes.is_empty() {
            // What a blank line sets apart from the first node belongs to the block.
            let apart = (1..lead.len()).rev().find(|at| lead[*at].blank);
            let apart = if blank { lead.len() } else { apart.unwrap_or(0) };
            top.block.head.extend(lead.drain(..apart));
        }
        let start = lead.first().map_or(at.start, |remark| self.offset(remark.text));
        Node { lead, blank, key, body, tail: Vec::new(), place: start..at.end }
    }

    fn offset(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.text.as_ptr().addr()
    }

    fn part(&mut self, kind: PartKind<'t>, start: usize, end: usize) {
        let is_broken = self.lines_before(start) > 0;
        let text = &self.text[start..end];
        if let Some(Node { body: Body::Said { parts, .. }, .. }) = &mut self.top().node {
            parts.push(Part { kind, text, is_broken });
        }
    }

    pub(super) fn aside(&mut self, aside: Aside) {
        let (start, end) = (aside.span.start as usize, aside.span.end as usize);
        let text = self.text[start..end].trim_end_matches([' ', '\t', '\r']);
        let end = start + text.len();
        let lines = self.lines_before(start);
        if self.top().node.is_some() {
            self.in_node(aside.kind, start, end);
        } else if aside.kind == AsideKind::HiddenNode {
            self.hidden(text, start, end);
        } else if lines == 0 && self.is_behind_brace() && aside.kind == AsideKind::LineComment {
            self.top().block.opening = Some(text);
        } else if lines == 0 && self.top().pending.is_empty() && !self.top().block.nodes.is_empty()
        {
            let node = self.top().block.nodes.last_mut().expect("there is one");
            node.tail.push(text);
            node.place.end = end;
        } else {
            let remark = Remark { text, blank: lines > 1, joins: false };
            let top = self.top();
            if let Some(last) = top.pending.last_mut() {
                last.joins = lines == 0;
            }
            top.pending.push(remark);
        }
        self.last = end;
    }

    fn is_behind_brace(&self) -> bool {
        let top = self.open.last();
        let empty = top.is_some_and(|top| top.block.nodes.is_empty() && top.pending.is_empty());
        self.open.len() > 1 && empty
    }

    /// Takes something that stands between the name of a node and its end.
    fn in_node(&mut self, kind: AsideKind, start: usize, end: usize) {
        let text = &self.text[start..end];
        let has_children = match &mut self.top().node {
            Some(Node { body: Body::Said { children, .. }, tail, .. }) if children.is_some() => {
                tail.push(text);
                true
            }
            Some(_) | None => false,
        };
        if !has_children {
            let kind = match kind {
                AsideKind::LineComment => PartKind::LineComment,
                AsideKind::BlockComment | AsideKind::HiddenNode | AsideKind::HiddenEntry => {
                    PartKind::Aside
                }
            };
            self.part(kind, start, end);
        }
    }

    fn hidden(&mut self, text: &'t str, start: usize, end: usize) {
        let victim = text[2..].trim_start();
        let key = outline(victim).ok().and_then(|block| {
            let mut nodes = block.nodes.into_iter();
            nodes.next().map(|node| node.key).filter(|_| nodes.next().is_none())
        });
        let key = key.unwrap_or_default();
        let first = self.open.len() == 1 && self.top().block.nodes.is_empty();
        if first && key == "kdl-version" {
            // The marker stays where it is: before everything.
            let blank = self.lines_before(start) > 1;
            let top = self.top();
            let pending = std::mem::take(&mut top.pending);
            top.block.head.extend(pending);
            top.block.head.push(Remark { text, blank, joins: false });
            return;
        }
        let node = self.begin(start..end, key, Body::Hidden(victim));
        self.top().block.nodes.push(node);
    }

    fn close(&mut self, end: usize) -> Block<'t> {
        let text = self.text;
        let Some(Open { mut block, pending, start, .. }) = self.open.pop() else {
            return Block::default();
        };
        block.end = pending;
        block.is_line = !text[start..end].contains('\n');
        block
    }

    pub(super) fn finish(mut self) -> Block<'t> {
        let end = self.text.len();
        self.close(end)
    }
}

/// A comment behind the last backslash of a line is a comment behind the node.
fn settle(node: &mut Node<'_>) {
    if let Body::Said { parts, children: None, .. } = &mut node.body
        && let Some(last) = parts.pop_if(|part| part.kind == PartKind::LineComment)
    {
        node.tail.insert(0, last.text);
    }
}
