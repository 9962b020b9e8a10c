//! Two definitions, compared field by field.
//!
//! Each definition is taken apart into its fields by destructuring, so a new
//! field does not compile until it is compared here, and does not pass its
//! tests until it has a class in [`crate::change`].

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::{
    ArgumentList, Cpus, Dependency, Image, Kind, Lifecycle, Memory, Mount, MountSource, Probe,
    Ready, Sandbox, Volume,
};

/// One field that differs between two definitions, for people and for the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field within its definition: `memory.size`, `env.PORT`.
    pub path: String,
    /// The value before; `None` where there was none.
    pub before: Option<String>,
    /// The value after; `None` where there is none any more.
    pub after: Option<String>,
    /// Which way a quantity went.
    pub direction: Direction,
    /// Whether the texts are references to a value that is never shown.
    pub sensitive: bool,
}

/// Which way a quantity went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It is more than before.
    Grown,
    /// It is less than before.
    Shrunk,
    /// It is no quantity, or was or is not written.
    Other,
}

/// The value of one field: its text, and its number where it can grow and shrink.
struct Leaf {
    text: String,
    amount: Option<u64>,
    sensitive: bool,
}

/// The fields of a definition, by path.
#[derive(Default)]
struct Leaves(BTreeMap<String, Leaf>);

impl Leaves {
    fn put(&mut self, path: impl Into<String>, value: impl Display) {
        let leaf = Leaf { text: value.to_string(), amount: None, sensitive: false };
        self.0.insert(path.into(), leaf);
    }

    fn amount(&mut self, path: &str, value: impl Display, amount: u64) {
        let leaf = Leaf { text: value.to_string(), amount: Some(amount), sensitive: false };
        self.0.insert(path.to_owned(), leaf);
    }

    fn if_some(&mut self, path: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(path, value);
        }
    }

    fn differing(self, mut after: Self) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        for (path, old) in self.0 {
            let new = after.0.remove(&path);
            if new.as_ref().is_some_and(|new| new.text == old.text) {
                continue;
            }
            changes.push(change(path, Some(old), new));
        }
        changes.extend(after.0.into_iter().map(|(path, new)| change(path, None, Some(new))));
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes
    }
}

fn change(path: String, before: Option<Leaf>, after: Option<Leaf>) -> FieldChange {
    let amounts =
        (before.as_ref().and_then(|leaf| leaf.amount), after.as_ref().and_then(|leaf| leaf.amount));
    let direction = match amounts {
        (Some(old), Some(new)) => match new.cmp(&old) {
            Ordering::Greater => Direction::Grown,
            Ordering::Less => Direction::Shrunk,
            Ordering::Equal => Direction::Other,
        },
        _ => Direction::Other,
    };
    let sensitive = [&before, &after].iter().any(|leaf| leaf.as_ref().is_some_and(|l| l.sensitive));
    let (before, after) = (before.map(|leaf| leaf.text), after.map(|leaf| leaf.text));
    FieldChange { path, before, after, direction, sensitive }
}

impl Sandbox {
    /// Returns every field in which `after` is not as `self`, by path.
    #[must_use]
    pub fn differing(&self, after: &Self) -> Vec<FieldChange> {
        if self == after {
            return Vec::new();
        }
        self.leaves().differing(after.leaves())
    }

    /// Returns every field with its value as people read it, by path.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        self.leaves().0.into_iter().map(|(path, leaf)| (path, leaf.text)).collect()
    }

    fn leaves(&self) -> Leaves {
        let mut leaves = Leaves::default();
        let Self {
            kind,
            image,
            upper,
            cpus: Cpus { count, max: cpus_max },
            memory: Memory { size, max: memory_max },
            driver,
            security,
            log_level,
            command,
            entrypoint,
            workdir,
            user,
            hostname,
            shell,
            env,
            stop_signal,
            stop_grace,
            labels,
            mounts,
            depends_on,
            ready,
            success_codes,
            lifecycle: Lifecycle { protect },
        } = self;
        leaves.put("kind", if *kind == Kind::Job { "job" } else { "service" });
        image_leaves(&mut leaves, image);
        leaves.amount("upper", upper, upper.0);
        leaves.amount("cpus.count", count, u64::from(*count));
        leaves.amount("cpus.max", cpus_max, u64::from(*cpus_max));
        leaves.amount("memory.size", size, size.0);
        leaves.amount("memory.max", memory_max, memory_max.0);
        leaves.put("driver", driver.as_str());
        leaves.put("security", security.as_str());
        leaves.if_some("log-level", log_level.map(super::LogLevel::as_str));
        argument_leaves(&mut leaves, "command", command);
        argument_leaves(&mut leaves, "entrypoint", entrypoint);
        leaves.if_some("workdir", workdir.as_ref());
        leaves.if_some("user", user.as_ref());
        leaves.if_some("hostname", hostname.as_ref());
        leaves.put("shell", shell);
        for (key, value) in env {
            let sensitive = value.is_sensitive();
            let leaf = Leaf { text: value.to_string(), amount: None, sensitive };
            leaves.0.insert(format!("env.{key}"), leaf);
        }
        leaves.if_some("stop-signal", stop_signal.as_ref());
        leaves.put("stop-grace", stop_grace);
        label_leaves(&mut leaves, labels);
        mounts.iter().for_each(|mount| mount_leaves(&mut leaves, mount));
        for (target, dependency) in depends_on {
            dependency_leaves(&mut leaves, &target.to_string(), *dependency);
        }
        ready_leaves(&mut leaves, ready);
        let codes: Vec<String> = success_codes.iter().map(u8::to_string).collect();
        leaves.put("success-codes", codes.join(" "));
        leaves.put("lifecycle.protect", protect);
        leaves
    }
}

