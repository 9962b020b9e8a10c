//! R4: the fleet survives its commands and supervisors, and a boot of the host; and no process is
//! ever taken for another that had its number.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tests::home::Home;
use tests::oracle::{Untouched, Watch, converged, nothing_lives, pids, reversed};
use tests::processes::Alive;
use tests::programs;
use tests::run::{Started, bare, eventually};
use tests::scenes::TRIO;
use tests::skip::skip;

/// Runs its words in mounts of their own, where the host's boot has another name.
const OTHER_BOOT: &str = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";

/// Tells whether namespaces of this kind can be made here.
fn may_unshare(flags: &[&str]) -> bool {
    let made = Command::new("unshare").args(flags).arg("true").status();
    made.is_ok_and(|status| status.success())
}

#[test]
fn r4_command_and_supervisor_killed_together_are_finished_by_the_next() {
    let home = Arc::new(Home::process());
    home.write("Sandboxfile", TRIO);
    let watch = Watch::begin(&home);
    for milliseconds in [5, 15, 25, 35, 45, 60, 80] {
        let up = home.start(["up"]);
        drop(up.kill_after(Duration::from_millis(milliseconds)));
        for process in home.alive() {
            process.kill();
        }
        nothing_lives(&home);
        converged(&home);
        reversed(&home);
    }
    watch.end();
}

#[test]
fn r4_a_supervisor_that_is_killed_leaves_the_others_alone() {
    let home = Home::process();
    home.write("Sandboxfile", TRIO);
    home.msb(["up"]).exits(0);
    let untouched = Untouched::note(&home, &[home.project()], &["db"]);
    runtime(&home, "web").kill();
    converged(&home);
    untouched.holds(&home);
    reversed(&home);
}

#[test]
fn r4_after_a_boot_of_the_host_machines_are_ended_with_that_reason_and_started_again() {
    if !may_unshare(&["-m"]) {
        skip("R4-boot");
        return;
    }
    let mut home = Home::process();
    home.write("Sandboxfile", TRIO);
    home.msb(["up"]).exits(0);
    let before = pids(&home);
    for process in home.alive() {
        process.kill();
    }
    home.write("boot", "11111111-2222-3333-4444-555555555555\n");
    let boot = home.project().join("boot").display().to_string();
    home.go_through(&["unshare", "-m", "sh", "-c", OTHER_BOOT, &boot]);
    let web = home.sandbox("web");
    assert_eq!(
        (&web["phase"], &web["reason"]),
        (&"failed".into(), &"machine-died".into()),
        "{web}"
    );
    home.msb(["ps"]).exits(0).says(&["Failed(machine-died)", "host-rebooted"]);
    assert_eq!(home.sandbox("seed")["phase"], "completed", "what had ended stays as it was");
    converged(&home);
    let now = pids(&home);
    assert!(now.is_disjoint(&before) && now.len() == before.len(), "{before:?} → {now:?}");
    reversed(&home);
}

#[test]
fn r4_a_record_of_another_boot_never_names_a_process_of_this_one() {
    if !may_unshare(&["-m"]) {
        skip("R4-boot");
        return;
    }
    // The processes of the first boot go on, as strangers that have the numbers of its runtimes.
    let mut home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"one\"\nsandbox \"box\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n",
    );
    home.msb(["up"]).exits(0);
    let stranger = runtime(&home, "box");
    home.write("boot", "11111111-2222-3333-4444-555555555555\n");
    let boot = home.project().join("boot").display().to_string();
    home.go_through(&["unshare", "-m", "sh", "-c", OTHER_BOOT, &boot]);
    for words in [["kill", "box"], ["stop", "box"], ["down", "-y"]] {
        drop(home.msb(words));
        assert_eq!(Alive::find(stranger.pid).as_ref(), Some(&stranger), "{words:?} signalled it");
    }
    stranger.kill();
}

#[test]
fn r4_a_number_that_was_given_again_is_left_alone() {
    if !may_unshare(&["-mpf", "--mount-proc"]) {
        skip("R4-numbers");
        return;
    }
    let home = Home::process();
    home.write("Sandboxfile", TRIO);
    let script = home.scratch("script");
    let mut command = bare("unshare");
    command.args(["-mpf", "--mount-proc", "bash", "-c", REUSE]).arg(programs::folder().join("msb"));
    command.current_dir(home.project()).env("MSB_DRIVER", "process").env("MSB_HOME", home.path());
    command.env("HOME", home.scratch("user")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let run = Started::spawn(command, &script).wait(Duration::from_secs(120));
    assert!(run.code == 0 && run.stdout.contains("left alone"), "{run}");
    // The processes of that namespace went with its first one.
    eventually("nothing lives", Duration::from_secs(10), || home.alive().is_empty().then_some(()));
    converged(&home);
    reversed(&home);
}

/// Runs in a small world of processes, in which a number can be had by asking for the next one.
const REUSE: &str = r#"
set -euo pipefail
msb=$0
fail() { echo "$*" >&2; exit 9; }
"$msb" up >/dev/null 2>&1
pid=$("$msb" ps --output json | tr ',{' '\n\n' | grep -A30 '"name": *"web"' | grep -m1 '"pid"' | tr -dc 0-9)
[ -n "$pid" ] || pid=$("$msb" inspect web --output json | grep -m1 '"pid"' | tr -dc 0-9)
grep -aq msb-runtime "/proc/$pid/cmdline" || fail "pid $pid is no runtime"
agent=$(cat /proc/$pid/task/*/children | tr -d ' ')
kill -9 "$pid"
while [ -d "/proc/$pid" ] || [ -d "/proc/$agent" ]; do read -rt 0.01 <> <(:) || true; done
for try in 1 2 3 4 5 6 7 8 9; do
    echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
    sleep 1000 &
    stranger=$!
    [ "$stranger" = "$pid" ] && break
    kill "$stranger"
done
[ "$stranger" = "$pid" ] || fail "the number $pid was not given again"
"$msb" ps | grep -q 'Failed(machine-died' || fail "$("$msb" ps)"
for words in "kill web" "stop web" "exec web true" "restart web" "up" "stop web" "rm -f web" "down"; do
    "$msb" $words >/dev/null 2>&1 || true
    [ "$(cat /proc/$stranger/comm)" = sleep ] || fail "msb $words: the stranger is gone"
    kill -0 "$stranger" || fail "msb $words: the stranger is gone"
done
"$msb" down >/dev/null
echo left alone
"#;

fn runtime(home: &Home, name: &str) -> Alive {
    let pid = home.sandbox(name)["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let found = pid.and_then(Alive::find);
    found.filter(|found| found.command.contains("msb-runtime")).expect("it has a runtime")
}
