//! What counts as use of a machine: traffic of published ports, of siblings, and with the world.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::home::{Home, slowness};
use tests::oracle::{nothing_lives, reversed};
use tests::run::{eventually, pause};

/// `web` is called from the host, `db` by `shop`, and `out` calls the host; `quiet` talks to itself, to its log and
/// to a shared folder, which is no use of it.
const FIVE: &str = r#"
project "used"
template "plain" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    idle-timeout "IDLEs"
    mount "/work" { dir "./work" ensure="ensure" }
}
sandbox "web" {
    from "plain"
    port guest=80 host=WEB
    command "sh" "-c" "while :; do echo web | nc -l -p 80; done"
}
sandbox "db" {
    from "plain"
    network { preset "none" }
    command "nc" "-ll" "-p" "5432" "-e" "date"
}
sandbox "shop" {
    from "plain"
    network { preset "none" }
    connect "db" ports="5432"
    command "sh" "-c" "while :; do [ ! -e /work/go ] || nc -w 5 db 5432 </dev/null; sleep 1; done"
}
sandbox "out" {
    from "plain"
    network { preset "none"; rules { allow "host" protocol="tcp" ports=HOST } }
    command "sh" "-c" "while :; do [ ! -e /work/go ] || nc -w 5 host.msb.internal HOST </dev/null; sleep 1; done"
}
sandbox "quiet" {
    from "plain"
    command "sh" "-c" "while :; do date; date > /work/date; (date | nc -w 1 -l -p 9 &); nc -w 1 127.0.0.1 9; sleep 1; done"
}
"#;

#[test]
fn rt_10_10_traffic_of_ports_siblings_and_the_world_is_use_and_what_a_guest_does_alone_is_not() {
    let home = Home::machine();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = FIVE.replace("WEB", &web.port().to_string());
    let text = text.replace("HOST", &host.local_addr().unwrap().port().to_string());
    // Whoever calls has to come round in time.
    let slowness = slowness();
    let text = text.replace("IDLE", &(6 * slowness).to_string());
    std::thread::spawn(move || {
        for stream in host.incoming() {
            drop(stream.and_then(|mut stream| stream.write_all(b"welcome\n")));
        }
    });
    std::fs::create_dir(home.project().join("work")).unwrap();
    home.write("work/go", "");
    home.write("Sandboxfile", &text);
    let goes = Arc::new(AtomicBool::new(true));
    let caller = call_on(web, Arc::clone(&goes));
    home.msb(["up"]).exits(0);
    pause(Duration::from_secs(15) * slowness);
    let phase = |name: &str| home.sandbox(name)["phase"].clone();
    for used in ["web", "db", "shop", "out"] {
        assert_eq!(phase(used), "ready", "{used} is used");
    }
    let timeout = format!("{}s", 20 * slowness);
    home.msb(["wait", "quiet", "--for", "stopped", "--timeout", &timeout])
        .exits(0)
        .says(&["Stopped(idle)"]);

    std::fs::remove_file(home.project().join("work/go")).unwrap();
    goes.store(false, Ordering::Relaxed);
    caller.join().unwrap();
    eventually("nobody uses them", Duration::from_secs(40) * slowness, || {
        let shown = home.msb(["ps", "-a"]).exits(0).stdout;
        (shown.matches("Stopped(idle)").count() == 5).then_some(())
    });
    nothing_lives(&home);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// Calls somebody every second, for as long as it goes.
fn call_on(at: SocketAddr, goes: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while goes.load(Ordering::Relaxed) {
            if let Ok(mut stream) = TcpStream::connect(at) {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                drop(stream.read_to_string(&mut String::new()));
            }
            pause(Duration::from_secs(1));
        }
    })
}
