//! Servers: who is asked when, what counts as an answer, and what happens when none comes.

use super::*;

#[test]
fn rt_9_17_the_same_question_is_asked_once_and_answered_to_all() {
    let mut bench = Bench::public();
    assert_eq!(bench.ask("a.example A").len(), 1);
    bench.id = 8;
    assert!(bench.ask("A.EXAMPLE A").is_empty());
    assert!(bench.ask("A.EXAMPLE A").is_empty(), "asked once more by the same");
    assert_eq!(bench.ask("a.example TXT").len(), 1, "another question");
    assert_eq!(bench.resolver.load().waiting, 3);
    bench.open.swap(0, 1);
    let acts = bench.say(&["A 1.1.1.1 60"]);
    assert_eq!(acts.iter().filter(|act| act.starts_with("NOERROR")).count(), 2);
}

#[test]
fn an_answer_repeats_the_id_and_the_case_of_its_question() {
    let mut bench = Bench::public();
    bench.id = 0xbeef;
    bench.ask("A.eXaMpLe A");
    let (query, server, _, asked) = bench.open[0].clone();
    let message = say(&asked, &["A 1.1.1.1 60"]);
    let heard = Heard { query, server, message: &message };
    let acts = bench.resolver.heard(&bench.network, heard, bench.now);
    let Some(Act::Answer { message, asker }) = acts.last() else { panic!("{acts:?}") };
    assert_eq!(*asker, bench.asker());
    assert_eq!(message[..2], [0xbe, 0xef]);
    assert_eq!(message[12..23], *b"\x01A\x07eXaMpLe\0");
}

#[test]
fn rt_9_17_ids_and_case_are_as_chance_has_them() {
    let mut bench = Bench::public();
    let name = "abcdefghijklmnopqrstuvwxyz.example A";
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        bench.now += Duration::from_secs(1);
        bench.ask(name);
        let asked = bench.open.last().unwrap().3.clone();
        assert!(asked[12..].iter().any(u8::is_ascii_uppercase));
        assert!(asked[12..].iter().any(u8::is_ascii_lowercase));
        seen.insert((asked[..2].to_vec(), asked[12..40].to_vec()));
        bench.say(&["A 1.1.1.1 0"]);
    }
    assert_eq!(seen.len(), 40);
}

#[test]
fn rt_9_17_only_the_answer_to_the_question_counts() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    let (query, server, _, asked) = bench.open[0].clone();
    let good = say(&asked, &["A 6.6.6.6 60"]);
    let strange = [r"note Strange { server: 9.9.9.9:53 }"];
    for (place, what) in
        [(0, "another id"), (1, "another id"), (2, "a question"), (15, "another name")]
    {
        let mut other = good.clone();
        other[place] ^= 0x80;
        assert_eq!(bench.say_bytes(&other), strange, "{what}");
    }
    let mut other = good.clone();
    let end = asked[12..].iter().position(|byte| *byte == 0).unwrap() + 12;
    other[end + 2] = 28;
    assert_eq!(bench.say_bytes(&other), strange, "another kind");
    assert_eq!(bench.say_bytes(&good[..20]), strange, "half of it");
    assert_eq!(bench.say_bytes(&[]), strange);
    let heard = Heard { query, server: "9.9.9.9:54".parse().unwrap(), message: &good };
    let acts = bench.resolver.heard(&bench.network, heard, bench.now);
    assert_eq!(bench.take(&acts), strange, "another server");
    let heard = Heard { query: QueryId(99), server, message: &good };
    assert!(bench.resolver.heard(&bench.network, heard, bench.now).is_empty());
    assert_eq!(
        bench.say_bytes(&good).last().unwrap(),
        "NOERROR a.example A, a.example A 6.6.6.6, for 60 s"
    );
    let heard = Heard { query, server, message: &good };
    assert!(bench.resolver.heard(&bench.network, heard, bench.now).is_empty(), "said twice");
}

