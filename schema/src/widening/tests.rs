//! Grants in words, and nothing opened that is not told.

use std::collections::BTreeSet;

use super::decide::pieces;
use super::*;
use crate::policy::tests::{Numbers, flows, network as policy, some_rule};
use crate::policy::{By, Flow, judge, may_be_answer, may_look_up};
use crate::project::network::{Direction, Network, PortRange, Preset, Protocol};
use crate::project::{
    Access, Connect, DiskMount, GuestPath, HostPorts, HostRoot, Kind, Mount, MountOptions,
    MountSource, Placeholder, PublishedPort, Root, SecretSource, Transport, Write,
};

fn texts(found: &[Widening]) -> Vec<String> {
    found.iter().map(|one| format!("{}: {}", one.path, one.text)).collect()
}

fn check(before: (Preset, &[&str]), after: (Preset, &[&str]), expected: &[&str]) {
    let (was, is) = (policy(before.0, before.1), policy(after.0, after.1));
    let found = texts(&network::opened(&was, &is));
    assert_eq!(found, expected, "{before:?} → {after:?}");
}

#[test]
fn sf_p17_a_rule_that_opens_something_is_named_with_what_it_opens() {
    use Preset::{None, Public};
    check(
        (None, &[]),
        (None, &["allow *.acme.example tcp/443"]),
        &["network.rules.0: egress + *.acme.example tcp/443"],
    );
    check((None, &[]), (None, &["deny any", "allow a.example"]), &[]);
    check(
        (None, &[]),
        (None, &["allow 10.0.0.0/8 tcp/5432", "allow public udp/53"]),
        &[
            "network.rules.0: egress + 10.0.0.0/8 tcp/5432",
            "network.rules.1: egress + public udp/53",
        ],
    );
    check(
        (None, &["allow any tcp/443"]),
        (None, &["allow any tcp/443,8443"]),
        &["network.rules.0: egress + any tcp/8443"],
    );
    check(
        (None, &["allow a.example tcp/443"]),
        (None, &["allow *.a.example tcp/443"]),
        &["network.rules.0: egress + *.a.example tcp/443"],
    );
    check((Public, &[]), (Public, &["allow a.example"]), &[]);
    let (name, address) = ("allow a.example tcp/443", "allow 10.0.0.5 tcp/22");
    check(
        (Public, &[name]),
        (Public, &[name, address]),
        &[
            "network.rules.0: egress + a.example tcp/443",
            "network.rules.1: egress + 10.0.0.5 tcp/22",
        ],
    );
    // The same in other words opens nothing.
    let split = ["allow 10.0.0.0/9", "allow 10.128.0.0/9"];
    check((None, &["allow 10.0.0.0/8"]), (None, &split), &[]);
    check((Public, &[]), (Public, &["allow public"]), &[]);
}

#[test]
fn sf_p17_a_preset_that_opens_something_is_named() {
    use Preset::{None, Off, Open, Private, Public};
    let preset = |before, after, expected: &[&str]| {
        check((before, &[]), (after, &[]), expected);
        check((after, &[]), (before, &[]), &[]);
    };
    preset(Off, Public, &["network.preset: egress + public"]);
    preset(None, Public, &["network.preset: egress + public"]);
    preset(Public, Private, &["network.preset: egress + private"]);
    preset(None, Private, &["network.preset: egress + public, private"]);
    preset(
        Public,
        Open,
        &["network.preset: egress + private, loopback, link-local, multicast, host"],
    );
    check(
        (None, &["allow 8.8.8.0/24"]),
        (Public, &[]),
        &["network.preset: egress + public but 8.8.8.0/24"],
    );
    check(
        (None, &["deny 8.8.8.0/24"]),
        (Public, &["deny 8.8.8.0/24"]),
        &["network.preset: egress + public"],
    );
}

#[test]
fn sf_p17_a_rule_that_goes_or_moves_opens_what_it_kept_shut() {
    use Preset::{None, Private, Public};
    check(
        (Private, &["deny 10.0.0.0/8"]),
        (Private, &[]),
        &["network.preset: egress + 10.0.0.0/8"],
    );
    check(
        (Public, &["deny evil.example"]),
        (Public, &[]),
        &["network.preset: egress + evil.example"],
    );
    let (deny, allow) = ("deny a.example", "allow b.example");
    check((None, &[deny, allow]), (None, &[allow, deny]), &["network.rules.0: egress + b.example"]);
    check(
        (None, &["deny any", "allow 10.0.0.0/8"]),
        (None, &["allow 10.0.0.0/8"]),
        &["network.rules.0: egress + 10.0.0.0/8"],
    );
    check(
        (Public, &["deny ingress 10.0.0.0/8"]),
        (Public, &[]),
        &["network.rules: ingress + 10.0.0.0/8"],
    );
    check(
        (Public, &["deny ingress any tcp/22"]),
        (Public, &[]),
        &["network.rules: ingress + any tcp/22"],
    );
}

