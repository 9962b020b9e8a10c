//! What a change of each field costs, in one table.
//!
//! The plan, the reference pages and the JSON Schema read this table, so they
//! cannot tell different stories. Each row is the best case: a driver that
//! cannot do it live raises the class, nothing lowers it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::project::{Direction, FieldChange, Kind};

/// What a change costs, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing that a machine could notice.
    None,
    /// State only.
    Meta,
    /// The running machine changes, and nobody is interrupted.
    Live,
    /// It holds from the next command on.
    Exec,
    /// Stop and boot, with the same upper and identity.
    Restart,
    /// A new upper from the image; volumes and host sources stay.
    Recreate,
    /// Bytes of a volume would go.
    DataLoss,
}

impl Class {
    /// Every class, cheapest first.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Meta,
        Self::Live,
        Self::Exec,
        Self::Restart,
        Self::Recreate,
        Self::DataLoss,
    ];

    /// Returns the class as plans write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Meta => "meta",
            Self::Live => "live",
            Self::Exec => "exec",
            Self::Restart => "restart",
            Self::Recreate => "recreate",
            Self::DataLoss => "data-loss",
        }
    }
}

/// What decides the class of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The field alone.
    Always(Class),
    /// `exec` where the instance has no workload, else `restart`: a running one does not see it.
    ByWorkload,
    /// Whether one side of the change is this word, or neither.
    Across {
        /// The word.
        word: &'static str,
        /// The class of a change from or to the word.
        across: Class,
        /// The class of any other.
        within: Class,
    },
    /// Which way the quantity went.
    Sized {
        /// The class of more than before.
        grow: Class,
        /// The class of less than before.
        shrink: Class,
    },
}

/// Prints what a change costs, and what that depends on: `live`, `restart, exec without a workload`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(class) => f.write_str(class.as_str()),
            Self::ByWorkload => f.write_str("restart, exec without a workload"),
            Self::Across { word, across, within } => {
                let (across, within) = (across.as_str(), within.as_str());
                write!(f, "{within}, {across} from or to {word}")
            }
            Self::Sized { grow, shrink } => {
                write!(f, "{} to grow, {} to shrink", grow.as_str(), shrink.as_str())
            }
        }
    }
}

/// Whether an instance runs something of its own, or only waits for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// It does.
    Present,
    /// It only waits.
    Absent,
}

/// Every field of a sandbox with its cost; `*` stands for the rest of a path.
pub const SANDBOX_FIELDS: &[(&str, Cost)] = &[
    ("kind", Cost::Always(Class::Recreate)),
    ("image", Cost::Always(Class::Recreate)),
    ("image.pull", Cost::Always(Class::None)),
    ("image.platform", Cost::Always(Class::Recreate)),
    ("root-disk", Cost::Always(Class::Recreate)),
    ("root-dir", Cost::Always(Class::Recreate)),
    ("root.write", Cost::Always(Class::Recreate)),
    ("upper", Cost::Sized { grow: Class::Restart, shrink: Class::Recreate }),
    ("cpus.count", Cost::Always(Class::Live)),
    ("cpus.max", Cost::Always(Class::Restart)),
    ("memory.size", Cost::Always(Class::Live)),
    ("memory.max", Cost::Always(Class::Restart)),
    ("driver", Cost::Always(Class::Restart)),
    ("security", Cost::Always(Class::Restart)),
    ("log-level", Cost::Always(Class::Live)),
    ("command", Cost::Always(Class::Restart)),
    ("entrypoint", Cost::Always(Class::Restart)),
    ("workdir", Cost::ByWorkload),
    ("user", Cost::ByWorkload),
    ("hostname", Cost::Always(Class::Restart)),
    ("shell", Cost::Always(Class::Exec)),
    ("env.*", Cost::ByWorkload),
    ("env-file", Cost::ByWorkload),
    ("rlimits.*", Cost::ByWorkload),
    ("stop-signal", Cost::Always(Class::Live)),
    ("stop-grace", Cost::Always(Class::Live)),
    ("labels.*", Cost::Always(Class::Meta)),
    ("mounts.*", Cost::Always(Class::Restart)),
    ("ports.*", Cost::Always(Class::Live)),
    ("connect.*", Cost::Always(Class::Live)),
    ("network.preset", Cost::Across { word: "off", across: Class::Restart, within: Class::Live }),
    ("network.rules.*", Cost::Always(Class::Live)),
    ("network.dns.*", Cost::Always(Class::Live)),
    ("network.limits.*", Cost::Always(Class::Live)),
    ("network.tls.intercept", Cost::Always(Class::Restart)),
    ("network.tls.ports", Cost::Always(Class::Live)),
    ("network.tls.bypass", Cost::Always(Class::Live)),
    ("network.tls.upstream-ca", Cost::Always(Class::Live)),
    ("network.tls.ca-cert", Cost::Always(Class::Restart)),
    ("network.tls.ca-key", Cost::Always(Class::Restart)),
    ("network.tls.trust-host-cas", Cost::Always(Class::Restart)),
    ("network.tls.block-quic", Cost::Always(Class::Live)),
    ("secrets.*.placeholder", Cost::ByWorkload),
    ("secrets.*", Cost::Always(Class::Live)),
    ("depends-on.*", Cost::Always(Class::Meta)),
    ("ready.*", Cost::Always(Class::Live)),
    ("health.*", Cost::Always(Class::Live)),
    ("restart.*", Cost::Always(Class::Live)),
    ("success-codes", Cost::Always(Class::Live)),
    ("idle-timeout", Cost::Always(Class::Live)),
    ("max-duration", Cost::Always(Class::Live)),
    ("lifecycle.*", Cost::Always(Class::Meta)),
    ("metrics.*", Cost::Always(Class::Live)),
];

