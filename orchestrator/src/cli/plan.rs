//! Show what `up` would change; changes are no failure

use std::path::{Path, PathBuf};

use schema::exit::Kind;
use serde_json::Value;

use super::call::Call;
use super::diff::{self, View};
use super::down;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select::{self, Choice};
use crate::plan::{Plan, subject};
use crate::store::atomic;

/// Show what `up` would change; changes are no failure
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    view: View,
    /// Save it, to be carried out with `up --plan`
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Show what `down` would do [default: what `up` would]
    #[arg(long, conflicts_with_all = ["recreate", "no_deps", "deny_widening", "exclude"])]
    destroy: bool,
    /// Exit with 2 when there are changes [default: 0]
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Prints the plan, and saves it where that was asked for.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let wish = match args.destroy {
        true => down::wish(call, &args.choice.names)?,
        false => select::wish(call, &args.choice, &args.files)?,
    };
    call.context.existing_home().map_err(Failure::from)?;
    let plan = match &args.out {
        None => call.engine.diff(&wish)?,
        Some(path) => {
            let (plan, document) = call.engine.diff_to_save(&wish)?;
            save(call, path, &plan, &document)?;
            plan
        }
    };
    diff::print(call, &plan, &wish.project, args.view);
    if let Some(path) = args.out.as_ref().filter(|_| call.report.is_text()) {
        let path = path.display();
        call.report.line(&format!("Saved: {path}; run it with msb up --plan {path}"));
    }
    if args.choice.deny_widening && !plan.widening.is_empty() {
        return Ok(Kind::Refused.code());
    }
    let changes = !plan.is_empty() && args.detailed_exitcode;
    Ok(if changes { schema::exit::CHANGES } else { schema::exit::DONE })
}

/// Writes a plan whole or not at all, for its owner alone.
fn save(call: &Call, path: &Path, plan: &Plan, document: &Value) -> Result<(), Failures> {
    let unknown = plan.refused.iter().filter(|refusal| refusal.code == "msb::image::not-found");
    let unknown: Vec<Failure> = unknown
        .map(|refusal| {
            let message = format!("{}{}", subject(refusal.address.as_ref()), refusal.text);
            let failure = Failure::new("image::unresolved", "image", message);
            refusal.hint.iter().fold(failure, |failure, hint| failure.hint(hint.clone()))
        })
        .collect();
    if !unknown.is_empty() {
        return Err(Failures(unknown));
    }
    let bytes = format!("{document}\n");
    atomic::write(&call.context.absolute(path), bytes.as_bytes()).map_err(|error| {
        let message = format!("{}: the plan cannot be saved", path.display());
        Failure::new("host::file", "file", message).cause(error.to_string()).into()
    })
}
