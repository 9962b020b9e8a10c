//! Write images as one archive

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use schema::project::ImageRef;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::load::short;
use super::verify::found;
use crate::context::Stream;
use crate::images::{Form, ImageEntry, SaveError, save, save_file};
use crate::report::human;
use crate::report::progress::{Event, Follower};

/// Write images as one archive
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The images
    #[arg(value_name = "REF", required = true)]
    references: Vec<String>,
    /// The archive; `-` is stdout [default: stdout]
    #[arg(short, long, id = "output", value_name = "PATH")]
    output: Option<String>,
    /// For whom it is [default: docker]
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// `docker load`, and everybody who reads OCI layouts
    Docker,
    /// An OCI layout alone
    Oci,
}

/// Writes the archive: as a file whole or not at all, or as a stream.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let path = args.output.as_deref().filter(|path| *path != "-").map(PathBuf::from);
    let usage = |message: &str, hint: &str| Failure::usage("usage::value", message).hint(hint);
    if path.is_none() && !call.report.is_text() {
        let message = "standard output cannot hold the archive and a document";
        return Err(usage(message, "Name a file with `-o PATH`.").into());
    }
    if path.is_none() && call.context.terminal.is_tty(Stream::Out) {
        let message = "an archive is not written to a terminal";
        return Err(usage(message, "Name a file with `-o PATH`.").into());
    }
    let images = images(args, call)?;
    let form = match args.format {
        None | Some(Format::Docker) => Form::Docker,
        Some(Format::Oci) => Form::Oci,
    };
    let saved = write(call, &images, form, path.as_deref());
    let bytes = saved.map_err(|error| failed(&error))?;
    if let Some(path) = path {
        tell(call, &path, form, &images, bytes);
    }
    Ok(0)
}

/// Returns the images, in one order however they were asked for.
fn images(args: &Args, call: &Call) -> Result<Vec<ImageEntry>, Failures> {
    let is_builtin = |text: &String| matches!(ImageRef::parse(text), Ok(ImageRef::Builtin(_)));
    if args.references.iter().any(is_builtin) {
        // It comes into the store when it is first used.
        call.block_on(call.engine.prepare_base())??;
    }
    let mut images = found(&args.references, call)?;
    images.sort_by(|one, other| one.reference.cmp(&other.reference));
    Ok(images)
}

/// Writing is told about every so many bytes.
const TOLD_EVERY_BYTES: u64 = 256 << 20;

fn write(
    call: &Call,
    images: &[ImageEntry],
    form: Form,
    path: Option<&Path>,
) -> Result<u64, SaveError> {
    let home = call.engine.images_home();
    let mut follower = Follower::begin(&call.report, call.context.clock, "save", None);
    follower.over(1);
    let mut told = TOLD_EVERY_BYTES;
    let mut tell = |bytes: u64| {
        if bytes >= told {
            told = bytes + TOLD_EVERY_BYTES;
            let text = format!("writing, {}", human::size(bytes));
            follower.tell("archive", &Event::Doing(&text), &json!({ "done_bytes": bytes }));
        }
    };
    if let Some(path) = path {
        return save_file(&home, images, form, &call.context.absolute(path), &mut tell);
    }
    let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let mut out = BufWriter::with_capacity(256 << 10, out.map_err(SaveError::Write)?);
    let bytes = save(&home, images, form, &mut out, &mut tell)?;
    out.flush().map_err(SaveError::Write)?;
    Ok(bytes)
}

fn tell(call: &Call, path: &Path, form: Form, images: &[ImageEntry], bytes: u64) {
    let format = if form == Form::Docker { "docker" } else { "oci" };
    if call.report.is_text() {
        let count = human::count(images.len(), "image");
        let (shown, size) = (path.display(), human::size(bytes));
        call.report.line(&format!("saved {count} to {shown}  {size}"));
        return;
    }
    let row = |image: &ImageEntry| json!({ "reference": short(&image.reference), "digest": image.manifest_digest });
    let images: Vec<_> = images.iter().map(row).collect();
    call.report.document(&json!({
        "path": path, "format": format, "images": images, "bytes": bytes,
    }));
}

fn failed(error: &SaveError) -> Failure {
    let (code, hint) = match error {
        SaveError::Damaged { reference, .. } | SaveError::Blob { reference, .. } => {
            let name = short(reference);
            let hint = match ImageRef::parse(reference) {
                Ok(ImageRef::Builtin(_)) => {
                    format!("Remove it with `msb image rm -f {name}`: the next use brings it anew.")
                }
                _ => format!("Bring it again with `msb pull {name}`, or load its archive."),
            };
            ("msb::image::damaged", hint)
        }
        SaveError::Catalog(_) => {
            ("msb::state::unusable", "Look at the state with `msb doctor`.".to_owned())
        }
        SaveError::NoFile(_) => {
            return Failure::of("msb::usage::value", "usage", error)
                .hint("Name a file, or leave `-o` out and send standard output there.");
        }
        SaveError::Store(_) => (
            "msb::image::store",
            "Look at the disk and the permissions of the home folder.".to_owned(),
        ),
        SaveError::Write(_) => {
            ("msb::host::file", "Name a file that can be written, on a disk with room.".to_owned())
        }
    };
    Failure::of(code, "image", error).hint(hint)
}
