//! R19: signals and pipes are inputs like any other.
//!
//! Ctrl-C once and twice, TERM, HUP, a reader that goes away, streams that are closed, a pipe that
//! is full, no terminal: each command ends with the code that is promised, says what was done, and
//! the next one finds a state that it can go on from.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Signal;
use tests::home::Home;
use tests::oracle::{clean, converged, nothing_lives, pids, reversed};
use tests::processes::Alive;
use tests::run::{Started, eventually, gone_within, pause};

/// One that starts slowly, one that stops slowly, and a job.
const SLOW: &str = r#"
project "slow"
sandbox "db" {
    image "builtin:base"
    command "sh" "-c" "trap '' TERM; while :; do sleep 0.1; done"
    stop-grace "2s"
}
sandbox "web" {
    image "builtin:base"
    command "sleep" "1000"
    ready { exec "test" "-e" "/go"; timeout "60s" }
    depends-on "db"
}
"#;

const QUICK: &str = r#"
project "quick"
volume "data" { kind "disk"; size "16MiB" }
sandbox "db" {
    image "builtin:base"
    command "sh" "-c" "while :; do echo tick; sleep 0.1; done"
    mount "/data" { named "data" }
}
sandbox "web" { image "builtin:base"; command "sleep" "1000"; depends-on "db" }
"#;

/// Commands that end on their own, in an order in which each can be done; with the code of each.
const COMMANDS: &[(&[&str], i32)] = &[
    (&["validate"], 0),
    (&["diff"], 2),
    (&["plan"], 0),
    (&["up"], 0),
    (&["up"], 0),
    (&["ps"], 0),
    (&["ps", "--output", "json"], 0),
    (&["list"], 0),
    (&["logs"], 0),
    (&["inspect", "db"], 0),
    (&["exec", "db", "--", "true"], 0),
    (&["exec", "db", "--", "sh", "-c", "exit 3"], 3),
    (&["wait", "db", "--for", "ready"], 0),
    (&["agent-socket", "db"], 0),
    (&["image", "list"], 0),
    (&["volume", "list"], 0),
    (&["explain", "lock::busy"], 0),
    (&["help"], 0),
    (&["--version"], 0),
    (&["stop", "web"], 0),
    (&["start", "web"], 0),
    (&["restart", "web"], 0),
    (&["kill", "web"], 0),
    (&["run", "builtin:base", "--", "sh", "-c", "exit 4"], 4),
    (&["create", "-n", "made", "builtin:base"], 0),
    (&["rm", "-f", "adhoc/made"], 0),
    (&["down"], 0),
    (&["down"], 0),
];

/// Runs every command with its streams changed by `change`; a closed reader may also end it so.
fn through_all(change: impl Fn(&mut Command), also: &[i32]) {
    let home = Home::process();
    home.write("Sandboxfile", QUICK);
    for (number, (words, code)) in COMMANDS.iter().enumerate() {
        let mut command = home.command();
        command.args(*words);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        if !gone_within(pid, Duration::from_secs(60)) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{number}: msb {words:?} hangs");
        }
        let status = child.wait().unwrap();
        let ended = std::os::unix::process::ExitStatusExt::signal(&status);
        let found = status.code().unwrap_or_else(|| 128 + ended.unwrap_or(0));
        assert!(
            found == *code || also.contains(&found),
            "{number}: msb {words:?} ended with {found}, not {code}"
        );
    }
    nothing_lives(&home);
    clean(&home);
    converged(&home);
    reversed(&home);
}

#[test]
fn r19_every_command_bears_a_reader_that_is_gone() {
    // The code of a process that SIGPIPE ended, which reading commands take for their own.
    through_all(
        |command| {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            drop(reader);
            command.stdout(writer).stderr(Stdio::null());
        },
        &[141],
    );
}

#[test]
fn r19_every_command_bears_that_nobody_reads_its_errors() {
    through_all(
        |command| {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            drop(reader);
            command.stdout(Stdio::null()).stderr(writer);
        },
        &[141],
    );
}

#[test]
fn r19_every_command_bears_closed_streams() {
    through_all(
        |command| {
            let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            let mut shell = Command::new("sh");
            shell.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(command.get_program());
            shell.args(words).env_clear().stdin(Stdio::null());
            shell.current_dir(command.get_current_dir().unwrap());
            for (key, value) in command.get_envs() {
                shell.env(key, value.unwrap());
            }
            *command = shell;
        },
        &[],
    );
}

#[test]
fn r19_every_command_bears_streams_that_cannot_be_written() {
    through_all(
        |command| {
            let full = || File::options().write(true).open("/dev/full").unwrap();
            command.stdout(full()).stderr(full());
        },
        &[1, 141],
    );
}

