//! Mounts: a node each, with its one kind and its options.

use super::node::Node;
use super::values::{boolean, size, text};
use super::{Fields, Unwritable, Writer};
use crate::name::SandboxName;
use crate::project::{
    Access, DirMount, DiskMount, FileChange, FileMount, FsType, HostEnsure, HostPerms, Memory,
    Mount, MountOptions, MountSource, StatVirt,
};
use crate::sandboxfile::tree::{Entry, Scalar};
use crate::units::Bytes;

impl Writer<'_> {
    pub(super) fn mounts(
        &self,
        node: &mut Node,
        name: &SandboxName,
        (mounts, memory): (&[Mount], Memory),
    ) -> Result<(), Unwritable> {
        for Mount { destination, source, options } in mounts {
            let mut mount = Node::block(self.fields, "mount");
            mount.value(Scalar::text(destination.as_str().to_owned()));
            mount.add(self.source(&format!("sandbox {name}"), source, memory)?);
            let MountOptions { access, flags } = options;
            let access = match access {
                Access::ReadOnly => Some("ro"),
                Access::ReadWrite if self.fields == Fields::All => Some("rw"),
                Access::ReadWrite => None,
            };
            let words = access.into_iter().chain(flags.iter().map(|flag| flag.as_str()));
            mount.list("options", words.map(text));
            node.add(mount.done());
        }
        Ok(())
    }

    fn source(
        &self,
        address: &str,
        source: &MountSource,
        memory: Memory,
    ) -> Result<Entry<'static>, Unwritable> {
        let mut node = Node::line(self.fields, source.kind());
        match source {
            MountSource::Named(volume) => node.value(text(volume.as_str())),
            MountSource::Dir(dir) => {
                let DirMount { path, ensure, quota, stat_virt, host_perms, follow_symlink } = dir;
                node.value(self.path(address, path)?);
                host_ensure(&mut node, *ensure);
                node.some("quota", quota.as_ref(), |most| size(*most));
                let (stat, perms) = (StatVirt::default(), HostPerms::default());
                node.unless("stat-virt", stat_virt, &stat, |how| text(how.as_str()));
                node.unless("host-perms", host_perms, &perms, |how| text(how.as_str()));
                node.unless("follow-symlink", follow_symlink, &false, |yes| boolean(*yes));
            }
            MountSource::File(FileMount { path, ensure, on_change }) => {
                node.value(self.path(address, path)?);
                host_ensure(&mut node, *ensure);
                let usual = FileChange::default();
                node.unless("on-change", on_change, &usual, |what| text(&what.to_string()));
            }
            MountSource::Disk(DiskMount { path, fstype }) => {
                node.value(self.path(address, path)?);
                node.some("fstype", fstype.as_ref(), |one: &FsType| text(one.as_str()));
            }
            MountSource::Tmpfs { size: bytes, mode } => {
                if node.says(bytes, &Bytes(memory.size.0 / 2)) {
                    node.value(size(*bytes));
                }
                node.unless("mode", mode, &0o1777, |mode| text(&format!("{mode:o}")));
            }
        }
        Ok(node.done())
    }
}

fn host_ensure(node: &mut Node, ensure: HostEnsure) {
    node.unless("ensure", &ensure, &HostEnsure::default(), |ensure| text(ensure.as_str()));
}
