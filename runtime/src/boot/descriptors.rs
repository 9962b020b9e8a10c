//! The descriptors a runtime is started with: each checked, everything else closed.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::{FileType, SealFlags, fcntl_get_seals, fstat};
use schema::launch::{BYTES_MAX, FORMAT, LaunchRecord, Role, fd};

use super::BootError;
use crate::sys;

/// What came with the process.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) launch: LaunchRecord,
    pub(super) values: OwnedFd,
    /// Absent for a detached machine.
    pub(super) creator: Option<OwnedFd>,
    pub(super) folder: OwnedFd,
    /// In the order of the record's `resources`.
    pub(super) resources: Vec<OwnedFd>,
}

/// Takes the start-up pipe before anything else, so that failures can be told.
pub(super) fn startup() -> Result<OwnedFd, BootError> {
    take(fd::STARTUP, "a pipe", |kind| kind == FileType::Fifo)
}

/// Takes every descriptor that the launch record names, and closes the others.
pub(super) fn take_all() -> Result<Given, BootError> {
    let launch = launch_record()?;
    let numbers: Vec<RawFd> = launch.resources.iter().map(|resource| resource.fd).collect();
    let fixed = fd::LAUNCH..=fd::FOLDER;
    let keep: Vec<RawFd> = fixed.chain(numbers.iter().copied()).collect();
    sys::close_others(&keep).map_err(|source| BootError::Descriptor {
        number: fd::RESOURCES,
        expected: "the end of what was given",
        source,
    })?;
    let is_pipe = |kind| kind == FileType::Fifo;
    let creator = if launch.attached {
        Some(take(fd::CREATOR, "a pipe", is_pipe)?)
    } else {
        // `/dev/null`, and of no use; a runtime that was given none misses nothing.
        drop(sys::inherited(fd::CREATOR));
        None
    };
    let resources = launch.resources.iter().map(|resource| {
        let expected = expected_of(resource.role);
        take(resource.fd, expected, |kind| is_kind_of(resource.role, kind))
    });
    Ok(Given {
        resources: resources.collect::<Result<_, _>>()?,
        values: take(fd::VALUES, "a pipe", is_pipe)?,
        creator,
        folder: take(fd::FOLDER, "a folder", |kind| kind == FileType::Directory)?,
        launch,
    })
}

fn launch_record() -> Result<LaunchRecord, BootError> {
    let memory = take(fd::LAUNCH, "a file", |kind| kind == FileType::RegularFile)?;
    let sealed = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
    let unread = |error: std::io::Error| BootError::Launch { why: error.to_string() };
    let seals = fcntl_get_seals(&memory).map_err(|errno| unread(errno.into()))?;
    if !seals.contains(sealed) {
        return Err(BootError::Launch { why: "it is not sealed".into() });
    }
    let mut text = Vec::new();
    let limit = BYTES_MAX as u64 + 1;
    let mut file = File::from(memory);
    std::io::Seek::rewind(&mut file).map_err(unread)?;
    file.take(limit).read_to_end(&mut text).map_err(unread)?;
    if text.len() > BYTES_MAX {
        return Err(BootError::Launch { why: format!("it is longer than {BYTES_MAX} bytes") });
    }
    parse(&text)
}

/// Reads the format first, so that a later one is told by name.
fn parse(text: &[u8]) -> Result<LaunchRecord, BootError> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let unread = |error: serde_json::Error| BootError::Launch { why: error.to_string() };
    let head: Head = serde_json::from_slice(text).map_err(unread)?;
    if head.format > FORMAT {
        return Err(BootError::Format { format: head.format, newest: FORMAT });
    }
    serde_json::from_slice(text).map_err(unread)
}

fn take(
    number: RawFd,
    expected: &'static str,
    is_right: impl Fn(FileType) -> bool,
) -> Result<OwnedFd, BootError> {
    let wrong = |source| BootError::Descriptor { number, expected, source };
    let fd = sys::inherited(number).map_err(wrong)?;
    let kind = kind_of(&fd).map_err(wrong)?;
    if is_right(kind) {
        return Ok(fd);
    }
    Err(wrong(std::io::Error::other(format!("it is {kind:?}"))))
}

fn kind_of(fd: &impl AsFd) -> std::io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

const fn expected_of(role: Role) -> &'static str {
    match role {
        Role::Kernel | Role::Initramfs | Role::Agent => "a file",
        Role::Root | Role::Upper | Role::Disk => "a file or a block device",
        Role::Folder => "a folder or a file",
        Role::Share => "a folder",
        Role::Usage => "a file",
    }
}

fn is_kind_of(role: Role, kind: FileType) -> bool {
    match role {
        Role::Kernel | Role::Initramfs | Role::Agent | Role::Usage => kind == FileType::RegularFile,
        Role::Root | Role::Upper | Role::Disk => {
            matches!(kind, FileType::RegularFile | FileType::BlockDevice)
        }
        Role::Folder => matches!(kind, FileType::Directory | FileType::RegularFile),
        Role::Share => kind == FileType::Directory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_format_is_refused_with_both_versions() {
        let error = parse(br#"{"format":99,"unknown":true}"#).unwrap_err();
        let expected =
            format!("the launch record has format 99, this runtime reads up to {FORMAT}");
        assert_eq!(error.to_string(), expected);
        assert!(matches!(parse(b"{}"), Err(BootError::Launch { .. })));
    }
}
