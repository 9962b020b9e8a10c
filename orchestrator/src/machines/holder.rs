//! Who holds a file or a port of the host: the machines that were launched with it and live.

use std::fs;
use std::path::Path;

use schema::launch::{self, LaunchRecord};

use super::Folder;

/// Returns the sandboxes, as `shop/web[0]`, whose living machines were given the file at `path`.
#[must_use]
pub fn holders(home: &Path, path: &Path) -> Vec<String> {
    let wanted = path.display().to_string();
    let folders = fs::read_dir(home.join("machines")).into_iter().flatten().flatten();
    let mut found: Vec<String> = folders
        .filter_map(|entry| {
            let folder = Folder::of(home, entry.file_name().to_str()?);
            if !folder.is_leased().unwrap_or(false) {
                return None;
            }
            let launch: LaunchRecord =
                serde_json::from_slice(&fs::read(folder.file("launch")).ok()?).ok()?;
            let has_it = launch.resources.iter().any(|resource| resource.name == wanted);
            has_it.then(|| named(&launch.machine))
        })
        .collect();
    found.sort();
    found
}

/// Returns the machine whose runtime is the process `pid`.
#[must_use]
pub fn of_runtime(home: &Path, pid: u32) -> Option<launch::Machine> {
    let folders = fs::read_dir(home.join("machines")).into_iter().flatten().flatten();
    let mut machines = folders.filter_map(|entry| {
        let folder = Folder::of(home, entry.file_name().to_str()?);
        let record = folder.record().ok()??;
        let launch: LaunchRecord =
            serde_json::from_slice(&fs::read(folder.file("launch")).ok()?).ok()?;
        let is_it = record.runtime.pid == pid && folder.is_leased().unwrap_or(false);
        is_it.then_some(launch.machine)
    });
    machines.next()
}

/// Returns how a machine's sandbox is named among all: `shop/web[0]`.
#[must_use]
pub fn named(machine: &launch::Machine) -> String {
    let instance = match machine.instance.as_str() {
        "" => String::new(),
        instance => format!("[{instance}]"),
    };
    format!("{}/{}{instance}", machine.project, machine.sandbox)
}
