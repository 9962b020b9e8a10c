//! Both policies taken apart until every part is decided as one, and compared part by part.
//!
//! The parts are made of ranges of ports, ranges of addresses, and classes of
//! names. An address may have been the answer for several names; what the first
//! rule that matches any of them says is what the set of them gets. So if a set
//! of names is opened, then already the two of it that decide before and after,
//! and no more than two need to be looked at together. An address that no answer
//! may hold has no names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::cells::Cells;
use super::names::{NameClass, classes};
use super::spans::{Spans, address, between, edges};
use crate::policy::{
    By, DNS_OVER_TLS, Remote, Surroundings, carries, is_dns_over_tls, tail_allows,
};
use crate::project::network::{
    Action, Direction, Group, HostPattern, Network, PortRange, PortSet, Preset, Protocol, Rule,
    Target,
};

/// Who decides, in the order in which they are asked, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decision {
    by: By,
    allowed: bool,
}

/// What one decider lets pass now that did not pass before, or all that it decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Addresses, whatever their name.
    pub(super) addresses: Spans,
    /// Names, at addresses that do not pass without.
    pub(super) names: BTreeSet<String>,
}

/// What a decider opens, for some ports of one protocol.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) direction: Direction,
    pub(super) by: By,
    pub(super) protocol: Protocol,
    pub(super) ports: PortSet,
    pub(super) opened: Share,
    /// All that it lets pass.
    pub(super) decided: Share,
    /// Whether QUIC was denied there before, and nothing else decided.
    pub(super) was_quic: bool,
}

/// The policies are too many-sided to be taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Returns what `after` lets pass and `before` does not, and all else that those who do decide.
///
/// # Errors
/// [`TooMany`] where that would take more than [`PARTS_MAX`] comparisons.
pub(super) fn pieces(before: &Network, after: &Network) -> Result<Vec<Piece>, TooMany> {
    let mut pieces = Vec::new();
    let mut room = PARTS_MAX;
    // Where there was no network, nothing was published; what is now is told by itself.
    let was_off = before.preset == Preset::Off;
    for direction in [Direction::Egress, Direction::Ingress] {
        let has = |rule: &Rule| rule.direction() == direction;
        let ruled = before.rules.iter().chain(&after.rules).any(has);
        if direction == Direction::Ingress && (was_off || !ruled) {
            continue;
        }
        let cells = Cells::new(before, after, direction);
        for protocol in Protocol::ALL {
            if direction == Direction::Ingress && protocol == Protocol::Icmp {
                continue;
            }
            for (sides, ports) in slices(before, after, direction, protocol, &mut room)? {
                let mut found = Found::default();
                compare(&sides, &cells, direction, &mut found, &mut room)?;
                let made = found.0.into_iter().map(|(by, found)| Piece {
                    direction,
                    by,
                    protocol,
                    ports: ports.clone(),
                    opened: found.opened,
                    decided: found.decided,
                    was_quic: sides.before.shut == Some(By::BlockQuic),
                });
                pieces.extend(made);
            }
        }
    }
    Ok(pieces)
}

/// How many comparisons one change may take: some tenths of a second.
const PARTS_MAX: usize = 16_000_000;

fn spend(room: &mut usize, cost: usize) -> Result<(), TooMany> {
    *room = room.checked_sub(cost).ok_or(TooMany)?;
    Ok(())
}

/// The rules of one policy that are about some ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Side {
    /// What denies everything there.
    shut: Option<By>,
    /// The rules, by number.
    rules: Vec<usize>,
    /// What denies there what no rule is about, and not the preset.
    tail: Option<By>,
}

struct Sides<'n> {
    networks: [&'n Network; 2],
    before: Side,
    after: Side,
}

