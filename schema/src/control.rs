//! What may be asked of a running machine.
//!
//! Each message on `control.sock` is a big-endian `u32` length and JSON. A
//! request has an id, an answer repeats it; events are pushed without one.
//! End-of-file is how a caller learns that the runtime has ended.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::failure::Report;
use crate::figures::{Measuring, Sample};
use crate::launch::{Health, Link, Restart};
use crate::record::Record;

/// The format this build speaks.
pub const FORMAT: u32 = 1;

/// The largest message, without its length.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// How many clients a machine serves at once.
pub const CLIENTS_MAX: usize = 64;

/// Name of the control socket in the machine's socket folder.
pub const SOCKET: &str = "control.sock";

/// Name of the agent's relay socket in the machine's socket folder.
pub const AGENT_SOCKET: &str = "agent.sock";

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Repeated by the answer.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub call: Call,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "kebab-case")]
pub enum Call {
    /// Who are you? Must be first.
    Hello {
        /// The caller's format.
        format: u32,
        /// The caller's version.
        version: String,
    },
    /// How are you?
    Status {},
    /// Answer when the machine has come that far, or cannot any more.
    Wait {
        /// How far.
        until: Milestone,
    },
    /// Stop, with a grace; absent: the machine's own.
    Stop {
        /// The grace.
        grace_ms: Option<u64>,
        /// The reason the machine will have.
        reason: String,
        /// Who asks.
        actor: String,
    },
    /// End at once, without a flush.
    Kill {
        /// Who asks.
        actor: String,
    },
    /// Change live values.
    Update(Update),
    /// How does your network stand?
    Network {},
    /// What have you used? A sample no older than this is as good as a new one.
    Sample {
        /// How old it may be; never less than the machine's own interval.
        max_age_ms: u64,
    },
    /// Somebody is here: the idle clock starts anew.
    Touch {},
    /// Give the workload a signal; where none runs there is nobody to tell.
    Signal {
        /// Its number on Linux.
        number: u8,
    },
    /// Forget the creator: the machine no longer ends with it.
    Detach {},
    /// Push events from now on, the kept ones after a sequence number first.
    Subscribe {
        /// The last sequence number the caller has; absent: none of the kept ones.
        after: Option<u64>,
    },
}

/// How far a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The agent answers and the workload's exec succeeded.
    Running,
    /// The gate has passed.
    Ready,
    /// The gate has passed, and so does the health probe where there is one.
    Healthy,
    /// The workload ended with a success code.
    Completed,
    /// The machine rests.
    Stopped,
}

/// Live values to change; absent ones stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Processors that commands may use.
    pub cpus: Option<u32>,
    /// Memory that commands may use.
    pub memory_bytes: Option<u64>,
    /// How long commands may take to end when the machine stops.
    pub stop_grace_ms: Option<u64>,
    /// What may pass the network device, and what is published; the device itself stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Box<Link>>,
    /// What tells that the machine is well.
    #[serde(default)]
    pub health: Option<HealthWish>,
    /// Whether and how often it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Measuring>,
    /// What follows when the workload or its machine ends.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// How long it may be idle and how old it may become, both.
    #[serde(default)]
    pub ages: Option<Ages>,
    /// Exit codes that are no failure, all of them.
    #[serde(default)]
    pub success_codes: Option<Vec<u8>>,
}

/// What ends a machine by the clock alone; what is absent ends none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// How long it may be idle.
    pub idle_ms: Option<u64>,
    /// How old it may become.
    pub max_ms: Option<u64>,
}

/// What is wanted of a machine's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthWish {
    /// Nobody is to ask.
    Unasked,
    /// This is to be asked.
    Asked(Box<Health>),
}

/// How a machine's network stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFigures {
    /// Connections that are open or being opened.
    pub connections: u64,
    /// Flows of datagrams, echoes among them.
    pub flows: u64,
    /// Frames and packets that were dropped because they were none.
    pub malformed: u64,
    /// Names that were not looked up.
    pub denied_names: u64,
    /// How often each decided against a flow since the policy last changed: `rule 2`, `the preset`.
    pub denied: BTreeMap<String, u64>,
    /// The addresses at which siblings are shown to it, by their instances; each keeps its own.
    #[serde(default)]
    pub siblings: BTreeMap<String, Vec<IpAddr>>,
}

/// An answer, or an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It was done.
    Ok {
        /// The request's id.
        id: u64,
        /// The result.
        result: Reply,
    },
    /// It was not.
    Error {
        /// The request's id.
        id: u64,
        /// Why.
        error: Report,
    },
    /// Something happened.
    Event {
        /// What.
        event: Event,
    },
}

/// What is left of a machine's timers; absent where one does not run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Until it has been idle for too long.
    pub idle_ms: Option<u64>,
    /// Until it is too old.
    pub max_ms: Option<u64>,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// To `hello`.
    Hello {
        /// The machine's id.
        machine: String,
        /// The launch record's nonce.
        nonce: String,
        /// The runtime's version.
        version: String,
        /// The runtime's format.
        format: u32,
    },
    /// To `status`, and to `wait` when it was reached.
    Status {
        /// As the file says, or newer.
        record: Box<Record>,
        /// Open sessions.
        sessions: u32,
        /// The last answer of the probe, for people: the gate's, then that of health.
        last_probe: Option<String>,
        /// What is left of its timers; in answer to `status` alone.
        #[serde(default)]
        left: Left,
    },
    /// To `wait` when it cannot be reached any more.
    Unreachable {
        /// As the file says, or newer.
        record: Box<Record>,
    },
    /// To `update`.
    Updated {
        /// Names of the fields that now hold.
        applied: Vec<String>,
        /// Names of those that do not, with the reason.
        refused: Vec<(String, String)>,
    },
    /// To `network`; absent where the machine has none.
    Network {
        /// How it stands.
        figures: Option<NetworkFigures>,
    },
    /// To `sample`.
    Sample {
        /// What was used.
        sample: Box<Sample>,
    },
    /// It was recorded.
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_the_page_shows_it() {
        let request = Request { id: 7, call: Call::Wait { until: Milestone::Ready } };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"id":7,"method":"wait","params":{"until":"ready"}}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
    }

    #[test]
    fn a_signal_reads_as_the_page_shows_it() {
        let request = Request { id: 8, call: Call::Signal { number: 1 } };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"id":8,"method":"signal","params":{"number":1}}"#);
    }

    #[test]
    fn keys_of_a_later_version_are_ignored() {
        let text = r#"{"id":1,"method":"hello","params":{"format":1,"version":"9","later":true}}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!(request.id, 1);
    }
}
