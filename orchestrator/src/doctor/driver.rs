//! Who could run machines here, and who proved it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use schema::launch::Accelerator;

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
    let verdict = verdict(proof, Accelerator::Kvm);
    match (opened, verdict) {
        (Ok(_), Some(verdict)) if verdict.ok => {
            Finding::ok("kvm", format!("{KVM} opens; {}", told(verdict)))
        }
        (Ok(_), Some(verdict)) => {
            let finding = Finding::warn("kvm", format!("{KVM} opens; {}", told(verdict)));
            match &verdict.hint {
                Some(hint) => finding.hint(hint),
                None => finding.hint("machines are emulated until KVM works"),
            }
        }
        (Ok(_), None) => Finding::ok("kvm", format!("{KVM} opens; a booted guest decides")),
        (Err(error), _) if Path::new(KVM).exists() => {
            Finding::warn("kvm", format!("{KVM} does not open: {error}"))
                .hint("add this user to the group that owns it")
        }
        (Err(_), _) => Finding::warn("kvm", format!("there is no {KVM}; machines are emulated")),
    }
}

fn verdict(proof: &Proof, accelerator: Accelerator) -> Option<&Verdict> {
    proof.as_ref().ok()?.iter().find(|verdict| verdict.accelerator == accelerator)
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

/// Looks for the program.
pub(super) fn qemu(context: &Context) -> Finding {
    match find_qemu(context) {
        Some(path) => Finding::ok("qemu", path.display().to_string()),
        None => Finding::fail("qemu", "qemu-system-x86_64 is not on PATH")
            .hint("install qemu-system-x86, or name one with MSB_QEMU"),
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
    let works_on_kvm = verdict(proof, Accelerator::Kvm).is_some_and(|verdict| verdict.ok);
    match (proof, verdict(proof, Accelerator::Tcg)) {
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
            let finding = Finding::fail("emulation", told(verdict));
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
