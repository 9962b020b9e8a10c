//! Print schemas: of the file, of a plan, of what commands print, of the commands

mod shapes;
mod tree;

use clap::{CommandFactory, ValueEnum};
use schema::sandboxfile::describe::{self, Keys};

use super::Cli;
use super::call::Call;
use super::ending::Ending;

/// Print the JSON Schema of files and output, and the command tree
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is described [default: sandboxfile]
    #[arg(value_name = "TOPIC")]
    topic: Option<Topic>,
}

/// What can be described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Topic {
    /// The Sandboxfile, as YAML and JSON
    Sandboxfile,
    /// The document of a plan
    Plan,
    /// Every document, by command
    Output,
    /// Every command, flag, type and default
    Cli,
}

/// Prints the description, which is JSON in every form of output.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let document = match args.topic.unwrap_or(Topic::Sandboxfile) {
        Topic::Sandboxfile => describe::json_schema(Keys::Supported),
        Topic::Plan => shapes::plan(),
        Topic::Output => shapes::output(),
        Topic::Cli => tree::document(Cli::command()),
    };
    if call.report.is_text() {
        call.report.raw(format!("{document:#}\n").as_bytes());
    } else {
        call.report.document(&document);
    }
    Ok(0)
}
