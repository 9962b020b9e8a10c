//! What commands would do to volumes by hand, as plans: one for each project, carried out by none.

use std::collections::BTreeMap;
use std::path::Path;

use schema::change::Class;
use schema::name::{ProjectName, VolumeName};
use schema::project::VolumeKind;
use schema::units::Bytes;

use super::storage::{Fate, NewVolume, VolumeView, is_taken, may_go, taken};
use crate::plan::{
    Action, Address, Cause, Change, Field, Head, Inputs, Op, Plan, Reason, Refusal, Requires, Step,
    StepId,
};
use crate::store::inventory::ProjectRow;
use crate::volumes;

/// One thing that is done to a volume by hand.
#[derive(Clone, Copy, Debug)]
pub enum VolumeAct<'a> {
    /// It is made.
    Make(&'a NewVolume),
    /// It is there as it was asked for.
    Keep(&'a VolumeView),
    /// It goes.
    Remove(&'a VolumeView, Fate),
    /// It comes back from the trash under a name.
    Restore(&'a VolumeView, &'a VolumeName),
}

/// What plans are made against.
pub(super) struct Against<'a> {
    pub(super) home: &'a Path,
    pub(super) projects: &'a [ProjectRow],
    pub(super) live: &'a [VolumeView],
}

/// Returns what would be done, by project.
pub(super) fn plans(against: &Against<'_>, acts: &[VolumeAct<'_>]) -> Vec<Plan> {
    let mut plans: BTreeMap<ProjectName, Plan> = BTreeMap::new();
    for act in acts {
        let owner = act.owner();
        let plan = plans.entry(owner.clone()).or_insert_with(|| empty(against, &owner));
        match act.refusal(against.live) {
            Some(refusal) => plan.refused.push(refusal),
            None => act.join(plan),
        }
    }
    for plan in plans.values_mut() {
        plan.changes.sort_by(|a, b| a.address.cmp(&b.address));
    }
    plans.into_values().collect()
}

fn empty(against: &Against<'_>, owner: &ProjectName) -> Plan {
    let row = against.projects.iter().find(|row| row.name == *owner);
    let head = Head {
        id: row.map(|row| row.id.clone()),
        name: owner.clone(),
        path: row.map_or(against.home, |row| &row.folder).to_path_buf(),
        inputs: Inputs::default(),
        generation: row.map_or(0, |row| row.generation),
        last_applied: None,
        part: None,
    };
    Plan {
        head,
        changes: Vec::new(),
        held: Vec::new(),
        drift: Vec::new(),
        widening: Vec::new(),
        refused: Vec::new(),
        warnings: Vec::new(),
        hints: Vec::new(),
        unchanged: Vec::new(),
        steps: Vec::new(),
    }
}

impl VolumeAct<'_> {
    /// Returns the project under which it is done.
    fn owner(&self) -> ProjectName {
        match self {
            Self::Make(_) => ProjectName::adhoc(),
            Self::Keep(view) | Self::Remove(view, _) | Self::Restore(view, _) => {
                view.owner.clone().unwrap_or_else(ProjectName::adhoc)
            }
        }
    }

    fn name(&self) -> &VolumeName {
        match self {
            Self::Make(new) => &new.name,
            Self::Keep(view) | Self::Remove(view, _) => &view.row.name,
            Self::Restore(_, name) => name,
        }
    }

    /// Returns why it would not be done, in the words of its doing.
    fn refusal(&self, live: &[VolumeView]) -> Option<Refusal> {
        let (word, why) = match self {
            Self::Make(_) | Self::Restore(..) => {
                let folder = volumes::folder_name(&self.owner(), self.name());
                let project_id = match self {
                    Self::Restore(view, _) => view.row.project_id.as_deref(),
                    Self::Make(_) | Self::Keep(_) | Self::Remove(..) => None,
                };
                let rows = live.iter().map(|view| &view.row);
                let is_taken = is_taken(rows, &folder, (self.name(), project_id));
                (Action::Create, is_taken.then(|| taken(self.name())))
            }
            Self::Keep(_) => return None,
            Self::Remove(view, fate) => {
                (action(*fate), may_go(view).err().filter(|_| view.row.trashed_at.is_none()))
            }
        };
        why.map(|why| Refusal {
            address: Some(Address::Volume(self.name().clone())),
            word: word.as_str(),
            code: why.code,
            text: why.message,
            hint: why.hint.map(str::to_owned),
            place: None,
        })
    }

    /// Adds its change, and the step that carries it out.
    fn join(&self, plan: &mut Plan) {
        let address = Address::Volume(self.name().clone());
        let (action, class, op) = match self {
            Self::Keep(_) => return plan.unchanged.push(address),
            Self::Make(_) => (Action::Create, Class::Recreate, Some(Op::EnsureVolume)),
            Self::Restore(..) => (Action::Create, Class::Recreate, Some(Op::Move)),
            Self::Remove(view, fate) => {
                let is_live = view.row.trashed_at.is_none();
                (action(*fate), Class::DataLoss, is_live.then_some(Op::TrashVolume))
            }
        };
        let id = StepId(u32::try_from(plan.steps.len() + 1).unwrap_or(u32::MAX));
        let step = op.map(|op| Step { id, op, address: address.clone(), after: Vec::new() });
        let steps = step.iter().map(|step| step.id).collect();
        plan.steps.extend(step);
        plan.changes.push(Change {
            address,
            kind: None,
            action,
            class,
            reason: Reason { code: "asked", text: self.reason() },
            fields: self.fields(),
            was: None,
            cause: Cause::Wish,
            requires: Requires::default(),
            depends_on: Vec::new(),
            steps,
            place: None,
        });
    }

    fn reason(&self) -> String {
        let size = |view: &VolumeView| match view.row.size_bytes {
            Some(bytes) => format!("{}; ", Bytes(bytes)),
            None => String::new(),
        };
        match self {
            Self::Make(_) | Self::Keep(_) => "asked for".to_owned(),
            Self::Remove(view, Fate::Trash) => format!("{}it can be restored", size(view)),
            Self::Remove(view, Fate::Gone) => format!("{}for good", size(view)),
            Self::Restore(view, name) if view.row.name == **name => "from the trash".to_owned(),
            Self::Restore(view, _) => format!("from the trash, where it is {}", view.row.name),
        }
    }

    fn fields(&self) -> Vec<Field> {
        let Self::Make(new) = self else { return Vec::new() };
        let field = |path: String, after: String| Field {
            path,
            before: None,
            after: Some(after),
            class: Class::Recreate,
            sensitive: false,
            widens: false,
            place: None,
        };
        let none = || "none".to_owned();
        let limit = match new.kind {
            VolumeKind::Disk => ("size", new.size.map_or_else(none, |size| size.to_string())),
            VolumeKind::Dir => ("quota", new.quota.map_or_else(none, |most| most.to_string())),
        };
        let own = [("kind", new.kind.as_str().to_owned()), limit];
        let own = own.into_iter().map(|(path, after)| field(path.to_owned(), after));
        let labels = new.labels.iter();
        let labels = labels.map(|(key, value)| field(format!("labels.{key}"), value.clone()));
        own.chain(labels).collect()
    }
}

const fn action(fate: Fate) -> Action {
    match fate {
        Fate::Trash => Action::Trash,
        Fate::Gone => Action::Destroy,
    }
}
