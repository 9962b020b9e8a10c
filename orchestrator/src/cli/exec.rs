//! Run a command in a sandbox that runs

use std::time::Duration;

use schema::launch;
use schema::project::Rlimit;
use schema::wire::message;

use super::call::Call;
use super::changing::{self, Change};
use super::command::{self, Words};
use super::definition;
use super::ending::Ending;
use super::failure::Failure;
use super::targets::{self, Target, Targets};
use super::values;
use crate::engine::{SandboxView, Troubles, Wait};
use crate::machines::rlimit;
use crate::plan::Goal;
use crate::sessions::{Leave, Sink};

/// Run a command in a sandbox that runs
#[derive(Debug, clap::Args)]
#[command(override_usage = "msb exec [FLAGS] NAME [COMMAND...]")]
pub(crate) struct Args {
    /// The sandbox, and the command with its arguments [default: the shell]
    #[arg(value_name = "NAME COMMAND", num_args = 1.., required = true, trailing_var_arg = true)]
    words: Vec<String>,
    /// A variable, as KEY=VALUE or KEY of the host (can be repeated)
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = values::pair)]
    env: Vec<(String, Option<String>)>,
    /// Who runs it, as NAME|UID[:GROUP|GID] [default: the sandbox's]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Where it runs [default: the sandbox's]
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,
    /// A limit of its own, as RES=SOFT[:HARD] (can be repeated) [default: the sandbox's]
    #[arg(long, value_name = "RES=SOFT[:HARD]", value_parser = definition::rlimit)]
    rlimit: Vec<(String, Rlimit)>,
    #[command(flatten)]
    streams: command::Streams,
    /// Leave it running and print its session's number
    #[arg(short, long)]
    detach: bool,
    /// Boot the sandbox if it is at rest, and leave it running
    #[arg(long)]
    start: bool,
    /// How long it may take; then TERM, 5 s later KILL, exit 124 [default: without limit]
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    timeout: Option<Duration>,
}

/// Runs it and returns its own code.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let (target, words) = split(&args.words)?;
    let mut view = targets::find(call, &target)?;
    if !view.alive && args.start {
        view = start(call, &target)?;
    }
    let machine = call.engine.machine(&view).map_err(|troubles| not_running(&view, troubles))?;
    let mut job = command::job(
        call,
        Words {
            argv: words.to_vec(),
            env: &args.env,
            user: args.user.as_deref(),
            workdir: args.workdir.as_deref(),
        },
        &args.streams,
        || shell(&view),
    )?;
    job.timeout = args.timeout;
    job.exec.rlimits = args.rlimit.iter().map(own_limit).collect();
    if args.detach {
        job.leave = Leave::OnceStarted;
        job.sink = Sink::Nowhere;
        job.exec.on_gone = message::OnGone::Keep;
        job.exec.stdin = message::StdinMode::None;
        job.exec.tty = None;
        job.input = crate::sessions::Input::Nothing;
    }
    let done = command::run(call, &view, &machine.agent_socket(), job)?;
    command::tell(call, &view, &done)
}

fn own_limit((name, limit): &(String, Rlimit)) -> message::Rlimit {
    let launch::Rlimit { resource, soft, hard } = rlimit(name, *limit);
    message::Rlimit { resource, soft, hard }
}

/// Splits the sandbox from the command; a `--` between them is dropped.
fn split(words: &[String]) -> Result<(Target, &[String]), Failure> {
    let Some((name, rest)) = words.split_first() else {
        return Err(Failure::usage("usage::value", "no sandbox was named"));
    };
    let target = name.parse().map_err(|error: schema::name::InstanceNameError| {
        let message = format!("`{name}` is no name of a sandbox");
        Failure::usage("usage::value", message).cause(error.to_string())
    })?;
    let rest = match rest.split_first() {
        Some((dashes, command)) if dashes == "--" => command,
        Some(_) | None => rest,
    };
    Ok((target, rest))
}

fn shell(view: &SandboxView) -> String {
    let shell = view.definition.as_ref().map(|sandbox| sandbox.shell.as_str().to_owned());
    shell.unwrap_or_else(|| "/bin/sh".to_owned())
}

fn start(call: &Call, target: &Target) -> Result<SandboxView, super::failure::Failures> {
    let targets = Targets { names: vec![target.clone()], ..Targets::default() };
    let wait = Wait::Settled(Some(Duration::from_secs(60)));
    let change = Change { command: "start", goal: Goal::Up, wait, grace: None };
    let (_, failures, code) = changing::quietly(call, &targets.find(call)?, change)?;
    if code != 0 {
        return Err(super::failure::Failures(failures));
    }
    Ok(targets::find(call, target)?)
}

fn not_running(view: &SandboxView, troubles: Troubles) -> Failure {
    let mut failure = super::failure::first(troubles);
    failure.report.hints =
        vec![format!("Start it with `msb start {0}`, or use `msb exec --start {0}`.", view.name)];
    failure.at(view.project.as_str(), format!("sandbox.{}", view.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_behind_the_name_is_the_guests() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (line, expected) in [
            ("web ls -t --timeout 5", "ls -t --timeout 5"),
            ("web -- ls -- -t", "ls -- -t"),
            ("shop/web sh -c true", "sh -c true"),
        ] {
            let line = words(line);
            assert_eq!(split(&line).unwrap().1, words(expected));
        }
        split(&words("Web ls")).unwrap_err();
    }
}
