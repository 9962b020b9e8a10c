//! What a machine needs from below.
//!
//! ```text
//! boot::Prepared ─ check ─▶ boot::Built ─ start ─▶ Machine { process, links, monitor }
//! ```
//!
//! A driver is the only place that knows the program it runs. Everything it
//! acquires hangs on the [`Machine`]; dropping that kills the process.

mod child;
mod console;
mod error;
#[cfg(target_os = "linux")]
pub mod krun;
mod parts;
mod process;
#[cfg(target_os = "linux")]
pub mod qemu;
#[cfg(target_os = "linux")]
mod threads;

use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use schema::launch::{self, DriverName, Isolation, Shape};
use schema::link::Mac;
use tokio::sync::{mpsc, oneshot};

use crate::starter::Starter;
pub use child::{Child, FILES_MAX, Plan, VmmEnd};
pub use console::Console;
pub use error::DriverError;

/// What a driver can do on this host; constant for a driver and an accelerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What stands between the guest and the host.
    pub isolation: Isolation,
    /// Disks beyond the root image and the private writable disk.
    pub disks_max: usize,
    /// Processors of one machine.
    pub cpus_max: u32,
}

/// What runs a machine.
pub trait Hypervisor: Debug {
    /// Returns what it can do.
    fn capabilities(&self) -> Capabilities;

    /// Refuses what it cannot run, before anything is opened; `disks` counts every disk.
    ///
    /// # Errors
    /// [`DriverError::Shape`] and [`DriverError::TooManyDisks`] with the limit.
    fn check(&self, shape: &Shape, disks: usize) -> Result<(), DriverError>;

    /// Starts the machine in its jail; returns with its links in hand.
    ///
    /// Must be called on the main thread, inside the asynchronous runtime: the
    /// kernel ends a child with the thread that made it.
    ///
    /// # Errors
    /// The step that failed; nothing of the machine is left.
    fn start(&self, built: Built, starter: &Starter) -> Result<Machine, DriverError>;
}

/// Everything a machine is made of, as descriptors.
#[derive(Debug)]
pub struct Built {
    /// What the host's lists call it.
    pub name: String,
    /// How large it is.
    pub shape: Shape,
    /// The guest kernel; always there but for the driver `process`.
    pub kernel: Option<OwnedFd>,
    /// The initramfs with agentd; always there but for the driver `process`.
    pub initramfs: Option<OwnedFd>,
    /// The disks in guest order: root, upper, then the others.
    pub disks: Vec<DiskFd>,
    /// The hardware address of its network device; absent: it has none.
    pub network: Option<Mac>,
    /// Whether the guest's kernel speaks at length.
    pub boot_debug: bool,
    /// The lease's open file description: the VMM inherits it, so that the
    /// lease is not free before both processes are gone.
    pub lease: OwnedFd,
    /// What stands in for a machine under the driver `process`.
    pub scratch: Option<Scratch>,
}

/// A disk of the machine.
#[derive(Debug)]
pub struct DiskFd {
    /// The open file.
    pub fd: OwnedFd,
    /// The serial the guest finds it by.
    pub serial: String,
    /// Whether the device refuses writes.
    pub read_only: bool,
}

/// What stands in for a machine under the driver `process`.
#[derive(Debug)]
pub struct Scratch {
    /// The machine folder; the root is the folder `root` in it.
    pub folder: OwnedFd,
    /// The executable of agentd, where it was handed over open.
    pub agent: Option<OwnedFd>,
    /// What appears in the root, parent first.
    pub places: Vec<Place>,
}

/// Something that appears in the root of a machine that is none.
#[derive(Debug)]
pub struct Place {
    /// Where, absolute in the guest.
    pub target: String,
    /// The folder it is a link to; absent: a plain folder.
    pub folder: Option<OwnedFd>,
}

