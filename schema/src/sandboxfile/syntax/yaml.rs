//! YAML 1.2 to the tree: events pulled in a loop, with a stack of our own.

mod flow;
mod offsets;
mod refuse;
mod scalar;

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks};

use self::offsets::Offsets;
use self::scalar::kind;
use super::build::Budget;
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::problem::{Code, Problem, Problems};
use crate::sandboxfile::tree::{Entry, Origin, Scalar, ScalarKind, Span, Tree};

/// Reads YAML into a tree; what is refused is added to `problems`.
pub fn yaml<'a>(
    text: &'a str,
    file: u16,
    limits: &Limits,
    problems: &mut Problems,
) -> Option<Tree<'a>> {
    let budget = Budget::new(limits);
    if let Some(span) = flow::excess(text, file, limits.nodes()) {
        problems.push(budget.exceeded(span));
        return None;
    }
    let offsets = Offsets::new(text, file);
    let mut reader = Reader {
        offsets: &offsets,
        open: Vec::new(),
        root: None,
        documents: 0,
        anchors: HashMap::new(),
        kept_nodes: 0,
        alias_nodes: 0,
        budget,
        problems,
    };
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(body);
    while let Some(next) = parser.next_event() {
        let outcome = match next {
            Ok((event, marks)) => reader.take(event, marks),
            Err(error) => Err(refuse::scan(&error, text, &offsets)),
        };
        if let Err(problem) = outcome {
            reader.problems.push(problem);
            return None;
        }
    }
    let Some(root) = reader.root else { return Some(Tree { entries: Vec::new() }) };
    refuse::root(root, problems)
}

/// A map or list that is being read.
struct Open<'a> {
    entry: Entry<'a>,
    /// The key that waits for its value.
    key: Option<(Cow<'a, str>, Span)>,
    anchor: usize,
}

/// A named part of the file.
struct Anchor<'a> {
    span: Span,
    /// What it names, once that has ended, and how many nodes that has.
    entry: Option<(Entry<'a>, usize)>,
}

struct Reader<'a, 'p> {
    offsets: &'p Offsets<'a>,
    open: Vec<Open<'a>>,
    root: Option<Entry<'a>>,
    documents: usize,
    anchors: HashMap<usize, Anchor<'a>>,
    kept_nodes: usize,
    alias_nodes: usize,
    budget: Budget,
    problems: &'p mut Problems,
}

