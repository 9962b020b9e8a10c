//! An address or a network of addresses, in its one normal form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Why a text is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// It does not begin with an address.
    #[error("`{0}` is not an address or a network")]
    NotAnAddress(String),
    /// What stands behind the slash is not how many bits are fixed.
    #[error("`/{bits}` is not a prefix of such an address; it has 0 to {most} bits")]
    Prefix {
        /// What was written.
        bits: String,
        /// How many bits the address has.
        most: u8,
        /// The same network as it is written, where the text is a mask.
        nearest: Option<String>,
    },
    /// The address has bits behind its prefix.
    #[error("`{text}` is an address within the network {network}")]
    HostBits {
        /// What was written.
        text: String,
        /// The network it lies in.
        network: Cidr,
    },
    /// Addresses there stand for IPv4 addresses, and are judged as those.
    #[error("`{0}` only wraps IPv4 addresses, which are judged as what is inside")]
    Wraps(String),
}

impl CidrError {
    /// Returns a valid text near to the one that was refused, where there is one.
    #[must_use]
    pub fn nearest(&self) -> Option<String> {
        match self {
            Self::NotAnAddress(_) | Self::Wraps(_) => None,
            Self::Prefix { nearest, .. } => nearest.clone(),
            Self::HostBits { network, .. } => Some(network.to_string()),
        }
    }
}

/// An address, or all addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Returns the network of one address.
    #[must_use]
    pub fn one(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: width(address) }
    }

    /// Returns the network around `address` that fixes `bits`; `None` where it has fewer bits.
    #[must_use]
    pub fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) => {
                let rest = low_32(32_u8.checked_sub(bits)?);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & !rest))
            }
            IpAddr::V6(v6) => {
                let rest = low_128(128_u8.checked_sub(bits)?);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !rest))
            }
        };
        Some(Self { address, bits })
    }

    /// Reads `10.0.0.0/8`, `fd00::/8` or an address alone.
    ///
    /// # Errors
    /// [`CidrError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| CidrError::NotAnAddress(text.to_owned()))?;
        let most = width(address);
        let bits = match bits {
            None => most,
            Some(bits) => prefix(bits, most).ok_or_else(|| CidrError::Prefix {
                bits: bits.to_owned(),
                most,
                nearest: mask(bits)
                    .filter(|_| address.is_ipv4())
                    .and_then(|bits| Self::around(address, bits))
                    .map(|network| network.to_string()),
            })?,
        };
        let network =
            Self::around(address, bits).ok_or_else(|| CidrError::NotAnAddress(text.to_owned()))?;
        if network.address != address {
            return Err(CidrError::HostBits { text: text.to_owned(), network });
        }
        network.unwrapped().ok_or_else(|| CidrError::Wraps(text.to_owned()))
    }

    /// Takes IPv4 out of its IPv6 wrapping; `None` where the wrapping is another.
    fn unwrapped(self) -> Option<Self> {
        let IpAddr::V6(v6) = self.address else { return Some(self) };
        if let (Some(v4), Some(bits)) = (v6.to_ipv4_mapped(), self.bits.checked_sub(96)) {
            return Some(Self { address: IpAddr::V4(v4), bits });
        }
        let wrapping = WRAPPINGS.map(Self::literal);
        let wraps = |network: &Self| network.contains(self.address) && self.bits >= network.bits;
        (!wrapping.iter().any(wraps)).then_some(self)
    }

    /// Reads a network of our own tables.
    pub(crate) fn literal(text: &str) -> Self {
        let (address, bits) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().expect("the table holds addresses");
        let bits = bits.parse().unwrap_or_else(|_| width(address));
        Self::around(address, bits).expect("the table holds networks")
    }

    /// Returns the lowest address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.address
    }

    /// Returns the highest address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        let rest = width(self.address) - self.bits;
        match self.address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) | low_32(rest))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) | low_128(rest))),
        }
    }

    /// Tells whether `address` lies in it; one of the other family never does.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self::around(address, self.bits).is_some_and(|around| around == self)
    }
}

/// IPv6 networks whose addresses hold an IPv4 address: 6to4, Teredo, NAT64 and the mapped ones.
pub(crate) const WRAPPINGS: [&str; 4] = ["2002::/16", "2001::/32", "64:ff9b::/96", "::ffff:0:0/96"];

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Returns a number whose `bits` lowest bits are ones.
fn low_32(bits: u8) -> u32 {
    u32::MAX.checked_shr(32 - u32::from(bits)).unwrap_or(0)
}

fn low_128(bits: u8) -> u128 {
    u128::MAX.checked_shr(128 - u32::from(bits)).unwrap_or(0)
}

fn prefix(bits: &str, most: u8) -> Option<u8> {
    let plain = bits.bytes().all(|b| b.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
    bits.parse().ok().filter(|bits| plain && *bits <= most)
}

/// Reads a mask such as `255.255.0.0` as how many bits it fixes.
fn mask(text: &str) -> Option<u8> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let bits = mask.leading_ones();
    (mask.checked_shl(bits).unwrap_or(0) == 0).then(|| u8::try_from(bits).ok()).flatten()
}

/// Prints as the file writes it; one address stands alone.
impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        Self::parse(&text)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_r1_a_network_has_one_normal_form() {
        for (text, normal) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("1.1.1.1", "1.1.1.1"),
            ("1.1.1.1/32", "1.1.1.1"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("FD00:0:0::/8", "fd00::/8"),
            ("2606:4700::1111/128", "2606:4700::1111"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            let cidr = Cidr::parse(text).unwrap();
            assert_eq!(cidr.to_string(), normal);
            assert_eq!(Cidr::parse(normal).unwrap(), cidr);
        }
    }

    #[test]
    fn what_is_no_network_has_a_near_one() {
        for (text, near) in [
            ("10.0.0.5/8", Some("10.0.0.0/8")),
            ("fd00::1/8", Some("fd00::/8")),
            ("10.0.0.0/255.0.0.0", Some("10.0.0.0/8")),
            ("10.1.0.0/255.0.0.0", Some("10.0.0.0/8")),
            ("10.0.0.0/255.0.255.0", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/08", None),
            ("10.0.0.0/", None),
            ("::/129", None),
            ("10.0.0", None),
            ("010.0.0.1", None),
            ("fe80::1%eth0", None),
            ("2002:a00:1::", None),
            ("64:ff9b::a00:1", None),
            ("2001:0:1::/48", None),
        ] {
            let error = Cidr::parse(text).unwrap_err();
            assert_eq!(error.nearest().as_deref(), near, "{text}: {error}");
        }
        assert!(Cidr::parse("2000::/3").is_ok(), "it holds more than what wraps");
    }

    #[test]
    fn a_network_knows_its_addresses() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let ten = Cidr::parse("10.0.0.0/8").unwrap();
        assert_eq!((ten.first(), ten.last()), (at("10.0.0.0"), at("10.255.255.255")));
        assert!(ten.contains(at("10.1.2.3")) && !ten.contains(at("11.0.0.0")));
        let all = Cidr::parse("::/0").unwrap();
        assert!(all.contains(at("::1")) && !all.contains(at("10.0.0.1")));
        assert_eq!(all.last(), at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert_eq!(Cidr::one(at("::ffff:1.2.3.4")), Cidr::parse("1.2.3.4").unwrap());
    }
}
