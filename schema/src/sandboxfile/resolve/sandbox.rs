//! One sandbox or job: its root and its resources.

use super::decode::{Decoder, bounds};
use crate::project::{
    Cpus, DriverChoice, Image, ImageRef, Kind, Labels, LogLevel, Memory, Platform, Pull, Sandbox,
    Security,
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
        kind: Kind,
        member: &Member<'_>,
        (labels, driver): (&Labels, DriverChoice),
    ) -> Sandbox {
        let image = self.image(group, kind, member);
        let placeholder = || ImageRef::Builtin("base".to_owned());
        let reference = image.as_ref().map_or_else(placeholder, |image| image.reference.clone());
        let mut sandbox = Sandbox::new(kind, reference);
        if let Some(image) = image {
            sandbox.image = image;
        }
        sandbox.upper = self.size(group, "upper").unwrap_or(Sandbox::UPPER);
        if let Some(cpus) = self.cpus(group) {
            sandbox.cpus = cpus;
        }
        if let Some(memory) = self.memory(group) {
            sandbox.memory = memory;
        }
        sandbox.driver = self.driver(group).unwrap_or(driver);
        if self.choice(group, "security") == Some("restricted") {
            sandbox.security = Security::Restricted;
        }
        sandbox.log_level = self.choice(group, "log-level").map(|level| match level {
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            _ => LogLevel::Info,
        });
        sandbox.labels = self.labels(group, labels);
        if let Some((item, inner)) = group.group("lifecycle") {
            self.note("lifecycle", item.at);
            let protect = self.boolean(inner, "protect", "lifecycle.protect");
            sandbox.lifecycle.protect = protect.unwrap_or(false);
        }
        self.restart(group);
        self.process(group, &mut sandbox);
        self.gate(group, &mut sandbox);
        sandbox
    }

    fn image(&mut self, group: &Group<'_>, kind: Kind, member: &Member<'_>) -> Option<Image> {
        let Some((item, inner)) = self.group(group, "image") else {
            let others = ["image", "root-disk", "root-dir", "from"];
            if !others.iter().any(|name| group.mentions(name)) {
                let noun = if kind == Kind::Job { "job" } else { "sandbox" };
                let message = format!("{noun} `{}` has no image", shown(&member.name));
                let yaml = self.is_yaml(member.at);
                let help =
                    if yaml { "add image: builtin:base" } else { "add image \"builtin:base\"" };
                let help = format!("{help}, or the image that you want");
                self.error(Code::SCHEMA_MISSING_KEY, message, member.at, &help);
            }
            return None;
        };
        let (scalar, _) = Self::principal(item, inner)?;
        let help = "write HOST/PATH:TAG, such as \"ghcr.io/acme/web:1.4\"";
        let read = value::checked(scalar, Code::VALUE_IMAGE, ImageRef::parse, help);
        let reference = self.take(read);
        if let Some(ImageRef::Registry(_)) = reference
            && ImageRef::is_unpinned(&scalar.text)
        {
            self.warn_latest(scalar);
        }
        let never = self.field(inner, "image", "pull") == Some("never");
        let platform = self.field(inner, "image", "platform").map(|platform| match platform {
            "linux/arm64" => Platform::LinuxArm64,
            _ => Platform::LinuxAmd64,
        });
        let pull = if never { Pull::Never } else { Pull::Missing };
        Some(Image { reference: reference?, pull, platform })
    }

    /// Reads a choice below another key, noted as `KEY.NAME`.
    pub(super) fn field(
        &mut self,
        group: &Group<'_>,
        key: &str,
        name: &str,
    ) -> Option<&'static str> {
        let (scalar, ty) = self.scalar(group, name, &format!("{key}.{name}"))?;
        let crate::sandboxfile::keys::Type::Choice(words) = ty else { return None };
        self.take(value::choice(scalar, words))
    }

    fn warn_latest(&mut self, scalar: &Scalar<'_>) {
        let text = shown(&scalar.text);
        let message = format!("`{text}` has no tag, so it is `latest`, whatever that is today");
        let problem = Problem::warning(Code::VALUE_LATEST, message, scalar.span);
        self.problems.push(problem.help(format!("write a tag: \"{text}:TAG\"")));
    }

    fn cpus(&mut self, group: &Group<'_>) -> Option<Cpus> {
        let (item, inner) = self.group(group, "cpus")?;
        let (scalar, ty) = Self::principal(item, inner)?;
        let read = value::count(scalar, bounds(ty));
        let count = self.take(read);
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
        let text = shown(&scalar.text);
        let problem = Problem::error(Code::RULE_MAX_BELOW_VALUE, message, at)
            .related(scalar.span, "the value is here")
            .help(format!("raise max to {text} or more, or leave it out"));
        self.problems.push(problem);
        None
    }

    /// Refuses every policy but the one that is built.
    fn restart(&mut self, group: &Group<'_>) {
        let Some((item, inner)) = self.group(group, "restart") else { return };
        let Some((scalar, crate::sandboxfile::keys::Type::Choice(words))) =
            Self::principal(item, inner)
        else {
            if !inner.dropped.is_empty() {
                return;
            }
            let help = "write restart \"no\", or leave it out";
            self.error(Code::SCHEMA_SHAPE, "`restart` needs a policy", item.at, help);
            return;
        };
        let read = value::choice(scalar, words);
        if let Some(policy) = self.take(read)
            && policy != "no"
        {
            let message = format!("`restart` \"{policy}\" is not supported yet");
            let help = "write \"no\", or leave it out; `msb up` starts what has ended";
            self.error(Code::SCHEMA_NOT_YET, message, scalar.span, help);
        }
    }
}

/// The least memory that a guest boots with.
const MEMORY_MIN: Bytes = Bytes::mib(64);
