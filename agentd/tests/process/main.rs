//! What the agent promises, tried on the real program without a machine.
#![cfg(test)]

mod client;
mod sessions;
mod shutdown;
mod trees;

use schema::wire::boot::{BootRecord, EnvVar, STEPS, SmallFile};
use schema::wire::message::{ClockSync, ErrorCode, Hello, Update};
use schema::wire::{CONTROL_SESSION, Frame, Kind, Message};

use crate::client::{Agent, command, shell};

#[test]
fn a_boot_reports_every_step_and_skips_what_needs_a_machine() {
    let mut agent = Agent::start();
    agent.send_record(&BootRecord::default());
    let mut steps = Vec::new();
    let ready = loop {
        match agent.message(CONTROL_SESSION) {
            Message::BootStep(step) => steps.push((step.name, step.skipped == Some(true))),
            Message::Ready(ready) => break ready,
            other => panic!("{other:?} instead of a boot"),
        }
    };
    let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, STEPS);
    let done: Vec<&str> =
        steps.iter().filter(|(_, skipped)| !skipped).map(|(name, _)| name.as_str()).collect();
    assert_eq!(done, ["early", "ports", "hello", "identity", "files", "ready"]);
    assert_eq!(ready.generation, 1);
    assert!(ready.memory_bytes > 0 && !ready.kernel.is_empty());
}

#[test]
fn a_record_beyond_the_first_credit_arrives_whole() {
    let variable = |number| EnvVar { key: format!("V{number}"), value: "x".repeat(120) };
    let env: Vec<EnvVar> = (0..8000).map(variable).collect();
    let record = BootRecord { env, ..BootRecord::default() };
    let (mut agent, _) = Agent::boot(&record);
    let outcome = agent.run(shell("env | grep -c ^V"));
    assert_eq!(outcome.text(), "8000\n");
}

#[test]
fn small_files_are_placed_below_the_root() {
    let file = SmallFile { path: "/etc/app/key".into(), mode: 0o600, content: b"k".to_vec() };
    let (mut agent, _) = Agent::boot(&BootRecord { files: vec![file], ..BootRecord::default() });
    let outcome = agent.run(shell("cd \"$MSB_ROOT\" && stat -c %a etc/app/key && ls -A etc/app"));
    assert_eq!(outcome.text(), "600\nkey\n");
}

#[test]
fn a_record_that_is_none_fails_the_boot_by_name() {
    let mut agent = Agent::start();
    agent.say(CONTROL_SESSION, schema::wire::message::Boot { generation: 1, bytes: 3 });
    agent.send(&Frame::data(CONTROL_SESSION, 0, b"abc"));
    let failed = loop {
        match agent.message(CONTROL_SESSION) {
            Message::BootFailed(failed) => break failed,
            Message::BootStep(_) => {}
            other => panic!("{other:?} instead of a failure"),
        }
    };
    assert_eq!(failed.name, "hello");
    assert!(failed.detail.starts_with("the boot record does not decode"), "{}", failed.detail);
    assert_eq!(agent.wait(), Some(1));
}

fn error_of(agent: &mut Agent, session: u32) -> (ErrorCode, Option<u16>) {
    match agent.message(session) {
        Message::Error(error) => (error.code, error.operation),
        other => panic!("{other:?} instead of an error"),
    }
}

#[test]
fn what_is_not_understood_is_answered_and_life_goes_on() {
    let mut agent = Agent::up();
    let unknown =
        Frame { session: 9, kind: Kind::Message, flags: 0, code: 0x0777, payload: vec![] };
    agent.send(&unknown);
    assert_eq!(error_of(&mut agent, 9), (ErrorCode::Unsupported, Some(0x0777)));

    let resize = schema::wire::message::Resize { rows: 1, cols: 1 };
    agent.say(9, resize);
    assert_eq!(error_of(&mut agent, 9), (ErrorCode::BadSession, Some(0x0105)));

    let (version, arch, kernel) = (String::new(), String::new(), String::new());
    agent.say(CONTROL_SESSION, Hello { generation: 1, version, arch, kernel });
    assert_eq!(error_of(&mut agent, CONTROL_SESSION), (ErrorCode::BadSession, Some(0x0001)));

    agent.say(CONTROL_SESSION, ClockSync { unix_ns: 0 });
    assert_eq!(agent.run(command(&["echo", "still here"])).text(), "still here\n");
}

#[test]
fn a_payload_that_does_not_decode_ends_its_session_alone() {
    let mut agent = Agent::up();
    let other = agent.open(command(&["cat"]));
    let bad =
        Frame { session: 50, kind: Kind::Message, flags: 0, code: 0x0100, payload: vec![0xff] };
    agent.send(&bad);
    loop {
        let frame = agent.frame();
        if frame.session == 50 {
            assert_eq!(frame.kind, Kind::Reset);
            break;
        }
    }
    assert_eq!(agent.finish(other).code(), Some(0));
}

#[test]
fn an_update_changes_later_sessions_and_refuses_what_needs_a_machine() {
    let mut agent = Agent::up();
    let env = vec![EnvVar { key: "COLOUR".into(), value: "blue".into() }];
    agent.say(
        CONTROL_SESSION,
        Update { cpus: Some(2), env: Some(env), workdir: Some("/srv".into()), ..Update::default() },
    );
    let Message::Updated(updated) = agent.message(CONTROL_SESSION) else {
        panic!("no answer");
    };
    assert_eq!(updated.applied, ["env", "workdir"]);
    let refused: Vec<&str> = updated.refused.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(refused, ["cpus"]);
    let root = agent.root().canonicalize().unwrap();
    let outcome = agent.run(shell("echo $COLOUR; pwd"));
    assert_eq!(outcome.text(), format!("blue\n{}\n", root.join("srv").display()));
}
