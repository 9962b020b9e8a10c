//! The keys at the top of a file.

use super::life::METRICS;
use super::network::NETWORK;
use super::{Body, Key, MIB, Principal, SANDBOX, Shape, TEXT, TIB, Type, key};

/// The keys at the top of a file.
pub const TOP: &[Key] = &[
    key(
        "project",
        Shape::Block {
            principal: Some(Principal { name: "name", ty: Type::Name, required: false }),
            keys: PROJECT,
        },
        "What the whole is called, and what holds for all of it.",
    )
    .default("the name of the project folder"),
    key(
        "var",
        Shape::Keyed { identity: Type::VarName, body: Body::Line, keys: VAR },
        "A value that files may use as ${NAME}.",
    )
    .plural("vars")
    .class("none"),
    key(
        "secret",
        Shape::Keyed { identity: Type::Name, body: Body::Block, keys: SECRET },
        "A value that the guest never sees, and the hosts that may receive it.",
    )
    .plural("secrets"),
    key(
        "volume",
        Shape::Keyed { identity: Type::Name, body: Body::Block, keys: VOLUME },
        "Named storage that outlives sandboxes.",
    )
    .plural("volumes"),
    key(
        "template",
        Shape::Keyed { identity: Type::Name, body: Body::Block, keys: SANDBOX },
        "Keys that several sandboxes take over with `from`.",
    )
    .plural("templates"),
    key(
        "include",
        Shape::Keyed { identity: Type::HostPath, body: Body::Block, keys: INCLUDE },
        "Another file, taken in under a prefix.",
    )
    .plural("includes"),
    key(
        "sandbox",
        Shape::Keyed { identity: Type::Name, body: Body::Block, keys: SANDBOX },
        "A machine that is wanted running.",
    )
    .plural("sandboxes"),
    key(
        "job",
        Shape::Keyed { identity: Type::Name, body: Body::Block, keys: SANDBOX },
        "A machine that is wanted completed, once per definition.",
    )
    .plural("jobs"),
    key("network", NETWORK, "Defaults below the network of every sandbox."),
    key("metrics", METRICS, "Defaults below the metrics of every sandbox."),
    key("remove", REMOVE, "What is taken out of the layers below before this one adds."),
];

const REMOVE: Shape = Shape::Block {
    principal: None,
    keys: &[
        key("vars", Shape::List(TEXT), "Variables."),
        key("secrets", Shape::List(TEXT), "Secrets."),
        key("volumes", Shape::List(TEXT), "Volumes."),
        key("templates", Shape::List(TEXT), "Templates."),
        key("includes", Shape::List(TEXT), "Included files, by path."),
        key("sandboxes", Shape::List(TEXT), "Sandboxes."),
        key("jobs", Shape::List(TEXT), "Jobs."),
        key("keys", Shape::List(TEXT), "Whole keys, which then have their defaults."),
    ],
};

/// The keys of a project.
pub const PROJECT: &[Key] = &[
    key("format", Shape::Scalar(Type::Count(1, u64::MAX)), "The version of the language.")
        .default("1")
        .class("none"),
    key("labels", LABELS, "The lowest layer of the labels of every sandbox.").class("meta"),
    key(
        "driver",
        Shape::Scalar(Type::Choice(DRIVERS)),
        "What runs the machines of sandboxes that do not say.",
    )
    .default("auto")
    .class("restart"),
    key(
        "wait-timeout",
        Shape::Scalar(Type::Duration(0)),
        "How long `up` waits without being told; 0s is without limit.",
    )
    .default("5m")
    .class("none"),
    key(
        "protect-config",
        Shape::Scalar(Type::Bool),
        "Whether the project's own files stay read-only inside its mounts.",
    )
    .default("true")
    .class("restart"),
];

/// What runs machines, as files name it.
pub(super) const DRIVERS: &[&str] = &["auto", "krun", "qemu"];

