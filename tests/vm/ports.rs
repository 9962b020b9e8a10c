//! Ports of guests that are published on the host: bound before the boot, seen in `ps`, changed while
//! the machine runs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::json;
use tests::home::Home;
use tests::oracle::{nothing_lives, reversed};
use tests::run::{Run, eventually};

const LIMIT: Duration = Duration::from_secs(30);

/// A service that answers everybody on port 80 with `web`, and on 81 with `side`.
const WEB: &str = r#"
project "shop"
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    command "sh" "-c" "while true; do echo web | nc -l -p 80; done & while true; do echo side | nc -l -p 81; done"
    // ports
}
"#;

fn web(ports: &str) -> String {
    WEB.replace("// ports", ports)
}

/// Returns ports of the host that were free a moment ago.
fn free<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Returns what a published port says, once it says something.
fn said(port: u16) -> String {
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("an answer of a published port", LIMIT, || {
        let mut stream = TcpStream::connect(at).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text).filter(|text| !text.is_empty())
    })
}

fn ports(home: &Home) -> serde_json::Value {
    home.sandbox("web")["ports"].clone()
}

fn port(host: u16, guest: u16, auto: bool) -> serde_json::Value {
    json!({"bind": "127.0.0.1", "host": host, "guest": guest, "protocol": "tcp", "auto": auto})
}

fn diff(home: &Home) -> Run {
    home.msb(["diff"])
}

#[test]
fn rt_9_9_a_published_port_answers_is_seen_and_moves_while_the_machine_runs() {
    let home = Home::machine();
    let [first, second] = free();
    home.write("Sandboxfile", &web(&format!("port guest=80 host={first}")));
    home.msb(["up"]).exits(0);
    assert_eq!(said(first), "web\n");
    assert_eq!(ports(&home), json!([port(first, 80, false)]));
    home.msb(["ps"]).says(&[&format!("127.0.0.1:{first} → 80/tcp")]);
    let born = home.sandbox("web")["started_at"].clone();

    // Another one beside it, and datagrams: live.
    let more = format!(
        "port guest=80 host={first}\n port guest=81 host=\"auto\"\n port guest=53 host=\"auto\" protocol=\"udp\""
    );
    home.write("Sandboxfile", &web(&more));
    diff(&home).exits(2).says(&["ports.auto:81/tcp", "live"]);
    home.msb(["up"]).exits(0);
    let shown = ports(&home);
    let chosen = |guest: u16| {
        let mut rows = shown.as_array().unwrap().iter();
        let row = rows.find(|row| row["guest"] == guest).unwrap();
        assert_eq!(row["auto"], true, "{row}");
        u16::try_from(row["host"].as_u64().unwrap()).unwrap()
    };
    let (side, names) = (chosen(81), chosen(53));
    assert_eq!(said(side), "side\n");
    let taken = UdpSocket::bind(("127.0.0.1", names)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);

    // Moved on the host and in the guest, and one less: live, and the old one is free again.
    home.write(
        "Sandboxfile",
        &web(&format!(
            "port guest=81 host={first}\n port guest=80 host={second}\n port guest=81 host=\"auto\""
        )),
    );
    home.msb(["up"]).exits(0);
    assert_eq!(
        (said(first), said(second), said(side)),
        ("side\n".into(), "web\n".into(), "side\n".into())
    );
    UdpSocket::bind(("127.0.0.1", names)).unwrap();
    let told = home.msb(["events", "--no-follow", "--since", "1h", "--type", "port"]).exits(0);
    told.says(&[
        &format!("web  port  127.0.0.1:{first} → 80/tcp published"),
        &format!("web  port  127.0.0.1:{names} → 53/udp withdrawn"),
        &format!("web  port  127.0.0.1:{second} → 80/tcp published"),
    ]);
    assert_eq!(home.sandbox("web")["started_at"], born, "nobody was restarted");
    diff(&home).exits(0);

    // What was chosen is had again after a restart, and after the machine was made anew.
    home.msb(["restart", "web"]).exits(0);
    assert_eq!(chosen_again(&home, 81), side);
    home.msb(["up", "--recreate", "web", "-y"]).exits(0);
    assert_eq!(chosen_again(&home, 81), side);
    assert_eq!(said(side), "side\n");
    let again = home.msb(["up", "--recreate", "web", "-y", "--output", "json"]).exits(0).json();
    assert_eq!(again["results"][0]["ports"].as_array().map(Vec::len), Some(3), "{again}");
    home.msb(["stop", "web"]).exits(0);
    assert_eq!(ports(&home), json!([]));
    TcpListener::bind(("127.0.0.1", second)).unwrap();
    home.msb(["down"]).exits(0);
    reversed(&home);
}

