//! Pin the images of the Sandboxfile

use std::collections::BTreeMap;

use schema::name::InstanceName;
use schema::sandboxfile::image_lock::Pinned;
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::resolving::{self, Asking, Found};
use super::select;
use crate::context::Clock as _;
use crate::images::ImageEntry;
use crate::pins::{self, Key, Pins};

/// Pin the images of the Sandboxfile
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// Those whose images `--upgrade` moves [default: all]
    #[arg(value_name = "NAME", requires = "upgrade")]
    names: Vec<InstanceName>,
    #[command(flatten)]
    files: FileFlags,
    /// Move digests to what the store has by now [default: keep them]
    #[arg(long)]
    upgrade: bool,
    /// Write nothing; fail where something is missing or unused [default: off]
    #[arg(long, conflicts_with = "upgrade")]
    check: bool,
}

/// What becomes of one line of the lock.
struct Row {
    key: Key,
    before: Option<Pinned>,
    after: Option<Pinned>,
    built_at: Option<String>,
}

/// Brings the lock to what the files use, and says what moved.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let read = select::pinned(call, &args.files)?;
    for name in &args.names {
        select::check_known(name, &read.resolved.project, &read.path)?;
    }
    if args.check {
        return check(call, &read);
    }
    let rows = rows(args, call, &read)?;
    let mut pins = read.pins.clone();
    pins.lock.entries =
        rows.iter().filter_map(|row| Some((row.key.clone(), row.after.clone()?))).collect();
    let changed = pins.lock.text() != read.pins.lock.text() || read.input.is_none();
    let changed = changed && (!pins.lock.entries.is_empty() || read.input.is_some());
    if changed {
        let path = pins.path.clone().ok_or_else(nowhere)?;
        pins.write().map_err(|error| {
            Failure::new("file::unreadable", "file", format!("cannot write {}", path.display()))
                .cause(error.to_string())
                .hint("Make the folder writable, or run this where it is.")
        })?;
    }
    tell(call, &pins, &rows, changed);
    Ok(0)
}

fn nowhere() -> Failure {
    let message = "standard input has no lock";
    Failure::usage("usage::conflict", message).hint("Name a file with `-f PATH`.")
}

/// Returns every line as it was and as it will be.
fn rows(args: &Args, call: &Call, read: &select::Pinned) -> Result<Vec<Row>, Failures> {
    let (project, lock) = (&read.resolved.project, &read.pins.lock);
    let now_ms = call.context.clock.unix_ms();
    let used = pins::used(project);
    let moves = |key: &Key| {
        let mut named = args.names.iter().flat_map(|name| project.meant(name));
        let is_named = named.any(|(_, body)| body.root.reference() == Some(&key.0));
        args.upgrade && (args.names.is_empty() || is_named)
    };
    let mut lines: BTreeMap<Key, Row> = BTreeMap::new();
    for (key, pinned) in &lock.entries {
        // What one platform uses is of use to those who work on another.
        let stays = used.iter().any(|(reference, _)| *reference == key.0);
        let (before, after) = (Some(pinned.clone()), stays.then(|| pinned.clone()));
        lines.insert(key.clone(), Row { key: key.clone(), before, after, built_at: None });
    }
    let (asking, mut unknown) = (Asking::of(call), Vec::new());
    for key in used {
        let row = lines.entry(key.clone()).or_insert_with(|| Row {
            key: key.clone(),
            before: None,
            after: None,
            built_at: None,
        });
        let found = entry(call, &key)?;
        let ask = || asking.ask(&key, now_ms);
        let moved = if moves(&key) && !args.files.offline {
            upgraded(call, row, ask().map_err(|error| resolving::failed(&error, &key)), found)
        } else {
            kept_or_found(row, found, (moves(&key), now_ms), || {
                if args.files.offline {
                    return Err(unresolved(&key));
                }
                ask().map_err(|error| resolving::failed(&error, &key))
            })
        };
        unknown.extend(moved.err());
    }
    if unknown.is_empty() { Ok(lines.into_values().collect()) } else { Err(Failures(unknown)) }
}

/// Moves a line to what the registry says; who is not answered keeps what was pinned.
fn upgraded(
    call: &Call,
    row: &mut Row,
    asked: Result<Found, Failure>,
    found: Option<ImageEntry>,
) -> Result<(), Failure> {
    let short = row.key.0.short();
    match (asked, &row.after, found) {
        // The same image is not pinned anew, nor said to have moved.
        (Ok(now), Some(pinned), _) if pinned.digest == now.pinned.digest => {
            row.built_at = now.built_at;
        }
        (Ok(now), _, _) => {
            row.built_at = now.built_at;
            row.after = Some(now.pinned);
        }
        (Err(failure), Some(_), Some(_)) => call.report.warn(&format!(
            "{short} stays as it was: {}; --offline takes what the store has",
            failure.report.message
        )),
        (Err(failure), _, _) => return Err(failure),
    }
    Ok(())
}

