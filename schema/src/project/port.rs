//! Ports of a guest that are published on the host, and which of them each instance takes.

mod flag;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use flag::PublishError;

use super::network::{PortError, PortRange};

/// What carries a published port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// Returns the transport as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The ports on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPorts {
    /// The kernel chooses when they are first bound.
    Auto,
    /// These, in slices as long as the ports of the guest, one for each instance in turn.
    Fixed(PortRange),
}

impl HostPorts {
    /// The word for a choice of the kernel's.
    pub const AUTO: &'static str = "auto";

    /// Reads `auto`, a port or a range.
    ///
    /// # Errors
    /// [`PortError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, PortError> {
        if text == Self::AUTO { Ok(Self::Auto) } else { PortRange::parse(text).map(Self::Fixed) }
    }
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(Self::AUTO),
            Self::Fixed(range) => range.fmt(f),
        }
    }
}

impl TryFrom<String> for HostPorts {
    type Error = PortError;
    fn try_from(text: String) -> Result<Self, PortError> {
        Self::parse(&text)
    }
}

impl From<HostPorts> for String {
    fn from(ports: HostPorts) -> Self {
        ports.to_string()
    }
}

/// Ports of a guest, published on the host. The order is that of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishedPort {
    /// What carries them.
    pub protocol: Transport,
    /// The address on the host.
    pub bind: IpAddr,
    /// The ports on the host, of all instances together.
    pub host: HostPorts,
    /// The ports in the guest.
    pub guest: PortRange,
}

impl PublishedPort {
    /// The address on the host where the file does not say.
    pub const BIND: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Returns what instance `index` publishes: the slice of that number of the ports on the host.
    ///
    /// Where there are no more of them than in the guest, they are that one's alone: the body was
    /// written for it, or there is no other. `None` where the ports on the host do not reach so far.
    #[must_use]
    pub fn of_instance(&self, index: u32) -> Option<Self> {
        let host = match self.host {
            HostPorts::Auto => HostPorts::Auto,
            HostPorts::Fixed(range) if range.count() == self.guest.count() => self.host,
            HostPorts::Fixed(range) => {
                let count = self.guest.count();
                HostPorts::Fixed(range.slice(index.checked_mul(count)?, count)?)
            }
        };
        Some(Self { host, ..*self })
    }

    /// Returns the first place on the host that both would take: the narrower address, the ports.
    ///
    /// `0.0.0.0` and `::` are every address of their family; where the kernel chooses, it chooses
    /// what nobody has.
    #[must_use]
    pub fn clash(&self, other: &Self) -> Option<(IpAddr, PortRange)> {
        let (HostPorts::Fixed(own), HostPorts::Fixed(others)) = (self.host, other.host) else {
            return None;
        };
        let family = self.bind.is_ipv4() == other.bind.is_ipv4();
        let wild = family && (self.bind.is_unspecified() || other.bind.is_unspecified());
        if self.protocol != other.protocol || !(self.bind == other.bind || wild) {
            return None;
        }
        let bind = if self.bind.is_unspecified() { other.bind } else { self.bind };
        own.overlap(others).map(|ports| (bind, ports))
    }

    /// Returns each port of the host with the one of the guest that it leads to; that of the host is
    /// `None` where the kernel chooses it.
    pub fn pairs(&self) -> impl Iterator<Item = (Option<u16>, u16)> + use<> {
        let host = match self.host {
            HostPorts::Auto => None,
            HostPorts::Fixed(range) => Some(range.first()..=range.last()),
        };
        let mut host = host.map(Iterator::fuse);
        let guest = self.guest.first()..=self.guest.last();
        // As many on one side as on the other, or the file was refused.
        guest.map_while(move |guest| match &mut host {
            None => Some((None, guest)),
            Some(host) => host.next().map(|host| (Some(host), guest)),
        })
    }

    /// Tells whether only the host itself reaches them.
    #[must_use]
    pub const fn is_on_loopback(&self) -> bool {
        self.bind.is_loopback()
    }

    /// Returns what tells rows apart: `8080/tcp`, `0.0.0.0:53/udp`, `auto:80/tcp`.
    ///
    /// Where the kernel chooses, the ports in the guest stand for what it will choose; the address
    /// stands before it unless it is the one that nobody has to write.
    #[must_use]
    pub fn key(&self) -> String {
        let bind = match self.bind {
            Self::BIND => String::new(),
            IpAddr::V4(v4) => format!("{v4}:"),
            IpAddr::V6(v6) => format!("[{v6}]:"),
        };
        let protocol = self.protocol.as_str();
        match self.host {
            HostPorts::Auto => format!("{bind}auto:{}/{protocol}", self.guest),
            HostPorts::Fixed(host) => format!("{bind}{host}/{protocol}"),
        }
    }
}

