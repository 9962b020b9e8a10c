//! Which names the machine was given an address for: what rules about names match by.
//!
//! ```text
//! answer ── pin ──▶ lives for its TTL, a minute to an hour ──▶ gone
//!                    └─ a flow to the address holds it ── the flow ends ── a minute ──▶ gone
//! ```

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pairs of name and address that are kept.
pub const PINS_MAX: usize = 4096;

/// How long a pin lives at least, and how long behind the last flow that used it.
pub const PIN_LEAST: Duration = Duration::from_mins(1);

/// How long a pin lives at most where no flow uses it.
pub const PIN_MOST: Duration = Duration::from_hours(1);

/// Pins that are looked at to find one that no flow holds.
const LOOKS_MAX: usize = 64;

/// The names that addresses were answers for.
#[derive(Debug, Default)]
pub struct Pins {
    turn: u64,
    pins: BTreeMap<Key, Pin>,
    order: BTreeMap<u64, Key>,
    uses: HashMap<IpAddr, Use>,
}

/// An address, and a name in lower case that it was an answer for.
type Key = (IpAddr, Arc<str>);

#[derive(Clone, Copy, Debug)]
struct Pin {
    turn: u64,
    until: Instant,
}

/// The flows to an address.
#[derive(Clone, Copy, Debug)]
struct Use {
    flows: usize,
    until: Instant,
}

impl Pins {
    /// Remembers that `addresses` were the answer for `name`.
    ///
    /// Must be called before the guest is given the answer: its next packet may go there.
    pub fn pin(&mut self, name: &str, addresses: &[IpAddr], ttl: Duration, now: Instant) {
        let name: Arc<str> = name.to_ascii_lowercase().into();
        let until = now + ttl.clamp(PIN_LEAST, PIN_MOST);
        for address in addresses {
            let key = (address.to_canonical(), Arc::clone(&name));
            let known = self.pins.get(&key).copied();
            if let Some(known) = known {
                self.order.remove(&known.turn);
            } else if self.pins.len() >= PINS_MAX {
                self.make_room(now);
            }
            self.turn += 1;
            let longer = known.map_or(until, |known| known.until.max(until));
            self.pins.insert(key.clone(), Pin { turn: self.turn, until: longer });
            self.order.insert(self.turn, key);
        }
    }