#[test]
fn r19_a_reader_that_takes_one_line_ends_what_follows() {
    let home = Home::process();
    home.write("Sandboxfile", QUICK);
    home.msb(["up"]).exits(0);
    for words in ["logs -f db", "logs db", "ps", "list", "help"] {
        let line = format!("set -o pipefail; \"$0\" {words} | head -n 1 >/dev/null");
        let run = Started::spawn(shell(&home, &line), &home.scratch("head"))
            .wait(Duration::from_secs(20));
        assert!(matches!(run.code, 0 | 141), "{words}: {run}");
        let complains = ["error", "broken pipe", "panicked"];
        let complains = complains.iter().any(|word| run.stderr.to_lowercase().contains(word));
        assert!(!complains, "{words} complains of its reader: {run}");
    }
    reversed(&home);
}

fn shell(home: &Home, line: &str) -> Command {
    let mut shell = Command::new("bash");
    let msb = home.command();
    shell.args(["-c", line]).arg(msb.get_program()).env_clear().stdin(Stdio::null());
    for (key, value) in msb.get_envs() {
        shell.env(key, value.unwrap());
    }
    shell.current_dir(home.project());
    shell
}

/// A pipe that takes nothing more, and its reading end.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let size = fcntl_setpipe_size(&writer, 4096).unwrap();
    rustix::io::write(&writer, &vec![b'x'; size]).unwrap();
    (reader, writer)
}

#[test]
fn r19_a_full_pipe_is_waited_for_and_nothing_is_lost() {
    let home = Home::process();
    home.write("Sandboxfile", QUICK);
    for (words, wanted) in
        [(&["up"][..], "Up: 3 done"), (&["ps"], "web"), (&["list"], "web"), (&["down"], "Down: 2")]
    {
        let (reader, writer) = full_pipe();
        let mut command = home.command();
        command.args(words).stdout(writer).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        drop(command);
        let pid = rustix::process::Pid::from_child(&child);
        assert!(!gone_within(pid, Duration::from_millis(700)), "{words:?} did not wait");
        let mut said = String::new();
        File::from(reader).read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{words:?}");
        assert!(said.contains(wanted), "{words:?}: {said}");
    }
    nothing_lives(&home);
}

#[test]
fn r19_a_command_that_waits_for_a_full_pipe_can_be_ended() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let home = Home::process();
        home.write("Sandboxfile", QUICK);
        for words in [&["up"][..], &["ps"], &["logs", "-f"], &["down"]] {
            let (reader, writer) = full_pipe();
            let mut command = home.command();
            command.args(words).stdout(writer).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            drop(command);
            let pid = rustix::process::Pid::from_child(&child);
            assert!(!gone_within(pid, Duration::from_millis(700)), "{words:?} did not wait");
            rustix::process::kill_process(pid, signal).unwrap();
            let has_ended = gone_within(pid, Duration::from_secs(5));
            child.kill().ok();
            let status = child.wait().unwrap();
            drop(reader);
            assert!(has_ended, "{words:?} does not end by {signal:?}");
            let by = std::os::unix::process::ExitStatusExt::signal(&status);
            let found = status.code().or(by.map(|by| 128 + by));
            assert_eq!(found, Some(code), "{words:?} by {signal:?}");
        }
        clean(&home);
    }
}

/// Returns the slow project, whose `web` is ready when the file `go` is in the project's folder.
fn waits_for(home: &Home) -> String {
    SLOW.replace("/go", &home.project().join("go").display().to_string())
}

const ENDINGS: [(Signal, i32); 3] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];

#[test]
fn r19_an_up_that_waits_is_ended_by_a_signal_and_says_what_was_done() {
    for (signal, code) in ENDINGS {
        let home = Home::process();
        home.write("Sandboxfile", &waits_for(&home));
        let up = home.start(["up"]);
        booted(&home, 2);
        up.signal(signal);
        let run = up.wait(Duration::from_secs(20)).exits(code);
        run.says(&["db", "created", "web", "interrupted"])
            .complains(&["interrupted: run msb up again to go on"]);
        clean(&home);
        home.write("go", "");
        converged(&home);
        home.msb(["down", "-t", "0"]).exits(0);
    }
}

