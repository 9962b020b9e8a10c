//! Lives told as words: what is heard at which second, what is done.

use super::*;

/// The signal of [`Act::Kill`].
const KILLED: i32 = 9;

/// A life under a hand-turned clock.
struct Told {
    life: Life,
    start: Instant,
    acts: Vec<Act>,
}

fn a_life(kind: Kind) -> Told {
    let terms = Terms {
        kind,
        has_workload: true,
        success_codes: vec![0],
        boot: Duration::from_secs(30),
        gate: Duration::from_secs(60),
        grace: Duration::from_secs(10),
    };
    let start = crate::clock::Clock::now(&crate::clock::HostClock);
    Told { life: Life::new(terms, start), start, acts: Vec::new() }
}

fn exit(code: u8) -> Heard {
    Heard::WorkloadExited { exit: Exit { code: Some(code), signal: None }, oom: false }
}

fn ended(code: i32) -> Heard {
    Heard::VmmEnded(VmmEnd { code: Some(code), ..VmmEnd::default() })
}

fn killed() -> Heard {
    Heard::VmmEnded(VmmEnd { signal: Some(KILLED), ..VmmEnd::default() })
}

fn stop(grace: u64) -> Heard {
    Heard::Stop(StopAsk {
        actor: "test".into(),
        reason: "requested".into(),
        grace: Some(Duration::from_secs(grace)),
        urgency: Urgency::Normal,
    })
}

impl Told {
    fn at(mut self, second: u64, heard: Heard) -> Self {
        self.acts = self.life.hear(heard, self.start + Duration::from_secs(second));
        self
    }

    fn ready(self) -> Self {
        self.at(1, Heard::FirstByte)
            .at(1, Heard::AgentReady)
            .at(2, Heard::WorkloadStarted)
            .at(2, Heard::GatePassed)
    }

    /// Turns the clock to the life's own next deadline; returns the second it showed.
    fn due(&mut self) -> u64 {
        let at = self.life.deadline().expect("something is to be waited for");
        self.acts = self.life.tick(at);
        (at - self.start).as_secs()
    }

    fn rests_as(self, expected: &str) {
        let [Act::Rest(rest)] = self.acts.as_slice() else { panic!("{:?}", self.acts) };
        let verdict = &rest.verdict;
        let detail = verdict.detail.as_ref().map(|d| format!(", {d}")).unwrap_or_default();
        let forced = if rest.forced { ", forced" } else { "" };
        assert_eq!(format!("{:?}({}{detail}{forced})", rest.phase, verdict.reason), expected);
        assert_eq!(self.life.deadline(), None);
    }
}

#[test]
fn a_boot_without_progress_ends_at_its_deadline() {
    let mut told = a_life(Kind::Service).at(20, Heard::Step("disks".into()));
    assert_eq!(told.due(), 50);
    assert_eq!(told.acts, [Act::Kill]);
    told.at(50, killed()).rests_as("Failed(boot, deadline)");
}

#[test]
fn a_busy_boot_is_waited_for_up_to_ten_windows() {
    let mut told = a_life(Kind::Service);
    for second in (0..400).step_by(25) {
        told = told.at(second, Heard::Busy);
    }
    assert_eq!(told.due(), 300);
    let mut told = a_life(Kind::Service).at(10, Heard::FirstByte).at(39, Heard::Busy);
    assert_eq!(told.due(), 40, "an agent that spoke speaks for itself");
}

#[test]
fn a_failed_step_is_the_reason_however_the_machine_goes() {
    let step = Heard::StepFailed {
        step: "root".into(),
        errno: Some("EINVAL".into()),
        detail: "mount msb-root".into(),
    };
    let told = a_life(Kind::Service).at(3, step).at(3, Heard::ChannelLost("closed".into()));
    told.at(4, ended(0)).rests_as("Failed(boot, root EINVAL)");
}

#[test]
fn a_panic_is_told_from_a_reset() {
    let told = a_life(Kind::Service).at(1, Heard::Panicked);
    told.at(2, ended(0)).rests_as("Failed(boot, kernel-panic)");
    let told = a_life(Kind::Service).ready().at(5, Heard::Panicked);
    told.at(6, ended(0)).rests_as("Failed(machine-died, kernel-panic)");
    let told = a_life(Kind::Service).ready().at(5, Heard::Panicked);
    told.at(6, killed()).rests_as("Failed(machine-died, vmm-exited)");
    a_life(Kind::Service).ready().at(6, ended(0)).rests_as("Failed(machine-died, guest-reset)");
    a_life(Kind::Service).ready().at(6, killed()).rests_as("Failed(machine-died, vmm-exited)");
}

#[test]
fn a_guest_that_only_prints_a_panic_lives_on() {
    let told = a_life(Kind::Job).ready().at(5, Heard::Panicked);
    assert_eq!((told.acts.as_slice(), told.life.deadline()), ([].as_slice(), None));
    assert!(!told.life.is_closing());
    let told = told.at(9, exit(0)).at(9, Heard::Bye { killed: 0 });
    told.at(10, ended(0)).rests_as("Completed(exit 0)");
}

#[test]
fn a_lost_channel_ends_a_machine_that_does_not_end_itself() {
    let mut told = a_life(Kind::Service).ready().at(5, Heard::ChannelLost("closed".into()));
    assert_eq!(told.due(), 7);
    assert_eq!(told.acts, [Act::Kill]);
    told.at(7, killed()).rests_as("Failed(machine-died, agent-lost)");
}

