//! A project written as a file of its own, proved to read back as the same project.

use std::collections::BTreeSet;

use clap::ValueEnum;
use schema::name::{InstanceName, ProjectName};
use schema::project::Project;
use schema::sandboxfile::describe::YAML_HEAD;
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::print::project::{Fields, Paths, Unwritable, Writer};
use schema::sandboxfile::print::{self, Order};
use schema::sandboxfile::problem::Problem;
use schema::sandboxfile::resolve::{ResolveInputs, resolve};
use schema::sandboxfile::source::{Format, SourceFile};
use schema::sandboxfile::tree::Tree;

use super::call::Call;
use super::failure::Failure;

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Notation {
    /// KDL 2
    Kdl,
    /// YAML 1.2
    Yaml,
    /// JSON, which the YAML reader reads
    Json,
}

impl Notation {
    /// Returns the format that reads it.
    const fn format(self) -> Format {
        match self {
            Self::Kdl => Format::Kdl,
            Self::Yaml | Self::Json => Format::Yaml,
        }
    }
}

/// How a project is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'p> {
    /// In which notation.
    pub(crate) notation: Notation,
    /// Which fields.
    pub(crate) fields: Fields,
    /// How paths of the host.
    pub(crate) paths: Paths<'p>,
}

/// Who takes part in reading it back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// The profiles that are active.
    pub(crate) profiles: BTreeSet<String>,
    /// The sandboxes that are named.
    pub(crate) named: BTreeSet<InstanceName>,
}

/// Returns a project as a text that resolves to an equal project.
///
/// # Errors
/// Something of it has no spelling, or the text would not say the same.
pub(crate) fn proved(
    call: &Call,
    project: &Project,
    form: Form<'_>,
    part: Part,
) -> Result<String, Failure> {
    let written = text(project, form)?;
    let found = read(call, project, &written, (form.notation, part))?;
    if found == *project {
        return Ok(written);
    }
    Err(Failure::internal("the project as a file would not say the same")
        .note("nothing was written"))
}

fn text(project: &Project, form: Form<'_>) -> Result<String, Failure> {
    let tree = Writer::new(project, form.fields, form.paths).tree().map_err(|e| unwritable(&e))?;
    spelt(tree, form.notation)
}

/// Returns a tree as text.
///
/// # Errors
/// Something of it has no spelling.
pub(crate) fn spelt(tree: Tree<'_>, notation: Notation) -> Result<String, Failure> {
    let text = match notation {
        Notation::Kdl => print::tree(tree, Format::Kdl, Order::Table),
        Notation::Yaml => {
            print::tree(tree, Format::Yaml, Order::Table).map(|text| format!("{YAML_HEAD}{text}"))
        }
        Notation::Json => print::json_tree(tree, Order::Table).map(|v| print::json_text(&v)),
    };
    text.map_err(|problems| {
        let said: Vec<String> =
            problems.into_iter().map(|problem: Problem| problem.message).collect();
        Failure::internal("the project cannot be written as a file").cause(said.join("; "))
    })
}

/// Returns the failure of a path that no file can hold.
pub(crate) fn unwritable(error: &Unwritable) -> Failure {
    Failure::of("msb::value::path", "file", error)
        .hint("Rename what it names, and the path with it.")
}

/// Reads a written project back, in the place of the one that it was written from.
///
/// # Errors
/// It is no valid file.
pub(crate) fn read(
    call: &Call,
    project: &Project,
    text: &str,
    (notation, part): (Notation, Part),
) -> Result<Project, Failure> {
    let bytes = text.as_bytes().to_vec();
    let size = bytes.len().max(1 << 20);
    let file = SourceFile { path: "<written>".into(), bytes, format: notation.format() };
    let no_name = project.name.as_str() == ProjectName::ADHOC;
    let inputs = ResolveInputs {
        folder: project.folder.clone(),
        name: no_name.then(|| project.name.clone()),
        home: call.context.environment.get("HOME").unwrap_or_default().into(),
        profiles: part.profiles,
        named: part.named,
        limits: Limits { file_bytes: size, total_bytes: size, ..call.limits() },
        ..ResolveInputs::default()
    };
    let resolved = resolve(&[file], &inputs).map_err(|failed| {
        Failure::internal("the project as a file would not be valid").cause(failed.plain())
    })?;
    Ok(resolved.project)
}