#[test]
fn rt_9_17_who_loses_the_case_is_asked_by_a_stream_where_it_does_not_count() {
    let mut bench = Bench::public();
    bench.ask("abcdefgh.example A");
    let lowered = |asked: &[u8], records: &[&str]| {
        let mut said = say(asked, records);
        said[12..30].make_ascii_lowercase();
        said
    };
    let said = lowered(&bench.open[0].3, &["A 6.6.6.6 60"]);
    let strange = r"note Strange { server: 9.9.9.9:53 }";
    let asked = "ask 9.9.9.9:53 Tcp abcdefgh.example A";
    assert_eq!(bench.say_bytes(&said), ["forget", strange, asked]);
    let said = lowered(&bench.open[0].3, &["A 1.1.1.1 60"]);
    assert!(bench.say_bytes(&said)[2].contains("A 1.1.1.1"));
}

#[test]
fn rt_9_17_what_is_cut_short_is_asked_by_a_stream() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    assert_eq!(bench.say(&["CUT", "A 1.1.1.1 60"]), ["forget", "ask 9.9.9.9:53 Tcp a.example A"]);
    let told = bench.say(&["CUT"]);
    assert_eq!(told[2], "ask 8.8.8.8:53 Udp a.example A", "a stream that is cut is no answer");
}

#[test]
fn rt_9_17_the_next_server_is_asked_after_silence_servfail_refused_or_unreached() {
    let next = "ask 8.8.8.8:53 Udp a.example A";
    let failed = |loss: &str| format!("note ServerFailed {{ server: 9.9.9.9:53, loss: {loss} }}");
    for code in ["SERVFAIL", "REFUSED"] {
        let mut bench = Bench::public();
        bench.ask("a.example A");
        assert_eq!(bench.say(&[code]), ["forget", &failed("Failed"), next]);
        assert!(bench.say(&["A 1.1.1.1 60"])[2].starts_with("NOERROR"));
    }
    let mut bench = Bench::public();
    bench.ask("a.example A");
    assert_eq!(bench.fail(), ["forget", &failed("Unreached"), next]);
    let mut bench = Bench::public();
    bench.ask("a.example A");
    assert!(bench.wait(1.9).is_empty());
    assert_eq!(bench.wait(0.1), ["forget", &failed("Silence"), next]);
}

#[test]
fn rt_9_17_a_failed_server_rests_ten_seconds() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.fail();
    bench.say(&["A 1.1.1.1 0"]);
    bench.wait(9.9);
    assert_eq!(bench.ask("b.example A"), ["ask 8.8.8.8:53 Udp b.example A"]);
    bench.say(&["A 1.1.1.1 0"]);
    bench.wait(0.1);
    assert_eq!(bench.ask("c.example A"), ["ask 9.9.9.9:53 Udp c.example A"]);
}

#[test]
fn where_all_rest_they_are_asked_in_their_order() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.fail();
    assert_eq!(bench.fail().last().unwrap(), "SERVFAIL a.example A");
    assert_eq!(bench.ask("b.example A"), ["ask 9.9.9.9:53 Udp b.example A"]);
}

#[test]
fn rt_9_17_when_all_have_failed_the_guest_is_told_so_at_once() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    bench.say(&["SERVFAIL"]);
    let told = bench.say(&["SERVFAIL"]);
    assert_eq!(told[2..], ["note Unanswered { name: \"a.example\" }", "SERVFAIL a.example A"]);
    bench.ask("a.example A");
    assert_eq!(bench.open.len(), 1, "that is not kept");
}

#[test]
fn rt_9_17_all_tries_together_have_the_timeout() {
    let mut bench = Bench::public();
    bench.network.dns.timeout = schema::units::Millis(3000);
    bench.resolver.set_servers(vec!["9.9.9.9:53".parse().unwrap()]);
    assert_eq!(bench.ask("a.example A").len(), 1);
    let mut told = Vec::new();
    let mut tries = 1;
    while !bench.open.is_empty() {
        told = bench.wait_for_it();
        tries += usize::from(!bench.open.is_empty());
    }
    assert_eq!(tries, 2, "one server alone is asked twice");
    assert_eq!(told.last().unwrap(), "SERVFAIL a.example A");
    assert_eq!(bench.now - bench.start, Duration::from_secs(3));
    assert_eq!(bench.resolver.deadline(), None);
}

