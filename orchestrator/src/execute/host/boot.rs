//! The acts that bring a machine up, wait for it, and bring the old one back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schema::control::Milestone;
use schema::failure::Report;
use schema::launch::{self, DriverName};
use schema::lifecycle::Phase;
use schema::name::InstanceName;
use schema::project::{EnvValue, MountSource, Sandbox, VolumeKind};
use schema::record::{Exit, Record};

use super::acts::asked;
use super::another::{START, is_of_start};
use super::{Host, Ticket, bug};
use crate::disks;
use crate::drivers::Drivers;
use crate::engine::AttachedEnd;
use crate::execute::world::{Done, Effect, FailureKind, StepError};
use crate::follow::{Logs, Source};
use crate::machines::{self, Folder, LaunchError, Machine, Making, Reached, VolumeSource, process};
use crate::ports;
use crate::report::clean::clean;
use crate::store::inventory::{self, MachineRow, Role, SandboxRow};
use crate::volumes;

/// How long a job's runtime may need to end after its workload.
const CLEAR_MAX: Duration = Duration::from_secs(15);

/// How long a machine that was killed may need to give its lease back.
pub(super) const RELEASED_MAX: Duration = Duration::from_secs(5);

impl Host {
    pub(super) async fn boot_wanted(&self, name: &InstanceName, ticket: &Ticket) -> Done {
        let id = ticket.machine.clone().ok_or_else(|| bug("there is no machine to boot"))?;
        let nonce = ticket.nonce.clone().ok_or_else(|| bug("the launch has no nonce"))?;
        let want = self.wanted(name)?;
        let begun = self.boot_machine(name, want, (id.clone(), nonce.clone())).await;
        match begun {
            Err(error) if self.goes_on(name, (&id, want), &error).await? => {
                self.boot_machine(name, want, (id, nonce)).await
            }
            ended => ended,
        }
    }

    async fn boot_machine(
        &self,
        name: &InstanceName,
        want: &Sandbox,
        (id, nonce): (String, String),
    ) -> Done {
        // Before the guest can see them.
        self.contents(name);
        let row = self.sandbox_row(name)?;
        if self.driver(name)?.name != DriverName::Process {
            disks::grow(&self.folder(&id).upper(), want.upper.0)
                .map_err(|error| StepError::from("msb::host::disk-space", "boot", &error))?;
        }
        let attach = self.options.attach.as_ref().filter(|attach| attach.name == *name);
        let making = Making {
            machine: launch::Machine {
                ephemeral: attach.is_some_and(|attach| attach.end == AttachedEnd::Remove),
                labels: want.labels.clone(),
                ..self.machine_of(name, &row, &id)
            },
            nonce,
            want,
            project: &self.wish.project,
            image: self.image(name).await?,
            driver: self.driver(name)?,
            parts: self.parts.clone(),
            volumes: self.volume_sources(name, want)?,
            protected: self.protected(),
            home: self.context.home().to_path_buf(),
            values: self.values(want)?,
            folder: self.folder(&id),
            installation: self.installation()?,
            log_level: self.options.log_level.clone(),
            chosen_ports: self
                .store
                .borrow_mut()
                .read(|db| inventory::chosen_ports(db, &row.id))?,
            attached: attach.is_some(),
            require_jail: self.options.require_jail,
            reserve_bytes: self.context.disk_reserve.0,
        };
        let mut launch = machines::assemble(making).map_err(|error| self.not_assembled(&error))?;
        launch.environment = self.environment();
        // Without a network device nobody calls it by name.
        if launch.record.driver.name != DriverName::Process
            && launch.record.network.link().is_some()
        {
            machines::names::point(self.context.home(), &launch.record.machine)
                .map_err(|error| StepError::from("msb::state::unusable", "boot", &error))?;
        }
        self.tell_neighbours(name).await?;
        // Where it does not come free, the runtime says so.
        drop(self.folder(&id).released_within(RELEASED_MAX).await);
        let program = Drivers::of(&self.context).runtime()?;
        let started = machines::spawn(&program, launch, self.context.home()).await;
        let started = started.map_err(|error| {
            let told = error.report(&self.folder(&id).runtime_log());
            let mut failed = StepError::of(self.with_holder(told, name, want));
            failed.phase = Some(Phase::Failed);
            failed.reason = Some(failed.report.stage.clone());
            failed
        })?;
        if let Some(creator) = started.creator {
            self.creators.borrow_mut().insert(name.clone(), creator);
        }
        match started.machine.wait(Milestone::Running).await {
            Ok(Reached::Yes(record)) => {
                Drivers::of(&self.context).bear_out(&self.driver(name)?);
                Ok(effect(&record))
            }
            Ok(Reached::No(record)) => Err(failure((name, &self.folder(&id)), &record)),
            Err(error) => Err(self.lost(name, &started.machine, &asked(&error, "boot"))),
        }
    }

