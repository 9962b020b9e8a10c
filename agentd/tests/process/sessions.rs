//! Commands: what they read, write and are told, and how they end.

use schema::wire::boot::EnvVar;
use schema::wire::message::{
    Done, ErrorCode, ExecFailure, OnGone, Resize, Rlimit, Signal, SignalTarget, StdinMode, Tty,
};
use schema::wire::{CREDIT_START_BYTES, Frame, Kind, Message, STREAM_MAIN};

use crate::client::{Agent, Outcome, command, shell, wait_until_gone};

#[test]
fn output_and_error_stay_apart_and_the_code_comes_last() {
    let outcome = Agent::up().run(shell("echo out; echo err >&2; exit 3"));
    assert_eq!(outcome.stdout, b"out\n");
    assert_eq!(outcome.stderr, b"err\n");
    assert_eq!(outcome.code(), Some(3));
    assert_eq!(outcome.ends, 2);
    assert!(outcome.started.unwrap().pid > 1);
}

#[test]
fn a_command_holds_its_three_streams_and_nothing_else() {
    // The shell opens the fourth itself, to list the folder.
    let outcome = Agent::up().run(shell("cd /proc/$$/fd && echo *"));
    assert_eq!(outcome.text(), "0 1 2 3\n");
}

#[test]
fn input_reaches_the_command_with_its_end() {
    let mut agent = Agent::up();
    let mut exec = command(&["wc", "-c"]);
    exec.stdin = StdinMode::Pipe;
    let id = agent.open(exec);
    agent.send(&Frame::data(id, STREAM_MAIN, b"hello "));
    agent.send(&Frame::data(id, STREAM_MAIN, b"world"));
    agent.send(&Frame::end(id, STREAM_MAIN));
    assert_eq!(agent.finish(id).text().trim(), "11");
}

#[test]
fn much_input_flows_as_it_is_granted_and_comes_back_whole() {
    let mut agent = Agent::up();
    let mut exec = command(&["cat"]);
    exec.stdin = StdinMode::Pipe;
    let id = agent.open(exec);
    let text: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[1]).collect();
    let (mut sent, mut credit) = (0, CREDIT_START_BYTES as usize);
    let mut outcome = Outcome::default();
    loop {
        while credit > 0 && sent < text.len() {
            let count = credit.min(text.len() - sent).min(40_000);
            agent.send(&Frame::data(id, STREAM_MAIN, &text[sent..sent + count]));
            sent += count;
            credit -= count;
            if sent == text.len() {
                agent.send(&Frame::end(id, STREAM_MAIN));
            }
        }
        let frame = agent.frame();
        if frame.kind == Kind::Credit {
            credit += frame.granted() as usize;
        } else if agent.hear(&frame, &mut outcome) {
            break;
        }
    }
    assert!(outcome.stdout == text, "{} bytes came back", outcome.stdout.len());
}

#[test]
fn more_input_than_granted_ends_the_session() {
    let mut agent = Agent::up();
    let mut exec = command(&["sleep", "60"]);
    exec.stdin = StdinMode::Pipe;
    let id = agent.open(exec);
    for _ in 0..20 {
        agent.send(&Frame::data(id, STREAM_MAIN, &[0; 16_000]));
    }
    let frame = loop {
        let frame = agent.frame();
        if frame.session == id && frame.kind == Kind::Reset {
            break frame;
        }
    };
    let Ok(Message::Error(error)) = Message::decode(0x0008, &frame.payload) else {
        panic!("a reset says why");
    };
    assert_eq!(error.code, ErrorCode::BeyondCredit);
}

#[test]
fn a_slow_reader_slows_the_command_and_loses_nothing() {
    let mut agent = Agent::up();
    let id = agent.open(shell("head -c 1000000 /dev/zero"));
    let mut received = 0;
    while received < CREDIT_START_BYTES as usize {
        let frame = agent.frame();
        if frame.kind == Kind::Data {
            received += frame.payload.len();
        }
    }
    assert_eq!(received, CREDIT_START_BYTES as usize, "nothing is sent beyond the credit");
    // Another session is not held up.
    let other = agent.run(command(&["echo", "hi"]));
    assert_eq!(other.text(), "hi\n");
    agent.send(&Frame::credit(id, STREAM_MAIN, CREDIT_START_BYTES));
    received += agent.finish(id).stdout.len();
    assert_eq!(received, 1_000_000);
}

fn check_failure(
    change: impl FnOnce(&mut schema::wire::message::Exec),
    kind: ExecFailure,
    errno: i32,
) {
    let mut exec = command(&["true"]);
    change(&mut exec);
    let outcome = Agent::up().run(exec);
    let failed = outcome.failed.expect("it cannot be run");
    assert_eq!((failed.kind, failed.errno), (kind, errno), "{}", failed.detail);
    assert!(outcome.started.is_none() && outcome.exited.is_none());
}

