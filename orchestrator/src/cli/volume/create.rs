//! Make a volume that belongs to no project

use clap::ValueEnum;
use schema::name::{ProjectName, VolumeName};
use schema::project::{Labels, Quota, Volume, VolumeKind};
use schema::units::Bytes;

use super::{Storage, Target, shape};
use crate::cli::call::Call;
use crate::cli::dry::{self, Dry};
use crate::cli::ending::Ending;
use crate::cli::failure::Failure;
use crate::cli::{following, values};
use crate::engine::{NewVolume, VolumeAct, VolumeView};

/// Make a volume that belongs to no project
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Target,
    /// What it is
    #[arg(long, value_enum, default_value = "dir")]
    kind: Kind,
    /// The size of a disk, of which only what is written takes room
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    size: Option<Bytes>,
    /// What a folder may hold [default: 10GiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    quota: Option<Bytes>,
    /// Give it a label (can be repeated)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = values::pair)]
    labels: Vec<(String, Option<String>)>,
    /// Leave one that is as said as it is [default: a taken name fails]
    #[arg(long)]
    if_missing: bool,
    #[command(flatten)]
    dry: Dry,
}

/// The kinds of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A folder that is shared in
    Dir,
    /// A private disk image
    Disk,
}

/// The least and the most that a disk can be.
const SIZES: [Bytes; 2] = [Bytes(16 * Bytes::MIB), Bytes(16 * Bytes::TIB)];

/// Makes it, or finds it as it was said.
pub(super) fn run(args: &Args, call: &Call) -> Ending {
    let new = wanted(args)?;
    let storage = Storage::of(call)?;
    match super::look(call, &storage.live, &of_nobody(&new.name))? {
        Some(view) if args.if_missing => {
            agrees(view, &new, args)?;
            if args.dry.dry_run {
                return dry::show_volumes(call, &storage.live, &[VolumeAct::Keep(view)]);
            }
        }
        Some(_) => {
            let message = format!("there is a volume `{}` already", new.name);
            return Err(Failure::new("volume::exists", "volume", message)
                .hint("Choose another name, or give `--if-missing` to use it.")
                .into());
        }
        None if args.dry.dry_run => {
            return dry::show_volumes(call, &storage.live, &[VolumeAct::Make(&new)]);
        }
        None => {
            let options = following::options(call, "volume create");
            let ui = following::silent();
            call.block_on(call.engine.create_volume(&new, (&options, &ui)))??;
        }
    }
    if call.report.is_text() {
        call.report.line(new.name.as_str());
        return Ok(0);
    }
    let storage = Storage::of(call)?;
    let view = storage.find(call, &of_nobody(&new.name))?;
    call.report.document(&shape(call, view));
    Ok(0)
}

fn of_nobody(name: &VolumeName) -> Target {
    Target { project: Some(ProjectName::adhoc()), name: name.clone() }
}

/// Returns what was asked for, before anything is read.
fn wanted(args: &Args) -> Result<NewVolume, Failure> {
    let usage = |message: &str, hint: &str| Failure::usage("usage::value", message).hint(hint);
    if let Some(project) = &args.name.project {
        let message = format!("a volume of project {project} is made by its file");
        return Err(Failure::usage("usage::value", message)
            .hint(format!("Write `volume \"{}\"` there and say `msb up`.", args.name.name)));
    }
    match (args.kind, args.size, args.quota) {
        (Kind::Dir, Some(_), _) => {
            return Err(usage("--size is the size of a disk", "Give `--kind disk` with it."));
        }
        (Kind::Disk, _, Some(_)) => {
            return Err(usage("--quota is of folders only", "Give `--size` instead."));
        }
        (Kind::Disk, None, None) => {
            return Err(usage("a disk needs a size", "Give `--size`, as `--size 4GiB`."));
        }
        (Kind::Dir, None, _) | (Kind::Disk, Some(_), None) => {}
    }
    for (flag, size) in [("--size", args.size), ("--quota", args.quota)] {
        let fits = |size: &Bytes| (SIZES[0]..=SIZES[1]).contains(size) && size.is_whole_mib();
        if let Some(size) = size.filter(|size| !fits(size)) {
            let message = format!("{flag}: {size} is not from 16 MiB to 16 TiB in whole MiB");
            return Err(usage(&message, "Give a size in that range, as `4GiB`."));
        }
    }
    let label = |(key, value): &(String, Option<String>)| match value {
        Some(value) => Ok((key.clone(), value.clone())),
        None => Err(usage(&format!("--label {key}: there is no value"), "Write `KEY=VALUE`.")),
    };
    let labels = args.labels.iter().map(label).collect::<Result<Labels, Failure>>()?;
    let name = args.name.name.clone();
    Ok(match args.kind {
        Kind::Disk => {
            NewVolume { name, kind: VolumeKind::Disk, size: args.size, quota: None, labels }
        }
        Kind::Dir => {
            let quota = args.quota.or(match Volume::QUOTA {
                Quota::Bytes(most) => Some(most),
                Quota::None => None,
            });
            NewVolume { name, kind: VolumeKind::Dir, size: None, quota, labels }
        }
    })
}

/// Holds that a volume is what was said; what was not said agrees with anything.
fn agrees(view: &VolumeView, new: &NewVolume, args: &Args) -> Result<(), Failure> {
    let differs = |field: &str, have: String, want: String| {
        let message = format!("volume {} has {field} {have}, not {want}", new.name);
        Err(Failure::new("volume::mismatch", "volume", message)
            .hint("Leave the flag out to take it as it is, or choose another name."))
    };
    if view.row.kind != new.kind {
        return differs("kind", view.row.kind.as_str().to_owned(), new.kind.as_str().to_owned());
    }
    let told = |bytes: Option<Bytes>| bytes.map_or_else(|| "none".to_owned(), |b| b.to_string());
    for (field, said, have) in [
        ("size", args.size, view.row.size_bytes.map(Bytes)),
        ("quota", args.quota, view.row.quota_bytes.map(Bytes)),
    ] {
        if said.is_some() && have != said {
            return differs(field, told(have), told(said));
        }
    }
    if !args.labels.is_empty() && view.row.labels != new.labels {
        let list = |labels: &Labels| {
            let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(",")
        };
        return differs("labels", list(&view.row.labels), list(&new.labels));
    }
    Ok(())
}
