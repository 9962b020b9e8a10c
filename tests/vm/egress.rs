//! S22: what leaves a machine is what its file says, whatever its guest tries.
//!
//! `msb` runs in a network of the test's own, whose only way out is a wire to a second one that answers at every
//! address. What the wire saw is compared with what the file allows.

mod world;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use schema::link::{GATEWAY_MAC, Mac};
use tests::home::{Home, put};
use tests::oracle::reversed;
use tests::programs::checkout;
use tests::skip::skip;
use tests::wire::Wire;
use world::{Seen, World};

const BOX: &str = r#"
project "egress"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000000"
    stop-grace "1s"
    mount "/tools" { dir "./tools"; options "ro" }
    network {
        preset "none"
        rules {
            allow "api.allowed.example" protocol="tcp" ports="80,443"
            allow "alias.allowed.example" protocol="tcp" ports=80
            allow "*.rebind.example"
            allow "93.184.216.40" protocol="udp" ports=7000
            allow "93.184.216.41" protocol="tcp" ports=80
        }
        dns { servers "9.9.9.9" }
    }
}
"#;

/// A port of the host's own loopback, which nobody may reach.
const SECRET_PORT: u16 = 9999;

/// What a guest tries, and what it must be told; in this order, for an answer opens an address.
const ATTEMPTS: &[(&str, &str)] = &[
    // An address that an allowed name will have, before it was asked for.
    ("tcp 93.184.216.34 80 early", "refused"),
    // Names. Of those that are denied none leaves.
    ("dns 198.18.0.1 udp api.allowed.example 1", "rcode 0 93.184.216.34"),
    ("dns 198.18.0.1 tcp api.allowed.example 1", "rcode 0 93.184.216.34"),
    ("dns 198.18.0.1 udp c2VjcmV0.tunnel.denied.example 1", "rcode 3"),
    ("dns 198.18.0.1 udp c2VjcmV0.tunnel.denied.example 16", "rcode 3"),
    ("dns 198.18.0.1 tcp c2VjcmV0.tunnel.denied.example 28", "rcode 3"),
    ("dns 198.18.0.1 udp c2VjcmV0.tunnel.denied.example 10", "rcode 4"),
    ("dns 198.18.0.1 udp c2VjcmV0.tunnel.denied.example 255", "rcode 4"),
    ("dns 198.18.0.1 udp c2VjcmV0.api.allowed.example 1", "rcode 3"),
    ("dns 198.18.0.1 udp api.allowed.example.denied.example 1", "rcode 3"),
    ("dns 198.18.0.1 udp metadata.google.internal 1", "rcode 3"),
    ("dns 198.18.0.1 udp 34.216.184.93.in-addr.arpa 12", "rcode 3"),
    // Another resolver is the same one, and DNS by other ways is no way.
    ("dns 8.8.8.8 udp c2VjcmV0.tunnel.denied.example 1", "rcode 3"),
    ("dns 8.8.8.8 tcp c2VjcmV0.tunnel.denied.example 1", "rcode 3"),
    ("dns 8.8.8.8 udp api.allowed.example 1", "rcode 0 93.184.216.34"),
    ("dns 2001:4860:4860::8888 udp c2VjcmV0.tunnel.denied.example 1", "rcode 3"),
    ("tcp 8.8.8.8 853 dot", "refused"),
    ("hello 8.8.8.8 443 dns.google", "refused"),
    ("udp 8.8.8.8 5353 c2VjcmV0", "unreachable"),
    // Answers that lead inside are none.
    ("dns 198.18.0.1 udp loopback.rebind.example 1", "rcode 3"),
    ("dns 198.18.0.1 udp private.rebind.example 1", "rcode 3"),
    ("dns 198.18.0.1 udp metadata.rebind.example 1", "rcode 3"),
    ("dns 198.18.0.1 udp nowhere.rebind.example 1", "rcode 3"),
    ("dns 198.18.0.1 udp six.rebind.example 28", "rcode 3"),
    ("dns 198.18.0.1 udp mapped.rebind.example 28", "rcode 3"),
    ("dns 198.18.0.1 udp mixed.rebind.example 1", "rcode 0 93.184.216.50"),
    ("tcp 10.0.0.5 80 rebound", "refused"),
    // An allowed name at its address, on its ports and no others.
    ("tcp 93.184.216.34 80 hello", "answer world"),
    ("tcp 93.184.216.34 8080 hello", "refused"),
    ("udp 93.184.216.34 80 hello", "unreachable"),
    ("udp 93.184.216.34 443 quic", "unreachable"),
    ("udp 93.184.216.34 40000 hello", "unreachable"),
    ("hello 93.184.216.34 443 api.allowed.example", "answer world"),
    ("hello 93.184.216.34 443 c2VjcmV0.denied.example", "reset"),
    ("echo 93.184.216.34", "silent"),
    ("dns 198.18.0.1 udp alias.allowed.example 1", "rcode 0 93.184.216.60"),
    ("tcp 93.184.216.60 80 hello", "answer world"),
    ("tcp 93.184.216.60 443 hello", "refused"),
    // Rules about addresses.
    ("udp 93.184.216.40 7000 hello", "answer world"),
    ("udp 93.184.216.40 7001 hello", "unreachable"),
    ("tcp 93.184.216.40 7000 hello", "refused"),
    ("flood 93.184.216.41 80 300", "300 answered"),
    ("flood 93.184.216.42 80 300", "0 answered"),
    // Inside, and what stands for it.
    ("tcp 169.254.169.254 80 GET", "refused"),
    ("tcp 169.254.170.2 80 GET", "refused"),
    ("tcp fd00:ec2::254 80 GET", "refused"),
    ("tcp 10.0.0.5 80 GET", "refused"),
    ("tcp 192.168.0.1 80 GET", "refused"),
    ("tcp 198.18.0.1 9999 GET", "refused"),
    ("udp 198.18.0.1 9999 GET", "unreachable"),
    ("tcp fd6d:7362::1 9999 GET", "refused"),
    ("udp 224.0.0.251 5353 mdns", "silent"),
    ("udp 240.0.0.1 80 future", "unreachable"),
    ("tcp 2606:2800:220:1::34 80 GET", "refused"),
    ("tcp 64:ff9b::a00:5 80 GET", "refused"),
    ("tcp 2002:a00:5::1 80 GET", "refused"),
    ("tcp 2001:0:a00:5::1 80 GET", "refused"),
    ("echo 8.8.8.8", "silent"),
    ("echo 2606:2800:220:1::34", "silent"),
];

