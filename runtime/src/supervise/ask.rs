//! What clients, signals and the creator want of the machine.

use std::time::{Duration, Instant};

use schema::control::{HealthWish, Update};
use schema::event::What;
use schema::launch::Link;
use schema::lifecycle::Phase;
use schema::wire::message::{self, Signal, SignalTarget};
use tokio::sync::oneshot;

use super::{PendingUpdate, Supervisor, UPDATE_MAX};
use crate::control::{Ask, Now, Updated};
use crate::life::{Heard, StopAsk, Urgency};
use crate::net::Net;

/// The grace of a machine whose creator is gone.
const GRACE_CREATOR_GONE: Duration = Duration::from_secs(5);

/// How many changes of live values wait for the agent.
const UPDATES_MAX: usize = 64;

impl Supervisor {
    /// Takes what a client of the control socket asks for.
    pub(super) fn hear_ask(&mut self, ask: Ask, now: Instant) {
        match ask {
            Ask::Stop { grace_ms, reason, actor, done } => {
                let grace = grace_ms.map(Duration::from_millis);
                self.stop(StopAsk { actor, reason, grace, urgency: Urgency::Normal }, now);
                answer(done, ());
            }
            Ask::Kill { actor, done } => {
                self.kills.push(done);
                let reason = "killed".into();
                self.stop(StopAsk { actor, reason, grace: None, urgency: Urgency::Kill }, now);
            }
            Ask::Update { wanted, done } => {
                self.ages.saw(now);
                self.update(&wanted, done, now);
            }
            Ask::Touch { done } => {
                self.ages.saw(now);
                answer(done, ());
            }
            Ask::Now { done } => {
                let (sessions, left) = (self.hub.session_count(), self.left(now));
                answer(done, Now { sessions, left });
            }
            Ask::Signal { number, done } => {
                self.ages.saw(now);
                self.signal(number);
                answer(done, ());
            }
            Ask::Sample { max_age_ms, done } => self.figures.ask(max_age_ms, done),
            Ask::Network { done } => answer(done, self.net.as_ref().and_then(Net::figures)),
            // The senses let go of the creator.
            Ask::Detach { done } => answer(done, ()),
            Ask::Follow { after, done } => answer(done, self.journal.follow(after)),
        }
    }

    /// A signal asks for an orderly end, a second one for the other kind.
    pub(super) fn hear_signal(&mut self, now: Instant) {
        let urgency = if self.signals > 0 { Urgency::Kill } else { Urgency::Normal };
        self.signals += 1;
        let (actor, reason) = ("signal".into(), "host-shutdown".into());
        self.stop(StopAsk { actor, reason, grace: None, urgency }, now);
    }

    /// The creator went without a word.
    pub(super) fn hear_creator_gone(&mut self, now: Instant) {
        let ask = StopAsk {
            actor: "msb-runtime".into(),
            reason: "creator-gone".into(),
            grace: Some(GRACE_CREATOR_GONE),
            urgency: Urgency::Hasty,
        };
        self.stop(ask, now);
    }

    fn stop(&mut self, ask: StopAsk, now: Instant) {
        tracing::info!(actor = ask.actor, reason = ask.reason, "the machine is to end");
        self.hear(Heard::Stop(ask), now);
    }

    /// Passes a signal on to the workload's own process.
    fn signal(&self, number: u8) {
        tracing::info!(number, "the workload is given a signal");
        if let Some(main) = &self.main {
            self.hub.say(main.session, Signal { number, target: SignalTarget::Leader });
        }
    }

    /// Changes what the runtime keeps at once, and asks the agent for the rest.
    fn update(&mut self, wanted: &Update, done: oneshot::Sender<Updated>, now: Instant) {
        let mut answered = Updated::default();
        if let Some(ms) = wanted.stop_grace_ms {
            self.life.set_grace(Duration::from_millis(ms));
            self.standing.change(|record| record.effective.stop_grace_ms = ms);
            answered.applied.push("stop_grace_ms".into());
        }
        if let Some(link) = &wanted.network {
            match self.change_network(link) {
                Ok(()) => answered.applied.push("network".into()),
                Err(why) => answered.refused.push(("network".into(), why)),
            }
        }
        if let Some(health) = &wanted.health {
            self.change_health(health, now);
            answered.applied.push("health".into());
        }
        if let Some(metrics) = wanted.metrics {
            self.launch.metrics = metrics;
            self.figures.change(metrics);
            answered.applied.push("metrics".into());
        }
        if let Some(policy) = &wanted.restart {
            self.change_restart(policy, now);
            answered.applied.push("restart".into());
        }
        if let Some(ages) = wanted.ages {
            self.change_ages(ages, now);
            answered.applied.push("ages".into());
        }
        if let Some(codes) = &wanted.success_codes {
            self.life.set_success_codes(codes.clone());
            answered.applied.push("success_codes".into());
        }
        let mut for_agent = message::Update::default();
        let shape = self.launch.shape;
        if let Some(cpus) = wanted.cpus {
            match refusal(u64::from(cpus), u64::from(shape.cpus_max), "processors") {
                Some(why) => answered.refused.push(("cpus".into(), why)),
                None => for_agent.cpus = Some(cpus),
            }
        }
        if let Some(bytes) = wanted.memory_bytes {
            match refusal(bytes, shape.memory_max_bytes, "bytes") {
                Some(why) => answered.refused.push(("memory_bytes".into(), why)),
                None => for_agent.memory_bytes = Some(bytes),
            }
        }
        let asks_agent = for_agent.cpus.is_some() || for_agent.memory_bytes.is_some();
        if !asks_agent {
            return answer(done, answered);
        }
        let wanted = Update {
            cpus: for_agent.cpus,
            memory_bytes: for_agent.memory_bytes,
            ..Update::default()
        };
        let until = now + UPDATE_MAX;
        let is_full = self.updates.len() >= UPDATES_MAX;
        self.updates.push_back(PendingUpdate { wanted, answered, until, done });
        if is_full || !self.is_up() {
            self.update_refused("the guest is not up");
        } else {
            self.say(for_agent);
        }
    }

