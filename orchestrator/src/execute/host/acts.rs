//! The acts that make, change and remove.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use schema::control::{Ages, HealthWish, Update};
use schema::failure::Report;
use schema::figures::Measuring;
use schema::launch::{DriverName, Link, Network};
use schema::lifecycle::Phase;
use schema::name::{InstanceName, VolumeName};
use schema::project::{
    AfterRestarts, FileChange, Image, ImageRef, Kind, Quota, Restart, Root, Sandbox, Volume,
    VolumeKind,
};

use super::boot::complaints;
use super::{Host, Ticket, bug};
use crate::disks::{self, Purpose};
use crate::execute::world::{Done, Effect, StepError};
use crate::images::ImageEntry;
use crate::machines::{self, ControlError, ImageFacts, names};
use crate::store::inventory::{self, Role};
use crate::store::{Store, atomic};
use crate::volumes::{self, Marker};

/// Does blocking work off the thread that all tasks share.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let done = crate::worker::blocking(work).await;
    done.unwrap_or_else(|error| Err(StepError::from("msb::host::event-loop", "state", &error)))
}

/// Returns the most that a volume may hold that is made as wanted.
pub(super) fn quota_bytes(want: &Volume) -> Option<u64> {
    match (want.kind, want.quota.unwrap_or(Volume::QUOTA)) {
        (Some(VolumeKind::Disk), _) | (_, Quota::None) => None,
        (_, Quota::Bytes(most)) => Some(most.0),
    }
}

/// Returns the fields of a live change that a runtime of an older version passes over, where they are
/// anybody's wish.
fn wished(want: &Sandbox) -> Vec<&'static str> {
    let fields = [
        ("health", want.health.is_some()),
        ("restart", want.restart != Restart::of(want.kind)),
        ("metrics", machines::metrics(want) != Measuring::default()),
        ("success_codes", want.success_codes != BTreeSet::from([0])),
        ("ages", want.idle_timeout.is_some() || want.max_duration.is_some()),
    ];
    fields.into_iter().filter(|(_, is_wish)| *is_wish).map(|(field, _)| field).collect()
}

impl Host {
    pub(super) async fn make_volume(&self, name: &VolumeName, ticket: &Ticket) -> Done {
        let want = self.wish.project.volumes.get(name).ok_or_else(|| bug("no such volume"))?;
        let marker = Marker {
            format: 1,
            id: ticket.volume.as_ref().map_or_else(String::new, |(id, _)| id.clone()),
            name: name.clone(),
            project_id: Some(self.project_id.clone()),
            project_folder: Some(self.wish.project.folder.clone()),
            kind: want.kind.unwrap_or(VolumeKind::Dir),
            size_bytes: want.size.map_or(0, |size| size.0),
            quota_bytes: quota_bytes(want),
        };
        let home = self.context.home().to_path_buf();
        let folder = volumes::folder_name(&self.wish.project.name, name);
        blocking(move || {
            let made = if marker.id.is_empty() {
                volumes::grow(&home, &folder, marker.size_bytes)
            } else {
                volumes::make(&home, &folder, &marker)
            };
            made.map(|()| Effect::default())
                .map_err(|error| StepError::from("msb::volume::failed", "volume", &error))
        })
        .await
    }

    /// Sets what a folder may hold, where that is said; what else changes is in the row alone.
    pub(super) async fn limit_volume(&self, name: &VolumeName) -> Done {
        let want = self.wish.project.volumes.get(name).ok_or_else(|| bug("no such volume"))?;
        if want.quota.is_none() {
            return Ok(Effect::default());
        }
        let (home, limit) = (self.context.home().to_path_buf(), quota_bytes(want));
        let folder = volumes::folder_name(&self.wish.project.name, name);
        blocking(move || {
            volumes::limit(&home, &folder, limit)
                .map(|()| Effect::default())
                .map_err(|error| StepError::from("msb::volume::failed", "volume", &error))
        })
        .await
    }

