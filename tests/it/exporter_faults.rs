//! A broken receiver costs nothing: what the buffer holds arrives once it is well, what it does not
//! is counted, and nothing is told twice (R20).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::home::Home;
use tests::otlp::Receiver;
use tests::run::{Started, eventually, pause};
use tests::skip::skip;

const WEB: &str = "project \"shop\"\n\
    sandbox \"web\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n";

/// How long anything may take that takes moments.
const SOON: Duration = Duration::from_secs(60);

/// Returns when samples of machines were taken that such requests tell.
fn moments(requests: &[Value], is_meant: impl Fn(&Value) -> bool) -> Vec<u64> {
    let meant = requests.iter().filter(|request| is_meant(request));
    let points = meant.flat_map(tests::otlp::points);
    let uptimes = points.filter(|point| point["name"] == "microsandbox.uptime");
    uptimes.filter_map(|point| point["time"].as_u64()).collect()
}

fn is_taken(request: &Value) -> bool {
    request["kind"] == "take" || request["kind"] == "part"
}

/// Returns the last value of one of the exporter's own figures.
fn own(receiver: &Receiver, name: &str) -> u64 {
    let name = format!("microsandbox.collector.{name}");
    let points = receiver.points();
    let found = points.iter().rfind(|point| point["name"] == name);
    found.and_then(|point| point["value"].as_u64()).unwrap_or_default()
}

/// Waits until a receiver was sent so many more requests.
fn more(receiver: &Receiver, count: usize) {
    let want = receiver.requests().len() + count;
    eventually("more requests", SOON, || (receiver.requests().len() >= want).then_some(()));
}