/// A map of labels.
pub(super) const LABELS: Shape =
    Shape::Map { key: Type::LabelKey, value: &Shape::Scalar(Type::Text(1024)) };

const VAR: &[Key] = &[
    key("default", Shape::Scalar(TEXT), "Its value where nothing else gives one."),
    key("from-env", Shape::Scalar(Type::VarName), "The variable of the host that gives it."),
    key("pattern", Shape::Scalar(Type::Regex), "What its whole value must match."),
    key("description", Shape::Scalar(TEXT), "What it is for."),
];

const SECRET: &[Key] = &[
    key("from-env", Shape::Scalar(Type::VarName), "The variable of the host that holds it.")
        .class("live"),
    key("from-file", Shape::Scalar(Type::HostPath), "The file of the host that holds it.")
        .class("live"),
    key(
        "hosts",
        Shape::List(Type::HostPattern),
        "Where the value may go; it opens nothing in the network.",
    )
    .default("required")
    .class("live"),
    key(
        "in",
        Shape::List(Type::Choice(SECRET_PLACES)),
        "The places of a request where the placeholder is replaced.",
    )
    .default("header basic-auth")
    .class("live"),
    key("placeholder", Shape::Scalar(Type::Text(1024)), "What the guest sees instead.")
        .default("random, new at each start")
        .class("†"),
    key(
        "on-violation",
        Shape::Scalar(Type::Choice(ON_VIOLATION)),
        "What happens when the placeholder is sent anywhere else.",
    )
    .default("block-and-log")
    .class("live"),
    key(
        "passthrough-hosts",
        Shape::List(Type::HostPattern),
        "Where the placeholder itself may go.",
    )
    .class("live"),
    key("require-tls", Shape::Scalar(Type::Bool), "Whether only TLS carries the value.")
        .default("true")
        .class("live"),
];

const SECRET_PLACES: &[&str] = &["header", "basic-auth", "query", "body"];
const ON_VIOLATION: &[&str] = &["block", "block-and-log", "block-and-terminate"];

/// The keys of a volume.
pub const VOLUME: &[Key] = &[
    key("kind", Shape::Scalar(Type::Choice(VOLUME_KINDS)), "A shared folder or a private disk.")
        .default("dir")
        .class("data-loss"),
    key("size", Shape::Scalar(Type::Size(16 * MIB, 16 * TIB)), "The size of a disk.")
        .class("grow restart, shrink data-loss"),
    key("quota", Shape::Scalar(Type::SizeOrNone), "The most that a folder may hold.")
        .default("10GiB")
        .class("live"),
    key("ensure", Shape::Scalar(Type::Choice(ENSURE)), "Whether it may be made.")
        .default("ensure")
        .class("none"),
    key("external", Shape::Scalar(Type::Bool), "Whether it is somebody else's.")
        .default("false")
        .class("none"),
    key("host-name", Shape::Scalar(TEXT), "What an external volume is called on the host.")
        .default("its name")
        .class("restart"),
    key("labels", LABELS, "Constants by key.").class("meta"),
    key(
        "lifecycle",
        Shape::Block { principal: None, keys: VOLUME_LIFECYCLE },
        "What may not be done to it.",
    )
    .class("meta"),
];

/// What a volume can be.
pub(super) const VOLUME_KINDS: &[&str] = &["dir", "disk"];
/// Whether a volume may be made.
pub(super) const ENSURE: &[&str] = &["must-exist", "create", "ensure"];

const VOLUME_LIFECYCLE: &[Key] = &[
    key("protect", Shape::Scalar(Type::Bool), "Whether removing it or losing its data is refused.")
        .default("false")
        .class("meta"),
    key("moved-from", Shape::Scalar(Type::Name), "What it was called before.").class("meta"),
];

const INCLUDE: &[Key] = &[
    key("as", Shape::Scalar(Type::Name), "The prefix of its names.").required(),
    key(
        "vars",
        Shape::Map { key: Type::VarName, value: &Shape::Scalar(TEXT) },
        "The values of its variables.",
    ),
];