#[test]
fn without_servers_there_is_no_answer() {
    let mut bench = Bench::public();
    bench.resolver.set_servers(Vec::new());
    let told = ["note Unanswered { name: \"a.example\" }", "SERVFAIL a.example A"];
    assert_eq!(bench.ask("a.example A"), told);
}

#[test]
fn a_server_that_does_not_understand_edns_is_asked_without() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    let with = bench.open[0].3.len();
    assert_eq!(bench.say(&["FORMERR"]), ["forget", "ask 9.9.9.9:53 Udp a.example A"]);
    assert_eq!(bench.open[0].3.len(), with - 11);
    assert_eq!(bench.say(&["FORMERR"])[2], "ask 8.8.8.8:53 Udp a.example A");
}

#[test]
fn a_server_may_fail_without_a_word_about_the_question() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    let id = bench.open[0].3[..2].to_vec();
    let bare = |flags: u8| [id.clone(), vec![0x81, flags, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(bench.say_bytes(&bare(0)), [r"note Strange { server: 9.9.9.9:53 }"]);
    assert_eq!(bench.say_bytes(&bare(2))[2], "ask 8.8.8.8:53 Udp a.example A");
}

#[test]
fn an_answer_that_makes_no_sense_is_a_failure() {
    let mut bench = Bench::public();
    bench.ask("a.example A");
    let mut said = say(&bench.open[0].3, &["A 1.1.1.1 60"]);
    said.pop();
    assert_eq!(bench.say_bytes(&said)[2], "ask 8.8.8.8:53 Udp a.example A");
}

#[test]
fn rt_9_17_sixty_four_are_in_flight_at_most() {
    let mut bench = Bench::public();
    for n in 0..64 {
        assert_eq!(bench.ask(&format!("n{n}.example A")).len(), 1);
    }
    assert_eq!(bench.ask("more.example A"), ["note TooMany", "SERVFAIL more.example A"]);
    bench.id = 8;
    assert!(bench.ask("n3.example A").is_empty(), "the same may still wait");
    assert_eq!(bench.resolver.load().in_flight, 64);
    bench.say(&["A 1.1.1.1 60"]);
    assert_eq!(bench.ask("more.example A").len(), 1);
}

#[test]
fn a_thousand_and_twenty_four_wait_at_most() {
    let mut bench = Bench::public();
    bench.network.dns.timeout = schema::units::Millis(60_000);
    bench.resolver.set_servers((1..17).map(|n| SocketAddr::from(([9, 9, 9, n], 53))).collect());
    let mut refused = 0;
    for id in 0..1100 {
        bench.id = id;
        bench.now += Duration::from_millis(10);
        refused += usize::from(bench.ask("a.example A").contains(&"note TooMany".to_owned()));
    }
    assert_eq!((refused, bench.resolver.load().waiting), (76, 1024));
}

#[test]
fn by_udp_an_answer_is_no_longer_than_the_guest_takes() {
    let records: Vec<String> = (0..60).map(|n| format!("A 1.1.1.{n} 60")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    for (by, edns, is_cut) in [
        (Transport::Udp, None, true),
        (Transport::Udp, Some(512), true),
        (Transport::Udp, Some(0), true),
        (Transport::Udp, Some(1232), false),
        (Transport::Tcp, None, false),
    ] {
        let mut bench = Bench::public();
        (bench.by, bench.edns) = (by, edns);
        bench.ask("a.example A");
        let told = bench.say(&records);
        let expected = if is_cut { "NOERROR CUT a.example A" } else { "NOERROR a.example A, " };
        assert!(told.last().unwrap().starts_with(expected), "{by:?} {edns:?}: {told:?}");
    }
}
