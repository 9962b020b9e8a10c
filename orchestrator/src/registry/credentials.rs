//! Whose logins msb knows, and where they are from.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use image::json;
use schema::encoding::{base64, from_base64};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::keeper::{self, KeeperError};
use crate::context::Context;
use crate::store::atomic;

/// The file of the home that keeps logins.
pub const FILE_NAME: &str = "registry-auth.json";
/// The name under which the world keeps logins of Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The largest file of logins.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for the one request that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that is traded for others.
    Identity(Secret),
}

impl Credential {
    /// Returns the user's name; a token has none.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Password { user, .. } => Some(user),
            Self::Identity(_) => None,
        }
    }
}

/// Where a login is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `MSB_REGISTRY_AUTH`.
    Variable,
    /// The home's own file.
    Home,
    /// Docker's file.
    Docker(PathBuf),
    /// A program that Docker's file names.
    Helper(String),
    /// Typed just now.
    Typed,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("MSB_REGISTRY_AUTH"),
            Self::Home => f.write_str(FILE_NAME),
            Self::Docker(path) => write!(f, "{}", path.display()),
            Self::Helper(name) => write!(f, "docker-credential-{name}"),
            Self::Typed => f.write_str("given"),
        }
    }
}

/// What was found for a registry.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    /// The login and where it is from; `None`: nobody in particular.
    pub(super) credential: Option<(Credential, Source)>,
    /// What could not be asked.
    pub(super) notes: Vec<String>,
}

/// Why logins cannot be read or kept.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// A source holds something else.
    #[error("{place} holds no logins: {why}")]
    Malformed {
        /// The variable or the file.
        place: String,
        /// What is wrong; never what stands there.
        why: String,
        /// It is the variable.
        variable: bool,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl CredentialsError {
    /// Returns the code that the command line gives it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { variable: true, .. } => "msb::usage::value",
            Self::Malformed { .. } | Self::Read { .. } | Self::Write { .. } => {
                "msb::registry::logins"
            }
        }
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed { .. } => {
                "Write `{\"auths\":{\"HOST\":{\"auth\":\"BASE64 OF USER:PASSWORD\"}}}`.".to_owned()
            }
            Self::Read { .. } | Self::Write { .. } => {
                "Look at the file's owner and permissions.".to_owned()
            }
        }
    }
}

/// Where logins are looked up, first to last.
#[derive(Clone, Default)]
pub struct Sources {
    /// The text of `MSB_REGISTRY_AUTH`.
    variable: Option<Secret>,
    /// The home's own file.
    own: Option<PathBuf>,
    /// Docker's file.
    docker: Option<PathBuf>,
    /// All that a helper program sees of our environment.
    environment: Vec<(&'static str, String)>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("own", &self.own).field("docker", &self.docker).finish()
    }
}

/// A row of `msb registry ls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The registry.
    pub host: String,
    /// The user, where the source tells.
    pub user: Option<String>,
    /// Where it is from.
    pub source: Source,
}

/// A file of logins, as Docker shaped it.
#[derive(Debug, Default)]
struct Logins {
    auths: Vec<(String, Credential)>,
    helpers: Vec<(String, String)>,
    store: Option<String>,
}

