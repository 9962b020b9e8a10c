//! Where somebody wants to connect: `HOST:PORT[/tcp|/udp]`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use schema::project::Transport;
use schema::project::network::{HostError, HostPattern, PortRange};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) protocol: Transport,
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// An address.
    Address(IpAddr),
    /// A name, in ASCII and lower case.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

const FORM: &str = "write HOST:PORT[/tcp|/udp], such as api.example:443 or [::1]:53/udp";

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("//") {
            return Err(format!("it is a URL; {FORM}"));
        }
        let (rest, protocol) = match text.rsplit_once('/') {
            None => (text, Transport::Tcp),
            Some((rest, "tcp")) => (rest, Transport::Tcp),
            Some((rest, "udp")) => (rest, Transport::Udp),
            Some((_, word)) => return Err(format!("`{word}` is neither tcp nor udp; {FORM}")),
        };
        if let Ok(address) = rest.trim_matches(['[', ']']).parse::<IpAddr>() {
            let whole = SocketAddr::new(address, 443).to_string();
            return Err(format!("its port is missing; write `{whole}`"));
        }
        let (host, port) =
            rest.rsplit_once(':').ok_or_else(|| format!("its port is missing; {FORM}"))?;
        let port = PortRange::parse(port).map_err(|error| format!("{error}; {FORM}"))?;
        if port.count() > 1 {
            return Err(format!("one connection has one port, not {port}"));
        }
        Ok(Self { host: Host::parse(host)?, port: port.first(), protocol })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(inner) = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            let address: Result<IpAddr, _> = inner.parse();
            let address = address.map_err(|_| format!("`{inner}` is no IPv6 address; {FORM}"))?;
            return Ok(Self::Address(address.to_canonical()));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text.contains(':') {
            return Err(format!("an IPv6 address stands in brackets; {FORM}"));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        match HostPattern::parse(name) {
            Ok(pattern) if !pattern.is_wildcard() => Ok(Self::Name(pattern.as_str().to_owned())),
            Ok(pattern) => Err(format!("`{pattern}` is many hosts; name one of them")),
            Err(HostError::SingleLabel(label)) => Ok(Self::Name(label.to_ascii_lowercase())),
            Err(error) => Err(format!("{error}; {FORM}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_host_a_port_and_what_carries_it() {
        for (text, host, port, protocol) in [
            ("api.acme.example:443", "api.acme.example", 443, Transport::Tcp),
            ("API.acme.example.:443/tcp", "api.acme.example", 443, Transport::Tcp),
            ("bücher.example:80", "xn--bcher-kva.example", 80, Transport::Tcp),
            ("db:5432", "db", 5432, Transport::Tcp),
            ("1.1.1.1:53/udp", "1.1.1.1", 53, Transport::Udp),
            ("[2606:4700::1111]:53/udp", "2606:4700::1111", 53, Transport::Udp),
            ("[::ffff:1.1.1.1]:80", "1.1.1.1", 80, Transport::Tcp),
        ] {
            let read: Destination = text.parse().unwrap();
            assert_eq!((read.host.to_string().as_str(), read.port), (host, port), "{text}");
            assert_eq!(read.protocol, protocol, "{text}");
        }
    }

    #[test]
    fn what_is_no_destination_says_what_is_missing() {
        for (text, said) in [
            ("api.acme.example", "its port is missing"),
            ("1.1.1.1", "write `1.1.1.1:443`"),
            ("::1", "write `[::1]:443`"),
            ("[::1]", "write `[::1]:443`"),
            ("::1:443:x", "is not a port"),
            ("fe80::zz:443", "stands in brackets"),
            ("[fe80::zz]:443", "is no IPv6 address"),
            ("https://a.example:443", "it is a URL"),
            ("a.example:https", "`https` is not a port"),
            ("a.example:0", "ports are 1 to 65535"),
            ("a.example:80-90", "one port"),
            ("a.example:443/icmp", "neither tcp nor udp"),
            ("*.a.example:443", "many hosts"),
            ("a..example:443", "is not the name of hosts"),
            (":443", "is not the name of hosts"),
            ("", "its port is missing"),
        ] {
            let error = text.parse::<Destination>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
