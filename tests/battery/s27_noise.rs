//! S27: noise is bounded.
//!
//! A workload and a command print gigabytes, as fast as they can. Logs keep to their caps, the runtime to its memory,
//! the state is written to, the output of others is kept, and `down` works. `tests/vm/noise.rs` does it in a guest.

use std::time::Duration;

use tests::home::Home;
use tests::machines::{self, LOGS_BYTES_MAX};
use tests::matrix::{is_whole, say};
use tests::oracle::{converged, reversed};
use tests::processes::memory_kib;
use tests::run::{eventually, lasted, pause};

/// How much is printed in every run, and at night: 2 GiB take two minutes of programs built for debugging.
const BYTES: u64 = 512 << 20;
const BYTES_AT_NIGHT: u64 = 10 << 30;

/// What a runtime takes for all traffic of its agent, and for itself.
const MEMORY_KIB_MAX: u64 = (64 + 32) << 10;

/// A workload that prints one half, and then is there.
const LOUD: &str = r#"
project "loud"
sandbox "loud" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    command "sh" "-c" "yes 'what nobody wants to know' | head -c HALF; echo done > DONE; sleep 2; echo all said; sleep 100000"
}
"#;

const QUIET: &str = r#"
sandbox "quiet" { image "builtin:base"; memory "96MiB"; command "sh" "-c" "echo a word; sleep 100000" }
"#;

#[test]
fn s27_a_guest_that_prints_gigabytes_disturbs_nobody() {
    let bytes = if is_whole() { BYTES_AT_NIGHT } else { BYTES };
    let home = Home::process();
    let done = home.project().join("done");
    let half = (bytes / 2).to_string();
    let text = LOUD.replace("HALF", &half).replace("DONE", done.to_str().unwrap());
    home.write("Sandboxfile", &text);
    home.msb(["up"]).exits(0);
    let folder = machines::of(&home).remove(0);
    let runtime = folder.record.as_ref().unwrap().runtime.pid;
    // The other half is a command's, whose caller reads on.
    let words = format!("yes 'what nobody wants to know' | head -c {half} >&2; echo said");
    let mut caller = home.command();
    caller.args(["exec", "loud", "--", "sh", "-c", &words]);
    let mut through = std::process::Command::new("sh");
    through.args(["-c", "\"$@\" 2>&1 >/dev/null | wc -c", "sh"]).arg(caller.get_program());
    through.args(caller.get_args()).current_dir(home.project()).env_clear();
    through.envs(caller.get_envs().filter_map(|(name, value)| Some((name, value?))));
    through.stdin(std::process::Stdio::null());
    let limit = Duration::from_secs(20) + Duration::from_secs(bytes >> 24);
    let ((most_kib, logs), took) = lasted(|| {
        let mut caller = through.stdout(std::process::Stdio::piped()).spawn().unwrap();
        home.write("Sandboxfile", &format!("{text}{QUIET}"));
        home.msb(["up"]).exits(0).says(&["Up: 1 done"]);
        home.msb(["exec", "quiet", "--", "echo", "heard"]).exits(0).says(&["heard"]);
        let (mut most_kib, mut logs) = (0, 0);
        eventually("all of it is printed", limit, || {
            most_kib = most_kib.max(memory_kib(runtime, "VmRSS").unwrap_or(0));
            logs = logs.max(folder.logs_bytes());
            (done.exists() && caller.try_wait().unwrap().is_some()).then_some(())
        });
        let mut counted = String::new();
        std::io::Read::read_to_string(&mut caller.stdout.take().unwrap(), &mut counted).unwrap();
        assert_eq!(counted.trim(), half, "who reads gets all of it");
        (most_kib, logs)
    });
    assert!(most_kib > 0 && most_kib <= MEMORY_KIB_MAX, "the runtime took {most_kib} KiB");
    assert!(logs > 0 && logs <= LOGS_BYTES_MAX, "the logs took {logs} bytes");
    // What came within a second of a flood may be dropped with it; this did not.
    pause(Duration::from_secs(3));
    home.msb(["logs", "loud", "--tail", "200"]).exits(0).says(&["all said"]);
    home.msb(["logs", "loud", "--source", "system"]).exits(0).says(&["dropped"]);
    home.msb(["logs", "quiet"]).exits(0).says(&["a word"]);
    converged(&home);
    reversed(&home);
    say(&format!(
        "S27: {} MiB printed in {took:.0?}: the runtime took {} MiB, the logs {} MiB",
        bytes >> 20,
        most_kib >> 10,
        logs >> 20
    ));
}