/// Leaves a line as it is, or fills it with what the store has, else with what is asked for.
fn kept_or_found(
    row: &mut Row,
    found: Option<ImageEntry>,
    (moves, now_ms): (bool, u64),
    ask: impl FnOnce() -> Result<Found, Failure>,
) -> Result<(), Failure> {
    let pins_it = |entry: &ImageEntry| {
        row.after.as_ref().is_some_and(|pinned| pinned.digest == entry.manifest_digest)
    };
    match found {
        Some(entry) if pins_it(&entry) => row.built_at = entry.created_at,
        Some(entry) if row.after.is_none() || moves => {
            row.after = Some(pins::pinned(&entry, now_ms));
            row.built_at = entry.created_at;
        }
        None if row.after.is_none() || moves => {
            let now = ask()?;
            row.built_at = now.built_at;
            row.after = Some(now.pinned);
        }
        Some(_) | None => {}
    }
    Ok(())
}

fn unresolved((reference, platform): &Key) -> Failure {
    let (short, platform) = (reference.short(), platform.as_str());
    let message =
        format!("{short} for {platform} is not in the store, and --offline asks no registry");
    Failure::new("image::unresolved", "image", message)
        .hint(format!("Load it from an archive with `msb load -i FILE -t {short}`."))
}

fn entry(call: &Call, key: &Key) -> Result<Option<ImageEntry>, Failure> {
    let Some(mut store) = call.engine.store_read_only().map_err(super::failure::first)? else {
        return Ok(None);
    };
    let failed = |error| Failure::of("msb::state::unusable", "image", &error);
    store.catalog().find(&key.0.to_string()).map_err(failed)
}

/// Says what the lock lacks and what it has for nothing; 65 where that is anything.
fn check(call: &Call, read: &select::Pinned) -> Ending {
    let used = pins::used(&read.resolved.project);
    let missing = read.pins.missing(&read.resolved.project).into_iter().map(|key| {
        let (short, platform) = (key.0.short(), key.1.as_str());
        Failure::new("image-lock::missing", "file", format!("{short} for {platform}: not pinned"))
            .hint("Pin it with `msb lock`.")
    });
    let is_unused = |key: &&Key| used.iter().all(|(reference, _)| *reference != key.0);
    let unused = read.pins.lock.entries.keys().filter(is_unused).map(|(reference, _)| {
        let message = format!("{}: pinned, and used by nothing", reference.short());
        Failure::new("image-lock::unused", "file", message).hint("Drop it with `msb lock`.")
    });
    let failures: Vec<Failure> = missing.chain(unused).collect();
    if failures.is_empty() {
        if call.report.is_text() {
            call.report.line(&format!("Lock: {} kept", read.pins.lock.entries.len()));
        } else {
            call.report.document(&json!({
                "path": read.pins.path, "changed": false, "entries": kept(&read.pins),
            }));
        }
        return Ok(0);
    }
    Err(Failures(failures))
}

/// Returns the lines of a lock that stays as it is, as programs read them.
fn kept(pins: &Pins) -> Vec<Value> {
    let row = |(key, pinned): (&Key, &Pinned)| {
        let (before, after) = (Some(pinned.clone()), Some(pinned.clone()));
        shape(&Row { key: key.clone(), before, after, built_at: None })
    };
    pins.lock.entries.iter().map(row).collect()
}

fn tell(call: &Call, pins: &Pins, rows: &[Row], changed: bool) {
    if !call.report.is_text() {
        let entries: Vec<Value> = rows.iter().map(shape).collect();
        call.report.document(&json!({
            "path": pins.path, "changed": changed, "entries": entries,
        }));
        return;
    }
    let (mut moved, mut added, mut dropped, mut kept) = (0, 0, 0, 0);
    for row in rows {
        let digest = |pinned: &Pinned| short(&pinned.digest);
        let what = match (&row.before, &row.after) {
            (Some(before), Some(after)) if before.digest == after.digest => {
                kept += 1;
                digest(after)
            }
            (Some(before), Some(after)) => {
                moved += 1;
                format!("{} → {}", digest(before), digest(after))
            }
            (None, Some(after)) => {
                added += 1;
                format!("added {}", digest(after))
            }
            (Some(before), None) => {
                dropped += 1;
                format!("dropped {}", digest(before))
            }
            (None, None) => continue,
        };
        let built = row.built_at.as_deref().and_then(|at| at.get(..10));
        let built = built.map_or_else(String::new, |day| format!("  built {day}"));
        call.report.line(&format!("{}  {what}{built}", row.key.0.short()));
    }
    call.report
        .line(&format!("Lock: {moved} moved, {added} added, {dropped} dropped, {kept} kept"));
}

fn short(digest: &str) -> String {
    let (kind, hex) = digest.split_once(':').unwrap_or(("", digest));
    format!("{kind}:{}…", hex.get(..12).unwrap_or(hex))
}

fn shape(row: &Row) -> Value {
    let digest = |pinned: &Option<Pinned>| pinned.as_ref().map(|pinned| pinned.digest.clone());
    json!({
        "reference": row.key.0.to_string(),
        "platform": row.key.1.as_str(),
        "before": digest(&row.before),
        "after": digest(&row.after),
        "built_at": row.built_at,
    })
}
