//! The fourth layer: Landlock, which knows files by where they lie and not by how they are named.

use std::io;
use std::os::fd::AsFd as _;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::{Access, Folder};

/// The rights that are asked for; what a kernel does not know of them is left out.
const NEWEST: ABI = ABI::V6;

/// Forbids every file that is not below a folder, every port, and signals to others.
pub(super) fn stay(folders: &[Folder]) -> io::Result<()> {
    let status = ruleset(folders).map_err(io::Error::other)?;
    match status {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn ruleset(folders: &[Folder]) -> Result<RulesetStatus, landlock::RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for folder in folders {
        rules = rules.add_rule(PathBeneath::new(folder.fd.as_fd(), rights(folder.access)))?;
    }
    Ok(rules.restrict_self()?.ruleset)
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
