//! Connections judged in words: what is allowed, by what, and what the name has to do with it.

use std::collections::BTreeMap;

use schema::project::{ImageRef, Kind};

use super::*;

fn network(preset: Preset, rules: &[&str]) -> Network {
    let mut network = Network { preset, ..Network::default() };
    network.rules.extend(rules.iter().map(|text| {
        let (action, text) = text.split_once(' ').unwrap();
        let (direction, text) = match text.strip_prefix("ingress ") {
            Some(text) => (Direction::Ingress, text),
            None => (Direction::Egress, text),
        };
        let action = if action == "allow" { Action::Allow } else { Action::Deny };
        Rule::read(action, direction, text).unwrap()
    }));
    network
}

fn sandbox(preset: Preset, rules: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::new(Kind::Service, ImageRef::parse("builtin:base").unwrap());
    sandbox.network = network(preset, rules);
    sandbox
}

fn judged(sandbox: &Sandbox, siblings: &[Sibling], to: &str) -> Verdict {
    let name = "web".parse().unwrap();
    Scene { name: &name, sandbox, siblings }.judge(&to.parse().unwrap())
}

/// Returns `allow rule 1: …` and, of a name, what was said of that.
fn say(sandbox: &Sandbox, to: &str) -> (String, Option<String>) {
    let verdict = judged(sandbox, &[], to);
    let line = |ruling: &Ruling| {
        format!("{} {}", if ruling.allowed { "allow" } else { "deny" }, ruling.rule)
    };
    assert_eq!(verdict.allowed(), verdict.flow.allowed, "{verdict:?}");
    (line(&verdict.flow), verdict.name.as_ref().map(line))
}

fn check(sandbox: &Sandbox, to: &str, flow: &str, name: Option<&str>) {
    let (said, of_name) = say(sandbox, to);
    assert_eq!((said.as_str(), of_name.as_deref()), (flow, name), "{to}");
}

#[test]
fn an_address_is_decided_by_rules_then_by_the_preset() {
    let web = sandbox(Preset::Public, &["deny 10.1.0.0/16", "allow private:22/tcp", "allow ::1"]);
    check(&web, "10.1.2.3:22", "deny rule 1: deny \"10.1.0.0/16\"", None);
    let second = "allow rule 2: allow \"private\" protocol=\"tcp\" ports=22";
    check(&web, "10.2.2.3:22", second, None);
    check(&web, "10.2.2.3:22/udp", "deny preset public: a private address", None);
    check(&web, "1.1.1.1:22", "allow preset public: a public address", None);
    check(&web, "1.1.1.1:443/udp", "deny block-quic: udp to port 443, where TLS is expected", None);
    let metadata = "deny preset public: the address of a metadata service";
    check(&web, "169.254.169.254:80", metadata, None);
    check(&web, "203.0.113.1:80", "deny never reached: 203.0.113.1", None);
    check(&web, "[::ffff:10.1.2.3]:80", "deny rule 1: deny \"10.1.0.0/16\"", None);
}

#[test]
fn a_name_is_looked_up_and_then_reached_at_its_answer() {
    let web = sandbox(Preset::None, &["deny 1.1.1.0/24", "allow *.acme.example:443/tcp"]);
    let rule = "allow rule 2: allow \"*.acme.example\" protocol=\"tcp\" ports=443";
    check(&web, "api.acme.example:443", rule, Some(rule));
    check(&web, "api.acme.example:80", "deny preset none: a public address", Some(rule));
    let none = "deny preset none: public names";
    check(&web, "other.example:443", &none.replace("deny ", "deny no answer: "), Some(none));
    let verdict = judged(&web, &[], "api.acme.example:443");
    let unless: Vec<&str> = verdict.unless.iter().map(|ruling| ruling.rule.as_str()).collect();
    assert_eq!(unless, ["rule 1: deny \"1.1.1.0/24\""]);
    let at = verdict.flow.at.map(|(sandbox, path)| format!("{sandbox} {path}"));
    assert_eq!(at.as_deref(), Some("web network.rules.1"));
    let public = sandbox(Preset::Public, &["deny b.example"]);
    let (flow, name) =
        ("allow preset public: a public address", "allow preset public: public names");
    check(&public, "a.example:22", flow, Some(name));
    let denied = "rule 1: deny \"b.example\"";
    check(
        &public,
        "b.example:22",
        &format!("deny no answer: {denied}"),
        Some(&format!("deny {denied}")),
    );
}

