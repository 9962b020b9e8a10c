//! The project that `./setup` runs: up in order, nothing to do, an edit, down, and the data stays.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tests::home::Home;
use tests::oracle::{converged, pids, reversed};
use tests::programs::checkout;
use tests::run::eventually;

/// Returns a home with the example as its Sandboxfile.
fn example() -> (Home, String) {
    let home = Home::unproved();
    let text = fs::read_to_string(checkout().join("Sandboxfile.example")).unwrap();
    home.write("Sandboxfile", &text);
    (home, text)
}

/// Returns what a published port answers.
fn page(port: u16) -> String {
    eventually("the page", Duration::from_secs(20), || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text).filter(|text| !text.is_empty())
    })
}

#[test]
fn the_example_comes_up_in_order_changes_by_one_field_and_keeps_its_data() {
    let (home, text) = example();
    home.msb(["up"]).exits(0).says(&["db", "web", "migrate", "Completed(0)", "Up: 4 done"]);

    let row = |name: &str| home.sandbox(name);
    let started = |name: &str| row(name)["started_at"].as_str().map(str::to_owned).unwrap();
    let (db, web, migrate) = (started("db"), started("web"), started("migrate"));
    assert!(db < web && web < migrate, "db {db}, web {web}, migrate {migrate}");
    assert_eq!(row("db")["phase"], "ready");
    assert_eq!(row("web")["phase"], "ready");
    assert_eq!(row("migrate")["phase"], "completed");
    assert_eq!(row("migrate")["exit_code"], 0);
    let (wanted, is) = (tests::home::driver(), row("db")["driver"].clone());
    assert!(wanted.map_or(is == "krun" || is == "qemu", |wanted| is == *wanted), "{is}");
    if row("db")["isolation"] == "emulated" {
        home.msb(["ps"]).exits(0).complains(&["not an isolation boundary"]);
    }

    // A second up, and a diff, touch nothing.
    let before = pids(&home);
    assert_eq!(before.len(), 2, "{before:?}");
    home.msb(["up"]).exits(0).says(&["nothing to do, 4 unchanged"]);
    home.msb(["diff"]).exits(0);
    assert_eq!(pids(&home), before);
    home.msb(["exec", "web", "--", "sh", "-c", "echo $GREETING"])
        .exits(0)
        .says(&["hello from a microVM"]);

    // The page is published, and asks the store by its name.
    let port = row("web")["ports"][0]["host"].as_u64().unwrap();
    let page = page(u16::try_from(port).unwrap());
    assert!(page.ends_with("hello from a microVM, start 1\n"), "{page}");

    // An edit of memory is named with its place, and up does only that.
    let edited = text.replacen("memory \"96MiB\"", "memory \"112MiB\"", 1);
    let line = text.lines().position(|line| line.contains("memory \"96MiB\"")).unwrap() + 1;
    home.write("Sandboxfile", &edited);
    home.msb(["diff"]).exits(2).says(&[
        "sandbox.db",
        "memory.size",
        "96 MiB",
        "112 MiB",
        "restart",
        &format!("Sandboxfile:{line}"),
    ]);
    home.msb(["up"]).exits(0);
    let after = pids(&home);
    let same: Vec<_> = before.intersection(&after).map(|(whose, ..)| whose.as_str()).collect();
    assert_eq!(same, ["example/web[]"], "{before:?} → {after:?}");

    // Down keeps the volume; up finds what was written before.
    home.msb(["down"]).exits(0).says(&["Kept: 1 volume", "data"]);
    assert!(home.path().join("volumes/example.data").exists());
    home.msb(["up"]).exits(0);
    let starts = home.msb(["exec", "db", "--", "cat", "/data/starts"]).exits(0).stdout;
    assert_eq!(starts, "start\nstart\nstart\n", "the first boot, the restart, the new machine");
    converged(&home);
    reversed(&home);
}
