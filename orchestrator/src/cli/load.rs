//! Load images from an archive

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use schema::project::ImageRef;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::outcome::ms;
use crate::context::{Clock as _, Stream};
use crate::images::{LoadError, LoadOptions, Loaded, Progress, load_file};
use crate::report::human;
use crate::report::progress::{Event, Follower};

/// Load images from an archive
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The archive; `-` is stdin [default: stdin]
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Another name for its single image (can be repeated) [default: the archive's]
    #[arg(short, long, value_name = "REF", value_parser = reference)]
    tag: Vec<ImageRef>,
}

fn reference(text: &str) -> Result<ImageRef, String> {
    match ImageRef::parse(text).map_err(|error| error.to_string())? {
        ImageRef::Builtin(_) => Err("names that start with builtin: are msb's own".to_owned()),
        name @ ImageRef::Registry(_) => Ok(name),
    }
}

/// Loads every image of the archive, or none.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let input = open(args, call)?;
    let started = call.context.clock.elapsed();
    call.context.prepared_home().map_err(Failure::from)?;
    let mut store = call.engine.store()?;
    let home = call.engine.images_home();
    let options = LoadOptions { tags: args.tag.clone(), now_ms: call.context.clock.unix_ms() };
    let mut follower = Follower::begin(&call.report, call.context.clock, "load", None);
    follower.over(1);
    let mut told = 0;
    let mut tell = |progress: Progress| match progress {
        Progress::Reading(bytes) if bytes >= told => {
            told = bytes + TOLD_EVERY_BYTES;
            let text = format!("reading, {}", human::size(bytes));
            follower.tell("archive", &Event::Doing(&text), &json!({ "done_bytes": bytes }));
        }
        Progress::Reading(_) => {}
        Progress::Building(name) => {
            follower.tell(&name, &Event::Doing("making its root image"), &json!({}));
        }
    };
    let loaded = load_file(&home, &input, &options, store.catalog(), &mut tell);
    drop(follower);
    let loaded = loaded.map_err(|error| failed(&error))?;
    let spent = call.context.clock.elapsed().saturating_sub(started);
    tell_loaded(call, &loaded);
    call.report.note(&format!("loaded in {}", human::millis(ms(spent))));
    Ok(0)
}

/// Reading is told about every so many bytes.
const TOLD_EVERY_BYTES: u64 = 256 * 1024 * 1024;

/// Returns the archive as a file: one that was loaded before is known by what the host says of it.
fn open(args: &Args, call: &Call) -> Result<File, Failure> {
    match args.input.as_deref() {
        Some(path) if path.as_os_str() != "-" => {
            let opened = File::open(call.context.absolute(path));
            opened.map_err(|error| {
                Failure::new("image::archive", "image", format!("cannot open {}", path.display()))
                    .cause(error.to_string())
                    .hint("Check the path given with -i.")
            })
        }
        Some(_) | None if call.context.terminal.is_tty(Stream::In) => {
            let message = "an archive is no text that a terminal could give";
            Err(Failure::usage("usage::value", message).hint("Name a file with `-i PATH`."))
        }
        Some(_) | None => {
            io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(|error| {
                Failure::new("image::archive", "image", "cannot read standard input")
                    .cause(error.to_string())
            })
        }
    }
}

fn tell_loaded(call: &Call, loaded: &[Loaded]) {
    for image in loaded {
        image
            .notes
            .iter()
            .for_each(|note| call.report.warn(&format!("{}: {note}", image.reference)));
    }
    if !call.report.is_text() {
        let rows: Vec<_> = loaded
            .iter()
            .map(|image| {
                json!({
                    "reference": image.reference, "digest": image.digest,
                    "layers": image.layers, "size_bytes": image.size_bytes,
                })
            })
            .collect();
        super::outcome::end(call, "load", 0, &json!(rows));
        return;
    }
    for image in loaded {
        let name = short(&image.reference);
        let layers = human::count(image.layers, "layer");
        let size = human::size(image.size_bytes);
        call.report.line(&format!("loaded {name}  {}  {layers}  {size}", image.digest));
    }
}

/// Returns a name as people write it.
pub(super) fn short(reference: &str) -> String {
    ImageRef::parse(reference).map_or_else(|_| reference.to_owned(), |name| name.short())
}

fn failed(error: &LoadError) -> Failure {
    let code = match error {
        LoadError::ManyImages { .. } => {
            return Failure::of("msb::usage::conflict", "usage", error)
                .hint("Leave `-t` out: the names come from the archive.");
        }
        LoadError::Unnamed { .. } => {
            return Failure::of("msb::usage::value", "usage", error).hint("Name it with `-t REF`.");
        }
        LoadError::Archive(_) | LoadError::Layout(_) | LoadError::SameName(_) => {
            "msb::image::archive"
        }
        LoadError::Build { .. } => "msb::image::damaged",
        LoadError::Prepare(_) | LoadError::Keep { .. } | LoadError::Root(_) => "msb::image::store",
        LoadError::Catalog(_) => "msb::state::unusable",
    };
    let hint = match error {
        LoadError::Prepare(_) | LoadError::Keep { .. } | LoadError::Root(_) => {
            "Look at the disk and the permissions of the home folder."
        }
        LoadError::Catalog(_) => "Look at the state with `msb doctor`.",
        _ => "Make the archive again, as `docker save` or `skopeo copy` write it.",
    };
    Failure::of(code, "image", error).hint(hint)
}
