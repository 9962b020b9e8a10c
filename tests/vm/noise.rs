//! S27: noise of a guest is bounded on the host: its output, its console, its disk.

use std::time::Duration;

use tests::home::Home;
use tests::machines::{self, LOGS_BYTES_MAX};
use tests::matrix::is_whole;
use tests::oracle::{nothing_lives, reversed};
use tests::run::eventually;

/// It prints half a megabyte on its console, which is slow, and many as its output, and then fills its upper.
const LOUD: &str = r#"
project "loud"
sandbox "loud" {
    image "builtin:base"
    memory "128MiB"
    upper "64MiB"
    stop-grace "2s"
    command "sh" "/work/loud"
    mount "/work" { dir "./work" ensure="ensure" }
}
"#;

const QUIET: &str = r#"
sandbox "quiet" { image "builtin:base"; memory "96MiB"; stop-grace "1s"; command "sleep" "100000" }
"#;

const SCRIPT: &str = "yes 'what nobody wants to know' | head -c 500000 > /dev/console
yes 'what nobody wants to know' | head -c BYTES
cat /dev/zero > /full
echo said > /work/done
sleep 100000
";

#[test]
fn s27_a_guest_that_prints_and_writes_all_it_can_disturbs_nobody() {
    let home = Home::machine();
    std::fs::create_dir(home.project().join("work")).unwrap();
    let bytes = if is_whole() { 200_000_000 } else { 80_000_000 };
    home.write("work/loud", &SCRIPT.replace("BYTES", &bytes.to_string()));
    home.write("Sandboxfile", LOUD);
    home.msb(["up"]).exits(0);
    let folder = machines::of(&home).remove(0);
    home.write("Sandboxfile", &format!("{LOUD}{QUIET}"));
    home.msb(["up"]).exits(0).says(&["Up: 1 done"]);
    home.msb(["exec", "quiet", "--", "echo", "heard"]).exits(0).says(&["heard"]);
    let mut logs = 0;
    let done = home.project().join("work/done");
    eventually("all of it is printed, and the disk is full", Duration::from_secs(240), || {
        logs = logs.max(folder.logs_bytes());
        done.exists().then_some(())
    });
    assert!(logs > 1 << 20 && logs <= LOGS_BYTES_MAX, "the logs took {logs} bytes");
    let upper = ["exec", "loud", "--", "sh", "-c", "echo more > /more || df / | tail -n 1"];
    home.msb(upper).says(&["100%"]);
    // A full upper is the guest's own trouble: the machine runs, and state is written.
    home.msb(["restart", "quiet"]).exits(0);
    home.msb(["exec", "loud", "--", "rm", "/full"]).exits(0);
    home.msb(["restart", "loud"]).exits(0);
    home.msb(["down"]).exits(0);
    nothing_lives(&home);
    reversed(&home);
}
