//! Named storage that outlives sandboxes

mod create;
mod inspect;
mod list;
mod remove;
mod restore;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Subcommand;
use schema::name::{NameError, ProjectName, VolumeName};
use schema::sandboxfile::problem::nearest;
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, first};
use crate::engine::VolumeView;
use crate::report::json::rfc3339;
use crate::volumes;

/// Named storage that outlives sandboxes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(create::Args),
    #[command(visible_alias = "list")]
    Ls(list::Args),
    Inspect(inspect::Args),
    #[command(visible_alias = "remove")]
    Rm(remove::Args),
    Restore(restore::Args),
}

impl Args {
    /// Tells whether `-q` was given to a list.
    pub(crate) const fn wants_names_only(&self) -> bool {
        match &self.command {
            Command::Ls(args) => args.names_only,
            Command::Create(_) | Command::Inspect(_) | Command::Rm(_) | Command::Restore(_) => {
                false
            }
        }
    }
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    match &args.command {
        Command::Create(args) => create::run(args, call),
        Command::Ls(args) => list::run(args, call),
        Command::Inspect(args) => inspect::run(args, call),
        Command::Rm(args) => remove::run(args, call),
        Command::Restore(args) => restore::run(args, call),
    }
}

/// `[PROJECT/]NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) project: Option<ProjectName>,
    pub(super) name: VolumeName,
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (project, name) = match text.split_once('/') {
            Some((project, name)) => (Some(ProjectName::parse(project)?), name),
            None => (None, text),
        };
        Ok(Self { project, name: VolumeName::parse(name)? })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.project {
            Some(project) => write!(f, "{project}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// What there is, and what lies in the trash.
pub(crate) struct Storage {
    pub(crate) live: Vec<VolumeView>,
    pub(crate) trash: Vec<VolumeView>,
}

impl Storage {
    /// Looks; creates nothing.
    pub(crate) fn of(call: &Call) -> Result<Self, Failure> {
        let (live, trash) = match call.context.existing_home()? {
            Some(_) => call.engine.storage().map_err(first)?,
            None => (Vec::new(), Vec::new()),
        };
        Ok(Self { live, trash })
    }

    /// Returns the volume that a name means: in its project, else here, else of nobody.
    fn find(&self, call: &Call, target: &Target) -> Result<&VolumeView, Failure> {
        let found = look(call, &self.live, target)?;
        found.ok_or_else(|| not_found(&self.live, target))
    }

    /// Returns what lies in the trash under a name, the last that came.
    fn find_trashed(&self, call: &Call, target: &Target) -> Result<Option<&VolumeView>, Failure> {
        look(call, &self.trash, target)
    }
}

fn look<'a>(
    call: &Call,
    views: &'a [VolumeView],
    target: &Target,
) -> Result<Option<&'a VolumeView>, Failure> {
    let projects = match &target.project {
        Some(project) => vec![project.clone()],
        None => vec![call.project()?, ProjectName::adhoc()],
    };
    let of = |project: &ProjectName| {
        views.iter().find(|view| {
            // Those of nobody and those of the imperative project share their names.
            let is_owner = match &view.owner {
                Some(owner) => owner == project,
                None => project.as_str() == ProjectName::ADHOC,
            };
            is_owner && view.row.name == target.name
        })
    };
    Ok(projects.iter().find_map(of))
}

pub(super) fn not_found(views: &[VolumeView], target: &Target) -> Failure {
    let failure =
        Failure::new("volume::not-found", "state", format!("there is no volume `{target}`"));
    let elsewhere = views.iter().find(|view| view.row.name == target.name);
    if let Some(owner) = elsewhere.and_then(|view| view.owner.as_ref()) {
        return failure.hint(format!("Name `{owner}/{}`, if that was meant.", target.name));
    }
    match nearest(target.name.as_str(), views.iter().map(|view| view.row.name.as_str())) {
        Some(near) => failure.hint(format!("Name `{near}`, if that was meant.")),
        None => failure.hint("List what exists with `msb volume ls`."),
    }
}

/// Returns where a volume's bytes lie.
fn path(call: &Call, view: &VolumeView) -> PathBuf {
    volumes::content(call.context.home(), &view.row.folder)
}

/// Returns what the volume occupies on the disk, holes left out.
fn used_bytes(call: &Call, view: &VolumeView) -> Option<u64> {
    volumes::used(call.context.home(), &view.row.folder)
}

/// Returns a volume as it is named in messages.
pub(super) fn named(view: &VolumeView) -> String {
    match &view.owner {
        Some(owner) => format!("{owner}/{}", view.row.name),
        None => view.row.name.to_string(),
    }
}

/// Returns a volume as programs read it.
fn shape(call: &Call, view: &VolumeView) -> Value {
    json!({
        "address": format!("volume.{}", view.row.name),
        "name": view.row.name,
        "kind": view.row.kind.as_str(),
        "size_bytes": view.row.size_bytes,
        "quota_bytes": view.row.quota_bytes,
        "used_bytes": used_bytes(call, view),
        "project": view.owner,
        "used_by": view.users,
        "labels": view.row.labels,
        "protected": view.row.protect,
        "created_at": view.row.created_at,
        "trashed_at": view.row.trashed_at,
        "restore_until": view.restorable_until_ms(call.trash_kept()).map(rfc3339),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_named_with_or_without_its_project() {
        let there: Target = "shop/pgdata".parse().unwrap();
        assert_eq!(there.project.as_ref().map(ProjectName::as_str), Some("shop"));
        assert_eq!(there.to_string(), "shop/pgdata");
        assert_eq!("pgdata".parse::<Target>().unwrap().project, None);
        for bad in ["", "/pgdata", "shop/", "a/b/c", "Data"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