#[test]
fn sf_p17_what_else_the_network_guards_is_told_when_it_goes() {
    let before = policy(Preset::Public, &[]);
    let mut after = before.clone();
    after.tls.block_quic = false;
    after.dns.rebind_protection = false;
    assert_eq!(
        texts(&network::opened(&before, &after)),
        [
            "network.tls.block-quic: egress + public udp/443",
            "network.dns.rebind-protection: dns + answers with other than public addresses",
        ]
    );
    check(
        (Preset::None, &["allow 0.0.0.0/0", "allow ::/0"]),
        (Preset::Public, &[]),
        &["network.rules: look-ups + any other name"],
    );
}

/// A name that stands for all others cannot be taken by a rule that hides them.
#[test]
fn sf_p17_no_rule_hides_the_names_below_a_suffix() {
    for hidden in ["any--other.a.example", "x.a.example", "a.example"] {
        let deny = format!("deny {hidden}");
        check(
            (Preset::None, &[]),
            (Preset::None, &[&deny, "allow *.a.example"]),
            &["network.rules.1: egress + *.a.example"],
        );
    }
}

fn random(numbers: &mut Numbers) -> Network {
    let rules: Vec<String> = (0..numbers.below(5)).map(|_| some_rule(numbers)).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let mut made = policy(*numbers.one_of(&Preset::ALL), &rules);
    made.tls.block_quic = numbers.below(2) == 0;
    made.dns.rebind_protection = numbers.below(3) > 0;
    made
}

/// A policy and one that is not far from it.
fn pair(numbers: &mut Numbers) -> (Network, Network) {
    let before = random(numbers);
    let mut after = before.clone();
    for _ in 0..=numbers.below(2) {
        let count = after.rules.len();
        match numbers.below(4) {
            0 if count > 1 => after.rules.swap(0, count - 1),
            1 if count > 0 => drop(after.rules.remove(numbers.below(count))),
            2 => after.preset = *numbers.one_of(&Preset::ALL),
            _ => after.rules.extend(random(numbers).rules.into_iter().take(1)),
        }
    }
    (before, after)
}

/// All of a small world, one flow after the other, against the parts that were told.
#[test]
fn sf_p17_exactly_what_opens_in_a_small_world_is_told() {
    let mut numbers = Numbers(17);
    for _ in 0..150 {
        let (before, after) = pair(&mut numbers);
        let pieces = pieces(&before, &after).unwrap();
        let mut openers = BTreeSet::new();
        let mut unnamed = BTreeSet::new();
        flows(&mut |flow| {
            let alone = Flow { names: &[], ..*flow };
            let opens = |flow: &Flow<'_>| {
                !with_answers(&before, flow).allowed && with_answers(&after, flow).allowed
            };
            let published = flow.direction == Direction::Ingress && before.preset == Preset::Off;
            // What opens without a name is told without.
            if published || !opens(flow) || !flow.names.is_empty() && opens(&alone) {
                return;
            }
            let by = with_answers(&after, flow).by;
            openers.insert(key(flow, by));
            if flow.names.is_empty() {
                unnamed.insert((key(flow, by), flow.remote.address()));
            }
        });
        let mut told = BTreeSet::new();
        let mut told_unnamed = BTreeSet::new();
        flows(&mut |flow| {
            for piece in &pieces {
                let (direction, port) = (flow.direction, flow.port);
                let fits = (piece.direction, piece.protocol) == (direction, flow.protocol)
                    && piece.ports.contains(port);
                if !fits {
                    continue;
                }
                let key = key(flow, piece.by);
                if !piece.opened.names.is_empty() && direction == Direction::Egress {
                    told.insert(key);
                }
                if piece.opened.addresses.contains(flow.remote.address()) {
                    told.insert(key);
                    told_unnamed.insert((key, flow.remote.address()));
                }
            }
        });
        let lines = texts(&network::opened(&before, &after));
        let context = || format!("{:#?}\n{:#?}\n{lines:#?}", show(&before), show(&after));
        assert_eq!(told, openers, "{}", context());
        assert_eq!(told_unnamed, unnamed, "{}", context());
        let names = ["a.example", "x.a.example", "y.a.example", "b.example", "other.example"];
        let looks = names.iter().any(|n| may_look_up(&after, n) && !may_look_up(&before, n));
        let rebind = before.dns.rebind_protection && !after.dns.rebind_protection;
        assert!(rebind || lines.is_empty() == (openers.is_empty() && !looks), "{}", context());
    }
}