/// Cuts the ports of one protocol into slices within which the same rules are asked.
fn slices<'n>(
    before: &'n Network,
    after: &'n Network,
    direction: Direction,
    protocol: Protocol,
    room: &mut usize,
) -> Result<Vec<(Sides<'n>, PortSet)>, TooMany> {
    let about = |rule: &&Rule| rule.direction() == direction && rule.protocol().have(protocol);
    let rules = || before.rules.iter().chain(&after.rules).filter(about);
    let mut starts = BTreeSet::from([1_u32]);
    if protocol != Protocol::Icmp && direction == Direction::Egress {
        starts.extend([u32::from(DNS_OVER_TLS), u32::from(DNS_OVER_TLS) + 1]);
    }
    if protocol != Protocol::Icmp {
        let tls = before.tls.ports.iter().chain(&after.tls.ports);
        let tls = tls.filter_map(|port| PortRange::new(*port, *port));
        let ranges = rules().flat_map(|rule| rule.ports().ranges().iter().copied()).chain(tls);
        for range in ranges {
            starts.extend([u32::from(range.first()), u32::from(range.last()) + 1]);
        }
    }
    spend(room, starts.len() * rules().count())?;
    let starts: Vec<u32> = starts.into_iter().filter(|port| *port <= u32::from(u16::MAX)).collect();
    let mut slices: BTreeMap<(Side, Side), Vec<PortRange>> = BTreeMap::new();
    for (index, first) in starts.iter().enumerate() {
        let last = starts.get(index + 1).map_or(u32::from(u16::MAX), |next| next - 1);
        let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(last)) else { continue };
        let side = |network: &Network| Side::at(network, direction, protocol, first);
        let range = PortRange::new(first, last);
        slices.entry((side(before), side(after))).or_default().extend(range);
    }
    let networks = [before, after];
    let made = slices.into_iter().filter_map(|((before, after), ranges)| {
        Some((Sides { networks, before, after }, PortSet::of(ranges)?))
    });
    Ok(made.collect())
}

impl Side {
    fn at(network: &Network, direction: Direction, protocol: Protocol, port: u16) -> Self {
        let quic = direction == Direction::Egress
            && protocol == Protocol::Udp
            && network.tls.block_quic
            && network.tls.ports.contains(&port);
        let shut = match (network.preset, quic) {
            (Preset::Off, _) => Some(By::Off),
            (_, true) => Some(By::BlockQuic),
            (_, false) => None,
        };
        if shut.is_some() {
            return Self { shut, rules: Vec::new(), tail: None };
        }
        let rules = network.rules.iter().enumerate();
        let asked = |rule: &Rule| rule.direction() == direction && carries(rule, protocol, port);
        let rules = rules.filter(|(_, rule)| asked(rule)).map(|(at, _)| at).collect();
        let is_kept_out = direction == Direction::Egress && is_dns_over_tls(protocol, port);
        Self { shut, rules, tail: is_kept_out.then_some(By::DnsOverTls) }
    }

    /// Decides for every part of the addresses, without names.
    fn addresses(
        &self,
        network: &Network,
        (cells, direction): (&Cells, Direction),
        room: &mut usize,
    ) -> Result<Vec<Decision>, TooMany> {
        let denied = |by| Some(Decision { by, allowed: false });
        let egress = direction == Direction::Egress;
        let before_rules = |remote: &Remote| match self.shut {
            Some(by) => denied(by),
            None if egress && remote.group().is_none() => denied(By::Unreachable),
            None => None,
        };
        let mut decided: Vec<Option<Decision>> = cells.remotes.iter().map(before_rules).collect();
        for number in &self.rules {
            let rule = &network.rules[*number];
            let about = cells.of(rule.target());
            spend(room, 1 + about.len())?;
            let allowed = rule.action() == Action::Allow;
            for cell in about {
                decided[cell].get_or_insert(Decision { by: By::Rule(*number), allowed });
            }
        }
        let tail = |remote: &Remote| match self.tail {
            Some(by) => Decision { by, allowed: false },
            None => Decision {
                by: By::Tail,
                allowed: !egress || tail_allows(network.preset, remote.group()),
            },
        };
        let cells = decided.into_iter().zip(&cells.remotes);
        Ok(cells.map(|(decision, remote)| decision.unwrap_or_else(|| tail(remote))).collect())
    }

    /// Decides for a name, as far as rules about names do.
    fn name(&self, network: &Network, name: &str) -> Option<Decision> {
        let matches = |number: &&usize| match network.rules[**number].target() {
            Target::Host(pattern) => pattern.matches(name),
            Target::Any | Target::Group(_) | Target::Net(_) => false,
        };
        let number = *self.rules.iter().find(matches)?;
        let allowed = network.rules[number].action() == Action::Allow;
        Some(Decision { by: By::Rule(number), allowed })
    }

    fn targets<'n>(&self, network: &'n Network) -> impl Iterator<Item = &'n Target> {
        self.rules.iter().map(|number| network.rules[*number].target())
    }
}

/// What was decided before, and what is decided now.
type Change<T> = (T, T);

#[derive(Default)]
struct Found(BTreeMap<By, FoundBy>);

#[derive(Default)]
struct FoundBy {
    opened: Share,
    decided: Share,
}

