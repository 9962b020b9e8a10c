//! The third layer: capabilities that are gone for good, and a memory nobody looks into.

use std::io;

use rustix::process::{
    DumpableBehavior, Pid, Signal, getppid, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs,
};

/// What root needs for files that are not root's: to open them, own them and set their modes.
const OF_FILES: CapabilitySet =
    CapabilitySet::CHOWN.union(CapabilitySet::DAC_OVERRIDE).union(CapabilitySet::FOWNER);

/// Gives up every capability, but [`OF_FILES`] where that is asked for.
pub(super) fn drop_all(keeps_files: bool) -> io::Result<()> {
    set_no_new_privs(true)?;
    if !keeps_files && capabilities(None)?.permitted.is_empty() {
        // Who got no user namespace has none to give up, and gets none any more.
        return Ok(());
    }
    let kept = if keeps_files { OF_FILES } else { CapabilitySet::empty() };
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(locked)?;
    clear_ambient_capability_set()?;
    for capability in CapabilitySet::all().iter().filter(|one| !kept.contains(*one)) {
        match remove_capability_from_bounding_set(capability) {
            // A kernel that does not know it has nothing to take away.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let empty = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: empty },
    )?;
    Ok(())
}

/// Hides the memory, and ends with the parent: what changes who we are takes that wish back.
pub(super) fn hide(parent: Option<Pid>) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before the line above.
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
}