#[test]
fn r19_a_second_ctrl_c_leaves_steps_and_the_next_run_finishes_them() {
    for delay in [0, 20, 100, 500] {
        let home = Home::process();
        home.write("Sandboxfile", &SLOW.replace("\"test\" \"-e\" \"/go\"", "\"true\""));
        home.msb(["up"]).exits(0);
        let down = home.start(["down"]);
        pause(Duration::from_millis(300));
        down.signal(Signal::INT);
        pause(Duration::from_millis(delay));
        let (process, pid) = (home.alive().len(), down.pid());
        assert!(process > 0, "db stops slowly");
        if !gone_within(pid, Duration::ZERO) {
            down.signal(Signal::INT);
        }
        let run = down.wait(Duration::from_secs(20));
        assert!(matches!(run.code, 0 | 130), "{run}");
        home.msb(["down"]).exits(0);
        nothing_lives(&home);
        clean(&home);
    }
}

#[test]
fn r19_a_down_that_is_asked_once_to_end_closes_what_it_began() {
    for (signal, code) in ENDINGS {
        let home = Home::process();
        home.write("Sandboxfile", &SLOW.replace("\"test\" \"-e\" \"/go\"", "\"true\""));
        home.msb(["up"]).exits(0);
        let down = home.start(["down"]);
        eventually("web is gone", Duration::from_secs(10), || {
            (home.alive().iter().filter(|one| one.command.contains("msb-runtime")).count() == 1)
                .then_some(())
        });
        down.signal(signal);
        let run = down.wait(Duration::from_secs(20)).exits(code);
        run.complains(&["interrupted: run msb down again to go on"]);
        clean(&home);
        reversed(&home);
    }
}

#[test]
fn r19_commands_that_wait_end_by_their_signal() {
    let home = Home::process();
    home.write("Sandboxfile", QUICK);
    home.msb(["up"]).exits(0);
    let waiting: &[&[&str]] = &[
        &["logs", "-f"],
        &["wait", "db", "--for", "stopped"],
        &["load"],
        &["run", "-n", "held", "builtin:base", "sleep", "1000"],
        &["exec", "db", "--", "sleep", "1000"],
    ];
    for words in waiting {
        for (signal, code) in ENDINGS {
            let mut command = home.command();
            let (reader, _writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            command.args(*words).stdin(reader);
            let started = home.spawn(command);
            assert!(!gone_within(started.pid(), Duration::from_millis(700)), "{words:?} ended");
            started.signal(signal);
            let run = started.wait(Duration::from_secs(20));
            assert_eq!(run.code, code, "{words:?} by {signal:?}: {run}");
            eventually("only db and web are left", Duration::from_secs(10), || {
                let runtimes = home.alive();
                let count = runtimes.iter().filter(|one| one.command.contains("msb-runtime"));
                (count.count() == 2).then_some(())
            });
            home.msb(["list"]).exits(0);
            clean(&home);
        }
    }
    home.msb(["rm", "-f", "adhoc/held"]).exits(0);
    converged(&home);
    reversed(&home);
}

#[test]
fn r19_without_a_terminal_nothing_is_asked() {
    let home = Home::process();
    home.write("Sandboxfile", QUICK);
    home.msb(["up"]).exits(0);
    home.write("Sandboxfile", &QUICK[..QUICK.find("sandbox \"web\"").unwrap()]);
    let run = home.msb(["up"]).exits(77).complains(&["msb::consent::", "-y"]);
    assert!(!run.stderr.contains("[y/N]"), "{run}");
    reversed(&home);
}

#[test]
fn r19_ctrl_c_at_a_question_changes_nothing() {
    let home = Home::process();
    home.write("Sandboxfile", QUICK);
    home.msb(["up"]).exits(0);
    home.write("Sandboxfile", &QUICK[..QUICK.find("sandbox \"web\"").unwrap()]);
    let before = pids(&home);
    // A terminal of its own, on which Ctrl-C is typed after the question came.
    let typed = [("\\003", 130), ("n\\n", 77), ("\\004", 130)];
    for (keys, code) in typed {
        let line = format!(
            "(sleep 1; printf '{keys}'; sleep 2) | script -qec \"\\\"$0\\\" up\" /dev/null"
        );
        let run = Started::spawn(shell(&home, &line), &home.scratch("typed"))
            .wait(Duration::from_secs(20));
        assert_eq!(run.code, code, "{keys}: {run}");
        assert!(run.stdout.contains("[y/N]"), "{keys}: {run}");
        assert_eq!(pids(&home), before, "{keys} changed something");
    }
    reversed(&home);
}

/// Waits until so many runtimes live.
fn booted(home: &Home, count: usize) {
    eventually("machines boot", Duration::from_secs(20), || {
        let runtimes: Vec<Alive> = home.alive();
        let runtimes = runtimes.iter().filter(|one| one.command.contains("msb-runtime")).count();
        (runtimes == count).then_some(())
    });
    // The last one is waited for by now.
    pause(Duration::from_millis(300));
}
