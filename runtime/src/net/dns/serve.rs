//! What the guest is told: answers made here, and what is left of others by the rules.

use std::net::IpAddr;
use std::time::Duration;

use super::act::{Act, Noted, Transport};
use super::flights::Waiter;
use super::found::{ABSENT_MAX_S, Found, Sieve};
use super::name::Name;
use super::own::{HOST_NAME, Here, OWN_TTL_S};
use super::record::{Code, Data, Kind, Record, Soa};
use super::resolver::{Resolver, Scene};
use super::write::{self, Reply};

/// An answer without records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// Nothing but how it ends.
    Code(Code),
    /// There is no such name, for a minute.
    NoName,
    /// There is nothing of that kind, for a minute.
    NoRecords,
}

/// Returns an answer without records.
pub(super) fn plain(waiter: &Waiter, plain: Plain) -> Act {
    let code = match plain {
        Plain::Code(code) => {
            return answer(waiter, &Reply { code, answers: &[], soa: None, ttl_s: 0 });
        }
        Plain::NoName => Code::NX_DOMAIN,
        Plain::NoRecords => Code::NO_ERROR,
    };
    nothing(waiter, code, ABSENT_MAX_S)
}

/// Returns the answer to a question about what is ours.
pub(super) fn here(waiter: &Waiter, here: Here) -> Act {
    let owner = waiter.query.question.name.lowered();
    let data: Vec<Data> = match here {
        Here::Addresses(addresses) => addresses.into_iter().map(address).collect(),
        Here::Name(name) => Name::parse(&name)
            .map(|name| Data::Name(Kind::PTR, name.lowered()))
            .into_iter()
            .collect(),
        Here::Nothing => return nothing(waiter, Code::NO_ERROR, OWN_TTL_S),
        Here::Absent => return nothing(waiter, Code::NX_DOMAIN, OWN_TTL_S),
    };
    let records: Vec<Record> =
        data.into_iter().map(|data| Record { owner: owner.clone(), data }).collect();
    let code = Code::NO_ERROR;
    answer(waiter, &Reply { code, answers: &records, soa: None, ttl_s: OWN_TTL_S })
}

impl Resolver {
    /// Gives what was found, cut by the rules; what is left of it is pinned first.
    pub(super) fn serve(&self, scene: &Scene<'_>, waiter: &Waiter, found: &Found) -> Vec<Act> {
        let question = &waiter.query.question;
        let name = question.name.text().unwrap_or_default();
        let sieve = Sieve {
            network: scene.network,
            surroundings: &self.surroundings,
            ipv6: self.ipv6,
            name: &name,
        };
        let kept = sieve.keep(found);
        let ttl_s = found.left_s(scene.now);
        let mut acts = Vec::new();
        if !kept.cut.is_empty() {
            let (name, is_emptied) = (name.clone(), kept.is_emptied);
            acts.push(Act::Note(Noted::Rebinding { name, addresses: kept.cut, is_emptied }));
        }
        if kept.is_emptied {
            // Of a name whose services are cut, the addresses may still be there.
            let is_address = matches!(question.kind, Kind::A | Kind::AAAA);
            acts.push(plain(waiter, if is_address { Plain::NoName } else { Plain::NoRecords }));
            return acts;
        }
        if !kept.addresses.is_empty() {
            let ttl = Duration::from_secs(ttl_s.into());
            acts.push(Act::Pin { name, addresses: kept.addresses, ttl });
        }
        let (code, soa) = (found.code, found.soa.as_ref());
        acts.push(answer(waiter, &Reply { code, answers: &kept.records, soa, ttl_s }));
        acts
    }
}

fn answer(waiter: &Waiter, reply: &Reply<'_>) -> Act {
    let message = write::reply(&waiter.query, reply, waiter.asker.by == Transport::Tcp);
    Act::Answer { asker: waiter.asker, message }
}

/// Says that there is nothing, as the zone above the name would.
fn nothing(waiter: &Waiter, code: Code, ttl_s: u32) -> Act {
    let host = Name::parse(HOST_NAME).expect("it is a name");
    let soa = Soa {
        server: host.clone(),
        keeper: host,
        numbers: [1, 3600, 600, 86_400],
        absent_s: ttl_s,
    };
    let owner = waiter.query.question.name.lowered().parent();
    let soa = Record { owner, data: Data::Soa(soa) };
    answer(waiter, &Reply { code, answers: &[], soa: Some(&soa), ttl_s })
}

fn address(address: IpAddr) -> Data {
    match address {
        IpAddr::V4(v4) => Data::A(v4),
        IpAddr::V6(v6) => Data::Aaaa(v6),
    }
}