/// Every field of a volume with its cost, for the volume itself.
pub const VOLUME_FIELDS: &[(&str, Cost)] = &[
    ("kind", Cost::Always(Class::DataLoss)),
    ("size", Cost::Sized { grow: Class::Restart, shrink: Class::DataLoss }),
    ("quota", Cost::Always(Class::Live)),
    ("ensure", Cost::Always(Class::None)),
    ("external", Cost::Always(Class::Restart)),
    ("labels.*", Cost::Always(Class::Meta)),
    ("lifecycle.*", Cost::Always(Class::Meta)),
];

/// Returns the row for `path` in `table`.
#[must_use]
pub fn cost(table: &[(&str, Cost)], path: &str) -> Option<Cost> {
    table.iter().find(|(field, _)| fits(field, path)).map(|(_, cost)| *cost)
}

/// Tells whether a row is about `path`; its star stands for any text.
fn fits(field: &str, path: &str) -> bool {
    match field.split_once('*') {
        Some((stem, end)) => path.strip_prefix(stem).is_some_and(|rest| rest.ends_with(end)),
        None => path == field,
    }
}

/// Returns what a change of a sandbox's field costs.
///
/// A job has nothing running to change: from `exec` up it runs again.
#[must_use]
pub fn sandbox_class(change: &FieldChange, kind: Kind, workload: Workload) -> Class {
    let class = settle(cost(SANDBOX_FIELDS, &change.path), change, workload);
    if kind == Kind::Job && class >= Class::Exec { class.max(Class::Recreate) } else { class }
}

/// Returns what a change of a volume's field costs.
#[must_use]
pub fn volume_class(change: &FieldChange) -> Class {
    settle(cost(VOLUME_FIELDS, &change.path), change, Workload::Present)
}

/// A field without a row cannot be built, see the tests; the dearest class is then the safe one.
fn settle(cost: Option<Cost>, change: &FieldChange, workload: Workload) -> Class {
    match (cost, change.direction) {
        (Some(Cost::Always(class)), _) => class,
        (Some(Cost::ByWorkload), _) => match workload {
            Workload::Present => Class::Restart,
            Workload::Absent => Class::Exec,
        },
        (Some(Cost::Across { word, across, within }), _) => {
            let sides = [change.before.as_deref(), change.after.as_deref()];
            if sides.contains(&Some(word)) { across } else { within }
        }
        (Some(Cost::Sized { grow, .. }), Direction::Grown) => grow,
        (Some(Cost::Sized { shrink, .. }), Direction::Shrunk) => shrink,
        // A size that was not written, or no longer is, matches whatever exists.
        (Some(Cost::Sized { .. }), Direction::Other) => Class::Meta,
        (None, _) => Class::DataLoss,
    }
}