#[test]
fn rt_11_7_what_a_failing_receiver_did_not_take_arrives_once_it_is_well() {
    let home = Home::process();
    let Some(mut receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", WEB);
    home.msb(["up"]).exits(0);
    let grpc = format!("http://127.0.0.1:{}", receiver.grpc);
    let http = format!("http://127.0.0.1:{}", receiver.http);
    let faults = [
        json!({ "kind": "refuse", "http": 503, "grpc": "UNAVAILABLE" }),
        json!({ "kind": "refuse", "http": 429, "grpc": "RESOURCE_EXHAUSTED", "retry": 1 }),
        json!({ "kind": "garbage" }),
        json!({ "kind": "slow", "seconds": 3 }),
        json!({ "kind": "refuse", "http": 500, "grpc": "DATA_LOSS", "every": 2 }),
    ];
    for (protocol, endpoint) in [("grpc", &grpc), ("http", &http)] {
        receiver.answers(&json!({ "kind": "take" }));
        let before = receiver.requests().len();
        let words =
            ["--flush-interval", "500ms", "--export-timeout", "1s", "--max-sample-age", "0"];
        let more_words = ["otel", "--endpoint", endpoint, "--protocol", protocol];
        let exporter = home.exporter(&[&words[..], &more_words].concat());
        more(&receiver, 3);
        for fault in &faults {
            receiver.answers(fault);
            more(&receiver, 2);
            receiver.answers(&json!({ "kind": "take" }));
            more(&receiver, 2);
        }
        receiver.die();
        pause(Duration::from_secs(2));
        receiver.rise();
        more(&receiver, 3);
        exporter.signal(Signal::TERM);
        let run = exporter.wait(SOON).exits(0);
        let requests = receiver.requests().split_off(before);
        let (sent, taken) = (moments(&requests, |_| true), moments(&requests, is_taken));
        let distinct: BTreeSet<u64> = taken.iter().copied().collect();
        assert_eq!(distinct.len(), taken.len(), "{protocol}: a sample was taken twice: {run}");
        assert_eq!(distinct, sent.into_iter().collect(), "{protocol}: a sample was lost: {run}");
        assert_eq!(own(&receiver, "collections.dropped"), 0);
        assert!(own(&receiver, "exports.failure") >= faults.len() as u64);
        // Each fault is a change there and a change back, and so is the death.
        let warnings = run.stderr.matches("takes no figures").count();
        assert!((faults.len()..=faults.len() + 8).contains(&warnings), "{run}");
        assert!(run.stderr.contains("takes figures again; nothing was lost"), "{run}");
    }
}

#[test]
fn rt_11_7_what_no_buffer_holds_is_dropped_and_counted_and_told_once() {
    let home = Home::process();
    let Some(mut receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", WEB);
    home.msb(["up"]).exits(0);
    let endpoint = format!("http://127.0.0.1:{}", receiver.grpc);
    receiver.die();
    let words =
        ["--flush-interval", "500ms", "--max-buffered", "2", "otel", "--endpoint", &endpoint];
    let exporter = home.exporter(&words);
    eventually("it is told", SOON, || exporter.said().contains("takes no figures").then_some(()));
    pause(Duration::from_secs(6));
    assert_eq!(exporter.said().matches("takes no figures").count(), 1, "{}", exporter.said());
    receiver.rise();
    eventually("it is well again", SOON, || {
        exporter.said().contains("collections were dropped").then_some(())
    });
    more(&receiver, 2);
    assert!(own(&receiver, "collections.dropped") >= 2);
    // What it refuses for good is dropped too.
    let dropped = own(&receiver, "collections.dropped");
    receiver.answers(&json!({ "kind": "refuse", "grpc": "INVALID_ARGUMENT" }));
    eventually("it is told", SOON, || exporter.said().contains("refuses figures").then_some(()));
    // What was refused first may have been the exporter's own, which is no collection.
    let refused = |request: &Value| request["kind"] == "refuse";
    eventually("it refuses figures of machines", SOON, || {
        (!moments(&receiver.requests(), refused).is_empty()).then_some(())
    });
    receiver.answers(&json!({ "kind": "part", "rejected": 2, "message": "too old" }));
    more(&receiver, 3);
    exporter.signal(Signal::TERM);
    let run = exporter.wait(SOON).exits(0);
    assert!(own(&receiver, "collections.dropped") > dropped, "{run}");
    assert!(own(&receiver, "points.rejected") >= 2, "{run}");
    let taken = moments(&receiver.requests(), is_taken);
    let distinct: BTreeSet<u64> = taken.iter().copied().collect();
    assert_eq!(distinct.len(), taken.len(), "what it took in part is not sent again: {run}");
}

#[test]
fn what_answers_but_speaks_no_otlp_is_one_warning() {
    let home = Home::process();
    for protocol in ["grpc", "http"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                drop(stream.read(&mut [0; 512]));
                drop(stream.write_all(b"220 mail.example ESMTP\r\n\0\xff\xff"));
            }
        });
        let words = ["--flush-interval", "200ms", "otel", "--endpoint", &endpoint];
        let exporter = home.exporter(&[&words[..], &["--protocol", protocol]].concat());
        eventually("it is told", SOON, || exporter.said().contains("takes no").then_some(()));
        pause(Duration::from_secs(2));
        exporter.signal(Signal::TERM);
        let run = exporter.wait(SOON).exits(0);
        assert_eq!(run.stderr.matches("takes no figures").count(), 1, "{run}");
    }
}

#[test]
fn the_last_flush_has_its_time_and_a_second_signal_ends_it() {
    let home = Home::process();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", WEB);
    home.msb(["up"]).exits(0);
    let endpoint = format!("http://127.0.0.1:{}", receiver.grpc);
    let exporter = home.exporter(&["otel", "--endpoint", &endpoint]);
    pause(Duration::from_secs(2));
    assert_eq!(receiver.requests().len(), 0, "it flushes every 10 s");
    exporter.signal(Signal::TERM);
    exporter.wait(SOON).exits(0);
    assert!(!moments(&receiver.requests(), is_taken).is_empty(), "what it had is flushed");
    receiver.answers(&json!({ "kind": "slow", "seconds": 20 }));
    let exporter = home.exporter(&["otel", "--endpoint", &endpoint]);
    pause(Duration::from_secs(2));
    exporter.signal(Signal::INT);
    pause(Duration::from_secs(1));
    exporter.signal(Signal::INT);
    exporter.wait(Duration::from_secs(5)).exits(0).complains(&["not delivered"]);
}

