//! What `exec` and an attached `run` share: streams, the session, and how it is told.

use std::path::Path;

use clap::Args;
use schema::encoding::base64;
use schema::exit::Kind;
use schema::name::check_env_key;
use schema::wire::boot::EnvVar;
use schema::wire::message::{Exec, ExecFailure, Exited, OnGone, StdinMode, Tty};
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::outcome::ms;
use crate::context::{Clock as _, Stream};
use crate::engine::SandboxView;
use crate::report::json::FORMAT_VERSION;
use crate::report::{Output, Report};
use crate::sessions::pump::{self, Event, PumpError};
use crate::sessions::relay::{Relay, RelayError};
use crate::sessions::{Capture, End, Input, Job, Leave, Outcome, Sink, keys, shell_code, terminal};

/// How a command's streams are joined with ours.
#[derive(Debug, Clone, Args)]
pub(crate) struct Streams {
    #[command(flatten)]
    terminal: TerminalFlags,
    #[command(flatten)]
    input: InputFlags,
    /// The keys that leave a terminal, as `ctrl-p,ctrl-q` or `none` [default: ctrl-]]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
}

/// Whether there is a terminal.
#[derive(Debug, Clone, Copy, Args)]
struct TerminalFlags {
    /// Give it a terminal [default: where stdin and stdout are terminals]
    #[arg(short, long, overrides_with = "no_tty")]
    tty: bool,
    /// Give it no terminal
    #[arg(short = 'T', long)]
    no_tty: bool,
}

/// What it reads.
#[derive(Debug, Clone, Copy, Args)]
struct InputFlags {
    /// Accepted, changes nothing: stdin is always forwarded
    #[arg(short, hide = true)]
    interactive: bool,
    /// Let it read an empty stdin [default: ours]
    #[arg(long)]
    no_stdin: bool,
}

/// The command itself.
#[derive(Debug, Clone)]
pub(crate) struct Words<'a> {
    /// Program and arguments; none: the shell on a terminal.
    pub(crate) argv: Vec<String>,
    /// Variables.
    pub(crate) env: &'a [(String, Option<String>)],
    /// Who runs it.
    pub(crate) user: Option<&'a str>,
    /// Where it runs.
    pub(crate) workdir: Option<&'a str>,
}

/// Returns the session that runs a command.
///
/// # Errors
/// There is neither a command nor a terminal for a shell, or a flag is malformed.
pub(crate) fn job(
    call: &Call,
    words: Words<'_>,
    streams: &Streams,
    shell: impl FnOnce() -> String,
) -> Result<Job, Failure> {
    let terminal = call.context.terminal;
    let is_tty = !streams.terminal.no_tty
        && (streams.terminal.tty || (terminal.is_tty(Stream::In) && terminal.is_tty(Stream::Out)));
    if is_tty && call.report.form.output == Output::Json {
        let message = "a terminal's output is no JSON document";
        return Err(Failure::usage("usage::conflict", message).hint("Give `-T`."));
    }
    let argv = if !words.argv.is_empty() {
        words.argv
    } else if is_tty {
        vec![shell()]
    } else {
        let failure = Failure::usage("usage::value", "no command was given");
        return Err(failure.hint("Name one, or give `-t` for the shell."));
    };
    let configured = call.configuration.detach_keys.as_deref();
    let keys = streams.detach_keys.as_deref().or(configured).unwrap_or(keys::DEFAULT);
    let detach = keys::parse(keys).ok_or_else(|| {
        Failure::usage("usage::value", format!("--detach-keys: `{keys}` names no keys"))
            .hint("Write them as `ctrl-p,ctrl-q`, or `none`.")
    })?;
    let (rows, cols) = terminal::size();
    let term = call.context.environment.get("TERM").unwrap_or("xterm").to_owned();
    let input = if streams.input.no_stdin { Input::Nothing } else { Input::Ours };
    let exec = Exec {
        argv,
        env: variables(call, words.env)?,
        cwd: words.workdir.map(str::to_owned),
        user: words.user.map(str::to_owned),
        tty: is_tty.then_some(Tty { rows, cols, term }),
        stdin: if input == Input::Ours { StdinMode::Pipe } else { StdinMode::None },
        rlimits: Vec::new(),
        on_gone: OnGone::Kill,
        log: true,
        name: None,
    };
    let sink = match call.report.form.output {
        Output::Text => Sink::Ours,
        Output::Json => Sink::Captured,
        Output::Ndjson => Sink::Events,
    };
    Ok(Job { exec, input, sink, timeout: None, detach, leave: Leave::AtTheEnd })
}