/// Judges a flow with the names that its address can have been an answer for.
fn with_answers(network: &Network, flow: &Flow<'_>) -> crate::policy::Judgement {
    let names = if may_be_answer(network, flow.remote) { flow.names } else { &[] };
    judge(network, &Flow { names, ..*flow })
}

type Key = (bool, By, Protocol, u16);

fn key(flow: &Flow<'_>, by: By) -> Key {
    (flow.direction == Direction::Ingress, by, flow.protocol, flow.port)
}

fn show(network: &Network) -> Vec<String> {
    let rules = network.rules.iter().map(ToString::to_string);
    rules.chain([network.preset.to_string(), network.tls.block_quic.to_string()]).collect()
}

#[test]
fn a_policy_that_nobody_can_read_is_told_rule_by_rule() {
    let rules: Vec<String> =
        (0..1024_u32).map(|n| format!("allow any tcp/{}-{}", n + 1, n + 30_000)).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let before = policy(Preset::None, &rules);
    let after = policy(Preset::Public, &[&rules[1..], &["allow 10.9.0.0/16"]].concat());
    assert_eq!(
        texts(&network::opened(&before, &after)),
        [
            "network.rules.1023: egress + 10.9.0.0/16",
            "network.preset: egress + what preset public allows",
        ]
    );
    // As many rules about the same ports are still taken apart.
    let plain: Vec<String> =
        (0..1024_u32).map(|n| format!("allow 10.{}.{}.0/24", n / 256, n % 256)).collect();
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    check(
        (Preset::None, &plain[1..]),
        (Preset::None, &plain),
        &["network.rules.0: egress + 10.0.0.0/24"],
    );
    let mut moved = before.clone();
    moved.rules.swap(0, 1);
    moved.rules.push(policy(Preset::None, &["deny any"]).rules[0].clone());
    let found = texts(&network::opened(&before, &moved));
    assert_eq!(found, ["network.rules: egress + what another order of rules allows"]);
}

fn web() -> Sandbox {
    Sandbox::new(Kind::Service, ImageRef::parse("redis:7").unwrap())
}

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn port(bind: &str, host: &str, guest: &str) -> PublishedPort {
    PublishedPort {
        protocol: Transport::Tcp,
        bind: bind.parse().unwrap(),
        host: HostPorts::parse(host).unwrap(),
        guest: PortRange::parse(guest).unwrap(),
    }
}

#[test]
fn sf_p17_a_port_that_leaves_loopback_is_told() {
    let opened =
        |before: &[PublishedPort], after: &[PublishedPort]| texts(&ports::opened(before, after));
    let local = port("127.0.0.1", "8080", "80");
    let all = port("0.0.0.0", "8080", "80");
    assert_eq!(opened(&[], &[local]), [""; 0]);
    let told = ["ports.0.0.0.0:8080/tcp: port + 0.0.0.0:8080/tcp → 80"];
    assert_eq!(opened(&[], &[all]), told);
    assert_eq!(opened(&[local], &[all]), told);
    assert_eq!(opened(&[all], &[all, local]), [""; 0]);
    assert_eq!(opened(&[all], &[port("192.168.1.2", "8080", "80")]), [""; 0]);
    assert_eq!(
        opened(&[all], &[port("0.0.0.0", "8080", "22")]),
        ["ports.0.0.0.0:8080/tcp: port + 0.0.0.0:8080/tcp → 22",]
    );
    assert_eq!(
        opened(&[all], &[port("0.0.0.0", "8080-8082", "80")]),
        ["ports.0.0.0.0:8080-8082/tcp: port + 0.0.0.0:8081-8082/tcp → 80",]
    );
    assert_eq!(
        opened(&[], &[port("::", "auto", "80-81")]),
        ["ports.[::]:auto:80-81/tcp: port + [::]:auto/tcp → 80-81",]
    );
}

