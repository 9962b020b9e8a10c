//! The order of a question, and what each step says of it.

use super::*;

#[test]
fn rt_9_17_a_name_that_may_be_looked_up_is_asked_and_answered() {
    let mut bench = Bench::public();
    assert_eq!(bench.ask("a.example A"), ["ask 9.9.9.9:53 Udp a.example A"]);
    assert_eq!(
        bench.say(&["A 1.1.1.1 300", "A 1.1.1.2 200"]),
        [
            "forget",
            "pin a.example 1.1.1.1,1.1.1.2 200",
            "NOERROR a.example A, a.example A 1.1.1.1, a.example A 1.1.1.2, for 200 s",
        ]
    );
}

#[test]
fn rt_9_17_a_denied_name_is_no_name_for_a_minute_and_an_event_and_nothing_leaves() {
    let mut bench = Bench::new(Preset::None, &["allow a.example tcp/443"]);
    for kind in ["A", "AAAA", "TXT", "HTTPS", "PTR"] {
        assert_eq!(
            bench.ask(&format!("x.b.example {kind}")),
            [
                r#"note Denied { name: "x.b.example" }"#.to_owned(),
                format!("NXDOMAIN x.b.example {kind}, b.example SOA 60, for 60 s"),
            ]
        );
    }
    assert_eq!(bench.ask("A.Example A"), ["ask 9.9.9.9:53 Udp a.example A"]);
}

#[test]
fn rt_9_17_below_the_preset_off_nothing_is_looked_up() {
    let mut bench = Bench::new(Preset::Off, &["allow a.example"]);
    assert_eq!(bench.ask("a.example A").len(), 2);
    assert!(bench.open.is_empty());
}

#[test]
fn rt_9_17_a_name_that_reads_like_another_is_refused() {
    let mut bench = Bench::new(Preset::None, &["allow *.a.example"]);
    let mut message = ask(7, "xya.example A", None);
    message[14] = b'.';
    let mut denied = bench.ask_bytes(&message);
    assert_eq!(denied.remove(0), "note Malformed");
    assert!(bench.open.is_empty(), "one label `x.a` is not below a.example");
}

#[test]
fn rt_9_17_what_is_known_is_not_asked_again_and_its_time_counts_down() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.say(&["A 1.1.1.1 100"]);
    bench.wait(30.0);
    assert_eq!(
        bench.ask("A.EXAMPLE A"),
        ["pin a.example 1.1.1.1 70", "NOERROR a.example A, a.example A 1.1.1.1, for 70 s"]
    );
    bench.wait(69.5);
    assert!(bench.ask("a.example A")[1].ends_with("for 1 s"));
    bench.wait(0.5);
    assert_eq!(bench.ask("a.example A"), ["ask 9.9.9.9:53 Udp a.example A"]);
}

#[test]
fn rt_9_17_an_answer_holds_an_hour_at_most() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    let said = bench.say(&["A 1.1.1.1 86400"]);
    assert!(said[2].ends_with("for 3600 s"), "a guest does not keep it longer than its pin lives");
    bench.wait(3600.0);
    assert_eq!(bench.ask("a.example A").len(), 1);
    assert_eq!(bench.open.len(), 1);
}

#[test]
fn rt_9_17_that_there_is_nothing_holds_a_minute_at_most() {
    for code in ["NXDOMAIN", "NOERROR"] {
        for (soa, holds) in [("86400 86400", 60), ("30 86400", 30), ("86400 20", 20)] {
            let mut bench = Bench::public();
            bench.ask("x.a.example A");
            let said = bench.say(&[code, &format!("a.example SOA ns.a.example {soa}")]);
            let absent = soa.split(' ').next().unwrap();
            let expected = format!("{code} x.a.example A, a.example SOA {absent}, for {holds} s");
            assert_eq!(said[1..], [expected]);
            bench.wait(f64::from(holds) - 0.5);
            assert_eq!(bench.ask("x.a.example A").len(), 1);
            assert!(bench.open.is_empty());
            bench.wait(0.5);
            bench.ask("x.a.example A");
            assert_eq!(bench.open.len(), 1);
        }
    }
}

#[test]
fn who_does_not_say_for_how_long_there_is_nothing_is_asked_again() {
    for records in
        [&["NXDOMAIN"][..], &["NXDOMAIN", "b.example SOA ns.b.example 60 60"], &["A 1.1.1.1 0"]]
    {
        let mut bench = Bench::public();
        bench.ask("a.example A");
        bench.say(records);
        bench.ask("a.example A");
        assert_eq!(bench.open.len(), 1, "{records:?}");
    }
}

#[test]
fn a_time_with_its_highest_bit_set_is_none() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    assert!(bench.say(&["A 1.1.1.1 2147483648"])[2].ends_with("for 0 s"));
}

