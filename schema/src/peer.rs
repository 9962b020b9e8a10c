//! What the runtime of one machine says to that of a sibling, before the two carry one connection.
//!
//! ```text
//! caller ── call, a line of JSON ──▶ target      on the target's `peer.sock`
//! caller ◀─ answer, a line of JSON ─ target
//! caller ◀──────── bytes ──────────▶ target      a connection as it is; datagrams each behind its u16 length
//! ```
//!
//! Each side looks at its own launch record, so neither can reach further than both were told. A caller
//! finds its target by a name that `msb` points at the machine that counts.

use serde::{Deserialize, Serialize};

use crate::name::SandboxName;
use crate::project::Transport;

/// Name of the socket in the machine's folder.
pub const SOCKET: &str = "peer.sock";

/// Name of the folder of names, beside the folders of machines.
pub const NAMES: &str = "names";

/// The longest line, its end included.
pub const LINE_BYTES_MAX: usize = 1024;

/// The bytes of the length before each datagram, which is big-endian and does not count itself.
pub const LENGTH_BYTES: usize = 2;

/// Who calls, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The id of the project of both.
    pub project: String,
    /// The caller's sandbox.
    pub from: SandboxName,
    /// Its instance, empty where there is but one.
    pub instance: String,
    /// What is carried.
    pub protocol: Transport,
    /// The port of the target's guest.
    pub port: u16,
    /// Made for this call; the answer repeats it.
    pub nonce: String,
}

/// What the target says to a call, once its guest has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The call's.
    pub nonce: String,
    /// The target's sandbox.
    pub sandbox: SandboxName,
    /// Its instance, empty where there is but one.
    pub instance: String,
    /// Why it is no connection; absent where it is one.
    pub refused: Option<Refused>,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// The file does not connect the caller to this port.
    NotConnected,
    /// A rule of the target's is against it.
    Denied,
    /// The target has as many connections as it may have.
    Busy,
    /// Nobody listens in the target.
    NotListening,
}

/// Returns the name by which a machine is found in [`NAMES`].
#[must_use]
pub fn link_name(project: &str, sandbox: &str, instance: &str) -> String {
    match instance {
        "" => format!("{project}.{sandbox}"),
        instance => format!("{project}.{sandbox}.{instance}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_9_10_a_call_is_one_line_that_fits() {
        let call = Call {
            project: "f".repeat(32),
            from: SandboxName::parse(&"w".repeat(63)).unwrap(),
            instance: u32::MAX.to_string(),
            protocol: Transport::Tcp,
            port: 65_535,
            nonce: "0".repeat(16),
        };
        let line = serde_json::to_string(&call).unwrap();
        assert!(!line.contains('\n') && line.len() < LINE_BYTES_MAX, "{line}");
        assert_eq!(serde_json::from_str::<Call>(&line).unwrap(), call);
        assert!(line.ends_with(r#""protocol":"tcp","port":65535,"nonce":"0000000000000000"}"#));
    }

    #[test]
    fn rt_9_10_a_machine_is_found_by_project_name_and_instance() {
        assert_eq!(link_name("shop", "db", ""), "shop.db");
        assert_eq!(link_name("shop", "web", "0"), "shop.web.0");
    }
}
