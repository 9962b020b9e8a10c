//! The rounds of an exporter: read, keep, send; until a signal says that it is enough.

use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::courier::Courier;
use super::gather::Gatherer;
use super::options::{Gathering, Rounds, Sending};
use super::outbox::{Note, Outbox};
use super::sources::{Sources, resource};
use super::stop::Stop;
use super::transport::{TlsError, Transport};
use super::verdict::Verdict;
use crate::context::{Clock as _, Context, SystemClock};

/// How an exporter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it was asked to.
    Well,
    /// What it was to export once was not taken.
    Undelivered,
}

/// Sends what machines tell to a receiver.
///
/// # Errors
/// Certificates or a key cannot be used.
pub async fn send(
    (wish, sending): (Gathering, Sending),
    context: &Context,
    mut stop: Stop,
) -> Result<Ended, TlsError> {
    let mut exporter = Exporter::new(wish, sending, context)?;
    if exporter.wish.rounds == Rounds::One {
        exporter.collect().await;
        let is_taken = exporter.flush().await;
        return Ok(if is_taken { Ended::Well } else { Ended::Undelivered });
    }
    exporter.rounds(&mut stop).await;
    let timeout = exporter.wish.timeout;
    let last = async {
        exporter.collect().await;
        exporter.flush().await;
    };
    tokio::select! {
        () = last => {}
        () = sleep(timeout) => {}
        () = stop.asked() => {}
    }
    exporter.account();
    Ok(Ended::Well)
}

struct Exporter {
    wish: Gathering,
    sending: Sending,
    sources: Sources,
    gatherer: Gatherer,
    outbox: Outbox,
    courier: Courier,
    clock: SystemClock,
}

/// What an exporter waits for.
enum Event {
    Stop,
    Came(Verdict),
    Due,
    Tick,
}

impl Exporter {
    fn new(wish: Gathering, sending: Sending, context: &Context) -> Result<Self, TlsError> {
        let (home, clock) = (context.home(), context.clock);
        let transport = Transport::new(sending.way.clone(), &sending.trust, clock)?;
        let mut outbox = Outbox::new(wish.buffered_max, wish.flush_every, clock.unix_ms());
        outbox.speak_for(resource(&sending.resource, None));
        Ok(Self {
            sources: Sources::of(home, clock),
            gatherer: Gatherer::new(home, wish.clone(), sending.emit),
            outbox,
            courier: Courier::start(transport),
            clock,
            wish,
            sending,
        })
    }

    /// Reads and sends, each when it is time, until a signal comes.
    async fn rounds(&mut self, stop: &mut Stop) {
        let mut ticks = interval(self.wish.collect_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let rest = self.outbox.due().map(|due| due.saturating_sub(self.clock.elapsed()));
            let event = tokio::select! {
                biased;
                () = stop.asked() => Event::Stop,
                verdict = self.courier.verdict(), if rest.is_none() => Event::Came(verdict),
                () = sleep(rest.unwrap_or_default()), if rest.is_some() => Event::Due,
                _ = ticks.tick() => Event::Tick,
            };
            match event {
                Event::Stop => return,
                Event::Came(verdict) => drop(self.came(verdict)),
                Event::Due => self.send_next().await,
                Event::Tick => self.collect().await,
            }
        }
    }

    /// Reads what is new and keeps it to be sent.
    async fn collect(&mut self) {
        let told = self.sources.ask(&self.wish).await;
        if let Some(installation) = self.sources.new_installation() {
            self.outbox.speak_for(resource(&self.sending.resource, Some(&installation)));
        }
        let gathered = self.gatherer.take(&told, self.clock.unix_ms());
        self.sources.judge("labels of images", gathered.labels);
        for (name, left_out) in gathered.cut {
            warn!("{name}: {left_out} of its labels are left out: a point carries at most 64");
        }
        self.outbox.push(gathered.collection);
    }

    async fn send_next(&mut self) {
        let request = self.outbox.next(self.clock.unix_ms());
        self.courier.send(request).await;
    }

    /// Takes in what came of a request, and tells whether it was taken.
    fn came(&mut self, verdict: Verdict) -> bool {
        let is_taken = matches!(verdict, Verdict::Taken | Verdict::Partly { .. });
        match self.outbox.came(verdict, self.clock.elapsed(), self.clock.unix_ms()) {
            Some(Note::Warning(text)) => warn!("{text}"),
            Some(Note::Good(text)) => info!("{text}"),
            None => {}
        }
        is_taken
    }

    /// Sends everything that waits, now; ends at the first request that may be sent again. Tells
    /// whether all of it was taken.
    async fn flush(&mut self) -> bool {
        let mut is_taken = true;
        loop {
            if self.outbox.due().is_some() {
                self.send_next().await;
            }
            let verdict = self.courier.verdict().await;
            let is_away = matches!(verdict, Verdict::Again { .. });
            let was_last = self.outbox.is_last_on_its_way();
            is_taken &= self.came(verdict);
            if is_away || was_last {
                return is_taken;
            }
        }
    }

    /// Says what was not delivered.
    fn account(&self) {
        match self.outbox.waiting() {
            0 => {}
            1 => warn!("one collection was not delivered"),
            many => warn!("{many} collections were not delivered"),
        }
    }
}
