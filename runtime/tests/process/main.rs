//! The real runtime and the real agent, without a machine between them.
//!
//! `cargo build -p agentd -p runtime` first: the suite takes both programs as
//! they lie beside each other.
#![cfg(test)]

mod again;
mod figures;
mod house;
mod probes;
mod relay;

use std::io::Write as _;

use house::{House, launch};
use relay::{Client, exec};
use rustix::process::Signal;
use schema::control::{Answer, Call, Milestone, Reply, Update};
use schema::launch::{Kind, Mount, MountSource, ProbeKind, Resource, Role, StartUp};
use schema::lifecycle::Phase;
use schema::wire::message::{Exec, OnGone};
use schema::wire::{Frame, Kind as FrameKind, Message};

const SLEEP: &[&str] = &["sleep", "1000"];

/// A workload that ends with 7 when a signal asks it to, and with 8 when its child is ended.
const TRAPS: &str = "trap 'exit 7' USR1; echo up; sleep 2 || exit 8; exit 9";

#[test]
fn a_command_runs_in_a_machine_that_is_ready() {
    let mut house = House::serving(&launch(Some(SLEEP)));
    assert!(house.wait(Milestone::Ready), "{}", house.log());
    let mut client = Client::connect(&house);
    let left = client.run(exec(&["sh", "-c", "echo out; echo err >&2; exit 3"]));
    assert_eq!((left.out, left.err), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(left.exited.and_then(|exited| exited.code), Some(3));
    let record = house.record();
    assert!(record.first_byte_at_ms >= record.started_at_ms);
    assert!(record.agent_ready_at_ms.is_some() && record.ready_at_ms.is_some());
    house.stop();
    assert_eq!(house.phase(), "Stopped(requested)");
    assert!(!house.record().forced, "{}", house.log());
    assert!(!house.folder.join("control.sock").exists());
}

#[test]
fn output_beyond_any_credit_arrives_whole() {
    let house = House::serving(&launch(None));
    assert!(house.wait(Milestone::Ready));
    let left = Client::connect(&house).run(exec(&["head", "-c", "3000000", "/dev/zero"]));
    assert_eq!(left.out.len(), 3_000_000);
}

#[test]
fn a_command_that_does_not_exist_is_told_at_once() {
    let house = House::serving(&launch(None));
    assert!(house.wait(Milestone::Running));
    let left = Client::connect(&house).run(exec(&["/no/such"]));
    assert!(matches!(&left.messages[..], [Message::ExecFailed(_)]), "{left:?}");
}

#[test]
fn a_job_that_succeeds_is_completed_and_its_output_is_kept() {
    let mut record = launch(Some(&["sh", "-c", "echo from the job; echo $PLAIN $SECRET >&2"]));
    record.machine.kind = Kind::Job;
    record.guest.sensitive_env = vec!["SECRET".into()];
    let mut house = House::start(&record, &[("env:SECRET", "s3cret")]);
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!(house.phase(), "Completed(exit 0)");
    let log = std::fs::read_to_string(house.folder.join("exec.log")).unwrap();
    let has = |s: &str, d: &str| log.contains(&format!(r#""s":"{s}","id":"main","d":"{d}""#));
    assert!(has("stdout", "from the job") && has("stderr", "plain s3cret"), "{log}");
    assert!(has("system", "started") && has("system", "stopped: exit 0"), "{log}");
    assert!(!house.log().contains("s3cret"));
}

#[test]
fn how_a_workload_ends_is_how_the_machine_rests() {
    let check = |kind: Kind, argv: &[&str], expected: &str| {
        let mut record = launch(Some(argv));
        record.machine.kind = kind;
        let mut house = House::start(&record, &[]);
        assert_eq!(house.ended(), Some(0), "{}", house.log());
        assert_eq!(house.phase(), expected, "{}", house.log());
    };
    check(Kind::Job, &["sh", "-c", "exit 7"], "Failed(exit 7)");
    check(Kind::Job, &["sh", "-c", "kill -KILL $$"], "Failed(signal 9)");
    check(Kind::Service, &["sh", "-c", "sleep 0.3"], "Stopped(exited)");
    check(Kind::Service, &["/no/such"], "Failed(exec, not-found)");
}

#[test]
fn a_gate_opens_when_its_probe_passes() {
    let mut record = launch(Some(&["sh", "-c", "sleep 0.3; touch up; exec sleep 1000"]));
    record.ready.kind = ProbeKind::Exec { argv: vec!["test".into(), "-e".into(), "up".into()] };
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready), "{}", house.log());
    house.stop();
    let mut record = launch(Some(&["sh", "-c", "sleep 0.2; echo now ready; exec sleep 1000"]));
    record.ready.kind = ProbeKind::Log { pattern: "ready$".into() };
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready), "{}", house.log());
    house.stop();
}

