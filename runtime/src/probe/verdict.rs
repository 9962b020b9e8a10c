//! What a proof found, as the one who asked is told it.

use schema::launch::{Accelerator, DriverName};
use serde::{Deserialize, Serialize};

/// A driver, and what carries the instructions of its guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contender {
    /// The driver.
    pub driver: DriverName,
    /// What carries instructions.
    pub accelerator: Accelerator,
}

impl Contender {
    /// libkrun.
    pub const KRUN: Self = Self { driver: DriverName::Krun, accelerator: Accelerator::Kvm };
    /// QEMU on KVM.
    pub const QEMU_KVM: Self = Self { driver: DriverName::Qemu, accelerator: Accelerator::Kvm };
    /// QEMU's emulator.
    pub const QEMU_TCG: Self = Self { driver: DriverName::Qemu, accelerator: Accelerator::Tcg };

    /// Returns what may help one that proved nothing.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self.accelerator {
            Accelerator::Kvm => "Use the emulator with `--driver qemu`, or fix KVM on this host.",
            Accelerator::Tcg | Accelerator::None => "Run `msb doctor` to see what this host lacks.",
        }
    }
}

/// How far a proof came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// What the guest is made of was opened.
    Open,
    /// The VMM was started.
    Start,
    /// The guest's kernel was to start its first process.
    Boot,
    /// The agent was to introduce itself.
    Agent,
    /// It did.
    Proved,
}

/// What a proof found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The driver.
    pub driver: DriverName,
    /// What carried the guest's instructions.
    pub accelerator: Accelerator,
    /// Whether the driver works here.
    pub ok: bool,
    /// How far it came.
    pub stage: Stage,
    /// Why it came no further.
    pub reason: Option<String>,
    /// From the start of the VMM to the first byte of the guest's first process.
    pub t1_ms: Option<u64>,
    /// From the start of the VMM to the agent's introduction.
    pub hello_ms: Option<u64>,
    /// What to do about it, a sentence that starts with a verb.
    pub hint: Option<String>,
}

impl Verdict {
    /// Returns the verdict on a driver that works.
    #[must_use]
    pub const fn proved(contender: Contender, t1_ms: u64, hello_ms: u64) -> Self {
        let Contender { driver, accelerator } = contender;
        Self {
            driver,
            accelerator,
            ok: true,
            stage: Stage::Proved,
            reason: None,
            t1_ms: Some(t1_ms),
            hello_ms: Some(hello_ms),
            hint: None,
        }
    }

    /// Returns the verdict on a driver that came as far as `stage`.
    #[must_use]
    pub fn failed(contender: Contender, stage: Stage, reason: impl Into<String>) -> Self {
        let Contender { driver, accelerator } = contender;
        Self {
            driver,
            accelerator,
            ok: false,
            stage,
            reason: Some(reason.into()),
            t1_ms: None,
            hello_ms: None,
            hint: None,
        }
    }

    /// Returns whose it is.
    #[must_use]
    pub const fn contender(&self) -> Contender {
        Contender { driver: self.driver, accelerator: self.accelerator }
    }

    /// Returns the verdict with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_line_with_every_key() {
        let line = serde_json::to_string(&Verdict::proved(Contender::QEMU_TCG, 900, 910)).unwrap();
        assert_eq!(
            line,
            "{\"driver\":\"qemu\",\"accelerator\":\"tcg\",\"ok\":true,\"stage\":\"proved\",\
             \"reason\":null,\"t1_ms\":900,\"hello_ms\":910,\"hint\":null}"
        );
        let failed = Verdict::failed(Contender::KRUN, Stage::Boot, "two\nlines").hint("Do.");
        assert!(!serde_json::to_string(&failed).unwrap().contains('\n'));
    }
}