    /// Returns how a machine is known.
    pub(super) fn machine_of(
        &self,
        name: &InstanceName,
        row: &SandboxRow,
        id: &str,
    ) -> launch::Machine {
        launch::Machine {
            id: id.to_owned(),
            project: self.wish.project.name.to_string(),
            project_id: self.project_id.clone(),
            sandbox: name.sandbox.to_string(),
            instance: name.slot(),
            kind: machines::kind(row.kind),
            ephemeral: false,
            labels: BTreeMap::new(),
        }
    }

    /// Says of a port that could not be had who has it.
    pub(super) fn with_holder(&self, told: Report, name: &InstanceName, want: &Sandbox) -> Report {
        if told.stage != "ports" {
            return told;
        }
        let mut wanted = ports::fixed(want, name.index.unwrap_or(0));
        let taken = wanted.find_map(|(protocol, at)| ports::look(protocol, at).err());
        taken.map_or(told, |taken| taken.report(self.context.home()))
    }

    /// Says why a machine could not be put together; of a disk in use, by whom.
    fn not_assembled(&self, error: &LaunchError) -> StepError {
        let (code, stage) = error.code();
        let mut failed = StepError::from(code, stage, error);
        match error {
            LaunchError::Busy { path, .. } => {
                let holders = machines::holders(self.context.home(), path);
                let notes = holders.iter().map(|name| format!("{name} has it mounted"));
                failed.report.notes.extend(notes);
                let hint = "Stop the other one first; a disk has one writer, or readers alone.";
                failed.report.hints.push(hint.to_owned());
            }
            LaunchError::Source { source, .. } => {
                failed.report.hints.push(source.hint().to_owned());
            }
            LaunchError::Open { .. }
            | LaunchError::TooManyDisks { .. }
            | LaunchError::NoVolume(_)
            | LaunchError::NotYet(_) => {}
        }
        failed
    }

    /// The variables of the runtime's own process.
    fn environment(&self) -> Vec<(String, String)> {
        let known = ["PATH", "RUST_BACKTRACE"].into_iter().filter_map(|key| {
            let value = self.context.environment.get(key)?;
            Some((key.to_owned(), value.to_owned()))
        });
        known.collect()
    }

    fn installation(&self) -> Result<String, StepError> {
        let found = self.store.borrow_mut().read(|db| inventory::meta(db, "installation"))?;
        Ok(found.unwrap_or_default())
    }

    /// The project's own files, which no guest of it changes.
    fn protected(&self) -> Vec<PathBuf> {
        if !self.wish.project.protect_config {
            return Vec::new();
        }
        let inputs = &self.wish.inputs;
        let files = inputs.files.iter().chain(&inputs.lock).map(|file| &file.path);
        files.filter_map(|path| std::fs::canonicalize(path).ok()).collect()
    }

    fn volume_sources(
        &self,
        name: &InstanceName,
        want: &Sandbox,
    ) -> Result<BTreeMap<String, VolumeSource>, StepError> {
        let id = self.sandbox_row(name)?.id;
        let volumes = self.store.borrow_mut().read(|db| self.volumes_of(db, &id))?;
        let process = self.driver(name)?.name == DriverName::Process;
        let home = self.context.home();
        let mut found = BTreeMap::new();
        for mount in &want.mounts {
            let MountSource::Named(volume) = &mount.source else { continue };
            let Some(row) = volumes.meant(volume, &mount.destination) else { continue };
            let path = match row.kind {
                VolumeKind::Dir => volumes::data(home, &row.folder),
                VolumeKind::Disk if process => volumes::stand_in(home, &row.folder)
                    .map_err(|error| StepError::from("msb::volume::failed", "volume", &error))?,
                VolumeKind::Disk => volumes::disk(home, &row.folder),
            };
            let limit = row.quota_bytes.unwrap_or(volumes::UNLIMITED);
            let usage = || (limit, volumes::usage(home, &row.folder));
            let quota = (row.kind == VolumeKind::Dir).then(usage);
            let source = VolumeSource { id: row.id.clone(), kind: row.kind, path, quota };
            found.insert(volume.to_string(), source);
        }
        Ok(found)
    }