#[test]
fn a_gate_that_stays_shut_stalls_the_machine_and_leaves_it_up() {
    let mut record = launch(Some(SLEEP));
    record.ready.kind =
        ProbeKind::Exec { argv: ["sh", "-c", "echo not yet; exit 1"].map(String::from).to_vec() };
    record.ready.timeout_ms = 400;
    let mut house = House::serving(&record);
    assert!(!house.wait(Milestone::Ready));
    assert_eq!(house.phase(), "Stalled(not-ready)");
    let Answer::Ok { result: Reply::Status { last_probe, .. }, .. } =
        house.control().call(Call::Status {})
    else {
        panic!("no status");
    };
    assert_eq!(last_probe.as_deref(), Some("exec sh: exit 1: not yet"));
    house.stop();
    assert_eq!(house.phase(), "Stopped(requested)");
}

#[test]
fn a_workload_that_ignores_the_stop_is_ended_by_force_after_its_grace() {
    let deaf = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let mut record = launch(Some(&["sh", "-c", deaf]));
    record.ready.kind = ProbeKind::Log { pattern: "up".into() };
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    let (reason, actor) = ("requested".into(), "test".into());
    house.control().call(Call::Stop { grace_ms: Some(300), reason, actor });
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(requested)");
    assert!(house.record().forced);
}

#[test]
fn a_kill_is_answered_when_the_machine_rests() {
    let mut house = House::serving(&launch(Some(SLEEP)));
    let mut control = house.control();
    let killed = control.call(Call::Kill { actor: "test".into() });
    assert!(matches!(killed, Answer::Ok { result: Reply::Done, .. }));
    assert_eq!(house.phase(), "Stopped(killed)");
    assert_eq!(control.answer(), None, "the end is seen as end-of-file");
    assert_eq!(house.ended(), Some(0));
}

#[test]
fn an_agent_that_is_killed_fails_the_machine() {
    let mut house = House::serving(&launch(Some(SLEEP)));
    assert!(house.wait(Milestone::Ready));
    let vmm = house.record().vmm.unwrap();
    house::signal(vmm.pid, Signal::KILL);
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Failed(machine-died, vmm-exited)");
}

