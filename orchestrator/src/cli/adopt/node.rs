//! Nodes as a text of their own, and where they stand in a file.

use schema::sandboxfile::describe::YAML_HEAD;
use schema::sandboxfile::source::{Format, SourceFile};
use schema::sandboxfile::tree::{Entry, Tree};

use crate::cli::call::Call;
use crate::cli::failure::Failure;
use crate::cli::project_text::{self, Notation};
use crate::cli::reading;
use crate::edit;

/// Returns the text of a file with the nodes where they belong; every other byte stays.
///
/// # Errors
/// The file is more than an edit takes, or laid out so that nothing goes in.
pub(super) fn insert(
    call: &Call,
    file: &SourceFile,
    text: &str,
    nodes: &[Entry<'static>],
) -> Result<String, Failure> {
    let mut text = text.to_owned();
    for node in nodes {
        let after = match file.format {
            Format::Kdl => edit::insert_node(&text, node),
            Format::Yaml => edit::insert_yaml_node(&text, node),
        };
        text = after.map_err(|error| reading::of_edit(call, file, &text, error))?;
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
