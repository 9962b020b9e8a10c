//! The shapes that programs read, shared by several commands.
//!
//! Every key is always present, `null` where nothing is known. Keys are only
//! ever added.

use std::collections::BTreeMap;

use schema::record::Bound;
use serde::Serialize;
use serde_json::Value;

pub use crate::store::time::rfc3339;

/// The format that documents carry.
pub const FORMAT_VERSION: &str = "1.0";

/// A sandbox or job, as `ps`, `list`, `create` and `run -d` print it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "a shape that programs read")]
pub struct Sandbox {
    /// `sandbox.web`.
    pub address: String,
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Which of its copies.
    pub instance: Option<String>,
    /// The machine's id.
    pub id: Option<String>,
    /// `service` or `job`.
    pub kind: &'static str,
    /// The image, as it was written.
    pub image: String,
    /// The digest of what its root was made from.
    pub image_digest: Option<String>,
    /// The workload.
    pub command: Option<Vec<String>>,
    /// A word of the life cycle, in lower case.
    pub phase: String,
    /// Why.
    pub reason: Option<String>,
    /// A stop is under way.
    pub stopping: bool,
    /// `passing`, `failing`, `starting`, `none`.
    pub health: &'static str,
    /// How its workload ended.
    pub exit_code: Option<u8>,
    /// How often it was restarted by a policy.
    pub restarts: u32,
    /// Rises with every new wish.
    pub generation: u64,
    /// The generation that was last carried out.
    pub observed: u64,
    /// The runtime's process.
    pub pid: Option<u32>,
    /// When it was first wished for.
    pub created_at: String,
    /// When its machine was started.
    pub started_at: Option<String>,
    /// When its machine ended.
    pub ended_at: Option<String>,
    /// How long its machine has been running.
    pub uptime_ms: Option<u64>,
    /// Published ports.
    pub ports: Vec<Bound>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `default` or `restricted`.
    pub security: &'static str,
    /// Who runs its machine.
    pub driver: Option<&'static str>,
    /// `hardware`, `emulated`, `none`.
    pub isolation: Option<&'static str>,
    /// Removing it is refused.
    pub protected: bool,
    /// It goes when its machine ends.
    pub ephemeral: bool,
    /// Its machine ends with its creator.
    pub attached: bool,
    /// `current`, `changed`, `removed`, `imperative`.
    pub definition: &'static str,
}

/// A project as `list --projects` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectLine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The folder of its first file.
    pub folder: String,
    /// How many sandboxes it has.
    pub sandboxes: usize,
    /// How many of them have a machine.
    pub running: usize,
    /// How many volumes it owns.
    pub volumes: usize,
    /// When `msb up` last went to its end.
    pub last_applied_at: Option<String>,
    /// Whether loops leave it alone.
    pub paused: bool,
}

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// `sandbox.web`.
    pub address: String,
    /// Its project.
    pub project: String,
    /// `created`, `stopped`, `unchanged`, `failed`, …
    pub result: &'static str,
    /// The class of the change.
    pub class: Option<String>,
    /// Where it is in its life.
    pub phase: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether the end needed force.
    pub forced: bool,
    /// How its workload ended.
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// What it waited for in vain.
    pub blocked_by: Vec<String>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// When that was seen.
    pub observed_at: String,
    /// Why it failed.
    pub error: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_result_is_always_there() {
        let outcome = Outcome {
            address: "sandbox.web".into(),
            project: "shop".into(),
            result: "stopped",
            class: None,
            phase: None,
            reason: None,
            forced: false,
            exit_code: None,
            signal: None,
            blocked_by: Vec::new(),
            duration_ms: None,
            observed_at: rfc3339(0),
            error: None,
        };
        let value = serde_json::to_value(outcome).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 13);
        assert!(value["error"].is_null());
    }
}