impl Sources {
    /// Returns the sources that a process was started with.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        let get = |name: &str| context.environment.get(name);
        let folder = match (get("DOCKER_CONFIG"), get("HOME")) {
            (Some(folder), _) => Some(context.absolute(Path::new(folder))),
            (None, Some(home)) => Some(context.absolute(Path::new(home)).join(".docker")),
            (None, None) => None,
        };
        let seen = ["PATH", "HOME", "DOCKER_CONFIG"];
        Self {
            variable: get("MSB_REGISTRY_AUTH").map(|text| Secret::new(text.to_owned())),
            own: Some(context.home().join(FILE_NAME)),
            docker: folder.map(|folder| folder.join("config.json")),
            environment: seen
                .into_iter()
                .filter_map(|name| Some((name, get(name)?.to_owned())))
                .collect(),
        }
    }

    /// Returns the login for a registry from the first source that has one.
    ///
    /// # Errors
    /// A source is there and cannot be read.
    pub(super) async fn login(&self, host: &str) -> Result<Login, CredentialsError> {
        let found = |credential: &Credential, source| Login {
            credential: Some((credential.clone(), source)),
            notes: Vec::new(),
        };
        if let Some(credential) = of_host(&self.of_variable()?.auths, host) {
            return Ok(found(credential, Source::Variable));
        }
        if let Some(credential) = of_host(&self.of_home()?.auths, host) {
            return Ok(found(credential, Source::Home));
        }
        let Some(path) = &self.docker else { return Ok(Login::default()) };
        let docker = read(path)?;
        let mut login = Login::default();
        let mut programs: Vec<(&str, &str)> = Vec::new();
        if let Some((key, name)) = docker.helpers.iter().find(|(key, _)| bare(key) == bare(host)) {
            programs.push((name, key));
        } else if let Some(name) = &docker.store {
            programs.push((name, if host == "docker.io" { DOCKER_HUB } else { host }));
        }
        for (name, key) in programs {
            match keeper::ask(name, key, &self.environment).await {
                Ok(Some(credential)) => {
                    login.credential = Some((credential, Source::Helper(name.to_owned())));
                    return Ok(login);
                }
                Ok(None) => {}
                Err(error) => login.notes.push(told(&error)),
            }
        }
        if let Some(credential) = of_host(&docker.auths, host) {
            login.credential = Some((credential.clone(), Source::Docker(path.clone())));
        }
        Ok(login)
    }

    /// Returns every login there is, that of a host which counts first; no program is asked.
    ///
    /// # Errors
    /// A source is there and cannot be read.
    pub fn known(&self) -> Result<Vec<Known>, CredentialsError> {
        let mut rows = Vec::new();
        let mut add = |logins: Vec<(String, Credential)>, source: &Source| {
            for (key, credential) in logins {
                let user = credential.user().map(str::to_owned);
                rows.push(Known { host: bare(&key).to_owned(), user, source: source.clone() });
            }
        };
        add(self.of_variable()?.auths, &Source::Variable);
        add(self.of_home()?.auths, &Source::Home);
        if let Some(path) = &self.docker {
            let docker = read(path)?;
            add(docker.auths, &Source::Docker(path.clone()));
            for (key, name) in docker.helpers {
                let host = bare(&key).to_owned();
                rows.push(Known { host, user: None, source: Source::Helper(name) });
            }
        }
        rows.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(rows)
    }

    /// Keeps a login in the home's own file.
    ///
    /// # Errors
    /// The file cannot be read or written; the old one stands.
    pub fn keep(&self, host: &str, user: &str, password: &Secret) -> Result<(), CredentialsError> {
        let auth = base64(format!("{user}:{}", password.reveal()).as_bytes());
        self.change(|auths| {
            auths.retain(|key, _| bare(key) != bare(host));
            auths.insert(host.to_owned(), json!({ "auth": auth }));
        })
    }

    /// Forgets a login of the home's own file; tells whether there was one.
    ///
    /// # Errors
    /// The file cannot be read or written; the old one stands.
    pub fn forget(&self, host: &str) -> Result<bool, CredentialsError> {
        if of_host(&self.of_home()?.auths, host).is_none() {
            return Ok(false);
        }
        self.change(|auths| auths.retain(|key, _| bare(key) != bare(host)))?;
        Ok(true)
    }

    fn change(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), CredentialsError> {
        let Some(path) = &self.own else { return Ok(()) };
        let bytes = bytes(path)?.unwrap_or_default();
        let mut auths = match json::parse(&bytes) {
            Ok(Value::Object(mut file)) => match file.remove("auths") {
                Some(Value::Object(auths)) => auths,
                _ => Map::new(),
            },
            _ => Map::new(),
        };
        change(&mut auths);
        let mut text = serde_json::to_vec_pretty(&json!({ "auths": auths })).unwrap_or_default();
        text.push(b'\n');
        let failed = |source| CredentialsError::Write { path: path.clone(), source };
        atomic::write(path, &text).map_err(failed)
    }

    fn of_variable(&self) -> Result<Logins, CredentialsError> {
        let Some(text) = &self.variable else { return Ok(Logins::default()) };
        parse(text.reveal().as_bytes()).map_err(|why| CredentialsError::Malformed {
            place: "MSB_REGISTRY_AUTH".to_owned(),
            why,
            variable: true,
        })
    }

    fn of_home(&self) -> Result<Logins, CredentialsError> {
        self.own.as_deref().map_or_else(|| Ok(Logins::default()), read)
    }
}

/// Returns an error and its cause in one line.
fn told(error: &KeeperError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Returns the host that a key names: `https://index.docker.io/v1/` is `docker.io`.
fn bare(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        key => key,
    }
}

fn of_host<'a>(auths: &'a [(String, Credential)], host: &str) -> Option<&'a Credential> {
    auths.iter().find(|(key, _)| bare(key) == bare(host)).map(|(_, credential)| credential)
}

