//! Write a Sandboxfile of what is

mod proof;
mod state;

use std::path::{Path, PathBuf};

use schema::name::InstanceName;
use schema::project::{ImageRef, Project};
use schema::sandboxfile::print::project::{Fields, Paths};
use schema::sandboxfile::source::Format;
use serde_json::json;

use super::call::Call;
use super::convert::{self, Syntax};
use super::ending::Ending;
use super::failure::Failure;
use super::globals::ProjectShorts;
use super::project_text::{self, Form, Notation, Part};
use super::{part, select};

/// Write a Sandboxfile of what is
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// Those that are written, with what they need [default: all]
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<InstanceName>,
    /// Write all of the project [default: on, where no NAME is given]
    #[arg(long)]
    all: bool,
    /// The format [default: that of PATH, else kdl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Syntax>,
    /// Where to write it, whole or not at all [default: stdout]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Replace PATH if it exists [default: refuse]
    #[arg(long, requires = "out")]
    force: bool,
    /// Name each image by the digest that it has here [default: off]
    #[arg(long)]
    digests: bool,
}

/// Writes what state knows of a project as a file, proved to change nothing.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let format = args.format.unwrap_or_else(|| match args.out.as_deref().and_then(Format::of) {
        Some(Format::Yaml) => Syntax::Yaml,
        Some(Format::Kdl) | None => Syntax::Kdl,
    });
    if let Some(path) = &args.out {
        convert::check_out(call, path, (format, args.force))?;
    }
    let name = call.project()?;
    let mut known = state::read(call, &name)?;
    for name in &args.names {
        select::check_known(name, &known.project, Path::new("the state"))?;
    }
    if !args.names.is_empty() {
        known.project = part::of(&known.project, &args.names);
    }
    state::check_whole(&known.project)?;
    let folder = args.out.as_ref().map(|path| {
        let path = call.context.absolute(path);
        path.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
    });
    let below = folder.as_deref().and_then(Path::to_str);
    let form = Form {
        notation: match format {
            Syntax::Kdl => Notation::Kdl,
            Syntax::Yaml => Notation::Yaml,
        },
        fields: Fields::Changed,
        paths: below.map_or(Paths::Absolute, Paths::Below),
    };
    let mut written = known.project.clone();
    if let Some(folder) = &folder {
        written.folder.clone_from(folder);
    }
    let mut text = project_text::proved(call, &written, form, Part::default())?;
    proof::changes_nothing(call, &known, &args.names, (&text, form, &written))?;
    let mut notes = known.notes;
    if args.digests {
        notes.extend(pin(&mut written, call)?);
        text = project_text::proved(call, &written, form, Part::default())?;
    }
    tell(args, call, (&written, format), (&text, &notes))
}

fn tell(
    args: &Args,
    call: &Call,
    (project, format): (&Project, Syntax),
    (text, notes): (&str, &[String]),
) -> Ending {
    if let Some(path) = &args.out {
        convert::write(call, path, text)?;
    }
    if !call.report.is_text() {
        let text = args.out.is_none().then_some(text);
        call.report.document(&json!({
            "path": args.out, "format": format.as_str(), "project": project.name, "text": text,
            "notes": notes,
        }));
        return Ok(0);
    }
    notes.iter().for_each(|note| call.report.note(note));
    match &args.out {
        None => call.report.raw(text.as_bytes()),
        Some(path) => call.report.line(&format!("{}: written", path.display())),
    }
    Ok(0)
}

/// Names each image by its digest; returns what could not be named so.
fn pin(project: &mut Project, call: &Call) -> Result<Vec<String>, Failure> {
    let views = call.engine.sandboxes(Some(&project.name)).map_err(super::failure::first)?;
    let mut notes = Vec::new();
    for (name, body) in &mut project.sandboxes {
        let view = views.iter().find(|view| view.name == *name);
        let digest = view.and_then(|view| view.image_digest.clone());
        let Some(ImageRef::Registry(reference)) = body.root.reference() else { continue };
        if reference.digest.is_some() {
            continue;
        }
        match digest {
            Some(digest) => {
                let pinned =
                    schema::project::RegistryRef { digest: Some(digest), ..reference.clone() };
                if let schema::project::Root::Image(image) = &mut body.root {
                    image.reference = ImageRef::Registry(pinned);
                }
            }
            None => notes.push(format!("{name}: it never ran, so its image has no digest yet")),
        }
    }
    Ok(notes)
}
