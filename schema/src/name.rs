//! Names that were checked once: of projects, sandboxes, volumes, variables and images.
//!
//! A value of these types is valid by construction, also when it comes from a
//! stored record, so nothing behind the border checks it again.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was written.
    #[error("a name has at least one character")]
    Empty,
    /// The name is longer than its kind allows.
    #[error("a name has at most {0} characters")]
    TooLong(usize),
    /// The name holds a character that its kind does not allow, or at a place where it may not.
    #[error("{rule}; `{character}` does not fit")]
    Character {
        /// What is allowed, in words.
        rule: &'static str,
        /// The first character that is not.
        character: char,
    },
    /// The name belongs to msb.
    #[error("`{0}` is reserved")]
    Reserved(String),
}

const NAME_RULE: &str =
    "a name is lower-case letters, digits and `-`, starting and ending with a letter or digit";
const NAME_BYTES_MAX: usize = 63;

/// Checks `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
///
/// # Errors
/// [`NameError`] says which part of the rule the text broke.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let wrong = |c: &char| !matches!(c, 'a'..='z' | '0'..='9' | '-');
    if let Some(character) = text.chars().find(wrong) {
        return Err(NameError::Character { rule: NAME_RULE, character });
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Character { rule: NAME_RULE, character: '-' });
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(NAME_BYTES_MAX));
    }
    Ok(())
}

/// Returns `text` made into a name: lower-cased, other characters to `-`; `None` where nothing is left.
#[must_use]
pub fn to_name(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let mapped: String =
        lower.chars().map(|c| if matches!(c, 'a'..='z' | '0'..='9') { c } else { '-' }).collect();
    let cut: String = mapped.trim_matches('-').chars().take(NAME_BYTES_MAX).collect();
    let name = cut.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

const ENV_KEY_RULE: &str =
    "an environment key is letters, digits, `_`, `.` and `-`, starting with a letter or `_`";
const ENV_KEY_BYTES_MAX: usize = 255;

/// Checks `[A-Za-z_][A-Za-z0-9_.-]{0,254}`, not starting `MSB_`.
///
/// # Errors
/// [`NameError`] says which part of the rule the text broke.
pub fn check_env_key(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err(NameError::Character { rule: ENV_KEY_RULE, character: first });
    }
    let wrong = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if let Some(character) = text.chars().find(wrong) {
        return Err(NameError::Character { rule: ENV_KEY_RULE, character });
    }
    if text.len() > ENV_KEY_BYTES_MAX {
        return Err(NameError::TooLong(ENV_KEY_BYTES_MAX));
    }
    if text.starts_with("MSB_") {
        return Err(NameError::Reserved(text.to_owned()));
    }
    Ok(())
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads a checked text.
            ///
            /// # Errors
            /// [`NameError`] says which part of the rule the text broke.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

checked_text!(
    /// The name of a project.
    ProjectName,
    check_name
);
checked_text!(
    /// The name of a sandbox or of a job; both share one name space.
    SandboxName,
    check_name
);
checked_text!(
    /// The name of a volume within its project.
    VolumeName,
    check_name
);
checked_text!(
    /// The name of a secret within its project.
    SecretName,
    check_name
);
checked_text!(
    /// The name of a variable of a guest's environment.
    EnvKey,
    check_env_key
);

/// One instance of a sandbox or a job: `web`, or `web[3]` where there are several.
///
/// In a choice or a dependency, a name without an index means all instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceName {
    /// The sandbox or job.
    pub sandbox: SandboxName,
    /// Which of its instances; `None` where it has but one.
    pub index: Option<u32>,
}

/// Why a text is not the name of an instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstanceNameError {
    /// What stands before the index is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The index is not a number of ours.
    #[error("`{0}` is not the index of an instance; write it as in `web[0]` or `web.0`")]
    Index(String),
}

impl InstanceName {
    /// Returns the only instance of a sandbox, or all of them where a choice is meant.
    #[must_use]
    pub const fn only(sandbox: SandboxName) -> Self {
        Self { sandbox, index: None }
    }

