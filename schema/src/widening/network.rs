//! A network policy opened further: what passes now and did not before, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::Widening;
use super::decide::{GROUPS, Piece, Share, TooMany, pieces};
use super::names::{NameClass, classes, joined, others};
use super::spans::Spans;
use super::traffic::Traffic;
use crate::policy::{By, may_look_up};
use crate::project::network::{
    Action, Direction, Group, HostPattern, Network, Preset, Rule, Target,
};

/// Returns what `after` opens.
pub(super) fn opened(before: &Network, after: &Network) -> Vec<Widening> {
    let mut found = Vec::new();
    if !is_plainly_narrower(before, after) {
        match pieces(before, after) {
            Ok(pieces) => {
                found.extend(flows(after, &pieces));
                found.extend(look_ups(before, after, &pieces));
            }
            Err(TooMany) => found.extend(by_rule(before, after)),
        }
    }
    if before.dns.rebind_protection && !after.dns.rebind_protection && after.preset != Preset::Off {
        let text = "dns + answers with other than public addresses";
        found.push(Widening::new("network.dns.rebind-protection", text));
    }
    found
}

/// Tells at a glance that nothing is opened: the same rules, and no more behind them.
fn is_plainly_narrower(before: &Network, after: &Network) -> bool {
    let quic =
        !before.tls.block_quic || after.tls.block_quic && before.tls.ports == after.tls.ports;
    quic && before.rules == after.rules && rank(after.preset) <= rank(before.preset)
}

/// Returns how much a preset allows; each allows what those below it do.
fn rank(preset: Preset) -> usize {
    Preset::ALL.iter().position(|known| *known == preset).unwrap_or(Preset::ALL.len())
}

/// Tells the pieces, those with the same words together.
fn flows(after: &Network, pieces: &[Piece]) -> Vec<Widening> {
    let mut all: BTreeMap<(Way, By), Traffic> = BTreeMap::new();
    let mut told: BTreeMap<(Way, By, String), (Traffic, bool)> = BTreeMap::new();
    for piece in pieces {
        let way = Way::of(piece.direction);
        if piece.decided != Share::default() {
            all.entry((way, piece.by)).or_default().add(piece.protocol, &piece.ports);
        }
        let addresses = address_words(after, piece);
        for words in addresses.into_iter().chain(name_words(after, piece)) {
            let (traffic, quic) =
                told.entry((way, piece.by, words)).or_insert_with(|| (Traffic::default(), true));
            traffic.add(piece.protocol, &piece.ports);
            *quic &= piece.was_quic;
        }
    }
    let widening = |((way, by, words), (traffic, quic)): ((Way, By, String), (Traffic, bool))| {
        let whole = all.get(&(way, by)) == Some(&traffic);
        let traffic = match by {
            By::Rule(number) if whole => rule_traffic(&after.rules[number]),
            By::Tail if whole => String::new(),
            _ => traffic.to_string(),
        };
        let path = if quic { "network.tls.block-quic".to_owned() } else { path(way, by) };
        Widening { path, text: format!("{} + {words}{traffic}", way.as_str()) }
    };
    told.into_iter().map(widening).collect()
}

/// A direction, in the order of telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Out,
    In,
}

impl Way {
    const fn of(direction: Direction) -> Self {
        match direction {
            Direction::Egress => Self::Out,
            Direction::Ingress => Self::In,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "egress",
            Self::In => "ingress",
        }
    }
}

fn path(way: Way, by: By) -> String {
    match (by, way) {
        (By::Rule(number), _) => format!("network.rules.{number}"),
        (By::Off | By::Unreachable | By::BlockQuic | By::DnsOverTls | By::Tail, Way::Out) => {
            "network.preset".to_owned()
        }
        (By::Off | By::Unreachable | By::BlockQuic | By::DnsOverTls | By::Tail, Way::In) => {
            "network.rules".to_owned()
        }
    }
}

/// Returns the protocol and ports of a rule as it prints them, with a blank before.
fn rule_traffic(rule: &Rule) -> String {
    let (text, target) = (rule.to_string(), format!(" {}", rule.target()));
    let end = text.find(&target).map_or(text.len(), |at| at + target.len());
    text[end..].to_owned()
}

/// Tells the addresses of a piece: by its rule's target where that is all of them.
fn address_words(after: &Network, piece: &Piece) -> Option<String> {
    let (opened, decided) = (&piece.opened.addresses, &piece.decided.addresses);
    if opened.is_empty() {
        return None;
    }
    let whole = opened == decided;
    match (piece.by, piece.direction) {
        (By::Rule(number), _) => {
            let target = after.rules[number].target();
            match target {
                _ if whole => return Some(target.to_string()),
                Target::Net(_) => return Some(part(opened, decided, &target.to_string())),
                Target::Any | Target::Group(_) | Target::Host(_) => {}
            }
        }
        (By::Tail, Direction::Ingress) if whole => return Some(Target::ANY.to_owned()),
        (By::Off | By::Unreachable | By::BlockQuic | By::DnsOverTls | By::Tail, _) => {}
    }
    let words = GROUPS.iter().filter_map(|(group, spans)| {
        let (opened, decided) = (opened.and(spans), decided.and(spans));
        let name = group.map_or("all other addresses", Group::as_str);
        (!opened.is_empty()).then(|| part(&opened, &decided, name))
    });
    Some(words.collect::<Vec<_>>().join(", "))
}

