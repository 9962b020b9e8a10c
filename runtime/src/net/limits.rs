//! How much may pass: one bucket for each direction of a machine, and who waits for it to fill.
//!
//! ```text
//! stream ─▶ does anybody wait? ─ no ─▶ as much as the bucket holds ─▶ more? it waits
//!                 └── yes ─▶ it waits: each in its turn gets the same share
//! datagram ─▶ does the bucket hold anything? it passes, and the bucket may owe for it; else it is lost
//! ```
//!
//! Bytes of streams and datagrams are counted, not those of headers. What the guest asks the resolver is
//! not counted: that has a limit of its own. Streams are delayed by not being read, which closes their
//! windows; nothing of them is lost.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use schema::project::network;
use schema::units::Rate;

use super::engine::Engine;
use super::table::Key;
use super::tcp::Connection;
use super::used::Used;
use crate::clock::Clock;

/// What a bucket holds, by how long it takes to fill; no less than the smallest share.
const DEPTH: Duration = Duration::from_millis(100);
/// The part of it that has to be there before those who wait are served, so that they are not woken for a
/// few bytes.
const WORTH: u32 = 4;
/// The smallest share.
const SHARE_MIN: u64 = 1460;
const NANOS: u128 = 1_000_000_000;

/// Both directions.
#[derive(Debug)]
pub(super) struct Limits {
    /// Out of the guest.
    pub(super) egress: Lane,
    /// Into the guest.
    pub(super) ingress: Lane,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    bucket: Bucket,
    /// When anything last passed.
    pub(super) used: Used,
    queue: VecDeque<Key>,
    queued: HashSet<Key>,
    /// What datagrams may still take while streams wait.
    for_datagrams: i64,
    /// Whether a datagram came since the last round.
    has_datagrams: bool,
}

/// Bytes that may pass: so many in a second, and no more than a moment's at once.
#[derive(Debug)]
struct Bucket {
    /// Bytes in a second; `None` is without limit.
    rate: Option<u64>,
    /// When it is full again, if nothing passes.
    full: Instant,
}

/// What one connection may move in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) to_host: u64,
    pub(super) to_guest: u64,
}

/// Which directions a connection could have moved more in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    pub(super) to_host: bool,
    pub(super) to_guest: bool,
}

/// Whose turn it is in which direction, and how much it gets.
#[derive(Debug, Clone, Copy)]
enum Served {
    Egress(u64),
    Ingress(u64),
}

impl Budget {
    /// Whatever there is.
    pub(super) const FREE: Self = Self { to_host: u64::MAX, to_guest: u64::MAX };
}

impl Bucket {
    /// Returns what may pass now.
    fn holds(&self, now: Instant) -> u64 {
        let Some(rate) = self.rate else { return u64::MAX };
        let level = depth(rate).saturating_sub(self.full.saturating_duration_since(now));
        u64::try_from(level.as_nanos() * u128::from(rate) / NANOS).unwrap_or(u64::MAX)
    }

    /// Takes bytes out; it may owe some then.
    fn take(&mut self, bytes: u64, now: Instant) {
        let Some(rate) = self.rate else { return };
        self.full = self.full.max(now).checked_add(time(bytes, rate)).unwrap_or(self.full);
    }

    /// Returns when it is worth looking again.
    fn worth(&self) -> Option<Instant> {
        let depth = depth(self.rate?);
        (self.full + depth / WORTH).checked_sub(depth)
    }
}