/// Returns an address with ports behind it, as people write them: `127.0.0.1:8080`, `[::1]:80-81`.
#[must_use]
pub fn endpoint(bind: IpAddr, ports: PortRange) -> String {
    if ports.count() == 1 {
        return SocketAddr::new(bind, ports.first()).to_string();
    }
    match bind {
        IpAddr::V4(v4) => format!("{v4}:{ports}"),
        IpAddr::V6(v6) => format!("[{v6}]:{ports}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(guest: &str, host: &str) -> PublishedPort {
        PublishedPort {
            protocol: Transport::Tcp,
            bind: PublishedPort::BIND,
            host: HostPorts::parse(host).unwrap(),
            guest: PortRange::parse(guest).unwrap(),
        }
    }

    #[test]
    fn sf_3_6_instance_i_takes_the_ith_slice() {
        let slice = |row: PublishedPort, index| row.of_instance(index).map(|one| one.key());
        let web = port("80-81", "8080-8085");
        assert_eq!(slice(web, 0).as_deref(), Some("8080-8081/tcp"));
        assert_eq!(slice(web, 2).as_deref(), Some("8084-8085/tcp"));
        assert_eq!(slice(web, 3), None);
        assert_eq!(slice(port("80", "auto"), 9).as_deref(), Some("auto:80/tcp"));
        assert_eq!(slice(web, u32::MAX), None);
        assert_eq!(slice(port("80", "8085"), 5).as_deref(), Some("8085/tcp"), "its own");
    }

    #[test]
    fn each_port_of_the_host_has_one_of_the_guest() {
        let pairs = |row: PublishedPort| row.pairs().collect::<Vec<_>>();
        assert_eq!(pairs(port("80-81", "8080-8081")), [(Some(8080), 80), (Some(8081), 81)]);
        assert_eq!(pairs(port("65534-65535", "auto")), [(None, 65534), (None, 65535)]);
    }

    #[test]
    fn a_row_is_told_apart_by_where_it_is_on_the_host() {
        let on = |bind: &str| PublishedPort { bind: bind.parse().unwrap(), ..port("80", "8080") };
        assert_eq!(port("80", "8080").key(), "8080/tcp");
        assert_eq!(on("0.0.0.0").key(), "0.0.0.0:8080/tcp");
        assert_eq!(on("::").key(), "[::]:8080/tcp");
        let udp = PublishedPort { protocol: Transport::Udp, ..port("53", "auto") };
        assert_eq!(udp.key(), "auto:53/udp");
        assert!(on("127.0.0.9").is_on_loopback() && on("::1").is_on_loopback());
        assert!(!on("0.0.0.0").is_on_loopback());
    }

    #[test]
    fn two_rows_clash_where_they_would_take_one_place() {
        let read = |text: &str| PublishedPort::read(text).unwrap();
        for (one, other, place) in [
            ("8080:80", "8080:81", Some("127.0.0.1:8080")),
            ("8080:80", "8080:80/udp", None),
            ("8080:80", "8081:80", None),
            ("8080-8089:80-89", "8085-8090:85-90", Some("127.0.0.1:8085-8089")),
            ("0.0.0.0:8080:80", "127.0.0.9:8080:80", Some("127.0.0.9:8080")),
            ("127.0.0.1:8080:80", "127.0.0.2:8080:80", None),
            ("[::]:8080:80", "[::1]:8080:80", Some("[::1]:8080")),
            ("[::]:8080:80", "[::]:8080:80", Some("[::]:8080")),
            // Binds of IPv6 are about IPv6 alone.
            ("[::]:8080:80", "0.0.0.0:8080:80", None),
            ("[::]:8080:80", "8080:80", None),
            ("auto:80", "auto:80", None),
            ("8080:80", "auto:80", None),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let met = read(one).clash(&read(other));
                let met = met.map(|(bind, ports)| endpoint(bind, ports));
                assert_eq!(met.as_deref(), place, "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_stored_port_reads_back_the_same() {
        let row = port("80-81", "8080-8081");
        let text = serde_json::to_string(&row).unwrap();
        let expected =
            r#"{"protocol":"tcp","bind":"127.0.0.1","host":"8080-8081","guest":"80-81"}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<PublishedPort>(&text).unwrap(), row);
        serde_json::from_str::<HostPorts>("\"0\"").unwrap_err();
    }
}
