//! Logins of registries

use std::io::{self, Read as _};

use clap::Subcommand;
use serde_json::json;

use super::asking::may_ask;
use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use crate::context::Stream;
use crate::registry::{
    CredentialsError, FILE_NAME, Known, Registry, RegistryError, Secret, Settings, host,
};
use crate::report::human::Table;
use crate::report::prompt;

/// Logins of registries
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Login(LoginArgs),
    Logout(LogoutArgs),
    /// List logins
    #[command(visible_alias = "list")]
    Ls,
}

/// Log in to a registry
#[derive(Debug, clap::Args)]
struct LoginArgs {
    /// The registry, as references write it
    #[arg(value_name = "HOST")]
    host: String,
    /// The user
    #[arg(short, long, value_name = "USER")]
    username: String,
    /// Read the password from stdin [default: ask on the terminal]
    #[arg(long)]
    password_stdin: bool,
}

/// Forget a login
#[derive(Debug, clap::Args)]
struct LogoutArgs {
    /// The registry, as references write it
    #[arg(value_name = "HOST")]
    host: String,
}

/// The longest password.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// Runs the subcommand.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    match &args.command {
        Command::Login(args) => login(args, call),
        Command::Logout(args) => logout(args, call),
        Command::Ls => list(call),
    }
}

/// Returns how registries are spoken to, where no flag says more.
pub(crate) fn settings(call: &Call) -> Settings {
    Settings::of(&call.context, &call.context.registries)
}

/// Returns what a registry's refusal is to who asked.
pub(crate) fn failed(error: &RegistryError) -> Failure {
    Failure::of(error.code(), "image", error).hint(error.hint())
}

fn kept(error: &CredentialsError) -> Failure {
    Failure::of(error.code(), "image", error).hint(error.hint())
}

/// Keeps a login that its registry takes.
fn login(args: &LoginArgs, call: &Call) -> Ending {
    let host = known(&args.host)?;
    if args.username.is_empty() || args.username.contains(':') {
        return Err(Failure::usage("usage::value", "a user's name is not empty and has no `:`")
            .hint("Give it with `-u USER`.")
            .into());
    }
    let password = password(args, call, &host)?;
    call.context.prepared_home().map_err(Failure::from)?;
    let registry = Registry::new(settings(call));
    registry.check(&host, &args.username, password.clone()).map_err(|error| refused(&error))?;
    registry.logins().keep(&host, &args.username, &password).map_err(|error| kept(&error))?;
    if call.report.is_text() {
        let place = call.context.home().join(FILE_NAME);
        call.report.note(&format!(
            "logged in to {host} as {}, kept in {}",
            args.username,
            place.display()
        ));
    } else {
        let row = json!({ "host": host, "user": args.username, "result": "logged-in" });
        call.report.document(&row);
    }
    Ok(0)
}

/// Returns what a login's refusal is: another try at the same helps nobody.
fn refused(error: &RegistryError) -> Failure {
    match error {
        RegistryError::Denied { .. } => Failure::of(error.code(), "image", error)
            .hint("Check the user and the password; nothing was kept."),
        error => failed(error),
    }
}

/// Forgets a login.
fn logout(args: &LogoutArgs, call: &Call) -> Ending {
    let host = known(&args.host)?;
    let sources = settings(call).credentials;
    let was = match call.context.existing_home().map_err(Failure::from)? {
        None => false,
        Some(_) => sources.forget(&host).map_err(|error| kept(&error))?,
    };
    let result = if was { "logged-out" } else { "absent" };
    if call.report.is_text() {
        let text = if was { "logged out of" } else { "there was no login kept for" };
        call.report.note(&format!("{text} {host}"));
    } else {
        call.report.document(&json!({ "host": host, "result": result }));
    }
    let left = sources.known().map_err(|error| kept(&error))?;
    if let Some(other) = left.iter().find(|one| one.host == host) {
        call.report.warn(&format!("{host} is still logged in to by {}", other.source));
    }
    Ok(0)
}

/// Lists logins, none of their passwords.
fn list(call: &Call) -> Ending {
    let known = settings(call).credentials.known().map_err(|error| kept(&error))?;
    if !call.report.is_text() {
        let row = |one: &Known| json!({ "host": one.host, "user": one.user, "source": one.source.to_string() });
        call.report.document(&known.iter().map(row).collect::<Vec<_>>());
        return Ok(0);
    }
    if known.is_empty() {
        call.report.note("no logins");
        return Ok(0);
    }
    let mut table = Table::new(&["HOST", "USER", "SOURCE"]);
    for one in known {
        table.row(vec![one.host, one.user.unwrap_or_default(), one.source.to_string()]);
    }
    call.report.out(&table.text(call.report.width()));
    Ok(0)
}

fn known(text: &str) -> Result<String, Failure> {
    host(text).ok_or_else(|| {
        let message = format!("`{}` is no host of a registry", text.escape_debug());
        Failure::usage("usage::value", message)
            .hint("Write it as references do: `ghcr.io`, `registry.local:5000`, `docker.io`.")
    })
}

fn password(args: &LoginArgs, call: &Call, host: &str) -> Result<Secret, Failure> {
    let typed = if args.password_stdin {
        if call.context.terminal.is_tty(Stream::In) {
            let failure = Failure::usage("usage::conflict", "stdin is a terminal");
            return Err(failure.hint("Leave `--password-stdin` out, and it is asked for."));
        }
        let mut text = String::new();
        let read = io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| {
            Failure::usage("usage::value", "cannot read the password").cause(error.to_string())
        })?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        line.strip_suffix('\r').unwrap_or(line).to_owned()
    } else if may_ask(call) {
        let question = format!("Password of {} at {host}: ", args.username);
        prompt::secret(&call.report, &question).ok_or_else(|| {
            let mut ended = Failure::new("interrupted", "usage", "interrupted");
            ended.exit_code = Some(130);
            ended
        })?
    } else {
        let failure = Failure::usage("usage::value", "no password was given");
        return Err(failure.hint("Write it to stdin and give `--password-stdin`."));
    };
    if typed.is_empty() || typed.contains(['\n', '\r', '\0']) {
        let failure = Failure::usage("usage::value", "a password is one line, and not empty");
        return Err(failure.hint("Write it to stdin, alone."));
    }
    Ok(Secret::new(typed))
}
