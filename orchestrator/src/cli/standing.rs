//! A choice of sandboxes that holds on: what it means now, and what it will mean later.

use std::collections::BTreeSet;

use schema::name::{InstanceName, ProjectName};

use super::call::Call;
use super::failure::{Failure, first};
use super::targets::{self, Targets};
use crate::engine::SandboxView;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    named: Vec<(ProjectName, InstanceName)>,
    rule: Option<Rule>,
}

/// Whatever has these labels, in a project or in all.
#[derive(Debug, Clone)]
struct Rule {
    project: Option<ProjectName>,
    labels: Vec<(String, Option<String>)>,
}

impl Standing {
    /// Returns the choice of what was named, else of the whole current project.
    ///
    /// # Errors
    /// A name does not exist now, or the state cannot be read.
    pub(crate) fn of(call: &Call, targets: &Targets) -> Result<Self, Failure> {
        if targets.is_empty() {
            return Ok(Self::of_project(&call.project()?));
        }
        let mut named = Vec::new();
        for target in &targets.names {
            let found = targets::find_all(call, target)?;
            named.extend(found.first().map(|view| (view.project.clone(), target.name.clone())));
        }
        let rule = if targets.is_by_rule() {
            let all_projects = targets.reach.all_projects;
            let project = if all_projects { None } else { Some(call.project()?) };
            let labels = if targets.reach.all { Vec::new() } else { targets.labels.clone() };
            Some(Rule { project, labels })
        } else {
            None
        };
        Ok(Self { named, rule })
    }

    /// Returns the choice of a whole project.
    pub(super) fn of_project(project: &ProjectName) -> Self {
        let rule = Rule { project: Some(project.clone()), labels: Vec::new() };
        Self { named: Vec::new(), rule: Some(rule) }
    }

    /// Returns the choice of sandboxes of one project, by name.
    pub(super) fn of_names(project: &ProjectName, names: BTreeSet<InstanceName>) -> Self {
        let named = names.into_iter().map(|name| (project.clone(), name)).collect();
        Self { named, rule: None }
    }

    /// Returns what it means now, by project and name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn find(&self, call: &Call) -> Result<Vec<SandboxView>, Failure> {
        if call.context.existing_home()?.is_none() {
            return Ok(Vec::new());
        }
        let mut views = Vec::new();
        match self.projects() {
            None => views = call.engine.sandboxes(None).map_err(first)?,
            Some(projects) => {
                for project in projects {
                    views.extend(call.engine.sandboxes(Some(project)).map_err(first)?);
                }
            }
        }
        views.retain(|view| self.means(view));
        Ok(views)
    }

    /// Tells whether a command is at work that may start what is meant.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn is_being_changed(&self, call: &Call) -> Result<bool, Failure> {
        let projects = match self.projects() {
            Some(projects) => projects.into_iter().cloned().collect(),
            None => call
                .engine
                .projects()
                .map_err(first)?
                .into_iter()
                .map(|row| row.name)
                .collect::<Vec<_>>(),
        };
        for project in &projects {
            if call.engine.is_being_changed(project).map_err(first)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells whether something that happened belongs to what is meant; `views` is that now.
    pub(super) fn means_what_happened(
        &self,
        project: Option<&str>,
        address: Option<&str>,
        views: &[SandboxView],
    ) -> bool {
        let name = address.and_then(|address| address.strip_prefix("sandbox."));
        let name = name.and_then(|name| InstanceName::parse(name).ok());
        let is_named = |(of, meant): &(ProjectName, InstanceName)| {
            Some(of.as_str()) == project && name.as_ref().is_some_and(|name| meant.means(name))
        };
        let is_viewed = |view: &SandboxView| {
            Some(view.project.as_str()) == project && Some(&view.name) == name.as_ref()
        };
        self.named.iter().any(is_named)
            || self.rule.as_ref().is_some_and(|rule| match rule.labels.is_empty() {
                true => rule.project.as_ref().is_none_or(|of| Some(of.as_str()) == project),
                false => views.iter().any(is_viewed),
            })
    }

    /// Returns the projects it looks into; `None` is all.
    fn projects(&self) -> Option<BTreeSet<&ProjectName>> {
        let mut projects: BTreeSet<&ProjectName> = self.named.iter().map(|(of, _)| of).collect();
        if let Some(rule) = &self.rule {
            projects.insert(rule.project.as_ref()?);
        }
        Some(projects)
    }

    fn means(&self, view: &SandboxView) -> bool {
        let by_name = |(of, name): &(ProjectName, InstanceName)| {
            *of == view.project && name.means(&view.name)
        };
        self.named.iter().any(by_name)
            || self.rule.as_ref().is_some_and(|rule| {
                rule.project.as_ref().is_none_or(|project| *project == view.project)
                    && targets::matches(view, &rule.labels)
            })
    }
}