#[test]
fn a_runtime_that_is_killed_takes_its_machine_along() {
    let mut house = House::serving(&launch(Some(SLEEP)));
    assert!(house.wait(Milestone::Ready));
    let vmm = house::Watched::open(house.record().vmm.unwrap().pid);
    house.runtime.kill().unwrap();
    house.ended();
    vmm.wait();
    // What was left behind does not keep the next one from starting.
    let folder = house::a_folder();
    std::fs::rename(&house.folder, folder.join("again")).unwrap();
    let mut next = House::start_in(folder.join("again"), &launch(Some(SLEEP)), &[]);
    assert!(matches!(next.word(), Some(StartUp::Leased { .. })));
    assert_eq!(next.word(), Some(StartUp::Serving));
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn a_second_runtime_does_not_get_the_lease() {
    let house = House::serving(&launch(Some(SLEEP)));
    let mut second = House::start_in(house.folder.clone(), &launch(Some(SLEEP)), &[]);
    let Some(StartUp::Failed { error }) = second.word() else { panic!("it took the lease") };
    assert_eq!(error.code, "msb::lock::busy");
    assert!(house.wait(Milestone::Ready), "the first one goes on");
}

#[test]
fn an_attached_machine_ends_with_its_creator_unless_let_go() {
    let mut record = launch(Some(SLEEP));
    record.attached = true;
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    house.creator = None;
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(creator-gone)");

    let mut house = House::serving(&record);
    let mut creator = house.creator.take().unwrap();
    creator.write_all(&[schema::launch::CREATOR_DETACHES]).unwrap();
    drop(creator);
    assert!(house.wait(Milestone::Ready));
    house.stop();
    assert_eq!(house.phase(), "Stopped(requested)");
}

#[test]
fn an_ephemeral_machine_leaves_only_what_tells_how_it_ended() {
    let mut record = launch(Some(SLEEP));
    record.machine.ephemeral = true;
    let mut house = House::serving(&record);
    house.stop();
    let mut left: Vec<_> =
        std::fs::read_dir(&house.folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["events", "record"]);
}

#[test]
fn live_values_hold_or_are_refused_by_name() {
    let house = House::serving(&launch(Some(SLEEP)));
    assert!(house.wait(Milestone::Ready));
    let update = Update { cpus: Some(99), stop_grace_ms: Some(1234), ..Update::default() };
    let Answer::Ok { result: Reply::Updated { applied, refused }, .. } =
        house.control().call(Call::Update(update))
    else {
        panic!("no answer");
    };
    assert_eq!(applied, ["stop_grace_ms"]);
    assert_eq!(refused[0].0, "cpus");
    assert_eq!(house.record().effective.stop_grace_ms, 1234);
}

#[test]
fn a_signal_reaches_the_workload_and_ends_none_of_its_children() {
    let mut record = launch(Some(&["sh", "-c", TRAPS]));
    record.ready.kind = ProbeKind::Log { pattern: "up".into() };
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    let told = house.control().call(Call::Signal { number: 10 });
    assert!(matches!(told, Answer::Ok { result: Reply::Done, .. }), "{told:?}");
    house.ended();
    assert_eq!(house.record().exit.and_then(|exit| exit.code), Some(7));
}

#[test]
fn events_are_told_from_the_first_to_the_last() {
    let mut house = House::serving(&launch(Some(SLEEP)));
    let mut control = house.control();
    control.call(Call::Subscribe { after: Some(0) });
    house.wait(Milestone::Ready);
    house.stop();
    let mut phases = Vec::new();
    while let Some(answer) = control.answer() {
        if let Answer::Event { event } = answer
            && let schema::event::What::Phase { to, .. } = event.what
        {
            phases.push(to);
        }
    }
    assert_eq!(phases, [Phase::Starting, Phase::Ready, Phase::Stopped]);
}

#[test]
fn a_client_that_breaks_the_rules_is_let_go_alone() {
    let house = House::serving(&launch(None));
    assert!(house.wait(Milestone::Ready));
    let mut good = Client::connect(&house);
    let mut bad = Client::connect(&house);
    assert_ne!(good.welcome, bad.welcome);
    bad.send(&Frame::data(good.welcome.first, 0, b"theirs"));
    let word = bad.frame().unwrap();
    assert!(matches!(Message::decode(word.code, &word.payload), Ok(Message::Error(_))));
    assert_eq!(bad.frame(), None);
    assert_eq!(good.run(exec(&["echo", "fine"])).out, b"fine\n");
}

#[test]
fn control_answers_hello_first_and_refuses_what_it_does_not_know() {
    let house = House::serving(&launch(None));
    let mut control = house.silent_control();
    let Answer::Error { error, .. } = control.call(Call::Status {}) else { panic!("answered") };
    assert_eq!(error.code, "msb::control::bad-request");
    assert!(house.wait(Milestone::Running));
}

#[test]
fn a_program_that_is_missing_is_told_and_leaves_a_record() {
    let mut record = launch(None);
    record.driver.program = "/no/such/agent".into();
    let mut house = House::start(&record, &[]);
    assert!(matches!(house.word(), Some(StartUp::Leased { .. })));
    let Some(StartUp::Failed { error }) = house.word() else { panic!("it started") };
    assert_eq!((error.code.as_str(), error.stage.as_str()), ("msb::driver::spawn", "driver"));
    assert_eq!(house.ended(), Some(69));
    assert_eq!(house.phase(), "Failed(driver)");
    assert!(!house.folder.join("control.sock").exists());
}

#[test]
fn a_jail_that_must_be_whole_is_refused() {
    let mut record = launch(None);
    record.require_jail = true;
    let mut house = House::start(&record, &[]);
    house.word();
    let Some(StartUp::Failed { error }) = house.word() else { panic!("it started") };
    assert_eq!(error.code, "msb::jail::incomplete");
}

#[test]
fn a_volume_appears_where_it_is_mounted_and_outlives_the_machine() {
    let volume = house::a_folder();
    let mut record = launch(Some(&["sh", "-c", "echo kept > data/file"]));
    record.machine.kind = Kind::Job;
    record.resources = vec![Resource {
        fd: schema::launch::fd::RESOURCES,
        role: Role::Folder,
        read_only: false,
        serial: "d1".into(),
        name: "test.data".into(),
    }];
    record.mounts = vec![Mount {
        target: "/data".into(),
        source: MountSource::Named { volume: "data".into(), serial: "d1".into() },
        read_only: false,
        noexec: false,
        nosuid: false,
        nodev: false,
    }];
    let folder = std::fs::File::open(&volume).unwrap();
    let mut house = House::start_with(house::a_folder(), &record, &[], &[folder]);
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!(house.phase(), "Completed(exit 0)", "{}", house.log());
    assert_eq!(std::fs::read(volume.join("file")).unwrap(), b"kept\n");
    std::fs::remove_dir_all(volume).unwrap();
}

#[test]
fn an_environment_of_a_mebibyte_reaches_the_workload() {
    let mut record = launch(Some(&["sh", "-c", "env | grep -c ^BIG_"]));
    record.machine.kind = Kind::Job;
    record.guest.env = (0..8000).map(|n| (format!("BIG_{n}"), "x".repeat(120))).collect();
    let mut house = House::start(&record, &[]);
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    let log = std::fs::read_to_string(house.folder.join("exec.log")).unwrap();
    assert!(log.contains(r#""d":"8000""#), "{log}");
}

#[test]
fn a_command_whose_client_goes_is_hung_up_and_a_kept_one_goes_on() {
    let house = House::serving(&launch(None));
    assert!(house.wait(Milestone::Ready));
    let mut client = Client::connect(&house);
    client.open(exec(&[
        "sh",
        "-c",
        "exec 2>log; trap 'touch hung-up; exit' HUP; echo up; while :; do sleep 0.1; done",
    ]));
    let kept = Exec {
        on_gone: OnGone::Keep,
        log: true,
        ..exec(&[
            "sh",
            "-c",
            "while [ ! -e hung-up ]; do sleep 0.1; done; echo alone; touch went-on",
        ])
    };
    client.open(kept);
    // Both run, and the trap of the first is set.
    let (mut started, mut is_up) = (0, false);
    while started < 2 || !is_up {
        let frame = client.frame().unwrap();
        started += u32::from(frame.kind == FrameKind::Message);
        is_up |= frame.payload == b"up\n";
    }
    drop(client);
    let wait = ["sh", "-c", "while [ ! -e went-on ]; do sleep 0.1; done"];
    let left = Client::connect(&house).run(exec(&wait));
    assert_eq!(left.exited.and_then(|exited| exited.code), Some(0));
}

#[test]
fn an_end_of_the_machine_is_told_to_every_client() {
    let mut house = House::serving(&launch(None));
    assert!(house.wait(Milestone::Ready));
    let mut client = Client::connect(&house);
    house.stop();
    let word = client.frame().unwrap();
    let Ok(Message::Error(error)) = Message::decode(word.code, &word.payload) else {
        panic!("{word:?}");
    };
    assert_eq!(error.code, schema::wire::message::ErrorCode::AgentLost);
    assert_eq!(client.frame(), None);
}

#[test]
fn a_signal_stops_in_good_order() {
    let mut house = House::serving(&launch(Some(SLEEP)));
    assert!(house.wait(Milestone::Ready));
    house::signal(house.runtime.id(), Signal::TERM);
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(host-shutdown)");
    assert!(!house.record().forced);
}

#[test]
fn a_signal_during_the_start_is_a_stop_too() {
    let mut house = House::start(&launch(Some(SLEEP)), &[]);
    while !house.folder.join("record").exists() {
        assert_eq!(house.runtime.try_wait().unwrap(), None, "{}", house.log());
        std::thread::yield_now();
    }
    house::signal(house.runtime.id(), Signal::TERM);
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(host-shutdown)");
}

#[test]
fn a_deaf_agent_is_ended_by_force() {
    let mut house = House::serving(&launch(Some(SLEEP)));
    assert!(house.wait(Milestone::Ready));
    house::signal(house.record().vmm.unwrap().pid, Signal::STOP);
    let (reason, actor) = ("requested".into(), "test".into());
    house.control().call(Call::Stop { grace_ms: Some(100), reason, actor });
    assert_eq!(house.ended(), Some(0));
    assert_eq!((house.phase().as_str(), house.record().forced), ("Stopped(requested)", true));
}

#[test]
fn an_agent_that_never_speaks_meets_the_deadline() {
    let mut house = House::start_scripted("exec sleep 1000", |record| record.timers.boot_ms = 300);
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!(house.phase(), "Failed(boot, deadline)");
    assert!(house.record().message.unwrap().contains("the agent never spoke"));
}

#[test]
fn what_is_no_agent_is_not_listened_to() {
    let mut house =
        House::start_scripted("echo it speaks >&2; echo HELLOWORLD >&$5; exec sleep 1000", |_| {});
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!(house.phase(), "Failed(machine-died, agent-lost)");
    assert_eq!(house.record().console_tail, ["it speaks"]);
}

#[test]
fn an_agent_that_ends_at_once_is_told_with_its_last_words() {
    let mut house = House::start_scripted("echo no such luck >&2; exit 3", |_| {});
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!(house.phase(), "Failed(machine-died, vmm-exited)");
    assert_eq!(house.record().console_tail, ["no such luck"]);
}