impl Built {
    /// Returns the same once more, with descriptors of its own.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose();
        let disks = self.disks.iter().map(|disk| {
            let (serial, read_only) = (disk.serial.clone(), disk.read_only);
            Ok(DiskFd { fd: disk.fd.try_clone()?, serial, read_only })
        });
        let place = |place: &Place| {
            Ok(Place { target: place.target.clone(), folder: copy(&place.folder)? })
        };
        let scratch = self.scratch.as_ref().map(|scratch| {
            Ok::<_, io::Error>(Scratch {
                folder: scratch.folder.try_clone()?,
                agent: copy(&scratch.agent)?,
                places: scratch.places.iter().map(place).collect::<io::Result<_>>()?,
            })
        });
        Ok(Self {
            name: self.name.clone(),
            shape: self.shape,
            kernel: copy(&self.kernel)?,
            initramfs: copy(&self.initramfs)?,
            disks: disks.collect::<io::Result<_>>()?,
            network: self.network,
            boot_debug: self.boot_debug,
            lease: self.lease.try_clone()?,
            scratch: scratch.transpose()?,
        })
    }
}

/// A machine that was started.
#[derive(Debug)]
pub struct Machine {
    /// The process that carries it.
    pub process: Child,
    /// Its streams.
    pub links: Links,
    /// The driver's own line to it.
    pub monitor: Box<dyn Monitor>,
    /// What the driver hears of it; closed where it hears nothing.
    pub notices: mpsc::Receiver<Notice>,
    /// What the jail of the process lacks.
    pub jail_missing: Vec<String>,
}

/// The streams between the runtime and the guest; both ends of the sockets may be set non-blocking.
#[derive(Debug)]
pub struct Links {
    /// What the guest's kernel and process 1 print.
    pub console: Console,
    /// The agent protocol.
    pub agent: UnixStream,
    /// Shared folders; absent where they appear without a stream.
    pub files: Option<UnixStream>,
    /// The far end of the network device, as [`schema::link`] draws it; absent where there is none.
    pub net: Option<UnixStream>,
}

/// A driver's own line to its machine.
pub trait Monitor: Debug + Send {
    /// Asks the VMM to flush its block layer and end; never blocks, may do nothing.
    fn quit(&mut self);

    /// Returns where the VMM is asked what it counts; absent where there is none to ask.
    fn counters(&self) -> Option<CounterLine>;
}

/// Where a VMM is asked what it counts.
#[derive(Debug, Clone)]
pub struct CounterLine {
    /// Takes questions; a full or closed one means no answer now.
    pub ask: mpsc::Sender<oneshot::Sender<Counters>>,
    /// Whether disks are among what it counts; else the agent tells of them.
    pub tells_disks: bool,
}

/// What a VMM counts of its machine; what it does not tell is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// The threads that run its processors, by their numbers on the host.
    pub vcpu_threads: Vec<u32>,
    /// What went through its disks.
    pub disks: Option<Moved>,
    /// What the guest's kernel said of its memory.
    pub memory: Option<MemoryCounters>,
}

/// What went through disks or shared folders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes read.
    pub read_bytes: u64,
    /// Reads.
    pub read_ops: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Writes.
    pub write_ops: u64,
}

impl Moved {
    /// Returns both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            read_ops: self.read_ops.saturating_add(other.read_ops),
            write_bytes: self.write_bytes.saturating_add(other.write_bytes),
            write_ops: self.write_ops.saturating_add(other.write_ops),
        }
    }
}

/// What a guest's kernel says of its memory by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryCounters {
    /// What it manages.
    pub total_bytes: u64,
    /// What programs could have.
    pub available_bytes: u64,
    /// When it said so, seconds since 1970.
    pub at: u64,
}

/// What a driver hears of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A read or write of a disk failed on the host.
    DiskError {
        /// The disk's serial.
        serial: String,
        /// What the host answered.
        detail: String,
    },
    /// The guest reset or powered off the machine.
    GuestEnded,
    /// The VMM cannot be used or spoken to; the machine must be killed.
    Unusable {
        /// Why.
        why: String,
    },
}

/// Returns the driver that a launch record names.
///
/// # Errors
/// This version does not build the driver.
pub fn open(wanted: &launch::Driver) -> Result<Box<dyn Hypervisor>, DriverError> {
    let program = PathBuf::from(&wanted.program);
    match wanted.name {
        DriverName::Krun => Ok(Box::new(krun::Krun)),
        DriverName::Qemu => Ok(Box::new(qemu::Qemu::new(program, wanted.accelerator))),
        DriverName::Process => Ok(Box::new(process::Process::new(program))),
    }
}
