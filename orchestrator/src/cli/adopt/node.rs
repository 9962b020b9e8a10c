//! The nodes that say what a sandbox is, and where they stand in a file.

use std::collections::BTreeMap;
use std::path::Path;

use schema::project::{Definition, External, Project, Volume};
use schema::sandboxfile::describe::YAML_HEAD;
use schema::sandboxfile::print::project::{Fields, Paths, Writer};
use schema::sandboxfile::source::{Format, SourceFile};
use schema::sandboxfile::tree::{Entry, Tree};

use crate::cli::call::Call;
use crate::cli::failure::Failure;
use crate::cli::project_text::{self, Notation};
use crate::cli::reading;
use crate::edit;
use crate::engine::{Adoption, SandboxView};

/// Returns the node of the sandbox, behind those of volumes that `project` does not have.
///
/// # Errors
/// It has no definition, or a path that no file can hold.
pub(super) fn of(
    view: &SandboxView,
    adoption: &Adoption,
    (project, folder, fields): (&Project, &Path, Fields),
) -> Result<Vec<Entry<'static>>, Failure> {
    let body = view.definition.clone().ok_or_else(|| {
        let message = format!("adhoc/{} was never made whole", view.name);
        Failure::new("sandbox::not-found", "state", message)
            .hint(format!("Remove it with `msb rm -f adhoc/{}`.", view.name))
    })?;
    let mut alone = Project::empty(project.name.clone(), project.folder.clone());
    let kind = body.kind;
    let mounts = body.mounts.iter().filter_map(|mount| mount.source.volume());
    let missing: BTreeMap<_, _> = mounts
        .filter(|name| !project.volumes.contains_key(*name))
        .map(|name| {
            let external = Some(External { project: None, name: name.clone() });
            (name.clone(), Volume { external, ..Volume::unsaid() })
        })
        .collect();
    let name = adoption.name.sandbox.clone();
    alone.definitions.insert(name.clone(), Definition { kind, ..Definition::default() });
    alone.sandboxes.insert(adoption.name.clone(), body);
    let paths = folder.to_str().map_or(Paths::Absolute, Paths::Below);
    let writer = Writer::new(&alone, fields, paths);
    let mut nodes: Vec<Entry<'static>> =
        missing.iter().map(|(name, volume)| writer.volume(name, volume)).collect();
    nodes.push(writer.sandbox(&name).map_err(|error| project_text::unwritable(&error))?);
    Ok(nodes)
}

/// Returns the text of a file with the nodes where they belong; every other byte stays.
///
/// # Errors
/// The file is more than an edit takes.
pub(super) fn insert(
    call: &Call,
    file: &SourceFile,
    text: &str,
    nodes: &[Entry<'static>],
) -> Result<String, Failure> {
    let mut text = text.to_owned();
    for node in nodes {
        text = edit::insert_node(&text, node)
            .map_err(|error| reading::of_edit(call, file, &text, error))?;
    }
    Ok(text)
}

/// Returns the nodes as a text of their own.
///
/// # Errors
/// Something of them has no spelling.
pub(super) fn text(nodes: Vec<Entry<'static>>, format: Format) -> Result<String, Failure> {
    let notation = match format {
        Format::Kdl => Notation::Kdl,
        Format::Yaml => Notation::Yaml,
    };
    let text = project_text::spelt(Tree { entries: nodes }, notation)?;
    // The first line of a whole file has no place in the middle of one.
    Ok(text.strip_prefix(YAML_HEAD).map(str::to_owned).unwrap_or(text))
}