    /// Reads the values that the file only refers to.
    fn values(&self, want: &Sandbox) -> Result<BTreeMap<String, Vec<u8>>, StepError> {
        let files = crate::engine::read_env_files(want).map_err(|report| StepError::of(*report))?;
        let below = files.into_iter().filter(|(key, _)| !want.env.contains_key(key));
        let mut values: BTreeMap<String, Vec<u8>> =
            below.map(|(key, value)| (key.to_string(), value)).collect();
        for (key, value) in &want.env {
            let found = match value {
                EnvValue::Literal(_) => continue,
                EnvValue::FromEnv(_) | EnvValue::FromFile(_) => {
                    crate::engine::read_source(&self.context, value)
                }
                EnvValue::Secret(name) => {
                    return Err(StepError::of(Report {
                        code: "msb::schema::not-yet".to_owned(),
                        stage: "resolve".to_owned(),
                        message: format!("{key} is secret {name}; secrets are not supported yet"),
                        hints: vec![format!("Leave {key} out, or write from-env.")],
                        ..Report::default()
                    }));
                }
            };
            let bytes = found.ok_or_else(|| {
                StepError::of(Report {
                    code: "msb::env::missing".to_owned(),
                    stage: "resolve".to_owned(),
                    message: format!(
                        "the value of {key} is not there, or longer than 131,071 bytes: {value}"
                    ),
                    hints: vec![format!("Set {value} where msb runs.")],
                    ..Report::default()
                })
            })?;
            values.insert(key.to_string(), bytes);
        }
        Ok(values)
    }

    pub(super) async fn wait_at_gate(&self, name: &InstanceName, until: Milestone) -> Done {
        let Some((id, machine)) = self.current(name)? else {
            return Err(bug("there is no machine to wait for"));
        };
        let reached = match machine.wait(until).await {
            Ok(reached) => reached,
            Err(error) => return Err(self.lost(name, &machine, &asked(&error, "wait"))),
        };
        match reached {
            Reached::Yes(record) => {
                if until == Milestone::Completed {
                    self.clear_after_job(&id, &record).await;
                }
                Ok(effect(&record))
            }
            Reached::No(record) => {
                let mut error = failure((name, machine.folder()), &record);
                if record.phase == Phase::Stalled && !record.rests() {
                    error.report.notes.extend(machine.last_probe().await);
                }
                Err(error)
            }
        }
    }

    /// The upper of a job goes with its success; logs and record stay.
    async fn clear_after_job(&self, id: &str, record: &Record) {
        process::until_gone(&record.runtime, CLEAR_MAX).await;
        let folder = self.folder(id);
        for path in [folder.upper(), folder.file("root")] {
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %path.display(), "cannot remove what a job left");
            }
        }
    }

    /// A runtime that is gone without a word: its record, if any, says where it was.
    fn lost(&self, name: &InstanceName, machine: &Machine, error: &StepError) -> StepError {
        let looked = process::boot_id().and_then(|boot_id| {
            let look = machine.folder().look(&boot_id)?;
            Ok((look, boot_id))
        });
        // Where it cannot be looked at, the failure that we have is all there is to tell.
        let Ok((look, boot_id)) = looked else { return error.clone() };
        // A job that came to a good end in the meantime did not fail: we failed to hear of it.
        let failed = |record: &&Record| record.rests() && record.phase != Phase::Completed;
        if let Some(record) = look.record.as_ref().filter(failed) {
            return failure((name, machine.folder()), record);
        }
        let mut lost = error.clone();
        let standing = look.standing(Phase::Booting, &boot_id);
        lost.phase = Some(standing.phase);
        lost.reason = standing.reason;
        lost.report.causes.extend(complaints(machine.folder()));
        lost.report.notes.extend(standing.detail);
        lost
    }

    /// The new machine did not get ready: it is kept for its logs, the old one runs again.
    pub(super) async fn put_back(&self, name: &InstanceName) -> Done {
        let rows = self.machine_rows(name)?;
        let by_role = |role| rows.iter().find(|machine| machine.role == role).cloned();
        let (Some(new), Some(old)) = (by_role(Role::Current), by_role(Role::Previous)) else {
            return Ok(Effect::default());
        };
        let machine = Machine::new(self.folder(&new.id), new.id.clone(), new.nonce.clone());
        self.stop_machine(&new.id, &machine).await?;
        drop(std::fs::remove_file(self.folder(&new.id).upper()));
        let nonce = super::random()? + &super::random()?;
        self.store.borrow_mut().write(|db| {
            inventory::put_machine(db, &MachineRow { role: Role::Failed, ..new })?;
            let (role, nonce) = (Role::Current, nonce.clone());
            inventory::put_machine(db, &MachineRow { role, nonce, ..old.clone() })
        })?;
        let applied = self.sandbox_row(name)?.applied;
        let want = match applied {
            Some(it) => self.store.borrow_mut().read(|db| inventory::definition_of(db, &it))?,
            None => None,
        };
        let want = want.ok_or_else(|| bug("the old definition is gone"))?;
        self.boot_machine(name, &want, (old.id, nonce)).await
    }
}

