//! Step `files`: small files of the record, each whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Attempt as _, Booting, StepError};

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    for file in &booting.record.files {
        let path = booting.place.resolve(&file.path);
        place_file(&path, file.mode, &file.content)
            .attempt(|| format!("placing {}", path.display()))?;
    }
    Ok(())
}

/// Writes a file beside its place and moves it there; missing folders are made.
pub(super) fn place_file(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let beside = folder.join(format!(".{}.msb", name.to_string_lossy()));
    let written = write(&beside, mode, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

fn write(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    drop(fs::remove_file(path));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))
}
