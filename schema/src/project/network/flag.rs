//! A rule as the command line writes it: `TARGET[:PORTS][/tcp|/udp|/icmp]`.

use super::{
    Action, Direction, PortError, PortSet, Protocol, Protocols, Rule, RuleError, RuleParts, Target,
    TargetError,
};

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleTextError {
    /// What stands before ports and protocol is no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// What stands behind the target are no ports.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// What stands behind the last slash is no protocol.
    #[error("`{0}` is no protocol; there are tcp, udp and icmp")]
    Protocol(String),
    /// Brackets are about an IPv6 address, and have two ends.
    #[error("brackets hold an IPv6 address or network, and ports stand behind them")]
    Brackets,
    /// An IPv6 address has ports behind it, or is none.
    #[error("`{0}` is no IPv6 address; with ports behind it, it stands in brackets: `[::1]:443`")]
    Bare(String),
    /// Its parts do not go together.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl RuleTextError {
    /// Returns what to write in the place of the part that was refused, where that is known.
    #[must_use]
    pub fn nearest(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.nearest(),
            Self::Ports(error) => error.nearest(),
            Self::Protocol(_) | Self::Brackets | Self::Bare(_) | Self::Rule(_) => None,
        }
    }
}

impl Rule {
    /// Reads a rule of the command line, where the flag says what it does and which way.
    ///
    /// # Errors
    /// [`RuleTextError`] names the part that is wrong.
    pub fn read(action: Action, direction: Direction, text: &str) -> Result<Self, RuleTextError> {
        let (rest, protocol) = protocol(text)?;
        let (target, ports) = target_and_ports(rest)?;
        let ports = ports.map_or_else(|| Ok(PortSet::any()), PortSet::parse)?;
        Ok(Self::new(RuleParts { action, direction, target, protocol, ports })?)
    }
}

/// Takes the protocol from the end, where one is written; what is left may be a network.
fn protocol(text: &str) -> Result<(&str, Protocols), RuleTextError> {
    let Some((rest, word)) = text.rsplit_once('/') else { return Ok((text, Protocols::Any)) };
    match Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == word) {
        Some(Protocol::Tcp) => Ok((rest, Protocols::Tcp)),
        Some(Protocol::Udp) => Ok((rest, Protocols::Udp)),
        Some(Protocol::Icmp) => Ok((rest, Protocols::Icmp)),
        // A URL is told by what it is, and bits of a network are digits.
        None if !text.contains("//") && word.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Err(RuleTextError::Protocol(word.to_owned()))
        }
        None => Ok((text, Protocols::Any)),
    }
}

fn target_and_ports(text: &str) -> Result<(Target, Option<&str>), RuleTextError> {
    if let Some(inner) = text.strip_prefix('[') {
        let (inner, behind) = inner.split_once(']').ok_or(RuleTextError::Brackets)?;
        let ports = match behind.strip_prefix(':') {
            Some(ports) => Some(ports),
            None if behind.is_empty() => None,
            None => return Err(RuleTextError::Brackets),
        };
        let target = Target::parse(inner)?;
        let is_v6 = matches!(target, Target::Net(_)) && inner.contains(':');
        return if is_v6 { Ok((target, ports)) } else { Err(RuleTextError::Brackets) };
    }
    match text.split_once(':') {
        Some(_) if text.contains("//") => Ok((Target::parse(text)?, None)),
        Some((_, behind)) if behind.contains(':') => match Target::parse(text) {
            Ok(target) => Ok((target, None)),
            Err(_) => Err(RuleTextError::Bare(text.to_owned())),
        },
        Some((target, ports)) => Ok((Target::parse(target)?, Some(ports))),
        None => Ok((Target::parse(text)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, RuleTextError> {
        Rule::read(Action::Allow, Direction::Egress, text).map(|rule| rule.to_string())
    }

    #[test]
    fn a_rule_of_the_command_line_is_a_target_with_ports_and_a_protocol() {
        for (text, rule) in [
            ("any", "allow any"),
            ("public:443", "allow public tcp+udp/443"),
            ("*.Pypi.example:443/tcp", "allow *.pypi.example tcp/443"),
            ("a.example/udp", "allow a.example udp"),
            ("a.example:80,8000-8009,443/tcp", "allow a.example tcp/80,443,8000-8009"),
            ("10.0.0.0/8", "allow 10.0.0.0/8"),
            ("10.0.0.0/8/icmp", "allow 10.0.0.0/8 icmp"),
            ("10.0.0.0/8:22/tcp", "allow 10.0.0.0/8 tcp/22"),
            ("1.1.1.1:any", "allow 1.1.1.1"),
            ("::1", "allow ::1"),
            ("fd00::/8/udp", "allow fd00::/8 udp"),
            ("[::1]", "allow ::1"),
            ("[2606:4700::1111]:53/udp", "allow 2606:4700::1111 udp/53"),
            ("[fd00::/8]:80-81", "allow fd00::/8 tcp+udp/80-81"),
            ("host:5432", "allow host tcp+udp/5432"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(rule), "{text}");
        }
        let ingress = Rule::read(Action::Deny, Direction::Ingress, "10.0.0.0/8:80/tcp").unwrap();
        assert_eq!(ingress.to_string(), "deny ingress 10.0.0.0/8 tcp/80");
    }

    #[test]
    fn what_is_no_rule_says_which_part_is_wrong() {
        for (text, said, near) in [
            ("", "neither a group", None),
            ("pubilc:443", "neither a group", Some("public")),
            ("db:5432", "neither a group", None),
            ("localhost:5432", "neither a group", Some("host")),
            ("a.example:https", "`https` is not a port", None),
            ("a.example:0443", "leading zeros", Some("443")),
            ("a.example:80, 443", "without blanks", Some("80,443")),
            ("a.example:", "is not a port", None),
            ("a.example/sctp", "tcp, udp and icmp", None),
            ("a.example/TCP", "tcp, udp and icmp", None),
            ("any:80/icmp", "icmp has no ports", None),
            ("10.0.0.5/8", "within the network 10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.0.0.0/33:443", "0 to 32 bits", None),
            ("fe80::1:80-90", "stands in brackets", None),
            ("[::1", "brackets hold", None),
            ("[::1]443", "brackets hold", None),
            ("[a.example]:443", "brackets hold", None),
            ("[10.0.0.1]:443", "brackets hold", None),
            ("https://a.example/x", "is a URL", Some("a.example")),
            ("https://a.example:8443/tcp", "is a URL", Some("a.example")),
            ("*.com:443", "two labels", None),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
            assert_eq!(error.nearest().as_deref(), near, "{text}: {error}");
        }
        let peer = Rule::read(Action::Deny, Direction::Ingress, "a.example").unwrap_err();
        assert!(peer.to_string().contains("the peer's address"), "{peer}");
    }
}
