//! Reading the values of a document, one by one, with their places noted.

use std::path::{Component, Path, PathBuf};

use super::ResolveInputs;
use crate::project::{GuestPath, Origins};
use crate::sandboxfile::document::{Content, Group, Item};
use crate::sandboxfile::keys::{Shape, Type};
use crate::sandboxfile::problem::{Code, Problem, Problems};
use crate::sandboxfile::source::{Format, SourceFile, Sources};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value::{self, Read};
use crate::units::{Bytes, Millis};

/// What every reading of a value needs.
pub(super) struct Decoder<'s, 'p> {
    pub(super) sources: &'s Sources,
    files: &'s [SourceFile],
    pub(super) inputs: &'s ResolveInputs,
    pub(super) problems: &'p mut Problems,
    origins: Origins,
    /// What is being read: `sandbox.web`.
    pub(super) address: String,
}

impl<'s, 'p> Decoder<'s, 'p> {
    pub(super) fn new(
        sources: &'s Sources,
        files: &'s [SourceFile],
        inputs: &'s ResolveInputs,
        problems: &'p mut Problems,
    ) -> Self {
        let (origins, address) = (Origins::default(), String::new());
        Self { sources, files, inputs, problems, origins, address }
    }

    pub(super) fn into_origins(self) -> Origins {
        self.origins
    }

    /// Notes where a field of what is being read was written.
    pub(super) fn note(&mut self, field: &str, at: Span) {
        let mut path = String::with_capacity(self.address.len() + field.len() + 1);
        path.push_str(&self.address);
        if !field.is_empty() {
            path.push('.');
            path.push_str(field);
        }
        self.origins.insert(path, self.sources.place(at));
    }

    /// Returns whether the file of `span` is YAML.
    pub(super) fn is_yaml(&self, span: Span) -> bool {
        let file = self.files.get(usize::from(span.file));
        file.is_some_and(|file| file.format == Format::Yaml)
    }

    /// Takes a value, or reports why there is none.
    pub(super) fn take<T>(&mut self, read: Read<T>) -> Option<T> {
        read.map_err(|problem| self.problems.push(problem)).ok()
    }

    pub(super) fn error(&mut self, code: Code, message: impl Into<String>, at: Span, help: &str) {
        self.problems.push(Problem::error(code, message, at).help(help));
    }

    /// Returns the scalar of a key, with its type, and notes its place as `field`.
    pub(super) fn scalar<'g, 'a>(
        &mut self,
        group: &'g Group<'a>,
        name: &str,
        field: &str,
    ) -> Option<(&'g Scalar<'a>, Type)> {
        let item = group.get(name)?;
        let (Content::Scalar(scalar), Shape::Scalar(ty)) = (&item.content, item.key.shape) else {
            return None;
        };
        self.note(field, item.at);
        Some((scalar, ty))
    }

    /// Returns the group of a line or block, and notes its place.
    pub(super) fn group<'g, 'a>(
        &mut self,
        group: &'g Group<'a>,
        name: &str,
    ) -> Option<(&'g Item<'a>, &'g Group<'a>)> {
        let (item, inner) = group.group(name)?;
        self.note(name, item.at);
        Some((item, inner))
    }

    /// Returns the value that a line or block begins with, and its type.
    pub(super) fn principal<'g, 'a>(
        item: &Item<'a>,
        group: &'g Group<'a>,
    ) -> Option<(&'g Scalar<'a>, Type)> {
        let ty = match item.key.shape {
            Shape::Line { principal, .. } => principal.ty,
            Shape::Block { principal, .. } => principal?.ty,
            _ => return None,
        };
        group.principal.as_ref().map(|scalar| (scalar, ty))
    }

    pub(super) fn choice(&mut self, group: &Group<'_>, name: &str) -> Option<&'static str> {
        let (scalar, ty) = self.scalar(group, name, name)?;
        let Type::Choice(words) = ty else { return None };
        self.take(value::choice(scalar, words))
    }

    pub(super) fn boolean(&mut self, group: &Group<'_>, name: &str, field: &str) -> Option<bool> {
        let (scalar, _) = self.scalar(group, name, field)?;
        let read = value::boolean(scalar, self.is_yaml(scalar.span));
        self.take(read)
    }

    pub(super) fn size(&mut self, group: &Group<'_>, name: &str) -> Option<Bytes> {
        let (scalar, ty) = self.scalar(group, name, name)?;
        self.take(value::size(scalar, bounds(ty)))
    }

    pub(super) fn duration(
        &mut self,
        group: &Group<'_>,
        name: &str,
        field: &str,
    ) -> Option<Millis> {
        let (scalar, ty) = self.scalar(group, name, field)?;
        let Type::Duration(least) = ty else { return None };
        self.take(value::duration(scalar, least))
    }

    pub(super) fn guest_path(&mut self, group: &Group<'_>, name: &str) -> Option<GuestPath> {
        let (scalar, _) = self.scalar(group, name, name)?;
        let help = "write a path of the guest from its root, such as \"/srv\"";
        self.take(value::checked(scalar, Code::VALUE_PATH, GuestPath::parse, help))
    }

    /// Reads a list of texts.
    pub(super) fn words(&mut self, group: &Group<'_>, name: &str) -> Option<Vec<String>> {
        let item = group.get(name)?;
        let (Content::List(items), Shape::List(ty)) = (&item.content, item.key.shape) else {
            return None;
        };
        let mut words = Vec::with_capacity(items.len());
        for scalar in items {
            let read = value::text(scalar, most(ty)).map(str::to_owned);
            words.push(self.take(read)?);
        }
        Some(words)
    }

    /// Makes a host path absolute: by the folder of its file, or by the home of the user.
    pub(super) fn host_path(&mut self, scalar: &Scalar<'_>) -> Option<PathBuf> {
        let read = value::text(scalar, HOST_PATH_BYTES_MAX).map(str::to_owned);
        let text = self.take(read)?;
        let folder = self.inputs.folders.get(usize::from(scalar.span.file));
        let folder = folder.unwrap_or(&self.inputs.folder);
        let path = match text.strip_prefix('~') {
            None => folder.join(&text),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                self.inputs.home.join(rest.trim_start_matches('/'))
            }
            Some(_) => {
                let help = "write the path from the root, or ~/ for your own home";
                let message = "the home of another user is not looked up";
                self.error(Code::VALUE_PATH, message, scalar.span, help);
                return None;
            }
        };
        if text.is_empty() {
            self.error(Code::VALUE_PATH, "the path is empty", scalar.span, "write a path");
            return None;
        }
        Some(without_dots(&path))
    }
}

const HOST_PATH_BYTES_MAX: usize = 4095;

/// Takes `.` and `..` out of the text of a path.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// Returns the most bytes that a type of text has.
pub(super) const fn most(ty: Type) -> usize {
    match ty {
        Type::Text(most) => most,
        _ => usize::MAX,
    }
}

/// Returns the bounds of a type that has some.
pub(super) const fn bounds(ty: Type) -> (u64, u64) {
    match ty {
        Type::Size(least, most) | Type::Count(least, most) => (least, most),
        _ => (0, u64::MAX),
    }
}