#[test]
fn a_command_that_cannot_be_run_says_why() {
    check_failure(|exec| exec.argv = vec!["no-such-program".into()], ExecFailure::NotFound, 2);
    check_failure(|exec| exec.argv = vec!["/no/such".into()], ExecFailure::NotFound, 2);
    check_failure(|exec| exec.argv = vec!["/etc".into()], ExecFailure::NotExecutable, 13);
    check_failure(|exec| exec.argv = vec!["/etc/passwd".into()], ExecFailure::NotExecutable, 13);
    check_failure(|exec| exec.cwd = Some("/no/such".into()), ExecFailure::Cwd, 2);
    check_failure(|exec| exec.argv.clear(), ExecFailure::NotFound, 0);
}

#[test]
fn a_script_without_its_interpreter_is_not_executable() {
    let mut agent = Agent::up();
    let make = "printf '#!/no/such\\n' > s; chmod +x s; pwd";
    let folder = agent.run(shell(make)).text();
    let outcome = agent.run(command(&[&format!("{}/s", folder.trim())]));
    assert_eq!(outcome.failed.unwrap().kind, ExecFailure::NotExecutable);
}

#[test]
fn a_variable_of_the_session_wins_and_path_finds_the_program() {
    let mut agent = Agent::up();
    agent.run(shell("mkdir bin; printf '#!/bin/sh\\necho mine $A' > bin/tool; chmod +x bin/tool"));
    let mut exec = command(&["tool"]);
    let path = format!("{}/bin:/usr/bin:/bin", agent.root().display());
    exec.env = vec![
        EnvVar { key: "A".into(), value: "1".into() },
        EnvVar { key: "PATH".into(), value: path },
    ];
    assert_eq!(agent.run(exec).text(), "mine 1\n");
}

#[test]
fn a_signal_reaches_the_leader_or_the_whole_group() {
    let mut agent = Agent::up();
    let script = "trap 'echo leader' USR1; sh -c 'trap \"echo child; exit\" USR1; echo ready; \
                  while :; do sleep 0.01; done' & wait; wait; echo end";
    for target in [SignalTarget::Group, SignalTarget::Leader] {
        let heard_by: &[&str] = match target {
            SignalTarget::Group => &["leader", "child"],
            SignalTarget::Leader => &["leader"],
        };
        let id = agent.open(shell(script));
        let mut outcome = Outcome::default();
        agent.hear_until(&mut outcome, |text| text.contains("ready"));
        agent.say(id, Signal { number: 10, target });
        agent.hear_until(&mut outcome, |text| heard_by.iter().all(|who| text.contains(who)));
        agent.say(id, Signal { number: 9, target: SignalTarget::Group });
        let text = outcome.text() + &agent.finish(id).text();
        assert_eq!(text.contains("child"), target == SignalTarget::Group, "{text}");
    }
}

#[test]
fn the_signal_that_ended_a_command_is_told() {
    let exited = Agent::up().run(shell("kill -TERM $$")).exited.unwrap();
    assert_eq!((exited.code, exited.signal), (None, Some(15)));
}

#[test]
fn a_terminal_has_its_size_and_one_stream() {
    let mut agent = Agent::up();
    let mut exec = shell(
        "stty size; tty >/dev/null && echo tty; echo err >&2; echo $TERM; read x; echo got $x; stty size",
    );
    exec.tty = Some(Tty { rows: 31, cols: 97, term: "dumb".into() });
    exec.stdin = StdinMode::Pipe;
    let id = agent.open(exec);
    let mut outcome = Outcome::default();
    agent.hear_until(&mut outcome, |text| text.contains("xterm"));
    agent.say(id, Resize { rows: 11, cols: 22 });
    agent.send(&Frame::data(id, STREAM_MAIN, b"word\n"));
    let rest = agent.finish(id);
    let text = (outcome.text() + &rest.text()).replace('\r', "");
    assert_eq!(text, "31 97\ntty\nerr\nxterm\nword\ngot word\n11 22\n");
    assert_eq!(rest.code(), Some(0));
}

#[test]
fn the_end_of_input_ends_a_terminals_reader() {
    let mut agent = Agent::up();
    let mut exec = command(&["cat"]);
    exec.tty = Some(Tty { rows: 1, cols: 1, term: String::new() });
    exec.stdin = StdinMode::Pipe;
    let id = agent.open(exec);
    agent.send(&Frame::end(id, STREAM_MAIN));
    assert_eq!(agent.finish(id).code(), Some(0));
}

#[test]
fn background_children_do_not_hold_up_the_end() {
    let mut agent = Agent::up();
    let outcome = agent.run(shell("sleep 60 & echo $!"));
    assert_eq!((outcome.code(), outcome.ends), (Some(0), 2));
    let pid = outcome.text().trim().to_owned();
    let alive = agent.run(command(&["kill", "-0", &pid]));
    assert_eq!(alive.code(), Some(0), "it outlives its leader");
}