/// Everything that may be seen to leave, but for questions to the server.
const ALLOWED: [&str; 4] = [
    "tcp 93.184.216.34:80",
    "tcp 93.184.216.34:443",
    "tcp 93.184.216.60:80",
    "udp 93.184.216.40:7000",
];

/// Names that may be asked for.
const NAMES: [&str; 9] = [
    "api.allowed.example",
    "alias.allowed.example",
    "loopback.rebind.example",
    "private.rebind.example",
    "metadata.rebind.example",
    "nowhere.rebind.example",
    "six.rebind.example",
    "mapped.rebind.example",
    "mixed.rebind.example",
];

/// Builds the guest's program; it needs nothing that an image has.
fn build(tools: &Path) {
    std::fs::create_dir(tools).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-static", "-O2", "-o"]).arg(tools.join("egress"));
    let status = gcc.arg(checkout().join("tests/vm/egress/guest.c")).status().unwrap();
    assert!(status.success(), "{gcc:?}: {status}");
}

/// Returns frames that no kernel would send.
fn frames(guest: Mac) -> Vec<String> {
    let ethernet = |from: Mac, protocol: u16, packet: &[u8]| {
        [&GATEWAY_MAC.0[..], &from.0, &protocol.to_be_bytes(), packet].concat()
    };
    let mine = [198, 18, 0, 2];
    let api = [93, 184, 216, 34];
    let syn = [0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
    let data = [&syn[..13], &[0x18], &syn[14..], b"c2VjcmV0"].concat();
    let datagram = [&[0x9c, 0x40, 0x1b, 0x58, 0, 16, 0, 0][..], b"c2VjcmV0"].concat();
    let to = |from: [u8; 4], to: [u8; 4], protocol: u8, body: &[u8]| {
        ip(([from, to], protocol), 0x4000, body)
    };
    let first = ip(([mine, [93, 184, 216, 40]], 17), 0x2000, &datagram);
    let later = ip(([mine, [93, 184, 216, 40]], 17), 0x0001, b"c2VjcmV0");
    let mut routed = to(mine, api, 6, &[&[0x83, 7, 4, 8, 8, 8, 8, 0], &syn[..]].concat());
    routed[0] = 0x47;
    let six = |to: [u8; 16], next: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let head = [0x60, 0, 0, 0, length[0], length[1], next, 64];
        [&head[..], &schema::link::GUEST_V6.octets(), &to, body].concat()
    };
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 5];
    let other = [0x26, 6, 0x28, 0, 2, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x34];
    let list = [
        // In another's name: by address, and by hardware.
        ethernet(guest, 0x0800, &to([198, 18, 0, 3], [93, 184, 216, 41], 6, &syn)),
        ethernet(guest, 0x0800, &to([10, 9, 9, 9], [93, 184, 216, 40], 17, &datagram)),
        ethernet(Mac([2, 0x6d, 9, 9, 9, 9]), 0x0800, &to(mine, [93, 184, 216, 41], 6, &syn)),
        // Half a connection, parts, a way that is laid down, tunnels.
        ethernet(guest, 0x0800, &to(mine, [93, 184, 216, 41], 6, &data)),
        ethernet(guest, 0x0800, &first),
        ethernet(guest, 0x0800, &later),
        ethernet(guest, 0x0800, &routed),
        ethernet(guest, 0x0800, &to(mine, api, 41, &six(other, 6, &syn))),
        ethernet(guest, 0x0800, &to(mine, api, 47, b"\0\0\x08\0c2VjcmV0")),
        ethernet(guest, 0x0800, &to(mine, api, 132, b"\x9c\x40\0\x50c2VjcmV0")),
        // To the host, and to everybody.
        ethernet(
            guest,
            0x0800,
            &to(
                mine,
                [127, 0, 0, 1],
                17,
                &[&datagram[..2], &SECRET_PORT.to_be_bytes(), &datagram[4..]].concat(),
            ),
        ),
        ethernet(guest, 0x0800, &to(mine, [0, 0, 0, 0], 6, &syn)),
        ethernet(guest, 0x0800, &to(mine, [255, 255, 255, 255], 17, &datagram)),
        // Wrapped addresses, and a header before the segment.
        ethernet(guest, 0x86dd, &six(mapped, 6, &syn)),
        ethernet(guest, 0x86dd, &six(other, 44, &[&[6, 0, 0, 0, 0, 0, 0, 1], &syn[..]].concat())),
        ethernet(guest, 0x86dd, &six(other, 0, &[&[6, 0, 5, 2, 0, 0, 0, 0], &syn[..]].concat())),
        // None at all.
        ethernet(guest, 0x0800, &[0x45; 20]),
        ethernet(guest, 0x88cc, &[1; 60]),
    ];
    let hex = |frame: &Vec<u8>| frame.iter().map(|byte| format!("{byte:02x}")).collect();
    list.iter().map(hex).collect()
}

