//! The host as it is: what state remembers, and what records and `/proc` say of it.
//!
//! One read of the database and one pass over the machines' folders; no
//! process is started, no machine asked, nothing written.

mod beside;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schema::launch::{DriverName, Isolation};
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::{Body, External, ImageRef, Kind, Place, Project};
use schema::record::{Effective, Record};

pub(crate) use self::beside::Beside;
use crate::machines::process::LookError;
use crate::machines::{Folder, Looks, Shelf, Stamp, Standing, process};
use crate::plan::Wish;
use crate::store::inventory::{
    self, Inhabitant, MachineRow, ProjectRow, SandboxRow, VolumeRow, VolumeUse,
};
use crate::store::operations::{self, Audit};
use crate::store::{Rows, Store, StoreError, lift};

/// A project as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// What state knows of the project.
    pub project: Option<ProjectRow>,
    /// A project of another name that lives in the same folder.
    pub same_folder: Option<ProjectName>,
    /// The run that last applied it, and when.
    pub last_applied: Option<(i64, String)>,
    /// Its sandboxes and jobs.
    pub sandboxes: BTreeMap<InstanceName, Box<Seen>>,
    /// Volumes that it can see: its own, else nobody's.
    pub volumes: BTreeMap<VolumeName, SeenVolume>,
    /// The manifest digests of the images that the files name: as the lock or the name itself pins
    /// it, else as the store has it; `None` where nobody knows.
    pub images: BTreeMap<ImageRef, Option<String>>,
    /// Those of them that the store does not have.
    pub absent: BTreeSet<ImageRef>,
    /// Where the image lock pins an image that the files name.
    pub locked: BTreeMap<ImageRef, Place>,
    /// Today's digests of values that come from outside the files, by sandbox and field.
    pub sources: BTreeMap<(InstanceName, String), Source>,
    /// What was last done by hand, by address without project.
    pub audits: BTreeMap<String, Audit>,
    /// The names that are taken in the imperative project.
    pub adhoc: BTreeSet<InstanceName>,
}

/// A value that comes from outside the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is there, with this keyed digest.
    Digest(String),
    /// It is not there.
    Missing,
    /// It is a file with more in it than is compared.
    TooLarge,
}

/// A sandbox as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its row.
    pub row: SandboxRow,
    /// The definition that was last applied.
    pub applied: Option<Body>,
    /// The definition that was last wished for.
    pub desired: Option<Body>,
    /// Its current machine.
    pub machine: Option<SeenMachine>,
    /// Machines that are not current, by role.
    pub others: Vec<MachineRow>,
    /// Digests of sensitive values as applied, by field.
    pub sensitive: BTreeMap<String, String>,
}

/// A machine as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenMachine {
    /// Its row.
    pub row: MachineRow,
    /// Whether it lives.
    pub alive: bool,
    /// Where it is.
    pub phase: Phase,
    /// Why.
    pub reason: Option<String>,
    /// More about the reason.
    pub detail: Option<String>,
    /// Its record; not read where its row holds everything that a plan asks for.
    pub record: Option<Box<Record>>,
    /// The definition for which it was made anew because its restarts were used up.
    pub recreated: Option<String>,
}

/// How closely machines are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// As far as where each is.
    Standing,
    /// With everything that its record tells.
    Records,
}

/// A volume as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVolume {
    /// Its row.
    pub row: VolumeRow,
    /// The name of its owner; `None` for nobody's.
    pub owner: Option<ProjectName>,
    /// Who mounts it.
    pub uses: Vec<VolumeUse>,
}