    /// Reads `web`, `web[3]` or `web.3`.
    ///
    /// # Errors
    /// [`InstanceNameError`] says which part is not as it should be.
    pub fn parse(text: &str) -> Result<Self, InstanceNameError> {
        let (name, index) = match (text.split_once('['), text.split_once('.')) {
            (Some((name, rest)), _) => {
                let index = rest.strip_suffix(']');
                (name, Some(index.ok_or_else(|| InstanceNameError::Index(rest.to_owned()))?))
            }
            (None, Some((name, index))) => (name, Some(index)),
            (None, None) => (text, None),
        };
        let sandbox = SandboxName::parse(name)?;
        let Some(index) = index else { return Ok(Self::only(sandbox)) };
        let plain = index.bytes().all(|b| b.is_ascii_digit())
            && (index.len() == 1 || !index.starts_with('0'));
        let number = index.parse().ok().filter(|_| plain);
        let index = number.ok_or_else(|| InstanceNameError::Index(index.to_owned()))?;
        Ok(Self { sandbox, index: Some(index) })
    }

    /// Tells whether `other` is meant by this name: it, or one of its instances.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.sandbox == other.sandbox && (self.index.is_none() || self.index == other.index)
    }

    /// Returns the index as state and records hold it; empty where there is but one instance.
    #[must_use]
    pub fn slot(&self) -> String {
        self.index.map_or_else(String::new, |index| index.to_string())
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => f.pad(self.sandbox.as_str()),
            Some(index) => f.pad(&format!("{}[{index}]", self.sandbox)),
        }
    }
}

impl std::str::FromStr for InstanceName {
    type Err = InstanceNameError;
    fn from_str(text: &str) -> Result<Self, InstanceNameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for InstanceName {
    type Error = InstanceNameError;
    fn try_from(text: String) -> Result<Self, InstanceNameError> {
        Self::parse(&text)
    }
}

impl From<InstanceName> for String {
    fn from(name: InstanceName) -> Self {
        name.to_string()
    }
}

impl From<SandboxName> for InstanceName {
    fn from(sandbox: SandboxName) -> Self {
        Self::only(sandbox)
    }
}

impl ProjectName {
    /// The reserved project of what imperative commands make.
    pub const ADHOC: &'static str = "adhoc";

    /// Returns the reserved project of what imperative commands make.
    #[must_use]
    pub fn adhoc() -> Self {
        Self(Self::ADHOC.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_inner_dashes() {
        let long = "a".repeat(63);
        for good in ["a", "web", "web-2", "0", long.as_str()] {
            assert!(SandboxName::parse(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(64);
        for bad in ["", "-a", "a-", "Web", "a_b", "a.b", "é", longer.as_str()] {
            assert!(SandboxName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_name_becomes_a_name() {
        assert_eq!(to_name("My Project_2").as_deref(), Some("my-project-2"));
        assert_eq!(to_name("..."), None);
        assert_eq!(to_name(&"x".repeat(80)).map(|n| n.len()), Some(63));
    }

    #[test]
    fn an_environment_key_may_not_be_ours() {
        for good in ["PATH", "a.b-c_D9"] {
            assert_eq!(EnvKey::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(EnvKey::parse("MSB_HOME"), Err(NameError::Reserved("MSB_HOME".into())));
        for bad in ["", "9A", "A=B", "A B"] {
            assert!(EnvKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sf_i2_an_instance_is_a_name_with_or_without_an_index() {
        for (text, shown) in [("web", "web"), ("web[0]", "web[0]"), ("web.12", "web[12]")] {
            let name = InstanceName::parse(text).unwrap();
            assert_eq!(name.to_string(), shown);
            assert_eq!(InstanceName::parse(shown), Ok(name));
        }
        for bad in ["", "[0]", "web[", "web[]", "web[01]", "web[-1]", "web[0", "web.", "web.x"] {
            assert!(InstanceName::parse(bad).is_err(), "{bad}");
        }
        let name = |text: &str| InstanceName::parse(text).unwrap();
        assert!(name("web").means(&name("web[3]")) && !name("web[3]").means(&name("web")));
        assert!(name("web[2]") < name("web[10]"), "by number, not by letter");
    }

    #[test]
    fn a_stored_name_is_checked_again() {
        let read = |text: &str| serde_json::from_str::<SandboxName>(text).ok();
        assert_eq!(read("\"web\""), SandboxName::parse("web").ok());
        assert_eq!(read("\"../web\""), None);
    }
}
