//! Real servers of Debian in guests, `nginx` and `postgres`: reached from the host through published ports by
//! `curl`, `wrk`, `psql` and `pgbench`, and from a sandbox beside them by name.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::debian;
use tests::home::{Home, put};
use tests::oracle::{converged, pids, reversed};
use tests::programs::checkout;
use tests::run::{Run, bare, eventually};
use tests::skip::skip;

/// `db` publishes nothing at first, and has its rows on a disk of its own.
const SERVERS: &str = r##"
project "shop"
volume "rows" { kind "disk"; size "256MiB" }
template "server" {
    image "debian:servers"
    memory "256MiB"
    stop-grace "10s"
    mount "/files" { dir "./files"; options "ro" }
}
sandbox "db" {
    from "server"
    network { preset "none" }
    mount "/rows" { named "rows" }
    command "bash" "/files/db"
    stop-signal "INT"
    // Its port opens while it still repairs itself.
    ready { exec "pg_isready" "-h" "198.18.0.2"; timeout "180s" }
    // ports
}
sandbox "web" {
    from "server"
    network { preset "none" }
    command "nginx" "-c" "/files/nginx.conf"
    port guest=80 host="auto"
    ready { http "/" port=443 scheme="https"; timeout "180s" }
}
sandbox "app" {
    from "server"
    network { preset "none" }
    connect "db" ports=5432
    env { PGPASSWORD "open sesame"; PGCONNECT_TIMEOUT "60" }
    command "sleep" "1000000"
    stop-grace "1s"
}
sandbox "stranger" {
    from "server"
    network { preset "none" }
    command "sleep" "1000000"
    stop-grace "1s"
}
"##;

/// The first start makes the database; it hears the gateway and siblings, and wants a password of both.
const DB: &str = r#"set -euo pipefail
export PGDATA=/rows/data
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
if ! [ -s $PGDATA/PG_VERSION ]; then
    chown postgres: /rows
    as_postgres initdb --auth=scram-sha-256 --pwfile=/files/password --locale=C.UTF-8
    echo 'host all all 198.18.0.0/15 scram-sha-256' >> $PGDATA/pg_hba.conf
fi
exec setpriv --reuid postgres --regid postgres --init-groups \
    postgres -c listen_addresses=198.18.0.2 -c unix_socket_directories=/tmp
"#;

const NGINX: &str = "daemon off;
error_log stderr;
pid /run/nginx.pid;
events { worker_connections 512; }
http {
    access_log off;
    ssl_certificate /files/elsewhere.crt;
    ssl_certificate_key /files/elsewhere.key;
    server { listen 80; listen 443 ssl; root /files/www; }
}
";

const PAGE: &str = "<title>served by a guest</title>\n";

/// Its answers are rows and nothing else.
const PSQL: [&str; 7] = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-At", "-U", "postgres"];

/// How long a client of the host may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns bytes that look like nothing, in lines that a table takes as they are.
fn noise(size: usize) -> String {
    let words = (1_u64..).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut text: String = words.take(size / 17).map(|word| format!("{word:016x}\n")).collect();
    text.push_str(&"#".repeat(size - text.len()));
    text
}

