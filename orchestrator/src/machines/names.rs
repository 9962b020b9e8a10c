//! The names by which runtimes of one project find each other: links beside the machines' folders.
//!
//! A link leads to the machine that was last booted of that name. It is moved by rename, so who looks for
//! it finds the old machine or the new one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use schema::launch::Machine;
use schema::peer::{NAMES, link_name};

fn folder(home: &Path) -> PathBuf {
    home.join("machines").join(NAMES)
}

fn target(id: &str) -> PathBuf {
    Path::new("..").join(id)
}

/// Points a machine's name at its folder.
///
/// # Errors
/// The link cannot be made or moved; an old one stands.
pub fn point(home: &Path, machine: &Machine) -> io::Result<()> {
    let folder = folder(home);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let name = link_name(&machine.project, &machine.sandbox, &machine.instance);
    let link = folder.join(&name);
    if fs::read_link(&link).is_ok_and(|is| is == target(&machine.id)) {
        return Ok(());
    }
    // Only one command at a time is at work on a machine, so nobody else makes this draft.
    let draft = draft(home, &machine.id);
    remove(&draft)?;
    let made = symlink(target(&machine.id), &draft).and_then(|()| fs::rename(&draft, &link));
    if made.is_err() {
        drop(fs::remove_file(&draft));
    }
    made
}

/// Removes the names of a machine.
///
/// # Errors
/// A link is there and cannot be removed.
pub fn forget(home: &Path, id: &str) -> io::Result<()> {
    let target = target(id);
    each(
        home,
        |path| {
            if fs::read_link(path).is_ok_and(|is| is == target) { remove(path) } else { Ok(()) }
        },
    )
}

/// Removes the link that a dead command was making for a machine.
pub fn drop_draft(home: &Path, id: &str) {
    let path = draft(home, id);
    if let Err(error) = remove(&path) {
        tracing::warn!(%error, path = %path.display(), "a name that is half made stays");
    }
}

/// Returns the link of a machine that is being made; see [`crate::store::atomic::is_draft`].
fn draft(home: &Path, id: &str) -> PathBuf {
    folder(home).join(format!(".{id}.tmp"))
}

fn each(home: &Path, mut act: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(folder(home)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        act(&entry?.path())?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use schema::launch::Kind;

    use super::*;
    use crate::scratch::Scratch;

    fn machine(id: &str, sandbox: &str, instance: &str) -> Machine {
        Machine {
            id: id.to_owned(),
            project: "shop".to_owned(),
            project_id: "p".to_owned(),
            sandbox: sandbox.to_owned(),
            instance: instance.to_owned(),
            kind: Kind::Service,
            ephemeral: false,
            labels: std::collections::BTreeMap::new(),
        }
    }

    fn names(home: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        each(home, |path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_link(path)?.display().to_string()));
            Ok(())
        })
        .unwrap();
        found.sort();
        found
    }

    #[test]
    fn rt_9_10_a_name_leads_to_the_machine_that_was_booted_last_and_goes_with_it() {
        let home = Scratch::new();
        fs::create_dir(home.path().join("machines")).unwrap();
        let at = |name: &str, to: &str| (name.to_owned(), to.to_owned());
        for one in [machine("a", "db", ""), machine("b", "web", "0"), machine("c", "db", "")] {
            point(home.path(), &one).unwrap();
            point(home.path(), &one).unwrap();
        }
        assert_eq!(names(home.path()), [at("shop.db", "../c"), at("shop.web.0", "../b")]);
        forget(home.path(), "a").unwrap();
        forget(home.path(), "b").unwrap();
        assert_eq!(names(home.path()), [at("shop.db", "../c")]);
    }

    #[test]
    fn what_a_dead_command_began_goes_with_the_next_or_with_the_machine() {
        let home = Scratch::new();
        fs::create_dir(home.path().join("machines")).unwrap();
        forget(home.path(), "a").unwrap();
        drop_draft(home.path(), "a");
        point(home.path(), &machine("a", "db", "")).unwrap();
        for draft in [".b.tmp", ".c.tmp"] {
            symlink("../b", folder(home.path()).join(draft)).unwrap();
        }
        drop_draft(home.path(), "c");
        assert_eq!(names(home.path()).len(), 2);
        forget(home.path(), "b").unwrap();
        assert_eq!(names(home.path()), [("shop.db".to_owned(), "../a".to_owned())]);
    }
}
