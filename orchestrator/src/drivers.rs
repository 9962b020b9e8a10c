//! Which driver this host has proved, and the proof.
//!
//! A driver counts as usable when an empty guest booted under it. The verdict
//! is kept with everything that it depends on; a bad one is tried again after
//! a day, and a good one is taken back where the first machine does not start.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use schema::failure::Report;
use schema::launch::{Accelerator, DriverName};
use schema::project::DriverChoice;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::context::{Clock as _, Context};
use crate::store::atomic;

mod trust;

/// How long a bad verdict holds.
const DISTRUST_MS: u64 = 24 * 3_600_000;

/// The QEMU that is looked for where none is named.
const QEMU: &str = "qemu-system-x86_64";

/// A driver that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: DriverName,
    /// What carries the guest's instructions.
    pub accelerator: Accelerator,
    /// Its program.
    pub program: PathBuf,
}

/// What a machine of a driver is made of, beside the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The guest's kernel.
    pub kernel: PathBuf,
    /// agentd as an initramfs.
    pub initramfs: PathBuf,
}

/// What a proof found; the shape is the runtime's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The driver.
    pub driver: DriverName,
    /// What carried the guest's instructions.
    pub accelerator: Accelerator,
    /// Whether the driver works here.
    pub ok: bool,
    /// How far it came.
    pub stage: String,
    /// Why it came no further.
    pub reason: Option<String>,
    /// From the start of the VMM to the first byte of the guest's first process.
    pub t1_ms: Option<u64>,
    /// From the start of the VMM to the agent's introduction.
    pub hello_ms: Option<u64>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Verdict {
    const fn contender(&self) -> Contender {
        (self.driver, self.accelerator)
    }
}

/// Why no driver can be used.
#[derive(Debug, Error)]
pub enum DriversError {
    /// Every driver was tried and none works.
    #[error("no driver works on this host")]
    None {
        /// What each proof found.
        verdicts: Vec<Verdict>,
    },
    /// The driver that was asked for does not work here.
    #[error("driver {driver} does not work on this host")]
    NotUsable {
        /// Its name.
        driver: &'static str,
        /// What its proof found.
        verdicts: Vec<Verdict>,
    },
    /// Something that every machine needs is not installed.
    #[error("cannot find {what}")]
    Missing {
        /// What.
        what: &'static str,
        /// How to come by it.
        hint: &'static str,
    },
    /// The proof could not be attempted.
    #[error("cannot run {}", program.display())]
    Probe {
        /// The program that proves.
        program: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The initramfs could not be made.
    #[error("cannot make the initramfs from {}", agent.display())]
    Initramfs {
        /// The agent.
        agent: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

impl DriversError {
    /// Returns the failure as it is told.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::of("msb::driver::none", "driver", self);
        match self {
            Self::None { verdicts } | Self::NotUsable { verdicts, .. } => {
                for verdict in verdicts {
                    let name = said(verdict.driver, verdict.accelerator);
                    let reason = verdict.reason.as_deref().unwrap_or("no reason was given");
                    report.notes.push(format!("{name}: {} ({})", reason, verdict.stage));
                    let hint = verdict.hint.as_ref().filter(|hint| !report.hints.contains(hint));
                    report.hints.extend(hint.cloned());
                }
                report.hints.push("Run `msb doctor` to see what this host can do.".to_owned());
            }
            Self::Missing { hint, .. } => report.hints.push((*hint).to_owned()),
            Self::Probe { .. } | Self::Initramfs { .. } => {}
        }
        report
    }
}

/// Returns a driver as people name it.
#[must_use]
pub fn said(driver: DriverName, accelerator: Accelerator) -> String {
    match accelerator {
        Accelerator::Kvm => format!("{} on KVM", driver.as_str()),
        Accelerator::Tcg => format!("{}, emulated, not an isolation boundary", driver.as_str()),
        Accelerator::None => format!("{}, no machine, not an isolation boundary", driver.as_str()),
    }
}

/// Which drivers are proved, in the words of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proving {
    /// Side by side, until the best that works is known.
    Best,
    /// One after the other, whatever the others find.
    Each,
    /// What one driver can do.
    Only(DriverName),
    /// What one driver can do on one accelerator.
    Exactly(DriverName, Accelerator),
}

impl Proving {
    const fn word(self) -> &'static str {
        match self {
            Self::Best => "auto",
            Self::Each => "all",
            Self::Only(driver) => driver.as_str(),
            Self::Exactly(DriverName::Qemu, Accelerator::Kvm) => "qemu-kvm",
            Self::Exactly(DriverName::Qemu, Accelerator::Tcg) => "qemu-tcg",
            Self::Exactly(driver, _) => driver.as_str(),
        }
    }
}