    pub(super) async fn put_into_trash(&self, ticket: &Ticket) -> Done {
        let (id, folder) = ticket.volume.clone().ok_or_else(|| bug("no volume was announced"))?;
        let home = self.context.home().to_path_buf();
        blocking(move || {
            volumes::trash(&home, &folder, &id)
                .map(|()| Effect::default())
                .map_err(|error| StepError::from("msb::volume::failed", "volume", &error))
        })
        .await
    }

    pub(super) async fn move_volume(&self, name: &VolumeName, ticket: &Ticket) -> Done {
        let (id, folder) = ticket.volume.clone().ok_or_else(|| bug("no volume was announced"))?;
        let home = self.context.home().to_path_buf();
        let (to, name) = (volumes::folder_name(&self.wish.project.name, name), name.clone());
        blocking(move || {
            volumes::rename(&home, &id, &folder, (&to, &name))
                .map(|()| Effect::default())
                .map_err(|error| StepError::from("msb::volume::failed", "volume", &error))
        })
        .await
    }

    /// Makes the machine's folder under a hidden name and renames it when it is whole.
    pub(super) async fn make_machine(&self, name: &InstanceName, ticket: &Ticket) -> Done {
        let want = self.wanted(name)?;
        let id = ticket.machine.clone().ok_or_else(|| bug("no machine was announced"))?;
        self.image(name).await?;
        for failed in self.machine_rows(name)?.iter().filter(|m| m.role == Role::Failed) {
            self.remove_folder(&failed.id)?;
        }
        let upper = match self.driver(name)?.name {
            DriverName::Process => None,
            DriverName::Qemu | DriverName::Krun => Some(want.upper.0),
        };
        let home = self.context.home().to_path_buf();
        let spent = self.spent(name, want)?;
        blocking(move || {
            furnish(&home, &id, upper)?;
            if let Some((old, digest)) = spent {
                // Both: should the new one not get ready, the old one runs again.
                for folder in [old, machines::Folder::of(&home, &id)] {
                    if let Err(error) = folder.note_recreated(&digest) {
                        // It may be made anew once more.
                        tracing::warn!(%error, "it is not noted why the machine was made anew");
                    }
                }
            }
            Ok(Effect { phase: Some(Phase::Pending), ..Effect::default() })
        })
        .await
    }

    /// Returns the definition whose restarts are used up, where that makes a machine anew, or once did;
    /// with the machine's folder.
    fn spent(
        &self,
        name: &InstanceName,
        want: &Sandbox,
    ) -> Result<Option<(machines::Folder, String)>, StepError> {
        if want.restart.then != AfterRestarts::Recreate {
            return Ok(None);
        }
        let Some((id, _)) = self.current(name)? else { return Ok(None) };
        let folder = self.folder(&id);
        let is_spent = folder.record()?.is_some_and(|record| {
            (record.phase, record.reason.as_deref()) == (Phase::Stalled, Some("restarts"))
        });
        let digest = if is_spent { self.sandbox_row(name)?.applied } else { folder.recreated() };
        Ok(digest.map(|digest| (folder, digest)))
    }

    /// Returns the image of a sandbox, its root made ready.
    pub(super) async fn image(&self, name: &InstanceName) -> Result<ImageFacts, StepError> {
        let (want, driver) = (self.wanted(name)?, self.driver(name)?);
        let image = want.root.image().ok_or_else(|| host_root(&want.root))?;
        let process = driver.name == DriverName::Process;
        if !process {
            self.keeps_images().await?;
        }
        let Some(entry) = self.catalogued(image)? else {
            if process && matches!(image.reference, ImageRef::Builtin(_)) {
                return Ok(ImageFacts::default());
            }
            return Err(no_image(&image.reference));
        };
        let (digest, config) = (entry.manifest_digest.clone(), entry.config.clone());
        let root = if process { None } else { Some(self.root(entry).await?) };
        Ok(ImageFacts { digest, root, config })
    }

