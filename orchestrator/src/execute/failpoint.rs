//! Places where a test lets the process die, as by `kill -9`.
//!
//! Built in debug builds alone: `MSB_FAILPOINT=after-act:3` ends the process
//! the third time an act is done and not yet written down; `any:N` counts
//! every moment of every step.

use std::cell::Cell;
use std::rc::Rc;

use crate::plan::Op;

/// The variable that names the place.
pub const VARIABLE: &str = "MSB_FAILPOINT";

/// A moment of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing is written.
    BeforeIntent,
    /// The intent is written, nothing is done.
    AfterIntent,
    /// It is done, the result is not written.
    AfterAct,
    /// All is written.
    AfterClose,
}

impl Moment {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeIntent => "before-intent",
            Self::AfterIntent => "after-intent",
            Self::AfterAct => "after-act",
            Self::AfterClose => "after-close",
        }
    }
}

/// Where the process is to die; nowhere in a release build.
#[derive(Clone, Debug, Default)]
pub struct Failpoint(Option<Rc<Armed>>);

#[derive(Debug)]
struct Armed {
    place: String,
    left: Cell<u32>,
}

impl Failpoint {
    /// Reads `NAME[:n]`; a release build reads nothing.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let text = text.filter(|_| cfg!(debug_assertions));
        Self(text.map(|text| {
            let (place, count) = text.split_once(':').unwrap_or((text, "1"));
            Rc::new(Armed { place: place.to_owned(), left: Cell::new(count.parse().unwrap_or(1)) })
        }))
    }

    /// Ends the process if this is the place.
    pub fn reach(&self, moment: Moment, op: Op) {
        let Some(armed) = &self.0 else { return };
        let here = armed.place == "any"
            || armed.place == moment.as_str()
            || armed.place == format!("{}-{}", moment.as_str(), op.as_str());
        if !here {
            return;
        }
        armed.left.set(armed.left.get().saturating_sub(1));
        if armed.left.get() == 0 {
            die();
        }
    }
}

fn die() {
    let me = rustix::process::getpid();
    if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
        std::process::abort();
    }
}