#[test]
fn what_background_children_write_soon_after_is_delivered() {
    let outcome = Agent::up().run(shell("(sleep 0.03; echo late) & echo early"));
    assert_eq!(outcome.text(), "early\nlate\n");
}

#[test]
fn what_the_command_wrote_is_delivered_however_slow_the_client() {
    let mut agent = Agent::up();
    // The pipe holds 64 KiB beyond the first credit, and a child keeps it open.
    let id = agent.open(shell("head -c 131072 /dev/zero; sleep 60 & exit 0"));
    let mut received = 0;
    while received < CREDIT_START_BYTES as usize {
        let frame = agent.frame();
        received += frame.payload.len() * usize::from(frame.kind == Kind::Data);
    }
    let later = agent.run(shell("sleep 0.3"));
    assert_eq!(later.code(), Some(0));
    agent.send(&Frame::credit(id, STREAM_MAIN, CREDIT_START_BYTES));
    let rest = agent.finish(id);
    assert_eq!(rest.stdout.len(), 65_536);
    assert_eq!(rest.code(), Some(0));
}

#[test]
fn limits_hold_and_unknown_ones_are_refused() {
    let mut agent = Agent::up();
    let mut exec = shell("ulimit -n");
    exec.rlimits = vec![Rlimit { resource: "nofile".into(), soft: Some(77), hard: Some(88) }];
    assert_eq!(agent.run(exec).text(), "77\n");
    let mut exec = command(&["true"]);
    exec.rlimits = vec![Rlimit { resource: "files".into(), soft: None, hard: None }];
    assert_eq!(agent.run(exec).failed.unwrap().kind, ExecFailure::Limits);
}

#[test]
fn an_id_is_in_use_until_both_sides_are_done() {
    let mut agent = Agent::up();
    let id = 40;
    agent.say(id, command(&["true"]));
    while !matches!(agent.message(id), Message::Done(_)) {}
    agent.say(id, command(&["true"]));
    let Message::Error(error) = agent.message(id) else {
        panic!("the id is in use");
    };
    assert_eq!(error.code, ErrorCode::BadSession);
    agent.say(id, Done {});
    agent.say(id, command(&["echo", "again"]));
    assert_eq!(agent.finish(id).text(), "again\n");
}

#[test]
fn a_reset_ends_a_command_or_keeps_it_as_was_asked() {
    let mut agent = Agent::up();
    for (on_gone, lives) in [(OnGone::Kill, false), (OnGone::Keep, true)] {
        let mut exec = shell("echo $$; exec sleep 60");
        exec.on_gone = on_gone;
        let id = agent.open(exec);
        let mut outcome = Outcome::default();
        agent.hear_until(&mut outcome, |text| text.contains('\n'));
        let reason = schema::wire::message::Error::new(ErrorCode::ClientGone, "gone");
        agent.send(&Frame::reset(id, &reason));
        assert!(matches!(agent.message(id), Message::Done(_)), "the agent answers");
        let pid: u32 = outcome.text().trim().parse().unwrap();
        if lives {
            let alive = agent.run(command(&["kill", "-0", &pid.to_string()]));
            assert_eq!(alive.code(), Some(0));
        } else {
            wait_until_gone(pid);
        }
    }
}

#[test]
fn a_client_that_goes_takes_only_its_own_sessions() {
    let mut agent = Agent::up();
    let slot = 3 << 20;
    let mut kept = command(&["sleep", "60"]);
    kept.on_gone = OnGone::Keep;
    agent.say(slot + 1, command(&["sleep", "60"]));
    agent.say(slot + 2, kept);
    agent.say((4 << 20) + 1, command(&["cat"]));
    agent.say(0, schema::wire::message::ClientGone { slot: 3 });
    assert_eq!(agent.finish((4 << 20) + 1).code(), Some(0));
    agent.say(slot + 2, Signal { number: 9, target: SignalTarget::Leader });
    let exited = agent.finish(slot + 2).exited.unwrap();
    assert_eq!(exited.signal, Some(9), "a kept one goes on until it ends");
}

#[test]
fn without_a_machine_root_can_be_another_user_by_number() {
    let mut agent = Agent::up();
    let is_root = agent.run(command(&["id", "-u"])).text() == "0\n";
    let mut exec = shell("id -u; id -g");
    exec.user = Some("4242:4343".into());
    let expected = if is_root { "4242\n4343\n" } else { "" };
    let text = agent.run(exec).text();
    assert!(text == expected || !is_root, "{text}");
    let mut exec = command(&["true"]);
    exec.user = Some("app".into());
    assert_eq!(agent.run(exec).code(), Some(0), "a name means nothing on a host");
}
