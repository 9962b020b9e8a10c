//! What an upstream answer says about a question: the aliases that lead on from the name, and what
//! stands at their end. Everything else in it is dropped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use schema::policy::{Surroundings, keeps_answer};
use schema::project::network::Network;

use super::name::Name;
use super::read::{Question, Timed};
use super::record::{Code, Data, Kind, Record, Service};

/// Aliases that lead from a name to what it means.
pub(super) const ALIASES_MAX: usize = 8;

/// For how many seconds an answer holds at most, and so a pin.
pub(super) const TTL_MAX_S: u32 = 3600;

/// For how many seconds it holds at most that there is none.
pub(super) const ABSENT_MAX_S: u32 = 60;

/// What was found out about a question. All of it holds as long as its shortest record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// How it ends: there are records, or none, or no such name.
    pub(super) code: Code,
    /// The aliases in their order, then what was asked for.
    pub(super) records: Vec<Record>,
    /// How many of them are aliases.
    pub(super) aliases: usize,
    /// Where the zone begins that has no answer.
    pub(super) soa: Option<Record>,
    /// For how many seconds it holds.
    pub(super) ttl_s: u32,
    /// When it was heard.
    pub(super) heard: Instant,
}

impl Found {
    /// Makes sense of an answer; `None` where its aliases do not end.
    pub(super) fn read(
        question: &Question,
        code: Code,
        (answers, authority): (Vec<Timed>, Vec<Timed>),
        heard: Instant,
    ) -> Option<Self> {
        let mut owner: Name = question.name.lowered();
        let mut ttl_s = TTL_MAX_S;
        let mut records = Vec::new();
        let aliases = loop {
            let of_owner = |(record, _): &&Timed| record.owner == owner;
            let asked = answers.iter().filter(of_owner);
            let before = records.len();
            for (record, ttl) in asked.filter(|(record, _)| record.kind() == question.kind) {
                records.push(record.clone());
                ttl_s = ttl_s.min(*ttl);
            }
            if records.len() > before || question.kind == Kind::CNAME {
                break before;
            }
            let next =
                answers.iter().filter(of_owner).find_map(|(record, ttl)| match &record.data {
                    Data::Name(Kind::CNAME, target) => Some((record, *ttl, target)),
                    _ => None,
                });
            let Some((record, ttl, target)) = next else { break before };
            if before == ALIASES_MAX {
                return None;
            }
            records.push(record.clone());
            ttl_s = ttl_s.min(ttl);
            owner = target.clone();
        };
        if records.len() > aliases {
            let code = Code::NO_ERROR;
            return Some(Self { code, records, aliases, soa: None, ttl_s, heard });
        }
        let soa = authority.into_iter().find(|(record, _)| owner.is_within(&record.owner));
        // Who does not say for how long there is nothing is asked again.
        let absent_s = soa.as_ref().map_or(0, |(record, ttl)| match &record.data {
            Data::Soa(soa) => soa.absent_s.min(*ttl).min(ABSENT_MAX_S),
            _ => 0,
        });
        let (soa, ttl_s) = (soa.map(|(record, _)| record), ttl_s.min(absent_s));
        Some(Self { code, records, aliases, soa, ttl_s, heard })
    }

    /// Returns for how many seconds it still holds; 0 where it does no more.
    pub(super) fn left_s(&self, now: Instant) -> u32 {
        let age = now.saturating_duration_since(self.heard);
        let whole = Duration::from_secs(self.ttl_s.into());
        let left = whole.saturating_sub(age);
        // A begun second counts, so that what holds never looks as if it did not.
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        u32::try_from(seconds).unwrap_or(self.ttl_s)
    }

    /// Returns about how many bytes it occupies.
    pub(super) fn bytes(&self) -> usize {
        let records = self.records.iter().chain(&self.soa);
        size_of::<Self>() + records.map(Record::bytes).sum::<usize>()
    }
}

/// What says which addresses the answer for a name may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sieve<'a> {
    /// The rules.
    pub(super) network: &'a Network,
    /// What the addresses of the machine are.
    pub(super) surroundings: &'a Surroundings,
    /// Whether the host reaches IPv6.
    pub(super) ipv6: bool,
    /// The name that was asked for, which alone is judged, wherever aliases lead.
    pub(super) name: &'a str,
}

/// What is left of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The records.
    pub(super) records: Vec<Record>,
    /// Every address in them.
    pub(super) addresses: Vec<IpAddr>,
    /// The addresses that were cut out.
    pub(super) cut: Vec<IpAddr>,
    /// Whether nothing that was asked for is left after the cut.
    pub(super) is_emptied: bool,
}

impl Sieve<'_> {
    /// Takes out what the guest may not be given.
    pub(super) fn keep(&self, found: &Found) -> Kept {
        let mut kept = Kept::default();
        for record in &found.records {
            let keeps = match &record.data {
                Data::A(address) => self.keeps((*address).into(), &mut kept),
                Data::Aaaa(address) => self.keeps((*address).into(), &mut kept),
                Data::Service(kind, service) => {
                    if let Some(service) = self.service(service, &mut kept) {
                        let data = Data::Service(*kind, service);
                        kept.records.push(Record { owner: record.owner.clone(), data });
                    }
                    continue;
                }
                Data::Name(..) | Data::Soa(_) | Data::Behind(..) | Data::Plain(..) => true,
            };
            if keeps {
                kept.records.push(record.clone());
            }
        }
        kept.is_emptied = !kept.cut.is_empty() && kept.records.len() == found.aliases;
        kept
    }

    fn keeps(&self, address: IpAddr, kept: &mut Kept) -> bool {
        let keeps = keeps_answer(self.network, self.name, self.surroundings.remote(address));
        let list = if keeps { &mut kept.addresses } else { &mut kept.cut };
        list.push(address);
        keeps
    }

    /// Returns a service with the hints that are left; `None` where a client needs what is not.
    fn service(&self, service: &Service, kept: &mut Kept) -> Option<Service> {
        let mut left = Service { parameters: Vec::new(), ..service.clone() };
        let known = kept.addresses.len();
        for (key, value) in &service.parameters {
            let hints: Vec<u8> = match *key {
                Service::HINTS_V4 => {
                    let parts = value.as_chunks::<4>().0.iter();
                    let keeps = |part: &&[u8; 4]| self.keeps(Ipv4Addr::from(**part).into(), kept);
                    parts.filter(keeps).flatten().copied().collect()
                }
                Service::HINTS_V6 if self.ipv6 => {
                    let parts = value.as_chunks::<16>().0.iter();
                    let keeps = |part: &&[u8; 16]| self.keeps(Ipv6Addr::from(**part).into(), kept);
                    parts.filter(keeps).flatten().copied().collect()
                }
                Service::HINTS_V6 => Vec::new(),
                _ => {
                    left.parameters.push((*key, value.clone()));
                    continue;
                }
            };
            if !hints.is_empty() {
                left.parameters.push((*key, hints));
            } else if service.needs(*key) {
                kept.addresses.truncate(known);
                return None;
            }
        }
        Some(left)
    }
}