    /// Returns the names that `address` is pinned to.
    pub fn names_of(&mut self, address: IpAddr, now: Instant) -> Vec<Arc<str>> {
        let address = address.to_canonical();
        self.sweep(address, now);
        let keys: Vec<Key> = self.of(address).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.turn += 1;
            if let Some(pin) = self.pins.get_mut(key) {
                self.order.remove(&pin.turn);
                pin.turn = self.turn;
                self.order.insert(self.turn, key.clone());
            }
        }
        keys.into_iter().map(|(_, name)| name).collect()
    }

    /// Begins to hold the pins of `address`: a flow there was opened.
    ///
    /// Each call is made good by one of [`Pins::release`].
    pub fn hold(&mut self, address: IpAddr, now: Instant) {
        let address = address.to_canonical();
        // What ended before the flow began is not brought back by it.
        self.sweep(address, now);
        let used = self.uses.entry(address).or_insert(Use { flows: 0, until: now });
        used.flows += 1;
    }

    /// Ends one hold: a flow there was closed.
    pub fn release(&mut self, address: IpAddr, now: Instant) {
        let address = address.to_canonical();
        let Some(used) = self.uses.get_mut(&address) else { return };
        used.flows = used.flows.saturating_sub(1);
        used.until = now + PIN_LEAST;
        if self.of(address).next().is_none()
            && self.uses.get(&address).is_some_and(|u| u.flows == 0)
        {
            self.uses.remove(&address);
        }
    }

    /// Forgets every pin; flows are still counted.
    pub fn clear(&mut self) {
        self.pins.clear();
        self.order.clear();
        self.uses.retain(|_, used| used.flows > 0);
    }

    /// Returns how many pairs of name and address are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pins.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    fn of(&self, address: IpAddr) -> impl Iterator<Item = (&Key, &Pin)> {
        let first: Key = (address, Arc::from(""));
        self.pins.range(first..).take_while(move |((at, _), _)| *at == address)
    }

    fn is_held(&self, address: IpAddr, now: Instant) -> bool {
        self.uses.get(&address).is_some_and(|used| used.flows > 0 || now < used.until)
    }

    /// Removes the pins of an address that have ended.
    fn sweep(&mut self, address: IpAddr, now: Instant) {
        if self.is_held(address, now) {
            return;
        }
        let ended = self.of(address).filter(|(_, pin)| pin.until <= now);
        let ended: Vec<Key> = ended.map(|(key, _)| key.clone()).collect();
        for key in ended {
            self.remove(&key);
        }
        self.uses.remove(&address);
    }

    /// Removes one pin: the one that was used least recently. One that a flow holds is used now, so
    /// it goes only where a look at [`LOOKS_MAX`] of them finds no other.
    fn make_room(&mut self, now: Instant) {
        for _ in 0..LOOKS_MAX {
            let Some((_, key)) = self.order.pop_first() else { return };
            if !self.is_held(key.0, now) {
                self.remove(&key);
                return;
            }
            self.turn += 1;
            if let Some(pin) = self.pins.get_mut(&key) {
                pin.turn = self.turn;
                self.order.insert(self.turn, key);
            }
        }
        if let Some(key) = self.order.values().next().cloned() {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(pin) = self.pins.remove(key) {
            self.order.remove(&pin.turn);
        }
        let is_last = self.of(key.0).next().is_none();
        if is_last && self.uses.get(&key.0).is_some_and(|used| used.flows == 0) {
            self.uses.remove(&key.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn names(pins: &mut Pins, address: &str, now: Instant) -> Vec<String> {
        pins.names_of(at(address), now).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rt_9_14_a_pin_lives_for_its_ttl_but_a_minute_at_least_and_an_hour_at_most() {
        let start = start();
        for (ttl, lives) in [(0, 60), (59, 60), (61, 61), (3_600, 3_600), (86_400, 3_600)] {
            let mut pins = Pins::default();
            pins.pin("A.example", &[at("1.1.1.1")], seconds(ttl), start);
            let last = start + seconds(lives) - Duration::from_millis(1);
            assert_eq!(names(&mut pins, "1.1.1.1", last), ["a.example"], "{ttl}");
            assert!(names(&mut pins, "1.1.1.1", start + seconds(lives)).is_empty(), "{ttl}");
            assert!(pins.is_empty());
        }
    }

    #[test]
    fn rt_9_14_an_address_has_every_name_that_it_was_an_answer_for() {
        let (mut pins, start) = (Pins::default(), start());
        pins.pin("a.example", &[at("1.1.1.1"), at("1.1.1.2")], seconds(60), start);
        pins.pin("b.example", &[at("1.1.1.1"), at("::ffff:1.1.1.3")], seconds(600), start);
        assert_eq!(names(&mut pins, "1.1.1.1", start), ["a.example", "b.example"]);
        assert_eq!(names(&mut pins, "1.1.1.2", start), ["a.example"]);
        assert_eq!(names(&mut pins, "1.1.1.3", start), ["b.example"]);
        assert!(names(&mut pins, "1.1.1.4", start).is_empty());
        assert_eq!(names(&mut pins, "1.1.1.1", start + seconds(100)), ["b.example"]);
        pins.pin("b.example", &[at("1.1.1.1")], seconds(1), start + seconds(100));
        let late = start + seconds(599);
        assert_eq!(names(&mut pins, "1.1.1.1", late), ["b.example"], "never shorter than it was");
    }

    #[test]
    fn rt_9_14_a_pin_lives_as_long_as_a_flow_uses_it_and_a_minute() {
        let (mut pins, start) = (Pins::default(), start());
        let address = at("1.1.1.1");
        pins.pin("a.example", &[address], seconds(60), start);
        pins.hold(address, start + seconds(50));
        pins.hold(address, start + seconds(51));
        pins.release(address, start + seconds(52));
        assert_eq!(names(&mut pins, "1.1.1.1", start + seconds(9_000)), ["a.example"]);
        pins.release(address, start + seconds(9_000));
        assert_eq!(names(&mut pins, "1.1.1.1", start + seconds(9_059)), ["a.example"]);
        assert!(names(&mut pins, "1.1.1.1", start + seconds(9_060)).is_empty());
        assert!(pins.uses.is_empty(), "nothing is kept of what ended");
    }

    #[test]
    fn a_flow_does_not_bring_back_a_pin_that_has_ended() {
        let (mut pins, start) = (Pins::default(), start());
        pins.pin("a.example", &[at("1.1.1.1")], seconds(60), start);
        pins.hold(at("1.1.1.1"), start + seconds(60));
        assert!(names(&mut pins, "1.1.1.1", start + seconds(61)).is_empty());
        pins.release(at("1.1.1.1"), start + seconds(62));
        pins.release(at("1.1.1.1"), start + seconds(62));
        assert!(pins.uses.is_empty());
    }

    #[test]
    fn rt_9_14_of_too_many_pins_the_least_recently_used_goes() {
        let (mut pins, start) = (Pins::default(), start());
        let numbered = |n: u32| IpAddr::V4((0x0100_0000 + n).into());
        for n in 0..u32::try_from(PINS_MAX).unwrap() {
            pins.pin("a.example", &[numbered(n)], seconds(60), start);
        }
        assert!(!pins.names_of(numbered(0), start).is_empty(), "used, so not the oldest");
        pins.hold(numbered(1), start);
        pins.pin("b.example", &[numbered(9_000), numbered(9_001)], seconds(60), start);
        assert_eq!((pins.len(), pins.order.len()), (PINS_MAX, PINS_MAX));
        for (n, kept) in [(0, true), (1, true), (2, false), (3, false), (4, true)] {
            assert_eq!(!pins.names_of(numbered(n), start).is_empty(), kept, "{n}");
        }
    }

    #[test]
    fn where_flows_hold_every_pin_there_is_still_room_for_a_new_one() {
        let (mut pins, start) = (Pins::default(), start());
        let names: Vec<String> = (0..PINS_MAX).map(|n| format!("n{n}.example")).collect();
        for name in &names {
            pins.pin(name, &[at("1.1.1.1")], seconds(60), start);
        }
        pins.hold(at("1.1.1.1"), start);
        pins.pin("new.example", &[at("1.1.1.2")], seconds(60), start);
        assert_eq!(pins.len(), PINS_MAX);
        assert_eq!(names_of(&mut pins, start), PINS_MAX - 1);
        pins.clear();
        assert!(pins.is_empty());

        fn names_of(pins: &mut Pins, now: Instant) -> usize {
            pins.names_of(at("1.1.1.1"), now).len()
        }
    }
}
