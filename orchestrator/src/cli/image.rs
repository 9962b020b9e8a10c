//! Images on this host

use std::collections::BTreeMap;

use clap::Subcommand;
use schema::exit::Kind;
use schema::project::ImageRef;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures, first};
use super::{load, pull, save, verify};
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

/// Remove names of images
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The images
    #[arg(value_name = "REF", required = true)]
    references: Vec<String>,
    /// Take a name away that a sandbox uses; its data stay [default: refuse]
    #[arg(short, long)]
    force: bool,
}

impl Args {
    /// Tells whether `--output` of this subcommand is a path.
    pub(crate) const fn writes_an_archive(&self) -> bool {
        matches!(self.command, Command::Save(_))
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
    }
}

/// Returns who uses which image, by its name in full.
pub(super) fn users(call: &Call) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for view in call.engine.sandboxes(None).map_err(first)? {
        let definition = view.definition.as_ref();
        if let Some(reference) = definition.and_then(|definition| definition.root.reference()) {
            let image = reference.to_string();
            users.entry(image).or_default().push(format!("{}/{}", view.project, view.name));
        }
    }
    Ok(users)
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
    let users = if images.is_empty() { BTreeMap::new() } else { users(call)? };
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

fn print(call: &Call, images: &[ImageEntry], users: &BTreeMap<String, Vec<String>>) {
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
            users.get(&image.reference).map(|users| users.join(",")).unwrap_or_default(),
        ]);
    }
    call.report.out(&table.text(call.report.width()));
}

pub(super) fn shape(
    image: &ImageEntry,
    users: &BTreeMap<String, Vec<String>>,
) -> serde_json::Value {
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
        "in_use_by": users.get(&image.reference).cloned().unwrap_or_default(),
    })
}

/// Removes names; one that a sandbox uses is refused.
pub(crate) fn remove(args: &RemoveArgs, call: &Call) -> Ending {
    if call.context.existing_home().map_err(Failure::from)?.is_none() {
        let name = args.references.first().map(String::as_str).unwrap_or_default();
        return Err(not_found(name).into());
    }
    let users = users(call)?;
    let mut store = call.engine.store()?;
    let (mut failures, mut rows) = (Vec::new(), Vec::new());
    for text in &args.references {
        let name = full(text)?;
        let used = users.get(&name).filter(|_| !args.force);
        if let Some(used) = used {
            let message = format!("{} is in use by {}", load::short(&name), used.join(", "));
            failures.push(
                Failure::new("image::in-use", "image", message)
                    .kind(Kind::Refused)
                    .hint("Remove those sandboxes first, or give `-f`."),
            );
            continue;
        }
        match store.catalog().remove(&name).map_err(|error| catalog(&error))? {
            true => rows.push(load::short(&name)),
            false => failures.push(not_found(&name)),
        }
    }
    if call.report.is_text() {
        rows.iter().for_each(|name| call.report.line(&format!("removed {name}")));
    } else {
        let rows: Vec<_> =
            rows.iter().map(|name| json!({"reference": name, "result": "removed"})).collect();
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
