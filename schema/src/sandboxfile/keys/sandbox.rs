//! The keys of a sandbox and of a job: root, resources and process.

use super::life::{DEPENDS_ON, HEALTH, LIFECYCLE, MATRIX, METRICS, READY, RESTART};
use super::mount::MOUNT;
use super::network::{CONNECT, NETWORK, PORT};
use super::top::{DRIVERS, LABELS};
use super::{Body, Key, MIB, Principal, Shape, TEXT, TIB, Type, key, principal};

/// The keys of a sandbox, of a job and, most of them, of a template.
pub const SANDBOX: &[Key] = &[
    key("from", Shape::Scalar(Type::Name), "The template whose keys it takes over."),
    key(
        "image",
        Shape::Line { principal: principal("ref", Type::Image), attributes: IMAGE },
        "The image its root is made from.",
    )
    .class("recreate when the digest moves"),
    key(
        "root-disk",
        Shape::Line { principal: principal("path", Type::HostPath), attributes: ROOT },
        "A raw disk image that is its root.",
    )
    .class("recreate"),
    key(
        "root-dir",
        Shape::Line { principal: principal("path", Type::HostPath), attributes: ROOT },
        "A folder of the host that is its root.",
    )
    .class("recreate"),
    key("upper", Shape::Scalar(Type::Size(64 * MIB, 16 * TIB)), "The room for its own changes.")
        .default("4GiB")
        .class("grow restart, shrink recreate"),
    key(
        "cpus",
        Shape::Line { principal: principal("count", Type::Count(0, 255)), attributes: CPUS },
        "How many processors it has.",
    )
    .default("1")
    .class("live"),
    key(
        "memory",
        Shape::Line { principal: principal("size", Type::Size(0, TIB)), attributes: MEMORY },
        "How much memory it has.",
    )
    .default("512MiB")
    .class("live"),
    key("driver", Shape::Scalar(Type::Choice(DRIVERS)), "What runs its machine.")
        .default("the project's")
        .class("restart"),
    key(
        "security",
        Shape::Scalar(Type::Choice(&["default", "restricted"])),
        "How far its workload is held back.",
    )
    .default("default")
    .class("restart"),
    key(
        "log-level",
        Shape::Scalar(Type::Choice(&["error", "warn", "info", "debug", "trace"])),
        "How much its runtime logs.",
    )
    .default("the run's")
    .class("live"),
    key("command", Shape::List(TEXT), "The arguments of its workload; null is no workload.")
        .default("the image's")
        .class("restart")
        .nullable(),
    key("entrypoint", Shape::List(TEXT), "What stands before the arguments.")
        .default("the image's")
        .class("restart")
        .nullable(),
    key("workdir", Shape::Scalar(Type::GuestPath), "Where the workload starts.")
        .default("the image's, else /")
        .class("†"),
    key("user", Shape::Scalar(Type::User), "Who the workload runs as.")
        .default("the image's, else root")
        .class("†"),
    key("hostname", Shape::Scalar(Type::Name), "The host name of the guest.")
        .default("the name of the instance")
        .class("restart"),
    key("shell", Shape::Scalar(Type::GuestPath), "The shell of sessions.")
        .default("/bin/sh")
        .class("exec"),
    key(
        "env",
        Shape::Map { key: Type::EnvKey, value: &ENV_VALUE },
        "The environment, above the image's.",
    )
    .class("†"),
    key("env-file", Shape::List(Type::HostPath), "Files of the host with more of the environment.")
        .class("†"),
    key(
        "rlimits",
        Shape::Map { key: Type::Choice(crate::project::Rlimit::RESOURCES), value: &RLIMIT },
        "Limits of the workload's processes.",
    )
    .default("the guest's")
    .class("†"),
    key("stop-signal", Shape::Scalar(Type::Signal), "What asks the workload to end.")
        .default("the image's, else TERM")
        .class("live"),
    key("stop-grace", Shape::Scalar(Type::Duration(0)), "How long it has to end; 0s is at once.")
        .default("10s")
        .class("live"),
    key("labels", LABELS, "Constants by key.").class("meta"),
    key(
        "mount",
        Shape::Keyed { identity: Type::GuestPath, body: Body::Block, keys: MOUNT },
        "Something mounted in the guest.",
    )
    .plural("mounts")
    .class("restart"),
    key("port", PORT, "A port of the guest, published on the host.").plural("ports").class("live"),
    key("connect", CONNECT, "A sibling that it may reach.").class("live"),
    key("network", NETWORK, "What it may reach, and how."),
    key("depends-on", DEPENDS_ON, "What must be before it.").class("meta"),
    key("ready", READY, "The gate to Ready.").class("live"),
    key("health", HEALTH, "What tells that it is well.").class("live"),
    key("restart", RESTART, "What happens when its workload or machine ends.")
        .default("on-failure; no for a job")
        .class("live"),
    key("success-codes", Shape::List(Type::Count(0, 255)), "Exit codes that are no failure.")
        .default("0")
        .class("live"),
    key("idle-timeout", Shape::Scalar(Type::Duration(1000)), "How long it may be idle.")
        .class("live"),
    key("max-duration", Shape::Scalar(Type::Duration(1000)), "How long it may run.").class("live"),
    key("replicas", Shape::Scalar(Type::Count(0, 100_000)), "How many instances it has.")
        .class("none"),
    key("matrix", MATRIX, "One instance for each combination of values.").class("none").not_yet(),
    key("profiles", Shape::List(Type::Name), "When it takes part.").class("none"),
    key("lifecycle", LIFECYCLE, "What may not be done to it.").class("meta"),
    key("metrics", METRICS, "What is measured of it.").class("live"),
    key("remove", REMOVE, "What is taken out of the layers below before this one adds."),
];