fn bytes(path: &Path) -> Result<Option<Vec<u8>>, CredentialsError> {
    use std::io::Read as _;

    let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

fn read(path: &Path) -> Result<Logins, CredentialsError> {
    let Some(bytes) = bytes(path)? else { return Ok(Logins::default()) };
    parse(&bytes).map_err(|why| CredentialsError::Malformed {
        place: path.display().to_string(),
        why,
        variable: false,
    })
}

/// Reads logins as Docker shaped them; what is wrong with them is told without what stands there.
fn parse(bytes: &[u8]) -> Result<Logins, String> {
    let file = json::parse(bytes).map_err(|error| {
        format!("it is no JSON from line {}, column {}", error.line(), error.column())
    })?;
    let Value::Object(file) = file else { return Err("it is no JSON object".to_owned()) };
    let mut logins = Logins::default();
    if let Some(auths) = file.get("auths") {
        let auths = auths.as_object().ok_or("`auths` is no object")?;
        for (key, entry) in auths {
            let entry = entry.as_object().ok_or("an entry of `auths` is no object")?;
            if let Some(credential) = credential(entry)? {
                logins.auths.push((key.clone(), credential));
            }
        }
    }
    if let Some(helpers) = file.get("credHelpers").and_then(Value::as_object) {
        let named = |(key, name): (&String, &Value)| Some((key.clone(), name.as_str()?.to_owned()));
        logins.helpers = helpers.iter().filter_map(named).collect();
    }
    let store = file.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty());
    logins.store = store.map(str::to_owned);
    Ok(logins)
}

/// Returns the login of an entry; one that a program keeps is empty here.
fn credential(entry: &Map<String, Value>) -> Result<Option<Credential>, &'static str> {
    let field = |name: &str| {
        entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    if let Some(token) = field("identitytoken") {
        return Ok(Some(Credential::Identity(Secret::new(token))));
    }
    if let Some(auth) = field("auth") {
        let decoded = from_base64(auth.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or("an `auth` is no base 64")?;
        let decoded = decoded.trim_end_matches('\0');
        let (user, password) = decoded.split_once(':').ok_or("an `auth` holds no USER:PASSWORD")?;
        let password = Secret::new(password.to_owned());
        return Ok(Some(Credential::Password { user: user.to_owned(), password }));
    }
    let pair = field("username").zip(field("password"));
    Ok(pair.map(|(user, password)| Credential::Password { user, password: Secret::new(password) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_key_names_a_host_in_any_spelling() {
        for (key, host) in [
            (DOCKER_HUB, "docker.io"),
            ("index.docker.io", "docker.io"),
            ("https://ghcr.io", "ghcr.io"),
            ("ghcr.io/", "ghcr.io"),
            ("http://localhost:5000/v2/", "localhost:5000"),
        ] {
            assert_eq!(bare(key), host, "{key}");
        }
    }

    #[test]
    fn logins_are_read_in_their_forms_and_never_shown() {
        let text = br#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"YW5hOnBhOnNz"},
            "a.example":{"username":"ana","password":"hunter2"},
            "b.example":{"auth":"YW5hOg==","identitytoken":"hunter2"},
            "c.example":{}}, "credHelpers":{"d.example":"keeper"}, "credsStore":"store", "x":1}"#;
        let logins = parse(text).unwrap();
        assert_eq!((logins.auths.len(), logins.store.as_deref()), (3, Some("store")));
        let Some(Credential::Password { user, password }) = of_host(&logins.auths, "docker.io")
        else {
            panic!("a password");
        };
        assert_eq!((user.as_str(), password.reveal()), ("ana", "pa:ss"));
        let token = of_host(&logins.auths, "b.example").unwrap();
        assert_eq!(token.user(), None);
        assert!(of_host(&logins.auths, "c.example").is_none());
        assert!(!format!("{logins:?}").contains("hunter2"));
    }

    #[test]
    fn what_holds_no_logins_is_told_without_what_stands_there() {
        for text in ["hunter2", "[]", r#"{"auths":1}"#, r#"{"auths":{"a":{"auth":"hunter2!"}}}"#] {
            let why = parse(text.as_bytes()).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn what_is_kept_is_found_and_what_is_forgotten_is_not() {
        let folder = Scratch::new();
        let own = Some(folder.path().join(FILE_NAME));
        let sources = Sources { own, ..Sources::default() };
        let secret = Secret::new("p:w".to_owned());
        sources.keep("a.example", "ana", &secret).unwrap();
        sources.keep("b.example", "bob", &secret).unwrap();
        sources.keep("a.example", "eve", &secret).unwrap();
        let users: Vec<_> = sources.known().unwrap().into_iter().map(|one| one.user).collect();
        assert_eq!(users, [Some("eve".to_owned()), Some("bob".to_owned())]);
        assert!(sources.forget("a.example").unwrap() && !sources.forget("a.example").unwrap());
        let left = sources.of_home().unwrap().auths;
        let password = Secret::new("p:w".to_owned());
        let bob = Credential::Password { user: "bob".to_owned(), password };
        assert_eq!(of_host(&left, "b.example"), Some(&bob));
    }
}
