//! Whose a file is, as the guest sees it, and where that is kept.
//!
//! The server runs as one user of the host and owns what guests make. What a guest wants of owners
//! and modes beyond that stands beside the file, in one attribute that guests never see:
//! `user.msb.stat`, the text `UID GID MODE`, the mode octal with its file type. A fifo or a socket is
//! an empty file on the host whose type stands there.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::fs::{FileType, Gid, Mode, Stat, Uid, XattrFlags, chmod, getxattr, setxattr};
use rustix::io::Errno;
use schema::launch::{HostPerms, StatVirt};

use super::beneath;
use super::share::Share;

/// How names of our own attributes begin.
pub(super) const OURS: &[u8] = b"user.msb.";

const STAT: &str = "user.msb.stat";

/// The longest text there.
const TEXT_BYTES_MAX: usize = 64;

/// The bits of a mode that are not its file type.
pub(super) const PERMISSIONS: u32 = 0o7777;
const NINE: u32 = 0o777;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_EXEC: u32 = 0o010;
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
pub(super) const FIFO: u32 = 0o010_000;
pub(super) const SOCKET: u32 = 0o140_000;

/// Who a file belongs to, and what it is and allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Type and permissions.
    pub(super) mode: u32,
}

impl Owner {
    /// Returns it without the bits that give somebody else's rights away.
    pub(super) const fn without_set_id(self) -> Self {
        let group = if self.mode & GROUP_EXEC != 0 { SET_GID } else { 0 };
        Self { mode: self.mode & !(SET_UID | group), ..self }
    }
}

/// Who this process is, and who the sandbox's user is.
#[derive(Debug)]
pub(super) struct Users {
    uid: u32,
    gid: u32,
    sandbox: OnceLock<(u32, u32)>,
}

impl Users {
    /// Returns this process's user; the sandbox's is root until the guest says otherwise.
    pub(super) fn of_process() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        Self { uid: uid.as_raw(), gid: gid.as_raw(), sandbox: OnceLock::new() }
    }

    /// Takes the sandbox's user, once.
    pub(super) fn set_sandbox(&self, uid: u32, gid: u32) {
        self.sandbox.get_or_init(|| (uid, gid));
    }

    /// Returns what the host says of a file, with our user as the sandbox's.
    fn shown(&self, stat: &Stat) -> Owner {
        let (uid, gid) = self.sandbox.get().copied().unwrap_or((0, 0));
        Owner {
            uid: if stat.st_uid == self.uid { uid } else { stat.st_uid },
            gid: if stat.st_gid == self.gid { gid } else { stat.st_gid },
            mode: stat.st_mode,
        }
    }

    /// Returns whose a file is, as the guest sees it.
    pub(super) fn owner(&self, share: &Share, fd: BorrowedFd<'_>, stat: &Stat) -> Owner {
        let host = Owner { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode };
        if share.stat_virt == StatVirt::Off {
            return host;
        }
        let shown = self.shown(stat);
        match stored(fd, stat) {
            Some(kept) if share.host_perms == HostPerms::Mirror && kept.mode & TYPE == REGULAR => {
                // The host's bits are the guest's, whoever changed them last.
                Owner { mode: kept.mode & !NINE | stat.st_mode & NINE, ..kept }
            }
            Some(kept) => kept,
            None => shown,
        }
    }

    /// Makes a file what the guest wants it to be.
    ///
    /// # Errors
    /// `EPERM` where that can neither be done nor kept, and must be.
    pub(super) fn change(
        &self,
        share: &Share,
        (fd, stat): (BorrowedFd<'_>, &Stat),
        wanted: Owner,
    ) -> Result<(), Errno> {
        if share.stat_virt == StatVirt::Off {
            return on_host(fd, stat, wanted);
        }
        let host = host_mode(share, stat, wanted.mode);
        let shown = Owner { mode: stat.st_mode & !NINE | host, ..self.shown(stat) };
        let is_kept = stored(fd, stat).is_some();
        if shown == wanted && !is_kept {
            return set_mode(fd, stat, host);
        }
        // A file that may not be written cannot be given the attribute either.
        set_mode(fd, stat, host | 0o200)?;
        let text = format!("{} {} {:o}", wanted.uid, wanted.gid, wanted.mode);
        let kept = match beneath::kind(stat) {
            FileType::RegularFile | FileType::Directory => {
                setxattr(beneath::path(fd), STAT, text.as_bytes(), XattrFlags::empty())
            }
            _ => Err(Errno::OPNOTSUPP),
        };
        if host & 0o200 == 0 {
            let now = rustix::fs::fstat(fd)?;
            set_mode(fd, &now, host)?;
        }
        match kept {
            Err(_) if share.stat_virt == StatVirt::Relaxed => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => Err(Errno::PERM),
            kept => kept,
        }
    }
}

