//! Users and groups as the guest's own files name them.
//!
//! A static program has no `getpwnam`; the two files are read here, as far as
//! [`FILE_BYTES_MAX`], and a line that is no entry is passed over.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use thiserror::Error;

use crate::log::note;

/// How much of a file is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The shell of a user whose entry names none.
pub(crate) const SHELL_DEFAULT: &str = "/bin/sh";

/// Somebody a command can run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user's number.
    pub(crate) uid: u32,
    /// The group's number.
    pub(crate) gid: u32,
    /// The other groups' numbers.
    pub(crate) groups: Vec<u32>,
    /// The home folder, `/` where there is no entry.
    pub(crate) home: String,
    /// The shell, where the entry names one.
    pub(crate) shell: Option<String>,
    /// The name, where there is an entry.
    pub(crate) name: Option<String>,
}

/// Why a user is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum UnknownUser {
    /// No entry has this name.
    #[error("no user `{0}` in /etc/passwd")]
    User(String),
    /// No entry has this name.
    #[error("no group `{0}` in /etc/group")]
    Group(String),
}

/// The two files.
#[derive(Debug, Default)]
pub(crate) struct Users {
    passwd: String,
    group: String,
}

/// A line of `/etc/passwd`.
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
    shell: &'a str,
}

impl Users {
    /// Reads the files; one that is not there names nobody.
    pub(crate) fn read() -> Self {
        let read = |path| read_start(Path::new(path)).unwrap_or_default();
        Self { passwd: read("/etc/passwd"), group: read("/etc/group") }
    }

    /// Returns the user that `NAME|UID[:GROUP|GID]` means; a number needs no entry.
    ///
    /// # Errors
    /// A name that has no entry.
    pub(crate) fn resolve(&self, spec: &str) -> Result<Identity, UnknownUser> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let entry = self.user(user);
        let uid = entry.as_ref().map(|entry| entry.uid).or_else(|| user.parse().ok());
        let uid = uid.ok_or_else(|| UnknownUser::User(user.to_owned()))?;
        let gid = match group.filter(|group| !group.is_empty()) {
            Some(group) => self.gid(group).ok_or_else(|| UnknownUser::Group(group.to_owned()))?,
            None => entry.as_ref().map_or(0, |entry| entry.gid),
        };
        let name = entry.as_ref().map(|entry| entry.name.to_owned());
        Ok(Identity {
            uid,
            gid,
            groups: self.groups_of(name.as_deref(), gid),
            home: entry.as_ref().map_or("/", |entry| entry.home).to_owned(),
            shell: entry.map(|entry| entry.shell.to_owned()),
            name,
        })
    }

    fn user(&self, wanted: &str) -> Option<User<'_>> {
        let number: Option<u32> = wanted.parse().ok();
        let entries = || self.passwd.lines().filter_map(User::parse);
        let by_name = entries().find(|entry| entry.name == wanted);
        by_name.or_else(|| number.and_then(|uid| entries().find(|entry| entry.uid == uid)))
    }

    fn gid(&self, wanted: &str) -> Option<u32> {
        let mut entries = self.group.lines().filter_map(group_line);
        let named = entries.find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
        named.or_else(|| wanted.parse().ok())
    }

    fn groups_of(&self, user: Option<&str>, first: u32) -> Vec<u32> {
        let mut groups = vec![first];
        let Some(user) = user else {
            return groups;
        };
        for (_, gid, members) in self.group.lines().filter_map(group_line) {
            if members.split(',').any(|member| member == user) && !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        groups
    }
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let _description = fields.next();
        let home = fields.next().filter(|home| !home.is_empty()).unwrap_or("/");
        let shell = fields.next().filter(|shell| !shell.is_empty()).unwrap_or(SHELL_DEFAULT);
        (!name.is_empty()).then_some(Self { name, uid, gid, home, shell })
    }
}

fn group_line(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    let gid = fields.next()?.parse().ok()?;
    (!name.is_empty()).then_some((name, gid, fields.next().unwrap_or("")))
}

/// Returns the first part of a file of the guest as text.
pub(crate) fn read_start(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        note!("{}: only the first MiB is read", path.display());
        bytes.pop();
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_users() -> Users {
        Users {
            passwd: "root:x:0:0:root:/root:/bin/bash\n# not an entry\n:x:9:9:::\n\
                     app:x:1000:1000::/home/app:/bin/sh\nbare:x:7:8::\n"
                .into(),
            group: "root:x:0:\napp:x:1000:\nwheel:x:10:root,app\ndocker:x:999:app\n".into(),
        }
    }

    fn check(spec: &str, expected: &str) {
        let answer = match some_users().resolve(spec) {
            Ok(who) => {
                format!("{}:{} {:?} {} {:?}", who.uid, who.gid, who.groups, who.home, who.name)
            }
            Err(unknown) => unknown.to_string(),
        };
        assert_eq!(answer, expected, "{spec}");
    }

    #[test]
    fn a_name_brings_its_groups_and_home() {
        check("app", "1000:1000 [1000, 10, 999] /home/app Some(\"app\")");
        check("root", "0:0 [0, 10] /root Some(\"root\")");
    }

    #[test]
    fn a_number_with_an_entry_is_that_user() {
        check("1000", "1000:1000 [1000, 10, 999] /home/app Some(\"app\")");
    }

    #[test]
    fn a_number_without_an_entry_is_allowed() {
        check("4242", "4242:0 [0] / None");
        check("4242:77", "4242:77 [77] / None");
    }

    #[test]
    fn a_group_may_be_named() {
        check("app:wheel", "1000:10 [10, 999] /home/app Some(\"app\")");
        check("app:10", "1000:10 [10, 999] /home/app Some(\"app\")");
    }

    #[test]
    fn unknown_names_are_refused() {
        check("nobody", "no user `nobody` in /etc/passwd");
        check("app:staff", "no group `staff` in /etc/group");
        check("", "no user `` in /etc/passwd");
    }

    #[test]
    fn an_entry_without_home_and_shell_gets_both() {
        let who = some_users().resolve("bare").unwrap();
        assert_eq!((who.home.as_str(), who.shell.as_deref()), ("/", Some("/bin/sh")));
    }
}
