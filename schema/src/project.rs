//! The wish, resolved: what a set of Sandboxfiles asks for, with every default filled in.
//!
//! No option where there is a default, no text where there is a type. Two sets
//! of files that resolve to equal [`Project`]s are equal to everything behind
//! this module; where a value was written stands beside it, in [`Origins`].

mod body;
mod connect;
mod definition;
mod dependency;
mod differ;
mod health;
mod image;
mod label;
mod metrics;
mod mount;
pub mod network;
mod origin;
mod port;
mod process;
mod restart;
mod rlimit;
mod root;
mod sandbox;
mod secret;
mod source;
mod volume;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use body::Body;
pub use connect::Connect;
pub use definition::{Definition, UpdateOrder, Written};
pub use dependency::{Dependency, OnChange, Until};
pub use differ::{Direction, FieldChange};
pub use health::{Health, HttpProbe, OnUnhealthy, Probe, Ready, Scheme, StatusSet};
pub use image::{Image, ImageRef, ImageRefError, Platform, Pull, RegistryRef};
pub use label::{LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, Labels, RESERVED_LABELS, is_label};
pub use metrics::Metrics;
pub use mount::{Access, GuestPath, Mount, MountFlag, MountOptions, MountSource, PathError};
pub use network::Network;
pub use origin::{Origins, Place};
pub use port::{HostPorts, PublishError, PublishedPort, Transport, endpoint};
pub use process::{ArgumentList, EnvValue, StopSignal, UserRef, argv, default_shell};
pub use restart::{AfterRestarts, Restart, RestartPolicy, Thousandths};
pub use rlimit::{Limit, Rlimit};
pub use root::{HostRoot, Root, Write};
pub use sandbox::{
    Cpus, DriverChoice, Kind, Lifecycle, LogLevel, Memory, Sandbox, Security, instance_hostname,
};
pub use secret::{OnViolation, Placeholder, PlaceholderError, Secret, SecretPlace, SecretSource};
pub use source::{
    DirMount, DiskMount, FileChange, FileMount, FsType, HostEnsure, HostPerms, StatVirt,
    disk_format,
};
pub use volume::{Ensure, External, Quota, Volume, VolumeKind};

use crate::name::{InstanceName, ProjectName, SandboxName, SecretName, VolumeName};
use crate::units::Millis;

/// What the files of one project ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// What the project is called on this host.
    pub name: ProjectName,
    /// The folder of its first file.
    pub folder: PathBuf,
    /// The lowest layer of every sandbox's labels; already part of them.
    pub labels: Labels,
    /// Services and jobs, instance by instance; those of one definition share one body.
    pub sandboxes: BTreeMap<InstanceName, Body>,
    /// What belongs to a name rather than to each of its instances.
    pub definitions: BTreeMap<SandboxName, Definition>,
    /// Named volumes, by name: those with a node of their own and those written in a mount.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Secrets, by name, those that nobody uses too.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, Secret>,
    /// How long `up` waits without being told; `None` is without limit.
    pub wait_timeout: Option<Millis>,
    /// The driver of sandboxes that name none; already part of them.
    pub driver: DriverChoice,
    /// Whether the project's own files stay read-only inside its mounts.
    pub protect_config: bool,
}

impl Project {
    /// How long `up` waits where the file does not say.
    pub const WAIT_TIMEOUT: Millis = Millis::seconds(300);

    /// Returns a project that asks for nothing, as `down` plans with it.
    #[must_use]
    pub fn empty(name: ProjectName, folder: PathBuf) -> Self {
        Self {
            name,
            folder,
            labels: Labels::new(),
            sandboxes: BTreeMap::new(),
            definitions: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            wait_timeout: Some(Self::WAIT_TIMEOUT),
            driver: DriverChoice::default(),
            protect_config: true,
        }
    }

    /// Returns the instances of one sandbox or job, in order.
    pub fn instances(&self, name: &SandboxName) -> impl Iterator<Item = (&InstanceName, &Body)> {
        let first = InstanceName::only(name.clone());
        let last = InstanceName { index: Some(u32::MAX), ..first.clone() };
        self.sandboxes.range(first..=last)
    }

    /// Returns the instances that `name` means: itself, or all where it names no index.
    pub fn meant<'a>(
        &'a self,
        name: &'a InstanceName,
    ) -> impl Iterator<Item = (&'a InstanceName, &'a Body)> {
        self.instances(&name.sandbox).filter(|(instance, _)| name.means(instance))
    }
}

/// One file that was read for a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Its path, as it was given.
    pub path: PathBuf,
    /// The digest of its bytes: `blake3`, in hexadecimal.
    pub blake3: String,
}