/// Names a part of `whole` in the fewest words: as itself, by its networks, or by what it lacks.
fn part(opened: &Spans, whole: &Spans, name: &str) -> String {
    if opened == whole {
        return name.to_owned();
    }
    let told = |spans: &Spans| {
        let networks = spans.networks();
        let words: Vec<String> = networks.iter().map(ToString::to_string).collect();
        (words.len() <= NETWORKS_MAX).then(|| words.join(", "))
    };
    told(opened)
        .or_else(|| told(&whole.without(opened)).map(|rest| format!("{name} but {rest}")))
        .unwrap_or_else(|| format!("part of {name}"))
}

/// How many networks, or names, are told one by one.
const NETWORKS_MAX: usize = 3;
const NAMES_MAX: usize = 3;

/// Tells the names of a piece: by its rule's pattern where that is all of them.
fn name_words(after: &Network, piece: &Piece) -> Option<String> {
    let (opened, decided) = (&piece.opened.names, &piece.decided.names);
    if opened.is_empty() {
        return None;
    }
    if let By::Rule(number) = piece.by
        && let Target::Host(pattern) = after.rules[number].target()
        && (opened == decided || joined(opened).len() > NAMES_MAX)
    {
        return Some(pattern.to_string());
    }
    Some(listed(opened))
}

fn listed(labels: &BTreeSet<String>) -> String {
    let labels = joined(labels);
    match labels.len().checked_sub(NAMES_MAX) {
        None | Some(0) => labels.join(", "),
        Some(more) => format!("{} and {more} more names", labels[..NAMES_MAX].join(", ")),
    }
}

/// Tells names that may be looked up now, unless what passes now says so already.
fn look_ups(before: &Network, after: &Network, pieces: &[Piece]) -> Option<Widening> {
    let rules = before.rules.iter().chain(&after.rules);
    let patterns: BTreeSet<&HostPattern> = rules
        .filter_map(|rule| match rule.target() {
            Target::Host(pattern) => Some(pattern),
            Target::Any | Target::Group(_) | Target::Net(_) => None,
        })
        .collect();
    let public = |piece: &Piece| {
        let spans = GROUPS.iter().find(|(group, _)| *group == Some(Group::Public));
        spans.is_some_and(|(_, spans)| !piece.opened.addresses.and(spans).is_empty())
    };
    let egress = pieces.iter().filter(|piece| piece.direction == Direction::Egress);
    let egress: Vec<&Piece> = egress.collect();
    if egress.iter().any(|piece| public(piece)) {
        return None;
    }
    let told = |label: &String| egress.iter().any(|piece| piece.opened.names.contains(label));
    let opened = classes(patterns).into_iter().chain([others()]);
    let labels: BTreeSet<String> = opened
        .filter(|NameClass { label, name }| {
            !told(label) && may_look_up(after, name) && !may_look_up(before, name)
        })
        .map(|class| class.label)
        .collect();
    (!labels.is_empty())
        .then(|| Widening::new("network.rules", format!("look-ups + {}", listed(&labels))))
}

/// Tells rules instead of what they do: never less than is opened, perhaps more.
fn by_rule(before: &Network, after: &Network) -> Vec<Widening> {
    let count = |network: &Network, rule: &Rule| {
        network.rules.iter().filter(|other| *other == rule).count()
    };
    let is_new = |rule: &Rule| count(after, rule) > count(before, rule);
    let is_gone = |rule: &Rule| count(before, rule) > count(after, rule);
    let mut found = Vec::new();
    for (number, rule) in after.rules.iter().enumerate() {
        if rule.action() == Action::Allow && is_new(rule) {
            found.push(Widening { path: format!("network.rules.{number}"), text: told(rule) });
        }
    }
    for rule in before.rules.iter().filter(|rule| rule.action() == Action::Deny && is_gone(rule)) {
        found.push(Widening::new("network.rules", format!("{}, which was denied", told(rule))));
    }
    let kept = |network: &Network| -> Vec<Rule> {
        let kept = |rule: &&Rule| !is_new(rule) && !is_gone(rule);
        network.rules.iter().filter(kept).cloned().collect()
    };
    if kept(before) != kept(after) {
        found.push(Widening::new("network.rules", "egress + what another order of rules allows"));
    }
    if rank(after.preset) > rank(before.preset) {
        let text = format!("egress + what preset {} allows", after.preset);
        found.push(Widening::new("network.preset", text));
    }
    if before.tls.block_quic && (!after.tls.block_quic || before.tls.ports != after.tls.ports) {
        found.push(Widening::new("network.tls.block-quic", "egress + udp where TLS is expected"));
    }
    found
}

fn told(rule: &Rule) -> String {
    let way = rule.direction().as_str();
    format!("{way} + {}{}", rule.target(), rule_traffic(rule))
}
