//! Which kinds are answered, and what of an answer is passed on.

use super::*;

/// Asks, lets the server say `records`, and compares what the guest is told.
fn check(question: &str, records: &[&str], expected: &str) {
    let mut bench = Bench::public();
    bench.resolver.set_ipv6(true);
    assert_eq!(bench.ask(question), [format!("ask 9.9.9.9:53 Udp {question}")]);
    assert_eq!(bench.say(records).last().unwrap(), expected, "{question}");
}

#[test]
fn rt_9_18_each_kind_that_may_be_asked_for_is_passed_on() {
    for (question, said, told) in [
        ("a.example A", "A 1.1.1.1 60", "A 1.1.1.1"),
        ("a.example AAAA", "AAAA 2606:4700::1 60", "AAAA 2606:4700::1"),
        ("a.example CNAME", "CNAME b.example 60", "CNAME b.example"),
        ("a.example MX", "MX mail.a.example 60", "MX mail.a.example"),
        ("a.example TXT", "TXT some text 60", "TXT some text"),
        ("a.example SRV", "SRV b.example 60", "SRV b.example"),
        ("1.1.1.1.in-addr.arpa PTR", "PTR one.example 60", "PTR one.example"),
        ("a.example NS", "NS ns.a.example 60", "NS ns.a.example"),
        ("a.example CAA", "CAA issue 60", "CAA issue"),
        ("a.example HTTPS", "HTTPS . 1=h2 60", "HTTPS  1=6832"),
        ("a.example SVCB", "SVCB b.example 1=h2 60", "SVCB b.example 1=6832"),
        ("a.example NAPTR", "NAPTR b.example 60", "NAPTR b.example"),
    ] {
        let name = question.split(' ').next().unwrap();
        check(question, &[said], &format!("NOERROR {question}, {name} {told}, for 60 s"));
    }
}

#[test]
fn rt_9_18_where_a_zone_begins_is_passed_on() {
    let mut bench = Bench::public();
    bench.ask("a.example SOA");
    let mut said = say(&bench.open[0].3, &["SOA ns.a.example 900 60"]);
    (said[7], said[9]) = (1, 0);
    assert_eq!(bench.say_bytes(&said)[1], "NOERROR a.example SOA, a.example SOA 900, for 60 s");
}

#[test]
fn rt_9_18_other_kinds_are_not_answered_and_nothing_leaves() {
    for kind in ["ANY", "NULL"] {
        let mut bench = Bench::public();
        let expected = ["note Unsupported".to_owned(), format!("NOTIMP a.example {kind}")];
        assert_eq!(bench.ask(&format!("a.example {kind}")), expected);
        assert!(bench.open.is_empty());
    }
}

#[test]
fn rt_9_18_aliases_are_followed_in_their_order() {
    check(
        "a.example A",
        &["c.example A 1.1.1.1 90", "B.example CNAME C.example 80", "CNAME b.example 70"],
        "NOERROR a.example A, a.example CNAME b.example, b.example CNAME c.example, \
         c.example A 1.1.1.1, for 70 s",
    );
}

#[test]
fn rt_9_18_what_belongs_to_other_names_is_dropped() {
    check(
        "a.example A",
        &["A 1.1.1.1 60", "b.example A 1.1.1.2 60", "TXT more 60", "b.example CNAME a.example 60"],
        "NOERROR a.example A, a.example A 1.1.1.1, for 60 s",
    );
}

#[test]
fn rt_9_18_eight_aliases_are_followed_and_no_more() {
    let chain = |count: usize| -> Vec<String> {
        let alias = |n: usize| format!("n{n}.example CNAME n{}.example 60", n + 1);
        let end = format!("n{count}.example A 1.1.1.1 60");
        (0..count).map(alias).chain([end]).collect()
    };
    for (count, is_answered) in [(8, true), (9, false), (60, false)] {
        let chain = chain(count);
        let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
        let mut bench = Bench::public();
        bench.ask("n0.example A");
        let told = bench.say(&chain);
        assert_eq!(told.last().unwrap().starts_with("NOERROR"), is_answered, "{count}: {told:?}");
    }
}

#[test]
fn aliases_that_lead_in_a_circle_are_no_answer() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.say(&["CNAME b.example 60", "b.example CNAME a.example 60"]);
    let told = bench.say(&["CNAME b.example 60", "b.example CNAME a.example 60"]);
    assert_eq!(told.last().unwrap(), "SERVFAIL a.example A");
}

#[test]
fn an_alias_that_leads_to_nothing_is_told_with_what_is_not_there() {
    check(
        "a.example A",
        &["NXDOMAIN", "CNAME b.other 300", "other SOA ns.other 50 300"],
        "NXDOMAIN a.example A, a.example CNAME b.other, other SOA 50, for 50 s",
    );
}

#[test]
fn an_alias_is_judged_by_the_name_that_was_asked_for_alone() {
    let rules = ["allow a.example", "deny *.cdn.example"];
    let mut bench = Bench::new(Preset::None, &rules);
    bench.ask("a.example A");
    assert_eq!(
        bench.say(&["CNAME x.cdn.example 60", "x.cdn.example A 1.1.1.1 60"]),
        [
            "forget",
            "pin a.example 1.1.1.1 60",
            "NOERROR a.example A, a.example CNAME x.cdn.example, x.cdn.example A 1.1.1.1, for 60 s",
        ]
    );
    assert!(bench.ask("x.cdn.example A")[1].starts_with("NXDOMAIN"));
}

#[test]
fn rt_9_2_without_ipv6_there_are_no_ipv6_addresses_and_nothing_leaves() {
    let mut bench = Bench::public();
    assert_eq!(bench.ask("a.example AAAA"), ["NOERROR a.example AAAA, example SOA 60, for 60 s"]);
    assert!(bench.open.is_empty());
    bench.ask("a.example HTTPS");
    let told = bench.say(&["HTTPS . 4=1.1.1.1 6=2606:4700::1 60"]);
    assert_eq!(told[1], "pin a.example 1.1.1.1 60");
    assert_eq!(told[2], "NOERROR a.example HTTPS, a.example HTTPS  4=01010101, for 60 s");
}

#[test]
fn rt_9_18_what_a_client_says_of_its_network_does_not_leave() {
    let mut message = ask(7, "a.example A", Some(4096));
    // Eleven bytes of options: the network of the client.
    let end = message.len();
    message[end - 1] = 11;
    message.extend([0, 8, 0, 7, 0, 1, 24, 0, 192, 168, 7]);
    let mut bench = Bench::public();
    assert_eq!(bench.ask_bytes(&message), ["ask 9.9.9.9:53 Udp a.example A"]);
    let asked = &bench.open[0].3;
    assert_eq!(asked.len(), ask(7, "a.example A", Some(0)).len(), "our own question and no more");
    assert!(!asked.windows(3).any(|bytes| bytes == [192, 168, 7]));
    let (_, opt) = asked.split_at(asked.len() - 11);
    assert_eq!(opt, [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
}
