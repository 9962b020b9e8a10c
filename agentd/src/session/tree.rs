//! From a tree that is to be sent or taken to the child that does it.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use schema::wire::message::{ExecFailed, ExecFailure, StdinMode, TreeGet, TreePut};

use super::command::{Command, failed};
use super::settings::Settings;
use crate::errand::{self, destination_word, links_word, owners_word};
use crate::place::Place;

/// Where this program is, also when its name is gone.
const OURSELVES: &str = "/proc/self/exe";

/// A tree on its way out, or in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Errand<'a> {
    /// Out.
    Get(&'a TreeGet),
    /// In.
    Put(&'a TreePut),
}

impl Errand<'_> {
    /// Returns what the child reads.
    pub(crate) const fn stdin(self) -> StdinMode {
        match self {
            Self::Get(_) => StdinMode::None,
            Self::Put(_) => StdinMode::Pipe,
        }
    }

    /// Works out everything that can be known before the fork.
    pub(crate) fn command(self, settings: &Settings) -> Result<Command, ExecFailed> {
        let (user, word, path) = match self {
            Self::Get(get) => (&get.user, errand::GET, &get.path),
            Self::Put(put) => (&put.user, errand::PUT, &put.path),
        };
        let path = place_of(path, settings);
        let path = path.as_os_str().as_bytes();
        let mut argv: Vec<&[u8]> = vec![b"agentd", word.as_bytes(), path];
        match self {
            Self::Get(get) => argv.extend([get.name.as_slice(), links_word(get.links).as_bytes()]),
            Self::Put(put) => {
                argv.extend(
                    [destination_word(put.into), owners_word(put.owners)].map(str::as_bytes),
                );
                argv.extend(put.name.as_ref().map(|name| name.as_slice()));
            }
        }
        let argv = argv.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        let argv = argv.map_err(|_| failed(ExecFailure::Other, 0, "a path holds a zero byte"))?;
        Command::ours(OURSELVES, argv, user.as_deref(), settings)
    }
}

/// Returns where a path of the sandbox lies; a relative one begins at its working folder.
fn place_of(path: &[u8], settings: &Settings) -> PathBuf {
    let folder = settings.workdir.as_deref().unwrap_or("/");
    let asked = Path::new("/").join(folder).join(OsStr::from_bytes(path));
    let root = match &settings.place {
        Place::Machine => return asked,
        Place::Process { root, .. } => root,
    };
    let mut place = root.clone();
    for part in asked.components() {
        match part {
            Component::Normal(name) => place.push(name),
            // Above the root is the root.
            Component::ParentDir if place != *root => drop(place.pop()),
            Component::ParentDir
            | Component::CurDir
            | Component::RootDir
            | Component::Prefix(_) => {}
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawn::Profile;

    #[test]
    fn a_path_begins_at_the_working_folder_and_stays_below_the_root() {
        let settings = |place| Settings {
            place,
            env: vec![],
            user: None,
            workdir: Some("/srv".into()),
            shell: "/bin/sh".into(),
            limits: vec![],
            rlimits: vec![],
            profile: Profile::Default,
        };
        let machine = settings(Place::Machine);
        let process = settings(Place::Process { root: "/r".into(), path: String::new() });
        for (path, in_machine, in_process) in [
            (&b"/etc/x"[..], "/etc/x", "/r/etc/x"),
            (b"a/b", "/srv/a/b", "/r/srv/a/b"),
            (b"", "/srv/", "/r/srv"),
            (b"../../../../x", "/srv/../../../../x", "/r/x"),
        ] {
            assert_eq!(place_of(path, &machine), Path::new(in_machine));
            assert_eq!(place_of(path, &process), Path::new(in_process));
        }
    }
}