/// Returns the bits that a file has on the host for what the guest wants.
fn host_mode(share: &Share, stat: &Stat, wanted: u32) -> u32 {
    let is_folder = beneath::kind(stat) == FileType::Directory;
    match share.host_perms {
        HostPerms::Mirror => wanted & NINE,
        // What is there keeps what it allows others; new files allow them nothing.
        HostPerms::Private => stat.st_mode & NINE | if is_folder { 0o700 } else { 0o600 },
    }
}

/// Returns the mode under which a file or folder is made on the host.
pub(super) const fn new_mode(share: &Share, wanted: u32, is_folder: bool) -> u32 {
    match (share.stat_virt, share.host_perms, is_folder) {
        (StatVirt::Off, _, _) | (_, HostPerms::Mirror, _) => wanted & NINE,
        (_, HostPerms::Private, true) => 0o700,
        (_, HostPerms::Private, false) => 0o600,
    }
}

fn set_mode(fd: BorrowedFd<'_>, stat: &Stat, mode: u32) -> Result<(), Errno> {
    let is_link = beneath::kind(stat) == FileType::Symlink;
    if is_link || stat.st_mode & PERMISSIONS == mode {
        return Ok(());
    }
    chmod(beneath::path(fd), Mode::from_raw_mode(mode))
}

/// Does what is wanted on the host itself; never set-id bits.
fn on_host(fd: BorrowedFd<'_>, stat: &Stat, wanted: Owner) -> Result<(), Errno> {
    if (stat.st_uid, stat.st_gid) != (wanted.uid, wanted.gid) {
        let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
        rustix::fs::chownat(fd, "", Some(uid), Some(gid), rustix::fs::AtFlags::EMPTY_PATH)?;
    }
    let now = rustix::fs::fstat(fd)?;
    set_mode(fd, &now, wanted.mode & 0o1777)
}

/// Returns what is kept beside a file.
fn stored(fd: BorrowedFd<'_>, stat: &Stat) -> Option<Owner> {
    let kind = beneath::kind(stat);
    if !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return None;
    }
    let mut text = [0; TEXT_BYTES_MAX];
    let count = getxattr(beneath::path(fd), STAT, &mut text).ok()?;
    parse(text.get(..count)?, kind)
}

/// Reads the text; a type that the file cannot stand for means that it says nothing.
fn parse(text: &[u8], kind: FileType) -> Option<Owner> {
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let (uid, gid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let is_possible = match mode & TYPE {
        REGULAR | FIFO | SOCKET => kind == FileType::RegularFile,
        _ => mode & TYPE == kind.as_raw_mode(),
    };
    is_possible.then_some(Owner { uid, gid, mode })
}

/// Returns the mode of what is made, with the group of its folder where that hands it on.
pub(super) const fn inherit(folder: Owner, made: Owner, is_folder: bool) -> Owner {
    if folder.mode & SET_GID == 0 {
        return made;
    }
    let bit = if is_folder { SET_GID } else { 0 };
    Owner { gid: folder.gid, mode: made.mode | bit, ..made }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_says_only_what_the_file_can_stand_for() {
        let owner = |uid, gid, mode| Some(Owner { uid, gid, mode });
        for (text, kind, expected) in [
            ("1 2 100644", FileType::RegularFile, owner(1, 2, 0o100_644)),
            ("1 2 10600", FileType::RegularFile, owner(1, 2, 0o010_600)),
            ("0 0 41777", FileType::Directory, owner(0, 0, 0o041_777)),
            ("0 0 20666", FileType::RegularFile, None),
            ("0 0 40755", FileType::RegularFile, None),
            ("0 0 100644", FileType::Directory, None),
            ("0 0", FileType::RegularFile, None),
            ("-1 0 100644", FileType::RegularFile, None),
        ] {
            assert_eq!(parse(text.as_bytes(), kind), expected, "{text}");
        }
    }

    #[test]
    fn set_id_bits_go_as_the_kernel_lets_them_go() {
        let owner = |mode| Owner { uid: 0, gid: 0, mode };
        assert_eq!(owner(0o106_755).without_set_id(), owner(0o100_755));
        assert_eq!(owner(0o102_644).without_set_id(), owner(0o102_644), "a mark for locks");
    }

    #[test]
    fn a_folder_hands_on_its_group() {
        let folder = Owner { uid: 0, gid: 7, mode: 0o042_775 };
        let made = Owner { uid: 1, gid: 1, mode: 0o040_755 };
        assert_eq!(inherit(folder, made, true), Owner { gid: 7, mode: 0o042_755, ..made });
        assert_eq!(inherit(Owner { mode: 0o040_775, ..folder }, made, true), made);
    }
}
