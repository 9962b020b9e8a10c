//! Take a volume back from the trash

use schema::name::VolumeName;

use super::{Storage, Target, shape};
use crate::cli::call::Call;
use crate::cli::dry::{self, Dry};
use crate::cli::ending::Ending;
use crate::cli::failure::Failure;
use crate::cli::following;
use crate::engine::VolumeAct;

/// Take a volume back from the trash
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The volume, as `pgdata` or `shop/pgdata`
    #[arg(value_name = "NAME")]
    name: Target,
    /// Give it another name
    #[arg(long = "as", value_name = "NEW")]
    new: Option<VolumeName>,
    #[command(flatten)]
    dry: Dry,
}

/// Takes back the last that was removed under that name, with its owner.
pub(super) fn run(args: &Args, call: &Call) -> Ending {
    let storage = Storage::of(call)?;
    let Some(view) = storage.find_trashed(call, &args.name)? else {
        let message = format!("there is no volume `{}` in the trash", args.name);
        return Err(Failure::new("volume::not-found", "state", message)
            .hint("List what is there with `msb volume ls --trash`.")
            .into());
    };
    let name = args.new.as_ref().unwrap_or(&view.row.name);
    if args.dry.dry_run {
        return dry::show_volumes(call, &storage.live, &[VolumeAct::Restore(view, name)]);
    }
    let (ui, options) = (following::silent(), following::options(call, "volume restore"));
    call.block_on(call.engine.restore_volume((view, name), (&options, &ui)))??;
    let now = Storage::of(call)?;
    let Some(view) = now.live.iter().find(|other| other.row.id == view.row.id) else {
        return Ok(0);
    };
    if call.report.is_text() {
        call.report.line(&super::named(view));
    } else {
        call.report.document(&shape(call, view));
    }
    Ok(0)
}
