//! What state knows of a project, as a project that a file can say.

use std::collections::BTreeMap;

use schema::name::{InstanceName, ProjectName, SandboxName};
use schema::project::{Definition, External, Project, Secret, Volume};

use crate::cli::call::Call;
use crate::cli::failure::{Failure, Failures};
use crate::plan::{Goal, Wish};

/// A project of state.
pub(super) struct Known {
    /// It, as a file can say it.
    pub(super) project: Project,
    /// The wish that state itself has for it.
    pub(super) wish: Wish,
    /// What the file cannot say.
    pub(super) notes: Vec<String>,
}

/// Reads a project out of the state.
///
/// # Errors
/// There is none, or it is one that no file can say.
pub(super) fn read(call: &Call, name: &ProjectName) -> Result<Known, Failures> {
    let wish = call.engine.wish_of_state(name, Goal::Up)?;
    let mut project = wish.project.clone();
    let views = call.engine.sandboxes(Some(name))?;
    let held = views.iter().filter(|view| {
        let says = |body: &schema::project::Body| body.lifecycle.protect;
        view.protected && !project.sandboxes.get(&view.name).is_some_and(says)
    });
    let notes = held.map(|view| {
        format!(
            "{}: protected by state alone; write lifecycle {{ protect #true }} to say so",
            view.name
        )
    });
    let notes = notes.collect();
    project.definitions = definitions(&project)?;
    project.secrets = secrets(&project)?;
    external_volumes(call, &mut project)?;
    Ok(Known { project, wish, notes })
}

/// Returns what belongs to each name: replicas, where there are any.
fn definitions(project: &Project) -> Result<BTreeMap<SandboxName, Definition>, Failure> {
    let mut found: BTreeMap<SandboxName, Definition> = BTreeMap::new();
    for (name, body) in &project.sandboxes {
        let known = found
            .entry(name.sandbox.clone())
            .or_insert_with(|| Definition { kind: body.kind, ..Definition::default() });
        let Some(index) = name.index else { continue };
        let next = known.replicas.unwrap_or(0);
        let first = InstanceName { index: Some(0), ..name.clone() };
        let alike = project.sandboxes.get(&first).is_some_and(|first| first == body);
        if next != index || !alike {
            let message = format!("{}: its replicas are not alike", name.sandbox);
            return Err(Failure::new("export::replicas", "state", message)
                .note("what makes them differ stands in the file that they were made from")
                .hint("Bring them up from that file first, or leave them out: name the others."));
        }
        known.replicas = Some(index + 1);
    }
    Ok(found)
}

/// Returns the secrets that sandboxes use, each by its reference.
fn secrets(project: &Project) -> Result<BTreeMap<schema::name::SecretName, Secret>, Failure> {
    let mut found: BTreeMap<_, Secret> = BTreeMap::new();
    for (sandbox, body) in &project.sandboxes {
        for (name, secret) in &body.secrets {
            if found.get(name).is_some_and(|known| known != secret) {
                let message = format!("{sandbox}: its secret {name} is not that of the others");
                return Err(Failure::new("export::secret", "state", message)
                    .hint("Run `msb up` first, so that all have the same one."));
            }
            found.insert(name.clone(), secret.clone());
        }
    }
    Ok(found)
}

/// Adds the volumes that are mounted and belong to somebody else, as such.
fn external_volumes(call: &Call, project: &mut Project) -> Result<(), Failures> {
    let seen = call.engine.volumes()?;
    let mounts = project.sandboxes.values().flat_map(|body| &body.mounts);
    let names: Vec<_> = mounts.filter_map(|mount| mount.source.volume()).cloned().collect();
    for name in names {
        if project.volumes.contains_key(&name) {
            continue;
        }
        let is_free = |owner: Option<&ProjectName>| {
            owner.is_none_or(|owner| owner.as_str() == ProjectName::ADHOC)
        };
        let candidates = seen.iter().filter(|seen| seen.row.name == name);
        let found = candidates.max_by_key(|seen| is_free(seen.owner.as_ref()));
        let external = found.map(|seen| External {
            project: seen.owner.clone().filter(|owner| !is_free(Some(owner))),
            name: name.clone(),
        });
        project.volumes.insert(name, Volume { external, ..Volume::unsaid() });
    }
    Ok(())
}

/// Refuses a part of which something needs what is not there.
///
/// # Errors
/// It names what needs what.
pub(super) fn check_whole(project: &Project) -> Result<(), Failure> {
    if project.sandboxes.is_empty() && project.volumes.is_empty() {
        let message = format!("project {} has nothing that could be exported", project.name);
        return Err(Failure::new("project::not-found", "state", message)
            .hint("Name another project with `-p NAME`; `msb list` shows what there is."));
    }
    for (name, body) in &project.sandboxes {
        let waits = body.depends_on.keys().map(|target| target.sandbox.clone());
        let needs = waits.chain(body.connect.keys().cloned());
        let missing = needs.into_iter().find(|target| !project.definitions.contains_key(target));
        if let Some(target) = missing {
            let message = format!("{name} needs {target}, which does not exist");
            return Err(Failure::new("sandbox::not-found", "state", message)
                .hint(format!("Bring {target} up, or leave {name} out: name the others.")));
        }
    }
    Ok(())
}
