//! The network device of a guest, and how it is set up at boot; nobody has to answer on it.

use tests::home::Home;
use tests::oracle::reversed;
use tests::run::Run;

const ONE: &str = r#"
project "linked"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000000"
    stop-grace "1s"
    hostname "tidy"
}
"#;

/// The flag of an address of which it is not sure yet that nobody else has it.
const TENTATIVE: u8 = 0x40;

fn sh(home: &Home, script: &str) -> Run {
    home.msb(["exec", "box", "--", "sh", "-c", script])
}

fn up(text: &str) -> Home {
    let home = Home::machine();
    home.write("Sandboxfile", text);
    home.msb(["up"]).exits(0);
    home
}

#[test]
fn rt_4_8_a_guest_finds_its_device_set_up() {
    let home = up(ONE);
    let folder = tests::machines::of(&home).remove(0);
    let mac = schema::link::Mac::of_machine(&folder.id());
    let eth0 = "cd /sys/class/net/eth0; cat address mtu carrier operstate";
    assert_eq!(sh(&home, eth0).exits(0).stdout, format!("{mac}\n65520\n1\nup\n"));
    sh(&home, "ip -4 addr show lo; ip -4 addr show eth0; ip -4 route").exits(0).says(&[
        "LOOPBACK,UP",
        "inet 127.0.0.1/8",
        "inet 198.18.0.2/30",
        "default via 198.18.0.1 dev eth0",
    ]);
    // Nothing is tentative: every address can be used at once.
    let addresses = sh(&home, "grep -v ' lo$' /proc/net/if_inet6").exits(0).stdout;
    let mut lines = addresses.lines();
    let own = "fd6d7362000000000000000000000002 02 40 00 82     eth0";
    assert!(lines.clone().any(|line| line == own), "{addresses}");
    let flags = |line: &str| u8::from_str_radix(line.split_whitespace().nth(4)?, 16).ok();
    assert!(lines.all(|line| flags(line).is_some_and(|flags| flags & TENTATIVE == 0)));
    sh(&home, "ip -6 route")
        .exits(0)
        .says(&["fd6d:7362::/64 dev eth0", "fd6d:7362:1::/64 via fd6d:7362::1 dev eth0"]);

    let resolver = "nameserver 198.18.0.1\noptions timeout:3 attempts:2\n";
    assert_eq!(sh(&home, "cat /etc/resolv.conf").exits(0).stdout, resolver);
    sh(&home, "cat /etc/hosts").exits(0).says(&[
        "127.0.0.1\tlocalhost",
        "198.18.0.2\ttidy",
        "198.18.0.1\thost.msb.internal",
    ]);
    // A guest that speaks to itself needs nobody at the far end.
    let to_itself = "(echo answer | nc -l -p 7 &) ; sleep 1; nc -w 5 tidy 7 </dev/null";
    sh(&home, to_itself).exits(0).says(&["answer"]);

    // A link that the guest put there is replaced at the next boot, and not followed.
    sh(&home, "ln -sf ../resolver /etc/resolv.conf; echo theirs > /resolver; sync").exits(0);
    home.msb(["restart", "box"]).exits(0);
    let both = sh(&home, "stat -c %F /etc/resolv.conf; cat /etc/resolv.conf /resolver");
    assert_eq!(both.exits(0).stdout, format!("regular file\n{resolver}theirs\n"));
    home.msb(["down"]).exits(0);
    reversed(&home);
}

#[test]
fn a_guest_without_a_network_has_the_loopback_and_keeps_its_resolver() {
    let off = "hostname \"tidy\"\n    network { preset \"off\" }";
    let home = up(&ONE.replace("hostname \"tidy\"", off));
    assert_eq!(sh(&home, "ls /sys/class/net").exits(0).stdout, "lo\n");
    sh(&home, "ip addr show lo").exits(0).says(&["LOOPBACK,UP", "inet 127.0.0.1/8", "inet6 ::1"]);
    sh(&home, "cat /etc/hosts").exits(0).says(&["127.0.1.1\ttidy"]);
    assert_ne!(sh(&home, "grep 198.18 /etc/resolv.conf /etc/hosts").code, 0);
    sh(&home, "echo theirs > /etc/resolv.conf; sync").exits(0);
    home.msb(["restart", "box"]).exits(0);
    assert_eq!(sh(&home, "cat /etc/resolv.conf").exits(0).stdout, "theirs\n");
    home.msb(["down"]).exits(0);
    reversed(&home);
}
