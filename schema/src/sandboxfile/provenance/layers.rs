//! Which layer a place of a file belongs to: the file's own node, a template, the project, another file.

use std::fmt;
use std::path::Path;

use crate::sandboxfile::document::{Content, Group};
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::source::{Format, Sources};
use crate::sandboxfile::tree::Span;

/// What a value was written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Nothing: it holds by itself.
    Default,
    /// What a file says of the project.
    Project,
    /// What a file says of all its sandboxes, under this key.
    Shared(String),
    /// A template of this name.
    Template(String),
    /// The node of the definition itself.
    File,
    /// That in the local file, which lies on top.
    Local,
    /// An included file, by its path.
    Include(String),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Project => f.write_str("project"),
            Self::Shared(key) => f.write_str(key),
            Self::Template(name) => write!(f, "template {name}"),
            Self::File => f.write_str("file"),
            Self::Local => f.write_str("local"),
            Self::Include(path) => write!(f, "include {path}"),
        }
    }
}

/// The nodes at the top of every file, by where they begin.
pub(super) struct Layers(Vec<File>);

struct File {
    /// What its nodes are where they are the definition's own.
    whole: Layer,
    /// Where each node that is something else begins, and each that is not; in order.
    nodes: Vec<(u32, Option<Layer>)>,
}

impl Layers {
    /// Reads the files again as far as their outermost keys; the first `given` are not included.
    pub(super) fn of(sources: &Sources, given: usize) -> Self {
        let files = sources.files().iter().enumerate().map(|(index, file)| {
            let name = Path::new(&file.name);
            let stem = name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let whole = if index >= given {
                Layer::Include(file.name.clone())
            } else if stem.starts_with("Sandboxfile.local.") {
                Layer::Local
            } else {
                Layer::File
            };
            let format = Format::of(name).unwrap_or(Format::Kdl);
            let read = |format| Group::read(&file.text, format, &Limits::again(&file.text));
            let document = read(format).or_else(|_| read(Format::Yaml));
            let nodes = document.map(|document| nodes(&document)).unwrap_or_default();
            File { whole, nodes }
        });
        Self(files.collect())
    }

    /// Returns the layer of a place.
    pub(super) fn of_span(&self, span: Span) -> Layer {
        let Some(file) = self.0.get(usize::from(span.file)) else { return Layer::File };
        let after = file.nodes.partition_point(|(start, _)| *start <= span.start);
        let node = after.checked_sub(1).and_then(|at| file.nodes[at].1.clone());
        match (&file.whole, node) {
            (Layer::Include(_), _) | (_, None) => file.whole.clone(),
            (_, Some(layer)) => layer,
        }
    }
}

fn nodes(document: &Group<'_>) -> Vec<(u32, Option<Layer>)> {
    let mut nodes = Vec::new();
    for item in &document.items {
        match &item.content {
            Content::Keyed(members) => nodes.extend(members.iter().map(|member| {
                let is_template = item.key.name == "template";
                let layer = is_template.then(|| Layer::Template(member.name.to_string()));
                (member.at.start, layer)
            })),
            _ if item.key.name == "project" => nodes.push((item.at.start, Some(Layer::Project))),
            _ => nodes.push((item.at.start, Some(Layer::Shared(item.key.name.to_owned())))),
        }
    }
    nodes.sort_by_key(|(start, _)| *start);
    nodes
}