    async fn root(&self, entry: ImageEntry) -> Result<std::path::PathBuf, StepError> {
        let home = crate::engine::images_home(&self.context);
        blocking(move || {
            crate::images::root_for(&home, &entry)
                .map(|root| root.path)
                .map_err(|error| StepError::from("msb::image::damaged", "image", &error))
        })
        .await
    }

    fn catalogued(&self, image: &Image) -> Result<Option<ImageEntry>, StepError> {
        let mut store = self.store.borrow_mut();
        let found = self.wish.pins.find(store.catalog(), image);
        found.map_err(|error| StepError::from("msb::state::unusable", "image", &error))
    }

    pub(super) fn image_digest(&self, name: &InstanceName) -> Option<String> {
        // The state is being written, so the catalogue is read through a view of its own.
        let image = self.wanted(name).ok()?.root.image()?;
        let mut store = Store::open_read_only(self.context.home()).ok()??;
        Some(self.wish.pins.find(store.catalog(), image).ok()??.manifest_digest)
    }

    pub(super) async fn update_live(&self, name: &InstanceName) -> Done {
        let want = self.wanted(name)?;
        let Some((id, machine)) = self.current(name)? else { return Ok(Effect::default()) };
        if !self.is_alive(&id)? {
            return Ok(Effect::default());
        }
        let update = self.update_of(name, want, &id)?;
        let is_asked = wished(want);
        let owed = self.signals(name, want)?;
        let answer = machine.update(update).await;
        let (applied, mut refused) = answer.map_err(|error| asked(&error, "update"))?;
        let ignored = |field: &&&str| !applied.iter().any(|one| one == **field);
        if let Some(field) = is_asked.iter().find(ignored) {
            let why = "its runtime is of an older version".to_owned();
            refused.push(((*field).to_owned(), why));
        }
        if let Some((field, why)) = refused.first() {
            return Err(self.not_updated((name, want), (field, why)));
        }
        self.tell_neighbours(name).await?;
        for number in owed {
            let answer = machine.signal(number).await;
            answer.map_err(|error| asked(&error, "signal its workload"))?;
        }
        let record = self.folder(&id).record()?;
        let ports = record.map(|record| record.ports).unwrap_or_default();
        Ok(Effect { ports, ..Effect::default() })
    }

    /// Returns what a running machine is to be told.
    fn update_of(
        &self,
        name: &InstanceName,
        want: &Sandbox,
        id: &str,
    ) -> Result<Update, StepError> {
        let record = self.folder(id).record()?;
        // What its health is now only the machine knows; the same again is no change.
        let health = record.as_ref().map(|record| machines::health(want, record.accelerator));
        let health = health.map(|health| {
            health.map_or(HealthWish::Unasked, |health| HealthWish::Asked(Box::new(health)))
        });
        let is_machine = record.as_ref().is_some_and(|it| it.driver != DriverName::Process);
        let effective = record.map(|record| record.effective).unwrap_or_default();
        let cpus = u32::from(want.cpus.count);
        let changed = |now: u64, then: u64| Some(now).filter(|now| *now != then);
        let network = if is_machine { self.link(name, want, id)? } else { None };
        Ok(Update {
            cpus: Some(cpus).filter(|cpus| *cpus != effective.cpus),
            memory_bytes: changed(want.memory.size.0, effective.memory_bytes),
            stop_grace_ms: changed(want.stop_grace.0, effective.stop_grace_ms),
            network,
            health,
            restart: Some(want.restart.clone()),
            ages: Some(Ages {
                idle_ms: want.idle_timeout.map(|age| age.0),
                max_ms: want.max_duration.map(|age| age.0),
            }),
            metrics: Some(machines::metrics(want)),
            success_codes: Some(want.success_codes.iter().copied().collect()),
        })
    }

