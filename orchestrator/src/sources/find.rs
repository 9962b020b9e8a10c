//! The search for a Sandboxfile: what counts as one, and how far up it goes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// The names that count, byte for byte.
pub(super) const CANDIDATES: [&str; 4] =
    ["Sandboxfile.kdl", "Sandboxfile", "Sandboxfile.yaml", "Sandboxfile.yml"];

const LOCAL: [&str; 3] =
    ["Sandboxfile.local.kdl", "Sandboxfile.local.yaml", "Sandboxfile.local.yml"];

/// Returns the Sandboxfile of the first folder upwards from `start` that has one.
///
/// # Errors
/// There is none, there are two, or it belongs to a stranger.
pub(super) fn climbing(start: &Path, home: Option<&Path>) -> Result<PathBuf, Failure> {
    let mut searched = Vec::new();
    for folder in start.ancestors() {
        match fs::read_dir(folder) {
            Ok(_) => {}
            Err(error) if ends_the_search(&error) => break,
            Err(error) => return Err(super::unreadable(folder, &error)),
        }
        searched.push(folder.to_path_buf());
        if let Some(path) = in_folder(folder)? {
            if folder != start {
                check_owner(&path)?;
            }
            return Ok(path);
        }
        if folder.join(".git").exists() || home == Some(folder) {
            break;
        }
    }
    Err(not_found(&searched))
}

/// A folder that is not ours to look into has nothing for us; any other failure is told.
fn ends_the_search(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::NotADirectory
    )
}

/// Returns the Sandboxfile of one folder, if it has one.
///
/// # Errors
/// It has two.
pub(super) fn in_folder(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    only(folder, &CANDIDATES)
}

/// Returns every Sandboxfile of one folder; more than one is a mistake.
pub(super) fn all_in_folder(folder: &Path) -> Vec<PathBuf> {
    let paths = CANDIDATES.iter().map(|name| folder.join(name));
    paths.filter(|path| fs::metadata(path).is_ok_and(|meta| meta.is_file())).collect()
}

/// Returns the local layer of a folder, if it has one.
///
/// # Errors
/// It has two.
pub(super) fn local(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    only(folder, &LOCAL)
}

fn only(folder: &Path, names: &[&str]) -> Result<Option<PathBuf>, Failure> {
    let paths = names.iter().map(|name| folder.join(name));
    let mut found = paths.filter(|path| fs::metadata(path).is_ok_and(|meta| meta.is_file()));
    let first = found.next();
    match (first, found.next()) {
        (Some(first), Some(second)) => {
            let message = format!("{} and {} lie side by side", first.display(), second.display());
            Err(Failure::new("file::ambiguous", "file", message)
                .hint("Delete or rename one of them, or name one with -f."))
        }
        (first, _) => Ok(first),
    }
}

fn check_owner(path: &Path) -> Result<(), Failure> {
    let us = rustix::process::geteuid().as_raw();
    let owner = fs::metadata(path).map_or(us, |meta| meta.uid());
    if owner == us || owner == 0 {
        return Ok(());
    }
    let shown = path.display();
    let message = format!("{shown} lies in a folder above and belongs to user {owner}");
    Err(Failure::new("file::foreign", "file", message)
        .hint(format!("Name it with `-f {shown}` if you trust it.")))
}

/// Returns the failure of a search without a result.
pub(super) fn not_found(searched: &[PathBuf]) -> Failure {
    let folders: Vec<String> = searched.iter().map(|path| path.display().to_string()).collect();
    Failure::new("file::not-found", "file", "no Sandboxfile found")
        .note(format!("searched {}", folders.join(", ")))
        .note(format!("the names are {}", CANDIDATES.join(", ")))
        .hint("Name a file with -f, or change to the project's folder.")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a folder with these empty files, `.git` among them.
    pub(in crate::sources) fn scratch(name: &str, files: &[&str]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("msb-find-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap();
        }
        folder
    }

    #[test]
    fn sf_f2_the_search_climbs_to_the_repository_and_no_further() {
        let top = scratch("climb", &["Sandboxfile", "repo/.git", "repo/a/b/c", "near/d/e"]);
        let failure = climbing(&top.join("repo/a/b"), None).unwrap_err();
        assert_eq!(failure.report.code, "msb::file::not-found");
        assert!(!failure.report.notes[0].contains(&format!("{},", top.display())));
        assert_eq!(climbing(&top.join("near/d"), None).unwrap(), top.join("Sandboxfile"));
        let home = top.join("near");
        assert!(climbing(&top.join("near/d"), Some(&home)).is_err(), "the home ends it");
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn sf_f1_two_in_one_folder_are_one_too_many() {
        let folder = scratch("two", &["Sandboxfile", "Sandboxfile.yml", "sandboxfile.kdl"]);
        let failure = in_folder(&folder).unwrap_err();
        assert_eq!(failure.report.code, "msb::file::ambiguous");
        assert!(failure.report.message.contains("Sandboxfile.yml"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn sf_f6_a_local_layer_lies_beside_the_file() {
        let folder = scratch("local", &["Sandboxfile", "Sandboxfile.local.yml"]);
        assert_eq!(local(&folder).unwrap(), Some(folder.join("Sandboxfile.local.yml")));
        fs::remove_dir_all(folder).unwrap();
    }
}
