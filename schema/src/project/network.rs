//! What a machine may reach over the network, who may reach it, and how it is watched.

mod cidr;
mod dns;
mod flag;
mod group;
mod host;
mod ports;
mod rule;
mod target;
mod tls;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use cidr::WRAPPINGS;
pub use cidr::{Cidr, CidrError};
pub use dns::{Dns, ServerError};
pub use flag::RuleTextError;
pub use group::Group;
pub use host::{HostError, HostPattern};
pub use ports::{PortError, PortRange, PortSet};
pub use rule::{Action, Direction, Protocol, Protocols, Rule, RuleError, RuleParts};
pub use target::{Target, TargetError};
pub use tls::{Authority, Tls};

use crate::units::Rate;

/// The network of one sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// What holds where no rule does.
    pub preset: Preset,
    /// What is allowed and denied before that; the first match wins.
    pub rules: Vec<Rule>,
    /// How names are looked up.
    pub dns: Dns,
    /// How much may pass.
    pub limits: Limits,
    /// What is done with TLS.
    pub tls: Tls,
}

/// What holds where no rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// There is no network device.
    Off,
    /// Nothing is allowed.
    None,
    /// Public addresses are allowed.
    #[default]
    Public,
    /// Public and private addresses are allowed.
    Private,
    /// Everything is allowed but metadata services.
    Open,
}

impl Preset {
    /// Every preset, the narrowest first.
    pub const ALL: [Self; 5] = [Self::Off, Self::None, Self::Public, Self::Private, Self::Open];

    /// Returns the preset as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::None => "none",
            Self::Public => "public",
            Self::Private => "private",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Out of the guest; `None` is without limit.
    pub egress: Option<Rate>,
    /// Into the guest; `None` is without limit.
    pub ingress: Option<Rate>,
    /// Connections at a time.
    pub max_connections: u16,
}

impl Limits {
    /// Connections at a time where the file does not say.
    pub const MAX_CONNECTIONS: u16 = 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self { egress: None, ingress: None, max_connections: Self::MAX_CONNECTIONS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_network_reads_back_the_same() {
        let mut network = Network { preset: Preset::None, ..Network::default() };
        network.dns.servers = vec!["1.1.1.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()];
        network.limits.egress = Some(Rate(1 << 20));
        network.tls.bypass.push(HostPattern::parse("*.bank.example").unwrap());
        for target in ["any", "public", "10.0.0.0/8", "2001:db9::1", "*.acme.example"] {
            let parts = RuleParts::allow(Target::parse(target).unwrap());
            network.rules.push(Rule::new(parts).unwrap());
        }
        let text = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), network);
        assert!(text.contains(r#""target":"*.acme.example","protocol":"any","ports":"any""#));
    }

    #[test]
    fn sf_3_6_nothing_written_is_the_public_preset() {
        let network = Network::default();
        assert_eq!(network.preset, Preset::Public);
        assert!(network.dns.rebind_protection && network.tls.block_quic && !network.tls.intercept);
        assert_eq!(network.tls.ports, [443]);
        assert_eq!((network.dns.timeout, network.limits.max_connections), (Dns::TIMEOUT, 1024));
    }
}
