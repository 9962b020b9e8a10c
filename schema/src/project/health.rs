//! How it is told that a workload is ready, and that it is still well.

use serde::{Deserialize, Serialize};

use crate::units::Millis;

/// The gate to `Ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// What must pass.
    pub probe: Probe,
    /// How long it may take.
    pub timeout: Millis,
}

/// What tells that a sandbox is still well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What must pass; never the agent or a line of the log.
    pub probe: Probe,
    /// The time between probes.
    pub interval: Millis,
    /// How long one may take.
    pub timeout: Millis,
    /// Misses in a row until it is degraded.
    pub failures: u32,
    /// Passes in a row until it is well again.
    pub successes: u32,
    /// What a degraded sandbox gets.
    pub on_unhealthy: OnUnhealthy,
}

impl Health {
    /// The time between probes where the file does not say.
    pub const INTERVAL: Millis = Millis::seconds(10);
    /// The time for one where the file does not say.
    pub const TIMEOUT: Millis = Millis::seconds(3);
    /// The misses where the file does not say.
    pub const FAILURES: u32 = 3;
    /// The passes where the file does not say.
    pub const SUCCESSES: u32 = 1;
}

/// What a degraded sandbox gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnhealthy {
    /// Nothing.
    #[default]
    None,
    /// A restart, by its policy.
    Restart,
}

impl OnUnhealthy {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Restart => "restart",
        }
    }
}

/// One question about a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// The boot is done, and the workload was started.
    Agent,
    /// This command ends with 0.
    Exec(Vec<String>),
    /// This port of the guest accepts.
    Tcp(u16),
    /// This request is answered well.
    Http(HttpProbe),
    /// The workload has written a line that matches.
    Log(String),
}

impl Probe {
    /// Returns the key that the file writes it under.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Exec(_) => "exec",
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
            Self::Log(_) => "log",
        }
    }
}

/// A request that is answered well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// The path, with its query.
    pub path: String,
    /// The port in the guest.
    pub port: u16,
    /// With TLS, unverified, or without.
    pub scheme: Scheme,
    /// The host header; `None` is the address.
    pub host: Option<String>,
    /// The answers that pass.
    pub status: StatusSet,
}

/// With TLS or without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Without.
    #[default]
    Http,
    /// With, unverified.
    Https,
}

impl Scheme {
    /// Returns the scheme as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A set of HTTP status codes, as ranges in order: `200-399`, `200,204`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// Reads codes and ranges of codes, joined by commas; each between 100 and 599.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (code(first)?, code(last)?);
            if first > last {
                return None;
            }
            ranges.push((first, last));
        }
        ranges.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Some(Self(joined))
    }

    /// Tells whether a code passes.
    #[must_use]
    pub fn has(&self, code: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

fn code(text: &str) -> Option<u16> {
    let three = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|code| three && (100..600).contains(code))
}

/// The answers that pass where the file does not say: success and redirection.
impl Default for StatusSet {
    fn default() -> Self {
        Self(vec![(200, 399)])
    }
}

impl std::fmt::Display for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for StatusSet {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a set of status codes"))
    }
}

impl From<StatusSet> for String {
    fn from(set: StatusSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_status_codes_is_joined_and_reads_back() {
        for (text, shown) in
            [("200", "200"), ("204,200", "200,204"), ("300-399,200-299,301", "200-399")]
        {
            let set = StatusSet::parse(text).unwrap();
            assert_eq!(set.to_string(), shown);
            assert_eq!(StatusSet::parse(shown), Some(set));
        }
        assert!(StatusSet::default().has(302) && !StatusSet::default().has(404));
        for bad in ["", "20", "99", "600", "300-200", "200,", "2xx"] {
            assert_eq!(StatusSet::parse(bad), None, "{bad}");
        }
    }
}
