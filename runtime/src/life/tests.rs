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
    a_life_of(terms(kind))
}

fn terms(kind: Kind) -> Terms {
    Terms {
        kind,
        has_workload: true,
        success_codes: vec![0],
        boot: Duration::from_secs(30),
        gate: Duration::from_secs(60),
        grace: Duration::from_secs(10),
        restart: None,
        on_unhealthy: OnUnhealthy::None,
    }
}

fn a_life_of(terms: Terms) -> Told {
    let start = crate::clock::Clock::now(&crate::clock::HostClock);
    let chance = Chance::from_fn(|| 0);
    Told { life: Life::new(terms, chance, start), start, acts: Vec::new() }
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

/// A service with the restarts of a file that says nothing, without jitter; a job where it is one.
fn a_life_again(kind: Kind, change: impl FnOnce(&mut Restart)) -> Told {
    let mut restart = Restart::of(schema::project::Kind::Service);
    restart.jitter = schema::project::Thousandths(0);
    restart.delay = schema::units::Millis::seconds(1);
    change(&mut restart);
    a_life_of(Terms { restart: Some(restart), ..terms(kind) })
}

impl Told {
    /// Waits for what is due next, and expects it to be another start.
    fn starts_again(&mut self, second: u64, count: u32, start: &Act) {
        assert_eq!(self.due(), second);
        let [Act::Again { count: counted, .. }, started] = self.acts.as_slice() else {
            panic!("{:?}", self.acts);
        };
        assert_eq!((*counted, started), (count, start));
    }

    /// Returns the last move: from, to, reason and detail.
    fn moved(&self) -> String {
        let moved = self.acts.iter().find_map(|act| match act {
            Act::Move { from, to, reason, detail, .. } => {
                let detail = detail.as_ref().map(|d| format!(", {d}")).unwrap_or_default();
                Some(format!("{from:?} {to:?}({}{detail})", reason.as_deref().unwrap_or("")))
            }
            _ => None,
        });
        moved.unwrap_or_else(|| format!("{:?}", self.acts))
    }
}

#[test]
fn rt_10_13_a_workload_that_ends_badly_is_started_again_in_the_same_machine() {
    let mut told = a_life_again(Kind::Service, |_| {}).ready().at(5, exit(3));
    assert!(told.acts.contains(&Act::BeginProbesAnew));
    assert_eq!(told.moved(), "Ready Starting(exit 3)");
    told.starts_again(6, 1, &Act::StartWorkload);
    let told = told.at(7, Heard::WorkloadStarted);
    assert_eq!(told.acts, [Act::StartGate]);
    let told = told.at(7, Heard::GatePassed);
    assert_eq!(told.moved(), "Starting Ready()");
}

#[test]
fn sf_w2_restarts_that_are_used_up_stall_a_service_and_fail_a_job() {
    let once = |restart: &mut Restart| restart.max = 1;
    let mut told = a_life_again(Kind::Service, once).ready().at(5, exit(3));
    told.starts_again(6, 1, &Act::StartWorkload);
    let told = told.at(7, Heard::WorkloadStarted).at(8, exit(4));
    assert_eq!(told.moved(), "Starting Stalled(restarts, exit 4)");
    assert!(!told.life.is_closing(), "whoever wants may look into the machine");
    let told = told.at(20, stop(4)).at(20, Heard::Bye { killed: 0 });
    told.at(21, ended(0)).rests_as("Stopped(requested)");

    let mut told = a_life_again(Kind::Job, once).ready().at(5, exit(3));
    told.starts_again(6, 1, &Act::StartWorkload);
    let told = told.at(7, Heard::WorkloadStarted).at(8, exit(4)).at(8, Heard::Bye { killed: 0 });
    told.at(9, ended(0)).rests_as("Failed(exit 4)");
}

#[test]
fn sf_w2_a_service_that_succeeds_comes_back_by_always_alone() {
    let bye = Heard::Bye { killed: 0 };
    let told = a_life_again(Kind::Service, |_| {}).ready().at(5, exit(0)).at(5, bye);
    told.at(6, ended(0)).rests_as("Stopped(exited)");
    let always = |restart: &mut Restart| restart.policy = schema::project::RestartPolicy::Always;
    let mut told = a_life_again(Kind::Service, always).ready().at(5, exit(0));
    told.starts_again(6, 1, &Act::StartWorkload);
    // Its guest shutting down counts as success, too.
    let told = a_life_again(Kind::Service, always).ready();
    let told = told.at(10, Heard::Stopping { from_guest: true }).at(11, Heard::Bye { killed: 0 });
    let mut told = told.at(12, ended(0));
    told.starts_again(13, 1, &Act::StartMachine);
    let told = a_life_again(Kind::Service, |_| {}).ready();
    let told = told.at(10, Heard::Stopping { from_guest: true }).at(11, Heard::Bye { killed: 0 });
    told.at(12, ended(0)).rests_as("Stopped(guest-shutdown)");
}

#[test]
fn sf_w3_what_no_start_would_mend_is_not_started_again() {
    let bye = Heard::Bye { killed: 0 };
    let end = |told: Told| told.at(9, bye.clone()).at(9, ended(0));
    let again = || a_life_again(Kind::Service, |_| {});
    end(again().ready().at(5, exit(127))).rests_as("Failed(exit 127)");
    end(again().ready().at(5, exit(126))).rests_as("Failed(exit 126)");
    let refused = Heard::WorkloadRefused { kind: "not-found", message: String::new() };
    end(again().at(1, Heard::AgentReady).at(1, refused)).rests_as("Failed(exec, not-found)");
    let exit = Exit { code: None, signal: Some(9) };
    let starting = again().at(1, Heard::AgentReady).at(2, Heard::WorkloadStarted);
    end(starting.at(3, Heard::WorkloadExited { exit, oom: true })).rests_as("Failed(oom)");
    again().at(1, Heard::Panicked).at(2, ended(0)).rests_as("Failed(boot, kernel-panic)");
    let step = Heard::StepFailed { step: "root".into(), errno: None, detail: String::new() };
    again().at(1, step).at(2, killed()).rests_as("Failed(boot, root)");
    let fault = Heard::Fault("a bug".into());
    again().ready().at(5, fault).at(5, killed()).rests_as("Failed(internal)");
}

#[test]
fn rt_10_13_a_machine_that_died_is_booted_again() {
    let mut told = a_life_again(Kind::Service, |_| {}).ready().at(5, killed());
    assert_eq!(told.moved(), "Ready Booting(machine-died)");
    told.starts_again(6, 1, &Act::StartMachine);
    let mut told = told.at(7, Heard::FirstByte);
    assert_eq!(told.life.deadline(), Some(told.start + Duration::from_secs(37)), "a new boot");
    told = told.at(8, Heard::AgentReady);
    assert_eq!(told.acts, [Act::StartWorkload]);
    let told = told.at(8, Heard::WorkloadStarted).at(8, Heard::GatePassed);
    assert_eq!(told.life.phase(), Phase::Ready);
    // A panic of one that was ready is mended as well, and a boot that hangs.
    let mut told = told.at(9, Heard::Panicked).at(10, ended(0));
    told.starts_again(12, 2, &Act::StartMachine);
    assert_eq!((told.due(), told.acts.clone()), (42, vec![Act::Kill]));
    let mut told = told.at(42, killed());
    assert_eq!(told.moved(), "Booting Booting(boot)");
    told.starts_again(46, 3, &Act::StartMachine);
}

#[test]
fn a_machine_whose_restarts_are_used_up_rests_stalled() {
    let told = a_life_again(Kind::Service, |restart| restart.max = 0).ready().at(5, killed());
    told.rests_as("Stalled(restarts, machine-died)");
    let told = a_life_again(Kind::Job, |restart| restart.max = 0).ready().at(5, killed());
    told.rests_as("Failed(machine-died, vmm-exited)");
}

#[test]
fn rt_10_13_a_stop_that_was_asked_for_is_never_undone() {
    let always = |restart: &mut Restart| restart.policy = schema::project::RestartPolicy::Always;
    let again = || a_life_again(Kind::Service, always).ready();
    let told = again().at(10, stop(4)).at(11, exit(3)).at(11, Heard::Bye { killed: 0 });
    told.at(12, ended(0)).rests_as("Stopped(requested)");
    again().at(10, stop(4)).at(11, killed()).rests_as("Stopped(requested, forced)");
    // Between the end of the workload and its next start.
    let told = again().at(5, exit(3)).at(5, stop(4)).at(6, Heard::Bye { killed: 0 });
    told.at(6, ended(0)).rests_as("Stopped(requested)");
    // Between two machines there is nothing to wait for.
    let mut told = again().at(5, killed()).at(5, stop(4));
    told.acts.retain(|act| !matches!(act, Act::Ask { .. }));
    told.rests_as("Stopped(requested)");
}

#[test]
fn a_workload_whose_health_fails_is_ended_and_started_again() {
    let mut terms = terms(Kind::Service);
    let mut restart = Restart::of(schema::project::Kind::Service);
    (restart.jitter, restart.max) = (schema::project::Thousandths(0), 1);
    (terms.restart, terms.on_unhealthy) = (Some(restart), OnUnhealthy::Restart);
    let mut told = a_life_of(terms).ready().at(5, Heard::Unhealthy);
    assert_eq!(told.moved(), "Ready Degraded()");
    assert_eq!(told.acts.last(), Some(&Act::EndWorkload));
    assert_eq!((told.due(), told.acts.clone()), (15, vec![Act::KillWorkload]), "its grace");
    let mut told = told.at(16, exit(0));
    assert_eq!(told.moved(), "Degraded Starting(unhealthy)");
    told.starts_again(16, 1, &Act::StartWorkload);
    let told = told.at(17, Heard::WorkloadStarted).at(17, Heard::GatePassed);
    let told = told.at(20, Heard::Unhealthy);
    assert_eq!(told.life.phase(), Phase::Stalled, "there is none left");
    let told = told.at(21, Heard::Healthy);
    assert_eq!(told.life.phase(), Phase::Ready);
}

#[test]
fn rt_10_11_an_age_ends_a_service_well_and_a_job_badly() {
    let bye = Heard::Bye { killed: 0 };
    let end = |told: Told| told.at(9, bye.clone()).at(9, ended(0));
    let told = a_life_again(Kind::Service, |_| {}).ready().at(8, Heard::Over(Over::Old));
    assert!(matches!(told.acts.as_slice(), [Act::Ask { .. }, Act::Shutdown { .. }]));
    end(told).rests_as("Stopped(max-duration)");
    end(a_life(Kind::Job).ready().at(8, Heard::Over(Over::Old))).rests_as("Failed(max-duration)");
    let idle = a_life_again(Kind::Service, |_| {}).ready().at(8, Heard::Over(Over::Idle));
    end(idle.at(9, exit(143))).rests_as("Stopped(idle)");
}
