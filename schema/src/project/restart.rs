//! What happens when a workload or its machine ends, and when nobody asked for it.

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::units::Millis;

/// The restarts of a sandbox or job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// When there is one.
    pub policy: RestartPolicy,
    /// How many there are in a window.
    pub max: u32,
    /// The window; counters begin anew after one without a restart.
    pub window: Millis,
    /// The delay before the first.
    pub delay: Millis,
    /// How delays grow.
    pub factor: Thousandths,
    /// The longest delay.
    pub cap: Millis,
    /// How far delays vary, both ways.
    pub jitter: Thousandths,
    /// What follows the last.
    pub then: AfterRestarts,
}

impl Restart {
    /// Returns the restarts of a sandbox or job whose file does not say.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        let policy = match kind {
            Kind::Service => RestartPolicy::OnFailure,
            Kind::Job => RestartPolicy::No,
        };
        Self {
            policy,
            max: 5,
            window: Millis::seconds(600),
            delay: Millis(200),
            factor: Thousandths(2000),
            cap: Millis::seconds(30),
            jitter: Thousandths(200),
            then: AfterRestarts::Stall,
        }
    }
}

/// A number with up to three decimals.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Thousandths(pub u32);

/// Prints as few decimals as say the same: `2`, `0.2`.
impl std::fmt::Display for Thousandths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// When a workload that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    No,
    /// When it ended badly.
    OnFailure,
    /// However it ended.
    Always,
}

impl RestartPolicy {
    /// Returns the policy as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// What follows the last restart that a policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterRestarts {
    /// Nothing more is tried.
    #[default]
    Stall,
    /// One fresh upper, once per definition.
    Recreate,
}

impl AfterRestarts {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Recreate => "recreate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousandths_print_as_few_decimals_as_say_the_same() {
        for (number, shown) in [(2000, "2"), (200, "0.2"), (1500, "1.5"), (1, "0.001"), (0, "0")] {
            assert_eq!(Thousandths(number).to_string(), shown);
        }
    }
}
