//! Answers of the outside that lead to the inside.

use super::*;

/// Asks a name with one rule set, lets the server say `records`, and returns what is done.
fn told(rules: &[&str], question: &str, records: &[&str]) -> Vec<String> {
    let mut bench = Bench::new(Preset::Private, rules);
    bench.resolver.set_ipv6(true);
    bench.ask(question);
    let mut told = bench.say(records);
    assert_eq!(told.remove(0), "forget");
    told
}

#[test]
fn rt_9_19_an_answer_of_the_inside_alone_is_no_name_and_an_event() {
    for inside in
        ["10.0.0.1", "127.0.0.1", "169.254.169.254", "198.18.0.1", "198.19.0.1", "0.0.0.0"]
    {
        assert_eq!(
            told(&[], "a.example A", &[&format!("A {inside} 60")]),
            [
                format!(
                    "note Rebinding {{ name: \"a.example\", addresses: [{inside}], is_emptied: true }}"
                ),
                "NXDOMAIN a.example A, example SOA 60, for 60 s".to_owned(),
            ]
        );
    }
    for inside in ["::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "::"]
    {
        let told = told(&[], "a.example AAAA", &[&format!("AAAA {inside} 60")]);
        assert!(told[1].starts_with("NXDOMAIN"), "{inside}: {told:?}");
    }
}

#[test]
fn rt_9_19_of_a_mixed_answer_the_outside_stays() {
    assert_eq!(
        told(&[], "a.example A", &["A 10.0.0.1 60", "A 1.1.1.1 60"]),
        [
            "note Rebinding { name: \"a.example\", addresses: [10.0.0.1], is_emptied: false }",
            "pin a.example 1.1.1.1 60",
            "NOERROR a.example A, a.example A 1.1.1.1, for 60 s",
        ]
    );
}

#[test]
fn rt_9_19_a_rule_for_the_name_and_one_for_the_address_keep_it() {
    let kept = |rules: &[&str]| {
        told(rules, "a.example A", &["A 10.0.0.1 60"]).len() == 2
            && told(rules, "a.example A", &["A 10.0.0.1 60"])[0] == "pin a.example 10.0.0.1 60"
    };
    assert!(kept(&["allow a.example", "allow 10.0.0.0/8"]));
    assert!(kept(&["allow *.a.example tcp/443", "allow private tcp/22"]));
    assert!(!kept(&["allow a.example"]));
    assert!(!kept(&["allow 10.0.0.0/8"]));
    assert!(!kept(&["allow b.example", "allow 10.0.0.0/8"]));
}

#[test]
fn rt_9_19_where_it_is_switched_off_everything_is_kept() {
    let mut bench = Bench::public();
    bench.network.dns.rebind_protection = false;
    bench.ask("a.example A");
    assert_eq!(bench.say(&["A 10.0.0.1 60"])[1], "pin a.example 10.0.0.1 60");
    bench.network.dns.rebind_protection = true;
    assert!(bench.ask("a.example A")[1].starts_with("NXDOMAIN"), "what is known is cut as well");
}

#[test]
fn rt_9_19_behind_an_alias_the_asked_name_is_what_counts() {
    let rules = ["allow b.example", "allow 10.0.0.1"];
    let records = ["CNAME b.example 60", "b.example A 10.0.0.1 60"];
    assert!(told(&rules, "a.example A", &records)[1].starts_with("NXDOMAIN"));
    assert!(told(&rules, "b.example A", &["A 10.0.0.1 60"])[1].starts_with("NOERROR"));
}

#[test]
fn rt_9_18_hints_are_cut_as_addresses_are() {
    assert_eq!(
        told(&[], "a.example HTTPS", &["HTTPS . 1=h2 4=10.0.0.1,1.1.1.1 6=fd00::1 60"]),
        [
            "note Rebinding { name: \"a.example\", addresses: [10.0.0.1, fd00::1], is_emptied: false }",
            "pin a.example 1.1.1.1 60",
            "NOERROR a.example HTTPS, a.example HTTPS  1=6832 4=01010101, for 60 s",
        ]
    );
}

#[test]
fn a_service_that_needs_a_hint_goes_with_it() {
    let needy = ["HTTPS . 0=4 4=10.0.0.1 6=2606:4700::1 60"];
    let told = told(&[], "a.example HTTPS", &needy);
    assert_eq!(told.len(), 2, "nothing is pinned that was not told: {told:?}");
    assert_eq!(
        told[1], "NOERROR a.example HTTPS, example SOA 60, for 60 s",
        "the name is there all the same"
    );
}

#[test]
fn rt_9_14_what_was_answered_is_pinned_before_the_guest_hears_it() {
    let told = told(&[], "A.example A", &["A 1.1.1.1 9"]);
    assert_eq!(told[0], "pin a.example 1.1.1.1 9");
    assert!(told[1].starts_with("NOERROR"));
}
