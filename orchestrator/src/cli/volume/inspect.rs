//! Show everything about volumes

use schema::project::VolumeKind;
use serde_json::{Value, json};

use super::{Storage, Target, path, shape};
use crate::cli::call::Call;
use crate::cli::ending::Ending;
use crate::cli::failure::Failures;
use crate::disks;
use crate::engine::VolumeView;
use crate::report::human;
use crate::report::json::rfc3339;
use crate::report::time;
use crate::store::time::parse;
use crate::store::volumes::{VolumePast, volume_past};

/// Show everything about volumes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The volumes, as `pgdata` or `shop/pgdata`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<Target>,
}

/// Shows them; creates nothing.
pub(super) fn run(args: &Args, call: &Call) -> Ending {
    let storage = Storage::of(call)?;
    let found = args.names.iter().map(|target| storage.find(call, target));
    let found: Vec<&VolumeView> = found.collect::<Result<_, _>>()?;
    let mut documents = Vec::new();
    for view in found {
        let past = past(call, view)?;
        if call.report.is_text() {
            call.report.out(&text(call, view, &past));
        } else {
            documents.push(document(call, view, &past));
        }
    }
    if !call.report.is_text() {
        call.report.document(&documents);
    }
    Ok(0)
}

fn past(call: &Call, view: &VolumeView) -> Result<Vec<VolumePast>, Failures> {
    let Some(mut store) = call.engine.store_read_only()? else { return Ok(Vec::new()) };
    let read = store.read(|db| volume_past(db, &view.row.id));
    Ok(read.map_err(crate::engine::Troubles::from)?)
}

/// Returns when something was last written to a volume, as far as its file tells.
pub(super) fn last_write_ms(call: &Call, view: &VolumeView) -> Option<u64> {
    disks::written_ms(&path(call, view))
}

fn document(call: &Call, view: &VolumeView, past: &[VolumePast]) -> Value {
    let mut document = shape(call, view);
    let past = past.iter().map(
        |one| json!({ "at": one.at, "command": one.command, "do": one.op, "state": one.state }),
    );
    document["path"] = json!(path(call, view));
    document["fstype"] = json!((view.row.kind == VolumeKind::Disk).then_some("ext4"));
    document["last_write_at"] = json!(last_write_ms(call, view).map(rfc3339));
    document["history"] = past.collect();
    document
}

fn text(call: &Call, view: &VolumeView, past: &[VolumePast]) -> String {
    let row = &view.row;
    let local = |at: &str| parse(at).map(time::local).unwrap_or_default();
    let labels = row.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let size = row.size_bytes.map(human::size).unwrap_or_default();
    let used = super::used_bytes(call, view).map(human::size).unwrap_or_default();
    let mut lines = vec![
        ("Volume", super::named(view)),
        ("Kind", format!("{} ext4, {size}, {used} used", row.kind.as_str())),
        ("Path", path(call, view).display().to_string()),
        ("Created", local(&row.created_at)),
        ("Written", last_write_ms(call, view).map(time::local).unwrap_or_default()),
        ("Protected", if row.protect { "yes" } else { "" }.to_owned()),
        ("Labels", labels.collect::<Vec<_>>().join(" ")),
        ("Used by", view.users.join(", ")),
    ];
    lines.extend(past.iter().map(|one| {
        ("History", format!("{}  {}: {} {}", local(&one.at), one.command, one.op, one.state))
    }));
    lines.retain(|(_, value)| !value.is_empty());
    lines.iter().map(|(key, value)| format!("{key:<10} {value}\n")).collect()
}
