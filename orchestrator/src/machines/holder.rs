//! Who holds a file: the machines that were launched with it and live.

use std::fs;
use std::path::Path;

use schema::launch::LaunchRecord;

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

fn named(machine: &schema::launch::Machine) -> String {
    let instance = match machine.instance.as_str() {
        "" => String::new(),
        instance => format!("[{instance}]"),
    };
    format!("{}/{}{instance}", machine.project, machine.sandbox)
}