fn effect(record: &Record) -> Effect {
    Effect {
        phase: Some(record.phase),
        reason: record.reason.clone(),
        exit_code: record.exit.map(Exit::shell_code),
        forced: record.forced,
        ports: record.ports.clone(),
    }
}

/// Returns the failure that a record tells.
fn failure((name, folder): (&InstanceName, &Folder), record: &Record) -> StepError {
    let reason = record.reason.as_deref().unwrap_or("no reason was given");
    let booted = record.agent_ready_at_ms.is_some();
    let (code, stage) = match (record.phase, reason) {
        (Phase::Stalled, "restarts") => ("msb::ready::failed", "ready"),
        (Phase::Stalled, _) => ("msb::ready::timeout", "ready"),
        (_, "exec") => exec_code(record),
        (Phase::Failed, _) if is_of_start(record) => ("msb::boot::failed", START),
        (Phase::Failed, _) if !booted => ("msb::boot::failed", "boot"),
        _ => ("msb::ready::failed", "ready"),
    };
    let message = match (record.phase, &record.message) {
        (Phase::Stalled, Some(message)) if reason == "restarts" => message.clone(),
        (Phase::Stalled, _) => "it did not get ready in time; the machine is up".to_owned(),
        (_, Some(message)) => message.clone(),
        (Phase::Failed, None) if record.exit.is_some() => ended(reason),
        (phase, None) => {
            let detail = record.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
            format!("it is {}({reason}{detail})", phase.as_str())
        }
    };
    let mut causes: Vec<String> =
        record.detail.iter().filter(|_| record.message.is_some()).cloned().collect();
    if !booted || record.reason.as_deref() == Some("machine-died") {
        // Why a machine died is often told by the log alone.
        causes.extend(complaints(folder));
    }
    let report = Report {
        code: code.to_owned(),
        stage: stage.to_owned(),
        message,
        causes,
        hints: vec![format!("Read its last words with `msb logs {name}`.")],
        console: record.console_tail.clone(),
        ..Report::default()
    };
    let kind = match record.phase {
        Phase::Stalled if reason != "restarts" => FailureKind::NotReady,
        _ => FailureKind::Failed,
    };
    let exit_code = record.exit.map(Exit::shell_code);
    let report = Box::new(report);
    let reason = record.reason.clone();
    StepError { report, kind, phase: Some(record.phase), reason, exit_code }
}

/// Returns what a runtime complained of last.
pub(super) fn complaints(folder: &Folder) -> Vec<String> {
    let mut entries = Logs::open(folder.path(), &[Source::Runtime].into(), 0).read();
    entries.retain(|entry| entry.bytes.starts_with(b"error ") || entry.bytes.starts_with(b"warn "));
    let first = entries.len().saturating_sub(COMPLAINTS_MAX);
    let texts = entries.iter().skip(first);
    texts.map(|entry| clean(&String::from_utf8_lossy(&entry.bytes)).into_owned()).collect()
}

/// How many complaints of a runtime are told.
const COMPLAINTS_MAX: usize = 3;

/// Returns how a workload ended, from a reason such as `exit 3` or `signal 9`.
fn ended(reason: &str) -> String {
    match reason.split_once(' ') {
        Some(("exit", code)) => format!("its command ended with exit code {code}"),
        Some(("signal", number)) => format!("signal {number} ended its command"),
        _ => format!("its command ended: {reason}"),
    }
}

/// Why a command could not be run, in the agent's words.
fn exec_code(record: &Record) -> (&'static str, &'static str) {
    let code = match record.detail.as_deref() {
        Some("not-found") => "msb::exec::not-found",
        Some("not-executable") => "msb::exec::not-executable",
        Some("user") => "msb::exec::user",
        Some("cwd") => "msb::exec::cwd",
        _ => "msb::exec::failed",
    };
    (code, "exec")
}
