//! Reading the values of a document, one by one, with their places noted.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::gather::ReadFile;
use super::variables::ToldVariable;
use super::{ResolveInputs, Trust};
use crate::project::{GuestPath, Origins};
use crate::sandboxfile::document::{Content, Group, Item};
use crate::sandboxfile::keys::{Shape, Type};
use crate::sandboxfile::merge::{Layering, Trace};
use crate::sandboxfile::problem::{Code, Problem, Problems};
use crate::sandboxfile::source::{Format, Sources};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value::{self, Read};
use crate::units::{Bytes, Millis};

/// What every reading of a value needs.
pub(super) struct Decoder<'s, 'p> {
    pub(super) sources: &'s Arc<Sources>,
    pub(super) read: &'s [ReadFile],
    pub(super) inputs: &'s ResolveInputs,
    pub(super) problems: &'p mut Problems,
    pub(super) layering: Layering,
    /// How many of the files are layers of the project; the others are included.
    pub(super) files_count: usize,
    /// How many bytes interpolation may still make.
    pub(super) room: usize,
    /// How many instances there may still be.
    pub(super) instances_left: usize,
    /// The variables of the project, with their values.
    pub(super) told: Vec<ToldVariable>,
    /// The host variables that variables name.
    pub(super) host_variables: BTreeSet<String>,
    origins: Origins,
    /// What is being read: `sandbox.web`.
    address: String,
    notes: Vec<(Cow<'static, str>, Span)>,
    noting: Noting,
    late: bool,
}

/// Whether places are noted: they are for the first body of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noting {
    On,
    Off,
}

/// What a reading found besides the project.
pub(super) struct Findings {
    pub(super) origins: Origins,
    pub(super) variables: Vec<ToldVariable>,
    pub(super) host_variables: BTreeSet<String>,
    pub(super) trace: Option<Trace>,
}

impl<'s, 'p> Decoder<'s, 'p> {
    pub(super) fn new(
        sources: &'s Arc<Sources>,
        read: &'s [ReadFile],
        inputs: &'s ResolveInputs,
        problems: &'p mut Problems,
        layering: Layering,
    ) -> Self {
        Self {
            sources,
            read,
            inputs,
            problems,
            layering,
            files_count: 0,
            room: inputs.limits.expanded_bytes,
            instances_left: inputs.limits.instances,
            told: Vec::new(),
            host_variables: BTreeSet::new(),
            origins: Origins::of(Arc::clone(sources)),
            address: String::new(),
            notes: Vec::new(),
            noting: Noting::On,
            late: false,
        }
    }

    pub(super) fn into_findings(mut self) -> Findings {
        self.begin(String::new());
        Findings {
            origins: self.origins,
            variables: self.told,
            host_variables: self.host_variables,
            trace: self.layering.into_trace(),
        }
    }

    /// Says what is read from here on.
    pub(super) fn begin(&mut self, address: String) {
        if !self.notes.is_empty() {
            self.origins.at(&self.address).append(&mut self.notes);
        }
        self.address = address;
    }

    /// Reads something that belongs to another address.
    pub(super) fn apart<T>(&mut self, address: String, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.address.clone();
        self.begin(address);
        let found = read(self);
        self.begin(before);
        found
    }

    /// Says whether places are noted from here on.
    pub(super) const fn noting(&mut self, noting: Noting) {
        self.noting = noting;
    }

    /// Notes where a field of what is being read was written.
    pub(super) fn note(&mut self, field: impl Into<Cow<'static, str>>, at: Span) {
        if self.noting == Noting::On {
            self.notes.push((field.into(), at));
        }
    }

    /// Notes a field whose path has parts that the file names; the path is made only if needed.
    pub(super) fn note_with(&mut self, field: impl FnOnce() -> String, at: Span) {
        if self.noting == Noting::On {
            self.notes.push((field().into(), at));
        }
    }

    /// Returns the start of the first file, for what is written nowhere.
    pub(super) const fn start(&self) -> Span {
        Span { file: 0, start: 0, end: 0 }
    }

    /// Tells whether the time for the reading is over; it is said once.
    pub(super) fn is_late(&mut self, at: Span) -> bool {
        if !self.late && self.inputs.late.is_over() {
            self.late = true;
            let message = "reading these files takes too long";
            let problem = Problem::error(Code::LIMIT_SECONDS, message, at);
            self.problems.push(problem.help("raise limits { seconds } in config.kdl"));
        }
        self.late
    }

    /// Returns whether the file of `span` is YAML.
    pub(super) fn is_yaml(&self, span: Span) -> bool {
        let file = self.read.get(usize::from(span.file));
        file.is_some_and(|file| file.format == Format::Yaml)
    }

    /// Takes a value, or reports why there is none.
    pub(super) fn take<T>(&mut self, read: Read<T>) -> Option<T> {
        read.map_err(|problem| self.problems.push(problem)).ok()
    }

    pub(super) fn error(&mut self, code: Code, message: impl Into<String>, at: Span, help: &str) {
        self.problems.push(Problem::error(code, message, at).help(help));
    }

    /// Refuses two things that exclude each other; `at` is where to edit.
    pub(super) fn conflict(&mut self, message: &str, (at, other): (Span, Span), help: &str) {
        let problem = Problem::error(Code::SCHEMA_CONFLICT, message, at)
            .related(other, "the other is here")
            .help(help);
        self.problems.push(problem);
    }