/// Returns how long bytes take.
fn time(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * NANOS / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn depth(rate: u64) -> Duration {
    DEPTH.max(time(SHARE_MIN, rate))
}

impl Lane {
    fn new(rate: Option<Rate>, now: Instant) -> Self {
        Self {
            bucket: Bucket { rate: rate.map(|rate| rate.0), full: now },
            used: Used::new(now),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            for_datagrams: 0,
            has_datagrams: false,
        }
    }

    /// Tells whether a datagram may pass, which takes what it needs.
    pub(super) fn passes(&mut self, bytes: usize, now: Instant) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.bucket.rate.is_none() {
            self.used.note(bytes, now);
            return true;
        }
        self.has_datagrams = true;
        let passes = match self.queue.is_empty() {
            true => self.bucket.holds(now) > 0,
            false => self.for_datagrams > 0,
        };
        if passes {
            self.for_datagrams -= i64::try_from(bytes).unwrap_or(i64::MAX);
            self.bucket.take(bytes, now);
            self.used.note(bytes, now);
        }
        passes
    }

    /// Returns what a connection may move that has not waited.
    fn at_once(&self, now: Instant) -> u64 {
        match self.bucket.rate {
            None => u64::MAX,
            Some(_) if self.queue.is_empty() => self.bucket.holds(now),
            Some(_) => 0,
        }
    }

    /// Begins a round: returns how many wait and what each of them gets. `None` where it is not time.
    fn round(&mut self, now: Instant) -> Option<(usize, u64)> {
        let is_time = !self.queue.is_empty() && self.bucket.worth().is_none_or(|due| due <= now);
        if !is_time {
            return None;
        }
        let waiting = self.queue.len();
        let datagrams = u64::from(std::mem::take(&mut self.has_datagrams));
        let sharers = u64::try_from(waiting).unwrap_or(u64::MAX).saturating_add(datagrams);
        let share = (self.bucket.holds(now) / sharers).max(SHARE_MIN);
        self.for_datagrams = self.for_datagrams.min(0);
        if datagrams > 0 {
            self.for_datagrams += i64::try_from(share).unwrap_or(i64::MAX);
        }
        Some((waiting, share))
    }

    /// Returns who is next, where there is anything for it.
    fn next(&mut self, now: Instant) -> Option<Key> {
        if self.bucket.holds(now) == 0 {
            return None;
        }
        let key = self.queue.pop_front()?;
        self.queued.remove(&key);
        Some(key)
    }

    /// Notes what a connection moved, and whether it waits for more.
    fn note(&mut self, key: Key, (bytes, lacks): (u64, bool), now: Instant) {
        self.bucket.take(bytes, now);
        if lacks && self.queued.insert(key) {
            self.queue.push_back(key);
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        (!self.queue.is_empty()).then(|| self.bucket.worth().unwrap_or(now))
    }
}

impl Limits {
    pub(super) fn new(limits: &network::Limits, now: Instant) -> Self {
        let (egress, mut ingress) = (Lane::new(limits.egress, now), Lane::new(limits.ingress, now));
        ingress.used = egress.used.clone();
        Self { egress, ingress }
    }

    /// Takes over what the policy says now; who waits goes on waiting.
    pub(super) fn follow(&mut self, limits: &network::Limits, now: Instant) {
        for (lane, rate) in [(&mut self.egress, limits.egress), (&mut self.ingress, limits.ingress)]
        {
            let rate = rate.map(|rate| rate.0);
            if lane.bucket.rate != rate {
                // What was owed was owed to the other limit.
                lane.bucket = Bucket { rate, full: now };
                lane.for_datagrams = 0;
            }
        }
    }

    /// Returns when somebody is served.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        [self.egress.deadline(now), self.ingress.deadline(now)].into_iter().flatten().min()
    }

    /// Returns what a connection may move that has not waited.
    pub(super) fn budget(&self, now: Instant) -> Budget {
        Budget { to_host: self.egress.at_once(now), to_guest: self.ingress.at_once(now) }
    }

    /// Notes what a connection moved of what it might have, and what it lacks.
    pub(super) fn note(
        &mut self,
        key: Key,
        (before, after): (Budget, Budget),
        lacks: Lacks,
        now: Instant,
    ) {
        let Self { egress, ingress } = self;
        let to_host = before.to_host.saturating_sub(after.to_host);
        let to_guest = before.to_guest.saturating_sub(after.to_guest);
        if !super::engine::is_question(&key) {
            egress.used.note(to_host.max(to_guest), now);
        }
        egress.note(key, (to_host, lacks.to_host), now);
        ingress.note(key, (to_guest, lacks.to_guest), now);
    }
}

impl<C: Clock> Engine<C> {
    /// Serves each that waits once, where there is something to give.
    pub(super) fn serve_waiting(&mut self, now: Instant) -> io::Result<()> {
        if let Some((waiting, share)) = self.limits.egress.round(now) {
            for _ in 0..waiting {
                let Some(key) = self.limits.egress.next(now) else { break };
                self.serve(key, Served::Egress(share), now)?;
            }
        }
        if let Some((waiting, share)) = self.limits.ingress.round(now) {
            for _ in 0..waiting {
                let Some(key) = self.limits.ingress.next(now) else { break };
                self.serve(key, Served::Ingress(share), now)?;
            }
        }
        Ok(())
    }

