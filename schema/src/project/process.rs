//! What runs in a sandbox, and as whom.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::mount::GuestPath;
use crate::name::SecretName;

/// A command line that may be left to the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgumentList {
    /// As the image says.
    #[default]
    Image,
    /// Explicitly none.
    Nothing,
    /// These words.
    Words(Vec<String>),
}

/// Returns the words of the workload, or `None` for a machine that only waits for sessions.
///
/// `entrypoint` written without `command` drops the command of the image.
#[must_use]
pub fn argv(
    entrypoint: &ArgumentList,
    command: &ArgumentList,
    image: (&[String], &[String]),
) -> Option<Vec<String>> {
    if *command == ArgumentList::Nothing {
        return None;
    }
    let first = match entrypoint {
        ArgumentList::Image => image.0,
        ArgumentList::Nothing => &[],
        ArgumentList::Words(words) => words,
    };
    let second = match (command, entrypoint) {
        (ArgumentList::Words(words), _) => words.as_slice(),
        (ArgumentList::Image, ArgumentList::Words(_)) | (ArgumentList::Nothing, _) => &[],
        (ArgumentList::Image, ArgumentList::Image | ArgumentList::Nothing) => image.1,
    };
    let words: Vec<String> = first.iter().chain(second).cloned().collect();
    (!words.is_empty()).then_some(words)
}

/// Where the value of an environment variable comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvValue {
    /// It is written in the file.
    Literal(String),
    /// It is the value of this variable of the host; sensitive.
    FromEnv(String),
    /// It is the content of this file of the host; sensitive.
    FromFile(std::path::PathBuf),
    /// It is the placeholder of this secret; sensitive.
    Secret(SecretName),
}

impl EnvValue {
    /// Returns whether the value itself is never shown or stored.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::FromEnv(_) | Self::FromFile(_) | Self::Secret(_) => true,
        }
    }

    /// Returns whether the value is read from the host and compared by its digest.
    ///
    /// A secret is not: it is compared by its reference alone.
    #[must_use]
    pub const fn is_digested(&self) -> bool {
        match self {
            Self::FromEnv(_) | Self::FromFile(_) => true,
            Self::Literal(_) | Self::Secret(_) => false,
        }
    }
}

/// Prints a literal in quotes, and a sensitive value as its reference alone.
impl fmt::Display for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => write!(f, "{text:?}"),
            Self::FromEnv(name) => write!(f, "env:{name}"),
            Self::FromFile(path) => write!(f, "file:{}", path.display()),
            Self::Secret(name) => write!(f, "secret:{name}"),
        }
    }
}

/// Who the workload and sessions run as: `NAME` or `UID`, then optionally `:GROUP` or `:GID`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserRef(String);

impl UserRef {
    /// Reads a user with an optional group; `None` where the text is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (user, group) = text.split_once(':').unwrap_or((text, "0"));
        (is_account(user) && is_account(group)).then(|| Self(text.to_owned()))
    }

    /// Returns the text, as `agentd` looks it up.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a name of an account, or an identity up to 2³²-2.
fn is_account(text: &str) -> bool {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<u32>().is_ok_and(|id| id < u32::MAX);
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 32
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-' | b'$'))
}

impl TryFrom<String> for UserRef {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a user"))
    }
}

impl From<UserRef> for String {
    fn from(user: UserRef) -> Self {
        user.0
    }
}

impl fmt::Display for UserRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The signal that asks a workload to end, by its Linux name without `SIG`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StopSignal(String);

/// Names and numbers of the signals that a guest understands, on both platforms.
const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

impl StopSignal {
    /// Reads a signal name, with or without `SIG`, in any case; `None` where it names none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        SIGNALS.iter().any(|(known, _)| *known == name).then(|| Self(name.to_owned()))
    }

    /// Returns the name without `SIG`: `TERM`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number that Linux gives the signal.
    #[must_use]
    pub fn number(&self) -> i32 {
        let known = SIGNALS.iter().find(|(name, _)| *name == self.0);
        known.map_or(15, |(_, number)| *number)
    }
}

impl TryFrom<String> for StopSignal {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a signal"))
    }
}

impl From<StopSignal> for String {
    fn from(signal: StopSignal) -> Self {
        signal.0
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The shell of sessions where the file names none.
#[must_use]
pub fn default_shell() -> GuestPath {
    GuestPath::parse("/bin/sh").expect("the path is absolute and does not climb")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_command_line_joins_file_and_image() {
        let (entry, cmd) = (words("/init --"), words("serve -p 80"));
        let image = (entry.as_slice(), cmd.as_slice());
        let set = |text: &str| ArgumentList::Words(words(text));
        let (unset, none) = (ArgumentList::Image, ArgumentList::Nothing);
        for (entrypoint, command, expected) in [
            (&unset, &unset, "/init -- serve -p 80"),
            (&unset, &set("sh"), "/init -- sh"),
            (&set("/tini"), &unset, "/tini"),
            (&set("/tini"), &set("sh"), "/tini sh"),
            (&none, &unset, "serve -p 80"),
        ] {
            assert_eq!(argv(entrypoint, command, image), Some(words(expected)));
        }
        assert_eq!(argv(&unset, &none, image), None);
        assert_eq!(argv(&unset, &unset, (&[], &[])), None);
    }

    #[test]
    fn a_user_is_a_name_or_a_number_with_an_optional_group() {
        for good in ["root", "1000", "app:app", "0:0", "www-data:33", "4294967294"] {
            assert!(UserRef::parse(good).is_some(), "{good}");
        }
        for bad in ["", ":", "a:", "4294967295", "a b", "a:b:c"] {
            assert!(UserRef::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_signal_is_read_in_every_usual_spelling() {
        for text in ["TERM", "SIGTERM", "sigterm"] {
            assert_eq!(StopSignal::parse(text).unwrap().number(), 15);
        }
        assert!(StopSignal::parse("TREM").is_none());
    }
}