/// Makes a packet of IPv4, its sum included.
fn ip(([from, to], protocol): ([[u8; 4]; 2], u8), fragment: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let fragment = fragment.to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 7, fragment[0], fragment[1], 64, protocol, 0, 0];
    let mut packet = [&head[..], &from, &to, body].concat();
    let words = packet[..20].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    packet
}

#[test]
fn s22_what_leaves_is_what_the_file_says() {
    let Some(wire) = Wire::watched() else { return skip("networks") };
    wire.reach_everywhere();
    let world = World::begin(&wire);
    let secret = wire.near().inside(|| TcpListener::bind(("127.0.0.1", SECRET_PORT)).unwrap());
    secret.set_nonblocking(true).unwrap();
    let mut home = Home::machine();
    let through = wire.near().through();
    home.go_through(&through.iter().map(String::as_str).collect::<Vec<_>>());
    home.write("Sandboxfile", BOX);
    build(&home.project().join("tools"));
    home.msb(["up"]).exits(0);
    let folder = tests::machines::of(&home).remove(0);
    let frames = frames(Mac::of_machine(&folder.id()));

    let lines = ATTEMPTS.iter().map(|(line, _)| (*line).to_owned());
    let lines = lines.chain(frames.iter().map(|frame| format!("frame {frame}")));
    let input = home.scratch("attempts");
    put(&input, &lines.map(|line| line + "\n").collect::<String>());
    let run = home.msb_reading(["exec", "box", "--", "/tools/egress"], &input).exits(0);
    let told: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(told.len(), ATTEMPTS.len() + frames.len(), "{run}");
    let wrong: Vec<String> = (ATTEMPTS.iter().zip(&told))
        .filter(|((_, expected), told)| expected != *told)
        .map(|((line, expected), told)| format!("{line}: {told}, and not {expected}"))
        .collect();
    assert!(told[ATTEMPTS.len()..].iter().all(|told| *told == "sent"), "{run}");

    let seen = Seen::of(&wire.take_sent());
    let mut expected: BTreeSet<String> = ALLOWED.iter().map(|flow| (*flow).to_owned()).collect();
    expected.insert("udp 9.9.9.9:53".to_owned());
    expected.insert("tcp 93.184.216.41:80".to_owned());
    assert_eq!(seen.flows, expected, "{}", wrong.join("\n"));
    let names: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(world.asked(), names, "the server was asked");
    assert!(!seen.holds(b"c2VjcmV0"), "a secret left in what is allowed");
    assert!(secret.accept().is_err(), "the host's own port was reached");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let denied = ["events", "--no-follow", "--since", "1h", "--type", "policy-denied"];
    home.msb(denied)
        .exits(0)
        .says(&["box  policy-denied  egress tcp ", "box  policy-denied  egress dns "]);
    home.msb(["down"]).exits(0);
    reversed(&home);
}
