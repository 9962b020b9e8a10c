//! What an image says about itself: the command it runs, in which
//! environment, as whom. It is data, and no code path obeys a label.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest::Digest;
use super::json;

/// The most bytes of all environment variables.
const ENV_BYTES_MAX: usize = 1 << 20;
/// The most labels that are kept, and their longest key and value.
const LABELS_MAX: usize = 1024;
const LABEL_KEY_BYTES_MAX: usize = 128;
const LABEL_VALUE_BYTES_MAX: usize = 4096;
/// The most layers.
pub const LAYERS_MAX: usize = 128;

/// The part of an image's configuration that a sandbox starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `NAME=value`, in the image's order.
    pub env: Vec<String>,
    /// The words behind the entrypoint.
    pub cmd: Vec<String>,
    /// The first words of the command.
    pub entrypoint: Vec<String>,
    /// Where the command runs; empty is `/`.
    pub workdir: String,
    /// `NAME` or `UID`, and a group behind a colon; empty is root.
    pub user: String,
    /// Labels, as data.
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the command to end.
    pub stop_signal: Option<String>,
    /// `80/tcp` and such.
    pub exposed_ports: Vec<String>,
}

/// A whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What a sandbox starts from.
    pub config: ImageConfig,
    /// `os/architecture`, with `/variant` where there is one.
    pub platform: String,
    /// The digests of the layers' tars, from the bottom up.
    pub diff_ids: Vec<Digest>,
    /// When the image says it was made.
    pub created_at: Option<String>,
    /// How many labels were left out.
    pub dropped_labels: u64,
}

/// Reads a configuration, or says what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Described, String> {
    let written: Written =
        json::parse(bytes).and_then(serde_json::from_value).map_err(|error| error.to_string())?;
    let diff_ids = written.rootfs.diff_ids;
    if diff_ids.is_empty() {
        return Err("it has no layers".to_owned());
    }
    if diff_ids.len() > LAYERS_MAX {
        return Err(format!("it has more than {LAYERS_MAX} layers"));
    }
    let digest = |text: &String| Digest::parse(text).ok_or("a diff id is not a sha256 digest");
    let diff_ids = diff_ids.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
    let mut platform = format!("{}/{}", plain(&written.os)?, plain(&written.architecture)?);
    if let Some(variant) = written.variant.filter(|variant| !variant.is_empty()) {
        platform = format!("{platform}/{}", plain(&variant)?);
    }
    let process = written.config.unwrap_or_default();
    let (config, dropped_labels) = process.checked()?;
    let created_at = written.created.filter(|time| time.len() <= 64);
    Ok(Described { config, platform, diff_ids, created_at, dropped_labels })
}

/// Returns when an image says it was built, of the bytes of a configuration that have this digest.
pub fn built_at(bytes: &[u8], digest: &Digest) -> Option<String> {
    if Digest::of(bytes) != *digest {
        return None;
    }
    read(bytes).ok()?.created_at
}

