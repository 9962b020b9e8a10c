//! What is answered here, of which nothing leaves.

use super::*;

fn check(question: &str, expected: &str) {
    let mut bench = Bench::new(Preset::None, &[]);
    bench.resolver.set_ipv6(true);
    bench.resolver.set_siblings(siblings());
    assert_eq!(bench.ask(question), [expected], "{question}");
}

fn siblings() -> Vec<Sibling> {
    let sibling = |instance: &str, names: &[&str], ready| Sibling {
        instance: instance.to_owned(),
        names: names.iter().map(ToString::to_string).collect(),
        called: names[0].to_owned(),
        ready,
    };
    vec![
        sibling("web[0]", &["web-0", "web"], true),
        sibling("web[1]", &["web-1", "web"], true),
        sibling("web[2]", &["web-2", "web"], false),
        sibling("db", &["postgres"], false),
    ]
}

#[test]
fn rt_9_17_own_names_are_answered_here_for_five_seconds_whatever_the_rules() {
    check("box A", "NOERROR box A, box A 198.18.0.2, for 5 s");
    check("BOX AAAA", "NOERROR box AAAA, box AAAA fd6d:7362::2, for 5 s");
    check("localhost A", "NOERROR localhost A, localhost A 127.0.0.1, for 5 s");
    check("localhost AAAA", "NOERROR localhost AAAA, localhost AAAA ::1, for 5 s");
    check("x.localhost A", "NOERROR x.localhost A, x.localhost A 127.0.0.1, for 5 s");
    check(
        "host.msb.internal A",
        "NOERROR host.msb.internal A, host.msb.internal A 198.18.0.1, for 5 s",
    );
}

#[test]
fn of_what_is_ours_everything_else_is_nothing() {
    check("box TXT", "NOERROR box TXT, . SOA 5, for 5 s");
    check("host.msb.internal MX", "NOERROR host.msb.internal MX, msb.internal SOA 5, for 5 s");
    check("x.msb.internal A", "NXDOMAIN x.msb.internal A, msb.internal SOA 5, for 5 s");
    check("msb.internal NS", "NOERROR msb.internal NS, internal SOA 5, for 5 s");
}

#[test]
fn rt_9_18_a_name_for_an_address_of_ours_is_found_here() {
    check(
        "1.0.18.198.in-addr.arpa PTR",
        "NOERROR 1.0.18.198.in-addr.arpa PTR, 1.0.18.198.in-addr.arpa PTR host.msb.internal, for 5 s",
    );
    check(
        "1.0.0.127.in-addr.arpa PTR",
        "NOERROR 1.0.0.127.in-addr.arpa PTR, 1.0.0.127.in-addr.arpa PTR localhost, for 5 s",
    );
    check(
        "2.0.18.198.in-addr.arpa A",
        "NOERROR 2.0.18.198.in-addr.arpa A, 0.18.198.in-addr.arpa SOA 5, for 5 s",
    );
    let v6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.6.3.7.d.6.d.f.ip6.arpa";
    check(&format!("{v6} PTR"), &format!("NOERROR {v6} PTR, {v6} PTR box, for 5 s"));
}

#[test]
fn rt_9_18_a_name_for_an_address_among_ours_that_nobody_has_is_not_there() {
    for address in ["3.0.18.198", "9.9.19.198"] {
        let question = format!("{address}.in-addr.arpa PTR");
        let mut bench = Bench::public();
        assert!(bench.ask(&question)[0].starts_with("NXDOMAIN"), "{address}");
    }
    assert_eq!(
        Bench::public().ask("1.1.1.1.in-addr.arpa PTR"),
        ["ask 9.9.9.9:53 Udp 1.1.1.1.in-addr.arpa PTR"]
    );
}

#[test]
fn rt_9_2_siblings_have_addresses_in_the_order_of_the_first_lookup_and_keep_them() {
    let mut bench = Bench::new(Preset::None, &[]);
    bench.resolver.set_siblings(siblings());
    let at = |bench: &mut Bench, name: &str| bench.ask(&format!("{name} A"))[0].clone();
    assert_eq!(at(&mut bench, "postgres"), "NOERROR postgres A, postgres A 198.19.0.1, for 5 s");
    assert_eq!(at(&mut bench, "web-1"), "NOERROR web-1 A, web-1 A 198.19.0.2, for 5 s");
    bench.resolver.set_siblings(siblings().into_iter().rev().collect());
    assert_eq!(at(&mut bench, "Postgres"), "NOERROR postgres A, postgres A 198.19.0.1, for 5 s");
    let address = |text: &str| text.parse().unwrap();
    assert_eq!(bench.resolver.sibling(address("198.19.0.2")), Some("web[1]"));
    assert_eq!(bench.resolver.sibling(address("fd6d:7362:1::1")), Some("db"));
    for nobody in ["198.19.0.0", "198.19.0.3", "198.18.0.1", "fd6d:7362:1::", "fd6d:7362:2::1"] {
        assert_eq!(bench.resolver.sibling(address(nobody)), None, "{nobody}");
    }
    let named = bench.ask("1.0.19.198.in-addr.arpa PTR");
    assert!(named[0].contains("PTR postgres"), "{named:?}");
}

#[test]
fn rt_9_10_of_replicas_the_ready_ones_are_answered_in_turn() {
    let mut bench = Bench::new(Preset::None, &[]);
    bench.resolver.set_siblings(siblings());
    let mut ask = || {
        bench.ask("web AAAA");
        bench.ask("web A")[0].clone()
    };
    let turns = [ask(), ask(), ask()];
    assert_eq!(turns[0], "NOERROR web A, web A 198.19.0.1, web A 198.19.0.2, for 5 s");
    assert_eq!(turns[1], "NOERROR web A, web A 198.19.0.2, web A 198.19.0.1, for 5 s");
    assert_eq!(turns[2], turns[0]);
}

#[test]
fn siblings_are_told_by_ipv6_where_the_host_has_it() {
    let mut bench = Bench::new(Preset::None, &[]);
    bench.resolver.set_siblings(siblings());
    let nothing = "NOERROR postgres AAAA, . SOA 5, for 5 s";
    assert_eq!(bench.ask("postgres AAAA"), [nothing]);
    bench.resolver.set_ipv6(true);
    let there = "NOERROR postgres AAAA, postgres AAAA fd6d:7362:1::1, for 5 s";
    assert_eq!(bench.ask("postgres AAAA"), [there]);
}
