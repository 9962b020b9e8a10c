//! Write images as one archive

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::load::short;
use super::verify::found;
use crate::context::Stream;
use crate::images::{Form, ImageEntry, SaveError, save};
use crate::report::human;
use crate::store::atomic;

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
    let images = found(&args.references, call)?;
    let form = match args.format {
        None | Some(Format::Docker) => Form::Docker,
        Some(Format::Oci) => Form::Oci,
    };
    let home = call.engine.images_home();
    let Some(path) = path else {
        let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let out = out.map_err(SaveError::Write).map_err(|error| failed(&error))?;
        let mut out = BufWriter::with_capacity(256 << 10, out);
        let saved = save(&home, &images, form, &mut out);
        let saved = saved.and_then(|bytes| out.flush().map(|()| bytes).map_err(SaveError::Write));
        return saved.map(|_| 0).map_err(|error| failed(&error).into());
    };
    let whole = call.context.absolute(&path);
    let bytes = into_file(&whole, |out| save(&home, &images, form, out));
    let bytes = bytes.map_err(|error| failed(&error))?;
    tell(call, &path, form, &images, bytes);
    Ok(0)
}

/// Writes a file that nobody sees before it is whole.
fn into_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<u64, SaveError>,
) -> Result<u64, SaveError> {
    let draft = atomic::beside(path).map_err(SaveError::Write)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&draft);
    let written = file.map_err(SaveError::Write).and_then(|file| {
        let mut out = BufWriter::with_capacity(256 << 10, file);
        let bytes = write(&mut out)?;
        out.flush().and_then(|()| out.get_ref().sync_all()).map_err(SaveError::Write)?;
        fs::rename(&draft, path).map_err(SaveError::Write)?;
        Ok(bytes)
    });
    if written.is_err() {
        drop(fs::remove_file(&draft));
    }
    written
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
            let hint =
                format!("Bring it again with `msb pull --force {name}`, or load its archive.");
            ("msb::image::damaged", hint)
        }
        SaveError::Catalog(_) => {
            ("msb::state::unusable", "Look at the state with `msb doctor`.".to_owned())
        }
        SaveError::Write(_) => {
            ("msb::host::file", "Name a file that can be written, on a disk with room.".to_owned())
        }
    };
    Failure::of(code, "image", error).hint(hint)
}
