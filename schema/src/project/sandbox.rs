//! What one sandbox or job is to be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Labels;
use super::connect::Connect;
use super::dependency::Dependency;
use super::health::{Health, Probe, Ready};
use super::image::{Image, ImageRef, Pull};
use super::metrics::Metrics;
use super::mount::{GuestPath, Mount};
use super::network::Network;
use super::port::PublishedPort;
use super::process::{ArgumentList, EnvValue, StopSignal, UserRef, default_shell};
use super::restart::Restart;
use super::rlimit::Rlimit;
use super::root::Root;
use super::secret::Secret;
use crate::name::{EnvKey, InstanceName, SandboxName, SecretName};
use crate::units::{Bytes, Millis};

/// A sandbox or a job, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Wanted running, or wanted completed once.
    pub kind: Kind,
    /// What its root is made from.
    pub root: Root,
    /// The size of its private upper layer.
    pub upper: Bytes,
    /// Processors.
    pub cpus: Cpus,
    /// Memory.
    pub memory: Memory,
    /// What runs the machine.
    pub driver: DriverChoice,
    /// How far the workload is held back.
    pub security: Security,
    /// How much its runtime logs; `None` is the run's own level.
    pub log_level: Option<LogLevel>,
    /// The workload's arguments.
    pub command: ArgumentList,
    /// What stands before the arguments.
    pub entrypoint: ArgumentList,
    /// Where the workload starts; `None` is the image's.
    pub workdir: Option<GuestPath>,
    /// Who it runs as; `None` is the image's.
    pub user: Option<UserRef>,
    /// The guest's host name; `None` is that of the instance, see [`instance_hostname`].
    pub hostname: Option<String>,
    /// The shell of sessions.
    pub shell: GuestPath,
    /// The environment, above the image's.
    pub env: BTreeMap<EnvKey, EnvValue>,
    /// Files of the host with more of it; below it, later files win.
    pub env_files: Vec<PathBuf>,
    /// Limits of the workload's processes, by resource.
    pub rlimits: BTreeMap<String, Rlimit>,
    /// What asks the workload to end; `None` is the image's.
    pub stop_signal: Option<StopSignal>,
    /// How long it has to end.
    pub stop_grace: Millis,
    /// Constants by key, with the project's below.
    pub labels: Labels,
    /// Mounts, parents first.
    pub mounts: Vec<Mount>,
    /// Ports published on the host, by protocol, address, port there and port in the guest.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Siblings that it may reach.
    #[serde(default)]
    pub connect: BTreeMap<SandboxName, Connect>,
    /// What it may reach, and how.
    #[serde(default)]
    pub network: Network,
    /// The secrets that its environment uses.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, Secret>,
    /// What must be before it; a name without an index means all instances.
    pub depends_on: BTreeMap<InstanceName, Dependency>,
    /// The gate to `Ready`.
    pub ready: Ready,
    /// What tells that it is still well.
    pub health: Option<Health>,
    /// What happens when its workload or machine ends.
    pub restart: Restart,
    /// Exit codes that are not a failure.
    pub success_codes: BTreeSet<u8>,
    /// How long it may be idle.
    pub idle_timeout: Option<Millis>,
    /// How long it may run.
    pub max_duration: Option<Millis>,
    /// What may not be done to it.
    pub lifecycle: Lifecycle,
    /// What is measured of it.
    pub metrics: Metrics,
}

impl Sandbox {
    /// The upper layer where the file does not say.
    pub const UPPER: Bytes = Bytes::gib(4);
    /// The memory where the file does not say.
    pub const MEMORY: Bytes = Bytes::mib(512);
    /// The time to end where the file does not say.
    pub const STOP_GRACE: Millis = Millis::seconds(10);
    /// The time to become ready where the file does not say.
    pub const READY_TIMEOUT: Millis = Millis::seconds(60);

