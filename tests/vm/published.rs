//! P8: a published port, called from another network that is far away, beside `socat` on the same way.
//!
//! The way is 20 ms long in each direction, made by the test's own wire.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use tests::far::{Moved, PATIENCE, call, give, take};
use tests::home::Home;
use tests::machines;
use tests::matrix;
use tests::oracle::reversed;
use tests::programs::checkout;
use tests::run::eventually;
use tests::skip::skip;
use tests::wire::{NEAR, Wire};

const BOX: &str = r#"
project "published"
sandbox "box" {
    image "builtin:base"
    memory "256MiB"
    command "/tools/published" "7000"
    stop-grace "1s"
    mount "/tools" { dir "./tools"; options "ro" }
    port guest=7000 host=7000 bind="0.0.0.0"
}
"#;

/// The port of the machine, of socat, and of the server behind socat.
const PUBLISHED: u16 = 7000;
const SOCAT: u16 = 7100;
const BEHIND: u16 = 7101;

const DELAY: Duration = Duration::from_millis(20);
/// The longest that nothing may come.
const STALL: Duration = Duration::from_millis(200);
/// How often it is tried at most.
const ROUNDS: usize = 3;

/// How many bytes are moved, and how many a slow peer takes in a second. The long battery has a quiet host; in
/// between an emulated guest must not be what is measured.
fn sizes() -> (usize, usize) {
    if matrix::is_whole() { (256 << 20, 10_000_000) } else { (16 << 20, 4_000_000) }
}

fn up(wire: &Wire) -> Home {
    let mut home = Home::machine();
    let through = wire.near().through();
    home.go_through(&through.iter().map(String::as_str).collect::<Vec<_>>());
    home.write("Sandboxfile", BOX);
    let tools = home.project().join("tools");
    fs::create_dir(&tools).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-static", "-O2", "-o"]).arg(tools.join("published"));
    let status = gcc.arg(checkout().join("tests/vm/published/guest.c")).status().unwrap();
    assert!(status.success(), "{gcc:?}: {status}");
    home.msb(["up"]).exits(0);
    home
}

/// `socat` in the near network, and behind it the same server as in the guest, as a process of the host.
struct Socat([Child; 2]);

impl Socat {
    fn start(wire: &Wire, home: &Home) -> Self {
        let through = wire.near().through();
        let (listen, to) =
            (format!("TCP-LISTEN:{SOCAT},fork,reuseaddr"), format!("TCP:127.0.0.1:{BEHIND}"));
        let server = home.project().join("tools/published");
        let begin = |words: &[&str]| {
            let mut command = Command::new(&through[0]);
            command.arg(&through[1]).args(words).spawn().expect("nsenter is there")
        };
        let server = begin(&[server.to_str().unwrap(), &BEHIND.to_string()]);
        let socat = begin(&["socat", &listen, &to]);
        let both = Self([server, socat]);
        wire.near().inside(|| {
            for port in [BEHIND, SOCAT] {
                eventually("socat listens", Duration::from_secs(10), || {
                    TcpStream::connect(("127.0.0.1", port)).ok()
                });
            }
        });
        both
    }
}