#[cfg(test)]
pub(crate) mod every_field;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{
        ArgumentList, Dependency, EnvValue, External, GuestPath, Health, HostRoot, ImageRef, Limit,
        LogLevel, Mount, MountOptions, MountSource, OnChange, OnUnhealthy, Platform, Probe, Quota,
        Rlimit, Root, Sandbox, StopSignal, Until, UserRef, Volume, VolumeKind, Write,
    };
    use crate::units::{Bytes, Millis};

    /// Sandboxes in which nothing is left unsaid, one for each kind of root.
    pub(super) fn everything() -> [Sandbox; 3] {
        let mut sandbox = Sandbox::new(Kind::Service, ImageRef::parse("redis:7").unwrap());
        if let Root::Image(image) = &mut sandbox.root {
            image.platform = Some(Platform::LinuxAmd64);
        }
        sandbox.log_level = Some(LogLevel::Info);
        sandbox.command = ArgumentList::Nothing;
        sandbox.entrypoint = ArgumentList::Words(vec!["/init".into()]);
        sandbox.workdir = Some(GuestPath::parse("/srv").unwrap());
        sandbox.user = UserRef::parse("app");
        sandbox.hostname = Some("db".into());
        sandbox.env.insert("PORT".parse().unwrap(), EnvValue::Literal("80".into()));
        sandbox.env_files.push("/srv/web.env".into());
        let limit = Rlimit { soft: Limit::Count(10), hard: Limit::Unlimited };
        sandbox.rlimits.insert("nofile".into(), limit);
        sandbox.stop_signal = StopSignal::parse("TERM");
        sandbox.labels.insert("team".into(), "core".into());
        sandbox.mounts.push(Mount {
            destination: GuestPath::parse("/tmp/a.b").unwrap(),
            source: MountSource::Tmpfs { size: Bytes::mib(1), mode: 0o1777 },
            options: MountOptions::default(),
        });
        let dependency =
            Dependency { until: Until::Ready, optional: false, on_change: OnChange::Ignore };
        sandbox.depends_on.insert("db".parse().unwrap(), dependency);
        sandbox.health = Some(Health {
            probe: Probe::Tcp(80),
            interval: Health::INTERVAL,
            timeout: Health::TIMEOUT,
            failures: 3,
            successes: 1,
            on_unhealthy: OnUnhealthy::None,
        });
        sandbox.idle_timeout = Some(Millis::seconds(60));
        sandbox.max_duration = Some(Millis::seconds(60));
        sandbox.metrics.exclude_labels.insert("commit".into());
        sandbox.metrics.attributes.insert("env".into(), "prod".into());
        every_field::reach(&mut sandbox);
        let host = || HostRoot { path: "/srv/root".into(), write: Write::Private };
        let (disk, dir) = (Root::Disk(host()), Root::Dir(host()));
        [
            sandbox.clone(),
            Sandbox { root: disk, ..sandbox.clone() },
            Sandbox { root: dir, ..sandbox },
        ]
    }

    fn volume() -> Volume {
        Volume {
            kind: Some(VolumeKind::Disk),
            size: Some(Bytes::gib(1)),
            quota: Some(Quota::None),
            external: Some(External::parse("other/pg").unwrap()),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            moved_from: Some("old".parse().unwrap()),
            ..Volume::unsaid()
        }
    }

    fn check_table(table: &[(&str, Cost)], fields: &[(String, String)]) {
        for (path, _) in fields {
            assert!(cost(table, path).is_some(), "no class for {path}");
        }
        for (field, _) in table {
            let used = fields.iter().any(|(path, _)| fits(field, path));
            assert!(used, "no field for the row {field}");
        }
    }

    #[test]
    fn every_field_has_a_class_and_every_row_a_field() {
        let fields: Vec<_> = everything().iter().flat_map(Sandbox::fields).collect();
        check_table(SANDBOX_FIELDS, &fields);
        check_table(VOLUME_FIELDS, &volume().fields());
    }

    fn class_of(edit: impl Fn(&mut Sandbox), kind: Kind, workload: Workload) -> Class {
        let [before, ..] = everything();
        let mut after = before.clone();
        edit(&mut after);
        let changes = before.differing(&after);
        assert_eq!(changes.len(), 1);
        sandbox_class(&changes[0], kind, workload)
    }

    #[test]
    fn a_running_workload_does_not_see_a_new_environment() {
        let edit = |s: &mut Sandbox| {
            s.env.insert("PORT".parse().unwrap(), EnvValue::Literal("81".into()));
        };
        assert_eq!(class_of(edit, Kind::Service, Workload::Present), Class::Restart);
        assert_eq!(class_of(edit, Kind::Service, Workload::Absent), Class::Exec);
        assert_eq!(class_of(edit, Kind::Job, Workload::Present), Class::Recreate);
    }

    #[test]
    fn sizes_cost_by_the_way_they_go() {
        let run = |edit: fn(&mut Sandbox)| class_of(edit, Kind::Service, Workload::Present);
        assert_eq!(run(|s| s.upper = Bytes::gib(8)), Class::Restart);
        assert_eq!(run(|s| s.upper = Bytes::gib(2)), Class::Recreate);
        assert_eq!(run(|s| s.memory.size = Bytes::mib(256)), Class::Live);
        assert_eq!(run(|s| s.memory.max = Bytes::gib(2)), Class::Restart);
        assert_eq!(run(|s| s.cpus.count = 2), Class::Live);
        let mut small = volume();
        small.size = Some(Bytes::mib(512));
        assert_eq!(volume_class(&volume().differing(&small)[0]), Class::DataLoss);
        assert_eq!(volume_class(&small.differing(&volume())[0]), Class::Restart);
    }
}
