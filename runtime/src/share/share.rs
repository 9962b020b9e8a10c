//! One shared folder or file, and the rules it is shared by.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FileType, OFlags, Stat, fstat, fstatvfs};
use rustix::io::Errno;
use schema::launch::{HostPerms, StatVirt};

use super::guard::Guard;
use super::quota::Usage;
use super::{beneath, wire};

/// How many bytes are written before the host's free space is looked at again.
const LOOK_BYTES: u64 = 8 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Share {
    /// Its place among the shares.
    pub(super) index: u32,
    folder: OwnedFd,
    /// The one file that is visible, where a single one is shared.
    file: Option<Vec<u8>>,
    pub(super) read_only: bool,
    pub(super) stat_virt: StatVirt,
    pub(super) host_perms: HostPerms,
    pub(super) usage: Option<Usage>,
    pub(super) guard: Arc<Guard>,
    reserve: u64,
    /// What may be written before the host's free space is looked at.
    unlooked: AtomicU64,
}

/// What a share is made with.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) read_only: bool,
    pub(super) stat_virt: StatVirt,
    pub(super) host_perms: HostPerms,
    pub(super) usage: Option<Usage>,
    pub(super) guard: Guard,
    pub(super) reserve: u64,
}

impl Share {
    /// Returns the share of a folder, or of one file in it.
    pub(super) fn new(index: u32, folder: OwnedFd, file: Option<Vec<u8>>, rules: Rules) -> Self {
        Self {
            index,
            folder,
            file,
            read_only: rules.read_only,
            stat_virt: rules.stat_virt,
            host_perms: rules.host_perms,
            usage: rules.usage,
            guard: Arc::new(rules.guard),
            reserve: rules.reserve,
            unlooked: AtomicU64::new(0),
        }
    }

    /// Returns the folder.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Tells whether a single file is shared.
    pub(super) const fn is_single(&self) -> bool {
        self.file.is_some()
    }

    /// Opens its folder, or its file: the folder of one is nobody's to open.
    ///
    /// # Errors
    /// The file is not there.
    pub(super) fn opened(&self) -> Result<OwnedFd, Errno> {
        if self.is_single() {
            let (file, _) = self.single()?;
            return beneath::open(file.as_fd(), OFlags::RDONLY);
        }
        beneath::open_folder(self.folder())
    }

    /// Finds the single file that is shared, by its name, as it is now.
    ///
    /// # Errors
    /// There is none, or something else has its name.
    pub(super) fn single(&self) -> Result<(OwnedFd, Stat), Errno> {
        let name = wire::Name::new(self.file.as_deref().unwrap_or_default())?;
        let fd = beneath::look(self.folder(), name)?;
        let stat = fstat(&fd)?;
        match beneath::kind(&stat) {
            FileType::RegularFile => Ok((fd, stat)),
            // A link would lead elsewhere, a folder is no file.
            _ => Err(Errno::NOENT),
        }
    }

    /// Takes room for a change, within the quota and with what must stay free on the host.
    ///
    /// # Errors
    /// `EDQUOT`, `ENOSPC`.
    pub(super) fn take(&self, bytes: u64, inodes: u64) -> Result<(), Errno> {
        self.look_at_host(bytes)?;
        self.usage.as_ref().map_or(Ok(()), |usage| usage.take(bytes, inodes))
    }

    /// Gives back what was taken and not used, or what is gone.
    pub(super) fn give_back(&self, bytes: u64, inodes: u64) {
        if let Some(usage) = &self.usage {
            usage.give_back(bytes, inodes);
        }
    }

    fn look_at_host(&self, bytes: u64) -> Result<(), Errno> {
        let spend = |left: u64| left.checked_sub(bytes.max(1));
        if self.unlooked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok() {
            return Ok(());
        }
        let host = fstatvfs(&self.folder)?;
        let free = host.f_bavail.saturating_mul(host.f_frsize);
        let spare = free.checked_sub(self.reserve).and_then(|spare| spare.checked_sub(bytes));
        let spare = spare.ok_or(Errno::NOSPC)?;
        self.unlooked.store(spare.min(LOOK_BYTES), Ordering::Relaxed);
        Ok(())
    }

    /// Returns the number that the guest sees for a file; the same as long as the file is there.
    pub(super) fn inode(&self, stat: &Stat) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for word in [u64::from(self.index), stat.st_dev, stat.st_ino] {
            hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        hash | 2
    }
}
