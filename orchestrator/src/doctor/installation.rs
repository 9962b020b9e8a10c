//! What msb brings along, and what it left lying about.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::context::Context;
use crate::engine::Engine;

/// Looks for the guest's kernel.
pub(super) fn kernel(context: &Context) -> Finding {
    match find_kernel(context) {
        Some(path) => Finding::ok("kernel", path.display().to_string()),
        None => Finding::fail("kernel", "there is no guest kernel")
            .hint("run ./setup in the checkout, or name one with MSB_KERNEL"),
    }
}

/// Returns the guest's kernel: named, else in the home, else in the user's cache.
#[must_use]
pub fn find_kernel(context: &Context) -> Option<PathBuf> {
    if let Some(named) = context.environment.get("MSB_KERNEL") {
        return Some(context.absolute(Path::new(named))).filter(|path| path.is_file());
    }
    let cache = context.environment.get("HOME").map(|home| Path::new(home).join(".cache/msb"));
    let places = [Some(context.home().to_path_buf()), cache].into_iter().flatten();
    places.map(|place| place.join("kernels")).find_map(|folder| newest(&folder))
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let kernels = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path().join("vmlinux"));
    let dated = kernels.filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)));
    dated.max().map(|(_, path)| path)
}

/// Looks for the agent beside the other programs.
pub(super) fn agent(context: &Context) -> Finding {
    let path = context.programs.join("agentd");
    if path.is_file() {
        return Finding::ok("agent", path.display().to_string());
    }
    Finding::fail("agent", "there is no agentd beside msb")
        .hint("run ./setup in the checkout, which builds and installs it")
}

/// Warns where the driver without isolation was chosen.
pub(super) fn process_driver(context: &Context) -> Finding {
    if context.environment.get("MSB_DRIVER") == Some("process") {
        return Finding::warn("process-driver", "MSB_DRIVER chooses it: no isolation at all")
            .hint("unset MSB_DRIVER");
    }
    Finding::ok("process-driver", "not chosen")
}

/// Looks for folders of machines that nobody knows of.
pub(super) fn leftovers(context: &Context) -> Finding {
    let folder = context.home().join("machines");
    let Ok(entries) = fs::read_dir(&folder) else {
        return Finding::ok("leftovers", "none");
    };
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let found: BTreeSet<String> = names.filter(|name| is_machine_id(name)).collect();
    let known = match Engine::new(context.clone()).sandboxes(None) {
        Ok(views) => views.into_iter().filter_map(|view| view.machine_id).collect(),
        Err(_) => return Finding::warn("leftovers", "the state cannot be read, so nobody knows"),
    };
    let unknown: Vec<&String> = found.difference(&known).collect();
    if unknown.is_empty() {
        return Finding::ok("leftovers", "none");
    }
    let names = unknown.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    Finding::warn(
        "leftovers",
        format!("machine folders that no sandbox counts as its own: {names}"),
    )
    .hint(format!("look into {}; a run that goes on may still need them", folder.display()))
}

fn is_machine_id(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Looks for the programs beside us, and for machines of another release.
pub(super) fn versions(context: &Context) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    let runtime = context.programs.join("msb-runtime");
    if !runtime.is_file() {
        return Finding::fail("versions", "there is no msb-runtime beside msb")
            .hint("run ./setup in the checkout, which builds and installs it");
    }
    let views = Engine::new(context.clone()).sandboxes(None).unwrap_or_default();
    let others = views.iter().filter(|view| view.alive).filter_map(|view| {
        let version = &view.record.as_ref()?.version;
        (version != ours).then(|| format!("{}/{} runs {version}", view.project, view.name))
    });
    let others: Vec<String> = others.collect();
    if others.is_empty() {
        return Finding::ok("versions", format!("msb {ours}; no machine of another release runs"));
    }
    Finding::warn("versions", format!("msb {ours}; {}", others.join(", ")))
        .hint("use `msb restart` on those to move them on")
}
