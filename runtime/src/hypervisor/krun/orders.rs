//! What the process of a machine is told, once.

use std::os::fd::RawFd;

use schema::link::Mac;
use serde::{Deserialize, Serialize};

/// A machine, by numbers of descriptors that its process holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Virtual processors.
    pub(crate) cpus: u8,
    /// Memory.
    pub(crate) memory_mib: u32,
    /// The guest kernel.
    pub(crate) kernel: RawFd,
    /// The initramfs.
    pub(crate) initramfs: RawFd,
    /// The far end of the console's terminal.
    pub(crate) console: RawFd,
    /// The agent channel's socket.
    pub(crate) agent: RawFd,
    /// The socket of shared folders.
    pub(crate) files: RawFd,
    /// Disks in guest order.
    pub(crate) disks: Vec<Disk>,
    /// The network device, where there is one.
    pub(crate) network: Option<Device>,
    /// Whether the guest's kernel and the library speak at length.
    pub(crate) debug: bool,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// The open file.
    pub(crate) fd: RawFd,
    /// What the guest knows it by.
    pub(crate) serial: String,
    /// Whether writing is refused.
    pub(crate) read_only: bool,
}

/// A network device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// The socket of its frames.
    pub(crate) fd: RawFd,
    /// What the guest knows it by.
    pub(crate) mac: Mac,
}

impl Orders {
    /// Returns every descriptor of a number in here.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let Self { kernel, initramfs, console, agent, files, disks, network, .. } = self;
        let mut numbers = vec![*kernel, *initramfs, *console, *agent, *files];
        numbers.extend(disks.iter().map(|disk| disk.fd));
        numbers.extend(network.iter().map(|device| device.fd));
        numbers
    }
}
