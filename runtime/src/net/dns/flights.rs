//! Questions that were asked upstream, and who waits for each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::cache::Key;
use super::read::{Query, Question};
use super::{Asker, QueryId, Transport};

/// Questions that are in flight at a time.
pub(super) const FLIGHTS_MAX: usize = 64;

/// Guest's questions that wait for those, all together.
pub(super) const WAITING_MAX: usize = 1024;

/// How long one server has to answer, at least and at most.
const TRY_LEAST: Duration = Duration::from_millis(250);
const TRY_MOST: Duration = Duration::from_secs(2);

/// A question of the guest that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    /// Who asks.
    pub(super) asker: Asker,
    /// What it asks.
    pub(super) query: Query,
}

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Which one.
    pub(super) server: SocketAddr,
    /// By what.
    pub(super) by: Transport,
    /// Whether we say what we take; some old servers do not understand it.
    pub(super) with_edns: bool,
}

/// One question to one server.
#[derive(Clone, Debug)]
pub(super) struct Try {
    /// How it is asked.
    pub(super) way: Way,
    /// What the answer must repeat.
    pub(super) id: u16,
    /// The question, in the case that the answer must repeat.
    pub(super) asked: Question,
    /// When the next server is asked.
    pub(super) until: Instant,
}

/// A question that is in flight.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// Which one.
    pub(super) key: Key,
    /// Who waits for its answer.
    pub(super) waiting: Vec<Waiter>,
    /// When it is given up.
    pub(super) until: Instant,
    /// Who was asked in this round.
    pub(super) tried: Vec<SocketAddr>,
    /// Whether one of them said nothing, so that another round may help.
    pub(super) is_silent: bool,
}

/// Returns how long one of `servers` has to answer, so that each is asked within `whole`, and one
/// alone twice.
pub(super) fn time_of_try(whole: Duration, servers: usize) -> Duration {
    let parts = u32::try_from(servers.max(2)).unwrap_or(u32::MAX);
    (whole / parts).clamp(TRY_LEAST, TRY_MOST)
}

/// All questions that are in flight, by what is awaited.
#[derive(Debug, Default)]
pub(super) struct Flights {
    last: u64,
    flights: BTreeMap<QueryId, (Flight, Try)>,
}

impl Flights {
    /// Lets a question wait with the one that is in flight already; gives it back where none is.
    pub(super) fn join(&mut self, key: &Key, waiter: Waiter) -> Result<(), Waiter> {
        let mut flights = self.flights.values_mut().map(|(flight, _)| flight);
        let Some(flight) = flights.find(|flight| flight.key == *key) else { return Err(waiter) };
        // A guest that loses patience asks the same once more.
        if !flight.waiting.contains(&waiter) {
            flight.waiting.push(waiter);
        }
        Ok(())
    }

    /// Tells whether one more may begin or wait.
    pub(super) fn has_room(&self) -> bool {
        self.flights.len() < FLIGHTS_MAX && self.waiting() < WAITING_MAX
    }

    /// Tells whether one more may wait.
    pub(super) fn may_wait(&self) -> bool {
        self.waiting() < WAITING_MAX
    }

    /// Takes a question up under a new number.
    pub(super) fn begin(&mut self, flight: Flight, attempt: Try) -> QueryId {
        self.last += 1;
        let query = QueryId(self.last);
        self.flights.insert(query, (flight, attempt));
        query
    }

    /// Returns what is awaited under a number.
    pub(super) fn awaited(&self, query: QueryId) -> Option<&Try> {
        self.flights.get(&query).map(|(_, attempt)| attempt)
    }

    /// Takes a question out: its number means nothing any more.
    pub(super) fn end(&mut self, query: QueryId) -> Option<(Flight, Try)> {
        self.flights.remove(&query)
    }

    /// Returns the numbers of those whose server has had its time.
    pub(super) fn overdue(&self, now: Instant) -> Vec<QueryId> {
        let overdue = self.flights.iter().filter(|(_, (_, attempt))| attempt.until <= now);
        overdue.map(|(query, _)| *query).collect()
    }

    /// Returns when the next server has had its time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.flights.values().map(|(_, attempt)| attempt.until).min()
    }

    /// Returns how many are in flight.
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    /// Returns how many of the guest's questions wait.
    pub(super) fn waiting(&self) -> usize {
        self.flights.values().map(|(flight, _)| flight.waiting.len()).sum()
    }
}