#[test]
fn an_address_of_the_inside_changes_nothing_that_no_answer_may_hold() {
    let unless = |rules: &[&str]| {
        let web = sandbox(Preset::Public, rules);
        judged(&web, &[], "a.example:443").unless.len()
    };
    assert_eq!(unless(&["deny 10.0.0.0/8"]), 0, "no answer leads there");
    assert_eq!(unless(&["deny 8.8.8.0/24"]), 1);
    assert_eq!(unless(&["deny 8.8.8.0/24:80"]), 0, "another port");
    assert_eq!(unless(&["allow 8.8.8.0/24"]), 0, "the same decision");
    assert_eq!(unless(&["allow a.example", "deny 8.8.8.0/24"]), 0, "decided before");
}

#[test]
fn the_host_and_the_guest_itself_have_names() {
    let web = sandbox(Preset::Public, &["allow host:5432"]);
    let answered = Some("allow the resolver answers it with the gateway");
    let rule = "allow rule 1: allow \"host\" ports=5432";
    check(&web, "host.msb.internal:5432", rule, answered);
    check(&web, "198.18.0.1:5432", rule, None);
    check(&web, "host.msb.internal:22", "deny preset public: the host", answered);
    let absent = "deny the resolver: there is no such name";
    check(&web, "x.msb.internal:22", absent, Some(absent));
    let itself = "allow the guest itself: it never leaves the guest";
    for to in ["localhost:80", "web:80", "a.localhost:80"] {
        check(&web, to, itself, Some(itself));
    }
    check(&web, "127.0.0.1:80", itself, None);
    check(&web, "198.18.0.2:80", itself, None);
}

#[test]
fn rt_9_16_port_53_is_the_resolver_s() {
    let web = sandbox(Preset::None, &["allow 9.9.9.9:53/udp"]);
    let own = "allow the machine's own resolver answers in its place";
    check(&web, "198.18.0.1:53/udp", own, None);
    check(&web, "8.8.8.8:53", own, None);
    let rule = "allow rule 1: allow \"9.9.9.9\" protocol=\"udp\" ports=53";
    check(&web, "9.9.9.9:53/udp", rule, None);
}

#[test]
fn without_a_network_nothing_is_reached() {
    let off = sandbox(Preset::Off, &[]);
    let none = "deny preset off: there is no network";
    for to in ["1.1.1.1:443", "127.0.0.1:80", "198.18.0.1:53"] {
        check(&off, to, none, None);
    }
    check(&off, "a.example:443", none, Some(none));
}

#[test]
fn a_sibling_is_reached_by_name_where_both_ends_say_so() {
    let mut web = sandbox(Preset::None, &[]);
    let (db, alias) = ("db".parse::<SandboxName>().unwrap(), "postgres".parse().unwrap());
    let connect = Connect { ports: PortSet::parse("5432").unwrap(), alias };
    web.connect = BTreeMap::from([(db.clone(), connect)]);
    let network = Some(network(Preset::None, &["deny ingress any:5432/udp"]));
    let siblings = [Sibling { name: db, hosts: vec!["db-0".to_owned()], network }];
    let said = |to: &str| {
        let verdict = judged(&web, &siblings, to);
        assert!(verdict.name.as_ref().unwrap().allowed || !verdict.flow.allowed);
        (verdict.allowed(), verdict.flow.rule)
    };
    assert_eq!(said("postgres:5432"), (true, "connect db: ports 5432".to_owned()));
    assert_eq!(said("db-0:5432"), (true, "connect db: ports 5432".to_owned()));
    assert_eq!(said("postgres:22"), (false, "connect db: ports 5432".to_owned()));
    let theirs = "rule 1 of db: deny \"any\" direction=\"ingress\" protocol=\"udp\" ports=5432";
    assert_eq!(said("postgres:5432/udp"), (false, theirs.to_owned()));
    assert!(!said("db:5432").0, "it is called by its other name");
    assert!(!judged(&web, &siblings, "198.19.0.1:5432").allowed());
}
