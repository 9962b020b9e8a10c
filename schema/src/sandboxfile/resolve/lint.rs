//! What of a network is probably not what was meant: rules that decide nothing, names that nobody
//! may look up.

use std::collections::HashSet;

use super::decode::Decoder;
use crate::policy::{Idle, idle, opens_addresses_alone};
use crate::project::network::{Network, Preset};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Span;

/// The networks that were looked at: most sandboxes have that of the whole file.
#[derive(Debug, Default)]
pub(super) struct Linted(HashSet<Known>);

/// What tells networks apart: where their rules are written, and what else decides.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Known {
    rules: Vec<Span>,
    preset: Preset,
    tls_ports: Vec<u16>,
    block_quic: bool,
    rebind_protection: bool,
}

impl Linted {
    /// Tells whether a network of these rules is seen for the first time.
    fn is_new(&mut self, rules: &[Member<'_>], network: &Network) -> bool {
        self.0.insert(Known {
            rules: rules.iter().map(|member| member.at).collect(),
            preset: network.preset,
            tls_ports: network.tls.ports.clone(),
            block_quic: network.tls.block_quic,
            rebind_protection: network.dns.rebind_protection,
        })
    }
}

impl Decoder<'_, '_> {
    /// Warns of rules that decide nothing, in a network that was read without a problem; tells
    /// whether that network is looked at for the first time.
    pub(super) fn lint(
        &mut self,
        group: &Group<'_>,
        network: &Network,
        linted: &mut Linted,
    ) -> bool {
        let Some(Content::Tagged(members)) = group.get("rules").map(|item| &item.content) else {
            return false;
        };
        let all_read = members.len() == network.rules.len();
        if !all_read || network.preset == Preset::Off || !linted.is_new(members, network) {
            return false;
        }
        for (index, why) in idle(network) {
            let Some(member) = members.get(index) else { continue };
            let problem = self.idle(group, member, (members, network, index), why);
            self.problems.push(problem);
        }
        true
    }

    /// Warns where only addresses are opened, which most programs do not begin with.
    pub(super) fn lint_names(&mut self, group: &Group<'_>, network: &Network) {
        let Some(item) = group.get("rules").filter(|_| opens_addresses_alone(network)) else {
            return;
        };
        let line = match self.is_yaml(item.at) {
            true => "- allow: \"api.acme.example\"",
            false => "allow \"api.acme.example\"",
        };
        let help = format!(
            "add a rule for each name that is used, such as {line}; what is reached by its address \
             needs none"
        );
        let message = "addresses are allowed, and no name may be looked up";
        let problem = Problem::warning(Code::RULE_NAMES_DENIED, message, item.at).help(help);
        let preset = group.get("preset").map(|preset| preset.at);
        self.problems.push(match preset {
            Some(preset) => problem.related(preset, "the preset is here"),
            None => problem,
        });
    }

    fn idle(
        &self,
        group: &Group<'_>,
        member: &Member<'_>,
        (members, network, index): (&[Member<'_>], &Network, usize),
        why: Idle,
    ) -> Problem {
        let rule = network.rules.get(index).map(ToString::to_string).unwrap_or_default();
        let target = network.rules.get(index).map(|rule| rule.target().to_string());
        let target = target.unwrap_or_default();
        let warning =
            |message: String| Problem::warning(Code::RULE_NEVER_MATCHES, message, member.at);
        match why {
            Idle::Decided(by) => {
                let message = format!("nothing is left for `{}` to decide", shown(&rule));
                let several = by.len() > 1;
                by.iter()
                    .filter_map(|before| members.get(*before))
                    .take(PLACES_MAX)
                    .fold(warning(message), |problem, before| {
                        let label = if several { "this decides part of it" } else { "this decides first" };
                        problem.related(before.at, label)
                    })
                    .help("move it before what decides, or delete it; the first rule that matches wins")
            }
            Idle::Unreachable => warning(format!("nobody is reached at {}", shown(&target))).help(
                "delete it; documentation, broadcast and the guest's own addresses lead nowhere",
            ),
            Idle::BlockQuic => {
                let message =
                    format!("`{}` is denied as QUIC, whatever the rule says", shown(&rule));
                let written = group.group("tls").and_then(|(_, tls)| tls.get("ports"));
                let problem = warning(message);
                let problem = match written {
                    Some(ports) => problem.related(ports.at, "TLS is expected here"),
                    None => problem,
                };
                let yaml = self.is_yaml(member.at);
                let line = if yaml { "block-quic: false" } else { "block-quic #false" };
                problem.help(format!("write `{line}` in `tls`, or another port or protocol"))
            }
        }
    }
}

/// Rules that decide before are shown up to so many.
const PLACES_MAX: usize = 5;
