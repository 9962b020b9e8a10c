//! From what the KDL reader says to the tree, under the limits.

use std::borrow::Cow;

use super::kdl::{self, Placed, Sink};
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::problem::{Code, Problem, Problems, shown};
use crate::sandboxfile::tree::{Entry, Origin, Scalar, Span, Tree};

/// Reads KDL into a tree; what is refused without ending the reading is added to `problems`.
pub fn kdl<'a>(
    text: &'a str,
    file: u16,
    limits: &Limits,
    problems: &mut Problems,
) -> Option<Tree<'a>> {
    let mut builder =
        Builder { text, open: Vec::new(), done: Vec::new(), budget: Budget::new(limits), problems };
    match kdl::read(text, file, &mut builder) {
        Ok(()) => Some(Tree { entries: builder.done }),
        Err(problem) => {
            builder.problems.push(problem);
            None
        }
    }
}

/// How many nodes and bytes may still come.
#[derive(Debug)]
pub(super) struct Budget {
    nodes: usize,
    nodes_max: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { nodes: 0, nodes_max: limits.nodes() }
    }

    /// Counts one node at `span`.
    pub(super) fn node(&mut self, span: Span) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes <= self.nodes_max { Ok(()) } else { Err(self.exceeded(span)) }
    }

    /// Returns what there is to say about the node at `span`, which is one too many.
    pub(super) fn exceeded(&self, span: Span) -> Problem {
        let message = format!("the file has more than {} keys and values", self.nodes_max);
        Problem::error(Code::LIMIT_NODES, message, span)
            .help("split the file, or raise limits { file-bytes } in config.kdl")
    }

    /// Counts one value.
    pub(super) fn scalar(&mut self, value: &Scalar<'_>) -> Result<(), Problem> {
        if value.text.len() > Limits::SCALAR_BYTES {
            let message = format!("a value has more than {} bytes", Limits::SCALAR_BYTES);
            return Err(Problem::error(Code::LIMIT_SCALAR_BYTES, message, value.span)
                .help("keep large text in a file of its own"));
        }
        self.node(value.span)
    }

    /// Counts one key.
    pub(super) fn key(&mut self, key: &str, span: Span) -> Result<(), Problem> {
        if key.len() > Limits::KEY_BYTES {
            let message = format!("a key has more than {} bytes", Limits::KEY_BYTES);
            return Err(Problem::error(Code::LIMIT_KEY_BYTES, message, span).help("shorten it"));
        }
        self.node(span)
    }
}

struct Builder<'a, 'p> {
    text: &'a str,
    open: Vec<Entry<'a>>,
    done: Vec<Entry<'a>>,
    budget: Budget,
    problems: &'p mut Problems,
}

impl<'a> Builder<'a, '_> {
    fn refuse_annotation(&mut self, annotation: Option<Placed<'a>>) {
        let Some((name, span)) = annotation.filter(|_| !self.problems.is_full()) else { return };
        let message = format!("`({})` is a type annotation; msb has none", shown(&name));
        let problem = Problem::error(Code::SYNTAX_TYPE_ANNOTATION, message, span);
        self.problems.push(problem.help("delete it; the key decides the type"));
    }

    /// Takes the colon off `key:`, and says that KDL has none.
    fn without_colon(&mut self, (name, span): Placed<'a>) -> Placed<'a> {
        let written = &self.text[span.start as usize..span.end as usize];
        if !written.ends_with(':') {
            return (name, span);
        }
        let bare = name.trim_end_matches(':').to_owned();
        let message = format!("`{}` has a colon", shown(&name));
        let problem = Problem::error(Code::SYNTAX_EQUALS_SIGN, message, span)
            .help(format!("write {} and the value after a blank", shown(&bare)));
        self.problems.push(problem);
        (Cow::Owned(bare), span)
    }

    fn top(&mut self) -> &mut Entry<'a> {
        self.open.last_mut().expect("the reader names a node before anything of it")
    }
}

impl<'a> Sink<'a> for Builder<'a, '_> {
    fn node(&mut self, annotation: Option<Placed<'a>>, name: Placed<'a>) -> Result<(), Problem> {
        self.refuse_annotation(annotation);
        let (key, key_span) = self.without_colon(name);
        self.budget.key(&key, key_span)?;
        self.open.push(Entry {
            key,
            key_span,
            span: key_span,
            items: Vec::new(),
            fields: Vec::new(),
            origin: Origin::Node,
        });
        Ok(())
    }

    fn argument(
        &mut self,
        annotation: Option<Placed<'a>>,
        value: Scalar<'a>,
    ) -> Result<(), Problem> {
        self.refuse_annotation(annotation);
        self.budget.scalar(&value)?;
        let top = self.top();
        top.span = top.span.to(value.span);
        // Most nodes have one argument; room for four would be most of the tree.
        if top.items.is_empty() {
            top.items.reserve_exact(1);
        }
        top.items.push(value);
        Ok(())
    }

    fn property(
        &mut self,
        (key, key_span): Placed<'a>,
        annotation: Option<Placed<'a>>,
        value: Scalar<'a>,
    ) -> Result<(), Problem> {
        self.refuse_annotation(annotation);
        self.budget.key(&key, key_span)?;
        self.budget.scalar(&value)?;
        let span = key_span.to(value.span);
        let top = self.top();
        top.span = top.span.to(span);
        let (items, fields) = (vec![value], Vec::new());
        top.fields.push(Entry { key, key_span, span, items, fields, origin: Origin::Property });
        Ok(())
    }

    fn open(&mut self, brace: Span) -> Result<(), Problem> {
        self.top().origin = Origin::Block;
        let at = brace.start as usize;
        if self.text[..at].ends_with('$') {
            let name: String = self.text[at + 1..].chars().take_while(|c| *c != '}').collect();
            let name = shown(name.trim());
            let message = format!("`${{{name}}}` outside quotes is not a variable");
            let span = Span { start: brace.start - 1, ..brace };
            return Err(Problem::error(Code::SYNTAX_BARE_INTERPOLATION, message, span).help(
                format!(
                    "write \"${{{name}}}\"; without quotes KDL reads the word `$` and a block named {name}"
                ),
            ));
        }
        Ok(())
    }

    fn close(&mut self, brace: Span) {
        let top = self.top();
        top.span = top.span.to(brace);
    }

    fn end(&mut self, _byte: u32) {
        let Some(mut entry) = self.open.pop() else { return };
        entry.fields.shrink_to_fit();
        match self.open.last_mut() {
            Some(parent) => parent.fields.push(entry),
            None => self.done.push(entry),
        }
    }
}
