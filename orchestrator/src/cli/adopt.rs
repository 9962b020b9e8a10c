//! Take over what belongs to no file, running and untouched

mod node;
mod sandbox;
mod volume;

use std::path::Path;

use schema::name::SandboxName;
use schema::project::Project;
use schema::sandboxfile::print::project::Fields;
use schema::sandboxfile::source::{Format, SourceFile};
use schema::sandboxfile::tree::Entry;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select::{self, Choice};
use super::{following, reading};
use crate::engine::{Moved, Troubles};
use crate::plan::Wish;
use crate::sources::Files;
use crate::store::atomic;

/// Take over what belongs to no file, running and untouched
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// The sandbox, as `web` or `adhoc/web`, or the volume, as `volume.data`
    #[arg(value_name = "ADDRESS", required_unless_present = "moved")]
    address: Option<String>,
    #[command(flatten)]
    files: FileFlags,
    /// What the file calls it [default: its name]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<SandboxName>,
    /// Print what would be written, and change nothing [default: off]
    #[arg(long)]
    print: bool,
    /// Take over the project of this name or of this folder instead [default: off]
    #[arg(long, conflicts_with_all = ["address", "name", "print"])]
    moved: bool,
}

/// What is taken over.
trait Taken {
    /// Returns it as it is named until now.
    fn was(&self) -> String;

    /// Returns its address in the file.
    fn address(&self) -> String;

    /// Tells whether the file has it already.
    fn is_in(&self, project: &Project) -> bool;

    /// Returns the nodes that say what it is.
    ///
    /// # Errors
    /// No file can say it.
    fn nodes(
        &self,
        place: (&Project, &Path),
        fields: Fields,
    ) -> Result<Vec<Entry<'static>>, Failure>;

    /// Holds that a file asks for it as it is.
    ///
    /// # Errors
    /// It asks for something else, or it may not be taken over.
    fn may(&self, call: &Call, wish: &Wish) -> Result<(), Troubles>;

    /// Gives it to the project of a file; `write` comes just before.
    ///
    /// # Errors
    /// It may not be taken over, or `write` failed: it stays whose it is.
    fn adopt(
        &self,
        call: &Call,
        wish: &Wish,
        write: impl FnOnce() -> Result<(), Troubles>,
    ) -> Result<(), Failures>;

    /// Returns what became of it, in a line.
    fn line(&self) -> String;
}

/// Writes the node into the file, then changes the owner; nothing of it runs otherwise.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.moved {
        return moved(args, call);
    }
    match args.address.as_deref().unwrap_or_default() {
        text if text.starts_with(volume::PREFIX) => {
            take(args, call, &volume::Volume::of(call, text, args.name.as_ref())?)
        }
        text => take(args, call, &sandbox::Sandbox::of(call, text, args.name.as_ref())?),
    }
}

fn take(args: &Args, call: &Call, taken: &impl Taken) -> Ending {
    let files = call.files()?;
    if args.print {
        return print(call, taken, &files, &args.files);
    }
    let written = written(call, taken, &args.files, &files)?;
    taken.adopt(call, &written.wish, || match &written.text {
        None => Ok(()),
        Some(text) => put(call, &written, text),
    })?;
    tell(call, taken, &written);
    Ok(0)
}

/// Ties the project that moved to this file; its machines and what volumes hold stay.
fn moved(args: &Args, call: &Call) -> Ending {
    let wish = select::wish(call, &Choice::default(), &args.files)?;
    let options = following::options(call, "adopt");
    let moved = call.block_on(call.engine.follow(&wish, (&options, &following::silent())))??;
    let (name, file) = (&wish.project.name, wish.path.display());
    let was = match &moved {
        Moved::From(folder) => folder.display().to_string(),
        Moved::Named(old) => old.to_string(),
    };
    if call.report.is_text() {
        call.report.line(&format!("{name}: adopted from {was}, belongs to {file} now"));
    } else {
        call.report.document(&json!({
            "address": format!("project.{name}"), "was": was, "file": wish.path, "line": null,
            "text": null,
        }));
    }
    Ok(0)
}

