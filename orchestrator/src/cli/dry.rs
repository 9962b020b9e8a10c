//! The flag of changing commands that shows their plan instead of carrying it out.

use std::collections::BTreeMap;

use schema::name::ProjectName;
use schema::project::Project;

use super::call::Call;
use super::diff::{self, View};
use super::ending::Ending;
use super::failure::Failure;
use crate::engine::{SandboxView, VolumeAct, VolumeView};
use crate::plan::{Goal, Reach, Wish};

/// See the module.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Dry {
    /// Show the plan, and change nothing [default: off]
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Shows what a wish would change.
pub(crate) fn show(call: &Call, wish: &Wish) -> Ending {
    call.context.existing_home().map_err(Failure::from)?;
    let plan = call.engine.diff(wish)?;
    diff::print(call, &plan, &wish.project, View::default());
    Ok(0)
}

/// Shows what a goal for these would change, project by project.
pub(crate) fn show_for(call: &Call, found: &[SandboxView], goal: Goal) -> Ending {
    let mut projects: BTreeMap<&ProjectName, Vec<&SandboxView>> = BTreeMap::new();
    for view in found {
        projects.entry(&view.project).or_default().push(view);
    }
    for (project, views) in projects {
        show(call, &wish(call, project, &views, goal)?)?;
    }
    Ok(0)
}

/// Shows what acts upon volumes would do, project by project; `live` is what there is.
pub(crate) fn show_volumes(call: &Call, live: &[VolumeView], acts: &[VolumeAct<'_>]) -> Ending {
    for plan in call.engine.plan_volumes(live, acts)? {
        let project = Project::empty(plan.head.name.clone(), plan.head.path.clone());
        diff::print(call, &plan, &project, View::default());
    }
    Ok(0)
}

/// Returns the wish for some sandboxes of one project.
pub(crate) fn wish(
    call: &Call,
    project: &ProjectName,
    views: &[&SandboxView],
    goal: Goal,
) -> Result<Wish, super::failure::Failures> {
    let mut wish = call.engine.wish_of_state(project, goal)?;
    wish.selection.names = views.iter().map(|view| view.name.clone()).collect();
    wish.selection.reach = match goal {
        Goal::Up | Goal::Undrifted | Goal::Restarted => Reach::Dependencies,
        Goal::Down | Goal::Stopped => Reach::Alone,
    };
    wish.driver = super::select::driver(call);
    Ok(wish)
}