    /// Lets something else pass the network device, and publishes something else.
    fn change_network(&mut self, link: &Link) -> Result<(), String> {
        let net = self.net.as_mut().ok_or("the machine has no network device")?;
        let changed = net.change(link).map_err(|error| error.to_string());
        // Also where it failed: what was let go may not have come back.
        self.note_ports();
        changed
    }

    /// Writes down which ports lead to the guest from now on.
    pub(super) fn note_ports(&mut self) {
        let Some(net) = &self.net else { return };
        let (was, ports) = (self.standing.record().ports, net.published().to_vec());
        if was == ports {
            return;
        }
        self.standing.change(|record| record.ports.clone_from(&ports));
        let gone = was.iter().filter(|port| !ports.contains(port)).map(|port| (port, false));
        let new = ports.iter().filter(|port| !was.contains(port)).map(|port| (port, true));
        for (port, published) in gone.chain(new) {
            self.note(What::Port { port: port.to_string(), published });
        }
    }

    /// Asks something else about health from now on.
    fn change_health(&mut self, wanted: &HealthWish, now: Instant) {
        let health = match wanted {
            HealthWish::Unasked => None,
            HealthWish::Asked(health) => Some((**health).clone()),
        };
        if health == self.launch.health {
            return;
        }
        let on_unhealthy = health.as_ref().map(|health| health.on_unhealthy).unwrap_or_default();
        self.life.set_on_unhealthy(on_unhealthy);
        let phase = self.standing.record().phase;
        let is_ready = matches!(phase, Phase::Ready | Phase::Degraded);
        let wants = self.probes.change(health.as_ref(), is_ready, now);
        self.launch.health = health;
        self.probe(wants, now);
    }

    /// Takes the agent's answer to the oldest change that waits.
    pub(super) fn hear_updated(&mut self, updated: &message::Updated) {
        let Some(pending) = self.updates.pop_front() else { return };
        let PendingUpdate { wanted, answered, done, .. } = pending;
        let Updated { mut applied, mut refused } = answered;
        for (field, key) in FIELDS {
            if updated.applied.iter().any(|name| name == field) {
                applied.push(key.to_owned());
            }
            let why = updated.refused.iter().find(|refused| refused.field == field);
            refused.extend(why.map(|refused| (key.to_owned(), refused.why.clone())));
        }
        let has = |key: &str| applied.iter().any(|name| name == key);
        let (cpus, memory) = (
            wanted.cpus.filter(|_| has("cpus")),
            wanted.memory_bytes.filter(|_| has("memory_bytes")),
        );
        // The next boot of the same machine is told so too.
        let shape = &mut self.launch.shape;
        shape.cpus = cpus.unwrap_or(shape.cpus);
        shape.memory_bytes = memory.unwrap_or(shape.memory_bytes);
        self.standing.change(|record| {
            record.effective.cpus = cpus.unwrap_or(record.effective.cpus);
            record.effective.memory_bytes = memory.unwrap_or(record.effective.memory_bytes);
        });
        answer(done, Updated { applied, refused });
    }

    /// Refuses the oldest change that waits.
    pub(super) fn update_refused(&mut self, why: &str) {
        let Some(pending) = self.updates.pop_front() else { return };
        let PendingUpdate { wanted, mut answered, done, .. } = pending;
        let asked =
            [("cpus", wanted.cpus.is_some()), ("memory_bytes", wanted.memory_bytes.is_some())];
        for (key, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
            answered.refused.push((key.to_owned(), why.to_owned()));
        }
        answer(done, answered);
    }
}

/// What the agent calls a field, and what a client does.
const FIELDS: [(&str, &str); 2] = [("cpus", "cpus"), ("memory", "memory_bytes")];

fn refusal(wanted: u64, most: u64, unit: &str) -> Option<String> {
    if wanted == 0 {
        return Some(format!("a machine has at least one of {unit}"));
    }
    (wanted > most).then(|| format!("the machine was made with {most} {unit} at most"))
}

/// Answers; whoever asked may be gone.
fn answer<T>(done: oneshot::Sender<T>, answer: T) {
    drop(done.send(answer));
}
