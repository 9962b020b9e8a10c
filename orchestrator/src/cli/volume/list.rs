//! List volumes

use serde_json::Value;

use super::{Storage, shape, used_bytes};
use crate::cli::call::Call;
use crate::cli::ending::Ending;
use crate::cli::values;
use crate::engine::VolumeView;
use crate::report::human::{self, Table};
use crate::report::time;
use crate::store::time::parse;

/// List volumes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Those with this label (can be repeated; all must hold)
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = values::pair)]
    labels: Vec<(String, Option<String>)>,
    /// List what was removed and can be restored [default: what is there]
    #[arg(long)]
    trash: bool,
    /// Print names only
    #[arg(short = 'q', id = "names-only")]
    pub(super) names_only: bool,
}

/// Lists volumes with what they occupy now; creates nothing.
pub(super) fn run(args: &Args, call: &Call) -> Ending {
    let Storage { live, trash } = Storage::of(call)?;
    let mut views = if args.trash { trash } else { live };
    views.retain(|view| matches(view, &args.labels));
    if !call.report.is_text() {
        let rows: Vec<Value> = views.iter().map(|view| shape(call, view)).collect();
        call.report.document(&rows);
        return Ok(0);
    }
    if call.settings.quiet {
        views.iter().for_each(|view| call.report.line(view.row.name.as_str()));
        return Ok(0);
    }
    if views.is_empty() {
        call.report.note(if args.trash { "the trash is empty" } else { "no volumes" });
    }
    let local = |at: &str| parse(at).map(time::local).unwrap_or_default();
    let last = if args.trash { "RESTORE-UNTIL" } else { "CREATED" };
    let mut table = Table::new(&["NAME", "KIND", "SIZE", "USED", "PROJECT", "USED-BY", last]);
    for view in &views {
        table.row(vec![
            view.row.name.to_string(),
            view.row.kind.as_str().to_owned(),
            view.row.size_bytes.map(human::size).unwrap_or_default(),
            used_bytes(call, view).map(human::size).unwrap_or_default(),
            view.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            view.users.join(","),
            match view.restorable_until_ms(call.trash_kept()) {
                Some(until) => time::local(until),
                None => local(&view.row.created_at),
            },
        ]);
    }
    call.report.out(&table.text(call.report.width()));
    Ok(0)
}

fn matches(view: &VolumeView, labels: &[(String, Option<String>)]) -> bool {
    labels.iter().all(|(key, value)| {
        let has = view.row.labels.get(key);
        has.is_some_and(|has| value.as_ref().is_none_or(|value| value == has))
    })
}
