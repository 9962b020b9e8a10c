//! The gate to Ready.

use super::decode::Decoder;
use crate::project::{Probe, Sandbox};
use crate::sandboxfile::document::Group;
use crate::sandboxfile::problem::{Code, Problem};

impl Decoder<'_, '_> {
    /// Reads the gate into `sandbox`: at most one probe, and a deadline.
    pub(super) fn gate(&mut self, group: &Group<'_>, sandbox: &mut Sandbox) {
        let Some((item, inner)) = self.group(group, "ready") else { return };
        if let Some(timeout) = self.duration(inner, "timeout", "ready.timeout") {
            sandbox.ready.timeout = timeout;
        }
        let probes: Vec<_> = inner.items.iter().filter(|item| item.key.name != "timeout").collect();
        if let [first, second, ..] = probes.as_slice() {
            let message = format!("`{}` and `{}` are two probes", first.key.name, second.key.name);
            let problem = Problem::error(Code::SCHEMA_CONFLICT, message, second.at)
                .related(first.at, "the other is here")
                .help("keep one; a probe of your own can ask for both");
            self.problems.push(problem);
            return;
        }
        let Some(probe) = probes.first() else {
            let only_timeout = inner.get("timeout").is_some() || !inner.dropped.is_empty();
            if !only_timeout {
                let message = "`ready` says nothing";
                let help = "write a probe, such as exec \"true\", or leave it out";
                self.error(Code::SCHEMA_MISSING_KEY, message, item.at, help);
            }
            return;
        };
        self.note("ready.probe", probe.at);
        if probe.key.name == "agent" {
            if self.boolean(inner, "agent", "ready.probe") == Some(false) {
                let message = "`agent` can only be true";
                self.error(Code::VALUE_CHOICE, message, probe.at, "leave it out");
            }
            return;
        }
        match self.words(inner, "exec") {
            Some(words) if words.first().is_some_and(|word| !word.is_empty()) => {
                sandbox.ready.probe = Probe::Exec(words);
            }
            Some(_) => {
                let help = "write a command, such as exec \"pg_isready\" \"-q\"";
                self.error(Code::SCHEMA_SHAPE, "`exec` has no command", probe.at, help);
            }
            None => {}
        }
    }
}
