//! What happens to one host, at random, and the smallest part of it that still goes wrong.

use super::chance::Chance;
use super::file::Edit;
use super::world::Fault;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Somebody edits the file.
    Edit(Edit),
    /// `msb up`.
    Up(Up),
    /// `msb down`.
    Down { volumes: bool, fault: Fault },
    /// `msb stop NAME`.
    Stop { node: u8, fault: Fault },
    /// `msb restart NAME`.
    Restart { node: u8, fault: Fault },
    /// A machine dies.
    Die(u8),
    /// A machine rests because nobody used it.
    Idle(u8),
    /// Somebody changes the memory of a machine by hand.
    Drift(u8),
    /// What runs goes on.
    GoOn,
}

/// How `msb up` is run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Up {
    pub(super) fault: Fault,
    /// Whether bytes may go: `--yes-delete-data`.
    pub(super) loses: bool,
    /// Whether the profile is active.
    pub(super) extra: bool,
    /// `--recreate NAME`, or the choice of one name.
    pub(super) only: Option<(u8, bool)>,
    /// What is edited, and applied by another command, while this one only waits.
    pub(super) meanwhile: Option<Edit>,
}

/// Everything that happens.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) events: Vec<Event>,
}

fn fault(chance: &mut Chance) -> Fault {
    match chance.below(10) {
        0..=4 => Fault::Nothing,
        5..=6 => Fault::Fails(chance.below(12)),
        _ => Fault::Dies(chance.below(60)),
    }
}

impl Case {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..=chance.below(4) {
            events.push(Event::Edit(Edit::any(&mut chance)));
        }
        for _ in 0..3 + chance.below(14) {
            events.push(event(&mut chance));
        }
        Self { seed, events }
    }

    /// Returns the smallest case that still fails, as far as leaving things out leads.
    pub(super) fn shrunk(mut self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut size = self.events.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.events.len() {
                let mut smaller = self.clone();
                smaller.events.drain(at..(at + size).min(self.events.len()));
                if fails(&smaller) { self = smaller } else { at += size }
            }
            size /= 2;
        }
        for at in 0..self.events.len() {
            for simpler in simpler(self.events[at]) {
                let mut smaller = self.clone();
                smaller.events[at] = simpler;
                if fails(&smaller) {
                    self = smaller;
                }
            }
        }
        self
    }
}

fn event(chance: &mut Chance) -> Event {
    let node = chance.below(12);
    match chance.below(24) {
        0..=10 => Event::Edit(Edit::any(chance)),
        11..=17 => Event::Up(Up {
            fault: fault(chance),
            loses: chance.percent(50),
            extra: chance.percent(60),
            only: chance.percent(15).then(|| (node, chance.percent(50))),
            meanwhile: chance.percent(20).then(|| Edit::any(chance)),
        }),
        18 => Event::Down { volumes: chance.percent(30), fault: fault(chance) },
        19 => Event::Stop { node, fault: fault(chance) },
        20 => match chance.percent(50) {
            true => Event::Restart { node, fault: fault(chance) },
            false => Event::Idle(node),
        },
        21 => Event::Die(node),
        22 => Event::Drift(node),
        _ => Event::GoOn,
    }
}

/// Returns an event with one thing less, in several ways.
fn simpler(event: Event) -> Vec<Event> {
    let Event::Up(up) = event else { return Vec::new() };
    vec![
        Event::Up(Up { fault: Fault::Nothing, ..up }),
        Event::Up(Up { meanwhile: None, ..up }),
        Event::Up(Up { only: None, ..up }),
        Event::Up(Up { loses: false, ..up }),
    ]
}