    /// Returns what may pass a machine's network device, whole: the runtime knows what of it is new.
    pub(super) fn link(
        &self,
        name: &InstanceName,
        want: &Sandbox,
        id: &str,
    ) -> Result<Option<Box<Link>>, StepError> {
        let row = self.sandbox_row(name)?;
        let chosen = self.store.borrow_mut().read(|db| inventory::chosen_ports(db, &row.id))?;
        let machine = self.machine_of(name, &row, id);
        match machines::network((want, &self.wish.project), &machine, &chosen) {
            Network::On(link) => Ok(Some(link)),
            Network::Off => Ok(None),
        }
    }

    /// Says what a running machine did not take.
    fn not_updated(
        &self,
        (name, want): (&InstanceName, &Sandbox),
        (field, why): (&str, &str),
    ) -> StepError {
        let stage = if field == "network" { "ports" } else { "agent" };
        let told = Report {
            code: "msb::step::failed".to_owned(),
            stage: stage.to_owned(),
            message: format!("the machine refuses to change {field}: {why}"),
            hints: vec![format!("Run `msb restart {name}` to apply it.")],
            ..Report::default()
        };
        StepError::of(self.with_holder(told, name, want))
    }

    /// Returns the signals that a workload is owed, each once: those of files that hold something
    /// else than it was last told of.
    ///
    /// A file that asks for a restart and changed since the plan was made, or is not there, stays
    /// remembered as it was: the next plan finds it.
    fn signals(&self, name: &InstanceName, want: &Sandbox) -> Result<BTreeSet<u8>, StepError> {
        let mut owed = BTreeSet::new();
        if want.mounts.iter().all(|mount| mount.followed().is_none()) {
            return Ok(owed);
        }
        let (mut now, row) = (self.contents(name), self.sandbox_row(name)?);
        let then = self.store.borrow_mut().read(|db| inventory::applied_digests(db, &row.id))?;
        for mount in &want.mounts {
            let path = mount.content_path();
            let (Some(file), Some(old)) = (mount.followed(), then.get(&path)) else { continue };
            match (&file.on_change, now.get(&path)) {
                (_, Some(new)) if new == old => {}
                (FileChange::Signal(signal), Some(_)) => {
                    owed.extend(u8::try_from(signal.number()).ok());
                }
                _ => drop(now.insert(path, old.clone())),
            }
        }
        self.contents.borrow_mut().insert(name.clone(), now);
        Ok(owed)
    }

    pub(super) async fn stop_current(&self, name: &InstanceName) -> Done {
        let Some((id, machine)) = self.current(name)? else { return Ok(Effect::default()) };
        self.stop_machine(&id, &machine).await
    }

    pub(super) async fn stop_machine(&self, id: &str, machine: &machines::Machine) -> Done {
        if !self.is_alive(id)? {
            return Ok(Effect { phase: None, ..Effect::default() });
        }
        let grace = self.options.grace.map(|grace| Duration::from_millis(grace.0));
        let ended = match grace {
            Some(Duration::ZERO) => machine.kill(&self.actor()).await,
            grace => machine.stop(grace, &self.actor()).await,
        };
        let record = ended.map_err(|error| {
            let mut failed = asked(&error, "stop");
            failed.report.causes.extend(complaints(machine.folder()));
            failed
        })?;
        Ok(record.map_or_else(Effect::default, |record| Effect {
            phase: Some(record.phase),
            reason: record.reason,
            exit_code: record.exit.map(schema::record::Exit::shell_code),
            forced: record.forced,
            ports: Vec::new(),
        }))
    }

    /// Removes what a newer machine took over from; of a job, everything it had.
    pub(super) fn remove_old(&self, name: &InstanceName) -> Done {
        let job = self.wanted(name).is_ok_and(|want| want.kind == Kind::Job);
        for machine in self.machine_rows(name)? {
            if job || machine.role != Role::Current {
                self.remove_folder(&machine.id)?;
            }
        }
        Ok(Effect::default())
    }