impl Seen {
    /// Returns where the sandbox is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.machine.as_ref().map_or_else(
            || match self.row.completed_code {
                Some(_) => Phase::Completed,
                None => Phase::Absent,
            },
            |machine| machine.phase,
        )
    }

    /// Tells whether its machine lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.alive)
    }

    /// Tells whether the restarts of this very definition are used up, and it was not made anew for that.
    #[must_use]
    pub fn is_spent(&self, want: &Body) -> bool {
        let Some(machine) = &self.machine else { return false };
        let standing = (machine.phase, machine.reason.as_deref());
        let digest = || Some(want.digest());
        standing == (Phase::Stalled, Some("restarts"))
            && self.row.applied.as_deref() == digest()
            && machine.recreated.as_deref() != digest()
    }

    /// Returns the live values of its machine, where one lives.
    #[must_use]
    pub fn effective(&self) -> Option<Effective> {
        let machine = self.machine.as_ref().filter(|machine| machine.alive)?;
        machine.record.as_ref().map(|record| record.effective)
    }

    /// Returns who runs its machine and what that promises.
    #[must_use]
    pub fn driver(&self) -> Option<(DriverName, Isolation)> {
        let machine = self.machine.as_ref()?;
        machine.record.as_ref().map(|record| (record.driver, record.isolation))
    }

    /// Returns who runs its machine, or ran it last.
    #[must_use]
    pub fn driver_name(&self) -> Option<DriverName> {
        let machine = self.machine.as_ref()?;
        machine.record.as_ref().map(|record| record.driver).or(machine.row.driver)
    }

    /// Tells whether the sandbox is a job that has run to a good end.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.row.kind == Kind::Job && self.phase() == Phase::Completed
    }
}

/// Everything of one database at one moment.
#[derive(Clone, Debug, Default)]
pub struct Everything {
    /// Every project, by name.
    pub projects: Vec<ProjectRow>,
    /// Every sandbox of the asked project, or of all.
    pub sandboxes: Vec<(ProjectName, Box<Seen>)>,
    /// Every volume.
    pub volumes: Vec<SeenVolume>,
    inhabited: BTreeSet<String>,
    adhoc: BTreeSet<InstanceName>,
    last_applied: Option<(i64, String)>,
    audits: BTreeMap<String, Audit>,
}

/// What was seen of a project a moment ago, so that nobody looks twice.
#[derive(Debug, Default)]
pub struct JustSeen {
    /// Its sandboxes, where nothing was written since they were read.
    pub rows: Option<Vec<Inhabitant>>,
    /// What their machines were found to be.
    pub looks: Looks,
}

/// What need not be looked up again.
#[derive(Debug, Default)]
pub struct Known<'a> {
    /// What whoever holds the project's lock has just seen of it.
    pub seen: JustSeen,
    /// What is wished for: what was applied is the same definition where it has the same digest.
    pub wish: Option<&'a Project>,
}

/// Looks at one project, or at all of them.
///
/// # Errors
/// The state cannot be read.
pub fn look(
    store: Option<&mut Store>,
    home: &Path,
    (project, depth): (Option<&ProjectName>, Depth),
    mut known: Known<'_>,
) -> Result<Everything, StoreError> {
    let Some(store) = store else {
        return Ok(Everything::default());
    };
    let boot_id = process::boot_id()?;
    store.read(|db| {
        let projects = inventory::projects(db)?;
        let only = match project {
            None => None,
            Some(name) => match projects.iter().find(|row| row.name == *name) {
                Some(row) => Some(row.id.clone()),
                // The volumes of nobody are seen also by a project that is not there yet.
                None => Some(String::new()),
            },
        };
        let only = only.as_deref();
        let mut found = Everything {
            sandboxes: sandboxes(db, home, &projects, only, (&boot_id, depth, &mut known))?,
            volumes: volumes(db, &projects)?,
            inhabited: inventory::inhabited(db)?,
            ..Everything::default()
        };
        if let (Some(id), Some(name)) = (only, project) {
            found.last_applied = operations::last_applied(db, id)?;
            let adhoc = projects.iter().find(|row| is_adhoc(row));
            if let Some(adhoc) = adhoc.filter(|row| row.id != id) {
                found.adhoc = inventory::names(db, &adhoc.id)?;
            }
            found.audits = operations::audits(db, &format!("{name}/"))?;
        }
        found.projects = projects;
        Ok(found)
    })
}

