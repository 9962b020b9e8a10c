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
use serde::Deserialize;

fn folder(home: &Path) -> PathBuf {
    home.join("machines").join(NAMES)
}

fn target(id: &str) -> PathBuf {
    Path::new("..").join(id)
}

/// Points a machine's name at its folder; a name that it had before leads nowhere then.
///
/// # Errors
/// The link cannot be made or moved; an old one stands.
pub fn point(home: &Path, machine: &Machine) -> io::Result<()> {
    let folder = folder(home);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let link = folder.join(name_of(machine));
    if let Some(old) = launched(home, &machine.id).filter(|old| folder.join(old) != link) {
        remove_own(&folder.join(old), &machine.id)?;
    }
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
    match launched(home, id) {
        Some(name) => {
            remove(&draft(home, id))?;
            remove_own(&folder(home).join(name), id)
        }
        // It came not so far that this was written, or the folder is gone already.
        None => each(home, |path| remove_own(path, id)),
    }
}

fn name_of(machine: &Machine) -> String {
    link_name(&machine.project, &machine.sandbox, &machine.instance)
}

/// Returns the name under which a machine was last booted.
fn launched(home: &Path, id: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Launched {
        machine: Machine,
    }
    let bytes = fs::read(home.join("machines").join(id).join("launch")).ok()?;
    let Launched { machine } = serde_json::from_slice(&bytes).ok()?;
    Some(name_of(&machine))
}

/// Removes a link that leads to a machine; any other stays.
fn remove_own(link: &Path, id: &str) -> io::Result<()> {
    match fs::read_link(link).is_ok_and(|is| is == target(id)) {
        true => remove(link),
        false => Ok(()),
    }
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

    /// Writes down that a machine was booted so.
    fn boot(home: &Path, machine: &Machine) {
        use std::io::Write as _;
        point(home, machine).unwrap();
        let folder = home.join("machines").join(&machine.id);
        fs::create_dir_all(&folder).unwrap();
        let launch = serde_json::json!({ "format": 1, "machine": machine });
        let mut file = fs::File::create(folder.join("launch")).unwrap();
        file.write_all(launch.to_string().as_bytes()).unwrap();
    }

    #[test]
    fn a_machine_that_is_booted_under_another_name_has_that_one_alone() {
        let home = Scratch::new();
        fs::create_dir(home.path().join("machines")).unwrap();
        boot(home.path(), &machine("a", "db", ""));
        boot(home.path(), &machine("b", "web", ""));
        boot(home.path(), &machine("a", "store", ""));
        let at = |name: &str, to: &str| (name.to_owned(), to.to_owned());
        assert_eq!(names(home.path()), [at("shop.store", "../a"), at("shop.web", "../b")]);
        // Somebody else has the name by now.
        boot(home.path(), &machine("c", "store", ""));
        forget(home.path(), "a").unwrap();
        assert_eq!(names(home.path()), [at("shop.store", "../c"), at("shop.web", "../b")]);
        forget(home.path(), "c").unwrap();
        forget(home.path(), "b").unwrap();
        assert_eq!(names(home.path()), []);
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
