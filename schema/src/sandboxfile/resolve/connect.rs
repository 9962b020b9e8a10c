//! The ways to siblings.

use std::collections::BTreeMap;

use super::decode::{Decoder, Noting};
use super::project::{Sandboxes, identity};
use super::secrets::scalar;
use crate::name::SandboxName;
use crate::project::network::Preset;
use crate::project::{Connect, Sandbox};
use crate::sandboxfile::document::{Group, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Span;
use crate::sandboxfile::value;

/// What is known of the sandboxes that may be reached: where one says that it has no network.
type Siblings = BTreeMap<SandboxName, Option<Span>>;

impl Decoder<'_, '_> {
    /// Reads which siblings every sandbox reaches.
    pub(super) fn connect_all(&mut self, sandboxes: &mut Sandboxes<'_, '_>) {
        let siblings: Siblings = sandboxes
            .iter()
            .map(|(name, read)| {
                let first = read.bodies.iter().next().zip(read.sandboxes.first());
                let off = first.and_then(|(group, sandbox)| no_network(group, sandbox));
                (name.clone(), off)
            })
            .collect();
        for (name, read) in sandboxes {
            self.begin(format!("sandbox.{name}"));
            for (group, sandbox) in read.bodies.iter().zip(&mut read.sandboxes) {
                let members = group.members("connect");
                let mut aliases = own_names(name, sandbox);
                for member in members {
                    let Some((target, connect)) = self.connect(name, member, &siblings) else {
                        continue;
                    };
                    self.note_with(|| format!("connect.{target}"), member.at);
                    self.alias(member, &connect.alias, &mut aliases);
                    sandbox.connect.insert(target, connect);
                }
                self.noting(Noting::Off);
            }
            self.noting(Noting::On);
        }
    }

    fn connect(
        &mut self,
        name: &SandboxName,
        member: &Member<'_>,
        siblings: &Siblings,
    ) -> Option<(SandboxName, Connect)> {
        let group = member.group()?;
        let Some((target, off)) = siblings.get_key_value(member.name.as_ref()) else {
            let known = siblings.keys().map(SandboxName::as_str);
            let problem = value::unknown_reference("sandbox or job", &identity(member), known);
            self.problems.push(problem);
            return None;
        };
        if target == name {
            let message = format!("`{name}` connects to itself");
            let help = "leave it out; a guest reaches itself at localhost";
            self.error(Code::SCHEMA_CONFLICT, message, member.at, help);
            return None;
        }
        if let Some(preset) = off {
            let message = format!("`{target}` has no network to be reached by");
            let problem = Problem::error(Code::RULE_NETWORK_OFF, message, member.at)
                .related(*preset, "its preset is here")
                .help("give it another preset, such as \"none\", or leave `connect` out");
            self.problems.push(problem);
        }
        if !group.mentions("ports") {
            let message = format!("`connect` to `{target}` says no ports");
            let help = "add `ports`, such as 5432, \"80,443\" or \"any\"";
            self.error(Code::SCHEMA_MISSING_KEY, message, member.at, help);
        }
        let ports = self.port_set(scalar(group.get("ports")?)?);
        let alias = match group.get("as") {
            None => Some(target.clone()),
            Some(item) => self.name(scalar(item)?, SandboxName::parse),
        };
        Some((target.clone(), Connect { ports: ports?, alias: alias? }))
    }

    /// Holds the names that a guest knows apart.
    fn alias(
        &mut self,
        member: &Member<'_>,
        alias: &SandboxName,
        taken: &mut BTreeMap<String, Option<Span>>,
    ) {
        let at = member.group().and_then(|group| group.get("as")).map_or(member.at, |as_| as_.at);
        match taken.get(alias.as_str()) {
            None => _ = taken.insert(alias.to_string(), Some(at)),
            Some(Some(first)) => {
                let message = format!("two siblings would be called `{}`", shown(alias.as_str()));
                self.conflict(&message, (at, *first), "give one another name with `as`");
            }
            Some(None) => {
                let message = format!("`{alias}` is what the sandbox is called itself");
                self.error(Code::SCHEMA_CONFLICT, message, at, "give it another name with `as`");
            }
        }
    }
}

/// Returns the names under which a guest finds itself.
fn own_names(name: &SandboxName, sandbox: &Sandbox) -> BTreeMap<String, Option<Span>> {
    let own = [Some(name.to_string()), sandbox.hostname.clone(), Some("localhost".to_owned())];
    own.into_iter().flatten().map(|own| (own, None)).collect()
}

/// Returns where a sandbox says that it has no network, if it has none.
fn no_network(group: &Group<'_>, sandbox: &Sandbox) -> Option<Span> {
    if sandbox.network.preset != Preset::Off {
        return None;
    }
    group.group("network").and_then(|(_, network)| network.get("preset")).map(|item| item.at)
}
