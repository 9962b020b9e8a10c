//! The words of a mount flag: `SOURCE:DEST[:OPTION,...]`, its escapes, and which flag knows what.

use std::collections::BTreeSet;

use schema::project::{Access, MountFlag, MountOptions};
use schema::sandboxfile::problem::nearest;

use crate::cli::values;

/// A mount flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Volume,
    Dir,
    File,
    Disk,
    Named,
    Tmpfs,
}

impl Flag {
    pub(super) const fn spelling(self) -> &'static str {
        match self {
            Self::Volume => "-v",
            Self::Dir => "--mount-dir",
            Self::File => "--mount-file",
            Self::Disk => "--mount-disk",
            Self::Named => "--mount-named",
            Self::Tmpfs => "--tmpfs",
        }
    }
}

/// The options that not every flag has, and those that have them.
const OWN: [(&str, &[Flag]); 10] = [
    ("ensure", &[Flag::Dir, Flag::File, Flag::Named]),
    ("quota", &[Flag::Dir, Flag::Named]),
    ("follow-symlink", &[Flag::Dir]),
    ("stat-virt", &[Flag::Dir]),
    ("host-perms", &[Flag::Dir]),
    ("on-change", &[Flag::File]),
    ("fstype", &[Flag::Disk]),
    ("kind", &[Flag::Named]),
    ("size", &[Flag::Named, Flag::Tmpfs]),
    ("mode", &[Flag::Tmpfs]),
];

/// The options that every flag has.
const COMMON: [&str; 5] = ["ro", "rw", "noexec", "nosuid", "nodev"];

/// Options that every mount has, and the flag's own as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) mount: MountOptions,
    rest: Vec<(String, Option<String>)>,
}

impl Options {
    /// Returns the value of an option; an option without one has none.
    pub(super) fn value(&self, key: &str) -> Result<Option<&str>, String> {
        match self.rest.iter().find(|(name, _)| name == key) {
            None => Ok(None),
            Some((_, Some(value))) if !value.is_empty() => Ok(Some(value)),
            Some(_) => Err(format!("`{key}` needs a value, as in `{key}=VALUE`")),
        }
    }

    /// Tells whether an option that has no value is there.
    pub(super) fn has(&self, key: &str) -> Result<bool, String> {
        match self.rest.iter().find(|(name, _)| name == key) {
            None => Ok(false),
            Some((_, None)) => Ok(true),
            Some((_, Some(_))) => Err(format!("`{key}` has no value")),
        }
    }

    /// Returns the choice that an option makes.
    pub(super) fn choice<'a>(&self, key: &str, of: &[&'a str]) -> Result<Option<&'a str>, String> {
        let Some(value) = self.value(key)? else { return Ok(None) };
        let found = of.iter().find(|choice| **choice == value);
        let found = found.ok_or_else(|| format!("`{key}={value}`: write {}", of.join(" or ")))?;
        Ok(Some(found))
    }

    /// Reads the options that stand behind the destination.
    pub(super) fn read(flag: Flag, text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        let mut seen = BTreeSet::new();
        for word in split(text, ',', usize::MAX).iter().filter(|word| !word.is_empty()) {
            let (key, value) = values::pair(&unescaped(word))?;
            let kind = if matches!(key.as_str(), "ro" | "rw") { "access" } else { key.as_str() };
            if !seen.insert(kind.to_owned()) {
                return Err(format!("`{key}` does not go with what stands before it"));
            }
            if value.is_some() && COMMON.contains(&key.as_str()) {
                return Err(format!("`{key}` has no value"));
            }
            match key.as_str() {
                "ro" => options.mount.access = Access::ReadOnly,
                "rw" => options.mount.access = Access::ReadWrite,
                "noexec" => drop(options.mount.flags.insert(MountFlag::NoExec)),
                "nosuid" => drop(options.mount.flags.insert(MountFlag::NoSuid)),
                "nodev" => drop(options.mount.flags.insert(MountFlag::NoDev)),
                _ => {
                    is_known(flag, &key)?;
                    options.rest.push((key, value));
                }
            }
        }
        Ok(options)
    }
}

/// Refuses an option of another flag, and one that there is not.
fn is_known(flag: Flag, key: &str) -> Result<(), String> {
    if let Some((_, flags)) = OWN.iter().find(|(name, _)| *name == key) {
        if flags.contains(&flag) {
            return Ok(());
        }
        let flags: Vec<&str> = flags.iter().map(|flag| flag.spelling()).collect();
        return Err(format!("`{key}` belongs to {}", flags.join(" and ")));
    }
    let own = OWN.iter().filter(|(_, flags)| flags.contains(&flag)).map(|(name, _)| *name);
    match nearest(key, own.chain(COMMON)) {
        Some(near) => Err(format!("`{key}` is no option here; `{near}` was probably meant")),
        None => Err(format!("`{key}` is no option here")),
    }
}

/// Splits a text at a mark that no `\\` stands before, into `most` parts; escapes stay.
pub(super) fn split(text: &str, mark: char, most: usize) -> Vec<&str> {
    let (mut parts, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if c == mark && !is_escaped && parts.len() + 1 < most {
            parts.extend(text.get(start..at));
            start = at + c.len_utf8();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    parts.extend(text.get(start..));
    parts
}

/// Returns a text without the marks that kept others from splitting it.
pub(super) fn unescaped(text: &str) -> String {
    let (mut plain, mut is_escaped) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        match (is_escaped, c) {
            (false, '\\') => is_escaped = true,
            (true, c) if !matches!(c, ':' | ',' | '\\') => {
                plain.extend(['\\', c]);
                is_escaped = false;
            }
            (_, c) => {
                plain.push(c);
                is_escaped = false;
            }
        }
    }
    if is_escaped {
        plain.push('\\');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_can_be_escaped() {
        assert_eq!(split(r"a\:b:c:d", ':', 3), [r"a\:b", "c", "d"]);
        assert_eq!(split("a:b:c:d", ':', 3), ["a", "b", "c:d"]);
        assert_eq!(split("", ',', 9), [""]);
        assert_eq!(unescaped(r"a\:b\\c\d\"), r"a:b\c\d\");
    }

    #[test]
    fn an_option_of_another_flag_names_those_that_have_it() {
        let told = |flag, text| Options::read(flag, text).unwrap_err();
        assert_eq!(
            told(Flag::File, "quota=1GiB"),
            "`quota` belongs to --mount-dir and --mount-named"
        );
        assert!(told(Flag::Named, "knid=disk").contains("`kind` was probably meant"));
        assert!(told(Flag::Dir, "ro,rw").contains("does not go with"));
        assert!(told(Flag::Dir, "ro=yes").contains("has no value"));
    }
}
