//! What an answer is made of: records of the few kinds that are passed on.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::Name;

/// What is asked for: the type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind(pub(super) u16);

impl Kind {
    /// An IPv4 address.
    pub(super) const A: Self = Self(1);
    /// A server of a zone.
    pub(super) const NS: Self = Self(2);
    /// Another name for the same.
    pub(super) const CNAME: Self = Self(5);
    /// Where a zone begins.
    pub(super) const SOA: Self = Self(6);
    /// The name of an address.
    pub(super) const PTR: Self = Self(12);
    /// Who takes mail.
    pub(super) const MX: Self = Self(15);
    /// Text.
    pub(super) const TXT: Self = Self(16);
    /// An IPv6 address.
    pub(super) const AAAA: Self = Self(28);
    /// Who serves.
    pub(super) const SRV: Self = Self(33);
    /// A rule that makes another name.
    pub(super) const NAPTR: Self = Self(35);
    /// What a client says beside its question; never asked for.
    pub(super) const OPT: Self = Self(41);
    /// How a service is reached.
    pub(super) const SVCB: Self = Self(64);
    /// How a web server is reached.
    pub(super) const HTTPS: Self = Self(65);
    /// Who may sign certificates.
    pub(super) const CAA: Self = Self(257);

    /// Every kind that may be asked for.
    pub(super) const ASKED: [Self; 13] = [
        Self::A,
        Self::NS,
        Self::CNAME,
        Self::SOA,
        Self::PTR,
        Self::MX,
        Self::TXT,
        Self::AAAA,
        Self::SRV,
        Self::NAPTR,
        Self::SVCB,
        Self::HTTPS,
        Self::CAA,
    ];

    /// Tells whether it may be asked for.
    pub(super) fn is_asked(self) -> bool {
        Self::ASKED.contains(&self)
    }
}

/// How an answer ends, as its header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u16);

impl Code {
    /// There is an answer, perhaps an empty one.
    pub(super) const NO_ERROR: Self = Self(0);
    /// The question was not understood.
    pub(super) const FORM_ERR: Self = Self(1);
    /// There is no answer now.
    pub(super) const SERV_FAIL: Self = Self(2);
    /// There is no such name.
    pub(super) const NX_DOMAIN: Self = Self(3);
    /// Such questions are not answered.
    pub(super) const NOT_IMP: Self = Self(4);
    /// This question is not answered.
    pub(super) const REFUSED: Self = Self(5);
    /// A later EDNS is spoken; said in the record that EDNS is.
    pub(super) const BAD_VERS: Self = Self(16);
}

/// One record of the class IN. How long it holds is known of its whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Whose record it is, in lower case.
    pub(super) owner: Name,
    /// What it says.
    pub(super) data: Data,
}

/// What a record says; names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name alone: NS, CNAME or PTR.
    Name(Kind, Name),
    /// Where a zone begins.
    Soa(Soa),
    /// Numbers or text with a name behind: MX, SRV or NAPTR.
    Behind(Kind, Vec<u8>, Name),
    /// How a service is reached: SVCB or HTTPS.
    Service(Kind, Service),
    /// Text and numbers that hold no name: TXT or CAA.
    Plain(Kind, Vec<u8>),
}

/// Where a zone begins, and how long it is true that a name is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Soa {
    /// Its first server.
    pub(super) server: Name,
    /// Who keeps it.
    pub(super) keeper: Name,
    /// Serial, refresh, retry, expiry.
    pub(super) numbers: [u32; 4],
    /// For how many seconds a name is not there.
    pub(super) absent_s: u32,
}

/// How a service is reached: a name, and parameters in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Which is tried first; 0 is another name for the same.
    pub(super) priority: u16,
    /// Where it is.
    pub(super) target: Name,
    /// Key and value.
    pub(super) parameters: Vec<(u16, Vec<u8>)>,
}

impl Service {
    /// The keys that a client must understand.
    pub(super) const MANDATORY: u16 = 0;
    /// IPv4 addresses.
    pub(super) const HINTS_V4: u16 = 4;
    /// IPv6 addresses.
    pub(super) const HINTS_V6: u16 = 6;

    /// Tells whether a client must understand `key`.
    pub(super) fn needs(&self, key: u16) -> bool {
        let lists = self.parameters.iter().filter(|(other, _)| *other == Self::MANDATORY);
        lists.flat_map(|(_, keys)| keys.chunks_exact(2)).any(|pair| pair == key.to_be_bytes())
    }
}

impl Record {
    /// Returns what kind it is.
    pub(super) const fn kind(&self) -> Kind {
        match &self.data {
            Data::A(_) => Kind::A,
            Data::Aaaa(_) => Kind::AAAA,
            Data::Soa(_) => Kind::SOA,
            Data::Name(kind, _)
            | Data::Behind(kind, ..)
            | Data::Service(kind, _)
            | Data::Plain(kind, _) => *kind,
        }
    }

    /// Returns about how many bytes it occupies.
    pub(super) fn bytes(&self) -> usize {
        let data = match &self.data {
            Data::A(_) | Data::Aaaa(_) => 0,
            Data::Name(_, name) => name.wire().len(),
            Data::Soa(soa) => soa.server.wire().len() + soa.keeper.wire().len(),
            Data::Behind(_, head, name) => head.len() + name.wire().len(),
            Data::Service(_, service) => {
                let parameters = service.parameters.iter().map(|(_, value)| 32 + value.len());
                service.target.wire().len() + parameters.sum::<usize>()
            }
            Data::Plain(_, bytes) => bytes.len(),
        };
        size_of::<Self>() + self.owner.wire().len() + data
    }
}
