//! A program that keeps logins for Docker: asked with little of our environment, and not for long.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use image::json;
use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::credentials::{Credential, Secret};

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The most that a program may say.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// The name of a user whose password is a token.
const TOKEN: &str = "<token>";

/// Why a program gave no answer. What it printed is never part of it: that may be a password.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// Its name leads elsewhere.
    #[error("`{0}` is no name of a program")]
    Name(String),
    /// It cannot be run.
    #[error("cannot run docker-credential-{0}")]
    Run(String, #[source] io::Error),
    /// It takes too long.
    #[error("docker-credential-{0} gave no answer in 5 s")]
    Slow(String),
    /// It failed.
    #[error("docker-credential-{0} failed")]
    Failed(String),
    /// Its answer is none.
    #[error("docker-credential-{0} gave an answer that is no login")]
    Answer(String),
}

/// Asks the program `docker-credential-NAME` for the login of `key`; `None` where it has none.
pub(super) async fn ask(
    name: &str,
    key: &str,
    environment: &[(&'static str, String)],
) -> Result<Option<Credential>, KeeperError> {
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || !name.bytes().all(named) {
        return Err(KeeperError::Name(name.escape_debug().take(64).collect()));
    }
    let failed = |error| KeeperError::Run(name.to_owned(), error);
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .env_clear()
        .envs(environment.iter().map(|(key, value)| (*key, value.as_str())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let answered = tokio::time::timeout(LIMIT, talk(&mut child, key)).await;
    let (good, answer) = match answered {
        Err(_) => return Err(KeeperError::Slow(name.to_owned())),
        Ok(talked) => talked.map_err(failed)?,
    };
    if !good {
        let has_none = String::from_utf8_lossy(&answer).contains("credentials not found");
        return if has_none { Ok(None) } else { Err(KeeperError::Failed(name.to_owned())) };
    }
    read(&answer).map(Some).ok_or_else(|| KeeperError::Answer(name.to_owned()))
}

async fn talk(child: &mut Child, key: &str) -> io::Result<(bool, Vec<u8>)> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing may still answer.
        drop(stdin.write_all(key.as_bytes()).await);
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    }
    Ok((child.wait().await?.success(), answer))
}

fn read(answer: &[u8]) -> Option<Credential> {
    let answer = json::parse(answer).ok()?;
    let field = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let (user, secret) = (field("Username")?, Secret::new(field("Secret")?));
    Some(if user == TOKEN {
        Credential::Identity(secret)
    } else {
        Credential::Password { user, password: secret }
    })
}