fn sandboxes(
    db: &Rows,
    home: &Path,
    projects: &[ProjectRow],
    only: Option<&str>,
    (boot_id, depth, known): (&str, Depth, &mut Known<'_>),
) -> Result<Vec<(ProjectName, Box<Seen>)>, StoreError> {
    let rows = match known.seen.rows.take() {
        Some(rows) => rows,
        None => inventory::inhabitants(db, only)?,
    };
    let definitions = Definitions::of(db, &rows, known.wish)?;
    let shelf = Shelf::of(home);
    let owners: BTreeMap<&str, &ProjectName> =
        projects.iter().map(|row| (row.id.as_str(), &row.name)).collect();
    let mut found = Vec::with_capacity(rows.len());
    for (at, Inhabitant { row, current, others, sensitive }) in rows.into_iter().enumerate() {
        let Some(owner) = owners.get(row.project_id.as_str()) else { continue };
        let seen = Seen {
            applied: definitions.get(at, row.applied.as_deref()),
            desired: definitions.get(at, row.desired.as_deref()),
            machine: current
                .map(|row| machine(home, row, (boot_id, depth), (&shelf, &mut known.seen.looks)))
                .transpose()?,
            others,
            sensitive,
            row,
        };
        found.push(((*owner).clone(), Box::new(seen)));
    }
    Ok(found)
}

/// What sandboxes are to be, by digest.
struct Definitions<'a> {
    /// What is wished for each of them.
    wished: Vec<Option<&'a Body>>,
    stored: BTreeMap<String, Body>,
}

impl<'a> Definitions<'a> {
    /// Reads those that the wish does not have already.
    fn of(db: &Rows, rows: &[Inhabitant], wish: Option<&'a Project>) -> Result<Self, StoreError> {
        let mut wishes = wish.map(|project| Beside::of(&project.sandboxes));
        let wished = rows.iter().map(|one| wishes.as_mut()?.get(&one.row.name));
        let mut found = Self { wished: wished.collect(), stored: BTreeMap::new() };
        let mut missing = BTreeSet::new();
        for (at, Inhabitant { row, .. }) in rows.iter().enumerate() {
            let digests = [&row.desired, &row.applied].into_iter().flatten();
            let unknown = |digest: &&str| found.wished(at, digest).is_none();
            missing.extend(digests.map(String::as_str).filter(unknown));
        }
        found.stored = inventory::definitions_named(db, &missing)?;
        Ok(found)
    }

    fn wished(&self, at: usize, digest: &str) -> Option<&'a Body> {
        self.wished[at].filter(|body| body.digest() == digest)
    }

    fn get(&self, at: usize, digest: Option<&str>) -> Option<Body> {
        let digest = digest?;
        self.wished(at, digest).or_else(|| self.stored.get(digest)).cloned()
    }
}

fn machine(
    home: &Path,
    row: MachineRow,
    (boot_id, depth): (&str, Depth),
    (shelf, looks): (&Shelf, &mut Looks),
) -> Result<SeenMachine, LookError> {
    let is_still = |stamp: &Stamp| match depth {
        Depth::Standing => looks.still.contains(&row.id) || shelf.is_still(&row.id, stamp),
        Depth::Records => false,
    };
    if row.stamp.as_ref().is_some_and(is_still) {
        let (phase, reason) = (row.phase, row.reason.clone());
        let recreated = recreated(home, &row.id, (phase, reason.as_deref()));
        let (detail, record) = (None, None);
        return Ok(SeenMachine { row, alive: false, phase, reason, detail, record, recreated });
    }
    let look = match looks.taken.remove(&row.id) {
        Some(look) => look,
        None => Folder::of(home, &row.id).look(boot_id)?,
    };
    let Standing { phase, reason, detail } = look.standing(row.phase, boot_id);
    let reason = reason.or_else(|| row.reason.clone());
    let record = look.record.map(Box::new);
    let recreated = recreated(home, &row.id, (phase, reason.as_deref()));
    Ok(SeenMachine { row, alive: look.alive, phase, reason, detail, record, recreated })
}

/// Reads what only matters where the restarts are used up.
fn recreated(home: &Path, id: &str, standing: (Phase, Option<&str>)) -> Option<String> {
    let is_spent = standing == (Phase::Stalled, Some("restarts"));
    is_spent.then(|| Folder::of(home, id).recreated()).flatten()
}

