//! What a guest is told about itself, once.
//!
//! The boot record travels as the data stream of session 0 after `Boot`. It
//! holds no secret value, and nothing that a boot step does not need.

use std::net::IpAddr;

use minicbor::{Decode, Encode};

/// The steps of a boot, in order.
pub const STEPS: [&str; 16] = [
    "early", "ports", "hello", "clock", "limits", "disks", "shares", "root", "pivot", "mounts",
    "identity", "network", "trust", "files", "groups", "ready",
];

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BootRecord {
    /// The host's wall clock.
    #[n(0)]
    pub unix_ns: u64,
    /// 64 random bytes, credited to the guest's pool.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub entropy: Vec<u8>,
    /// 16 hex digits.
    #[n(2)]
    pub machine_id: String,
    /// 32 hex digits for `/etc/machine-id`.
    #[n(3)]
    pub os_machine_id: String,
    /// The host name.
    #[n(4)]
    pub hostname: String,
    /// Lines added to `/etc/hosts`: address and names.
    #[n(5)]
    pub hosts: Vec<HostLine>,
    /// Every disk of the machine.
    #[n(6)]
    pub disks: Vec<Disk>,
    /// How the root is put together.
    #[n(7)]
    pub root: Root,
    /// What is mounted over it, parent first.
    #[n(8)]
    pub mounts: Vec<Mount>,
    /// Small files to place.
    #[n(9)]
    pub files: Vec<SmallFile>,
    /// The environment of sessions: the image's, then the sandbox's.
    #[n(10)]
    pub env: Vec<EnvVar>,
    /// `NAME|UID[:GROUP|GID]`; absent is root.
    #[n(11)]
    pub user: Option<String>,
    /// The working folder; made if absent. Absent is `/`.
    #[n(12)]
    pub workdir: Option<String>,
    /// The shell of interactive sessions.
    #[n(13)]
    pub shell: String,
    /// How many processors commands may use.
    #[n(14)]
    pub cpus: u32,
    /// How much memory commands may use.
    #[n(15)]
    pub memory_bytes: u64,
    /// Limits of every session.
    #[n(16)]
    pub rlimits: Vec<super::message::Rlimit>,
    /// `true` for the profile *restricted*.
    #[n(17)]
    pub restricted: bool,
    /// The signal that asks the workload to stop; absent is TERM.
    #[n(18)]
    pub stop_signal: Option<u8>,
    /// Its network device; absent: it has none but the loopback.
    #[n(19)]
    pub network: Option<Network>,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HostLine {
    /// The address.
    #[n(0)]
    pub address: String,
    /// The names.
    #[n(1)]
    pub names: Vec<String>,
}

/// A network device and how it is set up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Network {
    /// The hardware address the guest finds it by.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub mac: [u8; 6],
    /// Its largest packet.
    #[n(1)]
    pub mtu: u32,
    /// Its addresses.
    #[n(2)]
    pub addresses: Vec<Subnet>,
    /// What is reached through a gateway; a default route is one to everywhere.
    #[n(3)]
    pub routes: Vec<Route>,
    /// Who answers for names.
    #[n(4)]
    pub resolver: IpAddr,
}

/// An address, and how many of its bits name the network around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Subnet {
    /// The address.
    #[n(0)]
    pub address: IpAddr,
    /// The bits.
    #[n(1)]
    pub prefix: u8,
}

/// What is reached through a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Route {
    /// Where it leads.
    #[n(0)]
    pub to: Subnet,
    /// The gateway.
    #[n(1)]
    pub via: IpAddr,
}

/// A variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnvVar {
    /// The name.
    #[n(0)]
    pub key: String,
    /// The value.
    #[n(1)]
    pub value: String,
}

/// A disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Disk {
    /// The serial the guest finds it by.
    #[n(0)]
    pub serial: String,
    /// Whether the device refuses writes.
    #[n(1)]
    pub read_only: bool,
}

/// How the root is put together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Root {
    /// Serial of the lower disk; empty where there is no machine.
    #[n(0)]
    pub lower: String,
    /// File system of the lower disk: `erofs` or `ext4`.
    #[n(1)]
    pub lower_fstype: String,
    /// Serial of the private upper disk; absent means the lower is the root.
    #[n(2)]
    pub upper: Option<String>,
}

/// Something mounted over the root.
#[expect(clippy::struct_excessive_bools, reason = "the four flags of a mount, each by its name")]
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mount {
    /// Where.
    #[n(0)]
    pub target: String,
    /// What.
    #[n(1)]
    pub source: MountSource,
    /// Read-only.
    #[n(2)]
    pub read_only: bool,
    /// No programs are run from it.
    #[n(3)]
    pub noexec: bool,
    /// Set-user-id bits are ignored.
    #[n(4)]
    pub nosuid: bool,
    /// Device nodes are ignored.
    #[n(5)]
    pub nodev: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MountSource {
    /// A disk of the machine.
    #[n(0)]
    Disk {
        /// Its serial.
        #[n(0)]
        serial: String,
        /// `ext4` or `erofs`; absent: what its signature says.
        #[n(1)]
        fstype: Option<String>,
        /// Set for a named volume: an empty root folder is given to the sandbox's user.
        #[n(2)]
        own_when_empty: bool,
    },
    /// Memory.
    #[n(1)]
    Tmpfs {
        /// Its size; absent: half of the memory.
        #[n(0)]
        size_bytes: Option<u64>,
        /// Mode of its root folder.
        #[n(1)]
        mode: u32,
    },
    /// A folder or file of the host, by its place among the shares.
    #[n(2)]
    Share {
        /// The place.
        #[n(0)]
        index: u32,
        /// Whether it is a single file.
        #[n(1)]
        is_file: bool,
    },
}

/// A small file to place, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SmallFile {
    /// Where.
    #[n(0)]
    pub path: String,
    /// Its mode.
    #[n(1)]
    pub mode: u32,
    /// Its content.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub content: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_record_survives_its_encoding() {
        let record = BootRecord {
            machine_id: "4f2a9c017be3d85a".into(),
            entropy: vec![7; 64],
            mounts: vec![Mount {
                target: "/data".into(),
                source: MountSource::Disk {
                    serial: "d1".into(),
                    fstype: None,
                    own_when_empty: true,
                },
                read_only: false,
                noexec: true,
                nosuid: false,
                nodev: true,
            }],
            network: Some(Network {
                mac: [2, 0x6d, 1, 2, 3, 4],
                mtu: 65_520,
                addresses: vec![Subnet { address: [198, 18, 0, 2].into(), prefix: 30 }],
                routes: vec![Route {
                    to: Subnet { address: [0_u16; 8].into(), prefix: 0 },
                    via: [0xfd6d, 0x7362, 0, 0, 0, 0, 0, 1].into(),
                }],
                resolver: [198, 18, 0, 1].into(),
            }),
            ..BootRecord::default()
        };
        let mut bytes = Vec::new();
        minicbor::encode(&record, &mut bytes).unwrap();
        assert_eq!(minicbor::decode::<BootRecord>(&bytes).unwrap(), record);
    }
}