#[test]
fn rt_9_17_a_thousand_answers_are_kept_the_least_recently_used_goes() {
    let mut bench = Bench::public();
    for n in 0..1001 {
        bench.wait(0.01);
        bench.ask(&format!("n{n}.example A"));
        bench.say(&["A 1.1.1.1 3000"]);
        bench.ask("n0.example A");
        bench.now += Duration::from_millis(10);
    }
    assert_eq!(bench.resolver.load().cached, 1000);
    assert_eq!(bench.ask("n0.example A").len(), 2);
    assert!(bench.open.is_empty());
    bench.ask("n1.example A");
    assert_eq!(bench.open.len(), 1);
}

#[test]
fn what_is_kept_is_bounded_in_bytes_too() {
    let mut bench = Bench::public();
    let text = "x".repeat(250);
    let records: Vec<String> = (0..200).map(|_| format!("TXT {text} 3000")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    for n in 0..200 {
        bench.now += Duration::from_millis(10);
        bench.ask(&format!("n{n}.example TXT"));
        bench.say(&records);
    }
    let load = bench.resolver.load();
    assert!(load.cached > 20 && load.cached_bytes <= 4 << 20, "{load:?}");
}

#[test]
fn a_change_of_rules_reaches_what_is_known() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.say(&["A 1.1.1.1 300"]);
    bench.network = network(Preset::Public, &["deny a.example"]);
    assert!(bench.ask("a.example A")[1].starts_with("NXDOMAIN"));
    bench.network = network(Preset::Public, &[]);
    assert!(bench.ask("a.example A")[1].starts_with("NOERROR"));
    assert!(bench.open.is_empty());
}

#[test]
fn a_change_of_rules_reaches_what_is_in_flight() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.network = network(Preset::Public, &["deny a.example"]);
    assert_eq!(
        bench.say(&["A 1.1.1.1 300"]),
        [
            "forget",
            r#"note Denied { name: "a.example" }"#,
            "NXDOMAIN a.example A, example SOA 60, for 60 s"
        ]
    );
    bench.network = network(Preset::Public, &[]);
    bench.ask("b.example A");
    bench.network = network(Preset::Public, &["deny b.example"]);
    assert_eq!(bench.wait_for_it().last().unwrap(), "SERVFAIL b.example A");
    assert!(bench.open.is_empty(), "the next server hears nothing of it");
}

#[test]
fn other_servers_know_other_names() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.say(&["A 1.1.1.1 300"]);
    bench.resolver.set_servers(vec!["7.7.7.7:53".parse().unwrap()]);
    assert_eq!(bench.ask("a.example A"), ["ask 7.7.7.7:53 Udp a.example A"]);
    bench.network.dns.servers = vec!["6.6.6.6:5353".parse().unwrap()];
    assert_eq!(bench.ask("b.example A"), ["ask 6.6.6.6:5353 Udp b.example A"]);
}

#[test]
fn rt_9_17_a_hundred_questions_a_second_and_two_hundred_at_once() {
    let mut bench = Bench::public();
    let answered = |bench: &mut Bench| {
        (0..500).filter(|_| bench.ask("localhost A") != ["note TooFast"]).count()
    };
    assert_eq!(answered(&mut bench), 200);
    bench.wait(0.1);
    assert_eq!(answered(&mut bench), 10);
    bench.wait(60.0);
    assert_eq!(answered(&mut bench), 200);
    bench.by = Transport::Tcp;
    assert_eq!(bench.ask("localhost A"), ["note TooFast", "REFUSED"], "a stream loses nothing");
    assert_eq!(bench.ask_bytes(&[7]), ["note TooFast"]);
}

#[test]
fn rt_9_16_a_server_of_the_guests_choice_is_asked_where_a_rule_allows_its_address() {
    let mut bench = Bench::new(Preset::Public, &["allow 1.1.1.1 udp/53"]);
    bench.to = "1.1.1.1:53".parse().unwrap();
    assert_eq!(bench.ask("a.example A"), ["ask 1.1.1.1:53 Udp a.example A"]);
    bench.say(&["A 5.5.5.5 300"]);
    assert_eq!(bench.ask("a.example A").len(), 2, "what it said is known");
    bench.to = "198.18.0.1:53".parse().unwrap();
    assert_eq!(bench.ask("a.example A"), ["ask 9.9.9.9:53 Udp a.example A"], "but not as ours");
    bench.to = "4.4.4.4:53".parse().unwrap();
    assert_eq!(bench.ask("b.example A"), ["ask 9.9.9.9:53 Udp b.example A"]);
    bench.to = "1.1.1.1:53".parse().unwrap();
    assert!(bench.ask("box A")[0].contains("198.18.0.2"), "what is ours is answered here");
    bench.ask("c.example A");
    bench.network = network(Preset::Public, &[]);
    assert_eq!(bench.wait_for_it().last().unwrap(), "SERVFAIL c.example A");
}