#[test]
fn r20_the_series_of_a_killed_runtime_end_within_one_interval() {
    let home = Home::process();
    let Some(receiver) = Receiver::start(&home, "receiver") else { return skip("otlp") };
    home.write("Sandboxfile", WEB);
    home.msb(["up"]).exits(0);
    let endpoint = format!("http://127.0.0.1:{}", receiver.grpc);
    let exporter = home.exporter(&["--flush-interval", "1s", "otel", "--endpoint", &endpoint]);
    eventually("it is told of", SOON, || {
        (moments(&receiver.requests(), is_taken).len() > 2).then_some(())
    });
    let pid = home.sandbox("web")["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    kill_process(Pid::from_raw(pid.unwrap()).unwrap(), Signal::KILL).unwrap();
    pause(Duration::from_secs(3));
    let told = moments(&receiver.requests(), is_taken).len();
    more(&receiver, 4);
    let after = moments(&receiver.requests(), is_taken);
    assert_eq!(after.len(), told, "nothing is told of who has ended");
    let distinct: BTreeSet<u64> = after.iter().copied().collect();
    assert_eq!(distinct.len(), after.len(), "the last one is told once");
    exporter.signal(Signal::TERM);
    exporter.wait(SOON).exits(0);
    home.msb(["down"]).exits(0);
}

#[test]
fn a_host_that_has_no_room_for_everybody_is_one_warning_and_the_others_are_told() {
    let mut home = Home::process();
    let names = ["a", "b", "c", "d"];
    let of = |name: &&str| {
        format!("sandbox \"{name}\" {{ image \"builtin:base\"; command \"sleep\" \"1000\" }}\n")
    };
    let text: String = names.iter().map(of).collect();
    home.write("Sandboxfile", &format!("project \"shop\"\n{text}"));
    home.msb(["up"]).exits(0);
    let once = ["stdout", "--once", "--json"];
    // A soft limit alone is raised.
    home.go_through(&["/bin/sh", "-c", "ulimit -Sn 34; exec \"$@\"", "limited"]);
    let run = home.exporter(&once).wait(SOON).exits(0);
    assert_eq!((run.stdout.lines().count(), run.stderr.as_str()), (4, ""), "{run}");
    home.go_through(&["/bin/sh", "-c", "ulimit -n 34; exec \"$@\"", "limited"]);
    let run = home.exporter(&once).wait(SOON).exits(0);
    assert_eq!(run.stdout.lines().count(), 2, "{run}");
    run.complains(&["2 sandboxes are left out", "34 files", "LimitNOFILE"]);
    home.msb(["metrics"]).exits(0).complains(&["2 sandboxes are left out"]);
    let exporter = home.exporter(&["stdout", "--flush-interval", "1s"]);
    eventually("several rounds", SOON, || {
        (exporter.printed().matches("shop/a").count() > 2).then_some(())
    });
    home.go_through(&[]);
    home.msb(["stop", "a", "b"]).exits(0);
    eventually("the others have room", SOON, || {
        exporter.said().contains("there is room for every sandbox again").then_some(())
    });
    eventually("they are told of", SOON, || exporter.printed().contains("shop/d").then_some(()));
    exporter.signal(Signal::INT);
    let run = exporter.wait(SOON).exits(0);
    assert_eq!(run.stderr.matches("left out").count(), 1, "{run}");
    home.msb(["down"]).exits(0);
}

/// The short form; the long one runs by night.
#[test]
fn r20_memory_is_bounded_where_machines_come_and_go_and_nobody_receives() {
    let rounds =
        if std::env::var_os("MSB_BATTERY").is_some_and(|form| form == "whole") { 1000 } else { 40 };
    let home = Home::process();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{nobody}");
    let words = ["--flush-interval", "1s", "--max-buffered", "5", "otel", "--endpoint", &endpoint];
    let exporter = home.exporter(&words);
    let come_and_go = || home.msb(["run", "--rm", "builtin:base", "true"]).exits(0);
    // Everything that it does was done once.
    eventually("nobody receives", SOON, || {
        come_and_go();
        exporter.said().contains("takes no figures").then_some(())
    });
    let mut sizes = BTreeMap::new();
    for round in 0..rounds {
        come_and_go();
        sizes.insert(round, resident_kib(&exporter));
    }
    let (early, last) = (sizes[&(rounds / 4)], sizes[&(rounds - 1)]);
    assert!(last <= early + 2048, "{early} KiB, then {last} KiB: {sizes:?}");
    assert!(last <= 32 * 1024, "{last} KiB");
    exporter.signal(Signal::TERM);
    let run = exporter.wait(SOON).exits(0);
    assert_eq!(run.stderr.matches("takes no figures").count(), 1, "{run}");
}

fn resident_kib(exporter: &Started) -> u64 {
    let path = format!("/proc/{}/status", exporter.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