/// Runs a program of the host until it ends.
fn host(home: &Home, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Run {
    let mut command = bare(program);
    command.args(args).env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    command.env("PGPASSWORD", "open sesame").env("PGCONNECT_TIMEOUT", "60");
    command.current_dir(home.project());
    home.spawn(command).wait(PATIENCE)
}

/// Runs a query of a sandbox's own `psql`.
fn within(home: &Home, sandbox: &str, sql: &str) -> Run {
    let run = [&["exec", sandbox, "--"], &PSQL[..], &["-h", "db", "-c", sql]].concat();
    home.msb_with(&run)
}

/// Runs a query of the host's `psql`.
fn without(home: &Home, port: &str, sql: &str) -> Run {
    host(home, "psql", &[&PSQL[1..], &["-h", "127.0.0.1", "-p", port, "-c", sql]].concat())
}

/// Returns the port of the host that leads to a port of a sandbox.
fn published(home: &Home, name: &str, guest: u16) -> String {
    let row = home.sandbox(name);
    let ports = row["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["guest"] == guest).unwrap_or_else(|| panic!("{row}"));
    port["host"].to_string()
}

/// Returns the figure behind a label, as benchmarks print it.
fn figure(run: &Run, label: &str) -> f64 {
    let found = run.stdout.lines().find_map(|line| line.trim().strip_prefix(label));
    let word = found.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {label:?}: {run}"))
}

#[test]
fn nginx_and_postgresql_serve_the_host_by_ports_and_a_sibling_by_name() {
    let Some(folder) = debian::image("servers") else { return skip("servers") };
    let home = Home::machine();
    home.write("Sandboxfile", SERVERS);
    fs::create_dir_all(home.project().join("files/www")).unwrap();
    home.write("files/db", DB);
    home.write("files/password", "open sesame\n");
    home.write("files/nginx.conf", NGINX);
    for file in ["elsewhere.crt", "elsewhere.key"] {
        fs::copy(
            checkout().join("tests/fixtures").join(file),
            home.project().join("files").join(file),
        )
        .unwrap();
    }
    home.write("files/www/index.html", PAGE);
    home.write("files/www/noise", &noise(1 << 20));
    let archive = folder.join("debian.docker.tar");
    home.msb(["load", "-i", archive.to_str().unwrap(), "-t", "debian:servers"]).exits(0);
    home.msb(["up"]).exits(0);

    web_serves_the_host(&home);
    db_serves_its_sibling_alone(&home);

    // Published while it runs, it serves the host as well.
    let before = pids(&home);
    home.write("Sandboxfile", &SERVERS.replace("// ports", "port guest=5432 host=\"auto\""));
    home.msb(["up"]).exits(0);
    assert_eq!(pids(&home), before, "nobody was restarted");
    let port = published(&home, "db", 5432);
    db_serves_the_host(&home, &port);
    pgbench_is_content(&home, &folder.join("pgbench"), &port);

    db_dies_and_comes_back(&home, &port);
    converged(&home);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

fn web_serves_the_host(home: &Home) {
    let at = format!("http://127.0.0.1:{}/", published(home, "web", 80));
    let page = host(home, "curl", &["-sSf", &at]).exits(0);
    assert_eq!(page.stdout, PAGE);
    host(home, "curl", &["-sS", &format!("{at}nowhere")]).exits(0).says(&["404 Not Found"]);
    host(home, "curl", &["-sSf", "-o", "came", &format!("{at}noise")]).exits(0);
    assert!(same(home, "came", "files/www/noise"), "what came is not what lies there");

    let args = ["-t", "1", "-c", "100", "-d", "3", "--timeout", "30", &at];
    let many = host(home, "wrk", &args).exits(0);
    assert!(figure(&many, "Requests/sec:") > 0.0, "{many}");
    for trouble in ["Socket errors", "Non-2xx"] {
        assert!(!many.stdout.contains(trouble), "{many}");
    }
}

fn db_serves_its_sibling_alone(home: &Home) {
    assert!(home.sandbox("db")["ports"].as_array().is_none_or(Vec::is_empty));
    let made = "create table orders (what text); insert into orders values ('tea')";
    within(home, "app", made).exits(0);
    let own = "select what, inet_client_addr() << '198.19.0.0/16' from orders";
    assert_eq!(within(home, "app", own).exits(0).stdout, "tea|t\n");
    within(home, "stranger", "select 1").exits(2).complains(&["could not translate host name"]);
    let wrong = ["exec", "-e", "PGPASSWORD=guessed", "app", "--"];
    let wrong = [&wrong[..], &PSQL, &["-h", "db", "-c", "select 1"]].concat();
    home.msb_with(&wrong).exits(2).complains(&["password authentication failed"]);
}

fn db_serves_the_host(home: &Home, port: &str) {
    let ask = |sql: &str| without(home, port, sql);
    assert_eq!(ask("select 1").exits(0).stdout, "1\n");
    assert_eq!(ask("select inet_client_addr()").exits(0).stdout, "198.18.0.1\n");

    // Some MiB in and out again.
    put(&home.project().join("rows"), &(noise(4 << 20) + "\n"));
    ask("create table noise (at serial, row text)").exits(0);
    ask(r"\copy noise (row) from rows").exits(0);
    ask(r"\copy (select row from noise order by at) to rows.back").exits(0);
    assert!(same(home, "rows.back", "rows"), "what came back is not what was sent");
}

fn pgbench_is_content(home: &Home, program: &Path, port: &str) {
    let to = ["-h", "127.0.0.1", "-p", port, "-U", "postgres", "postgres"];
    let bench = |args: &[&str]| host(home, program, &[args, &to].concat()).exits(0);
    bench(&["-i", "-s", "1", "-q"]);
    let run = bench(&["-c", "4", "-t", "25"]);
    run.says(&[
        "number of transactions actually processed: 100/100",
        "number of failed transactions: 0 (",
    ]);
}

/// Who waits for an answer hears at once that the machine is gone; the next one finds its rows.
fn db_dies_and_comes_back(home: &Home, port: &str) {
    const LONG: &str = "select pg_sleep(200)";
    const WAITING: &str =
        "select count(*) from pg_stat_activity where query = 'select pg_sleep(200)'";
    std::thread::scope(|scope| {
        let waiting =
            [scope.spawn(|| within(home, "app", LONG)), scope.spawn(|| without(home, port, LONG))];
        eventually("both wait for an answer", PATIENCE, || {
            (within(home, "app", WAITING).exits(0).stdout == "2\n").then_some(())
        });
        home.msb(["kill", "db"]).exits(0);
        for one in waiting {
            one.join().unwrap().exits(2).complains(&["server closed the connection unexpectedly"]);
        }
    });
    for refused in [within(home, "app", "select 1"), without(home, port, "select 1")] {
        refused.exits(2).complains(&["Connection refused"]);
    }
    home.msb(["up"]).exits(0);
    assert_eq!(published(home, "db", 5432), port);
    assert_eq!(within(home, "app", "select what from orders").exits(0).stdout, "tea\n");
    let done = without(home, port, "select count(*) from pgbench_history");
    assert_eq!(done.exits(0).stdout, "100\n");
}

fn same(home: &Home, one: &str, other: &str) -> bool {
    let read = |name: &str| fs::read(home.project().join(name)).unwrap();
    read(one) == read(other)
}
