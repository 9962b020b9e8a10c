//! Images on this host

use clap::Subcommand;
use schema::project::ImageRef;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::{load, prune, pull, save, verify};
use crate::engine::ImageUsers;
use crate::images::ImageEntry;
use crate::report::human::{self, Table};
use crate::report::json::rfc3339;
use crate::report::time;
use crate::store::time::parse;

/// Images on this host
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
    Pull(pull::Args),
    Load(load::Args),
    Save(save::Args),
    Inspect(verify::InspectArgs),
    Verify(verify::Args),
    Prune(prune::Args),
}

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The images [default: all]
    #[arg(value_name = "REF")]
    references: Vec<String>,
    /// Print names only
    #[arg(short = 'q', id = "names-only")]
    pub(crate) names_only: bool,
}

/// Remove names of images, with what only they needed
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The images
    #[arg(value_name = "REF", required = true)]
    references: Vec<String>,
    /// Take a name away that a sandbox uses; its data stay as long [default: refuse]
    #[arg(short, long)]
    force: bool,
}

impl Args {
    /// Tells whether `--output` of this subcommand is a path.
    pub(crate) const fn writes_an_archive(&self) -> bool {
        matches!(self.command, Command::Save(_))
    }

    /// Tells whether `-y` was given to a subcommand.
    pub(crate) const fn says_yes(&self) -> bool {
        match &self.command {
            Command::Prune(args) => args.yes_short,
            _ => false,
        }
    }

    /// Tells whether `-q` was given to a list.
    pub(crate) const fn wants_names_only(&self) -> bool {
        match &self.command {
            Command::Ls(args) => args.names_only,
            _ => false,
        }
    }
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    match &args.command {
        Command::Ls(args) => list(args, call),
        Command::Rm(args) => remove(args, call),
        Command::Pull(args) => pull::run(args, call),
        Command::Load(args) => load::run(args, call),
        Command::Save(args) => save::run(args, call),
        Command::Inspect(args) => verify::inspect(args, call),
        Command::Verify(args) => verify::run(args, call),
        Command::Prune(args) => prune::run(args, call),
    }
}

/// Lists images; creates nothing.
pub(crate) fn list(args: &ListArgs, call: &Call) -> Ending {
    let mut images = match call.context.existing_home().map_err(Failure::from)? {
        None => Vec::new(),
        Some(_) => match call.engine.store_read_only()? {
            None => Vec::new(),
            Some(mut store) => store.catalog().list().map_err(|error| catalog(&error))?,
        },
    };
    if !args.references.is_empty() {
        let wanted = args.references.iter().map(|text| full(text));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        for name in &wanted {
            if !images.iter().any(|image| image.reference == *name) {
                return Err(not_found(name).into());
            }
        }
        images.retain(|image| wanted.contains(&image.reference));
    }
    let users = match images.is_empty() {
        true => ImageUsers::default(),
        false => call.engine.image_users()?,
    };
    if call.settings.quiet && call.report.is_text() {
        images.iter().for_each(|image| call.report.line(&load::short(&image.reference)));
    } else if call.report.is_text() {
        print(call, &images, &users);
    } else {
        let rows: Vec<_> = images.iter().map(|image| shape(image, &users)).collect();
        call.report.document(&rows);
    }
    Ok(0)
}

fn print(call: &Call, images: &[ImageEntry], users: &ImageUsers) {
    if images.is_empty() {
        call.report.note("no images");
    }
    let mut table = Table::new(&["REFERENCE", "DIGEST", "SIZE", "CREATED", "IN-USE"]);
    for image in images {
        let created = image.created_at.as_deref().and_then(parse);
        table.row(vec![
            load::short(&image.reference),
            image.manifest_digest.chars().take("sha256:".len() + 12).collect(),
            human::size(image.bytes),
            created.map(time::local).unwrap_or_default(),
            users.of_image(image).join(","),
        ]);
    }
    call.report.out(&table.text(call.report.width()));
}

pub(super) fn shape(image: &ImageEntry, users: &ImageUsers) -> serde_json::Value {
    let (os, architecture) = image.platform.split_once('/').unwrap_or((&image.platform, ""));
    json!({
        "reference": load::short(&image.reference),
        "digest": image.manifest_digest,
        "config_digest": image.config_digest,
        "size_bytes": image.bytes,
        "architecture": architecture,
        "os": os,
        "layer_count": image.layers.len(),
        "created_at": image.created_at.as_deref().and_then(parse).map(rfc3339),
        "pulled_at": rfc3339(image.pulled_at_ms),
        "in_use_by": users.of_image(image),
    })
}

/// Removes names with what only they needed; one that a sandbox uses is refused.
pub(crate) fn remove(args: &RemoveArgs, call: &Call) -> Ending {
    if call.context.existing_home().map_err(Failure::from)?.is_none() {
        let name = args.references.first().map(String::as_str).unwrap_or_default();
        return Err(not_found(name).into());
    }
    let names = args.references.iter().map(|text| full(text)).collect::<Result<Vec<_>, _>>()?;
    let (mut failures, mut rows) = (Vec::new(), Vec::new());
    for name in &names {
        let removed = match call.engine.remove_image(name, args.force) {
            Ok(removed) => removed,
            Err(error) => {
                failures.extend(prune::failed(error).0);
                continue;
            }
        };
        let name = load::short(name);
        if call.report.is_text() {
            call.report.line(&format!("removed {name}"));
            if removed.bytes > 0 {
                call.report.note(&format!("reclaimed {}", human::size(removed.bytes)));
            }
        }
        if removed.postponed {
            let why = "another command works with the images";
            call.report.warn(&format!(
                "{name}: its data stay until the next `msb image prune`, since {why}"
            ));
        }
        rows.push(
            json!({"reference": name, "result": "removed", "bytes_reclaimed": removed.bytes}),
        );
    }
    if !call.report.is_text() {
        call.report.document(&rows);
    }
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

pub(super) fn full(text: &str) -> Result<String, Failure> {
    let parsed = ImageRef::parse(text);
    parsed.map(|name| name.to_string()).map_err(|error| {
        Failure::usage("usage::value", format!("`{text}` is no name of an image"))
            .cause(error.to_string())
    })
}

pub(super) fn not_found(name: &str) -> Failure {
    let message = format!("there is no image `{}`", load::short(name));
    Failure::new("image::not-found", "image", message).hint("List images with `msb image ls`.")
}

pub(super) fn catalog(error: &crate::images::CatalogError) -> Failure {
    Failure::of("msb::state::unusable", "state", error)
}