impl<'a> Reader<'a, '_> {
    fn take(&mut self, event: Event<'a>, marks: Marks) -> Result<(), Problem> {
        let span = self.offsets.span(marks);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let span =
                    if style == ScalarStyle::Plain { span } else { self.offsets.up_to_quote(span) };
                self.refuse_tag(tag.is_some(), span);
                self.scalar(text, style, anchor, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.begin(Origin::YamlList, anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.begin(Origin::YamlMap, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.finish(span),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Problem> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let message = "a second document begins here";
        Err(Problem::error(Code::SYNTAX_YAML_DOCUMENTS, message, span)
            .help("keep one document in a file; -f takes several files"))
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged && !self.problems.is_full() {
            let message = "a value has a tag";
            let problem = Problem::error(Code::SYNTAX_YAML_TAG, message, span);
            self.problems.push(problem.help("write the plain value; the key decides the type"));
        }
    }

    /// Takes the key that waits in the innermost map; `None` where a key itself is due.
    fn take_key(&mut self) -> Option<(Cow<'a, str>, Option<Span>)> {
        match self.open.last_mut() {
            Some(open) if open.entry.origin == Origin::YamlMap => {
                open.key.take().map(|(key, span)| (key, Some(span)))
            }
            Some(_) | None => Some((Cow::Borrowed(""), None)),
        }
    }

    fn begin(&mut self, origin: Origin, anchor: usize, span: Span) -> Result<(), Problem> {
        let Some((key, key_span)) = self.take_key() else {
            return Err(refuse::key(span));
        };
        if self.open.len() > Limits::DEPTH {
            let message = format!("more than {} levels are open here", Limits::DEPTH);
            return Err(Problem::error(Code::LIMIT_DEPTH, message, span)
                .help("a file this deep is refused"));
        }
        self.budget.node(span)?;
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor { span, entry: None });
        }
        let key_span = key_span.unwrap_or(span);
        let entry = Entry {
            key,
            key_span,
            span: key_span.to(span),
            items: Vec::new(),
            fields: Vec::new(),
            origin,
        };
        self.open.push(Open { entry, key: None, anchor });
        Ok(())
    }

    fn finish(&mut self, span: Span) -> Result<(), Problem> {
        let Some(mut open) = self.open.pop() else { return Ok(()) };
        open.entry.span = open.entry.span.to(span);
        open.entry.fields.shrink_to_fit();
        if let Some(Anchor { span, .. }) = self.anchors.get(&open.anchor) {
            self.keep(open.anchor, *span, &open.entry)?;
        }
        self.attach(open.entry);
        Ok(())
    }

    /// Remembers the scalar that an anchor names, if there is an anchor.
    fn name(&mut self, anchor: usize, span: Span, entry: &Entry<'a>) -> Result<(), Problem> {
        if anchor == 0 {
            return Ok(());
        }
        self.keep(anchor, span, entry)
    }

    /// Remembers what an anchor names.
    fn keep(&mut self, anchor: usize, span: Span, entry: &Entry<'a>) -> Result<(), Problem> {
        let nodes = count(entry);
        self.kept_nodes += nodes;
        if self.kept_nodes > ANCHORED_NODES_MAX {
            let message = "the anchors of this file name too much";
            return Err(Problem::error(Code::LIMIT_ALIAS_NODES, message, span)
                .help("use `templates` instead"));
        }
        self.anchors.insert(anchor, Anchor { span, entry: Some((entry.clone(), nodes)) });
        Ok(())
    }

    fn attach(&mut self, entry: Entry<'a>) {
        match self.open.last_mut() {
            None => self.root = Some(entry),
            Some(open) => {
                open.entry.span = open.entry.span.to(entry.span);
                let in_list = open.entry.origin == Origin::YamlList;
                if in_list && entry.origin == Origin::YamlScalar {
                    open.entry.items.extend(entry.items);
                } else {
                    open.entry.fields.push(entry);
                }
            }
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        anchor: usize,
        span: Span,
    ) -> Result<(), Problem> {
        let Some((key, key_span)) = self.take_key() else {
            return self.key(text, style, anchor, span);
        };
        let entry = leaf((key, key_span), text, style, span);
        self.budget.scalar(&entry.items[0])?;
        self.name(anchor, span, &entry)?;
        self.attach(entry);
        Ok(())
    }

    fn key(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        anchor: usize,
        span: Span,
    ) -> Result<(), Problem> {
        if kind(&text, style) == ScalarKind::Nothing {
            return Err(refuse::key(span));
        }
        if text == "<<" && style == ScalarStyle::Plain {
            let problem = Problem::error(Code::SYNTAX_YAML_MERGE_KEY, "`<<` is a merge key", span);
            return Err(problem.help("share what is common through `templates` and `from`"));
        }
        self.budget.key(&text, span)?;
        if anchor != 0 {
            let named = leaf((Cow::Borrowed(""), None), text.clone(), style, span);
            self.name(anchor, span, &named)?;
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some((text, span));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Problem> {
        let Some((key, key_span)) = self.take_key() else {
            return Err(refuse::key(span));
        };
        let Some(kept) = self.anchors.get(&anchor) else {
            let problem = Problem::error(Code::SYNTAX_YAML, "an alias of nothing", span);
            return Err(problem.help("write &NAME before the value that it means, further up"));
        };
        let Some((entry, nodes)) = &kept.entry else {
            let message = "an alias stands inside what it names";
            return Err(Problem::error(Code::SYNTAX_YAML, message, span)
                .related(kept.span, "the anchor is here")
                .help("write the value out"));
        };
        self.alias_nodes += nodes;
        if self.alias_nodes > Limits::ALIAS_NODES {
            let message =
                format!("the aliases of this file make more than {} nodes", Limits::ALIAS_NODES);
            return Err(Problem::error(Code::LIMIT_ALIAS_NODES, message, span)
                .related(kept.span, "the anchor is here")
                .help("share what is common through `templates` and `from`"));
        }
        let mut entry = entry.clone();
        entry.key = key;
        entry.key_span = key_span.unwrap_or(span);
        if self.open.len() + depth(&entry) > Limits::DEPTH + 1 {
            let message = format!("an alias makes more than {} levels", Limits::DEPTH);
            return Err(Problem::error(Code::LIMIT_DEPTH, message, span)
                .help("a file this deep is refused"));
        }
        self.attach(entry);
        Ok(())
    }
}

/// Returns the entry of one scalar under its key; its own place stands in where there is no key.
fn leaf<'a>(
    (key, key_span): (Cow<'a, str>, Option<Span>),
    text: Cow<'a, str>,
    style: ScalarStyle,
    span: Span,
) -> Entry<'a> {
    let kind = kind(&text, style);
    let span = if kind == ScalarKind::Nothing { Span { end: span.start, ..span } } else { span };
    let key_span = key_span.unwrap_or(span);
    Entry {
        key,
        key_span,
        span: key_span.to(span),
        items: vec![Scalar::new(text, kind, span)],
        fields: Vec::new(),
        origin: Origin::YamlScalar,
    }
}

/// Nodes that anchors may name in all; nested anchors count each time.
const ANCHORED_NODES_MAX: usize = 100_000;

/// Returns how many keys and values an entry has. Depth is bounded by the limits.
fn count(entry: &Entry<'_>) -> usize {
    1 + entry.items.len() + entry.fields.iter().map(count).sum::<usize>()
}

/// Returns how many levels an entry opens.
fn depth(entry: &Entry<'_>) -> usize {
    match entry.origin {
        Origin::YamlScalar | Origin::Property | Origin::Node => 0,
        Origin::YamlList | Origin::YamlMap | Origin::Block => {
            1 + entry.fields.iter().map(depth).max().unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests;