/// A file that says what is taken over.
struct Written {
    /// What it asks for.
    wish: Wish,
    /// Its text with the node; `None` where it says so already.
    text: Option<String>,
    /// The file as it was.
    before: SourceFile,
}

/// Puts the node into the first of the files, in the shortest form that leaves all as it is.
fn written(
    call: &Call,
    taken: &impl Taken,
    flags: &FileFlags,
    files: &Files,
) -> Result<Written, Failures> {
    let read = select::pinned_from(call, flags, &[], files.clone())?;
    call.report.note(&format!("{}: {}", read.resolved.project.name, files.shown));
    select::say_warnings(call, &read.resolved);
    let before = files.files.first().cloned();
    let before = before.ok_or_else(|| Failure::internal("no file was read"))?;
    let project = read.resolved.project.clone();
    if taken.is_in(&project) {
        let wish = select::wish_quietly(call, flags, read)?;
        taken.may(call, &wish)?;
        return Ok(Written { wish, text: None, before });
    }
    check_editable(&before)?;
    let text = reading::text(call, &before)?;
    let mut failed = None;
    for fields in [Fields::Changed, Fields::All] {
        let nodes = taken.nodes((&project, &files.folder), fields)?;
        let text = node::insert(call, &before, &text, &nodes)?;
        let mut files = files.clone();
        if let Some(first) = files.files.first_mut() {
            first.bytes = text.clone().into_bytes();
        }
        let read = select::pinned_from(call, flags, &[], files)?;
        let wish = select::wish_quietly(call, flags, read)?;
        match taken.may(call, &wish) {
            Ok(()) => return Ok(Written { wish, text: Some(text), before }),
            Err(troubles) => failed = failed.or(Some(troubles)),
        }
    }
    Err(failed.map_or_else(|| Failure::internal("no form was tried").into(), Failures::from))
}

/// Refuses a file that nothing is written to.
fn check_editable(file: &SourceFile) -> Result<(), Failure> {
    if file.path.starts_with(crate::sources::STDIN) {
        return Err(Failure::usage("usage::conflict", "standard input is no file to write to")
            .hint("Name a file with `-f PATH`."));
    }
    Ok(())
}

/// Writes the file, unless somebody else did in the meantime.
fn put(call: &Call, written: &Written, text: &str) -> Result<(), Troubles> {
    let path = call.context.absolute(&written.before.path);
    let failed = |message: String| {
        Troubles::plain("msb::host::file", "file", format!("{}: {message}", path.display()))
    };
    let now = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
    if now != written.before.bytes {
        return Err(failed("it changed while it was read; nothing was written".to_owned()));
    }
    atomic::write_owned(&path, text.as_bytes()).map_err(|error| failed(error.to_string()))
}

fn print(call: &Call, taken: &impl Taken, files: &Files, flags: &FileFlags) -> Ending {
    let read = select::pinned_from(call, flags, &[], files.clone())?;
    let format = files.files.first().map_or(Format::Kdl, |file| file.format);
    let nodes = taken.nodes((&read.resolved.project, &files.folder), Fields::Changed)?;
    let text = node::text(nodes, format)?;
    if call.report.is_text() {
        call.report.raw(text.as_bytes());
    } else {
        call.report.document(&json!({
            "address": taken.address(), "was": taken.was(),
            "file": null, "line": null, "text": text,
        }));
    }
    Ok(0)
}

fn tell(call: &Call, taken: &impl Taken, written: &Written) {
    let place = written.wish.origins.nearest(&taken.address(), "");
    if !call.report.is_text() {
        call.report.document(&json!({
            "address": taken.address(), "was": taken.was(),
            "file": place.as_ref().map(|place| Path::new(&place.file)),
            "line": place.as_ref().map(|place| place.line), "text": null,
        }));
        return;
    }
    call.report.line(&taken.line());
    if let (Some(place), Some(_)) = (place, &written.text) {
        call.report.note(&format!("written at {}:{}", place.file, place.line));
    }
}
