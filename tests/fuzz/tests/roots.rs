//! What is kept of layers makes roots that also `fsck.erofs` takes for file systems.
#![cfg(test)]

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;

/// Larger roots hold little but holes, which would be read byte by byte.
const BYTES_MAX: u64 = 64 << 20;

/// Has `fsck.erofs` read a whole image, every file too.
fn check(image: &File, what: &str) {
    let path = format!("/proc/{}/fd/{}", std::process::id(), image.as_raw_fd());
    let ended = Command::new("fsck.erofs").args(["--extract", &path]).output().unwrap();
    let told = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    // It tells of a wrong checksum, and ends as if there were none.
    assert!(ended.status.success() && !told.contains("<E>"), "{what}: {told}");
}

#[test]
fn f6_what_is_kept_of_layers_makes_roots_that_fsck_accepts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/layers");
    let mut refused = Vec::new();
    let mut made = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match fuzz::root(&fs::read(entry.path()).unwrap()) {
            Some(root) if root.metadata().unwrap().len() <= BYTES_MAX => {
                check(&root, &name);
                made += 1;
            }
            Some(_) => {}
            None => refused.push(name),
        }
    }
    assert!(made > 10, "{made} roots were made; refused are {refused:?}");
}
