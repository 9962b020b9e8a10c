//! Target `share`: the calls of a guest's kernel, in any order and of any shape.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::Path;

use crate::ground::Ground;

/// What stands beside the folder, and in it where nobody may change it.
const CANARY: &[u8] = b"as it was";

/// How much more than its limit a folder may occupy: its own entries.
const SLACK_BYTES: u64 = 256 << 10;

/// Does what `bytes` ask for, and holds that nothing outside the folder changed and nothing strange
/// is in it.
pub(crate) fn check(bytes: &[u8]) {
    let ground = Ground::new();
    let folder = ground.path().join("in");
    fs::create_dir_all(folder.join("below")).expect("it is ours");
    put(&ground.path().join("canary"));
    put(&folder.join("kept"));
    symlink("../canary", folder.join("link")).expect("it is ours");
    let usage = ground.path().join("usage");
    runtime::share::trial(&folder, &usage, bytes).expect("a folder can be shared");

    let canary = ground.path().join("canary");
    assert_eq!(fs::read(&canary).expect("the canary is there"), CANARY);
    let meta = fs::metadata(&canary).expect("the canary is there");
    assert_eq!((meta.nlink(), meta.mode() & 0o111), (1, 0), "the canary was touched");
    assert_eq!(fs::read(folder.join("kept")).expect("it is protected"), CANARY);
    let beside = fs::read_dir(ground.path()).expect("it is ours").count();
    assert_eq!(beside, 3, "something stands beside the folder");
    let occupied = look(&folder);
    assert!(occupied < (1 << 20) + SLACK_BYTES, "{occupied} bytes are occupied");
}

fn put(path: &Path) {
    drop(File::create(path).and_then(|mut file| file.write_all(CANARY)));
}

/// Returns what is occupied below a folder, and holds that no device or set-id file is there.
fn look(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let kind = meta.file_type();
        let is_device = kind.is_block_device() || kind.is_char_device();
        assert!(!is_device, "{} is a device", path.display());
        let sets_id = kind.is_file() && meta.mode() & 0o6000 != 0;
        assert!(!sets_id, "{} sets an id on the host", path.display());
        bytes += meta.blocks() * 512 / meta.nlink().max(1);
        if kind.is_dir() {
            bytes += look(&path);
        }
    }
    bytes
}
