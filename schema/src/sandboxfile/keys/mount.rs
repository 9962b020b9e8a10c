//! The keys of a mount.

use super::top::{ENSURE, VOLUME_KINDS};
use super::{Key, MIB, Principal, Shape, TIB, Type, key, principal};

/// The keys of a mount: exactly one kind, and options.
pub(super) const MOUNT: &[Key] = &[
    key(
        "named",
        Shape::Line { principal: principal("volume", Type::Name), attributes: NAMED },
        "A volume of the project; an empty one is not filled from the image.",
    )
    .class("restart"),
    key(
        "dir",
        Shape::Line { principal: principal("path", Type::HostPath), attributes: DIR },
        "A folder of the host.",
    )
    .class("restart"),
    key(
        "file",
        Shape::Line { principal: principal("path", Type::HostPath), attributes: FILE },
        "A file of the host.",
    )
    .class("restart"),
    key(
        "disk",
        Shape::Line { principal: principal("path", Type::HostPath), attributes: DISK },
        "A raw image or block device of the host.",
    )
    .class("restart"),
    key(
        "tmpfs",
        Shape::Line {
            principal: Principal { name: "size", ty: Type::Size(1, TIB), required: false },
            attributes: TMPFS,
        },
        "Memory of the guest.",
    )
    .class("restart"),
    key(
        "options",
        Shape::List(Type::Choice(&["ro", "rw", "noexec", "nosuid", "nodev"])),
        "How it is mounted.",
    )
    .default("rw")
    .class("restart"),
];

const NAMED: &[Key] = &[
    key("kind", Shape::Scalar(Type::Choice(VOLUME_KINDS)), "A shared folder or a private disk."),
    key("size", Shape::Scalar(Type::Size(16 * MIB, 16 * TIB)), "The size of a disk."),
    key("quota", Shape::Scalar(Type::SizeOrNone), "The most that a folder may hold."),
    key("ensure", Shape::Scalar(Type::Choice(ENSURE)), "Whether it may be made."),
];

const DIR: &[Key] = &[
    key("ensure", Shape::Scalar(Type::Choice(&["must-exist", "ensure"])), "Whether it is made.")
        .default("must-exist"),
    key("quota", Shape::Scalar(Type::SizeOrNone), "The most that it may hold.").default("none"),
    key(
        "stat-virt",
        Shape::Scalar(Type::Choice(&["strict", "relaxed", "off"])),
        "Whether owners and modes of the guest are kept beside the files.",
    )
    .default("strict"),
    key(
        "host-perms",
        Shape::Scalar(Type::Choice(&["private", "mirror"])),
        "The modes of new files on the host.",
    )
    .default("private"),
    key("follow-symlink", Shape::Scalar(Type::Bool), "Whether the source may be a link.")
        .default("false"),
];

const FILE: &[Key] = &[
    key("ensure", Shape::Scalar(Type::Choice(&["must-exist", "ensure"])), "Whether it is made.")
        .default("must-exist"),
    key(
        "on-change",
        Shape::Scalar(Type::Text(32)),
        "What a change of its content does: ignore, restart or signal:NAME.",
    )
    .default("ignore"),
];

const DISK: &[Key] =
    &[key("fstype", Shape::Scalar(Type::Choice(&["ext4", "erofs"])), "Its file system.")
        .default("told by its signature")];

const TMPFS: &[Key] =
    &[key("mode", Shape::Scalar(Type::Mode), "The permission bits of its root.").default("1777")];