    /// Returns the scalar of a key, with its type, and notes its place as `field`.
    pub(super) fn scalar<'g, 'a>(
        &mut self,
        group: &'g Group<'a>,
        name: &str,
        field: impl Into<Cow<'static, str>>,
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
        name: &'static str,
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

    pub(super) fn choice(
        &mut self,
        group: &Group<'_>,
        name: &str,
        field: impl Into<Cow<'static, str>>,
    ) -> Option<&'static str> {
        let (scalar, ty) = self.scalar(group, name, field)?;
        let Type::Choice(words) = ty else { return None };
        self.take(value::choice(scalar, name, words))
    }

    pub(super) fn boolean(
        &mut self,
        group: &Group<'_>,
        name: &str,
        field: impl Into<Cow<'static, str>>,
    ) -> Option<bool> {
        let (scalar, _) = self.scalar(group, name, field)?;
        let read = value::boolean(scalar, self.is_yaml(scalar.span));
        self.take(read)
    }

    pub(super) fn count(
        &mut self,
        group: &Group<'_>,
        name: &str,
        field: impl Into<Cow<'static, str>>,
    ) -> Option<u32> {
        let (scalar, ty) = self.scalar(group, name, field)?;
        self.take(value::count(scalar, bounds(ty))).and_then(|count| u32::try_from(count).ok())
    }

    pub(super) fn size(
        &mut self,
        group: &Group<'_>,
        name: &str,
        field: impl Into<Cow<'static, str>>,
    ) -> Option<Bytes> {
        let (scalar, ty) = self.scalar(group, name, field)?;
        self.take(value::size(scalar, bounds(ty)))
    }

    pub(super) fn duration(
        &mut self,
        group: &Group<'_>,
        name: &str,
        field: impl Into<Cow<'static, str>>,
    ) -> Option<Millis> {
        let (scalar, ty) = self.scalar(group, name, field)?;
        let Type::Duration(least) = ty else { return None };
        self.take(value::duration(scalar, least))
    }

    pub(super) fn guest_path(
        &mut self,
        group: &Group<'_>,
        name: &'static str,
    ) -> Option<GuestPath> {
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

    /// Reads a regular expression, and returns its text.
    pub(super) fn regex(&mut self, scalar: &Scalar<'_>) -> Option<String> {
        let rule = |text: &str| {
            if text.len() > REGEX_BYTES_MAX {
                return Err(format!("a regular expression has at most {REGEX_BYTES_MAX} bytes"));
            }
            regex::RegexBuilder::new(text)
                .size_limit(REGEX_COMPILED_BYTES_MAX)
                .build()
                .map(|_| text.to_owned())
                .map_err(|error| not_a_regex(&error))
        };
        let help = "write it in the dialect of the regex crate; it has no look-around";
        self.take(value::checked(scalar, Code::VALUE_REGEX, rule, help))
    }

    /// Returns the folder of the file that a place is in.
    pub(super) fn folder_of(&self, at: Span) -> &'s Path {
        let read = self.read.get(usize::from(at.file));
        read.map_or(&self.inputs.folder, |read| &read.folder)
    }

    /// Makes a host path absolute: by the folder of its file, or by the home of the user.
    pub(super) fn host_path(&mut self, scalar: &Scalar<'_>) -> Option<PathBuf> {
        let read = value::text(scalar, HOST_PATH_BYTES_MAX).map(str::to_owned);
        let text = self.take(read)?;
        let folder = self.folder_of(scalar.span);
        let Some(path) = rooted(&text, folder, &self.inputs.home) else {
            let help = "write the path from the root, or ~/ for your own home";
            let message = "the home of another user is not looked up";
            self.error(Code::VALUE_PATH, message, scalar.span, help);
            return None;
        };
        if text.is_empty() {
            self.error(Code::VALUE_PATH, "the path is empty", scalar.span, "write a path");
            return None;
        }
        if self.inputs.trust == Trust::Untrusted && !path.starts_with(folder) {
            let message = "the path lies outside the folder of its file";
            let help = "paths of files from strangers lie below the file; leave --untrusted out \
                        if you trust it";
            self.error(Code::FILE_OUTSIDE, message, scalar.span, help);
            return None;
        }
        Some(path)
    }
}

pub(super) const REGEX_BYTES_MAX: usize = 512;
pub(super) const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;
const HOST_PATH_BYTES_MAX: usize = 4095;

/// Returns a path from the root, by the folder of its file or the home of the user; `None` for the
/// home of somebody else.
pub(super) fn rooted(text: &str, folder: &Path, home: &Path) -> Option<PathBuf> {
    let path = match text.strip_prefix('~') {
        None => folder.join(text),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        Some(_) => return None,
    };
    Some(without_dots(&path))
}

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

/// Says why a text is no regular expression, on one line.
pub(super) fn not_a_regex(error: &regex::Error) -> String {
    let told = error.to_string();
    // The crate draws the place above its last line.
    let last = told.lines().last().unwrap_or_default();
    match error {
        regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
        _ => format!("this is not a regular expression: {}", last.trim_start_matches("error: ")),
    }
}
