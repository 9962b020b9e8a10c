//! Take over what belongs to no file, running and untouched

mod node;

use std::path::Path;

use schema::name::{InstanceName, ProjectName, SandboxName};
use schema::sandboxfile::print::project::Fields;
use schema::sandboxfile::source::{Format, SourceFile};
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select::{self, Choice};
use super::targets::{self, Target};
use super::{following, reading, shapes};
use crate::context::Clock as _;
use crate::engine::{Adoption, Moved, SandboxView, Troubles};
use crate::plan::Wish;
use crate::sources::Files;
use crate::store::atomic;

/// Take over what belongs to no file, running and untouched
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// The sandbox, as `web` or `adhoc/web`
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

/// Writes the node into the file, then changes the owner; nothing of it runs otherwise.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.moved {
        return moved(args, call);
    }
    let text = args.address.as_deref().unwrap_or_default();
    let view = sandbox(call, text)?;
    let sandbox = args.name.clone().unwrap_or_else(|| view.name.sandbox.clone());
    let adoption = Adoption { was: view.name.clone(), name: InstanceName::only(sandbox) };
    let files = call.files()?;
    if args.print {
        return print(call, &view, &adoption, &files, &args.files);
    }
    let written = written(call, (&view, &adoption), &args.files, &files)?;
    let options = following::options(call, "adopt");
    let write = || match &written.text {
        None => Ok(()),
        Some(text) => put(call, &written, text),
    };
    let asked = (&written.wish, &adoption);
    call.block_on(call.engine.adopt(asked, (&options, &following::silent()), write))??;
    tell(call, &view, &adoption, &written);
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

/// Returns the sandbox of the imperative project that an address means.
fn sandbox(call: &Call, text: &str) -> Result<SandboxView, Failure> {
    if text.starts_with("volume.") {
        return Err(Failure::not_yet("adopt volume.NAME")
            .hint("Name it in the file with `external #true`; it is used as it is."));
    }
    let text = text.strip_prefix("sandbox.").unwrap_or(text);
    let target: Target = text.parse().map_err(|error| {
        Failure::usage("usage::value", format!("{text}: no address")).cause(format!("{error}"))
    })?;
    let project = target.project.clone().unwrap_or_else(ProjectName::adhoc);
    let target = Target { project: Some(project), name: target.name };
    let view = targets::find(call, &target)?;
    if view.project.as_str() != ProjectName::ADHOC {
        let message = format!("{target} belongs to project {}", view.project);
        return Err(Failure::new("owner::foreign", "plan", message)
            .hint("Take it out of that file with `lifecycle { keep #true }` first."));
    }
    if shapes::sandbox(&view, call.context.clock.unix_ms(), false).ephemeral {
        let message = format!("{target} goes away when it ends");
        return Err(Failure::new("owner::ephemeral", "plan", message)
            .hint("Make it again without `--rm`, or write it in the file and run `msb up`."));
    }
    Ok(view)
}

/// A file that says what the sandbox is.
struct Written {
    /// What it asks for.
    wish: Wish,
    /// Its text with the node; `None` where it says so already.
    text: Option<String>,
    /// The file as it was.
    before: SourceFile,
}

/// Puts the node into the first of the files, in the shortest form that leaves the sandbox as it is.
fn written(
    call: &Call,
    (view, adoption): (&SandboxView, &Adoption),
    flags: &FileFlags,
    files: &Files,
) -> Result<Written, Failures> {
    let read = select::pinned_from(call, flags, &[], files.clone())?;
    call.report.note(&format!("{}: {}", read.resolved.project.name, files.shown));
    select::say_warnings(call, &read.resolved);
    let before = files.files.first().cloned();
    let before = before.ok_or_else(|| Failure::internal("no file was read"))?;
    let project = read.resolved.project.clone();
    if project.definitions.contains_key(&adoption.name.sandbox) {
        let wish = select::wish_quietly(call, flags, read)?;
        call.engine.may_adopt(&wish, adoption)?;
        return Ok(Written { wish, text: None, before });
    }
    check_editable(&before, view)?;
    let text = reading::text(call, &before)?;
    let mut failed = None;
    for fields in [Fields::Changed, Fields::All] {
        let nodes = node::of(view, adoption, (&project, &files.folder, fields))?;
        let text = node::insert(call, &before, &text, &nodes)?;
        let mut files = files.clone();
        if let Some(first) = files.files.first_mut() {
            first.bytes = text.clone().into_bytes();
        }
        let read = select::pinned_from(call, flags, &[], files)?;
        let wish = select::wish_quietly(call, flags, read)?;
        match call.engine.may_adopt(&wish, adoption) {
            Ok(_) => return Ok(Written { wish, text: Some(text), before }),
            Err(troubles) => failed = failed.or(Some(troubles)),
        }
    }
    Err(failed.map_or_else(|| Failure::internal("no form was tried").into(), Failures::from))
}

/// Refuses a file that no node is put into.
fn check_editable(file: &SourceFile, view: &SandboxView) -> Result<(), Failure> {
    let name = file.path.display();
    let by_hand =
        format!("Put in what `msb adopt {} --print` prints, then run this again.", view.name);
    if file.path.starts_with(crate::sources::STDIN) {
        return Err(Failure::usage("usage::conflict", "standard input is no file to write to")
            .hint("Name a file with `-f PATH`."));
    }
    match file.format {
        Format::Kdl => Ok(()),
        Format::Yaml => Err(Failure::not_yet(&format!("{name}: adopting into YAML")).hint(by_hand)),
    }
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

fn print(
    call: &Call,
    view: &SandboxView,
    adoption: &Adoption,
    files: &Files,
    flags: &FileFlags,
) -> Ending {
    let read = select::pinned_from(call, flags, &[], files.clone())?;
    let format = files.files.first().map_or(Format::Kdl, |file| file.format);
    let project = &read.resolved.project;
    let nodes = node::of(view, adoption, (project, &files.folder, Fields::Changed))?;
    let text = node::text(nodes, format)?;
    if call.report.is_text() {
        call.report.raw(text.as_bytes());
    } else {
        call.report.document(&json!({
            "address": format!("sandbox.{}", adoption.name), "was": format!("adhoc/{}", view.name),
            "file": null, "line": null, "text": text,
        }));
    }
    Ok(0)
}

fn tell(call: &Call, view: &SandboxView, adoption: &Adoption, written: &Written) {
    let place = written.wish.origins.nearest(&format!("sandbox.{}", adoption.name), "");
    if !call.report.is_text() {
        call.report.document(&json!({
            "address": format!("sandbox.{}", adoption.name), "was": format!("adhoc/{}", view.name),
            "file": place.as_ref().map(|place| Path::new(&place.file)),
            "line": place.as_ref().map(|place| place.line), "text": null,
        }));
        return;
    }
    let pid = view.record.as_ref().filter(|_| view.alive).map(|record| record.runtime.pid);
    let now = match pid {
        Some(pid) => format!("running, pid {pid}"),
        None => shapes::phase(view.phase, view.reason.as_deref(), view.exit_code),
    };
    call.report.line(&format!("adhoc/{}: adopted as {}, {now}", view.name, adoption.name));
    if let (Some(place), Some(_)) = (place, &written.text) {
        call.report.note(&format!("written at {}:{}", place.file, place.line));
    }
}
