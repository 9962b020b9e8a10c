//! The only way to a sibling: which of its ports, and under which name.

use serde::{Deserialize, Serialize};

use super::network::PortSet;
use crate::name::SandboxName;

/// How a sibling may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The ports, of TCP and of UDP.
    pub ports: PortSet,
    /// What it is called here.
    #[serde(rename = "as")]
    pub alias: SandboxName,
}