/// Returns variables; a bare key is taken from the host.
pub(crate) fn variables(
    call: &Call,
    pairs: &[(String, Option<String>)],
) -> Result<Vec<EnvVar>, Failure> {
    let one = |(key, value): &(String, Option<String>)| {
        let named = |why: String| {
            Failure::usage("usage::value", format!("-e {key}: not usable")).cause(why)
        };
        check_env_key(key).map_err(|error| named(error.to_string()))?;
        let host = || call.context.environment.raw(key).map(str::to_owned);
        let value = value.clone().or_else(host);
        let value = value.ok_or_else(|| named(format!("{key} is not set on the host")))?;
        Ok(EnvVar { key: key.clone(), value })
    };
    pairs.iter().map(one).collect()
}

/// A command that ended, or was left.
#[derive(Debug)]
pub(crate) struct Ran {
    outcome: Outcome,
    session: String,
    is_tty: bool,
    took_ms: u64,
}

impl Ran {
    /// Returns how it ended.
    pub(crate) const fn end(&self) -> &End {
        &self.outcome.end
    }
}

/// Runs a job over a machine's relay.
///
/// # Errors
/// The agent is not there, or the command could not be run.
pub(crate) fn run(
    call: &Call,
    view: &SandboxView,
    socket: &Path,
    job: Job,
) -> Result<Ran, Failure> {
    let clock = call.context.clock;
    let started = clock.elapsed();
    let (is_tty, session) = (job.exec.tty.is_some(), job.exec.name.clone());
    let argv0 = job.exec.argv.first().cloned().unwrap_or_default();
    let report = &call.report;
    let mut tell = |event: &Event<'_>| event_line(report, event);
    let ended = Relay::connect(socket)
        .map_err(PumpError::from)
        .and_then(|relay| pump::run(relay, job, &clock, &mut tell));
    let outcome = ended.map_err(|error| failure(view, &argv0, &error))?;
    let session = session.unwrap_or_else(|| outcome.session.to_string());
    let took_ms = ms(clock.elapsed().saturating_sub(started));
    Ok(Ran { outcome, session, is_tty, took_ms })
}

fn event_line(report: &Report, event: &Event<'_>) {
    let bytes = |kind: &str, bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!({"type": kind, "data": text}),
        Err(_) => json!({"type": kind, "data_base64": base64(bytes)}),
    };
    let line = match event {
        Event::Started(pid) => json!({"type": "started", "pid": pid}),
        Event::Stdout(data) => bytes("stdout", data),
        Event::Stderr(data) => bytes("stderr", data),
    };
    if report.form.output == Output::Ndjson {
        report.line(&line.to_string());
    }
}

/// Says how a command ended and returns its code.
pub(crate) fn tell(call: &Call, view: &SandboxView, ran: &Ran) -> Ending {
    let code = code(&ran.outcome.end);
    match (&ran.outcome.end, call.report.form.output) {
        (End::Left { .. }, Output::Text) if ran.is_tty => {
            call.report.note(&format!("{0}: detached; back with msb exec {0}", view.name));
        }
        (End::Left { .. }, Output::Text) => call.report.line(&ran.session),
        (End::TimedOut(_), Output::Text) => {
            return Err(Failure::new("exec::timeout", "exec", "the command did not end in time")
                .at(view.project.as_str(), format!("sandbox.{}", view.name))
                .hint("Give it a longer `--timeout`.")
                .into());
        }
        (End::Exited(exited), Output::Text) => {
            if exited.oom == Some(true) {
                call.report.warn("the guest's kernel killed part of the command for memory");
            }
        }
        (End::Signalled(_) | End::Closed, Output::Text) => {}
        (_, Output::Json) => call.report.document(&document(view, ran, code)),
        (end, Output::Ndjson) => {
            let mut line = exit_of(end, code);
            line["type"] = "exited".into();
            call.report.line(&line.to_string());
        }
    }
    Ok(code)
}