const REMOVE: Shape = Shape::Block {
    principal: None,
    keys: &[
        key("env", Shape::List(TEXT), "Variables of the environment."),
        key("labels", Shape::List(TEXT), "Labels, by key."),
        key("rlimits", Shape::List(TEXT), "Limits, by resource."),
        key("mounts", Shape::List(TEXT), "Mounts, by place."),
        key("ports", Shape::List(TEXT), "Ports, as [BIND:]HOST/PROTOCOL or auto:GUEST/PROTOCOL."),
        key("connect", Shape::List(TEXT), "Siblings that may be reached."),
        key("depends-on", Shape::List(TEXT), "Dependencies."),
        key("keys", Shape::List(TEXT), "Whole keys, which then have their defaults."),
    ],
};

const IMAGE: &[Key] = &[
    key(
        "pull",
        Shape::Scalar(Type::Choice(&["missing", "never"])),
        "Whether a missing image is fetched.",
    )
    .default("missing")
    .class("none"),
    key(
        "platform",
        Shape::Scalar(Type::Choice(&["linux/amd64", "linux/arm64"])),
        "The platform of the image.",
    )
    .default("the host's")
    .class("recreate"),
];

const ROOT: &[Key] = &[key(
    "write",
    Shape::Scalar(Type::Choice(&["private", "in-place", "none"])),
    "Where writes go.",
)
.default("private")
.class("recreate")];

const CPUS: &[Key] =
    &[key("max", Shape::Scalar(Type::Count(1, 255)), "How many it may be given while it runs.")
        .default("the count")
        .class("restart")];

const MEMORY: &[Key] = &[key(
    "max",
    Shape::Scalar(Type::Size(64 * MIB, TIB)),
    "How much it may be given while it runs.",
)
.default("the size")
.class("restart")];

const ENV_VALUE: Shape = Shape::Line {
    principal: Principal { name: "value", ty: TEXT, required: false },
    attributes: ENV_SOURCES,
};

const ENV_SOURCES: &[Key] = &[
    key("secret", Shape::Scalar(Type::Name), "The secret whose placeholder the guest sees."),
    key("from-env", Shape::Scalar(Type::VarName), "The variable of the host that gives it."),
    key("from-file", Shape::Scalar(Type::HostPath), "The file of the host that gives it."),
];

const RLIMIT: Shape =
    Shape::Line { principal: principal("soft", Type::Limit), attributes: RLIMIT_HARD };

const RLIMIT_HARD: &[Key] =
    &[key("hard", Shape::Scalar(Type::Limit), "The hard limit.").default("the soft one")];
