//! What every session of the sandbox starts from, until an update says otherwise.

use schema::wire::boot::{BootRecord, EnvVar};
use schema::wire::message::{Rlimit, Update};

use crate::place::Place;
use crate::sys::limits::Limit;
use crate::sys::spawn::Profile;

/// See the module.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where the agent runs.
    pub(crate) place: Place,
    /// The image's variables, then the sandbox's.
    pub(crate) env: Vec<EnvVar>,
    /// The user, root where absent.
    pub(crate) user: Option<String>,
    /// The working folder, `/` where absent.
    pub(crate) workdir: Option<String>,
    /// The shell of a user whose entry names none.
    pub(crate) shell: String,
    /// Limits of the place, before all others.
    pub(crate) limits: Vec<Limit>,
    /// Limits of the sandbox.
    pub(crate) rlimits: Vec<Rlimit>,
    /// What commands may do.
    pub(crate) profile: Profile,
}

impl Settings {
    /// Returns what a boot record says about sessions.
    pub(crate) fn new(place: Place, limits: Vec<Limit>, record: &BootRecord) -> Self {
        Self {
            place,
            env: record.env.clone(),
            user: record.user.clone(),
            workdir: record.workdir.clone(),
            shell: record.shell.clone(),
            limits,
            rlimits: record.rlimits.clone(),
            profile: if record.restricted { Profile::Restricted } else { Profile::Default },
        }
    }

    /// Takes what an update says about later sessions; returns the names of what was taken.
    pub(crate) fn apply(&mut self, update: &Update) -> Vec<&'static str> {
        let mut applied = Vec::new();
        if let Some(env) = &update.env {
            self.env.clone_from(env);
            applied.push("env");
        }
        if let Some(user) = &update.user {
            self.user = Some(user.clone());
            applied.push("user");
        }
        if let Some(workdir) = &update.workdir {
            self.workdir = Some(workdir.clone());
            applied.push("workdir");
        }
        applied
    }
}
