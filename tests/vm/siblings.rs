//! Connections between sandboxes of a project, with no port of the host between them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::home::Home;
use tests::oracle::{converged, reversed};
use tests::programs::checkout;
use tests::run::{Run, eventually};

/// `db` serves streams, datagrams and a port that nobody is connected to; it is connected to nobody.
const TWO: &str = r#"
project "shop"
sandbox "db" {
    image "builtin:base"
    memory "96MiB"
    network { preset "none" }
    mount "/tools" { dir "./tools"; options "ro" }
    command "sh" "/tools/db"
    stop-grace "1s"
}
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    network { preset "none" }
    mount "/tools" { dir "./tools"; options "ro" }
    connect "db" ports="5432,5353,5434" as="postgres"
    command "sleep" "1000000"
    stop-grace "1s"
}
"#;

/// It answers with the sum of all that came before the end, who called, and with 5 MiB of its own.
const DB: &str = "head -c 5242880 /dev/urandom > /own
printf '%s\\n' '#!/bin/sh' 'sha256sum' 'cat /own' > /answer; chmod +x /answer
/tools/datagrams serve 5353 &
nc -ll -p 5433 -e true &
exec nc -ll -p 5432 -e /answer
";

/// Sends 5 MiB by one half and prints the sums of both, as each side sees them.
const EXCHANGE: &str =
    "head -c 5242880 /dev/urandom > /mine; nc -w 20 postgres 5432 < /mine > /came
sha256sum < /mine; head -n 1 /came; tail -c 5242880 /came | sha256sum";

fn sh(home: &Home, name: &str, script: &str) -> Run {
    home.msb(["exec", name, "--", "sh", "-c", script])
}