fn image_leaves(leaves: &mut Leaves, image: &Image) {
    let Image { reference, pull, platform } = image;
    leaves.put("image", reference.short());
    leaves.put(
        "image.pull",
        match pull {
            super::Pull::Missing => "missing",
            super::Pull::Never => "never",
        },
    );
    leaves.if_some("image.platform", platform.map(super::Platform::as_str));
}

fn argument_leaves(leaves: &mut Leaves, path: &str, arguments: &ArgumentList) {
    match arguments {
        ArgumentList::Image => {}
        ArgumentList::Nothing => leaves.put(path, "none"),
        ArgumentList::Words(words) => leaves.put(path, quoted(words)),
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}

fn label_leaves(leaves: &mut Leaves, labels: &super::Labels) {
    for (key, value) in labels {
        leaves.put(format!("labels.{key}"), format!("{value:?}"));
    }
}

fn mount_leaves(leaves: &mut Leaves, mount: &Mount) {
    let Mount { destination, source, options } = mount;
    let source = match source {
        MountSource::Named(volume) => format!("named {volume}"),
        MountSource::Tmpfs { size, mode } => format!("tmpfs {size}, mode {mode:04o}"),
    };
    leaves.put(format!("mounts.{destination}"), source);
    leaves.put(format!("mounts.{destination}.options"), options);
}

fn dependency_leaves(leaves: &mut Leaves, target: &str, dependency: Dependency) {
    let Dependency { until, optional, on_change } = dependency;
    leaves.put(format!("depends-on.{target}.until"), until.as_str());
    leaves.put(format!("depends-on.{target}.optional"), optional);
    leaves.put(format!("depends-on.{target}.on-change"), on_change.as_str());
}

fn ready_leaves(leaves: &mut Leaves, ready: &Ready) {
    let Ready { probe, timeout } = ready;
    match probe {
        Probe::Agent => leaves.put("ready.probe", "agent"),
        Probe::Exec(words) => leaves.put("ready.probe", format!("exec {}", quoted(words))),
    }
    leaves.put("ready.timeout", timeout);
}

impl Volume {
    /// Returns every field in which `after` is not as `self`, by path.
    #[must_use]
    pub fn differing(&self, after: &Self) -> Vec<FieldChange> {
        self.leaves().differing(after.leaves())
    }

    /// Returns every field with its value as people read it, by path.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        self.leaves().0.into_iter().map(|(path, leaf)| (path, leaf.text)).collect()
    }

    fn leaves(&self) -> Leaves {
        let mut leaves = Leaves::default();
        let Self { kind, size, ensure, labels, protect } = self;
        leaves.if_some("kind", kind.map(super::VolumeKind::as_str));
        if let Some(size) = size {
            leaves.amount("size", size, size.0);
        }
        leaves.put("ensure", ensure.as_str());
        label_leaves(&mut leaves, labels);
        leaves.put("lifecycle.protect", protect);
        leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::EnvKey;
    use crate::project::{EnvValue, ImageRef};
    use crate::units::Bytes;

    fn web() -> Sandbox {
        Sandbox::new(Kind::Service, ImageRef::parse("redis:7").unwrap())
    }

    #[test]
    fn equal_definitions_differ_in_nothing() {
        assert_eq!(web().differing(&web()), []);
    }

    #[test]
    fn a_change_names_the_field_and_both_values_as_people_read_them() {
        let mut after = web();
        after.memory.size = Bytes::gib(1);
        after.env.insert(EnvKey::parse("PW").unwrap(), EnvValue::FromEnv("PGPW".into()));
        let lines: Vec<String> = web()
            .differing(&after)
            .iter()
            .map(|c| {
                format!("{} {:?} {:?} {:?} {}", c.path, c.before, c.after, c.direction, c.sensitive)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "env.PW None Some(\"env:PGPW\") Other true",
                "memory.size Some(\"512 MiB\") Some(\"1 GiB\") Grown false",
            ]
        );
    }
}