fn compare(
    sides: &Sides<'_>,
    cells: &Cells,
    direction: Direction,
    found: &mut Found,
    room: &mut usize,
) -> Result<(), TooMany> {
    let addresses = addresses(sides, (cells, direction), room)?;
    let names = names(sides, direction, room)?;
    for ((_, after), labels) in &names {
        let Some(after) = after.filter(|after| after.allowed) else { continue };
        let decided = &mut found.0.entry(after.by).or_default().decided;
        decided.names.extend(labels.iter().cloned());
    }
    for (class, spans) in addresses {
        let (before, after) = class.decided;
        if after.allowed {
            let by = found.0.entry(after.by).or_default();
            by.decided.addresses = by.decided.addresses.or(&spans);
            if !before.allowed {
                by.opened.addresses = by.opened.addresses.or(&spans);
                continue;
            }
        }
        if !class.may_be_answer.1 {
            continue;
        }
        spend(room, names.len() * names.len())?;
        for (change, labels) in &names {
            if let Some(by) = opened_by_name(class, *change, &names) {
                found.0.entry(by).or_default().opened.names.extend(labels.iter().cloned());
            }
        }
    }
    Ok(())
}

/// What is decided of addresses without names, and whether they may be answers, before and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct AddressClass {
    decided: Change<Decision>,
    may_be_answer: Change<bool>,
}

type Names = BTreeMap<Change<Option<Decision>>, Vec<String>>;

/// Returns who opens a name at addresses that do not pass without one.
fn opened_by_name(
    class: AddressClass,
    (name_before, name_after): Change<Option<Decision>>,
    names: &Names,
) -> Option<By> {
    let first = |a: Decision, b: Option<Decision>| b.map_or(a, |b| a.min(b));
    let (before, after) = class.decided;
    let had_names = class.may_be_answer.0;
    let was = if had_names { first(before, name_before) } else { before };
    let is = first(after, name_after);
    if !is.allowed {
        return None;
    }
    if !was.allowed {
        return Some(is.by);
    }
    // Another name of the same address may have kept it shut, and does not any more.
    let kept_shut = |other: &Change<Option<Decision>>| {
        other.0.is_some_and(|other| !other.allowed && other < was)
            && other.1.is_none_or(|other| other > is)
    };
    let by_name = had_names && name_after == Some(is);
    (by_name && names.keys().any(kept_shut)).then_some(is.by)
}

/// Returns the addresses by what is decided of them without names.
fn addresses(
    sides: &Sides<'_>,
    (cells, direction): (&Cells, Direction),
    room: &mut usize,
) -> Result<BTreeMap<AddressClass, Spans>, TooMany> {
    let [before, after] = sides.networks;
    let was = sides.before.addresses(before, (cells, direction), room)?;
    let is = sides.after.addresses(after, (cells, direction), room)?;
    spend(room, cells.spans.len())?;
    let mut decided: BTreeMap<AddressClass, Spans> = BTreeMap::new();
    let changes = was.into_iter().zip(is).zip(&cells.answers).zip(&cells.spans);
    for (((was, is), may_be_answer), span) in changes {
        let class = AddressClass { decided: (was, is), may_be_answer: *may_be_answer };
        decided.entry(class).or_default().push(*span);
    }
    Ok(decided)
}

/// Returns classes of names by what rules about names decide of them.
fn names(sides: &Sides<'_>, direction: Direction, room: &mut usize) -> Result<Names, TooMany> {
    let [before, after] = sides.networks;
    let mut decided = Names::new();
    if direction == Direction::Ingress {
        return Ok(decided);
    }
    let targets = sides.before.targets(before).chain(sides.after.targets(after));
    let patterns: BTreeSet<&HostPattern> = targets
        .filter_map(|target| match target {
            Target::Host(pattern) => Some(pattern),
            Target::Any | Target::Group(_) | Target::Net(_) => None,
        })
        .collect();
    spend(room, 2 * patterns.len() * (sides.before.rules.len() + sides.after.rules.len()))?;
    for NameClass { label, name } in classes(patterns) {
        let was = sides.before.name(before, &name);
        let is = sides.after.name(after, &name);
        decided.entry((was, is)).or_default().push(label);
    }
    Ok(decided)
}

/// The addresses of each group, and those that are in none.
pub(super) static GROUPS: LazyLock<Vec<(Option<Group>, Spans)>> = LazyLock::new(|| {
    let surroundings = Surroundings::default();
    let all = Group::ALL.into_iter().map(Some).chain([None]);
    let mut groups: Vec<(Option<Group>, Spans)> = all.map(|g| (g, Spans::default())).collect();
    for cell in between(&edges(surroundings.edges())) {
        let group = surroundings.remote(address(cell.0)).group();
        let spans = groups.iter_mut().find(|(known, _)| *known == group);
        spans.expect("every group has its row").1.push(cell);
    }
    groups
});