impl Drop for Socat {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

type Way = fn(TcpStream, usize, Option<usize>) -> io::Result<Moved>;

/// Moves the same bytes by both ways; tells which share of socat's rate ours has, and how long each stood still.
fn beside_socat(way: &str, go: Way) -> (f64, Duration, Duration) {
    let (size, rate) = sizes();
    let theirs = go(call((NEAR, SOCAT)), size, Some(rate)).unwrap();
    let ours = go(call((NEAR, PUBLISHED)), size, Some(rate)).unwrap();
    let share = theirs.took.as_secs_f64() / ours.took.as_secs_f64();
    let (mine, other) = (ours.stalled, theirs.stalled);
    println!(
        "{way} the guest, held: {share:.2} of socat's rate; {mine:?} without a byte, socat {other:?}"
    );
    (share, mine, other)
}

#[test]
fn p8_a_far_and_slow_peer_gets_what_socat_would_give_it() {
    let Some(wire) = Wire::slow(DELAY) else { return skip("networks") };
    let home = up(&wire);
    let socat = Socat::start(&wire, &home);
    let ways: [(&str, Way); 2] = [("out of", take), ("into", give)];
    wire.far().inside(|| {
        for (way, go) in ways {
            // Whatever else this host does only makes us slower: one quiet moment is enough.
            let mut rounds = (0..ROUNDS).map(|_| beside_socat(way, go));
            let is_good = |(share, mine, other): (f64, Duration, Duration)| {
                share >= 0.9 && mine <= STALL.max(other * 2)
            };
            assert!(rounds.any(is_good), "{way} the guest: never as good as socat");
            for (name, port) in [("socat", SOCAT), ("msb", PUBLISHED)] {
                let (size, _) = sizes();
                let free = go(call((NEAR, port)), size, None).unwrap();
                let rate = (size >> 20) as f64 / free.took.as_secs_f64();
                println!("{way} the guest, not held, {name}: {rate:.0} MiB/s");
            }
        }
    });
    drop(socat);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// What a runtime holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    files: usize,
    memory_kib: usize,
}

fn held(home: &Home) -> Held {
    let folder = machines::of(home).remove(0);
    let pid = folder.record.expect("it runs").runtime.pid;
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    Held { files, memory_kib: memory.and_then(|kib| kib.parse().ok()).expect("a number") }
}

/// Waits until as few files are open as were at first.
fn until_let_go(home: &Home, before: Held) {
    eventually("every connection is let go of", Duration::from_secs(20), || {
        (held(home).files <= before.files).then_some(())
    });
}

#[test]
fn rt_9_6_connections_that_end_in_any_way_leave_nothing_behind() {
    let Some(wire) = Wire::slow(Duration::ZERO) else { return skip("networks") };
    let home = up(&wire);
    let rounds = if matrix::is_whole() { 1_000_000 } else { 2000 };
    wire.near().inside(|| {
        // The first one is answered once the guest's server listens.
        eventually("the guest answers", PATIENCE, || (echoes(b"warm up")).then_some(()));
        let before = held(&home);

        // 500 at a time, each with a word of its own.
        let mut many: Vec<TcpStream> = (0..500).map(|_| call((NEAR, PUBLISHED))).collect();
        for (at, stream) in many.iter_mut().enumerate() {
            stream.write_all(format!("e{at:08}").as_bytes()).unwrap();
        }
        for (at, stream) in many.iter_mut().enumerate() {
            let mut word = [0; 8];
            stream.read_exact(&mut word).unwrap();
            assert_eq!(word, *format!("{at:08}").as_bytes());
        }
        assert!(held(&home).files >= before.files + 500, "they were open at a time");
        drop(many);
        until_let_go(&home, before);

        // Ended by the peer, by the guest, and by a reset; one after the other.
        let warm = held(&home);
        for round in 0..rounds {
            match round % 4 {
                0 | 1 => assert!(echoes(b"short"), "round {round}"),
                2 => {
                    let mut stream = call((NEAR, PUBLISHED));
                    stream.write_all(b"h").unwrap();
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the guest has ended");
                    stream.write_all(b"late").unwrap();
                }
                _ => {
                    let mut stream = call((NEAR, PUBLISHED));
                    stream.write_all(b"eunread").unwrap();
                    stream.read_exact(&mut [0; 1]).unwrap();
                    // What is not read makes the end a reset.
                }
            }
            if round % 500 == 499 {
                assert!(held(&home).files <= warm.files + 40, "round {round}: {:?}", held(&home));
            }
        }
        until_let_go(&home, before);
        let after = held(&home);
        assert!(after.memory_kib <= warm.memory_kib + (8 << 10), "{warm:?}, {after:?}");
        println!("{rounds} connections: {before:?}, {after:?}");
    });
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// Says something, ends, and hears it back to the end.
fn echoes(text: &[u8]) -> bool {
    let mut stream = call((NEAR, PUBLISHED));
    let mut back = Vec::new();
    let said = stream.write_all(&[b"e", text].concat()).is_ok()
        && stream.shutdown(Shutdown::Write).is_ok();
    said && stream.read_to_end(&mut back).is_ok() && back == text
}

/// The sockets that listen in the near network, by address and port as the kernel writes them.
fn listening(wire: &Wire) -> Vec<String> {
    wire.near().inside(listening_here)
}

fn listening_here() -> Vec<String> {
    let mut found = Vec::new();
    for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == state {
                found.push(format!("{table} {}", fields[1]));
            }
        }
    }
    found.sort();
    found
}

const PORTS: &str = r#"
project "ports"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000000"
    stop-grace "1s"
    port guest=80 host=8080
    port guest=53 host=5353 protocol="udp"
    port guest=81 host=8081 bind="0.0.0.0"
    port guest=82 host=8082 bind="::1"
}
"#;

#[test]
fn s19_only_declared_ports_listen_and_only_where_they_are_said_to() {
    let Some(wire) = Wire::slow(Duration::ZERO) else { return skip("networks") };
    let mut home = Home::machine();
    let through = wire.near().through();
    home.go_through(&through.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(listening(&wire), Vec::<String>::new());
    home.write("Sandboxfile", PORTS);
    home.msb(["up"]).exits(0);
    let declared = [
        "tcp 00000000:1F91",
        "tcp 0100007F:1F90",
        "tcp6 00000000000000000000000001000000:1F92",
        "udp 0100007F:14E9",
    ];
    assert_eq!(listening(&wire), declared);

    // A port that somebody has is one error, and nothing is half started.
    home.msb(["down"]).exits(0);
    assert_eq!(listening(&wire), Vec::<String>::new());
    let holder = wire.near().inside(|| TcpListener::bind("127.0.0.1:8081").unwrap());
    let refused = home.msb(["up"]);
    assert_ne!(refused.code, 0, "{refused}");
    refused.complains(&["8081"]);
    assert_eq!(listening(&wire), ["tcp 0100007F:1F91"]);
    drop(holder);
    home.msb(["down"]).exits(0);
    reversed(&home);
}