fn chosen_again(home: &Home, guest: u16) -> u16 {
    let shown = ports(home);
    let mut rows = shown.as_array().unwrap().iter();
    let row = rows.find(|row| row["guest"] == guest && row["auto"] == true).unwrap();
    u16::try_from(row["host"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_port_that_the_kernel_chose_is_told_to_who_asked_for_it() {
    let home = Home::machine();
    for command in [["create", "one"], ["run", "two"]] {
        let [command, name] = command;
        let detach: &[&str] = if command == "run" { &["-d"] } else { &[] };
        let words = [&[command, "-n", name, "-m", "96MiB", "-p", "auto:80"], detach].concat();
        let words = [&words[..], &["builtin:base", "sleep", "1000"]].concat();
        let made = home.msb_with(&words).exits(0);
        assert_eq!(made.stdout, format!("{name}\n"));
        let told = home.msb(["ps", "-p", "adhoc", "--output", "json"]).exits(0).json();
        let mut rows = told.as_array().unwrap().iter();
        let port = &rows.find(|row| row["name"] == name).unwrap()["ports"][0]["host"];
        made.complains(&[&format!("127.0.0.1:{port} → 80/tcp")]);
    }
    home.msb(["rm", "--force", "one", "two"]).exits(0);
    nothing_lives(&home);
}

#[test]
fn r13_a_port_that_cannot_be_had_is_told_before_anything_is_done() {
    let home = Home::machine();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let text = web(&format!("port guest=80 host={port}"));
    let after = "sandbox \"after\" { image \"builtin:base\"; memory \"96MiB\"; command \"sleep\" \"1000\"; depends-on \"web\" }";
    home.write("Sandboxfile", &format!("{text}{after}"));
    let own = format!("pid {}, has it", std::process::id());
    let taken = format!("cannot publish 127.0.0.1:{port} (tcp)");
    home.msb(["up"]).exits(1).complains(&["msb::ports::in-use", &taken, &own]);
    home.msb(["validate", "--preflight"]).complains(&[&taken]);
    assert!(home.ps().is_empty(), "nothing was made");

    // Also where it is to come live, and where only one of many is taken: nothing changes.
    home.write("Sandboxfile", &format!("{}{after}", web("")));
    home.msb(["up"]).exits(0);
    home.write("Sandboxfile", &format!("{text}{after}"));
    home.msb(["up"]).exits(1).complains(&["msb::ports::in-use", &own]);
    assert_eq!(ports(&home), json!([]));
    drop(held);
    home.msb(["up"]).exits(0);
    assert_eq!(said(port), "web\n");

    // Another project is told whose it is.
    let other = Home::machine();
    other.write("Sandboxfile", &text.replace("shop", "other"));
    other.msb(["up"]).exits(1).complains(&["msb::ports::in-use", "msb-runtime, pid"]);
    let project = home.scratch("other");
    std::fs::create_dir(&project).unwrap();
    tests::home::put(&project.join("Sandboxfile"), &text.replace("shop", "other"));
    let file = project.join("Sandboxfile");
    let up = home.msb(["up", "-f", file.to_str().unwrap()]);
    up.exits(1).complains(&["msb::ports::in-use", "shop/web publishes it"]);
    home.msb(["down"]).exits(0);
    home.msb(["up", "-f", file.to_str().unwrap()]).exits(0);
    assert_eq!(said(port), "web\n");
    home.msb(["down", "-f", file.to_str().unwrap()]).exits(0);
    reversed(&home);
}

#[test]
fn r13_a_port_that_is_taken_between_look_and_boot_ends_the_start_and_skips_who_waits() {
    let home = Home::machine();
    let [port] = free();
    // The first one takes its time to come up, so that somebody can step in between.
    let text = web(&format!("port guest=80 host={port}\n depends-on \"first\""));
    let first = "sandbox \"first\" { image \"builtin:base\"; memory \"96MiB\"; command \"sleep\" \"1000\"; ready { exec \"sleep\" \"3\" } }";
    let after = "sandbox \"after\" { image \"builtin:base\"; memory \"96MiB\"; command \"sleep\" \"1000\"; depends-on \"web\" }";
    home.write("Sandboxfile", &format!("{text}{first}\n{after}"));
    let up = home.start(["up"]);
    eventually("the first machine", LIMIT, || {
        home.ps().iter().find(|row| row["name"] == "first" && row["pid"].is_u64()).cloned()
    });
    let held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let up = up.wait(Duration::from_secs(60));
    let own = format!("pid {}, has it", std::process::id());
    up.exits(1).complains(&["msb::ports::in-use", &own]).says(&["after", "skipped"]);
    let web = home.sandbox("web");
    assert_eq!((web["phase"].clone(), web["reason"].clone()), (json!("failed"), json!("ports")));
    drop(held);
    home.msb(["up"]).exits(0);
    assert_eq!(said(port), "web\n");
    home.msb(["down"]).exits(0);
    reversed(&home);
}

#[test]
fn s19_only_declared_ports_listen_two_hundred_of_them() {
    let home = Home::machine();
    home.write(
        "Sandboxfile",
        &web("port guest=\"1000-1199\" host=\"auto\"\n port guest=80 host=\"auto\" bind=\"::1\""),
    );
    home.msb(["up"]).exits(0);
    let rows = ports(&home);
    let rows: Vec<SocketAddr> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!("{}:{}", bracketed(row["bind"].as_str().unwrap()), row["host"]).parse().unwrap()
        })
        .collect();
    assert_eq!(rows.len(), 201);
    let mut now: Vec<SocketAddr> = listening(&home);
    let mut expected = rows.clone();
    now.sort_unstable();
    expected.sort_unstable();
    assert_eq!(now, expected);
    let v6 = rows.iter().find(|at| at.is_ipv6()).unwrap();
    let answer = eventually("an answer by IPv6", LIMIT, || {
        let mut stream = TcpStream::connect(v6).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text).filter(|text| !text.is_empty())
    });
    assert_eq!(answer, "web\n");
    // Nobody listens behind that one: whoever calls hears it.
    let v4 = rows.iter().find(|at| at.is_ipv4()).unwrap();
    let heard = TcpStream::connect(v4).and_then(|mut stream| {
        stream.write_all(b"x").ok();
        stream.read(&mut [0])
    });
    let heard = heard.map_err(|error| error.kind());
    assert!(matches!(heard, Err(std::io::ErrorKind::ConnectionReset)), "{heard:?}");
    home.msb(["down"]).exits(0);
    assert!(listening(&home).iter().all(|at| !rows.contains(at)));
    reversed(&home);
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// Returns every address on which a process of this home listens for TCP.
fn listening(home: &Home) -> Vec<SocketAddr> {
    let run = tests::run::bare("ss").args(["-Hltnp"]).output().unwrap();
    assert!(run.status.success());
    let text = String::from_utf8(run.stdout).unwrap();
    let own: Vec<String> = home.alive().iter().map(|one| format!("pid={},", one.pid)).collect();
    let lines = text.lines().filter(|line| own.iter().any(|pid| line.contains(pid)));
    let locals = lines.filter_map(|line| line.split_ascii_whitespace().nth(3));
    locals.map(|at| at.replace('*', "0.0.0.0").parse().unwrap()).collect()
}
