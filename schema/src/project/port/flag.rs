//! A published port as the command line writes it: `[BIND:]HOST:GUEST[/tcp|/udp]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HostPorts, PublishedPort, Transport};
use crate::project::network::{PortError, PortRange};

/// Why a text publishes no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is one number where two are due.
    #[error("`{0}` is one port where the host's and the guest's are due")]
    Alone(String),
    /// There are more parts than an address and two ports.
    #[error("`{0}` has more parts than BIND:HOST:GUEST; an IPv6 address stands in brackets")]
    Parts(String),
    /// What stands first is no address of the host.
    #[error("`{0}` is no address of the host; names are not looked up")]
    Bind(String),
    /// What stands behind the slash carries no ports.
    #[error("`{0}` carries no published port; there are tcp and udp")]
    Protocol(String),
    /// A port is none.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The ranges are not equally long.
    #[error("{host} on the host are not as many ports as {guest} in the guest")]
    Count {
        /// The host's.
        host: PortRange,
        /// The guest's.
        guest: PortRange,
    },
}

impl PublishError {
    /// Returns what to write in the place of the part that was refused, where that is known.
    #[must_use]
    pub fn nearest(&self) -> Option<String> {
        match self {
            Self::Alone(port) => Some(format!("{port}:{port} or auto:{port}")),
            Self::Bind(text) => match text.trim_matches(['[', ']']) {
                "localhost" => Some(Ipv4Addr::LOCALHOST.to_string()),
                "" | "*" | "any" | "all" => Some(Ipv4Addr::UNSPECIFIED.to_string()),
                _ => None,
            },
            Self::Port(error) => error.nearest(),
            Self::Count { host, guest } => {
                let last = u32::from(host.first()) + guest.count() - 1;
                let last = u16::try_from(last).ok()?;
                PortRange::new(host.first(), last).map(|near| format!("{near}:{guest}"))
            }
            Self::Parts(_) | Self::Protocol(_) => None,
        }
    }
}

impl PublishedPort {
    /// Reads a published port of the command line.
    ///
    /// # Errors
    /// [`PublishError`] names the part that is wrong.
    pub fn read(text: &str) -> Result<Self, PublishError> {
        let (rest, protocol) = match text.rsplit_once('/') {
            None => (text, Transport::Tcp),
            Some((rest, "tcp")) => (rest, Transport::Tcp),
            Some((rest, "udp")) => (rest, Transport::Udp),
            Some((_, word)) => return Err(PublishError::Protocol(word.to_owned())),
        };
        let (bind, ports) = bind(rest)?;
        let Some((host, guest)) = ports.split_once(':') else {
            let port = PortRange::parse(ports)?;
            return Err(PublishError::Alone(port.to_string()));
        };
        let (host, guest) = (HostPorts::parse(host)?, PortRange::parse(guest)?);
        match host {
            HostPorts::Fixed(host) if host.count() != guest.count() => {
                Err(PublishError::Count { host, guest })
            }
            HostPorts::Fixed(_) | HostPorts::Auto => Ok(Self { protocol, bind, host, guest }),
        }
    }
}

/// Takes the address from the front, where one is written.
fn bind(text: &str) -> Result<(IpAddr, &str), PublishError> {
    if let Some(inner) = text.strip_prefix('[') {
        let parts = inner.split_once("]:");
        let (inner, ports) = parts.ok_or_else(|| PublishError::Parts(text.to_owned()))?;
        let address: Ipv6Addr =
            inner.parse().map_err(|_| PublishError::Bind(format!("[{inner}]")))?;
        let address = IpAddr::V6(address).to_canonical();
        return if ports.matches(':').count() > 1 {
            Err(PublishError::Parts(text.to_owned()))
        } else {
            Ok((address, ports))
        };
    }
    match text.matches(':').count() {
        0 | 1 => Ok((PublishedPort::BIND, text)),
        2 => {
            let (address, ports) = text.split_once(':').unwrap_or_default();
            let v4: Result<Ipv4Addr, _> = address.parse();
            v4.map(|v4| (v4.into(), ports)).map_err(|_| PublishError::Bind(address.to_owned()))
        }
        _ => Err(PublishError::Parts(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_the_command_line_is_an_address_and_two_ports() {
        for (text, key, guest) in [
            ("8080:80", "8080/tcp", "80"),
            ("8080:80/tcp", "8080/tcp", "80"),
            ("5353:53/udp", "5353/udp", "53"),
            ("auto:80", "auto:80/tcp", "80"),
            ("auto:80-89", "auto:80-89/tcp", "80-89"),
            ("8080-8081:80-81", "8080-8081/tcp", "80-81"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080/tcp", "80"),
            ("[::]:8080:80/udp", "[::]:8080/udp", "80"),
            ("[::1]:auto:80", "[::1]:auto:80/tcp", "80"),
            ("[::ffff:127.0.0.1]:8080:80", "8080/tcp", "80"),
        ] {
            let port = PublishedPort::read(text).unwrap();
            assert_eq!((port.key().as_str(), port.guest.to_string().as_str()), (key, guest));
        }
    }

    #[test]
    fn what_publishes_no_port_says_which_part_is_wrong() {
        for (text, said, near) in [
            ("80", "is one port", Some("80:80 or auto:80")),
            ("80/udp", "is one port", Some("80:80 or auto:80")),
            ("", "is not a port", None),
            ("localhost:8080:80", "names are not looked up", Some("127.0.0.1")),
            ("*:8080:80", "names are not looked up", Some("0.0.0.0")),
            ("web.example:8080:80", "names are not looked up", None),
            ("::1:8080:80", "stands in brackets", None),
            ("[::1]:8080:80:90", "stands in brackets", None),
            ("[::1]", "stands in brackets", None),
            ("[10.0.0.1]:8080:80", "is no address of the host", None),
            ("8080:80/icmp", "tcp and udp", None),
            ("8080:80/", "tcp and udp", None),
            ("8080:0", "ports are 1 to 65535", None),
            ("08080:80", "leading zeros", Some("8080")),
            ("8080:auto", "`auto` is not a port", None),
            ("8080:80-81", "not as many ports", Some("8080-8081:80-81")),
            ("65535:80-81", "not as many ports", None),
        ] {
            let error = PublishedPort::read(text).unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
            assert_eq!(error.nearest().as_deref(), near, "{text}: {error}");
        }
    }
}