    fn serve(&mut self, key: Key, served: Served, now: Instant) -> io::Result<()> {
        let budget = self.limits.budget(now);
        let budget = match served {
            Served::Egress(to_host) => Budget { to_host, ..budget },
            Served::Ingress(to_guest) => Budget { to_guest, ..budget },
        };
        self.turn_within(key, budget, |connection: &mut Connection, bench| {
            connection.turn(None, bench)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const RATE: u64 = 1 << 20;

    fn lane() -> (Lane, Instant) {
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        let now = Instant::now();
        (Lane::new(Some(Rate(RATE)), now), now)
    }

    fn key(port: u16) -> Key {
        Key { port, remote: SocketAddr::from(([9, 9, 9, 9], 80)) }
    }

    /// Lets who waits take all it gets for two seconds; returns what each took.
    fn serve(
        lane: &mut Lane,
        mut now: Instant,
        mut each: impl FnMut(&mut Lane, Instant),
    ) -> [u64; 2] {
        let (mut taken, end) = ([0; 2], now + Duration::from_secs(2));
        while now < end {
            each(lane, now);
            if let Some((waiting, share)) = lane.round(now) {
                for _ in 0..waiting {
                    let Some(next) = lane.next(now) else { break };
                    taken[usize::from(next.port)] += share;
                    lane.note(next, (share, true), now);
                }
            }
            now += Duration::from_millis(1);
        }
        taken
    }

    #[test]
    fn rt_9_15_a_bucket_gives_its_rate_and_a_tenth_of_a_second_at_once() {
        let (mut lane, now) = lane();
        assert_eq!(lane.at_once(now), RATE / 10);
        lane.note(key(0), (RATE / 10, true), now);
        assert_eq!((lane.at_once(now), lane.round(now)), (0, None));
        let due = lane.deadline(now).unwrap();
        let waits = due.duration_since(now).as_micros();
        assert!((24_000..=25_000).contains(&waits), "not woken for a few bytes: {waits} µs");
        let taken = serve(&mut lane, now, |_, _| {})[0];
        assert!((2 * RATE * 98 / 100..=2 * RATE * 101 / 100).contains(&taken), "{taken}");
        assert_eq!(lane.bucket.holds(now + Duration::from_secs(60)), RATE / 10, "never more");
    }

    #[test]
    fn rt_9_15_who_waits_gets_the_same_and_datagrams_are_one_of_them() {
        let (mut lane, now) = lane();
        lane.note(key(0), (RATE / 10, true), now);
        lane.note(key(1), (0, true), now);
        lane.note(key(1), (0, true), now);
        assert_eq!(
            (lane.queue.len(), lane.at_once(now + DEPTH / WORTH)),
            (2, 0),
            "it waits for its turn"
        );
        let [one, other] = serve(&mut lane, now, |_, _| {});
        assert!(one.abs_diff(other) <= RATE / 50 && one > RATE * 9 / 10, "{one} {other}");
        let mut passed = 0;
        let later = now + Duration::from_secs(2);
        let streams = serve(&mut lane, later, |lane, now| {
            for _ in 0..10 {
                passed += if lane.passes(1000, now) { 1000 } else { 0 };
            }
        });
        for one in [passed, streams[0], streams[1]] {
            assert!((RATE / 2..=RATE).contains(&one), "{passed} {streams:?}");
        }
    }

    #[test]
    fn rt_9_15_a_datagram_beyond_the_depth_passes_and_is_owed_for() {
        let (_, now) = lane();
        let mut lane = Lane::new(Some(Rate(20_000)), now);
        assert!(lane.passes(60_000, now));
        let nearly = now + Duration::from_millis(2_900);
        assert!(!lane.passes(1, now) && !lane.passes(1, nearly));
        assert!(lane.passes(60_000, nearly + Duration::from_millis(2)));
    }

    #[test]
    fn rt_9_15_another_limit_holds_at_once_and_so_does_none() {
        let (_, now) = lane();
        let both = |rate: Option<u64>| network::Limits {
            egress: rate.map(Rate),
            ingress: rate.map(Rate),
            ..network::Limits::default()
        };
        let mut limits = Limits::new(&both(Some(1)), now);
        assert!(limits.egress.passes(1_000_000, now) && limits.budget(now).to_host == 0);
        limits.note(
            key(0),
            (Budget::FREE, Budget::FREE),
            Lacks { to_host: true, to_guest: true },
            now,
        );
        limits.follow(&both(Some(RATE)), now);
        assert_eq!(limits.egress.bucket.holds(now), RATE / 10);
        limits.follow(&both(None), now);
        assert_eq!((limits.budget(now), limits.deadline(now)), (Budget::FREE, Some(now)));
        assert_eq!(limits.ingress.round(now).map(|(waiting, _)| waiting), Some(1));
    }
}
