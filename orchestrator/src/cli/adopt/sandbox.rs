//! A sandbox of the imperative project.

use std::collections::BTreeMap;
use std::path::Path;

use schema::name::{InstanceName, ProjectName, SandboxName};
use schema::project::{Definition, External, Project, Volume};
use schema::sandboxfile::print::project::{Fields, Paths, Writer};
use schema::sandboxfile::tree::Entry;

use super::Taken;
use crate::cli::call::Call;
use crate::cli::failure::{Failure, Failures};
use crate::cli::targets::{self, Target};
use crate::cli::{following, project_text, shapes};
use crate::context::Clock as _;
use crate::engine::{Adoption, SandboxView, Troubles};
use crate::plan::Wish;

/// See the module.
pub(super) struct Sandbox {
    view: SandboxView,
    adoption: Adoption,
}

impl Sandbox {
    /// Returns the one that an address means.
    ///
    /// # Errors
    /// There is none, it is a project's, or it goes away when it ends.
    pub(super) fn of(call: &Call, text: &str, name: Option<&SandboxName>) -> Result<Self, Failure> {
        let view = find(call, text)?;
        let sandbox = name.unwrap_or(&view.name.sandbox).clone();
        let adoption = Adoption { was: view.name.clone(), name: InstanceName::only(sandbox) };
        Ok(Self { view, adoption })
    }
}

impl Taken for Sandbox {
    fn was(&self) -> String {
        format!("adhoc/{}", self.view.name)
    }

    fn address(&self) -> String {
        format!("sandbox.{}", self.adoption.name)
    }

    fn is_in(&self, project: &Project) -> bool {
        project.definitions.contains_key(&self.adoption.name.sandbox)
    }

    /// Those of volumes that the project does not have come first.
    fn nodes(
        &self,
        (project, folder): (&Project, &Path),
        fields: Fields,
    ) -> Result<Vec<Entry<'static>>, Failure> {
        let body = self.view.definition.clone().ok_or_else(|| {
            let message = format!("adhoc/{} was never made whole", self.view.name);
            Failure::new("sandbox::not-found", "state", message)
                .hint(format!("Remove it with `msb rm -f adhoc/{}`.", self.view.name))
        })?;
        let mut alone = Project::empty(project.name.clone(), project.folder.clone());
        let kind = body.kind;
        let mounts = body.mounts.iter().filter_map(|mount| mount.source.volume());
        let missing: BTreeMap<_, _> = mounts
            .filter(|name| !project.volumes.contains_key(*name))
            .map(|name| {
                let external = Some(External { project: None, name: name.clone() });
                (name.clone(), Volume { external, ..Volume::unsaid() })
            })
            .collect();
        let name = self.adoption.name.sandbox.clone();
        alone.definitions.insert(name.clone(), Definition { kind, ..Definition::default() });
        alone.sandboxes.insert(self.adoption.name.clone(), body);
        let paths = folder.to_str().map_or(Paths::Absolute, Paths::Below);
        let writer = Writer::new(&alone, fields, paths);
        let mut nodes: Vec<Entry<'static>> =
            missing.iter().map(|(name, volume)| writer.volume(name, volume)).collect();
        nodes.push(writer.sandbox(&name).map_err(|error| project_text::unwritable(&error))?);
        Ok(nodes)
    }

    fn may(&self, call: &Call, wish: &Wish) -> Result<(), Troubles> {
        call.engine.may_adopt(wish, &self.adoption).map(|_| ())
    }

    fn adopt(
        &self,
        call: &Call,
        wish: &Wish,
        write: impl FnOnce() -> Result<(), Troubles>,
    ) -> Result<(), Failures> {
        let (options, ui) = (following::options(call, "adopt"), following::silent());
        let asked = (wish, &self.adoption);
        Ok(call.block_on(call.engine.adopt(asked, (&options, &ui), write))??)
    }

    fn line(&self) -> String {
        let view = &self.view;
        let pid = view.record.as_ref().filter(|_| view.alive).map(|record| record.runtime.pid);
        let now = match pid {
            Some(pid) => format!("running, pid {pid}"),
            None => shapes::phase(view.phase, view.reason.as_deref(), view.exit_code),
        };
        format!("{}: adopted as {}, {now}", self.was(), self.adoption.name)
    }
}

fn find(call: &Call, text: &str) -> Result<SandboxView, Failure> {
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
