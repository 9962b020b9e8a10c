//! Flags as they are typed, and what they make of a sandbox.

use clap::Parser;
use schema::project::{ImageRef, Kind};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: NetworkFlags,
}

fn over(mut sandbox: Sandbox, line: &str) -> Result<Sandbox, Failure> {
    let words = std::iter::once("run").chain(line.split_whitespace());
    let line = Line::try_parse_from(words).unwrap();
    line.flags.apply(&mut sandbox).map(|()| sandbox)
}

fn plain() -> Sandbox {
    Sandbox::new(Kind::Service, ImageRef::parse("builtin:base").unwrap())
}

fn check(line: &str) -> Sandbox {
    over(plain(), line).unwrap()
}

fn refused(line: &str) -> Failure {
    over(plain(), line).unwrap_err()
}

fn shown(sandbox: &Sandbox) -> (Vec<String>, Vec<String>) {
    let rules = sandbox.network.rules.iter().map(Rule::to_string).collect();
    (rules, sandbox.ports.iter().map(PublishedPort::key).collect())
}

#[test]
fn nothing_given_is_nothing_changed() {
    assert_eq!(check(""), plain());
}

#[test]
fn rules_keep_the_order_of_the_line_across_flags() {
    let sandbox = check(
        "--net none --deny 10.1.0.0/16 --allow private:22/tcp --deny-ingress 10.0.0.0/8 \
         --allow=*.a.example:443 --allow-ingress any",
    );
    let expected = [
        "deny 10.1.0.0/16",
        "allow private tcp/22",
        "deny ingress 10.0.0.0/8",
        "allow *.a.example tcp+udp/443",
        "allow ingress any",
    ];
    assert_eq!(shown(&sandbox).0, expected);
    assert_eq!(sandbox.network.preset, Preset::None);
}

#[test]
fn ports_names_and_limits_are_as_they_are_given() {
    let sandbox = check(
        "-p 8080:80 --publish auto:53/udp --port [::1]:9000-9001:90-91 --dns 1.1.1.1 \
         --dns [2606:4700::1111]:5353 --dns-timeout 2s --no-rebind-protection \
         --egress-rate 10MiB/s --ingress-rate 1MiB/s --max-connections 9",
    );
    let ports = ["8080/tcp", "[::1]:9000-9001/tcp", "auto:53/udp"];
    assert_eq!(shown(&sandbox).1, ports);
    let Network { dns, limits, .. } = &sandbox.network;
    let servers: Vec<String> = dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["1.1.1.1:53", "[2606:4700::1111]:5353"]);
    assert_eq!((dns.timeout.0, dns.rebind_protection), (2000, false));
    let rates = (limits.egress.unwrap().0, limits.ingress.unwrap().0, limits.max_connections);
    assert_eq!(rates, (10 << 20, 1 << 20, 9));
}

#[test]
fn the_same_line_twice_asks_for_the_same_and_a_list_is_the_whole_list() {
    let line = "-p 8080:80 --allow a.example --dns 1.1.1.1 --max-connections 9";
    let once = check(line);
    assert_eq!(over(once.clone(), line).unwrap(), once);
    assert_eq!(over(once.clone(), "").unwrap(), once, "what is not given is not compared");
    let other = over(once.clone(), "-p 9090:80 --deny a.example").unwrap();
    assert_eq!(shown(&other), (vec!["deny a.example".into()], vec!["9090/tcp".into()]));
    assert_eq!(other.network.dns, once.network.dns);
    let off = over(once, "--no-net").unwrap();
    assert_eq!((off.network.preset, shown(&off)), (Preset::Off, (vec![], vec![])));
}

#[test]
fn all_problems_of_all_flags_are_told_together() {
    let failure = refused(
        "-p 80 -p 8080:80 -p 0.0.0.0:8080:81 --net pubic --allow pubilc --deny a.example/sctp \
         --deny-ingress a.example --dns 1.1.1 --dns-timeout 0 --egress-rate 10MB/s \
         --ingress-rate 0B/s --max-connections 0",
    );
    assert_eq!((failure.exit_code(), failure.report.code.as_str()), (64, "msb::usage::value"));
    let text = failure.text();
    for said in [
        "--net: `pubic` is no preset; write `public`",
        "-p 80: `80` is one port where the host's and the guest's are due; write `80:80 or auto:80`",
        "-p 0.0.0.0:8080:81: 127.0.0.1:8080/tcp is published twice, by -p 8080:80 too",
        "--allow pubilc: `pubilc` is neither a group of addresses nor the name of hosts; write `public`",
        "--deny a.example/sctp: `sctp` is no protocol",
        "--deny-ingress a.example: the target of an ingress rule is the peer's address",
        "--dns 1.1.1: `1.1.1` is not the address of a server",
        "--dns-timeout 0: it must be more than zero",
        "--egress-rate 10MB/s: the unit of `10MB/s` is ambiguous; write `10MiB/s`",
        "--ingress-rate 0B/s: nothing would pass",
        "--max-connections 0: it is a number from 1 to 65535",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

#[test]
fn a_clash_among_the_flags_is_wrong_usage() {
    for line in ["-p 8080:80 -p 8080:81", "-p auto:80 -p auto:80", "-p 80-90:80-90 -p 85:85"] {
        let failure = refused(line);
        assert_eq!(failure.exit_code(), 64, "{line}");
        assert_eq!(failure.report.code, "msb::rule::port-clash", "{line}");
    }
    let failure = refused("-p auto:80 -p auto:80");
    assert!(failure.text().contains("auto:80/tcp is published twice"), "{}", failure.text());
    check("-p 8080:80 -p 8080:80/udp -p [::1]:8080:80 -p auto:80 -p 127.0.0.2:8080:80");
    let many = refused("-p 1000-2000:1000-2000");
    assert!(many.text().contains("1001 ports are published; there can be 1000"), "{}", many.text());
}

#[test]
fn sf_n2_what_needs_a_network_is_refused_where_there_is_none() {
    let failure = refused("--no-net -p 8080:80 --allow any --dns 1.1.1.1 --max-connections 9");
    let text = failure.text();
    assert_eq!((failure.exit_code(), &*failure.report.code), (64, "msb::rule::network-off"));
    for flag in ["-p 8080:80", "--allow any", "--dns 1.1.1.1", "--max-connections"] {
        assert!(text.contains(&format!("{flag}: needs a network")), "{flag}: {text}");
    }
    let mut off = plain();
    off.network.preset = Preset::Off;
    assert!(over(off.clone(), "--allow any").is_err(), "its own preset counts");
    over(off, "--net none --allow any").unwrap();
    let both = refused("--net public --no-net");
    assert_eq!(both.report.code, "msb::usage::conflict");
    check("--net off --no-net");
}
