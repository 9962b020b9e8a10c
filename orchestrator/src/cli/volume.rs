//! Named storage that outlives sandboxes

use std::os::unix::fs::MetadataExt;

use clap::Subcommand;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use crate::engine::SandboxView;
use crate::observe::SeenVolume;
use crate::report::human::{self, Table};
use crate::report::time;
use crate::store::time::parse;

/// Named storage that outlives sandboxes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(visible_alias = "list")]
    Ls(ListArgs),
}

/// List volumes
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print names only
    #[arg(short = 'q', id = "names-only")]
    names_only: bool,
}

impl Args {
    /// Tells whether `-q` was given.
    pub(crate) const fn wants_names_only(&self) -> bool {
        let Command::Ls(args) = &self.command;
        args.names_only
    }
}

/// Lists volumes with what they occupy now; creates nothing.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let Command::Ls(_) = &args.command;
    let volumes = match call.context.existing_home().map_err(Failure::from)? {
        Some(_) => call.engine.volumes()?,
        None => Vec::new(),
    };
    let views = if volumes.is_empty() { Vec::new() } else { call.engine.sandboxes(None)? };
    if !call.report.is_text() {
        let rows: Vec<_> = volumes.iter().map(|volume| shape(call, volume, &views)).collect();
        call.report.document(&rows);
        return Ok(0);
    }
    if call.settings.quiet {
        volumes.iter().for_each(|volume| call.report.line(volume.row.name.as_str()));
        return Ok(0);
    }
    if volumes.is_empty() {
        call.report.note("no volumes");
    }
    let heads = ["NAME", "KIND", "SIZE", "USED", "PROJECT", "USED-BY", "CREATED"];
    let mut table = Table::new(&heads);
    for volume in &volumes {
        table.row(vec![
            volume.row.name.to_string(),
            volume.row.kind.as_str().to_owned(),
            volume.row.size_bytes.map(human::size).unwrap_or_default(),
            used_bytes(call, volume).map(human::size).unwrap_or_default(),
            volume.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            users(volume, &views).join(","),
            parse(&volume.row.created_at).map(time::local).unwrap_or_default(),
        ]);
    }
    call.report.out(&table.text(call.report.width()));
    Ok(0)
}

/// Returns who mounts a volume, by the definitions that are applied.
fn users(volume: &SeenVolume, views: &[SandboxView]) -> Vec<String> {
    let mounts = |view: &&SandboxView| {
        let mounts = view.definition.iter().flat_map(|sandbox| &sandbox.mounts);
        let mut named = mounts.filter_map(|mount| mount.source.volume());
        volume.owner.as_ref() == Some(&view.project) && named.any(|name| *name == volume.row.name)
    };
    let users = views.iter().filter(mounts);
    users.map(|view| format!("{}/{}", view.project, view.name)).collect()
}

/// Returns what the volume occupies on the disk, holes left out.
fn used_bytes(call: &Call, volume: &SeenVolume) -> Option<u64> {
    let folder = call.context.home().join("volumes").join(&volume.row.folder);
    std::fs::metadata(folder.join("disk.raw")).ok().map(|metadata| metadata.blocks() * 512)
}

fn shape(call: &Call, volume: &SeenVolume, views: &[SandboxView]) -> serde_json::Value {
    json!({
        "address": format!("volume.{}", volume.row.name),
        "name": volume.row.name,
        "kind": volume.row.kind.as_str(),
        "size_bytes": volume.row.size_bytes,
        "quota_bytes": null,
        "used_bytes": used_bytes(call, volume),
        "project": volume.owner,
        "used_by": users(volume, views),
        "labels": volume.row.labels,
        "protected": volume.row.protect,
        "created_at": volume.row.created_at,
        "trashed_at": null,
        "restore_until": null,
    })
}