/// Returns the exit code of an end.
fn code(end: &End) -> u8 {
    match end {
        End::Exited(exited) => shell_code(exited),
        End::Left { .. } => 0,
        End::TimedOut(_) => Kind::Timeout.code(),
        End::Signalled(number) => number.saturating_add(128),
        End::Closed => 141,
    }
}

fn exit_of(end: &End, code: u8) -> Value {
    let (exited, timed_out): (Option<&Exited>, bool) = match end {
        End::Exited(exited) => (Some(exited), false),
        End::TimedOut(exited) => (exited.as_ref(), true),
        End::Left { .. } | End::Signalled(_) | End::Closed => (None, false),
    };
    json!({
        "origin": if timed_out || exited.is_none() { "msb" } else { "guest" },
        "exit_code": code,
        "signal": exited.and_then(|exited| exited.signal),
        "timed_out": timed_out,
    })
}

fn document(view: &SandboxView, ran: &Ran, code: u8) -> Value {
    let mut document = exit_of(&ran.outcome.end, code);
    let (stdout, stderr) = (&ran.outcome.stdout, &ran.outcome.stderr);
    let is_text = [stdout, stderr].iter().all(|c| std::str::from_utf8(&c.bytes).is_ok());
    let text = |capture: &Capture| match std::str::from_utf8(&capture.bytes) {
        Ok(text) if is_text => text.to_owned(),
        Ok(_) | Err(_) => base64(&capture.bytes),
    };
    document["format_version"] = FORMAT_VERSION.into();
    document["project"] = view.project.as_str().into();
    document["address"] = format!("sandbox.{}", view.name).into();
    document["session"] = ran.session.as_str().into();
    document["stdout"] = text(stdout).into();
    document["stderr"] = text(stderr).into();
    document["encoding"] = if is_text { "utf-8" } else { "base64" }.into();
    document["truncated"] = (stdout.truncated || stderr.truncated).into();
    document["duration_ms"] = ran.took_ms.into();
    document
}

/// Returns the failure of a command that could not be run, or was lost.
fn failure(view: &SandboxView, argv0: &str, error: &PumpError) -> Failure {
    let address = format!("sandbox.{}", view.name);
    let failure = match error {
        PumpError::Exec(failed) => {
            let (code, message) = match failed.kind {
                ExecFailure::NotFound => {
                    ("exec::not-found", format!("no command `{argv0}` in the guest"))
                }
                ExecFailure::NotExecutable => {
                    ("exec::not-executable", format!("`{argv0}` cannot be executed in the guest"))
                }
                ExecFailure::User => ("exec::user", "no such user in the guest".to_owned()),
                ExecFailure::Cwd => ("exec::cwd", "the working folder cannot be used".to_owned()),
                ExecFailure::Limits => ("exec::limits", "a limit could not be set".to_owned()),
                ExecFailure::Other => ("exec::failed", format!("cannot run `{argv0}`")),
            };
            Failure::new(code, "exec", message).cause(failed.detail.clone())
        }
        PumpError::Relay(RelayError::Unsupported(_)) => {
            Failure::of("msb::agent::unsupported", "agent", error)
                .hint(format!("Restart it with `msb restart {}`.", view.name))
        }
        PumpError::Relay(_) => Failure::of("msb::agent::lost", "agent", error)
            .hint(format!("Look at it with `msb logs {} --source all`.", view.name)),
        PumpError::Host(..) => Failure::of("msb::host::session", "exec", error),
    };
    failure.at(view.project.as_str(), address)
}
