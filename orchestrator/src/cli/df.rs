//! Show what msb takes of the disk

use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, first};
use super::volume::Storage;
use crate::report::human::{self, Table};
use crate::usage::{self, Known, Usage};

/// Show what msb takes of the disk
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show every thing with its size [default: kinds alone]
    #[arg(long)]
    items: bool,
}

/// Shows kinds with their sizes; creates nothing.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let kinds = kinds(call)?;
    let free = usage::free_bytes(call.context.home());
    if call.report.is_text() {
        print(args, call, &kinds, free);
    } else {
        let types: Vec<Value> = kinds.iter().map(|kind| shape(kind, args.items)).collect();
        call.report.document(&json!({ "free_bytes": free, "types": types }));
    }
    Ok(0)
}

fn kinds(call: &Call) -> Result<Vec<Usage>, Failure> {
    let is_there = call.context.existing_home().map_err(Failure::from)?.is_some();
    let unused = match is_there {
        true => call.engine.unused_images().map_err(first)?,
        false => crate::images::Sweep::default(),
    };
    let sandboxes = match is_there {
        true => call.engine.sandboxes(None).map_err(first)?,
        false => Vec::new(),
    };
    let storage = Storage::of(call)?;
    Ok(usage::of(&Known {
        home: call.context.home(),
        images: &call.engine.images_home(),
        unused: &unused,
        sandboxes: &sandboxes,
        storage: (&storage.live, &storage.trash),
    }))
}

fn print(args: &Args, call: &Call, kinds: &[Usage], free: Option<u64>) {
    let mut table = Table::new(&["TYPE", "COUNT", "SIZE", "RECLAIMABLE"]);
    let row = |name: &str, count: usize, bytes: u64, reclaimable: u64| {
        vec![name.to_owned(), count.to_string(), human::size(bytes), human::size(reclaimable)]
    };
    for kind in kinds {
        table.row(row(kind.kind, kind.items.len(), kind.bytes(), kind.reclaimable()));
    }
    let sum = |of: fn(&Usage) -> u64| kinds.iter().map(of).sum();
    let count = kinds.iter().map(|kind| kind.items.len()).sum();
    table.row(row("total", count, sum(Usage::bytes), sum(Usage::reclaimable)));
    call.report.out(&table.text(call.report.width()));
    if args.items {
        let mut table = Table::new(&["TYPE", "ADDRESS", "SIZE", "RECLAIMABLE"]);
        for (kind, item) in kinds.iter().flat_map(|kind| kind.items.iter().map(move |i| (kind, i)))
        {
            let reclaimable =
                if item.reclaimable { human::size(item.bytes) } else { String::new() };
            let size = human::size(item.bytes);
            table.row(vec![kind.kind.to_owned(), item.address.clone(), size, reclaimable]);
        }
        call.report.line("");
        call.report.out(&table.text(call.report.width()));
    }
    if let Some(free) = free {
        call.report.line(&format!("{} free on its file system", human::size(free)));
    }
}

fn shape(kind: &Usage, with_items: bool) -> Value {
    let items = with_items.then(|| -> Vec<Value> {
        let one = |item: &usage::Item| json!({ "address": item.address, "size_bytes": item.bytes });
        kind.items.iter().map(one).collect()
    });
    json!({
        "type": kind.kind,
        "count": kind.items.len(),
        "size_bytes": kind.bytes(),
        "reclaimable_bytes": kind.reclaimable(),
        "items": items,
    })
}