/// A driver, and what carries the guest's instructions.
type Contender = (DriverName, Accelerator);

/// The drivers in the order in which they are liked.
const LIKED: [Contender; 3] = [
    (DriverName::Krun, Accelerator::Kvm),
    (DriverName::Qemu, Accelerator::Kvm),
    (DriverName::Qemu, Accelerator::Tcg),
];

/// The verdicts as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Proof {
    key: String,
    at_ms: u64,
    verdicts: Vec<Verdict>,
    /// Those under which a machine has come up since.
    #[serde(default)]
    borne_out: Vec<Contender>,
}

impl Proof {
    const fn nothing(at_ms: u64) -> Self {
        Self { key: String::new(), at_ms, verdicts: Vec::new(), borne_out: Vec::new() }
    }
}

/// The drivers of one host, as one process can use them.
#[derive(Clone, Debug)]
pub struct Drivers {
    context: Context,
}

impl Drivers {
    /// Returns the drivers that a process can use.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        Self { context: context.clone() }
    }

    /// Returns the driver that a sandbox is to have; proves it where that was not done yet.
    ///
    /// # Errors
    /// None works, or not the one that is asked for.
    pub async fn choose(
        &self,
        forced: Option<DriverName>,
        choice: DriverChoice,
    ) -> Result<Driver, DriversError> {
        let wanted = match (forced, choice) {
            (Some(driver), _) => Some(driver),
            (None, DriverChoice::Krun) => Some(DriverName::Krun),
            (None, DriverChoice::Qemu) => Some(DriverName::Qemu),
            (None, DriverChoice::Auto) => None,
        };
        match wanted {
            Some(DriverName::Process) => self.process(),
            Some(driver) => {
                let mut verdicts = self.verdicts();
                verdicts.retain(|verdict| verdict.driver == driver);
                // A race is over before a driver that is liked less is judged.
                if verdicts.is_empty() {
                    verdicts = self.prove(Proving::Only(driver)).await?;
                }
                let found = self.first(&verdicts);
                found.ok_or(DriversError::NotUsable { driver: driver.as_str(), verdicts })
            }
            None => {
                let mut verdicts = self.verdicts();
                if !knows_best(&verdicts) {
                    verdicts = self.prove(Proving::Best).await?;
                }
                self.first(&verdicts).ok_or(DriversError::None { verdicts })
            }
        }
    }

    /// Returns the driver that was proved before, without starting anything.
    #[must_use]
    pub fn remembered(&self) -> Option<Driver> {
        let verdicts = self.verdicts();
        knows_best(&verdicts).then(|| self.first(&verdicts)).flatten()
    }

    /// Returns the verdicts that were kept and still hold.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.kept().map_or_else(Vec::new, |proof| proof.verdicts)
    }

    fn process(&self) -> Result<Driver, DriversError> {
        let program = match self.context.environment.get("MSB_PROCESS_AGENT") {
            Some(agent) => self.context.absolute(Path::new(agent)),
            None => self.agent()?,
        };
        Ok(Driver { name: DriverName::Process, accelerator: Accelerator::None, program })
    }

    fn first(&self, verdicts: &[Verdict]) -> Option<Driver> {
        let proved = |one: &Contender| verdicts.iter().any(|v| v.ok && v.contender() == *one);
        self.driver(LIKED.into_iter().find(proved)?)
    }

    fn driver(&self, (name, accelerator): Contender) -> Option<Driver> {
        let program = match name {
            // The runtime carries the library itself.
            DriverName::Krun => self.runtime().ok()?,
            DriverName::Qemu | DriverName::Process => self.qemu()?,
        };
        Some(Driver { name, accelerator, program })
    }

    /// Returns kernel and initramfs; makes the initramfs where it is not there yet.
    ///
    /// # Errors
    /// One is not installed, or cannot be made.
    pub async fn parts(&self) -> Result<Parts, DriversError> {
        Ok(Parts { kernel: self.kernel()?, initramfs: self.initramfs().await? })
    }

    /// Boots an empty guest under drivers; the verdicts are kept.
    ///
    /// # Errors
    /// What a guest is made of is not installed, or the proof cannot be started.
    pub async fn prove(&self, which: Proving) -> Result<Vec<Verdict>, DriversError> {
        let parts = self.parts().await?;
        let program = self.runtime()?;
        let failed = |source| DriversError::Probe { program: program.clone(), source };
        let mut command = tokio::process::Command::new(&program);
        command.arg("probe").arg(which.word());
        command.arg("--kernel").arg(&parts.kernel).arg("--initramfs").arg(&parts.initramfs);
        if let Some(qemu) = self.qemu() {
            command.arg("--qemu").arg(qemu);
        }
        let path = self.context.environment.get("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(failed)?;
        let lines = String::from_utf8_lossy(&output.stdout);
        let verdicts: Vec<Verdict> =
            lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if verdicts.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(io::Error::other(format!("it gave no verdict: {}", said.trim()))));
        }
        self.keep(&verdicts);
        Ok(verdicts)
    }

    /// Returns the runtime's program.
    ///
    /// # Errors
    /// It does not lie beside `msb`.
    pub fn runtime(&self) -> Result<PathBuf, DriversError> {
        self.beside("msb-runtime").ok_or(DriversError::Missing {
            what: "msb-runtime beside msb",
            hint: "Run `msb setup`, or build the workspace.",
        })
    }

    /// Returns the agent's program.
    ///
    /// # Errors
    /// It does not lie beside `msb`.
    pub fn agent(&self) -> Result<PathBuf, DriversError> {
        self.beside("agentd").ok_or(DriversError::Missing {
            what: "agentd beside msb",
            hint: "Run `msb setup`, or build the workspace.",
        })
    }

    fn beside(&self, name: &str) -> Option<PathBuf> {
        Some(self.context.programs.join(name)).filter(|path| path.is_file())
    }

    /// Returns the guest's kernel: the one that is named, else the newest that is installed.
    fn kernel(&self) -> Result<PathBuf, DriversError> {
        if let Some(named) = self.context.environment.get("MSB_KERNEL") {
            return Ok(self.context.absolute(Path::new(named)));
        }
        let cache =
            self.context.environment.get("HOME").map(|home| Path::new(home).join(".cache/msb"));
        let places = [Some(self.context.home().to_path_buf()), cache];
        let kernels = places.into_iter().flatten().map(|place: PathBuf| place.join("kernels"));
        let found = kernels.filter_map(|folder| newest_kernel(&folder)).next();
        found.ok_or(DriversError::Missing {
            what: "the guest kernel",
            hint: "Run `msb setup`, or name one with MSB_KERNEL.",
        })
    }

    fn qemu(&self) -> Option<PathBuf> {
        if let Some(named) = self.context.environment.get("MSB_QEMU") {
            return Some(self.context.absolute(Path::new(named)));
        }
        let path = self.context.environment.get("PATH")?;
        std::env::split_paths(path).map(|folder| folder.join(QEMU)).find(|path| path.is_file())
    }

    /// Returns the agent as an initramfs, named after the agent's digest.
    async fn initramfs(&self) -> Result<PathBuf, DriversError> {
        let agent = self.agent()?;
        let failed = |source| DriversError::Initramfs { agent: agent.clone(), source };
        let bytes = fs::read(&agent).map_err(failed)?;
        let digest = blake3::hash(&bytes).to_hex();
        let folder = self.context.home().join("kernels");
        let path = folder.join(format!("agent-{}.cpio", &digest[..16]));
        if path.is_file() {
            return Ok(path);
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        let _alone = atomic::alone(&folder).map_err(failed)?;
        if path.is_file() {
            return Ok(path);
        }
        let draft = atomic::beside(&path).map_err(failed)?;
        let mut command = tokio::process::Command::new(self.runtime()?);
        command.arg("initramfs").arg("--agent").arg(&agent).arg("--out").arg(&draft);
        let output = command.env_clear().stdin(Stdio::null()).output().await.map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(io::Error::other(said)));
        }
        fs::rename(&draft, &path).map_err(failed)?;
        Ok(path)
    }

    fn proof_path(&self) -> PathBuf {
        self.context.home().join("db/proof.json")
    }

    fn kept(&self) -> Option<Proof> {
        let mut proof: Proof = serde_json::from_slice(&fs::read(self.proof_path()).ok()?).ok()?;
        let age = self.context.clock.unix_ms().saturating_sub(proof.at_ms);
        if age > DISTRUST_MS {
            proof.verdicts.retain(|verdict| verdict.ok);
        }
        (proof.key == self.key()).then_some(proof)
    }

    /// Keeps verdicts beside those on other drivers; a proof that cannot be kept is made again next time.
    fn keep(&self, verdicts: &[Verdict]) {
        let is_new = |old: &Contender| verdicts.iter().any(|new| new.contender() == *old);
        let now = self.context.clock.unix_ms();
        let old = self.kept().unwrap_or_else(|| Proof::nothing(now));
        let mut proof = Proof { key: self.key(), ..old };
        proof.verdicts.retain(|old| !is_new(&old.contender()));
        proof.borne_out.retain(|old| !is_new(old));
        if proof.verdicts.is_empty() {
            proof.at_ms = now;
        }
        proof.verdicts.extend_from_slice(verdicts);
        self.write(&proof);
    }

    fn write(&self, proof: &Proof) {
        if let Ok(bytes) = serde_json::to_vec(proof)
            && let Err(error) = atomic::write(&self.proof_path(), &bytes)
        {
            tracing::warn!(%error, "cannot keep the proof of the drivers");
        }
    }

    /// Everything that a proof depends on, as one digest.
    fn key(&self) -> String {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu: String = text("/proc/cpuinfo")
            .lines()
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("model name") || line.starts_with("microcode"))
            .collect();
        let modules = fs::read_dir("/sys/module").map_or_else(
            |_| Vec::new(),
            |entries| {
                let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
                let mut kvm: Vec<String> = names.filter(|name| name.starts_with("kvm")).collect();
                kvm.sort();
                kvm
            },
        );
        let kvm = fs::metadata("/dev/kvm").map(|m| (m.rdev(), m.uid(), m.gid(), m.mode())).ok();
        let programs = [self.kernel().ok(), self.agent().ok(), self.qemu(), self.runtime().ok()];
        let programs = programs.map(|path| path.map(|path| (stamp(&path), path)));
        let parts = (
            text("/proc/sys/kernel/osrelease"),
            text("/proc/cmdline"),
            cpu,
            kvm,
            modules,
            programs,
        );
        blake3::hash(format!("{parts:?}").as_bytes()).to_hex().to_string()
    }
}

/// Tells whether the best driver is known: it was proved, and so was each that is liked more judged.
fn knows_best(verdicts: &[Verdict]) -> bool {
    for liked in LIKED {
        match verdicts.iter().find(|one| one.contender() == liked) {
            Some(verdict) if verdict.ok => return true,
            Some(_) => {}
            None => return false,
        }
    }
    !verdicts.is_empty()
}

/// Returns what changes when a file is replaced.
fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    fs::metadata(path).map(|meta| (meta.len(), meta.mtime(), meta.mtime_nsec())).ok()
}

fn newest_kernel(folder: &Path) -> Option<PathBuf> {
    let kernels = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path().join("vmlinux"));
    kernels
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
}
