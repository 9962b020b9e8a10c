//! Machines that come back by themselves, and machines that nobody uses.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tests::home::Home;
use tests::machines::vmm;
use tests::oracle::{nothing_lives, reversed};
use tests::run::{eventually, pause};

const LIMIT: Duration = Duration::from_secs(90);

/// A service that answers everybody on port 80 with what stands on its own disk, and shares a folder.
const WEB: &str = r#"
project "shop"
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    mount "/work" { dir "./work" ensure="ensure" }
    command "sh" "-c" "echo boot >> /root/boots; while true; do cat /root/boots /work/said | nc -l -p 80; done"
    port guest=80 host=PORT
}
"#;

/// Returns what the published port says, once it says something.
fn said(port: u16) -> String {
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("an answer of a published port", LIMIT, || {
        let mut stream = TcpStream::connect(at).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text).filter(|text| !text.is_empty())
    })
}

#[test]
fn rt_10_13_a_machine_that_is_killed_comes_back_with_its_id_disk_folders_and_ports() {
    let home = Home::machine();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::create_dir(home.project().join("work")).unwrap();
    home.write("work/said", "hello\n");
    home.write("Sandboxfile", &WEB.replace("PORT", &port.to_string()));
    home.msb(["up"]).exits(0);
    assert_eq!(said(port), "boot\nhello\n");
    home.msb(["exec", "web", "--", "sync"]).exits(0);
    let (before, row) = (vmm(&home, "web"), home.sandbox("web"));
    before.kill();
    // The port stays ours all the time: who calls meanwhile waits.
    TcpListener::bind(("127.0.0.1", port)).unwrap_err();
    assert_eq!(said(port), "boot\nboot\nhello\n");
    home.msb(["wait", "web", "--for", "ready", "--timeout", "90s"]).exits(0);
    let now = home.sandbox("web");
    assert_eq!(now["restarts"], 1, "{now}");
    for same in ["id", "pid", "ports"] {
        assert_eq!(now[same], row[same], "{same}: {now}");
    }
    assert_ne!(vmm(&home, "web").pid, before.pid);
    home.msb(["exec", "web", "--", "true"]).exits(0);
    home.msb(["stop", "web"]).exits(0);
    TcpListener::bind(("127.0.0.1", port)).unwrap();
    nothing_lives(&home);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

const IDLE: &str = r#"
project "shop"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "2s"
    idle-timeout "5s"
    command "sleep" "100000"
}
"#;

#[test]
fn rt_10_10_an_idle_machine_is_stopped_with_its_files_flushed_and_a_busy_one_lives() {
    let home = Home::machine();
    home.write("Sandboxfile", IDLE);
    home.msb(["up"]).exits(0);
    // Longer than it may be idle, without a word; what is written is not synced.
    home.msb(["exec", "box", "--", "sh", "-c", "sleep 12; echo kept > /root/file"]).exits(0);
    assert_eq!(home.sandbox("box")["phase"], "ready", "a session holds the clock");
    home.msb(["wait", "box", "--timeout", "60s"]).exits(0).says(&["Stopped(idle)"]);
    let inspected = home.msb(["inspect", "box", "--output", "json"]).exits(0).json();
    assert_eq!(inspected[0]["last_exit"]["forced"], false, "{inspected}");
    nothing_lives(&home);
    home.msb(["start", "box"]).exits(0);
    home.msb(["exec", "box", "--", "cat", "/root/file"]).exits(0).says(&["kept"]);
    pause(Duration::from_secs(3));
    home.msb(["touch", "box"]).exits(0);
    pause(Duration::from_secs(3));
    assert_eq!(home.sandbox("box")["phase"], "ready", "a touch began the clock anew");
    home.msb(["down"]).exits(0);
    reversed(&home);
}