    /// Returns a sandbox of `kind` from `reference`, with defaults everywhere else.
    #[must_use]
    pub fn new(kind: Kind, reference: ImageRef) -> Self {
        Self {
            kind,
            root: Root::Image(Image { reference, pull: Pull::default(), platform: None }),
            upper: Self::UPPER,
            cpus: Cpus { count: 1, max: 1 },
            memory: Memory { size: Self::MEMORY, max: Self::MEMORY },
            driver: DriverChoice::default(),
            security: Security::default(),
            log_level: None,
            command: ArgumentList::default(),
            entrypoint: ArgumentList::default(),
            workdir: None,
            user: None,
            hostname: None,
            shell: default_shell(),
            env: BTreeMap::new(),
            env_files: Vec::new(),
            rlimits: BTreeMap::new(),
            stop_signal: None,
            stop_grace: Self::STOP_GRACE,
            labels: Labels::new(),
            mounts: Vec::new(),
            ports: Vec::new(),
            connect: BTreeMap::new(),
            network: Network::default(),
            secrets: BTreeMap::new(),
            depends_on: BTreeMap::new(),
            ready: Ready { probe: Probe::Agent, timeout: Self::READY_TIMEOUT },
            health: None,
            restart: Restart::of(kind),
            success_codes: BTreeSet::from([0]),
            idle_timeout: None,
            max_duration: None,
            lifecycle: Lifecycle::default(),
            metrics: Metrics::default(),
        }
    }

    /// Returns the digest of the definition: `blake3` of its JSON, in hexadecimal.
    ///
    /// The JSON is canonical: fields in the order of the type, keys of maps sorted.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(self).expect("every map of a sandbox has text keys");
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }
}

/// Whether a sandbox is wanted running, or wanted completed once per definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Wanted running.
    #[default]
    Service,
    /// Wanted completed.
    Job,
}

/// Processors of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpus {
    /// How many it has.
    pub count: u8,
    /// How many it may be given while it runs.
    pub max: u8,
}

/// Memory of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How much it has.
    pub size: Bytes,
    /// How much it may be given while it runs.
    pub max: Bytes,
}

/// What runs a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverChoice {
    /// The best that proves itself on the host.
    #[default]
    Auto,
    /// libkrun on KVM.
    Krun,
    /// QEMU, on KVM or by emulation.
    Qemu,
}

impl DriverChoice {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Krun => "krun",
            Self::Qemu => "qemu",
        }
    }
}

/// How far a workload is held back inside its guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// As in a container that owns its kernel.
    #[default]
    Default,
    /// No new privileges, no `CAP_SYS_ADMIN`, and `nosuid`, `nodev` on every mount.
    Restricted,
}

impl Security {
    /// Returns the profile as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Restricted => "restricted",
        }
    }
}

/// How much a runtime logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what may become one.
    Warn,
    /// And what happens.
    Info,
    /// And how.
    Debug,
    /// And every message.
    Trace,
}

impl LogLevel {
    /// Returns the level as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What may not be done to a sandbox; read from state at the next run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Removing it, or losing its upper, is refused.
    pub protect: bool,
    /// When it leaves the file it is forgotten, not destroyed.
    pub keep: bool,
}

/// Returns the host name of an instance: the name, then index or axis values after `-`.
///
/// Other characters than lower-case letters, digits and `-` become `-`. Beyond
/// 63 bytes the name is cut to 54, with `-` and eight digits of its digest after it.
#[must_use]
pub fn instance_hostname(name: &SandboxName, instance: &str) -> String {
    let mut host = name.as_str().to_owned();
    if !instance.is_empty() {
        let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        host.push('-');
        host.extend(instance.chars().map(keep));
    }
    if host.len() <= 63 {
        return host;
    }
    let digest = blake3::hash(host.as_bytes()).to_hex();
    format!("{}-{}", &host[..54], &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_never_longer_than_a_label() {
        let long = SandboxName::parse(&"a".repeat(63)).unwrap();
        assert_eq!(instance_hostname(&long, "").len(), 63);
        assert_eq!(instance_hostname(&long, "12").len(), 63);
        let web = SandboxName::parse("web").unwrap();
        assert_eq!(instance_hostname(&web, "2"), "web-2");
        assert_eq!(instance_hostname(&web, "os=Alpine,py=3.11"), "web-os-alpine-py-3-11");
    }

    #[test]
    fn a_stored_sandbox_reads_back_the_same_and_has_one_digest() {
        let web = Sandbox::new(Kind::Service, ImageRef::parse("redis:7").unwrap());
        let text = serde_json::to_string(&web).unwrap();
        let back: Sandbox = serde_json::from_str(&text).unwrap();
        assert_eq!(back, web);
        assert_eq!(back.digest(), web.digest());
        let other = Sandbox { cpus: Cpus { count: 2, max: 2 }, ..web.clone() };
        assert_ne!(other.digest(), web.digest());
    }
}