#[test]
fn sf_p17_siblings_and_secrets_that_reach_further_are_told() {
    let mut before = web();
    let ports = |text: &str| PortSet::parse(text).unwrap();
    let connect = |text: &str| Connect { ports: ports(text), alias: "db".parse().unwrap() };
    before.connect.insert("db".parse().unwrap(), connect("5432"));
    let secret = Secret::new(SecretSource::Env("A".into()), vec![host("*.a.example")]);
    before.secrets.insert("s".parse().unwrap(), secret);
    before.network.tls.intercept = true;
    let mut after = before.clone();
    after.connect.insert("db".parse().unwrap(), connect("5432,9187"));
    after.connect.insert("mq".parse().unwrap(), connect("any"));
    let own = after.secrets.values_mut().next().unwrap();
    own.hosts = vec![host("b.a.example"), host("b.example")];
    own.require_tls = false;
    own.placeholder = Placeholder::parse("sk-00000000").ok();
    after.network.tls.bypass.push(host("*.bank.example"));
    let found = texts(&widening(&before, &after));
    assert_eq!(
        found,
        [
            "connect.db.ports: connect + db 9187",
            "connect.mq.ports: connect + mq",
            "network.tls.bypass: tls bypass + *.bank.example",
            "secrets.s.hosts: secret s + b.example",
            "secrets.s.require-tls: secret s + plain HTTP",
        ]
    );
    after.network.tls.intercept = false;
    let found = texts(&widening(&before, &after));
    assert!(found.contains(&"network.tls.intercept: tls intercept → off".to_owned()), "{found:?}");
    assert_eq!(texts(&widening(&after, &after)), [""; 0]);
}

#[test]
fn sf_p17_a_host_source_that_comes_or_turns_rw_is_told() {
    let mount = |place: &str, path: &str, access| Mount {
        destination: GuestPath::parse(place).unwrap(),
        source: MountSource::Disk(DiskMount { path: path.into(), fstype: None }),
        options: MountOptions { access, ..MountOptions::default() },
    };
    let with = |mounts: &[Mount]| Sandbox { mounts: mounts.to_vec(), ..web() };
    let (ro, rw) =
        (mount("/d", "/srv/d.raw", Access::ReadOnly), mount("/d", "/srv/d.raw", Access::ReadWrite));
    let told = |before: &[Mount], after: &[Mount]| texts(&widening(&with(before), &with(after)));
    assert_eq!(
        told(&[], std::slice::from_ref(&ro)),
        ["mounts./d: host + disk /srv/d.raw at /d ro"]
    );
    assert_eq!(
        told(std::slice::from_ref(&ro), std::slice::from_ref(&rw)),
        ["mounts./d: host + disk /srv/d.raw at /d rw"]
    );
    assert_eq!(told(&[rw], &[ro, mount("/e", "/srv/d.raw", Access::ReadWrite)]), [""; 0]);
    let mut root = web();
    root.root = Root::Dir(HostRoot { path: "/srv/root".into(), write: Write::Private });
    assert_eq!(texts(&grants(&root)), ["root-dir: host + dir /srv/root at / ro"]);
    let private = root.clone();
    root.root = Root::Dir(HostRoot { path: "/srv/root".into(), write: Write::InPlace });
    assert_eq!(texts(&widening(&private, &root)), ["root-dir: host + dir /srv/root at / rw"]);
    assert_eq!(texts(&widening(&root, &private)), [""; 0]);
}

#[test]
fn sf_p17_a_weaker_profile_is_told() {
    let (mut restricted, default) = (web(), web());
    restricted.security = Security::Restricted;
    let told = ["security: security restricted → default"];
    assert_eq!(texts(&widening(&restricted, &default)), told);
    assert_eq!(texts(&widening(&default, &restricted)), [""; 0]);
}

#[test]
fn sf_p17_a_new_sandbox_tells_what_goes_beyond_saying_nothing() {
    assert_eq!(texts(&grants(&web())), [""; 0]);
    let mut narrow = web();
    narrow.network = policy(Preset::None, &["allow *.acme.example tcp/443"]);
    assert_eq!(texts(&grants(&narrow)), [""; 0], "less than the public preset");
    let mut wide = web();
    wide.network = policy(Preset::Public, &["allow host tcp/5432"]);
    wide.network.tls.intercept = true;
    wide.network.tls.bypass.push(host("a.example"));
    wide.ports.push(port("0.0.0.0", "80", "80"));
    let secret = Secret::new(SecretSource::Env("A".into()), vec![host("a.example")]);
    wide.secrets.insert("s".parse().unwrap(), secret);
    assert_eq!(
        texts(&grants(&wide)),
        [
            "ports.0.0.0.0:80/tcp: port + 0.0.0.0:80/tcp → 80",
            "network.rules.0: egress + host tcp/5432",
            "network.tls.bypass: tls bypass + a.example",
            "secrets.s.hosts: secret s + a.example",
        ]
    );
}
