//! The fifth step: which server is asked, whether what comes back is its answer, and who is asked
//! when it is not.
//!
//! ```text
//!                  ┌─ cut short, case lost: the same by TCP ─┐
//! ask ─▶ a server ─┼─ EDNS not understood: once more without ┴─▶ the same server
//!                  ├─ silence, SERVFAIL, REFUSED, not reached ─▶ it rests; the next server
//!                  └─ an answer ─▶ kept, and given to all who wait
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use schema::policy::may_look_up;
use schema::project::network::Network;

use super::act::{Act, Heard, Loss, Noted, QueryId, Transport};
use super::cache::Key;
use super::flights::{Flight, Try, Waiter, Way, time_of_try};
use super::found::Found;
use super::read::{self, Answered, Question};
use super::record::Code;
use super::resolver::{Resolver, Scene, denied};
use super::serve::{self, Plain};
use super::write;

/// How long all servers together have at most, whatever the file says.
const TIMEOUT_MOST: Duration = Duration::from_mins(10);

/// What a message is to the question that awaits one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    /// Its answer.
    Answer(Answered),
    /// Its answer, but not in the case that was asked: who says it may have guessed.
    CaseLost,
    /// Something else.
    Strange,
}

impl Resolver {
    /// Takes what a server said.
    pub fn heard(&mut self, network: &Network, heard: Heard<'_>, now: Instant) -> Vec<Act> {
        let (scene, query) = (Scene { network, now }, heard.query);
        let Some(attempt) = self.flights.awaited(query) else { return Vec::new() };
        let way = attempt.way;
        let matched = compare(attempt, &heard);
        if matched == Match::Strange {
            return vec![Act::Note(Noted::Strange { server: way.server })];
        }
        let Some((flight, attempt)) = self.flights.end(query) else { return Vec::new() };
        let mut acts = vec![Act::Forget { query }];
        match matched {
            Match::CaseLost | Match::Strange => {
                acts.push(Act::Note(Noted::Strange { server: way.server }));
                self.send(&scene, flight, Way { by: Transport::Tcp, ..way }, &mut acts);
            }
            Match::Answer(head) => {
                let answer = Answer { head, message: heard.message };
                self.settle(&scene, (flight, attempt), &answer, &mut acts);
            }
        }
        acts
    }

    /// Takes that a server was not reached, or ended the connection.
    pub fn failed(&mut self, network: &Network, query: QueryId, now: Instant) -> Vec<Act> {
        let Some((flight, attempt)) = self.flights.end(query) else { return Vec::new() };
        let mut acts = vec![Act::Forget { query }];
        self.lose(&Scene { network, now }, (flight, attempt), Loss::Unreached, &mut acts);
        acts
    }

    /// Leaves the servers that have had their time.
    pub fn tick(&mut self, network: &Network, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        for query in self.flights.overdue(now) {
            if let Some(ended) = self.flights.end(query) {
                acts.push(Act::Forget { query });
                self.lose(&Scene { network, now }, ended, Loss::Silence, &mut acts);
            }
        }
        acts
    }

    /// Asks upstream, or waits with those who have asked the same.
    pub(super) fn ask(&mut self, scene: &Scene<'_>, key: Key, waiter: Waiter) -> Vec<Act> {
        let too_many = |waiter: &Waiter| {
            let code = Plain::Code(Code::SERV_FAIL);
            vec![Act::Note(Noted::TooMany), serve::plain(waiter, code)]
        };
        if !self.flights.may_wait() {
            return too_many(&waiter);
        }
        let waiter = match self.flights.join(&key, waiter) {
            Ok(()) => return Vec::new(),
            Err(waiter) => waiter,
        };
        if !self.flights.has_room() {
            return too_many(&waiter);
        }
        let timeout = timeout(scene.network);
        let flight = Flight {
            key,
            waiting: vec![waiter],
            until: scene.now + timeout,
            tried: Vec::new(),
            is_silent: false,
        };
        let mut acts = Vec::new();
        self.try_next(scene, flight, &mut acts);
        acts
    }

    /// Judges what is surely said by the server that was asked.
    fn settle(
        &mut self,
        scene: &Scene<'_>,
        (flight, attempt): (Flight, Try),
        answer: &Answer<'_>,
        acts: &mut Vec<Act>,
    ) {
        let (head, way) = (&answer.head, attempt.way);
        match head.code {
            Code::FORM_ERR | Code::NOT_IMP if way.with_edns => {
                self.send(scene, flight, Way { with_edns: false, ..way }, acts);
            }
            Code::NO_ERROR | Code::NX_DOMAIN if head.is_cut && way.by == Transport::Udp => {
                self.send(scene, flight, Way { by: Transport::Tcp, ..way }, acts);
            }
            Code::NO_ERROR | Code::NX_DOMAIN if !head.is_cut => {
                let records = read::records(answer.message, head);
                let found = records
                    .and_then(|records| Found::read(&attempt.asked, head.code, records, scene.now));
                match found {
                    Some(found) => {
                        self.servers.answered(way.server);
                        self.land(scene, flight, &found, acts);
                    }
                    None => self.lose(scene, (flight, attempt), Loss::Failed, acts),
                }
            }
            _ => self.lose(scene, (flight, attempt), Loss::Failed, acts),
        }
    }

