//! Questions that are none, names that do not end, and answers as they were written.

use super::*;

/// Changes a good question and compares what is done.
fn check(change: impl FnOnce(&mut Vec<u8>), expected: &[&str]) {
    let mut bench = Bench::public();
    let mut message = ask(7, "a.example A", Some(1232));
    change(&mut message);
    assert_eq!(bench.ask_bytes(&message), expected);
    assert!(bench.open.is_empty(), "nothing leaves");
}

const NOTHING: &[&str] = &["note Malformed"];
const BAD: &[&str] = &["note Malformed", "FORMERR"];

#[test]
fn rt_9_17_what_is_no_question_is_dropped() {
    check(Vec::clear, NOTHING);
    check(|message| message.truncate(11), NOTHING);
    check(|message| message[2] |= 0x80, NOTHING);
}

#[test]
fn rt_9_17_a_question_that_is_not_understood_is_told_so() {
    check(|message| message[5] = 0, BAD);
    check(|message| message[5] = 2, BAD);
    check(|message| message[7] = 1, BAD);
    check(|message| message[9] = 1, BAD);
    check(|message| message[11] = 3, BAD);
    check(|message| message[11] = 2, BAD);
    check(|message| message[11] = 0, BAD);
    check(|message| message.truncate(20), BAD);
    check(|message| message.truncate(37), BAD);
    check(|message| message.push(0), BAD);
    check(|message| message.resize(5000, 0), BAD);
    check(|message| message[12] = 0xc0, BAD);
    check(|message| message[12] = 0x40, BAD);
    check(|message| message[2] |= 0x10, &["note Malformed", "NOTIMP"]);
}

#[test]
fn rt_9_17_a_name_is_at_most_253_letters() {
    let name = |last: usize| {
        let label = "a".repeat(63);
        format!("{label}.{label}.{label}.{}", "a".repeat(last))
    };
    let mut bench = Bench::public();
    let longest = name(61);
    assert_eq!(longest.len(), 253);
    assert_eq!(bench.ask(&format!("{longest} A")).len(), 1);
    assert_eq!(bench.say(&["A 1.1.1.1 60"]).len(), 3);
    let mut message = ask(7, &format!("{longest} A"), None);
    message[12 + 3 * 64] = 62;
    message.insert(13 + 3 * 64, b'a');
    assert_eq!(bench.ask_bytes(&message), BAD);
}

#[test]
fn rt_9_17_another_class_is_refused() {
    let mut message = ask(7, "version.bind TXT", None);
    let end = message.len();
    message[end - 1] = 3;
    let told = ["note Unsupported", "REFUSED version.bind TXT"];
    assert_eq!(Bench::public().ask_bytes(&message), told);
}

#[test]
fn a_later_edns_is_told_which_one_we_speak() {
    let mut message = ask(7, "a.example A", Some(1232));
    let end = message.len();
    message[end - 5] = 1;
    let mut bench = Bench::public();
    let acts = bench.resolver.asked(&bench.network, bench.asker(), &message, bench.now);
    let Some(Act::Answer { message, .. }) = acts.last() else { panic!("{acts:?}") };
    assert_eq!(message[3] & 0xf, 0);
    assert_eq!(message[message.len() - 6..], [1, 0, 0, 0, 0, 0]);
}

#[test]
fn the_root_may_be_asked_about() {
    let mut bench = Bench::public();
    assert_eq!(bench.ask(". NS"), ["ask 9.9.9.9:53 Udp  NS"]);
    assert_eq!(
        bench.say(&["NS a.root.example 60"])[1],
        "NOERROR  NS, . NS a.root.example, for 60 s"
    );
    let mut bench = Bench::new(Preset::None, &["allow *.a.example"]);
    assert!(bench.ask(". NS")[1].starts_with("NXDOMAIN"));
}

/// Answers with a record whose owner or data are these bytes, and tells whether it is understood.
fn understood(body: &[u8]) -> bool {
    let mut bench = Bench::public();
    bench.ask("a.example MX");
    let mut said = say(&bench.open[0].3, &[]);
    said[7] = 1;
    said.extend(body);
    bench.say_bytes(&said).last().unwrap().starts_with("NOERROR")
}

#[test]
fn a_name_that_does_not_end_is_no_name() {
    let record = |name: &[u8]| {
        let mut body = name.to_vec();
        body.extend([0, 15, 0, 1, 0, 0, 0, 60, 0, 4, 0, 10, 0xc0, 12]);
        body
    };
    // The record begins at 27.
    assert!(understood(&record(&[0xc0, 12])));
    assert!(!understood(&record(&[0xc0, 27])), "it points at itself");
    assert!(!understood(&record(&[0xc0, 40])), "it points ahead");
    assert!(!understood(&record(&[1, b'a', 0xc0, 27])), "it goes round until it is too long");
    assert!(!understood(&record(&[0x80, 0])), "it has lengths that there are not");
    assert!(!understood(&record(&[63, b'a'])), "its end is not there");
}

#[test]
fn a_record_is_as_long_as_it_says() {
    let record = |length: u8, data: &[u8]| {
        let mut body = vec![0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 60, 0, length];
        body.extend(data);
        body
    };
    assert!(understood(&record(4, &[0, 10, 0xc0, 12])));
    assert!(!understood(&record(3, &[0, 10, 0xc0, 12])), "its name goes on behind it");
    assert!(!understood(&record(5, &[0, 10, 0xc0, 12, 0])), "something is left over");
    assert!(!understood(&record(9, &[0, 10, 0xc0, 12])), "it goes on behind the message");
    assert!(!understood(&record(1, &[0])));
}

#[test]
fn an_answer_of_very_many_records_is_not_read() {
    let records: Vec<&str> = vec!["A 1.1.1.1 60"; 200];
    let mut bench = Bench::public();
    bench.ask("a.example A");
    let mut said = say(&bench.open[0].3, &records);
    said.extend_from_within(said.len() - 100 * 16..);
    (said[6], said[7]) = (1, 44);
    assert!(bench.say_bytes(&said)[1].contains("Failed"));
}

#[test]
fn names_are_written_once_and_pointed_at() {
    let mut bench = Bench::public();
    bench.ask("www.a.example A");
    let said = say(
        &bench.open[0].3,
        &["CNAME web.a.example 60", "web.a.example A 1.1.1.1 60", "web.a.example A 1.1.1.2 60"],
    );
    let (query, server, ..) = bench.open[0];
    let heard = Heard { query, server, message: &said };
    let acts = bench.resolver.heard(&bench.network, heard, bench.now);
    let Some(Act::Answer { message, .. }) = acts.last() else { panic!("{acts:?}") };
    let question = 12 + 15 + 4;
    let alias = 12 + 4 + 2;
    assert_eq!(message.len(), question + alias + 2 * 16);
    assert!(answer(message).contains("web.a.example A 1.1.1.2"));
}
