//! What is sent next, and when: the ring, the state of the receiver, and what was counted.
//!
//! ```text
//! flush ─▶ the oldest, the next, … the exporter's own ─▶ rest until the next flush
//!              │ to be sent again: rest, each time twice as long
//!              └ refused: counted, and the next
//! ```
//!
//! Nothing here has a socket or a clock: it is told what came, and when.

use std::time::Duration;

use prost::bytes::Bytes;

use super::collection::Collection;
use super::encode;
use super::messages::Resource;
use super::own::Own;
use super::ring::Ring;
use super::verdict::Verdict;

/// The largest request; receivers of gRPC take 4 MiB where nobody told them otherwise.
const REQUEST_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How often the wait after an error is doubled, at most.
const DOUBLED_MAX: u32 = 5;

/// See the module.
#[derive(Debug)]
pub(super) struct Outbox {
    ring: Ring,
    own: Own,
    flush_every: Duration,
    resource: Resource,
    /// Nothing is sent before this.
    rest_until: Duration,
    /// How many requests in a row came to nothing that may be sent again.
    errors: u32,
    receiver: Receiver,
    /// Whether something was wrong since the last flush ended.
    is_troubled: bool,
    on_the_way: Option<OnTheWay>,
    /// Collections that were dropped when the receiver was last well.
    dropped_before: u64,
}

/// How the receiver was when it last answered, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiver {
    /// It takes everything, or was not asked yet.
    Well,
    /// It takes requests, and does not want some points.
    Picky,
    /// It may take later what it did not take.
    Away,
    /// It does not want what it is sent.
    Unwilling,
}

/// What is being sent.
#[derive(Debug)]
enum OnTheWay {
    /// So many points of a collection.
    Points(Collection, usize),
    /// What the exporter says of itself, which nobody keeps: the next says it too.
    Own,
}

/// Something to tell whoever runs the exporter: once for each change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// Something is wrong.
    Warning(String),
    /// It is well again.
    Good(String),
}

impl Outbox {
    /// Returns an empty one.
    #[must_use]
    pub(super) fn new(buffered_max: usize, flush_every: Duration, began_ms: u64) -> Self {
        Self {
            ring: Ring::new(buffered_max),
            own: Own { began_ms, ..Own::default() },
            flush_every,
            resource: Resource::default(),
            rest_until: flush_every,
            errors: 0,
            receiver: Receiver::Well,
            is_troubled: false,
            on_the_way: None,
            dropped_before: 0,
        }
    }

    /// Says for whom the exporter speaks.
    pub(super) fn speak_for(&mut self, resource: Resource) {
        self.resource = resource;
    }

    /// Adds what a tick brought.
    pub(super) fn push(&mut self, collection: Collection) {
        self.ring.push(collection);
        self.own.dropped = self.ring.dropped();
    }

    /// Returns when there is something to send; `None` while something is on its way.
    #[must_use]
    pub(super) const fn due(&self) -> Option<Duration> {
        match self.on_the_way {
            Some(_) => None,
            None => Some(self.rest_until),
        }
    }

    /// Returns how many collections wait, or are on their way.
    #[must_use]
    pub(super) fn waiting(&self) -> usize {
        self.ring.len() + usize::from(matches!(self.on_the_way, Some(OnTheWay::Points(..))))
    }

    /// Tells whether what is on its way is the end of a flush.
    #[must_use]
    pub(super) const fn is_last_on_its_way(&self) -> bool {
        matches!(self.on_the_way, Some(OnTheWay::Own))
    }

    /// Returns what was counted.
    #[cfg(test)]
    pub(super) const fn own(&self) -> &Own {
        &self.own
    }

    /// Returns the next request; whoever takes it says what came of it.
    pub(super) fn next(&mut self, now_ms: u64) -> Bytes {
        if let Some(collection) = self.ring.take() {
            let points = collection.next(REQUEST_BYTES_MAX);
            let (count, body) = (points.len(), encode::points(&self.resource, points));
            self.on_the_way = Some(OnTheWay::Points(collection, count));
            return body;
        }
        self.on_the_way = Some(OnTheWay::Own);
        encode::own(&self.resource, &self.own, now_ms)
    }

    /// Is told what came of the request that was on its way.
    pub(super) fn came(&mut self, verdict: Verdict, now: Duration, now_ms: u64) -> Option<Note> {
        let sent = self.on_the_way.take()?;
        let was_last = matches!(sent, OnTheWay::Own);
        let (receiver, why) = match verdict {
            Verdict::Taken => {
                self.taken(sent, now_ms);
                (Receiver::Well, String::new())
            }
            Verdict::Partly { rejected, why } => {
                self.taken(sent, now_ms);
                self.own.rejected += rejected;
                (Receiver::Picky, format!("it did not want {rejected} points: {why}"))
            }
            Verdict::Refused { why } => {
                self.own.failures += 1;
                self.errors = 0;
                if let OnTheWay::Points(..) = sent {
                    self.ring.give_up();
                }
                (Receiver::Unwilling, why)
            }
            Verdict::Again { why, after } => {
                self.own.failures += 1;
                if let OnTheWay::Points(collection, _) = sent {
                    self.ring.put_back(collection);
                }
                let wait = self.flush_every * 2_u32.pow(self.errors.min(DOUBLED_MAX));
                self.errors += 1;
                self.rest_until = now + wait.max(after.unwrap_or_default());
                (Receiver::Away, why)
            }
        };
        self.own.dropped = self.ring.dropped();
        self.is_troubled |= receiver != Receiver::Well;
        let is_over = was_last || receiver == Receiver::Away;
        if was_last && receiver != Receiver::Away {
            self.rest_until = now + self.flush_every;
        }
        // It is well again when a whole flush was.
        let is_known = receiver == Receiver::Well && (!is_over || self.is_troubled);
        if is_over {
            self.is_troubled = false;
        }
        if is_known { None } else { self.turned(receiver, &why) }
    }

    fn taken(&mut self, sent: OnTheWay, now_ms: u64) {
        self.own.successes += 1;
        self.own.last_success_ms = Some(now_ms);
        self.errors = 0;
        if let OnTheWay::Points(mut collection, count) = sent {
            collection.acknowledge(count);
            self.ring.put_back(collection);
        }
    }

    /// Returns what there is to tell where the receiver is not as it was.
    fn turned(&mut self, receiver: Receiver, why: &str) -> Option<Note> {
        if self.receiver == receiver {
            return None;
        }
        self.receiver = receiver;
        let dropped = self.own.dropped - self.dropped_before;
        Some(match receiver {
            Receiver::Well => {
                self.dropped_before = self.own.dropped;
                let lost = match dropped {
                    0 => "nothing was lost".to_owned(),
                    1 => "one collection was dropped".to_owned(),
                    many => format!("{many} collections were dropped"),
                };
                Note::Good(format!("the receiver takes figures again; {lost}"))
            }
            Receiver::Picky => Note::Warning(format!("the receiver leaves out points: {why}")),
            Receiver::Away => Note::Warning(format!("the receiver takes no figures: {why}")),
            Receiver::Unwilling => Note::Warning(format!(
                "the receiver refuses figures, which are dropped and counted: {why}"
            )),
        })
    }
}

#[cfg(test)]
mod tests;
