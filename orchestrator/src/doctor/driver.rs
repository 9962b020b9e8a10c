//! Who could run machines here, and who proved it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use schema::launch::Accelerator;

use super::Finding;
use crate::context::Context;
use crate::drivers::{Verdict, said};
use crate::engine::Troubles;
use crate::report::human;

const KVM: &str = "/dev/kvm";

/// Looks whether the device opens; that alone proves nothing.
pub(super) fn kvm(_: &Context) -> Finding {
    match OpenOptions::new().read(true).write(true).open(KVM) {
        Ok(_) => Finding::ok("kvm", format!("{KVM} opens; a booted guest decides")),
        Err(error) if Path::new(KVM).exists() => {
            Finding::warn("kvm", format!("{KVM} does not open: {error}"))
                .hint("add this user to the group that owns it")
        }
        Err(_) => Finding::warn("kvm", format!("there is no {KVM}; machines are emulated")),
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

/// Says what the proof of the drivers came to.
pub(super) fn emulation(proof: &Result<Vec<Verdict>, Troubles>) -> Finding {
    let verdicts = match proof {
        Ok(verdicts) => verdicts,
        Err(Troubles(all)) => {
            let why = all.first().map(|trouble| trouble.report.message.clone());
            let hint = all.first().and_then(|trouble| trouble.report.hints.first().cloned());
            let finding = Finding::fail("emulation", why.unwrap_or_default());
            return match hint {
                Some(hint) => finding.hint(hint),
                None => finding,
            };
        }
    };
    if verdicts.is_empty() {
        return Finding::warn("emulation", "no driver was proved yet").hint("run `msb setup`");
    }
    let told = verdicts.iter().map(|verdict| {
        let name = said(verdict.driver, verdict.accelerator);
        match (verdict.ok, verdict.t1_ms) {
            (true, Some(t1)) => format!("{name}: guest booted in {}", human::millis(t1)),
            (true, None) => format!("{name}: guest booted"),
            (false, _) => {
                let why = verdict.reason.as_deref().unwrap_or("no reason given");
                format!("{name}: {why}")
            }
        }
    });
    let detail = told.collect::<Vec<_>>().join("; ");
    let works = |accelerator| verdicts.iter().any(|v| v.ok && v.accelerator == accelerator);
    let hint = verdicts.iter().find_map(|verdict| verdict.hint.clone());
    let finding = match (works(Accelerator::Kvm), works(Accelerator::Tcg)) {
        (true, _) => Finding::ok("emulation", detail),
        (false, true) => return Finding::warn("emulation", detail),
        (false, false) => Finding::fail("emulation", detail),
    };
    match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}
