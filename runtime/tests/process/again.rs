//! Restarts by policy, and the clocks that end a machine: the real runtime and the real agent.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use schema::control::{Ages, Answer, Call, Milestone, Reply, Update};
use schema::event::What;
use schema::launch::{Health, Kind, LaunchRecord, OnUnhealthy, ProbeKind, Restart};
use schema::project::{self, RestartPolicy, Thousandths};
use schema::units::Millis;

use crate::house::{self, House, launch};
use crate::relay::{Client, exec};

/// How often a record is looked at that is to change.
const LOOK: Duration = Duration::from_millis(20);

/// A service of this script whose policy restarts it at once.
fn service(script: &str, max: u32) -> LaunchRecord {
    let mut record = launch(Some(&["sh", "-c", script]));
    let delay = Millis(50);
    let policy = Restart::of(project::Kind::Service);
    record.restart = Some(Restart { max, delay, jitter: Thousandths(0), ..policy });
    record
}

/// Waits until the record says so.
fn until(house: &House, what: impl Fn(&schema::record::Record) -> bool) {
    let (_never, receiver) = std::sync::mpsc::channel::<()>();
    let start = now();
    while !what(&house.record()) {
        assert!(start.elapsed() < house::PATIENCE, "{}\n{}", house.phase(), house.log());
        receiver.recv_timeout(LOOK).ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures how long something takes")]
fn now() -> Instant {
    Instant::now()
}

fn exec_log(house: &House) -> String {
    std::fs::read_to_string(house.folder.join("exec.log")).unwrap_or_default()
}

#[test]
fn rt_10_13_a_workload_that_ends_badly_is_started_again() {
    // Its third start goes on.
    let script = "echo run >> runs; [ $(wc -l < runs) -ge 3 ] && exec sleep 1000; exit 3";
    let mut house = House::serving(&service(script, 5));
    let vmm = house.record().vmm;
    until(&house, |record| record.restarts == 2);
    assert!(house.wait(Milestone::Ready), "{}", house.log());
    let record = house.record();
    assert_eq!(record.vmm, vmm, "the machine is the same");
    assert_eq!(record.exit.and_then(|exit| exit.code), Some(3));
    let mut control = house.control();
    control.call(Call::Subscribe { after: Some(0) });
    house.stop();
    assert_eq!(house.phase(), "Stopped(requested)");
    assert_eq!(house.record().restarts, 2);
    let log = exec_log(&house);
    assert!(log.contains("restarting (1)") && log.contains("restarting (2)"), "{log}");
    let mut told = Vec::new();
    while let Some(answer) = control.answer() {
        if let Answer::Event { event } = answer
            && let What::Restart { count, subject, reason } = event.what
        {
            told.push(format!("{count} {subject} {reason}"));
        }
    }
    assert_eq!(told, ["1 workload exit 3", "2 workload exit 3"]);
}

#[test]
fn sf_w2_a_service_whose_restarts_are_used_up_is_stalled_with_its_machine_up() {
    let mut house = House::serving(&service("echo up; exit 4", 2));
    until(&house, |record| record.reason.as_deref() == Some("restarts"));
    assert_eq!(house.phase(), "Stalled(restarts, exit 4)");
    assert!(!house.wait(Milestone::Ready), "nobody waits for it any more");
    let record = house.record();
    assert_eq!(record.restarts, 2);
    let message = "its command ended with exit code 4; its restarts are used up, after 2";
    assert_eq!(record.message.as_deref(), Some(message));
    assert_eq!(Client::connect(&house).run(exec(&["echo", "inside"])).out, b"inside\n");
    house.stop();
    assert_eq!(house.phase(), "Stopped(requested)");
}

#[test]
fn a_job_is_started_again_by_its_policy_and_then_fails() {
    let mut record = service("echo run >> runs; exit 3", 2);
    record.machine.kind = Kind::Job;
    let mut house = House::start(&record, &[]);
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!((house.phase().as_str(), house.record().restarts), ("Failed(exit 3)", 2));
    let runs = std::fs::read_to_string(house.folder.join("root/runs")).unwrap();
    assert_eq!(runs, "run\n".repeat(3));
}

#[test]
fn rt_10_13_a_machine_that_died_is_booted_again_by_the_same_runtime() {
    let mut house = House::serving(&service("echo boot >> boots; exec sleep 1000", 5));
    assert!(house.wait(Milestone::Ready));
    let before = house.record();
    house::signal(before.vmm.clone().unwrap().pid, Signal::KILL);
    until(&house, |record| record.restarts == 1);
    assert!(house.wait(Milestone::Ready), "{}", house.log());
    let after = house.record();
    assert_eq!((&after.machine, &after.runtime), (&before.machine, &before.runtime));
    assert_ne!(after.vmm, before.vmm);
    // Clients are served by the new agent, through the socket that was there.
    let boots = Client::connect(&house).run(exec(&["cat", "boots"]));
    assert_eq!(boots.out, b"boot\nboot\n", "what it wrote is there");
    house.stop();
    assert_eq!(house.phase(), "Stopped(requested)");
}

#[test]
fn a_machine_whose_restarts_are_used_up_leaves_no_runtime() {
    let mut house = House::serving(&service("exec sleep 1000", 0));
    assert!(house.wait(Milestone::Ready));
    let mut waiting = house.control();
    waiting.ask(Call::Wait { until: Milestone::Stopped });
    house::signal(house.record().vmm.unwrap().pid, Signal::KILL);
    let answer = waiting.answer();
    let reached = matches!(answer, Some(Answer::Ok { result: Reply::Status { .. }, .. }));
    assert!(reached, "{answer:?}");
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!(house.phase(), "Stalled(restarts, machine-died)");
    assert!(house.record().ended_at_ms.is_some());
}

#[test]
fn a_stop_between_two_starts_ends_the_machine() {
    let mut record = service("exit 3", 5);
    record.restart.as_mut().unwrap().delay = Millis::seconds(1000);
    record.restart.as_mut().unwrap().cap = Millis::seconds(1000);
    let mut house = House::serving(&record);
    until(&house, |record| record.reason.as_deref() == Some("exit 3"));
    house.stop();
    assert_eq!((house.phase().as_str(), house.record().restarts), ("Stopped(requested)", 0));

    let mut house = House::serving(&record_of_sleep(&record));
    assert!(house.wait(Milestone::Ready));
    house::signal(house.record().vmm.unwrap().pid, Signal::KILL);
    until(&house, |record| record.reason.as_deref() == Some("machine-died"));
    house.stop();
    assert_eq!((house.phase().as_str(), house.record().restarts), ("Stopped(requested)", 0));
}

fn record_of_sleep(record: &LaunchRecord) -> LaunchRecord {
    let mut record = record.clone();
    record.workload.argv = Some(["sleep", "1000"].map(String::from).to_vec());
    record
}

#[test]
fn a_policy_is_changed_while_the_machine_runs() {
    let house = House::serving(&service("while [ ! -e end ]; do sleep 0.05; done; exit 3", 5));
    assert!(house.wait(Milestone::Ready));
    let policy = RestartPolicy::No;
    let restart = Restart { policy, ..Restart::of(project::Kind::Service) };
    let update = Update { restart: Some(restart), ..Update::default() };
    let Answer::Ok { result: Reply::Updated { applied, .. }, .. } =
        house.control().call(Call::Update(update))
    else {
        panic!("no answer");
    };
    assert_eq!(applied, ["restart"]);
    Client::connect(&house).run(exec(&["touch", "end"]));
    until(&house, |record| record.ended_at_ms.is_some());
    assert_eq!(house.phase(), "Failed(exit 3)");
}

#[test]
fn sf_3_7_a_workload_whose_health_fails_is_started_again() {
    let script = "echo run >> runs; [ $(wc -l < runs) -ge 2 ] && touch well; exec sleep 1000";
    let mut record = service(script, 5);
    record.health = Some(Health {
        kind: ProbeKind::Exec { argv: ["test", "-e", "well"].map(String::from).to_vec() },
        interval_ms: 50,
        timeout_ms: 5000,
        failures: 2,
        successes: 1,
        on_unhealthy: OnUnhealthy::Restart,
    });
    let mut house = House::serving(&record);
    let vmm = house.record().vmm;
    until(&house, |record| record.restarts == 1);
    assert!(house.wait(Milestone::Healthy), "{}", house.log());
    assert_eq!((house.record().vmm, house.record().restarts), (vmm, 1));
    house.stop();
}

#[test]
fn rt_10_10_an_idle_machine_is_stopped_in_good_order() {
    let mut record =
        service("trap 'echo flushed > left; exit 0' TERM; while :; do sleep 0.1; done", 5);
    record.timers.idle_ms = Some(1000);
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    assert_eq!(house.ended(), Some(0), "{}", house.log());
    assert_eq!(house.phase(), "Stopped(idle)");
    assert!(!house.record().forced, "{}", house.log());
    let left = std::fs::read_to_string(house.folder.join("root/left")).unwrap();
    assert_eq!(left, "flushed\n");
}

#[test]
fn rt_10_10_a_session_holds_the_idle_clock_even_when_it_is_silent() {
    let mut record = service("exec sleep 1000", 5);
    record.timers.idle_ms = Some(1000);
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    let start = now();
    // Nobody says a word for three times as long.
    let left = Client::connect(&house).run(exec(&["sleep", "3"]));
    assert_eq!(left.exited.and_then(|exited| exited.code), Some(0), "{}", house.phase());
    assert_eq!(house.ended(), Some(0));
    let lasted = start.elapsed();
    assert_eq!(house.phase(), "Stopped(idle)");
    assert!(lasted >= Duration::from_millis(3900), "its clock began after the session: {lasted:?}");
}

#[test]
fn rt_10_10_a_detached_session_holds_the_idle_clock() {
    let mut record = service("exec sleep 1000", 5);
    record.timers.idle_ms = Some(1000);
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    let mut client = Client::connect(&house);
    client.open(schema::wire::message::Exec {
        on_gone: schema::wire::message::OnGone::Keep,
        ..exec(&["sh", "-c", "sleep 3; touch done"])
    });
    client.frame().unwrap();
    drop(client);
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(idle)");
    assert!(house.folder.join("root/done").exists(), "it was let come to its end");
}

#[test]
fn rt_10_10_a_batch_is_not_idle_and_a_touch_begins_the_clock_anew() {
    let mut record = service("sleep 3; exit 0", 5);
    record.timers.idle_ms = Some(1000);
    record.restart.as_mut().unwrap().policy = RestartPolicy::No;
    let mut house = House::serving(&record);
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(exited)");

    let mut record = service("exec sleep 1000", 5);
    record.timers.idle_ms = Some(2000);
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Ready));
    let start = now();
    let (_never, receiver) = std::sync::mpsc::channel::<()>();
    receiver.recv_timeout(Duration::from_millis(1000)).ok();
    let touched = house.control().call(Call::Touch {});
    assert!(matches!(touched, Answer::Ok { result: Reply::Done, .. }), "{touched:?}");
    let Answer::Ok { result: Reply::Status { left, .. }, .. } =
        house.control().call(Call::Status {})
    else {
        panic!("no status");
    };
    assert!(left.idle_ms.is_some_and(|left| (1500..=2000).contains(&left)), "{left:?}");
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(idle)");
    assert!(start.elapsed() >= Duration::from_millis(2900), "{:?}", start.elapsed());
}

#[test]
fn rt_10_11_a_machine_that_is_too_old_is_stopped_and_a_job_fails() {
    let mut record = service("exec sleep 1000", 5);
    record.timers.max_ms = Some(1000);
    let mut house = House::serving(&record);
    assert_eq!(house.ended(), Some(0));
    assert_eq!((house.phase().as_str(), house.record().forced), ("Stopped(max-duration)", false));
    record.machine.kind = Kind::Job;
    let mut house = House::serving(&record);
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Failed(max-duration)");
}

#[test]
fn limits_of_the_clocks_are_changed_while_the_machine_runs() {
    let mut house = House::serving(&service("exec sleep 1000", 5));
    assert!(house.wait(Milestone::Ready));
    let ages = Ages { idle_ms: Some(1000), max_ms: None };
    let update = Update { ages: Some(ages), ..Update::default() };
    house.control().call(Call::Update(update));
    assert_eq!(house.record().effective.idle_ms, Some(1000));
    assert_eq!(house.ended(), Some(0));
    assert_eq!(house.phase(), "Stopped(idle)");
}