    pub(super) fn remove_all(&self, name: &InstanceName) -> Done {
        for machine in self.machine_rows(name)? {
            self.remove_folder(&machine.id)?;
        }
        // Its id is never used again, so nobody can come to wait for this lock.
        let lock = format!("locks/{}.lock", self.sandbox_row(name)?.id);
        match fs::remove_file(self.context.home().join(lock)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StepError::from("msb::state::unusable", "remove", &error))
            }
            _ => Ok(Effect::default()),
        }
    }

    fn remove_folder(&self, id: &str) -> Result<(), StepError> {
        if self.is_alive(id)? {
            return Err(bug("a machine that lives is not removed"));
        }
        remove_folder(self.context.home(), id)
            .map_err(|error| StepError::from("msb::state::unusable", "remove", &error))
    }
}

/// Gives a machine's folder a hidden name and removes it, with the names that lead there; one that is not
/// there is as good.
pub(in crate::execute) fn remove_folder(home: &Path, id: &str) -> io::Result<()> {
    names::forget(home, id)?;
    let folder = home.join("machines").join(id);
    let hidden = home.join("machines").join(format!(".{id}.gone"));
    for path in [hidden.clone(), home.join("machines").join(format!(".{id}.making"))] {
        remove_if_there(&path)?;
    }
    match fs::rename(&folder, &hidden) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    remove_if_there(&hidden)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn furnish(home: &Path, id: &str, upper: Option<u64>) -> Result<(), StepError> {
    let hidden = home.join("machines").join(format!(".{id}.making"));
    let failed = |source| {
        let error = Furnish { path: hidden.clone(), source };
        StepError::from("msb::state::unusable", "state", &error)
    };
    DirBuilder::new().mode(0o700).create(&hidden).map_err(failed)?;
    let made = upper.map_or(Ok(()), |bytes| {
        disks::make(home, Purpose::Upper, bytes, &hidden.join("upper.ext4"))
            .map_err(|error| StepError::from("msb::host::disk-space", "image", &error))
    });
    let folder = home.join("machines").join(id);
    let made = made.and_then(|()| {
        fs::rename(&hidden, &folder).and_then(|()| atomic::sync_folder(&folder)).map_err(failed)
    });
    if made.is_err() {
        // It has its name already where only the name could not be made durable. Name by name: a
        // host without a descriptor to give lists no folder.
        for path in [&hidden, &folder] {
            drop(fs::remove_file(path.join("upper.ext4")));
            drop(fs::remove_dir(path));
        }
    }
    made
}

/// The machine's folder could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the machine's folder at {}", path.display())]
struct Furnish {
    path: std::path::PathBuf,
    #[source]
    source: io::Error,
}

/// A root on the host is refused before anything is begun.
fn host_root(root: &Root) -> StepError {
    StepError::of(Report {
        code: "msb::usage::not-yet".to_owned(),
        stage: "image".to_owned(),
        message: format!("a root that is {} is not supported yet", root.short()),
        ..Report::default()
    })
}

pub(super) fn no_image(reference: &ImageRef) -> StepError {
    let short = reference.short();
    StepError::of(Report {
        code: "msb::image::not-found".to_owned(),
        stage: "image".to_owned(),
        message: format!("image {short} is not in the store"),
        hints: vec![format!("Bring it with `msb pull {short}`, or `msb load -i FILE -t {short}`.")],
        ..Report::default()
    })
}

/// Returns a failure to ask a machine something.
pub(super) fn asked(error: &ControlError, what: &str) -> StepError {
    match error {
        ControlError::Refused(report) => StepError::of((**report).clone()),
        ControlError::LivesOn { .. } => StepError::from("msb::stop::timeout", "stop", error),
        _ => {
            let mut failed = StepError::from("msb::agent::lost", "agent", error);
            failed.report.notes.push(format!("while asking it to {what}"));
            failed
        }
    }
}