#[test]
fn a_job_that_succeeds_is_shut_down_and_completed() {
    let told = a_life(Kind::Job).ready().at(9, exit(0));
    assert!(matches!(told.acts.as_slice(), [Act::Ask { .. }, Act::Shutdown { .. }]));
    let told = told.at(9, Heard::Stopping { from_guest: false }).at(9, Heard::Bye { killed: 0 });
    told.at(10, ended(0)).rests_as("Completed(exit 0)");
}

#[test]
fn a_workload_that_ends_decides_the_phase() {
    let bye = Heard::Bye { killed: 0 };
    let end = |told: Told| told.at(9, bye.clone()).at(9, ended(0));
    end(a_life(Kind::Job).ready().at(5, exit(3))).rests_as("Failed(exit 3)");
    end(a_life(Kind::Service).ready().at(5, exit(0))).rests_as("Stopped(exited)");
    end(a_life(Kind::Service).ready().at(5, exit(1))).rests_as("Failed(exit 1)");
    let early = a_life(Kind::Service).at(1, Heard::AgentReady).at(2, Heard::WorkloadStarted);
    end(early.at(2, exit(0))).rests_as("Failed(exited-early)");
    let signal = Exit { code: None, signal: Some(9) };
    let oom = Heard::WorkloadExited { exit: signal, oom: true };
    end(a_life(Kind::Service).ready().at(5, oom)).rests_as("Failed(oom)");
    let refused = Heard::WorkloadRefused { kind: "not-found", message: String::new() };
    let missing = a_life(Kind::Service).at(1, Heard::AgentReady).at(1, refused);
    end(missing).rests_as("Failed(exec, not-found)");
}

#[test]
fn a_gate_that_is_missed_stalls_and_may_still_pass() {
    let mut told = a_life(Kind::Service).at(1, Heard::AgentReady).at(2, Heard::WorkloadStarted);
    assert_eq!(told.due(), 62);
    assert_eq!(told.life.phase(), Phase::Stalled);
    let told = told.at(70, Heard::GatePassed);
    assert_eq!(told.life.phase(), Phase::Ready);
}

#[test]
fn a_stop_waits_for_grace_and_flush_and_then_uses_force() {
    let told = a_life(Kind::Service).ready().at(10, stop(4));
    let mut told = told.at(11, Heard::Stopping { from_guest: false });
    assert_eq!(told.due(), 22, "grace 4 s and flush window 8 s");
    assert_eq!(told.acts, [Act::Kill]);
    told.at(22, killed()).rests_as("Stopped(requested, forced)");
}

#[test]
fn an_orderly_stop_is_not_forced() {
    let told = a_life(Kind::Service).ready().at(10, stop(4));
    let told = told.at(10, Heard::Stopping { from_guest: false }).at(11, exit(143));
    assert_eq!(told.acts, []);
    let told = told.at(11, Heard::Bye { killed: 0 });
    told.at(11, ended(0)).rests_as("Stopped(requested)");
}

#[test]
fn a_workload_that_had_to_be_killed_makes_the_stop_forced() {
    let told = a_life(Kind::Service).ready().at(10, stop(4));
    let told = told.at(14, Heard::Bye { killed: 1 });
    told.at(14, ended(0)).rests_as("Stopped(requested, forced)");
}

#[test]
fn a_deaf_agent_has_its_grace_and_no_more() {
    let mut told = a_life(Kind::Service).ready().at(10, stop(4));
    assert_eq!(told.due(), 12, "deaf");
    assert_eq!((told.due(), told.acts.clone()), (14, vec![Act::Quit]));
    assert_eq!((told.due(), told.acts.clone()), (15, vec![Act::Kill]));
    told.at(15, killed()).rests_as("Stopped(requested, forced)");
}

#[test]
fn a_shorter_grace_hastens_a_stop_and_a_longer_one_does_not_delay_it() {
    let told = a_life(Kind::Service).ready().at(10, stop(30));
    let told = told.at(10, Heard::Stopping { from_guest: false }).at(11, stop(100));
    assert_eq!(told.acts, []);
    let mut told = told.at(12, stop(1));
    assert!(matches!(told.acts.as_slice(), [Act::Shutdown { .. }]));
    assert_eq!(told.due(), 21);
}

#[test]
fn a_kill_ends_everything_at_once() {
    let ask = StopAsk {
        actor: "test".into(),
        reason: "killed".into(),
        grace: None,
        urgency: Urgency::Kill,
    };
    let told = a_life(Kind::Service).ready().at(10, Heard::Stop(ask));
    assert!(told.acts.contains(&Act::Kill));
    told.at(10, killed()).rests_as("Stopped(killed, forced)");
    let told = a_life(Kind::Service).at(0, stop(4));
    assert!(told.acts.contains(&Act::Kill), "a guest that is not up has nothing to flush");
    told.at(0, killed()).rests_as("Stopped(requested)");
}

#[test]
fn a_guest_may_shut_itself_down() {
    let told = a_life(Kind::Service).ready().at(10, Heard::Stopping { from_guest: true });
    let told = told.at(11, exit(143)).at(11, Heard::Bye { killed: 0 });
    told.at(12, ended(0)).rests_as("Stopped(guest-shutdown)");
}