/// Waits until a command in a guest ends with 0: what serves there has only begun.
fn sh_soon(home: &Home, name: &str, script: &str) -> Run {
    eventually("a service answers", Duration::from_secs(60), || {
        Some(sh(home, name, script)).filter(|run| run.code == 0)
    })
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Builds a program that runs in any guest.
fn build(source: &str, to: &Path) {
    let source = checkout().join("tests/fixtures").join(source);
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-o"]);
    let output = rustc.arg(to).arg(source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn exchange(home: &Home) {
    let sums = sh(home, "web", EXCHANGE).exits(0).stdout;
    let sums: Vec<&str> = sums.lines().map(first_word).collect();
    let own = sh(home, "db", "sha256sum < /own").exits(0).stdout;
    assert_eq!(sums[0], sums[1], "what web sent, and what came to db");
    assert_eq!(sums[2], first_word(own.trim()), "what db sent, and what came to web");
}

#[test]
fn rt_9_10_a_sandbox_uses_another_by_name_and_nothing_else_of_it() {
    let home = Home::machine();
    home.write("Sandboxfile", TWO);
    std::fs::create_dir(home.project().join("tools")).unwrap();
    home.write("tools/db", DB);
    build("datagrams.rs", &home.project().join("tools/datagrams"));
    home.msb(["up"]).exits(0);
    sh_soon(&home, "web", "nc -w 5 postgres 5432 < /dev/null > /dev/null");
    exchange(&home);

    // Datagrams, small and large; the target sees its caller at an address of its own table.
    let ask = |count: u32| {
        sh(&home, "web", &format!("/tools/datagrams ask postgres 5353 {count}")).exits(0).stdout
    };
    assert_eq!(ask(1), "12 198.19.0.1\n");
    assert_eq!(ask(60_000), "60011 198.19.0.1\n");
    sh(&home, "db", "nslookup 198.19.0.1").says(&["web.shop.internal"]);

    // By its names it is found, and under no other.
    for name in ["postgres", "postgres.shop.internal", "db", "db.shop.internal"] {
        sh(&home, "web", &format!("nslookup {name}")).exits(0).says(&["198.19.0.1"]);
    }
    sh(&home, "web", "nslookup 198.19.0.1").exits(0).says(&["postgres"]);
    for (from, name) in [("web", "shop.internal"), ("web", "web.shop.internal"), ("db", "web")] {
        assert_ne!(sh(&home, from, &format!("nc -w 5 {name} 5432 < /dev/null")).code, 0, "{name}");
    }

    // A port that the file does not connect, one where nobody listens, and the way back.
    let refused = |from: &str, to: &str, port: u16| {
        let run = sh(&home, from, &format!("nc -w 5 {to} {port} < /dev/null"));
        run.exits(1).complains(&["Connection refused"]);
    };
    sh(&home, "db", "nc -w 5 127.0.0.1 5433 < /dev/null").exits(0);
    refused("web", "postgres", 5433);
    refused("web", "postgres", 5434);
    refused("db", "198.19.0.1", 5432);
    sh(&home, "web", "/tools/datagrams ask postgres 53 1").exits(1);

    // Nothing of it listens on the host, and there is nothing to do.
    converged(&home);

    // The target is made anew while its caller lives on, and has the address it had.
    let pid = home.sandbox("web")["pid"].clone();
    home.msb(["stop", "db"]).exits(0);
    refused("web", "postgres", 5432);
    home.msb(["up", "-y", "--recreate", "db"]).exits(0);
    sh_soon(&home, "web", "nc -w 5 postgres 5432 < /dev/null > /dev/null");
    sh(&home, "web", "nslookup postgres").exits(0).says(&["198.19.0.1"]);
    exchange(&home);
    assert_eq!(home.sandbox("web")["pid"], pid);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

const REPLICAS: &str = r#"
project "shop"
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    replicas 2
    network { preset "none" }
    command "nc" "-ll" "-p" "80" "-e" "hostname"
    stop-grace "1s"
}
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    connect "web" ports=80
    command "sleep" "1000000"
    stop-grace "1s"
}
"#;

#[test]
fn rt_9_17_replicas_answer_in_turn_and_each_by_its_own_name() {
    let home = Home::machine();
    home.write("Sandboxfile", REPLICAS);
    home.msb(["up"]).exits(0);
    let ask = |name: &str| sh(&home, "box", &format!("nc -w 5 {name} 80 < /dev/null")).exits(0);
    for name in ["web-0", "web-1"] {
        sh_soon(&home, "box", &format!("nc -w 5 {name} 80 < /dev/null"));
        assert_eq!(ask(name).stdout, format!("{name}\n"));
    }
    let mut both = [ask("web").stdout, ask("web").stdout];
    both.sort();
    assert_eq!(both, ["web-0\n", "web-1\n"]);
    // One that does not run is not answered any more, once its record was looked at again.
    home.msb(["stop", "web[0]"]).exits(0);
    eventually("only the other one is answered", Duration::from_secs(20), || {
        let found = sh(&home, "box", "nslookup web").exits(0).stdout;
        (found.matches("198.19.0.").count() == 1).then_some(())
    });
    assert_eq!([ask("web").stdout, ask("web").stdout], ["web-1\n", "web-1\n"]);
    home.msb(["start", "web[0]"]).exits(0);
    sh_soon(&home, "box", "nc -w 5 web-0 80 < /dev/null");
    eventually("both are answered again", Duration::from_secs(20), || {
        let found = sh(&home, "box", "nslookup web").exits(0).stdout;
        (found.matches("198.19.0.").count() == 2).then_some(())
    });
    home.msb(["down"]).exits(0);
    reversed(&home);
}

const LATER: &str = r#"
project "shop"
sandbox "db" {
    image "builtin:base"
    memory "96MiB"
    network { preset "none" }
    command "nc" "-ll" "-p" "80" "-e" "hostname"
    stop-grace "1s"
}
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000000"
    stop-grace "1s"
}
"#;

#[test]
fn rt_1_12_a_connection_comes_and_goes_while_both_ends_live() {
    let home = Home::machine();
    home.write("Sandboxfile", LATER);
    home.msb(["up"]).exits(0);
    let pids = || ["db", "web"].map(|name| home.sandbox(name)["pid"].clone());
    let (before, call) = (pids(), "nc -w 5 db 80 < /dev/null");
    assert_ne!(sh(&home, "web", call).code, 0, "nobody is connected");
    let connected = LATER.replace("\"web\" {", "\"web\" {\n    connect \"db\" ports=80");
    home.write("Sandboxfile", &connected);
    home.msb(["up", "-y"]).exits(0);
    assert_eq!(sh_soon(&home, "web", call).stdout, "db\n");
    // A new caller is told of by its boot, and the target lives on.
    let job = "sandbox \"box\" { image \"builtin:base\"; memory \"96MiB\"; connect \"db\" ports=80\n\
               command \"sleep\" \"1000000\"; stop-grace \"1s\" }\n";
    home.write("Sandboxfile", &format!("{connected}{job}"));
    home.msb(["up", "-y"]).exits(0);
    assert_eq!(sh(&home, "box", call).exits(0).stdout, "db\n");
    // The address that the guest has learnt leads nowhere once the file does not connect it.
    home.write("Sandboxfile", &format!("{LATER}{job}"));
    home.msb(["up", "-y"]).exits(0);
    sh(&home, "web", "nc -w 5 198.19.0.1 80 < /dev/null").exits(1).complains(&["refused"]);
    assert_ne!(sh(&home, "web", call).code, 0, "the name is gone");
    assert_eq!(sh(&home, "box", call).exits(0).stdout, "db\n");
    assert_eq!(pids(), before);
    home.msb(["down"]).exits(0);
    reversed(&home);
}
