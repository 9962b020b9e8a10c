//! Put volumes into the trash, or remove them for good

use serde_json::{Value, json};

use super::inspect::last_write_ms;
use super::{Storage, Target, named};
use crate::cli::call::Call;
use crate::cli::dry::{self, Dry};
use crate::cli::ending::Ending;
use crate::cli::failure::{Failure, Failures};
use crate::cli::outcome::ms;
use crate::cli::{asking, following};
use crate::context::Clock as _;
use crate::engine::{Fate, VolumeAct, VolumeView};
use crate::report::json::rfc3339;
use crate::report::{human, time};

/// Put volumes into the trash, or remove them for good
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The volumes, as `pgdata` or `shop/pgdata`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<Target>,
    /// Remove them for good, also from the trash [default: they can be restored for a while]
    #[arg(long)]
    purge: bool,
    /// Agree to the loss of data
    #[arg(long)]
    yes_delete_data: bool,
    #[command(flatten)]
    dry: Dry,
}

/// Removes each; a wrong name stops it before anything is done.
pub(super) fn run(args: &Args, call: &Call) -> Ending {
    let storage = Storage::of(call)?;
    let mut found: Vec<&VolumeView> = Vec::new();
    for target in &args.names {
        let view = find(args, call, (&storage, target))?;
        if !found.iter().any(|other| other.row.id == view.row.id) {
            found.push(view);
        }
    }
    let fate = if args.purge { Fate::Gone } else { Fate::Trash };
    if args.dry.dry_run {
        let acts: Vec<_> = found.iter().map(|view| VolumeAct::Remove(view, fate)).collect();
        return dry::show_volumes(call, &storage.live, &acts);
    }
    if fate == Fate::Gone && !args.yes_delete_data {
        agree(call, &found)?;
    }
    let (ui, options) = (following::silent(), following::options(call, "volume rm"));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for view in found {
        let how = (&options, &ui);
        match call.block_on(call.engine.remove_volume((view, fate), how))? {
            Ok(()) => rows.push(told(call, view, fate)),
            Err(troubles) => failures.extend(Failures::from(troubles).0.into_iter().map(|f| {
                let owner = view.owner.as_ref().map_or("", |owner| owner.as_str());
                f.at(owner, format!("volume.{}", view.row.name))
            })),
        }
    }
    if !call.report.is_text() {
        call.report.document(&rows);
    }
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

fn find<'a>(
    args: &Args,
    call: &Call,
    (storage, target): (&'a Storage, &Target),
) -> Result<&'a VolumeView, Failure> {
    let trashed = storage.find_trashed(call, target)?;
    match (storage.find(call, target), trashed) {
        (Ok(view), _) => Ok(view),
        (Err(_), Some(view)) if args.purge => Ok(view),
        (Err(failure), Some(_)) => {
            Err(failure.hint("It is in the trash; give `--purge` to remove it for good."))
        }
        (Err(failure), None) => Err(failure),
    }
}

/// Asks for the name of each that would be gone, with what would go.
fn agree(call: &Call, found: &[&VolumeView]) -> Result<(), Failure> {
    for view in found {
        let size = super::used_bytes(call, view).map(human::size).unwrap_or_default();
        let written = last_write_ms(call, view).map(time::local).unwrap_or_default();
        let name = named(view);
        let question =
            format!("The data of volume {name} ({size}, last written {written}) would be lost.");
        let message = format!("removing volume {name} for good needs your consent");
        let refused = Failure::new("consent::data-loss", "consent", message)
            .hint("Give `--yes-delete-data`, or leave `--purge` out to be able to restore it.");
        asking::typed(call, &question, view.row.name.as_str(), refused)?;
    }
    Ok(())
}

/// Says what became of one.
fn told(call: &Call, view: &VolumeView, fate: Fate) -> Value {
    let until = call.context.clock.unix_ms().saturating_add(ms(call.trash_kept()));
    let (result, until) = match fate {
        Fate::Trash => ("trashed", Some(until)),
        Fate::Gone => ("purged", None),
    };
    if call.report.is_text() {
        let name = named(view);
        call.report.line(&match until {
            Some(until) => format!(
                "trashed {name}: restore it until {} with msb volume restore {name}",
                time::local(until)
            ),
            None => format!("removed {name} for good"),
        });
    }
    json!({
        "address": format!("volume.{}", view.row.name),
        "project": view.owner,
        "result": result,
        "restore_until": until.map(rfc3339),
    })
}
