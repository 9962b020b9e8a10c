//! One sandbox or job: its root and its resources.

use super::decode::{Decoder, bounds};
use super::project::Defaults;
use super::restart::set;
use crate::project::{
    Cpus, Definition, DriverChoice, ImageRef, Kind, LogLevel, Memory, Sandbox, Security,
};
use crate::sandboxfile::document::{Group, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value;
use crate::units::Bytes;

impl Decoder<'_, '_> {
    /// Reads everything of a sandbox but its mounts and dependencies, which need the others.
    pub(super) fn sandbox(
        &mut self,
        group: &Group<'_>,
        (kind, member): (Kind, &Member<'_>),
        defaults: &Defaults,
        definition: &mut Definition,
    ) -> Sandbox {
        let root = self.root(group, kind, member);
        let mut sandbox = Sandbox::new(kind, ImageRef::Builtin("base".to_owned()));
        set(&mut sandbox.root, root);
        set(&mut sandbox.upper, self.size(group, "upper", "upper"));
        set(&mut sandbox.cpus, self.cpus(group));
        set(&mut sandbox.memory, self.memory(group));
        sandbox.driver = self.driver(group).unwrap_or(defaults.driver);
        if self.choice(group, "security", "security") == Some("restricted") {
            sandbox.security = Security::Restricted;
        }
        sandbox.log_level = self.choice(group, "log-level", "log-level").map(|level| match level {
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            _ => LogLevel::Info,
        });
        sandbox.labels = self.labels(group, defaults.labels.clone());
        self.lifecycle(group, &mut sandbox, definition);
        self.restart(group, &mut sandbox, member);
        self.timers(group, &mut sandbox, member);
        sandbox.metrics = self.metrics(group);
        self.process(group, &mut sandbox, member);
        self.gate(group, &mut sandbox);
        self.health(group, &mut sandbox, member);
        sandbox
    }

    pub(super) fn driver(&mut self, group: &Group<'_>) -> Option<DriverChoice> {
        Some(match self.choice(group, "driver", "driver")? {
            "krun" => DriverChoice::Krun,
            "qemu" => DriverChoice::Qemu,
            _ => DriverChoice::Auto,
        })
    }

    fn cpus(&mut self, group: &Group<'_>) -> Option<Cpus> {
        let (item, inner) = self.group(group, "cpus")?;
        let (scalar, ty) = Self::principal(item, inner)?;
        // Zero has a problem of its own below, and is not offered by the others.
        let (least, most) = bounds(ty);
        let read = value::count(scalar, (least, most));
        let count = self.take(read.or_else(|_| value::count(scalar, (1, most))));
        self.note("cpus.count", item.at);
        let max = self.scalar(inner, "max", "cpus.max").map(|(max, ty)| {
            let read = value::count(max, bounds(ty));
            (self.take(read), max.span)
        });
        let count = count?;
        if count == 0 {
            let message = "a machine has at least one processor";
            self.error(Code::SANDBOX_ZERO_CPUS, message, scalar.span, "write 1 or more");
            return None;
        }
        let max = match max {
            None => count,
            Some((max, at)) => self.not_below(max?, at, count, scalar)?,
        };
        Some(Cpus { count: u8::try_from(count).ok()?, max: u8::try_from(max).ok()? })
    }

    fn memory(&mut self, group: &Group<'_>) -> Option<Memory> {
        let (item, inner) = self.group(group, "memory")?;
        let (scalar, ty) = Self::principal(item, inner)?;
        let read = value::size(scalar, bounds(ty));
        let size = self.take(read);
        self.note("memory.size", item.at);
        let max = self.scalar(inner, "max", "memory.max").map(|(max, ty)| {
            let read = value::size(max, bounds(ty));
            (self.take(read), max.span)
        });
        let size = size?;
        if size == Bytes(0) {
            let message = "a machine has memory";
            self.error(Code::SANDBOX_ZERO_MEMORY, message, scalar.span, "write \"64MiB\" or more");
            return None;
        }
        let (_, most) = bounds(ty);
        let read = value::size(scalar, (MEMORY_MIN.0, most));
        let size = self.take(read)?;
        let max = match max {
            None => size,
            Some((max, at)) => Bytes(self.not_below(max?.0, at, size.0, scalar)?),
        };
        Some(Memory { size, max })
    }

    /// Holds a `max` to being no less than its value.
    fn not_below(&mut self, max: u64, at: Span, value: u64, scalar: &Scalar<'_>) -> Option<u64> {
        if max >= value {
            return Some(max);
        }
        let message = "`max` is below the value";
        let text = shown(scalar.told());
        let problem = Problem::error(Code::RULE_MAX_BELOW_VALUE, message, at)
            .related(scalar.span, "the value is here")
            .help(format!("raise max to {text} or more, or leave it out"));
        self.problems.push(problem);
        None
    }
}

/// The least memory that a guest boots with.
const MEMORY_MIN: Bytes = Bytes::mib(64);
