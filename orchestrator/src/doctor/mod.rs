//! What this host can and cannot do, and what to do about it.
//!
//! Every check runs, whatever the others find; nothing is changed but the
//! proof of the drivers, which is made anew.

mod driver;
mod installation;
mod invariants;
mod jail;
mod resources;

use std::time::Duration;

use serde::Serialize;

use crate::context::{Clock as _, Context};
use crate::drivers::{Proving, Verdict};
use crate::engine::{Engine, Troubles};

pub use installation::find_kernel;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and something is worth knowing.
    Warn,
    /// It does not work.
    Fail,
}

impl Status {
    /// Returns the word that is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub id: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

impl Finding {
    fn new(id: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self { id, status, detail: detail.into(), hint: None, duration_ms: 0 }
    }

    fn ok(id: &'static str, detail: impl Into<String>) -> Self {
        Self::new(id, Status::Ok, detail)
    }

    fn warn(id: &'static str, detail: impl Into<String>) -> Self {
        Self::new(id, Status::Warn, detail)
    }

    fn fail(id: &'static str, detail: impl Into<String>) -> Self {
        Self::new(id, Status::Fail, detail)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that was found.
#[derive(Debug)]
pub struct Findings {
    /// A finding for each check, in order.
    pub checks: Vec<Finding>,
    /// What each driver's proof found, or why there is none.
    pub proof: Result<Vec<Verdict>, Troubles>,
}

type Check = fn(&Context) -> Finding;

/// The checks that ask only the host.
const CHECKS: &[Check] = &[
    resources::home,
    resources::state,
    invariants::invariants,
    resources::disk,
    resources::memory,
    installation::kernel,
    installation::agent,
    installation::process_driver,
    installation::leftovers,
    installation::versions,
];

/// Runs every check and proves the drivers anew.
pub async fn examine(context: &Context, engine: &Engine) -> Findings {
    let timed = |check: &Check| {
        let started = context.clock.elapsed();
        let finding = check(context);
        Finding { duration_ms: ms(context.clock.elapsed().saturating_sub(started)), ..finding }
    };
    let mut checks: Vec<Finding> = CHECKS.iter().map(timed).collect();
    let started = context.clock.elapsed();
    // A proof is kept in the home; where there is none, looking must not make one.
    let proof = match context.existing_home() {
        Ok(Some(_)) => engine.prove(Proving::Each).await,
        Ok(None) | Err(_) => Ok(Vec::new()),
    };
    let spent = ms(context.clock.elapsed().saturating_sub(started));
    let at = checks.iter().position(|check| check.id == "kernel").unwrap_or_default();
    let drivers = [
        driver::kvm(&proof),
        driver::krun(&proof),
        driver::qemu(context, &proof),
        Finding { duration_ms: spent, ..driver::emulation(&proof) },
    ];
    checks.splice(at..at, drivers);
    let started = context.clock.elapsed();
    let jail = jail::jail(context).await;
    let spent = ms(context.clock.elapsed().saturating_sub(started));
    let at = checks.iter().position(|check| check.id == "process-driver").unwrap_or_default();
    let jail = jail.into_iter().map(|finding| Finding { duration_ms: spent, ..finding });
    checks.splice(at..at, jail);
    Findings { checks, proof }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
