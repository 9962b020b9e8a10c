//! Target `archive`: the bytes of a stranger as files of the host, as `msb cp` unpacks them.

use std::fs;
use std::path::Path;

use schema::wire::files::{Destination, Owners};
use tree::{Gauge, LinkRule, Rules, Target, unpack};

use crate::ground::Ground;

/// Unpacks `bytes` into a folder, and holds that nothing is made beside it and no link leads out.
pub(crate) fn check(bytes: &[u8]) {
    let ground = Ground::new();
    let folder = ground.path().join("in");
    fs::create_dir_all(&folder).expect("the system's folder for temporary files can be written");
    let target = Target::find(&folder, None, Destination::Folder).expect("it was just made");
    let rules = Rules {
        owners: Owners::Own,
        links: LinkRule::Inside,
        file_bits: 0o777,
        folder_bits: 0o777,
        reserve_bytes: Some(1 << 20),
    };
    let mut notes = 0_u64;
    // An archive that breaks off is an error; what came before it holds to the same promises.
    drop(unpack(bytes, &target, rules, &Gauge::default(), &mut |_| notes += 1));
    let beside = fs::read_dir(ground.path()).expect("it is ours").count();
    assert_eq!(beside, 1, "something stands beside the target");
    let root = fs::canonicalize(&folder).expect("the target is still there");
    look(&folder, &root);
}

/// Holds that what is below `folder` is a file, a folder, or a link that leads nowhere else.
fn look(folder: &Path, root: &Path) {
    // A folder that may not be read is as the archive wanted it.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("it was just listed");
        assert!(
            kind.is_file() || kind.is_dir() || kind.is_symlink(),
            "{} is special",
            path.display()
        );
        if kind.is_dir() {
            look(&path, root);
        } else if kind.is_symlink()
            && let Ok(end) = fs::canonicalize(&path)
        {
            assert!(end.starts_with(root), "{} leads to {}", path.display(), end.display());
        }
    }
}
