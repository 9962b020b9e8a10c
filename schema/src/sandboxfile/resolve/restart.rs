//! What happens when a workload ends, what is measured, and what may not be done.

use super::decode::Decoder;
use crate::change::SANDBOX_FIELDS;
use crate::name::SandboxName;
use crate::project::{
    AfterRestarts, Definition, Kind, Labels, Metrics, RestartPolicy, Sandbox, Thousandths,
};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::problem::{Code, Problem, nearest, shown};
use crate::sandboxfile::value;
use crate::units::thousandths;

impl Decoder<'_, '_> {
    /// Reads the restarts into `sandbox`.
    pub(super) fn restart(
        &mut self,
        group: &Group<'_>,
        sandbox: &mut Sandbox,
        member: &Member<'_>,
    ) {
        let Some((item, inner)) = self.group(group, "restart") else { return };
        if let Some((scalar, crate::sandboxfile::keys::Type::Choice(words))) =
            Self::principal(item, inner)
        {
            self.note("restart.policy", item.at);
            let read = value::choice(scalar, "restart", words);
            match self.take(read) {
                Some("no") => sandbox.restart.policy = RestartPolicy::No,
                Some("always") if sandbox.kind == Kind::Job => {
                    self.not_for_jobs("restart \"always\"", (scalar.span, member.at));
                }
                Some("always") => sandbox.restart.policy = RestartPolicy::Always,
                Some(_) => sandbox.restart.policy = RestartPolicy::OnFailure,
                None => {}
            }
        }
        let restart = &mut sandbox.restart;
        set(&mut restart.max, self.count(inner, "max", "restart.max"));
        set(&mut restart.window, self.duration(inner, "window", "restart.window"));
        set(&mut restart.delay, self.duration(inner, "delay", "restart.delay"));
        set(&mut restart.cap, self.duration(inner, "cap", "restart.cap"));
        set(&mut restart.factor, self.decimal(inner, "factor", ("restart.factor", 1000..=100_000)));
        set(&mut restart.jitter, self.decimal(inner, "jitter", ("restart.jitter", 0..=1000)));
        if let Some(then) = self.choice(inner, "then", "restart.then") {
            restart.then = match then {
                "recreate" => AfterRestarts::Recreate,
                _ => AfterRestarts::Stall,
            };
        }
    }

