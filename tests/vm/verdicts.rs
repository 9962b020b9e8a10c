//! What `net test` says is what a guest finds; what `inspect` shows is what was bound.

use std::io::Write as _;
use std::net::TcpListener;

use tests::home::Home;

/// Greets everybody who calls a port of this host.
fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream.and_then(|mut stream| stream.write_all(b"welcome\n")));
        }
    });
    port
}

#[test]
fn a_guest_finds_what_net_test_said_and_inspect_shows_what_was_bound() {
    let home = Home::machine();
    let (open, closed) = (greeter(), greeter());
    let allow = format!("--allow=host:{open}/tcp");
    let flags =
        ["create", "-n", "box", "-m", "96", "--net", "none", allow.as_str(), "-p", "auto:7"];
    home.msb_with(&[&flags[..], &["builtin:base", "sleep", "100000"]].concat()).exits(0);
    let rule = format!("rule 1: allow \"host\" protocol=\"tcp\" ports={open}");
    for (port, code, said) in [(open, 0, rule.as_str()), (closed, 1, "preset none: the host")] {
        let to = format!("host.msb.internal:{port}");
        home.msb(["net", "test", "box", &to]).exits(code).says(&[said]);
        let call = format!("nc -w 5 host.msb.internal {port} </dev/null");
        let called = home.msb(["exec", "box", "--", "sh", "-c", &call]);
        assert_eq!(called.stdout == "welcome\n", code == 0, "{port}: {called}");
    }
    // A name that the policy does not let out is nobody's.
    home.msb(["net", "test", "box", "a.example:443"]).exits(1).says(&["no answer"]);
    let lookup = "nslookup a.example 198.18.0.1 2>&1; true";
    home.msb(["exec", "box", "--", "sh", "-c", lookup]).exits(0).says(&["NXDOMAIN"]);

    let told = home.msb(["inspect", "box", "--json"]).exits(0).json();
    let port = &told[0]["ports"][0];
    let bound = port["host"].as_u64().unwrap();
    assert_eq!((&port["guest"], &port["auto"]), (&7.into(), &true.into()));
    assert_eq!(told[0]["network"]["ipv4"], "198.18.0.2");
    let figures = &told[0]["network"]["figures"];
    assert!(figures["denied"]["the preset"].as_u64() >= Some(1), "{figures}");
    assert!(figures["denied_names"].as_u64() >= Some(1), "{figures}");
    assert!(figures["connections"].is_u64() && figures["flows"].is_u64(), "{figures}");
    home.msb(["inspect", "box"]).exits(0).says(&[
        "Network       none, 1 rule, 198.18.0.2, resolver 198.18.0.1",
        "then     deny what no rule allows",
        "open     ",
        " by the preset",
        &format!("Ports         127.0.0.1:{bound} → 7/tcp"),
    ]);
    home.msb(["stop", "box"]).exits(0);
    let rests = home.msb(["inspect", "box", "--json"]).exits(0).json();
    assert!(rests[0]["network"]["figures"].is_null(), "{rests}");
    home.msb(["inspect", "box"]).exits(0).says(&["127.0.0.1:auto → 7/tcp"]);
    home.msb(["rm", "box"]).exits(0);
}