fn volumes(db: &Rows, projects: &[ProjectRow]) -> Result<Vec<SeenVolume>, StoreError> {
    let mut uses: BTreeMap<String, Vec<VolumeUse>> = BTreeMap::new();
    for one in inventory::volume_uses(db)? {
        uses.entry(one.volume_id.clone()).or_default().push(one);
    }
    let owners: BTreeMap<&String, &ProjectName> =
        projects.iter().map(|row| (&row.id, &row.name)).collect();
    let seen = inventory::volumes(db)?.into_iter().map(|row| {
        let owner = row.project_id.as_ref().and_then(|id| owners.get(id).copied());
        let uses = uses.remove(&row.id).unwrap_or_default();
        SeenVolume { owner: owner.cloned(), uses, row }
    });
    Ok(seen.collect())
}

impl Observed {
    /// Returns what a wish is compared with; images and sources are added by who can look.
    #[must_use]
    pub fn of(wish: &Wish, everything: Everything) -> Self {
        let name = &wish.project.name;
        let project = everything.projects.iter().find(|row| row.name == *name).cloned();
        // A project that has nothing left is in nobody's way.
        let inhabited = everything.projects.iter().filter(|r| everything.inhabited.contains(&r.id));
        let same_folder = inhabited
            .into_iter()
            .find(|row| row.folder == wish.project.folder && row.name != *name && !is_adhoc(row));
        let prefix = format!("{name}/");
        let audits = everything.audits.into_iter().filter_map(|(address, audit)| {
            Some((address.strip_prefix(&prefix)?.to_owned(), audit))
        });
        Self {
            same_folder: same_folder.map(|row| row.name.clone()),
            last_applied: everything.last_applied,
            sandboxes: everything
                .sandboxes
                .into_iter()
                .filter(|(owner, _)| owner == name)
                .map(|(_, seen)| (seen.row.name.clone(), settled(wish, seen)))
                .collect(),
            volumes: visible(everything.volumes, wish),
            audits: audits.collect(),
            adhoc: everything.adhoc,
            project,
            ..Self::default()
        }
    }
}

/// Returns a sandbox whose definition, where an older msb wrote it, is told by the wish what it
/// leaves open.
fn settled(wish: &Wish, mut seen: Box<Seen>) -> Box<Seen> {
    if let Some(applied) = &mut seen.applied
        && seen.row.applied.as_deref() != Some(applied.digest())
        && let Some(want) = wish.project.sandboxes.get(&seen.row.name)
    {
        lift::settle(applied, want);
    }
    seen
}

fn is_adhoc(row: &ProjectRow) -> bool {
    row.name.as_str() == ProjectName::ADHOC
}

/// Returns the volumes a project can see: nobody's, with its own before them, and those of
/// others that it names.
fn visible(all: Vec<SeenVolume>, wish: &Wish) -> BTreeMap<VolumeName, SeenVolume> {
    let project = &wish.project.name;
    let foreign = wish.project.volumes.iter().filter_map(|(name, want)| {
        let external = want.external.as_ref()?;
        Some((name.clone(), all.iter().find(|seen| is_meant(external, seen))?.clone()))
    });
    let foreign: Vec<(VolumeName, SeenVolume)> = foreign.collect();
    let mut found: BTreeMap<VolumeName, SeenVolume> = BTreeMap::new();
    for volume in all {
        let is_ours = volume.owner.as_ref() == Some(project);
        let is_free = volume.owner.as_ref().is_none_or(|o| o.as_str() == ProjectName::ADHOC);
        if is_ours || (is_free && !found.contains_key(&volume.row.name)) {
            found.insert(volume.row.name.clone(), volume);
        }
    }
    for (name, want) in &wish.project.volumes {
        if want.external.is_some() {
            found.remove(name);
        }
    }
    found.extend(foreign);
    found
}

/// Tells whether a volume is the one that a file calls somebody else's.
fn is_meant(external: &External, seen: &SeenVolume) -> bool {
    let owner = seen.owner.as_ref().filter(|owner| owner.as_str() != ProjectName::ADHOC);
    seen.row.name == external.name && owner == external.project.as_ref()
}
