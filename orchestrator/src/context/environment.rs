//! The variables this process was started with.

use std::collections::BTreeMap;

/// Every `MSB_` variable that means something.
pub const KNOWN_VARIABLES: &[&str] = &[
    "MSB_BUSYBOX",
    "MSB_DRIVER",
    "MSB_FILE",
    "MSB_HOME",
    "MSB_KERNEL",
    "MSB_LOCK_TIMEOUT",
    "MSB_LOG",
    "MSB_OUTPUT",
    "MSB_PROCESS_AGENT",
    "MSB_PROFILES",
    "MSB_PROGRESS",
    "MSB_PROJECT",
    "MSB_QEMU",
    "MSB_REGISTRY_AUTH",
    "MSB_REQUIRE_JAIL",
];

/// See the module. Variables that are not UTF-8 are left out.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the process's variables.
    #[must_use]
    pub fn read() -> Self {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Returns an environment of these variables.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let owned = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self(owned.collect())
    }

    /// Returns a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// Returns a variable that is set, also to nothing.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns every variable.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns every variable as the reader of a Sandboxfile takes them.
    #[must_use]
    pub const fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Returns the `MSB_` variables that mean nothing.
    #[must_use]
    pub fn unknown(&self) -> Vec<&str> {
        let ours = self.iter().map(|(key, _)| key).filter(|key| key.starts_with("MSB_"));
        ours.filter(|key| !KNOWN_VARIABLES.contains(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let environment = Environment::of(&[("A", ""), ("B", "b")]);
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.raw("A"), Some(""));
        assert_eq!(environment.get("B"), Some("b"));
    }

    #[test]
    fn a_misspelt_variable_is_found() {
        let environment = Environment::of(&[("MSB_HOEM", "/x"), ("MSB_HOME", "/y"), ("X", "")]);
        assert_eq!(environment.unknown(), ["MSB_HOEM"]);
    }
}
