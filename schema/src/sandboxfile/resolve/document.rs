//! Stages three and four: trees to documents, and the layers of a project over one another.

use super::decode::Decoder;
use super::gather::parse;
use crate::sandboxfile::document::{Content, Group};
use crate::sandboxfile::merge;
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::shape::shape;
use crate::sandboxfile::source::Format;
use crate::sandboxfile::tree::Span;

impl<'s> Decoder<'s, '_> {
    /// Reads one file as a document.
    pub(super) fn document(&mut self, number: usize) -> Option<Group<'s>> {
        let text = self.sources.files()[number].text.as_str();
        let file = u16::try_from(number).unwrap_or(u16::MAX);
        let format = self.read[number].format;
        let tree = parse(text, file, format, &self.inputs.limits, self.problems)?;
        Some(shape(tree, format == Format::Yaml, self.problems))
    }

    /// Lays the first `count` files over one another; after an error of syntax there is nothing,
    /// since what a file defines is then unknown.
    pub(super) fn layers(&mut self, count: usize) -> Option<Group<'s>> {
        self.files_count = count;
        let documents: Vec<Option<Group<'s>>> =
            (0..count).map(|number| self.document(number)).collect();
        let mut layers = Vec::with_capacity(count);
        for document in documents {
            layers.push(document?);
        }
        let mut layers = layers.into_iter().enumerate();
        let Some((_, mut merged)) = layers.next() else { return Some(Group::default()) };
        for (number, layer) in layers {
            let name = self.sources.files()[number].name.as_str();
            self.layering.enter("", name);
            merged = self.layering.lay(merged, layer, "");
        }
        Some(merged)
    }

    fn nothing_below(&mut self, at: Span) {
        let message = "there is no layer below that something could be removed from";
        let help = "delete the line; `remove` is for further files, and beside `from`";
        self.error(Code::SCHEMA_CONFLICT, message, at, help);
    }

    /// Says of every removal whether it found what it names; all layers are laid by now.
    pub(super) fn removals(&mut self, document: &Group<'_>) {
        self.judge_removals(document);
        for item in &document.items {
            let (Content::Keyed(members), "sandbox" | "job" | "template") =
                (&item.content, item.key.name)
            else {
                continue;
            };
            for group in members.iter().filter_map(|member| member.group()) {
                self.judge_removals(group);
            }
        }
    }

    fn judge_removals(&mut self, body: &Group<'_>) {
        for named in merge::names(body) {
            match self.layering.was_removed(named.at) {
                Some(true) => {}
                Some(false) => {
                    let name = crate::sandboxfile::problem::shown(named.name);
                    let message = format!("no layer below has `{name}` in `{}`", named.list);
                    let code = Code::REF_NOTHING_TO_REMOVE;
                    let problem = Problem::warning(code, message, named.at);
                    self.problems.push(problem.help("delete it, or write the name that is there"));
                }
                None => self.nothing_below(named.at),
            }
        }
    }
}