    /// Gives an answer to all who wait, and keeps it.
    fn land(&mut self, scene: &Scene<'_>, flight: Flight, found: &Found, acts: &mut Vec<Act>) {
        let name = flight.key.name.text().unwrap_or_default();
        // The rules may have changed while it was in flight.
        let may = may_look_up(scene.network, &name);
        for waiter in &flight.waiting {
            acts.extend(if may {
                self.serve(scene, waiter, found)
            } else {
                denied(waiter, name.clone())
            });
        }
        self.cache.put(flight.key, found.clone());
    }

    /// Lets a server rest, and asks the next one.
    fn lose(
        &mut self,
        scene: &Scene<'_>,
        (mut flight, attempt): (Flight, Try),
        loss: Loss,
        acts: &mut Vec<Act>,
    ) {
        let server = attempt.way.server;
        self.servers.failed(server, scene.now);
        acts.push(Act::Note(Noted::ServerFailed { server, loss }));
        flight.tried.push(server);
        flight.is_silent |= loss == Loss::Silence;
        self.try_next(scene, flight, acts);
    }

    fn try_next(&mut self, scene: &Scene<'_>, mut flight: Flight, acts: &mut Vec<Act>) {
        let is_over = flight.until <= scene.now;
        let mut next = self.next(&flight, scene.now);
        if next.is_none() && flight.is_silent {
            // Who said nothing may say something to another question.
            flight.tried.clear();
            flight.is_silent = false;
            next = self.next(&flight, scene.now);
        }
        match next.filter(|_| !is_over) {
            Some(server) => {
                let way = Way { server, by: Transport::Udp, with_edns: true };
                self.send(scene, flight, way, acts);
            }
            None => give_up(&flight, acts),
        }
    }

    fn next(&self, flight: &Flight, now: Instant) -> Option<SocketAddr> {
        match flight.key.chosen {
            Some(chosen) => Some(chosen).filter(|chosen| !flight.tried.contains(chosen)),
            None => self.servers.next(&flight.tried, now),
        }
    }

    /// Asks a server: the only place from which anything leaves.
    fn send(&mut self, scene: &Scene<'_>, flight: Flight, way: Way, acts: &mut Vec<Act>) {
        // The rules may have changed since it was asked first.
        let name = flight.key.name.text().filter(|name| may_look_up(scene.network, name));
        let chosen = |waiter: &Waiter| self.chosen(scene, &waiter.asker) == flight.key.chosen;
        if name.is_none() || !flight.waiting.iter().any(chosen) {
            give_up(&flight, acts);
            return;
        }
        let servers = if flight.key.chosen.is_some() { 1 } else { self.servers.len() };
        let most = scene.now + time_of_try(timeout(scene.network), servers);
        let [low, high, ..] = self.chance.next().to_le_bytes();
        let id = u16::from_le_bytes([low, high]);
        let name = flight.key.name.shuffled(&mut || self.chance.next());
        let asked = Question { name, kind: flight.key.kind };
        let message = write::question(id, &asked, way.with_edns);
        let until = most.min(flight.until);
        let query = self.flights.begin(flight, Try { way, id, asked, until });
        acts.push(Act::Ask { query, server: way.server, by: way.by, message });
    }
}

/// Says to all who wait that there is no answer now.
fn give_up(flight: &Flight, acts: &mut Vec<Act>) {
    let name = flight.key.name.text().unwrap_or_default();
    acts.push(Act::Note(Noted::Unanswered { name }));
    let code = Plain::Code(Code::SERV_FAIL);
    acts.extend(flight.waiting.iter().map(|waiter| serve::plain(waiter, code)));
}

/// An answer of which the head was read.
#[derive(Debug)]
struct Answer<'a> {
    head: Answered,
    message: &'a [u8],
}

fn timeout(network: &Network) -> Duration {
    Duration::from_millis(network.dns.timeout.0).min(TIMEOUT_MOST)
}

/// Compares a message with what is awaited.
fn compare(attempt: &Try, heard: &Heard<'_>) -> Match {
    let head = read::answered(heard.message).filter(|head| head.id == attempt.id);
    let Some(head) = head.filter(|_| heard.server == attempt.way.server) else {
        return Match::Strange;
    };
    match &head.question {
        // Who did not understand the question may leave it out.
        None if matches!(head.code, Code::NO_ERROR | Code::NX_DOMAIN) => Match::Strange,
        None => Match::Answer(head),
        Some(said) if said.kind != attempt.asked.kind => Match::Strange,
        Some(said) if said.name == attempt.asked.name => Match::Answer(head),
        Some(said) if !said.name.is_same(&attempt.asked.name) => Match::Strange,
        // A stream is said by the server itself.
        Some(_) if attempt.way.by == Transport::Tcp => Match::Answer(head),
        Some(_) => Match::CaseLost,
    }
}
