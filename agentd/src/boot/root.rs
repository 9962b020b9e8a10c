//! Step `root`: what will be `/`, put together at `/newroot`.
//!
//! ```text
//! msb-root ── ro ──▶ /.msb-lower ─┐
//!                                 ├─ overlay ─▶ /newroot
//! msb-upper ─ rw ─▶ /.msb-upper ──┘
//! ```
//!
//! Without an upper disk the lower one is the root.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::disks::Device;
use super::{Attempt as _, Booting, StepError};
use crate::log::note;
use crate::sys::ext4;
use crate::sys::mount::{Flags, mount};

/// Where the root is put together.
pub(super) const NEW_ROOT: &str = "/newroot";

const LOWER: &str = "/.msb-lower";
const UPPER: &str = "/.msb-upper";

/// Options of an ext4 that is written.
pub(super) const EXT4_OPTIONS: &str = "discard,errors=remount-ro";

/// Options of an ext4 that is not: its journal stays as it is.
pub(super) const EXT4_OPTIONS_READ_ONLY: &str = "noload";

const OVERLAY_OPTIONS: &str = "lowerdir=/.msb-lower,upperdir=/.msb-upper/u,workdir=/.msb-upper/w,\
                               redirect_dir=on,index=off,metacopy=off,xino=auto";

/// Where the parts of an ext4 lie that are looked at here, from the start of the device.
const SUPERBLOCK: u64 = 1024;

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    let root = booting.record.root.clone();
    let lower = booting.device(&root.lower)?.clone();
    let Some(upper) = &root.upper else {
        let disk = mount_disk(&lower, &root.lower_fstype, NEW_ROOT, Flags::NONE)?;
        hold(booting, &lower, disk);
        return Ok(());
    };
    let upper = booting.device(upper)?.clone();
    for folder in [LOWER, UPPER] {
        make_folder(folder)?;
    }
    let lower = Device { read_only: true, ..lower };
    mount_disk(&lower, &root.lower_fstype, LOWER, Flags::NONE)?;
    let disk = mount_disk(&upper, "ext4", UPPER, Flags::NO_ATIME)?;
    hold(booting, &upper, disk);
    for folder in ["/.msb-upper/u", "/.msb-upper/w"] {
        make_folder(folder)?;
    }
    mount("overlay", Path::new(NEW_ROOT), "overlay", Flags::NONE, OVERLAY_OPTIONS)
        .attempt(|| format!("mounting the overlay at {NEW_ROOT}"))
}

/// Keeps the root of a disk that is written, which is out of reach later.
fn hold(booting: &mut Booting, device: &Device, root: Option<OwnedFd>) {
    if let Some(root) = root {
        booting.watch_disk(device, &root);
        booting.held.root_disks.push(root);
    }
}

/// Mounts a disk and lets its file system grow to it; returns its root where it is written.
pub(super) fn mount_disk(
    device: &Device,
    fstype: &str,
    target: &str,
    flags: Flags,
) -> Result<Option<OwnedFd>, StepError> {
    let fstype = if fstype.is_empty() { signature(device)? } else { fstype };
    let options = match (fstype, device.read_only) {
        ("ext4", true) => EXT4_OPTIONS_READ_ONLY,
        ("ext4", false) => EXT4_OPTIONS,
        ("erofs", _) => "",
        (other, _) => {
            return Err(StepError::Record(format!("the file system `{other}` is not known")));
        }
    };
    let is_written = !device.read_only && fstype == "ext4";
    let blocks = if is_written { spare_blocks(device)? } else { None };
    let node = device.node.to_string_lossy();
    let flags = flags.and_if(!is_written, Flags::READ_ONLY);
    mount(&node, Path::new(target), fstype, flags, options)
        .attempt(|| format!("mounting the disk `{}` as {fstype} at {target}", device.serial))?;
    if !is_written {
        return Ok(None);
    }
    let folder = File::open(target).attempt(|| format!("opening {target}"))?;
    if let Some(blocks) = blocks {
        note!("disk `{}`: the file system grows to {blocks} blocks", device.serial);
        ext4::grow(&folder, blocks)
            .attempt(|| format!("growing the file system of the disk `{}`", device.serial))?;
    }
    Ok(Some(folder.into()))
}

/// Returns the type of file system that a disk's first bytes name.
fn signature(device: &Device) -> Result<&'static str, StepError> {
    let head = read_superblock(device)?;
    if head.get(0x38..0x3a) == Some(&[0x53, 0xef]) {
        Ok("ext4")
    } else if head.get(..4) == Some(&[0xe2, 0xe1, 0xf5, 0xe0]) {
        Ok("erofs")
    } else {
        let serial = &device.serial;
        Err(StepError::Record(format!("the disk `{serial}` holds neither ext4 nor EROFS")))
    }
}

/// Returns how many blocks the device has, where its ext4 has fewer.
fn spare_blocks(device: &Device) -> Result<Option<u64>, StepError> {
    let head = read_superblock(device)?;
    let word = |at: usize| {
        let bytes = head.get(at..).and_then(|rest| rest.first_chunk::<4>());
        u64::from(bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    };
    if head.get(0x38..0x3a) != Some(&[0x53, 0xef]) {
        // Not ours to judge: mounting it will say what is wrong.
        return Ok(None);
    }
    let block_bytes = 1024_u64 << word(0x18).min(6);
    let blocks = word(0x04) | word(0x150) << 32;
    let has = device.bytes / block_bytes;
    Ok((has > blocks).then_some(has))
}

fn read_superblock(device: &Device) -> Result<[u8; 1024], StepError> {
    let mut head = [0; 1024];
    let read = || File::open(&device.node)?.read_exact_at(&mut head, SUPERBLOCK);
    let answer: io::Result<()> = { read }();
    answer.attempt(|| format!("reading the disk `{}`", device.serial))?;
    Ok(head)
}

fn make_folder(path: &str) -> Result<(), StepError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        answer => answer.attempt(|| format!("making {path}")),
    }
}
