//! A volume of nobody's.

use std::path::Path;

use schema::name::{ProjectName, SandboxName, VolumeName};
use schema::project::{self, Project, Quota};
use schema::sandboxfile::print::project::{Fields, Paths, Writer};
use schema::sandboxfile::tree::Entry;
use schema::units::Bytes;

use super::Taken;
use crate::cli::call::Call;
use crate::cli::failure::{Failure, Failures};
use crate::cli::following;
use crate::cli::volume::{self, Storage, Target};
use crate::engine::{Troubles, VolumeAdoption, VolumeView};
use crate::plan::Wish;

/// How the address of a volume begins.
pub(super) const PREFIX: &str = "volume.";

/// See the module.
pub(super) struct Volume {
    view: VolumeView,
    adoption: VolumeAdoption,
}

impl Volume {
    /// Returns the one that an address means.
    ///
    /// # Errors
    /// There is none, or it is a project's.
    pub(super) fn of(call: &Call, text: &str, name: Option<&SandboxName>) -> Result<Self, Failure> {
        let usage = |text: &str, error: &dyn std::fmt::Display| {
            Failure::usage("usage::value", format!("{text}: no address")).cause(error.to_string())
        };
        let target = text.strip_prefix(PREFIX).unwrap_or(text);
        let target: Target = target.parse().map_err(|error| usage(text, &error))?;
        let view = find(call, &target)?;
        let name = match name {
            Some(name) => {
                VolumeName::parse(name.as_str()).map_err(|error| usage(name.as_str(), &error))?
            }
            None => view.row.name.clone(),
        };
        let (id, was) = (view.row.id.clone(), view.row.name.clone());
        Ok(Self { view, adoption: VolumeAdoption { id, was, name } })
    }

    /// Returns it as a file defines it.
    fn definition(&self) -> project::Volume {
        let row = &self.view.row;
        project::Volume {
            kind: Some(row.kind),
            size: row.size_bytes.map(Bytes),
            quota: row.quota_bytes.map(|bytes| Quota::Bytes(Bytes(bytes))),
            labels: row.labels.clone(),
            protect: row.protect,
            ..project::Volume::unsaid()
        }
    }
}

impl Taken for Volume {
    fn was(&self) -> String {
        volume::named(&self.view)
    }

    fn address(&self) -> String {
        format!("{PREFIX}{}", self.adoption.name)
    }

    fn is_in(&self, project: &Project) -> bool {
        project.volumes.contains_key(&self.adoption.name)
    }

    fn nodes(
        &self,
        (project, folder): (&Project, &Path),
        fields: Fields,
    ) -> Result<Vec<Entry<'static>>, Failure> {
        let alone = Project::empty(project.name.clone(), project.folder.clone());
        let paths = folder.to_str().map_or(Paths::Absolute, Paths::Below);
        let writer = Writer::new(&alone, fields, paths);
        Ok(vec![writer.volume(&self.adoption.name, &self.definition())])
    }

    fn may(&self, call: &Call, wish: &Wish) -> Result<(), Troubles> {
        call.engine.may_adopt_volume(wish, &self.adoption)
    }

    fn adopt(
        &self,
        call: &Call,
        wish: &Wish,
        write: impl FnOnce() -> Result<(), Troubles>,
    ) -> Result<(), Failures> {
        let (options, ui) = (following::options(call, "adopt"), following::silent());
        let asked = (wish, &self.adoption);
        Ok(call.block_on(call.engine.adopt_volume(asked, (&options, &ui), write))??)
    }

    fn line(&self) -> String {
        let row = &self.view.row;
        let size = row.size_bytes.map_or_else(String::new, |size| format!(" of {}", Bytes(size)));
        let (was, name, kind) = (&self.adoption.was, &self.adoption.name, row.kind.as_str());
        format!("{PREFIX}{was}: adopted as {name}, a {kind}{size}")
    }
}

/// Returns the volume of nobody's that a target means.
fn find(call: &Call, target: &Target) -> Result<VolumeView, Failure> {
    let mut storage = Storage::of(call)?;
    let named = |view: &VolumeView| view.row.name == target.name;
    let owner =
        |view: &VolumeView| view.owner.clone().filter(|owner| owner.as_str() != ProjectName::ADHOC);
    let asked = target.project.clone().filter(|project| project.as_str() != ProjectName::ADHOC);
    let found = storage.live.iter().position(|view| named(view) && owner(view) == asked);
    if let (Some(found), None) = (found, &asked) {
        return Ok(storage.live.swap_remove(found));
    }
    let mut elsewhere = storage.live.iter().filter(|view| named(view)).filter_map(owner);
    let owner = elsewhere.find(|owner| asked.as_ref().is_none_or(|asked| asked == owner));
    let Some(owner) = owner else { return Err(volume::not_found(&storage.live, target)) };
    let name = &target.name;
    if call.project().is_ok_and(|project| project == owner) {
        let message = format!("there is no volume `{name}` of nobody's");
        let failure = Failure::new("volume::not-found", "state", message);
        return Err(failure.hint(format!("Project {owner} has it already.")));
    }
    let message = format!("volume {name} belongs to project {owner}");
    let hint = format!(
        "Use it as it is: `volume \"{name}\" {{ external #true; host-name \"{owner}/{name}\" }}`."
    );
    Err(Failure::new("owner::foreign", "plan", message).hint(hint))
}
