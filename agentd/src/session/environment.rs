//! What a command finds in its environment, and where its program is looked for.

use std::collections::BTreeMap;

use schema::wire::boot::EnvVar;

use crate::users::Identity;

/// The `PATH` of a machine whose image names none.
pub(crate) const PATH_DEFAULT: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables in the order they were first named; the last value of each holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    variables: Vec<(String, String)>,
    /// Where each variable stands: an environment may have thousands.
    places: BTreeMap<String, usize>,
}

impl Environment {
    /// Returns an environment with nothing but a `PATH`.
    pub(crate) fn with_path(path: &str) -> Self {
        let mut environment = Self::default();
        environment.set("PATH", path);
        environment
    }

    /// Takes variables over those that are there.
    pub(crate) fn apply(&mut self, layer: &[EnvVar]) {
        for variable in layer {
            self.set(&variable.key, &variable.value);
        }
    }

    /// Adds what a login would, where nobody has said otherwise.
    pub(crate) fn fill_in(&mut self, who: &Identity, shell: &str) {
        let shell = who.shell.as_deref().unwrap_or(shell);
        let number = who.uid.to_string();
        let name = who.name.as_deref().unwrap_or(&number);
        for (key, value) in
            [("HOME", who.home.as_str()), ("USER", name), ("LOGNAME", name), ("SHELL", shell)]
        {
            if self.get(key).is_none() {
                self.set(key, value);
            }
        }
    }

    /// Adds the caller's `TERM`, where nobody has said otherwise.
    pub(crate) fn fill_in_terminal(&mut self, term: &str) {
        if self.get("TERM").is_none() {
            self.set("TERM", if matches!(term, "" | "dumb") { "xterm" } else { term });
        }
    }

    /// Appends a folder to `PATH`.
    pub(crate) fn append_to_path(&mut self, folder: &str) {
        let path = format!("{}:{folder}", self.path());
        self.set("PATH", &path);
    }

    /// Sets one variable.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let place = self.places.get(key).and_then(|index| self.variables.get_mut(*index));
        if let Some((_, old)) = place {
            value.clone_into(old);
            return;
        }
        self.places.insert(key.to_owned(), self.variables.len());
        self.variables.push((key.to_owned(), value.to_owned()));
    }

    /// Returns the value of a variable.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let place = self.places.get(key).and_then(|index| self.variables.get(*index));
        place.map(|(_, value)| value.as_str())
    }

    /// Returns the folders that programs are looked for in.
    pub(crate) fn path(&self) -> &str {
        self.get("PATH").unwrap_or_default()
    }

    /// Returns `KEY=value` lines.
    pub(crate) fn into_lines(self) -> impl Iterator<Item = String> {
        self.variables.into_iter().map(|(key, value)| format!("{key}={value}"))
    }
}

/// Returns the paths at which a program may lie, in the order they are tried.
pub(crate) fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let folders = path.split(':').map(|folder| if folder.is_empty() { "." } else { folder });
    folders.map(|folder| format!("{folder}/{program}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> Vec<EnvVar> {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| EnvVar { key: key.into(), value: value.into() }).collect()
    }

    fn check(layers: &[&str], expected: &str) {
        let who = Identity {
            uid: 1000,
            gid: 1000,
            groups: vec![],
            home: "/home/app".into(),
            shell: None,
            name: Some("app".into()),
        };
        let mut environment = Environment::with_path("/bin");
        for text in layers {
            environment.apply(&layer(text));
        }
        environment.fill_in(&who, "/bin/ash");
        let lines: Vec<String> = environment.into_lines().collect();
        assert_eq!(lines.join(" "), expected);
    }

    #[test]
    fn later_layers_win_and_a_login_fills_the_rest() {
        check(
            &["A=1 B=2", "B=3 C=4"],
            "PATH=/bin A=1 B=3 C=4 HOME=/home/app USER=app LOGNAME=app SHELL=/bin/ash",
        );
    }

    #[test]
    fn what_was_said_is_kept() {
        check(
            &["HOME=/srv PATH=/opt", "SHELL=/bin/zsh USER="],
            "PATH=/opt HOME=/srv SHELL=/bin/zsh USER= LOGNAME=app",
        );
    }

    #[test]
    fn a_dumb_terminal_becomes_one_that_works() {
        for (said, expected) in [("", "xterm"), ("dumb", "xterm"), ("screen", "screen")] {
            let mut environment = Environment::default();
            environment.fill_in_terminal(said);
            assert_eq!(environment.get("TERM"), Some(expected));
        }
    }

    #[test]
    fn a_bare_name_is_looked_for_in_every_folder() {
        assert_eq!(candidates("ls", "/bin::/usr/bin"), ["/bin/ls", "./ls", "/usr/bin/ls"]);
        assert_eq!(candidates("./ls", "/bin"), ["./ls"]);
        assert_eq!(candidates("/x/ls", "/bin"), ["/x/ls"]);
        assert!(candidates("", "/bin").is_empty());
    }

    #[test]
    fn a_folder_can_be_appended_to_the_path() {
        let mut environment = Environment::with_path("/bin");
        environment.append_to_path("/.msb/bin");
        assert_eq!(environment.path(), "/bin:/.msb/bin");
    }
}
