//! Which sandbox is meant: a name, here or in another project; labels; all.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use schema::name::{InstanceName, InstanceNameError, ProjectName};
use schema::sandboxfile::problem::nearest;

use super::call::Call;
use super::failure::{Failure, first};
use super::values;
use crate::engine::SandboxView;

/// `[PROJECT/]NAME[INSTANCE]`; a name without an index means all its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The project, where it was written.
    pub(crate) project: Option<ProjectName>,
    /// The sandbox, perhaps with an index.
    pub(crate) name: InstanceName,
}

impl FromStr for Target {
    type Err = InstanceNameError;

    fn from_str(text: &str) -> Result<Self, InstanceNameError> {
        let (project, name) = match text.split_once('/') {
            Some((project, name)) => (Some(ProjectName::parse(project)?), name),
            None => (None, text),
        };
        Ok(Self { project, name: InstanceName::parse(name)? })
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

/// Sandboxes by name, by label, or all.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Targets {
    /// The sandboxes, as `web`, `web[0]` or `shop/web`
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<Target>,
    /// Those with this label (can be repeated; all must hold)
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = values::pair)]
    pub(crate) labels: Vec<(String, Option<String>)>,
    #[command(flatten)]
    pub(crate) reach: Width,
}

/// How far labels and `--all` look.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Width {
    /// Every sandbox of the current project [default: off]
    #[arg(long)]
    pub(crate) all: bool,
    /// Labels and `--all` look in every project [default: off]
    #[arg(long)]
    pub(crate) all_projects: bool,
}

impl Targets {
    /// Tells whether nothing was chosen.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.labels.is_empty() && !self.reach.all
    }

    /// Tells whether sandboxes were chosen by something else than their names.
    pub(crate) fn is_by_rule(&self) -> bool {
        !self.labels.is_empty() || self.reach.all
    }

    /// Returns what was chosen, in argument order, then by name, without repeats.
    ///
    /// # Errors
    /// Nothing was chosen, or a name does not exist.
    pub(crate) fn find(&self, call: &Call) -> Result<Vec<SandboxView>, Failure> {
        if self.is_empty() {
            return Err(Failure::usage("usage::value", "no sandbox was named")
                .hint("Name one, or choose with `--label` or `--all`."));
        }
        let mut found: Vec<SandboxView> = Vec::new();
        for target in &self.names {
            find_all(call, target)?.into_iter().for_each(|view| add(&mut found, view));
        }
        if self.is_by_rule() {
            let mut matched = 0;
            for view in everything(call, self.reach.all_projects)? {
                if self.reach.all || matches(&view, &self.labels) {
                    matched += 1;
                    add(&mut found, view);
                }
            }
            if matched == 0 {
                call.report.warn("no sandbox was chosen by label or `--all`");
            }
        }
        Ok(found)
    }
}

fn add(found: &mut Vec<SandboxView>, view: SandboxView) {
    if !found.iter().any(|one| (&one.project, &one.name) == (&view.project, &view.name)) {
        found.push(view);
    }
}

/// Tells whether a sandbox has every label.
pub(crate) fn matches(view: &SandboxView, labels: &[(String, Option<String>)]) -> bool {
    labels.iter().all(|(key, value)| {
        let has = view.definition.as_ref().and_then(|sandbox| sandbox.labels.get(key));
        has.is_some_and(|has| value.as_ref().is_none_or(|value| value == has))
    })
}

/// Returns every sandbox of the current project, or of all.
///
/// # Errors
/// The state cannot be read.
pub(crate) fn everything(call: &Call, all_projects: bool) -> Result<Vec<SandboxView>, Failure> {
    if call.context.existing_home()?.is_none() {
        return Ok(Vec::new());
    }
    let project = if all_projects {
        None
    } else {
        Some(call.own_project()?.unwrap_or_else(ProjectName::adhoc))
    };
    call.engine.sandboxes(project.as_ref()).map_err(first)
}

/// Returns the one instance that a name means: the lowest that runs, else the lowest.
///
/// # Errors
/// There is none.
pub(crate) fn find(call: &Call, target: &Target) -> Result<SandboxView, Failure> {
    look(call, target)?.ok_or_else(|| not_found(call, target))
}

/// Returns every instance that a name means.
///
/// # Errors
/// There is none.
pub(crate) fn find_all(call: &Call, target: &Target) -> Result<Vec<SandboxView>, Failure> {
    let found = look_all(call, target)?;
    if found.is_empty() { Err(not_found(call, target)) } else { Ok(found) }
}

/// Returns the one instance that a name means, if there is one.
///
/// # Errors
/// The state cannot be read.
pub(crate) fn look(call: &Call, target: &Target) -> Result<Option<SandboxView>, Failure> {
    let mut found = look_all(call, target)?;
    let running = found.iter().position(|view| view.alive).unwrap_or(0);
    Ok((running < found.len()).then(|| found.swap_remove(running)))
}

/// Looks for a name in its project, else in the current one, else in `adhoc`.
fn look_all(call: &Call, target: &Target) -> Result<Vec<SandboxView>, Failure> {
    if call.context.existing_home()?.is_none() {
        return Ok(Vec::new());
    }
    let projects = match &target.project {
        Some(project) => vec![project.clone()],
        None => {
            let current = call.own_project()?.unwrap_or_else(ProjectName::adhoc);
            let adhoc = ProjectName::adhoc();
            if current == adhoc { vec![adhoc] } else { vec![current, adhoc] }
        }
    };
    for project in projects {
        let found = call.engine.instances(&project, &target.name).map_err(first)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// Returns the failure that names what is near.
pub(crate) fn not_found(call: &Call, target: &Target) -> Failure {
    let failure =
        Failure::new("sandbox::not-found", "state", format!("there is no sandbox `{target}`"));
    let known = everything(call, true).unwrap_or_default();
    let here: Vec<String> = known
        .iter()
        .filter(|v| target.name.means(&v.name))
        .map(|v| v.project.to_string())
        .collect();
    if let Some(project) = here.first() {
        return failure.hint(format!("Name `{project}/{}`, if that was meant.", target.name));
    }
    let names = known.iter().map(|view| view.name.sandbox.as_str());
    match nearest(target.name.sandbox.as_str(), names) {
        Some(near) => failure.hint(format!("Name `{near}`, if that was meant.")),
        None => failure.hint("List what exists with `msb list`."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_with_or_without_its_project() {
        let there: Target = "shop/web".parse().unwrap();
        assert_eq!(there.project.as_ref().map(ProjectName::as_str), Some("shop"));
        assert_eq!(there.to_string(), "shop/web");
        assert_eq!("web".parse::<Target>().unwrap().project, None);
        assert_eq!("shop/web.2".parse::<Target>().unwrap().to_string(), "shop/web[2]");
        for bad in ["", "/web", "shop/", "a/b/c", "Web", "web[x]"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
