//! Show the Sandboxfile as it is read, with everything put in

mod policy;
mod rows;

use schema::name::InstanceName;
use schema::sandboxfile::print::project::{Fields, Paths};
use serde_json::Value;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::part;
use super::project_text::{self, Form, Notation, Part};
use super::select::{self, Pinned};
use rows::Rows;

/// Show the Sandboxfile as it is read, with everything put in
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// Those that are shown, with what they need [default: all]
    #[arg(value_name = "NAME")]
    chosen: Vec<InstanceName>,
    #[command(flatten)]
    files: FileFlags,
    /// The notation of the file [default: kdl]
    #[arg(long, value_name = "FORMAT", conflicts_with = "table")]
    format: Option<Notation>,
    /// Write what holds by default too [default: off]
    #[arg(long, conflicts_with = "table")]
    full: bool,
    #[command(flatten)]
    tables: Tables,
}

/// What is shown instead of the file.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(id = "table", multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
struct Tables {
    /// Show the variables and where their values come from instead
    #[arg(long)]
    variables: bool,
    /// Show every value with its place and its layer instead
    #[arg(long)]
    origins: bool,
    /// Show the images and what the lock pins them to instead
    #[arg(long)]
    images: bool,
    /// Show the names of sandboxes and jobs instead
    #[arg(long)]
    names: bool,
    /// Show the network policy that holds, rule by rule, instead
    #[arg(long)]
    policy: bool,
    /// Show a digest of each definition instead
    #[arg(long)]
    hash: bool,
}

/// Prints the resolved project; runs nothing and connects nowhere.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let mut read = select::pinned_for(call, &args.files, &args.chosen)?;
    select::say_warnings(call, &read.resolved);
    for name in &args.chosen {
        select::check_known(name, &read.resolved.project, &read.path)?;
    }
    if !args.chosen.is_empty() {
        read.resolved.project = part::of(&read.resolved.project, &args.chosen);
    }
    match rows(args.tables, &read) {
        Some(rows) => rows.tell(call),
        None => file(args, call, &read)?,
    }
    Ok(0)
}

fn rows(tables: Tables, read: &Pinned) -> Option<Rows> {
    let Tables { variables, origins, images, names, policy, hash } = tables;
    Some(match (variables, origins, images, names, policy, hash) {
        (true, ..) => Rows::variables(&read.resolved),
        (_, true, ..) => Rows::origins(&read.resolved, read.given),
        (_, _, true, ..) => Rows::images(&read.resolved.project, &read.pins),
        (_, _, _, true, ..) => Rows::names(&read.resolved.project),
        (_, _, _, _, true, _) => policy::rows(&read.resolved),
        (_, _, _, _, _, true) => Rows::hashes(&read.resolved.project),
        (false, false, false, false, false, false) => return None,
    })
}

/// Prints the project as a file, which resolves to an equal project.
fn file(args: &Args, call: &Call, read: &Pinned) -> Result<(), Failures> {
    let is_text = call.report.is_text();
    let notation = match (args.format, is_text) {
        (Some(Notation::Kdl | Notation::Yaml), false) => {
            return Err(Failure::usage("usage::conflict", "such a file is no JSON")
                .hint("Leave --format out, or ask for --output text.")
                .into());
        }
        (Some(notation), _) => notation,
        (None, true) => Notation::Kdl,
        (None, false) => Notation::Json,
    };
    let fields = if args.full { Fields::All } else { Fields::Changed };
    let form = Form { notation, fields, paths: Paths::Absolute };
    let part =
        Part { profiles: args.files.profiles(call), named: args.chosen.iter().cloned().collect() };
    let text = project_text::proved(call, &read.resolved.project, form, part)?;
    if is_text {
        call.report.raw(text.as_bytes());
    } else {
        let value: Value = serde_json::from_str(&text).map_err(|error| {
            Failure::internal("the project is no JSON").cause(error.to_string())
        })?;
        call.report.document(&value);
    }
    Ok(())
}
