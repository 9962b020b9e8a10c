//! One rule: what it allows or denies, which way, and by which protocol and ports.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{PortSet, Target};

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It may pass.
    Allow,
    /// It may not.
    Deny,
}

impl Action {
    /// Returns the tag that the file writes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Who begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The machine.
    #[default]
    Egress,
    /// Its peer, by a published port or as a sibling.
    Ingress,
}

impl Direction {
    /// Returns the direction as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// What carries a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, which has no ports.
    Icmp,
}

impl Protocol {
    /// Every protocol there is.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    /// Returns the protocol as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// Which protocols a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocols {
    /// All of them.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
}

impl Protocols {
    /// Returns the protocols as the file writes them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }

    /// Tells whether `protocol` is among them.
    #[must_use]
    pub const fn have(self, protocol: Protocol) -> bool {
        matches!(
            (self, protocol),
            (Self::Any, _)
                | (Self::Tcp, Protocol::Tcp)
                | (Self::Udp, Protocol::Udp)
                | (Self::Icmp, Protocol::Icmp)
        )
    }
}

/// Why parts make no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// ICMP has no ports.
    #[error("icmp has no ports")]
    IcmpPorts,
    /// ICMP reaches no machine from outside.
    #[error("icmp is about egress; nothing reaches a machine by it")]
    IcmpIngress,
    /// A peer has an address, and no name.
    #[error("the target of an ingress rule is the peer's address; a name does not say that")]
    IngressHost,
}

/// What a rule is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct RuleParts {
    /// What it does.
    pub action: Action,
    /// Who begins.
    pub direction: Direction,
    /// Which far ends it is about.
    pub target: Target,
    /// By which protocols.
    pub protocol: Protocols,
    /// To which ports of who is called.
    pub ports: PortSet,
}

impl RuleParts {
    /// Returns the parts that allow all egress to `target`.
    #[must_use]
    pub fn allow(target: Target) -> Self {
        Self {
            action: Action::Allow,
            direction: Direction::Egress,
            target,
            protocol: Protocols::Any,
            ports: PortSet::any(),
        }
    }

    /// Returns the parts that deny all egress to `target`.
    #[must_use]
    pub fn deny(target: Target) -> Self {
        Self { action: Action::Deny, ..Self::allow(target) }
    }
}

/// A rule whose parts go together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RuleParts")]
pub struct Rule {
    action: Action,
    direction: Direction,
    target: Target,
    protocol: Protocols,
    ports: PortSet,
}

impl Rule {
    /// Makes a rule.
    ///
    /// # Errors
    /// [`RuleError`] says which two parts do not go together.
    pub fn new(parts: RuleParts) -> Result<Self, RuleError> {
        let RuleParts { action, direction, target, protocol, ports } = parts;
        if protocol == Protocols::Icmp && !ports.is_any() {
            return Err(RuleError::IcmpPorts);
        }
        if direction == Direction::Ingress {
            if protocol == Protocols::Icmp {
                return Err(RuleError::IcmpIngress);
            }
            if matches!(target, Target::Host(_)) {
                return Err(RuleError::IngressHost);
            }
        }
        Ok(Self { action, direction, target, protocol, ports })
    }

    /// Returns what it does.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// Returns who begins what it is about.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns which far ends it is about.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Returns which protocols it is about.
    #[must_use]
    pub const fn protocol(&self) -> Protocols {
        self.protocol
    }

    /// Returns which ports it is about.
    #[must_use]
    pub const fn ports(&self) -> &PortSet {
        &self.ports
    }
}

impl TryFrom<RuleParts> for Rule {
    type Error = RuleError;
    fn try_from(parts: RuleParts) -> Result<Self, RuleError> {
        Self::new(parts)
    }
}

/// Prints on one line: `allow *.acme.example tcp/443`, `deny ingress 10.0.0.0/8`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action.as_str())?;
        if self.direction == Direction::Ingress {
            f.write_str(" ingress")?;
        }
        write!(f, " {}", self.target)?;
        match (self.protocol, self.ports.is_any()) {
            (Protocols::Any, true) => Ok(()),
            // Only these two have ports.
            (Protocols::Any, false) => write!(f, " tcp+udp/{}", self.ports),
            (protocol, true) => write!(f, " {}", protocol.as_str()),
            (protocol, false) => write!(f, " {}/{}", protocol.as_str(), self.ports),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(direction: Direction, target: &str, protocol: Protocols, ports: &str) -> RuleParts {
        let target = Target::parse(target).unwrap();
        let ports = PortSet::parse(ports).unwrap();
        RuleParts { action: Action::Allow, direction, target, protocol, ports }
    }

    #[test]
    fn sf_3_6_what_does_not_go_together_is_no_rule() {
        use Direction::{Egress, Ingress};
        let refused = |parts| Rule::new(parts).unwrap_err();
        let icmp = Protocols::Icmp;
        assert_eq!(refused(parts(Egress, "any", icmp, "80")), RuleError::IcmpPorts);
        assert_eq!(refused(parts(Ingress, "any", icmp, "any")), RuleError::IcmpIngress);
        let named = parts(Ingress, "a.example", Protocols::Any, "any");
        assert_eq!(refused(named), RuleError::IngressHost);
        assert!(Rule::new(parts(Egress, "any", icmp, "1-65535")).is_ok(), "that is any");
        let stored = r#"{"action":"allow","direction":"egress","target":"any","protocol":"icmp","ports":"80"}"#;
        serde_json::from_str::<Rule>(stored).unwrap_err();
    }

    #[test]
    fn a_rule_reads_as_one_line() {
        use Direction::{Egress, Ingress};
        let text = |parts| Rule::new(parts).unwrap().to_string();
        for (parts, expected) in [
            (
                parts(Egress, "*.acme.example", Protocols::Tcp, "443"),
                "allow *.acme.example tcp/443",
            ),
            (parts(Egress, "any", Protocols::Any, "any"), "allow any"),
            (parts(Egress, "public", Protocols::Any, "53"), "allow public tcp+udp/53"),
            (parts(Egress, "public", Protocols::Icmp, "any"), "allow public icmp"),
            (parts(Ingress, "10.0.0.0/8", Protocols::Udp, "any"), "allow ingress 10.0.0.0/8 udp"),
        ] {
            assert_eq!(text(parts), expected);
        }
    }
}
