//! The base image, configured in another way by umoci.

use std::path::PathBuf;
use std::process::Command;

use crate::home::Home;
use crate::programs::target;

/// Returns an archive of `builtin:base` as `umoci config` makes it with these words.
///
/// `groups` is appended to its `/etc/group`.
///
/// # Panics
/// When skopeo or umoci refuse.
pub fn configured(home: &Home, name: &str, groups: &str, words: &[&str]) -> PathBuf {
    let folder = home.scratch(name);
    std::fs::create_dir(&folder).expect("a name of its own");
    let base = target().join("base/base.oci.tar");
    let script = "
        skopeo --insecure-policy copy -q oci-archive:$BASE oci:o:x
        if [ -n \"$GROUPS_MORE\" ]; then
            umoci unpack --image o:x bundle >/dev/null
            printf '%s' \"$GROUPS_MORE\" >>bundle/rootfs/etc/group
            umoci repack --image o:x bundle >/dev/null
        fi
        umoci config --image o:x \"$@\"
        skopeo --insecure-policy copy -q oci:o:x oci-archive:made.tar";
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh"]).args(words).current_dir(&folder);
    command.env("BASE", base).env("GROUPS_MORE", groups).env("TMPDIR", &folder);
    let made = command.output().expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder.join("made.tar")
}
