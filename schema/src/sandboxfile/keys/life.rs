//! The keys of order, health, life and metrics.

use super::network::HTTP;
use super::{Body, Key, Principal, Shape, TEXT, Type, key};

/// What must be before a sandbox.
pub(super) const DEPENDS_ON: Shape =
    Shape::Keyed { identity: Type::Instance, body: Body::Line, keys: DEPENDENCY };
/// The gate to Ready.
pub(super) const READY: Shape = Shape::Block { principal: None, keys: READY_KEYS };
/// What tells that a sandbox is well.
pub(super) const HEALTH: Shape = Shape::Block { principal: None, keys: HEALTH_KEYS };
/// What happens when a workload or machine ends.
pub(super) const RESTART: Shape = Shape::Block {
    principal: Some(Principal { name: "policy", ty: Type::Choice(POLICIES), required: false }),
    keys: RESTART_KEYS,
};
/// One instance for each combination of values.
pub(super) const MATRIX: Shape = Shape::Block { principal: None, keys: MATRIX_KEYS };
/// What may not be done to a sandbox.
pub(super) const LIFECYCLE: Shape = Shape::Block { principal: None, keys: LIFECYCLE_KEYS };
/// What is measured.
pub(super) const METRICS: Shape = Shape::Block { principal: None, keys: METRICS_KEYS };

const POLICIES: &[&str] = &["no", "on-failure", "always"];

const DEPENDENCY: &[Key] = &[
    key(
        "until",
        Shape::Scalar(Type::Choice(&["started", "ready", "completed", "completed-ok", "log"])),
        "How far the target must be.",
    )
    .default("ready; completed-ok for a job"),
    key("optional", Shape::Scalar(Type::Bool), "Whether a target that fails stops us.")
        .default("false"),
    key(
        "on-change",
        Shape::Scalar(Type::Choice(&["ignore", "restart"])),
        "What a restart of the target does to us.",
    )
    .default("ignore"),
    key("pattern", Shape::Scalar(Type::Regex), "The line of the log to wait for."),
];

const EXEC: Key = key("exec", Shape::List(TEXT), "A command that ends with 0.");
const TCP: Key = key("tcp", Shape::Scalar(Type::Count(1, 65_535)), "A port that accepts.");

const READY_KEYS: &[Key] = &[
    EXEC,
    TCP,
    key("http", HTTP, "A request that is answered well."),
    key("log", Shape::Scalar(Type::Regex), "A line of the workload's output."),
    key("agent", Shape::Scalar(Type::Bool), "The boot is done and the workload started."),
    key("timeout", Shape::Scalar(Type::Duration(1)), "How long it may take.")
        .default("60s")
        .class("live"),
];

const HEALTH_KEYS: &[Key] = &[
    EXEC,
    TCP,
    key("http", HTTP, "A request that is answered well."),
    key("interval", Shape::Scalar(Type::Duration(1)), "The time between probes.").default("10s"),
    key("timeout", Shape::Scalar(Type::Duration(1)), "How long a probe may take.").default("3s"),
    key("failures", Shape::Scalar(Type::Count(1, 1000)), "Misses until degraded.").default("3"),
    key("successes", Shape::Scalar(Type::Count(1, 1000)), "Passes until well.").default("1"),
    key(
        "on-unhealthy",
        Shape::Scalar(Type::Choice(&["none", "restart"])),
        "What a degraded sandbox gets.",
    )
    .default("none"),
];

const RESTART_KEYS: &[Key] = &[
    key("max", Shape::Scalar(Type::Count(0, 1000)), "Restarts in a window.").default("5"),
    key("window", Shape::Scalar(Type::Duration(1)), "The window.").default("10m"),
    key("delay", Shape::Scalar(Type::Duration(0)), "The first delay.").default("200ms"),
    key("factor", Shape::Scalar(Type::Decimal), "How delays grow.").default("2"),
    key("cap", Shape::Scalar(Type::Duration(0)), "The longest delay.").default("30s"),
    key("jitter", Shape::Scalar(Type::Decimal), "How far delays vary.").default("0.2"),
    key(
        "then",
        Shape::Scalar(Type::Choice(&["stall", "recreate"])),
        "What follows the last restart.",
    )
    .default("stall"),
];

const MATRIX_KEYS: &[Key] = &[
    key("axes", Shape::Map { key: Type::Name, value: &Shape::List(TEXT) }, "The values, by axis."),
    key(
        "exclude",
        Shape::Map { key: Type::Name, value: &Shape::Scalar(TEXT) },
        "Combinations that are left out.",
    ),
];

const LIFECYCLE_KEYS: &[Key] = &[
    key("protect", Shape::Scalar(Type::Bool), "Whether removing or recreating it is refused.")
        .default("false")
        .class("meta"),
    key("keep", Shape::Scalar(Type::Bool), "Whether it stays when it leaves the file.")
        .default("false")
        .class("meta"),
    key("moved-from", Shape::Scalar(Type::Name), "What it was called before.").class("meta"),
    key(
        "update",
        Shape::Scalar(Type::Choice(&["stop-first", "start-first"])),
        "The order of recreating.",
    )
    .default("stop-first")
    .class("none"),
    key("ignore-drift", Shape::List(TEXT), "Fields whose drift is left alone.").class("none"),
];

const METRICS_KEYS: &[Key] = &[
    key("enabled", Shape::Scalar(Type::Bool), "Whether it is measured.").default("true"),
    key("interval", Shape::Scalar(Type::Duration(1000)), "The time between samples.").default("1s"),
    key("labels", Shape::Scalar(Type::Bool), "Whether labels are exported.").default("true"),
    key("exclude-labels", Shape::List(TEXT), "Labels that are not."),
    key(
        "attributes",
        Shape::Map { key: Type::LabelKey, value: &Shape::Scalar(Type::Text(1024)) },
        "Constants that are exported too.",
    ),
];
