//! The end: what is asked, what is killed, what is said last.

use schema::wire::message::{Bye, Done, ErrorCode, Stopping};
use schema::wire::{CONTROL_SESSION, CREDIT_START_BYTES, Kind, Message};

use crate::client::{Agent, Outcome, command, shell, wait_until_gone};

fn stopping(agent: &mut Agent) -> Stopping {
    match agent.message(CONTROL_SESSION) {
        Message::Stopping(stopping) => stopping,
        other => panic!("{other:?} instead of Stopping"),
    }
}

fn bye(agent: &mut Agent) -> Bye {
    loop {
        match agent.message(CONTROL_SESSION) {
            Message::Bye(bye) => {
                agent.say(CONTROL_SESSION, Done {});
                return bye;
            }
            Message::Stopping(_) => {}
            other => panic!("{other:?} instead of Bye"),
        }
    }
}

/// Opens a command that writes its process id, and returns both ids.
fn open_with_pid(agent: &mut Agent, script: &str, name: Option<&str>) -> (u32, u32) {
    let mut exec = shell(script);
    exec.name = name.map(String::from);
    let id = agent.open(exec);
    let mut outcome = Outcome::default();
    agent.hear_until(&mut outcome, |text| text.contains('\n'));
    (id, outcome.text().trim().parse().unwrap())
}

#[test]
fn an_idle_agent_says_bye_at_once() {
    let mut agent = Agent::up();
    agent.ask_to_shut_down(5000);
    assert_eq!(stopping(&mut agent).from_guest, None);
    let bye = bye(&mut agent);
    assert!(bye.flushed && bye.killed == 0);
    assert_eq!(agent.wait(), Some(0));
}

#[test]
fn commands_are_asked_and_their_ends_are_told() {
    let mut agent = Agent::up();
    let script = "trap 'exit 7' TERM; echo $$; while :; do sleep 0.01; done";
    let (id, _) = open_with_pid(&mut agent, script, Some("main"));
    agent.ask_to_shut_down(10_000);
    assert_eq!(agent.finish(id).code(), Some(7));
    assert_eq!(bye(&mut agent).killed, 0);
    assert_eq!(agent.wait(), Some(0));
}

#[test]
fn what_does_not_end_within_the_grace_is_killed() {
    let mut agent = Agent::up();
    let script = "trap '' TERM; (setsid sleep 60) & echo $$; while :; do sleep 0.01; done";
    let (id, pid) = open_with_pid(&mut agent, script, None);
    agent.ask_to_shut_down(200);
    assert_eq!(agent.finish(id).exited.unwrap().signal, Some(9));
    assert!(bye(&mut agent).killed > 0);
    assert_eq!(agent.wait(), Some(0));
    wait_until_gone(pid);
}

#[test]
fn a_client_that_does_not_read_holds_nothing_up() {
    let mut agent = Agent::up();
    // More than is granted, and nobody grants more.
    agent.open(shell("exec cat /dev/zero"));
    let mut bytes = 0;
    while bytes < CREDIT_START_BYTES as usize {
        let frame = agent.frame();
        bytes += if frame.kind == Kind::Data { frame.payload.len() } else { 0 };
    }
    // Longer than a test waits for anything.
    agent.ask_to_shut_down(120_000);
    assert_eq!(bye(&mut agent).killed, 0);
    assert_eq!(agent.wait(), Some(0));
}

#[test]
fn new_commands_are_refused_during_a_shutdown() {
    let mut agent = Agent::up();
    let script = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
    open_with_pid(&mut agent, script, None);
    agent.ask_to_shut_down(500);
    stopping(&mut agent);
    let id = agent.open(command(&["true"]));
    let Message::Error(error) = agent.message(id) else {
        panic!("it is refused");
    };
    assert_eq!(error.code, ErrorCode::Stopping);
    bye(&mut agent);
}

#[test]
fn a_signal_from_inside_shuts_down_too() {
    let mut agent = Agent::up();
    agent.open(shell("kill -TERM $PPID"));
    assert_eq!(stopping(&mut agent).from_guest, Some(true));
    bye(&mut agent);
    assert_eq!(agent.wait(), Some(0));
}

#[test]
fn nothing_outlives_the_channel() {
    let mut agent = Agent::up();
    let (_, leader) = open_with_pid(&mut agent, "echo $$; exec sleep 60", None);
    let (_, orphan) = open_with_pid(&mut agent, "setsid sleep 60 & echo $!; wait", None);
    agent.hang_up();
    assert_eq!(agent.wait(), Some(0));
    wait_until_gone(leader);
    wait_until_gone(orphan);
}
