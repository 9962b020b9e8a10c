//! The fifth layer: Landlock, which knows files by where they lie and not by how they are named.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::{Access, Folder, Place, Use};

/// The rights that are asked for; what a kernel does not know of them is left out.
const NEWEST: ABI = ABI::V6;

/// Forbids every file that is neither below a folder nor one of the files and places, every port, and
/// signals to others.
pub(super) fn stay(
    folders: &[Folder],
    files: &[(RawFd, bool)],
    places: &[Place],
) -> io::Result<()> {
    put_on(ruleset(folders, files, places)?)
}

/// Forbids to write, make or remove any file but below a folder and at the devices, and to run any; reading
/// stays as it was.
pub(super) fn write_only(folder: BorrowedFd<'_>, devices: &[&str]) -> io::Result<()> {
    let broken = |error: landlock::RulesetError| io::Error::other(error);
    let writes = AccessFs::from_write(NEWEST);
    let rules = Ruleset::default().handle_access(writes | AccessFs::Execute);
    let mut rules = rules.and_then(Ruleset::create).map_err(broken)?;
    rules = rules.add_rule(PathBeneath::new(folder, writes)).map_err(broken)?;
    // A host that lacks one has nothing to be written there.
    for device in devices.iter().filter_map(|device| PathFd::new(device).ok()) {
        let writes = AccessFs::WriteFile | AccessFs::IoctlDev;
        rules = rules.add_rule(PathBeneath::new(device, writes)).map_err(broken)?;
    }
    put_on(rules)
}

fn put_on(rules: RulesetCreated) -> io::Result<()> {
    match rules.restrict_self().map_err(io::Error::other)?.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn ruleset(
    folders: &[Folder],
    files: &[(RawFd, bool)],
    places: &[Place],
) -> io::Result<RulesetCreated> {
    let broken = |error: landlock::RulesetError| io::Error::other(error);
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create);
    let mut rules = rules.map_err(broken)?;
    for folder in folders {
        let rule = PathBeneath::new(folder.fd.as_fd(), rights(folder.access));
        rules = rules.add_rule(rule).map_err(broken)?;
    }
    for (file, is_written) in files {
        // By its name among the descriptors: a rule is about what lies there, and borrows nothing.
        let file = PathFd::new(format!("/proc/self/fd/{file}")).map_err(io::Error::other)?;
        rules = rules.add_rule(PathBeneath::new(file, of_file(*is_written))).map_err(broken)?;
    }
    for place in places {
        let at = PathFd::new(&place.path).map_err(io::Error::other)?;
        rules = rules.add_rule(PathBeneath::new(at, of_place(place.of))).map_err(broken)?;
    }
    Ok(rules)
}

fn of_file(is_written: bool) -> BitFlags<AccessFs> {
    let read = BitFlags::from(AccessFs::ReadFile);
    if is_written { read | AccessFs::WriteFile | AccessFs::Truncate } else { read }
}

fn of_place(of: Use) -> BitFlags<AccessFs> {
    match of {
        Use::Programs => AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir,
        Use::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
    }
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    match access {
        Access::Read => read,
        Access::Files => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate,
        Access::Change => {
            read | AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::MakeSym
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                | AccessFs::Refer
        }
    }
}
