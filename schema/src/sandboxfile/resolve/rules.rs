//! The rules of a network, one by one.

use super::decode::Decoder;
use super::secrets::scalar;
use crate::project::network::{
    Action, Direction, PortError, PortSet, Protocols, Rule, RuleError, RuleParts, Target,
    TargetError,
};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::keys::{Shape, Type};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Scalar;
use crate::sandboxfile::value;

impl Decoder<'_, '_> {
    /// Reads the rules, in the order in which they are written.
    pub(super) fn rules(&mut self, network: &Group<'_>) -> Vec<Rule> {
        let Some(item) = network.get("rules") else { return Vec::new() };
        let Content::Tagged(members) = &item.content else { return Vec::new() };
        self.note("network.rules", item.at);
        if members.len() > RULES_MAX {
            let message = format!("there are more than {RULES_MAX} rules");
            self.error(Code::VALUE_RANGE, message, item.at, "join some of them");
            return Vec::new();
        }
        let mut rules = Vec::with_capacity(members.len());
        for (index, member) in members.iter().enumerate() {
            self.note_with(|| format!("network.rules.{index}"), member.at);
            rules.extend(self.rule(member));
        }
        rules
    }

    fn rule(&mut self, member: &Member<'_>) -> Option<Rule> {
        let group = member.group()?;
        let target = self.rule_target(member, group.principal.as_ref()?);
        let direction = self.word(group, "direction");
        let protocol = self.word(group, "protocol");
        let ports = match group.get("ports").map(scalar) {
            Some(scalar) => self.port_set(scalar?),
            None => Some(PortSet::any()),
        };
        if !group.dropped.is_empty() {
            return None;
        }
        let parts = RuleParts {
            action: if member.name == "deny" { Action::Deny } else { Action::Allow },
            direction: match direction? {
                "ingress" => Direction::Ingress,
                _ => Direction::Egress,
            },
            target: target?,
            protocol: match protocol? {
                "tcp" => Protocols::Tcp,
                "udp" => Protocols::Udp,
                "icmp" => Protocols::Icmp,
                _ => Protocols::Any,
            },
            ports: ports?,
        };
        Rule::new(parts).map_err(|error| self.no_rule(member, group, error)).ok()
    }

    /// Reads one of the words of a rule's property; empty where it is not written.
    fn word(&mut self, group: &Group<'_>, name: &str) -> Option<&'static str> {
        let Some(item) = group.get(name) else { return Some("") };
        let (Some(scalar), Shape::Scalar(Type::Choice(words))) = (scalar(item), item.key.shape)
        else {
            return None;
        };
        self.take(value::choice(scalar, name, words))
    }

    /// Reads a set of ports.
    pub(super) fn port_set(&mut self, scalar: &Scalar<'_>) -> Option<PortSet> {
        let help = "write ports and ranges joined by commas, such as \"80,8000-8009\", or \"any\"";
        let (rule, near) = (PortSet::parse, PortError::nearest);
        self.take(value::near(scalar, Code::VALUE_PORT, rule, near, help))
    }

    fn rule_target(&mut self, member: &Member<'_>, scalar: &Scalar<'_>) -> Option<Target> {
        let text = self.take(value::text(scalar, usize::MAX))?;
        let error = match Target::parse(text) {
            Ok(target) => return Some(target),
            Err(error) => error,
        };
        let code = match &error {
            TargetError::Cidr(_) => Code::VALUE_CIDR,
            TargetError::NoGroup(_) | TargetError::Port { .. } | TargetError::Host(_) => {
                Code::VALUE_HOST_PATTERN
            }
        };
        if let Some(written) = &scalar.written {
            let message = format!("what `{}` becomes is no target", shown(written));
            self.error(code, message, scalar.span, GROUPS_HELP);
            return None;
        }
        let problem = Problem::error(code, shown(&error.to_string()), scalar.span);
        let problem = match &error {
            TargetError::Port { target, port, .. } => {
                let (tag, target) = (&member.name, shown(target));
                problem.help(if self.is_yaml(scalar.span) {
                    format!("write ports={port}: {{{tag}: \"{target}\", ports: {port}}}")
                } else {
                    format!("write ports={port}: {tag} \"{target}\" ports={port}")
                })
            }
            TargetError::NoGroup(_) => near(problem, error.nearest(), GROUPS_HELP),
            TargetError::Cidr(error) => near(problem, error.nearest(), NET_HELP),
            TargetError::Host(error) => near(problem, error.nearest(), HOST_HELP),
        };
        self.problems.push(problem);
        None
    }

    fn no_rule(&mut self, member: &Member<'_>, group: &Group<'_>, error: RuleError) {
        let (name, help) = match error {
            RuleError::IcmpPorts => ("ports", "leave `ports` out, or write tcp or udp"),
            RuleError::IcmpIngress => ("direction", "leave `direction` out, or write tcp or udp"),
            RuleError::IngressHost => {
                ("direction", "write the address, the network or the group of the peer")
            }
        };
        let at = group.get(name).map_or(member.at, |item| item.at);
        let other = match error {
            RuleError::IcmpPorts | RuleError::IcmpIngress => group.get("protocol").map(|i| i.at),
            RuleError::IngressHost => group.principal.as_ref().map(|scalar| scalar.span),
        };
        let message = error.to_string();
        match other {
            Some(other) => self.conflict(&message, (at, other), help),
            None => self.error(Code::SCHEMA_CONFLICT, message, at, help),
        }
    }
}

fn near(problem: Problem, near: Option<String>, help: &str) -> Problem {
    match near {
        Some(near) => problem.nearest(Some(&near)).help(format!("write \"{}\"", shown(&near))),
        None => problem.help(help),
    }
}

const RULES_MAX: usize = 1024;
const GROUPS_HELP: &str = "write any, public, private, loopback, link-local, metadata, multicast or \
                           host, an address, or a name of two labels or more; a sandbox is reached \
                           by `connect`";
const NET_HELP: &str = "write an address, or a network such as \"10.0.0.0/8\"";
const HOST_HELP: &str = "write a DNS name of two labels or more, or *. and a suffix";