    fn decimal(
        &mut self,
        group: &Group<'_>,
        name: &str,
        (field, bounds): (&'static str, std::ops::RangeInclusive<u32>),
    ) -> Option<Thousandths> {
        let (scalar, _) = self.scalar(group, name, field)?;
        let (least, most) = (Thousandths(*bounds.start()), Thousandths(*bounds.end()));
        let rule = |text: &str| {
            let number = thousandths(text).and_then(|number| u32::try_from(number).ok());
            let number = number.ok_or_else(|| format!("`{text}` is not a number"))?;
            if bounds.contains(&number) {
                Ok(Thousandths(number))
            } else {
                Err(format!("{} is out of range", Thousandths(number)))
            }
        };
        let help = format!("write a number between {least} and {most}, with up to three decimals");
        self.take(value::checked(scalar, Code::VALUE_RANGE, rule, &help))
    }

    /// Reads how long a sandbox may be idle, and run.
    pub(super) fn timers(&mut self, group: &Group<'_>, sandbox: &mut Sandbox, member: &Member<'_>) {
        sandbox.idle_timeout = self.duration(group, "idle-timeout", "idle-timeout");
        if let (Kind::Job, Some(item)) = (sandbox.kind, group.get("idle-timeout")) {
            self.not_for_jobs("idle-timeout", (item.at, member.at));
        }
        sandbox.max_duration = self.duration(group, "max-duration", "max-duration");
    }

    /// Reads what is measured of a sandbox.
    pub(super) fn metrics(&mut self, group: &Group<'_>) -> Metrics {
        let mut metrics = Metrics::default();
        let Some((_, inner)) = self.group(group, "metrics") else { return metrics };
        set(&mut metrics.enabled, self.boolean(inner, "enabled", "metrics.enabled"));
        set(&mut metrics.labels, self.boolean(inner, "labels", "metrics.labels"));
        if let Some(interval) = self.duration(inner, "interval", "metrics.interval") {
            if interval > *Metrics::INTERVALS.end() {
                let at = inner.get("interval").map_or(self.start(), |item| item.at);
                let message = format!("{interval} is out of range");
                self.error(Code::VALUE_RANGE, message, at, "write at most \"1h\"");
            }
            metrics.interval = interval;
        }
        if let Some(item) = inner.get("exclude-labels") {
            self.note("metrics.exclude-labels", item.at);
            let keys = self.words(inner, "exclude-labels");
            metrics.exclude_labels = keys.unwrap_or_default().into_iter().collect();
        }
        metrics.attributes =
            self.constants(inner, ("attributes", "metrics.attributes"), Labels::new());
        if metrics.attributes.len() > ATTRIBUTES_MAX
            && let Some(item) = inner.get("attributes")
        {
            let message = format!("there are more than {ATTRIBUTES_MAX} attributes");
            self.error(Code::VALUE_RANGE, message, item.at, "write fewer");
        }
        metrics
    }

    /// Reads what may not be done to a sandbox, and what belongs to its name.
    pub(super) fn lifecycle(
        &mut self,
        group: &Group<'_>,
        sandbox: &mut Sandbox,
        definition: &mut Definition,
    ) {
        let Some((_, inner)) = self.group(group, "lifecycle") else { return };
        let lifecycle = &mut sandbox.lifecycle;
        set(&mut lifecycle.protect, self.boolean(inner, "protect", "lifecycle.protect"));
        set(&mut lifecycle.keep, self.boolean(inner, "keep", "lifecycle.keep"));
        if let Some((scalar, _)) = self.scalar(inner, "moved-from", "lifecycle.moved-from") {
            definition.moved_from = self.name(scalar, SandboxName::parse);
        }
        if self.choice(inner, "update", "lifecycle.update") == Some("start-first") {
            let at = inner.get("update").map_or(self.start(), |item| item.at);
            let message = "`update` \"start-first\" is not supported yet";
            let help = "write \"stop-first\", or leave it out";
            self.error(Code::SCHEMA_NOT_YET, message, at, help);
        }
        definition.ignore_drift = self.field_paths(inner);
    }

    fn field_paths(&mut self, inner: &Group<'_>) -> std::collections::BTreeSet<String> {
        let mut paths = std::collections::BTreeSet::new();
        let Some(item) = inner.get("ignore-drift") else { return paths };
        let Content::List(items) = &item.content else { return paths };
        for scalar in items {
            let read = value::text(scalar, usize::MAX).map(str::to_owned);
            let Some(path) = self.take(read) else { continue };
            let stem = |field: &'static str| field.trim_end_matches(".*");
            let known = SANDBOX_FIELDS.iter().any(|(field, _)| {
                let stem = stem(field);
                let below = |of: &str, path: &str| {
                    path.strip_prefix(of).is_some_and(|r| r.is_empty() || r.starts_with('.'))
                };
                below(stem, &path) || below(&path, stem)
            });
            if known {
                paths.insert(path);
                continue;
            }
            let near = nearest(&path, SANDBOX_FIELDS.iter().map(|(field, _)| stem(field)));
            let message = format!("a sandbox has no field `{}`", shown(&path));
            let problem = Problem::error(Code::REF_UNKNOWN, message, scalar.span);
            let help = "write the path of a field, such as \"memory.size\" or \"env.DEBUG\"";
            self.problems.push(problem.nearest(near).help(help));
        }
        paths
    }
}

const ATTRIBUTES_MAX: usize = 16;

/// Takes a value that was read.
pub(super) fn set<T>(field: &mut T, read: Option<T>) {
    if let Some(value) = read {
        *field = value;
    }
}
