//! Files and folders of the host that a guest sees now, or may write now, and could not before.

use std::collections::BTreeMap;
use std::path::Path;

use super::Widening;
use crate::project::{Access, Mount, MountSource, Root, Sandbox, Write};

/// Something of the host within a guest.
struct Shown<'s> {
    source: &'s Path,
    access: Access,
    /// The field that shows it.
    field: String,
    /// What it is, and where in the guest, in words.
    kind: &'static str,
    place: String,
}

/// Returns what `after` shows of the host beyond `before`.
pub(super) fn opened(before: &Sandbox, after: &Sandbox) -> Vec<Widening> {
    let mut had: BTreeMap<&Path, bool> = BTreeMap::new();
    for shown in shown(before) {
        *had.entry(shown.source).or_default() |= shown.access == Access::ReadWrite;
    }
    let is_new = |shown: &Shown<'_>| match (had.get(shown.source), shown.access) {
        (None, _) => true,
        (Some(written), Access::ReadWrite) => !written,
        (Some(_), Access::ReadOnly) => false,
    };
    let told = |Shown { source, access, field, kind, place }: Shown<'_>| {
        let access = match access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        Widening::new(field, format!("host + {kind} {} at {place} {access}", source.display()))
    };
    shown(after).into_iter().filter(is_new).map(told).collect()
}

fn shown(sandbox: &Sandbox) -> Vec<Shown<'_>> {
    let mounts = sandbox.mounts.iter().filter_map(mount);
    root(&sandbox.root).into_iter().chain(mounts).collect()
}

fn root(root: &Root) -> Option<Shown<'_>> {
    let (kind, field, root) = match root {
        Root::Image(_) => return None,
        Root::Disk(root) => ("disk", "root-disk", root),
        Root::Dir(root) => ("dir", "root-dir", root),
    };
    let access = match root.write {
        // What is written into an upper never reaches the source.
        Write::Private | Write::None => Access::ReadOnly,
        Write::InPlace => Access::ReadWrite,
    };
    Some(Shown { source: &root.path, access, field: field.to_owned(), kind, place: "/".to_owned() })
}

/// Named volumes are the project's own, and memory is the guest's.
fn mount(Mount { destination, source, options }: &Mount) -> Option<Shown<'_>> {
    let path = match source {
        MountSource::Dir(dir) => &dir.path,
        MountSource::File(file) => &file.path,
        MountSource::Disk(disk) => &disk.path,
        MountSource::Named(_) | MountSource::Tmpfs { .. } => return None,
    };
    Some(Shown {
        source: path,
        access: options.access,
        field: format!("mounts.{destination}"),
        kind: source.kind(),
        place: destination.to_string(),
    })
}
