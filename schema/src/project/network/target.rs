//! What a rule is about: any address, a group of them, a network, or hosts by name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::host::port_behind;
use super::{Cidr, CidrError, Group, HostError, HostPattern};
use crate::sandboxfile::problem::nearest;

/// Why a text is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is one word, and no group is called so.
    #[error("`{0}` is neither a group of addresses nor the name of hosts")]
    NoGroup(String),
    /// A port stands behind a target.
    #[error("`{text}` has a port behind it; a rule names ports apart")]
    Port {
        /// What was written.
        text: String,
        /// What stands before the port.
        target: String,
        /// The port.
        port: String,
    },
    /// It looks like an address and is none.
    #[error(transparent)]
    Cidr(#[from] CidrError),
    /// It looks like the name of hosts and is none.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl TargetError {
    /// Returns a valid text near to the one that was refused, where there is one.
    #[must_use]
    pub fn nearest(&self) -> Option<String> {
        match self {
            Self::NoGroup(word) => near_group(word).map(str::to_owned),
            Self::Port { .. } => None,
            Self::Cidr(error) => error.nearest(),
            Self::Host(error) => error.nearest(),
        }
    }
}

/// Returns the group, or `any`, that a word was probably meant to be.
fn near_group(word: &str) -> Option<&'static str> {
    match word {
        "*" | "all" | "*.*" => Some(Target::ANY),
        "localhost" => Some(Group::Host.as_str()),
        "internet" => Some(Group::Public.as_str()),
        _ => {
            let groups = Group::ALL.into_iter().map(Group::as_str);
            nearest(&word.to_lowercase(), groups.chain([Target::ANY]))
        }
    }
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// Any address.
    Any,
    /// The addresses of a group.
    Group(Group),
    /// An address, or the addresses of a network.
    Net(Cidr),
    /// The addresses that the machine was given for a name.
    Host(HostPattern),
}

impl Target {
    /// The word for any address.
    pub const ANY: &'static str = "any";

    /// Reads `any`, a group, an address, a network or a pattern of host names.
    ///
    /// # Errors
    /// [`TargetError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text == Self::ANY {
            return Ok(Self::Any);
        }
        if let Some(group) = Group::parse(text) {
            return Ok(Self::Group(group));
        }
        if let Some((target, port)) = port_behind(text) {
            let inner = target.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
            let one = inner.is_some() || !target.contains(':');
            let target = inner.unwrap_or(target);
            if one && (Self::parse(target).is_ok() || !target.contains(['.', ':', '/'])) {
                let (target, port) = (target.to_owned(), port.to_owned());
                return Err(TargetError::Port { text: text.to_owned(), target, port });
            }
        }
        if looks_like_an_address(text) {
            return Ok(Self::Net(Cidr::parse(text)?));
        }
        match HostPattern::parse(text) {
            Ok(pattern) => Ok(Self::Host(pattern)),
            Err(HostError::SingleLabel(_)) => Err(TargetError::NoGroup(text.to_owned())),
            Err(HostError::Star(_) | HostError::NotAName(_)) if !text.contains('.') => {
                Err(TargetError::NoGroup(text.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells an address that is meant from a name: it has colons, or digits where a name has its top.
fn looks_like_an_address(text: &str) -> bool {
    let head = text.split('/').next().unwrap_or_default();
    let top = head.rsplit('.').next().unwrap_or_default();
    let scheme = text.contains("://");
    !scheme && (head.contains(':') || (!top.is_empty() && top.bytes().all(|b| b.is_ascii_digit())))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(Self::ANY),
            Self::Group(group) => group.fmt(f),
            Self::Net(cidr) => cidr.fmt(f),
            Self::Host(pattern) => pattern.fmt(f),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;
    fn try_from(text: String) -> Result<Self, TargetError> {
        Self::parse(&text)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_n1_a_target_is_any_a_group_a_network_or_hosts() {
        let kind = |text: &str| match Target::parse(text).unwrap() {
            Target::Any => "any",
            Target::Group(_) => "group",
            Target::Net(_) => "net",
            Target::Host(_) => "host",
        };
        for (text, expected) in [
            ("any", "any"),
            ("public", "group"),
            ("link-local", "group"),
            ("10.0.0.0/8", "net"),
            ("169.254.169.254", "net"),
            ("fd00::/8", "net"),
            ("::1", "net"),
            ("api.acme.example", "host"),
            ("*.pypi.example", "host"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
        for group in Group::ALL {
            assert_eq!(Target::parse(group.as_str()), Ok(Target::Group(group)));
        }
    }

    #[test]
    fn sf_n1_what_is_no_target_says_which_rule_it_broke() {
        for (text, expected) in [
            ("pubilc", "neither a group"),
            ("*", "neither a group"),
            ("localhost", "neither a group"),
            ("", "neither a group"),
            ("host:443", "has a port behind it"),
            ("db:5432", "has a port behind it"),
            ("a.example:443", "has a port behind it"),
            ("10.0.0.1:443", "has a port behind it"),
            ("[::1]:443", "has a port behind it"),
            ("10.0.0.256", "not an address"),
            ("10.0.0.0/33", "0 to 32 bits"),
            ("10.0.0.5/8", "within the network 10.0.0.0/8"),
            ("::1/129", "0 to 128 bits"),
            ("fe80:::1", "not an address"),
            ("*.com", "two labels or more"),
            ("https://a.example", "is a URL"),
            ("a.*.example", "not at the front"),
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
