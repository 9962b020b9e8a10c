//! Step `shares`: one file system for all folders and files of the host.
//!
//! It is mounted where the root of the guest will not reach; each mount of the record shows one
//! folder of it.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use schema::wire::boot::MountSource;
use schema::wire::share::DATA_BYTES_MAX;

use super::{Attempt as _, Booting, StepError, ports};
use crate::shares::Shares;
use crate::sys;
use crate::sys::mount::{Flags, mount};

const ROOT: &str = "/.msb-shares";
const DEVICE: &str = "/dev/fuse";

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    let is_share = |source: &MountSource| matches!(source, MountSource::Share { .. });
    if !booting.record.mounts.iter().any(|mount| is_share(&mount.source)) {
        return Ok(());
    }
    let port = ports::open_files()?;
    let device = File::options().read(true).write(true).open(DEVICE);
    let device: OwnedFd = device.attempt(|| format!("opening {DEVICE}"))?.into();
    fs::DirBuilder::new().mode(0o700).create(ROOT).attempt(|| format!("making {ROOT}"))?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other,max_read={}",
        device.as_raw_fd(),
        DATA_BYTES_MAX
    );
    mount("msb", Path::new(ROOT), "fuse", Flags::NONE, &options)
        .attempt(|| format!("mounting the shared folders at {ROOT}"))?;
    // Named, not opened: nobody answers yet.
    let root = File::options().read(true).custom_flags(sys::mount::NAME_ONLY).open(ROOT);
    let root: OwnedFd = root.attempt(|| format!("opening {ROOT}"))?.into();
    let shares = Shares::start(port, device, root);
    booting.shares = Some(shares.attempt(|| "starting the threads of shared folders".into())?);
    Ok(())
}
