//! Take away images that nobody uses

use serde_json::json;

use super::asking;
use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::load::short;
use crate::engine::ImageError;
use crate::images::{Sweep, Swept};
use crate::report::human;

/// Take away images that no sandbox uses, running or not
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Say what would go, and change nothing [default: off]
    #[arg(long)]
    dry_run: bool,
    /// Agree to what would be asked
    #[arg(short = 'y', id = "after-yes")]
    pub(crate) yes_short: bool,
}

/// Prunes, after it was agreed to.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let found = match call.context.existing_home().map_err(Failure::from)? {
        Some(_) => call.engine.unused_images()?,
        None => Sweep::default(),
    };
    let would = would(&found);
    if found == Sweep::default() || args.dry_run {
        tell(call, &would, args.dry_run);
        return Ok(0);
    }
    if !call.settings.yes {
        let question = format!("Remove {} ({})?", parts(&would), human::size(would.bytes));
        let message = "removing images needs consent";
        let hint = "Give `-y`, or look first with `--dry-run`.";
        let refused = Failure::new("consent::needed", "consent", message).hint(hint);
        asking::agree(call, &question, refused)?;
    }
    let pruned = call.block_on(call.engine.prune_images(call.settings.lock_timeout))?;
    tell(call, &pruned.map_err(failed)?, false);
    Ok(0)
}

/// Returns what a sweep comes to, if nothing moves until then.
fn would(sweep: &Sweep) -> Swept {
    Swept {
        references: sweep.references.clone(),
        manifests: sweep.manifests.len(),
        blobs: sweep.blobs.len(),
        roots: sweep.roots.len(),
        bytes: sweep.bytes(),
    }
}

fn tell(call: &Call, swept: &Swept, dry: bool) {
    if !call.report.is_text() {
        call.report.document(&json!({
            "references_removed": swept.references.len(),
            "manifests_removed": swept.manifests,
            "blobs_removed": swept.blobs,
            "roots_removed": swept.roots,
            "templates_removed": 0,
            "bytes_reclaimed": swept.bytes,
        }));
        return;
    }
    let verb = if dry { "would remove" } else { "removed" };
    for name in &swept.references {
        call.report.line(&format!("{verb} {}", short(name)));
    }
    if swept.bytes == 0 && *swept == Swept::default() {
        call.report.line("Nothing to prune.");
        return;
    }
    let verb = if dry { "Would reclaim" } else { "Reclaimed" };
    call.report.line(&format!("{verb} {}: {}", human::size(swept.bytes), parts(swept)));
}

fn parts(swept: &Swept) -> String {
    let counts = [
        (swept.references.len(), "name"),
        (swept.manifests, "manifest"),
        (swept.blobs, "blob"),
        (swept.roots, "root"),
    ];
    let counts: Vec<String> =
        counts.iter().map(|(number, noun)| human::count(*number, noun)).collect();
    counts.join(", ")
}

/// Returns what a failure of the store is to who asked.
pub(super) fn failed(error: ImageError) -> Failures {
    match error {
        ImageError::Failed(troubles) => troubles.into(),
        ImageError::NotFound { reference } => super::image::not_found(&reference).into(),
        ImageError::InUse { reference, users } => {
            let message = format!("{} is in use by {}", short(&reference), users.join(", "));
            let failure = Failure::new("image::in-use", "image", message);
            failure.hint("Remove those sandboxes first, or give `-f`.").into()
        }
        ImageError::Busy => {
            let failure = Failure::of("msb::lock::busy", "image", &error);
            let hint = "Wait for it to end, or give `--lock-timeout` a longer time.";
            failure.hint(hint).into()
        }
    }
}
