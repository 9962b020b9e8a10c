//! Who could run machines here, and who proved it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use schema::launch::{Accelerator, DriverName};

use super::Finding;
use crate::context::Context;
use crate::drivers::Verdict;
use crate::engine::Troubles;
use crate::report::human;

const KVM: &str = "/dev/kvm";

/// What each driver's proof found.
type Proof = Result<Vec<Verdict>, Troubles>;

/// Says whether the device opens, and whether a guest booted on it; opening proves nothing.
pub(super) fn kvm(proof: &Proof) -> Finding {
    let opened = OpenOptions::new().read(true).write(true).open(KVM);
    let on_kvm = verdicts(proof).iter().filter(|verdict| verdict.accelerator == Accelerator::Kvm);
    let best = on_kvm.clone().find(|verdict| verdict.ok).or_else(|| on_kvm.clone().next());
    match (opened, best) {
        (Ok(_), Some(verdict)) if verdict.ok => {
            let driver = verdict.driver.as_str();
            Finding::ok("kvm", format!("{KVM} opens; {} ({driver})", told(verdict)))
        }
        (Ok(_), Some(_)) => Finding::warn("kvm", format!("{KVM} opens; it runs no guest"))
            .hint("enable nested virtualisation where this host is a guest itself; machines are emulated until KVM works"),
        (Ok(_), None) => Finding::ok("kvm", format!("{KVM} opens; a booted guest decides")),
        (Err(error), _) if Path::new(KVM).exists() => {
            Finding::warn("kvm", format!("{KVM} does not open: {error}"))
                .hint("add this user to the group that owns it")
        }
        (Err(_), _) => Finding::warn("kvm", format!("there is no {KVM}; machines are emulated")),
    }
}

fn verdicts(proof: &Proof) -> &[Verdict] {
    proof.as_deref().unwrap_or_default()
}

fn verdict(proof: &Proof, driver: DriverName, accelerator: Accelerator) -> Option<&Verdict> {
    let is_it = |one: &&Verdict| (one.driver, one.accelerator) == (driver, accelerator);
    verdicts(proof).iter().find(is_it)
}

/// Says what the proof of the library came to.
pub(super) fn krun(proof: &Proof) -> Finding {
    match verdict(proof, DriverName::Krun, Accelerator::Kvm) {
        Some(verdict) => hardware("krun", "libkrun", verdict),
        None => Finding::warn("krun", "it was not proved yet").hint("run `msb setup`"),
    }
}

/// Says what the proof of a driver on KVM came to. The emulator stands in where it came to nothing.
fn hardware(id: &'static str, what: &str, verdict: &Verdict) -> Finding {
    let detail = format!("{what} on KVM: {}", told(verdict));
    if verdict.ok {
        return Finding::ok(id, detail);
    }
    let finding = Finding::warn(id, detail);
    match &verdict.hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// Returns what a proof found, on one line.
fn told(verdict: &Verdict) -> String {
    match (verdict.ok, verdict.t1_ms) {
        (true, Some(t1)) => format!("guest booted in {}", human::millis(t1)),
        (true, None) => "guest booted".to_owned(),
        (false, _) => {
            let why = verdict.reason.as_deref().unwrap_or("no reason given");
            let first = why.lines().next().unwrap_or_default();
            format!("no guest booted: {first}")
        }
    }
}

/// Looks for the program, and says what its proof on KVM came to.
pub(super) fn qemu(context: &Context, proof: &Proof) -> Finding {
    let hint = "install qemu-system-x86, or name one with MSB_QEMU";
    let krun = verdict(proof, DriverName::Krun, Accelerator::Kvm);
    match (find_qemu(context), verdict(proof, DriverName::Qemu, Accelerator::Kvm)) {
        (Some(path), Some(verdict)) => hardware("qemu", &path.display().to_string(), verdict),
        (Some(path), None) => Finding::ok("qemu", path.display().to_string()),
        (None, _) => {
            let missing = "qemu-system-x86_64 is not on PATH";
            match krun.is_some_and(|verdict| verdict.ok) {
                true => Finding::warn("qemu", missing).hint(hint),
                false => Finding::fail("qemu", missing).hint(hint),
            }
        }
    }
}

fn find_qemu(context: &Context) -> Option<PathBuf> {
    if let Some(named) = context.environment.get("MSB_QEMU") {
        return Some(context.absolute(Path::new(named))).filter(|path| path.is_file());
    }
    let path = context.environment.get("PATH")?;
    let mut folders = std::env::split_paths(path);
    folders.find_map(|folder| Some(folder.join("qemu-system-x86_64")).filter(|p| p.is_file()))
}

/// Says what the proof under emulation came to.
pub(super) fn emulation(proof: &Proof) -> Finding {
    let works_on_kvm =
        verdicts(proof).iter().any(|verdict| verdict.accelerator == Accelerator::Kvm && verdict.ok);
    match (proof, verdict(proof, DriverName::Qemu, Accelerator::Tcg)) {
        (Err(Troubles(all)), _) => {
            let first = all.first().map(|trouble| &trouble.report);
            let why = first.map(|report| report.message.clone()).unwrap_or_default();
            let finding = Finding::fail("emulation", why);
            match first.and_then(|report| report.hints.first()) {
                Some(hint) => finding.hint(hint),
                None => finding,
            }
        }
        (Ok(_), Some(verdict)) if verdict.ok => {
            let detail = format!("qemu, {}; not an isolation boundary", told(verdict));
            if works_on_kvm {
                Finding::ok("emulation", detail)
            } else {
                Finding::warn("emulation", detail)
            }
        }
        (Ok(_), Some(verdict)) => {
            let finding = match works_on_kvm {
                true => Finding::warn("emulation", told(verdict)),
                false => Finding::fail("emulation", told(verdict)),
            };
            match &verdict.hint {
                Some(hint) => finding.hint(hint),
                None => finding,
            }
        }
        (Ok(_), None) if works_on_kvm => Finding::ok("emulation", "not needed: KVM works"),
        (Ok(_), None) => {
            Finding::warn("emulation", "no driver was proved yet").hint("run `msb setup`")
        }
    }
}