#[derive(Deserialize)]
struct Written {
    os: String,
    architecture: String,
    variant: Option<String>,
    created: Option<String>,
    config: Option<Process>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Process {
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    stop_signal: Option<String>,
    exposed_ports: Option<BTreeMap<String, Value>>,
}

impl Process {
    fn checked(self) -> Result<(ImageConfig, u64), String> {
        let env = self.env.unwrap_or_default();
        if env.iter().map(String::len).sum::<usize>() > ENV_BYTES_MAX {
            return Err("its environment is larger than 1 MiB".to_owned());
        }
        let user = self.user.unwrap_or_default();
        if !is_user(&user) {
            return Err(format!("`{}` is not a user", user.escape_debug()));
        }
        let labels = self.labels.unwrap_or_default();
        let count = labels.len();
        let labels: BTreeMap<_, _> = labels
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .filter(|(key, value)| {
                key.len() <= LABEL_KEY_BYTES_MAX && value.len() <= LABEL_VALUE_BYTES_MAX
            })
            .take(LABELS_MAX)
            .collect();
        let dropped = count - labels.len();
        let config = ImageConfig {
            env,
            cmd: self.cmd.unwrap_or_default(),
            entrypoint: self.entrypoint.unwrap_or_default(),
            workdir: self.working_dir.unwrap_or_default(),
            user,
            labels,
            stop_signal: self.stop_signal.filter(|signal| !signal.is_empty()),
            exposed_ports: self.exposed_ports.unwrap_or_default().into_keys().collect(),
        };
        let words = config.cmd.iter().chain(&config.entrypoint).chain(&config.env);
        if words.chain([&config.workdir]).any(|word| word.contains('\0')) {
            return Err("its command, environment or folder holds a NUL".to_owned());
        }
        Ok((config, dropped as u64))
    }
}

/// Checks the name of an operating system or an architecture.
fn plain(word: &str) -> Result<&str, String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if word.is_empty() || word.len() > 32 || !word.bytes().all(is_plain) {
        return Err("its platform is not written as os and architecture".to_owned());
    }
    Ok(word)
}

/// Checks `NAME` or `UID`, then optionally `:GROUP` or `:GID`; ids up to 2³²-2.
fn is_user(user: &str) -> bool {
    let is_one = |part: &str| {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            return part.parse::<u32>().is_ok_and(|id| id != u32::MAX);
        }
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'$');
        part.len() <= 64 && !part.starts_with('-') && part.bytes().all(is_plain)
    };
    let (name, group) = user.split_once(':').map_or((user, None), |(n, g)| (n, Some(g)));
    let has_group = group.is_none_or(|group| !group.is_empty() && is_one(group));
    user.is_empty() || (has_group && !name.is_empty() && is_one(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(config: &str) -> Result<Described, String> {
        let diff_id = Digest::of(b"");
        read(format!(
            r#"{{"os":"linux","architecture":"amd64","config":{config},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"history":[]}}"#
        ).as_bytes())
    }

    #[test]
    fn a_configuration_is_read() {
        let described = with(
            r#"{"Env":["A=b"],"Cmd":["sh"],"Entrypoint":null,"WorkingDir":"/w","User":"app:12","Labels":{"k":"v"},"ExposedPorts":{"80/tcp":{}},"Unknown":1}"#,
        )
        .unwrap();
        assert_eq!(described.platform, "linux/amd64");
        let config = described.config;
        assert_eq!((config.cmd, config.entrypoint), (vec!["sh".to_owned()], vec![]));
        assert_eq!((config.user.as_str(), config.labels["k"].as_str()), ("app:12", "v"));
        assert_eq!(config.exposed_ports, ["80/tcp"]);
        assert_eq!(with("null").unwrap().config, ImageConfig::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for user in ["-1", "4294967295", "99999999999", "a:", ":b", "a:b:c", "a b"] {
            let error = with(&format!(r#"{{"User":"{user}"}}"#)).unwrap_err();
            assert!(error.contains("is not a user"), "{user}: {error}");
        }
        with(r#"{"Env":["A=\u0000"]}"#).unwrap_err();
        with(r#"{"Env":["A"],"Env":["B"]}"#).unwrap_err();
        let env = "x".repeat(ENV_BYTES_MAX + 1);
        with(&format!(r#"{{"Env":["{env}"]}}"#)).unwrap_err();
        let none = br#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}"#;
        assert_eq!(read(none), Err("it has no layers".to_owned()));
    }

    #[test]
    fn labels_beyond_the_limits_are_left_out() {
        let many: Vec<_> = (0..1100).map(|n| format!(r#""k{n}":"v""#)).collect();
        let described = with(&format!(r#"{{"Labels":{{{}}}}}"#, many.join(","))).unwrap();
        assert_eq!((described.config.labels.len(), described.dropped_labels), (1024, 76));
    }
}
