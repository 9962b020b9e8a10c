//! The command `msb`: a tree of commands, and one call behind each.

mod call;
mod changing;
mod command;
mod dry;
mod ending;
pub mod failure;
mod file_flags;
mod globals;
mod help;
mod later;
mod part;
mod project_text;
mod projects;
mod reading;
mod select;
mod usage;
mod values;

mod adopt;
mod aftermath;
mod agent_socket;
mod archive;
mod asking;
mod asking_end;
mod attach;
mod config;
mod convert;
mod cp;
mod create;
mod definition;
mod df;
mod diff;
mod doctor;
mod down;
mod events;
mod exec;
mod explain;
mod export;
mod exporter;
mod fmt;
mod following;
mod graph;
mod image;
mod init;
mod inspect;
mod kill;
mod list;
mod load;
mod lock;
mod log_following;
mod log_lines;
mod logs;
mod metrics;
mod mounts;
mod net;
mod network;
mod outcome;
mod plan;
mod prune;
mod ps;
mod pull;
mod registry;
mod resolving;
mod restart;
mod rm;
mod run;
mod save;
mod schema;
mod setup;
mod shapes;
mod standing;
mod start;
mod stop;
mod taking;
mod targets;
mod touch;
mod traced;
mod up;
mod validate;
mod verify;
mod volume;
mod wait;
mod watch;
mod watcher;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use call::Call;
use ending::Ending;
use failure::{Failure, Failures};
use globals::{Globals, ProjectShorts, Shorts};

/// Keep a set of microVM sandboxes as a file says they should be
#[derive(Debug, Parser)]
#[command(
    name = "msb",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    next_line_help = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    shorts: Shorts,
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Every command, in the order of its group.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    Up(Box<up::Args>),
    Down(down::Args),
    Diff(diff::Args),
    Plan(plan::Args),
    #[command(visible_alias = "status")]
    Ps(ps::Args),
    Logs(logs::Args),
    Events(events::Args),
    Lock(lock::Args),
    Fmt(fmt::Args),
    Config(config::Args),
    Validate(validate::Args),
    Export(export::Args),
    Adopt(adopt::Args),
    Graph(graph::Args),
    Convert(convert::Args),
    Run(Box<run::Args>),
    Create(Box<create::Args>),
    Start(start::Args),
    Stop(stop::Args),
    Kill(kill::Args),
    Restart(restart::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    Exec(Box<exec::Args>),
    #[command(visible_alias = "copy")]
    Cp(cp::Args),
    Inspect(inspect::Args),
    Metrics(metrics::Args),
    Top(metrics::TopArgs),
    Wait(wait::Args),
    Touch(touch::Args),
    Net(net::Args),
    Pull(pull::Args),
    Load(load::Args),
    Save(save::Args),
    Image(image::Args),
    #[command(hide = true)]
    Images(image::ListArgs),
    #[command(hide = true)]
    Rmi(image::RemoveArgs),
    Registry(registry::Args),
    #[command(visible_alias = "vol")]
    Volume(volume::Args),
    Df(df::Args),
    Doctor(doctor::Args),
    Setup(setup::Args),
    Explain(explain::Args),
    Schema(schema::Args),
    AgentSocket(agent_socket::Args),
    Help(help::Args),
}

/// Runs the command that this process was started as.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == crate::engine::BUILD_ROOT) {
        return crate::images::builder::main();
    }
    ending::guarded(|| run(&arguments))
}

/// Runs the exporter `msb-metrics`.
#[must_use]
pub fn metrics() -> ExitCode {
    exporter::main()
}

fn run(arguments: &[OsString]) -> ExitCode {
    let parsed = match Cli::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage::answer(&error, arguments),
    };
    let Cli { shorts, mut globals, command } = parsed;
    let joined = globals.join(&shorts).and_then(|()| match command.project_shorts() {
        Some(after) => globals.join_project(after),
        None => Ok(()),
    });
    // Of `save`, `--output` is a path; the word before it was meant as the form.
    let joined = joined.and_then(|()| match command.writes_an_archive() {
        true => archive::no_form_before(arguments).map(|()| globals.output = None),
        false => Ok(()),
    });
    if command.wants_names_only() {
        globals.quiet = true;
    }
    globals.consent.yes |= command.says_yes();
    let prepared = joined.and_then(|()| Call::prepare(&globals)).and_then(|call| {
        match call.settings.markdown && !command.shows_a_plan() {
            true => Err(Failure::usage("usage::value", "only diff and plan print Markdown")
                .hint("Write --output text or --output json.")),
            false => Ok(call),
        }
    });
    match prepared {
        Ok(mut call) => {
            let told = command.told_as_events();
            if told.is_some() {
                call.report.tell_as_events();
            }
            call.trace = command.traced_as().and_then(|name| traced::begin(name, &call));
            let ending = dispatch(&command, &call);
            let number = ending.as_ref().map_or_else(Failures::exit_code, |code| *code);
            let code = ending::finish(&call, told, ending);
            traced::end(&call, number);
            code
        }
        Err(failure) => ending::unprepared(&failure, arguments),
    }
}

fn dispatch(command: &Command, call: &Call) -> Ending {
    match command {
        Command::Init(args) => init::run(args, call),
        Command::Up(args) => up::run(args, call),
        Command::Down(args) => down::run(args, call),
        Command::Diff(args) => diff::run(args, call),
        Command::Plan(args) => plan::run(args, call),
        Command::Ps(args) => ps::run(args, call),
        Command::Logs(args) => logs::run(args, call),
        Command::Events(args) => events::run(args, call),
        Command::Lock(args) => lock::run(args, call),
        Command::Fmt(args) => fmt::run(args, call),
        Command::Config(args) => config::run(args, call),
        Command::Validate(args) => validate::run(args, call),
        Command::Export(args) => export::run(args, call),
        Command::Adopt(args) => adopt::run(args, call),
        Command::Graph(args) => graph::run(args, call),
        Command::Convert(args) => convert::run(args, call),
        Command::Run(args) => run::run(args, call),
        Command::Create(args) => create::run(args, call),
        Command::Start(args) => start::run(args, call),
        Command::Stop(args) => stop::run(args, call),
        Command::Kill(args) => kill::run(args, call),
        Command::Restart(args) => restart::run(args, call),
        Command::Rm(args) => rm::run(args, call),
        Command::List(args) => list::run(args, call),
        Command::Exec(args) => exec::run(args, call),
        Command::Cp(args) => cp::run(args, call),
        Command::Inspect(args) => inspect::run(args, call),
        Command::Metrics(args) => metrics::run(args, call),
        Command::Top(args) => metrics::top(args, call),
        Command::Wait(args) => wait::run(args, call),
        Command::Touch(args) => touch::run(args, call),
        Command::Net(args) => net::run(args, call),
        Command::Pull(args) => pull::run(args, call),
        Command::Load(args) => load::run(args, call),
        Command::Save(args) => save::run(args, call),
        Command::Image(args) => image::run(args, call),
        Command::Images(args) => image::list(args, call),
        Command::Rmi(args) => image::remove(args, call),
        Command::Registry(args) => registry::run(args, call),
        Command::Volume(args) => volume::run(args, call),
        Command::Df(args) => df::run(args, call),
        Command::Doctor(args) => doctor::run(args, call),
        Command::Setup(args) => setup::run(args, call),
        Command::Explain(args) => explain::run(args, call),
        Command::Schema(args) => schema::run(args, call),
        Command::AgentSocket(args) => agent_socket::run(args, call),
        Command::Help(args) => help::run(args, call),
    }
}

impl Command {
    /// Returns the short forms that commands of a project take.
    fn project_shorts(&self) -> Option<&ProjectShorts> {
        match self {
            Self::Init(args) => Some(&args.shorts),
            Self::Up(args) => Some(&args.shorts),
            Self::Down(args) => Some(&args.shorts),
            Self::Diff(args) => Some(&args.shorts),
            Self::Plan(args) => Some(&args.shorts),
            Self::Ps(args) => Some(&args.shorts),
            Self::Lock(args) => Some(&args.shorts),
            Self::Fmt(args) => Some(&args.shorts),
            Self::Config(args) => Some(&args.shorts),
            Self::Validate(args) => Some(&args.shorts),
            Self::Export(args) => Some(&args.shorts),
            Self::Adopt(args) => Some(&args.shorts),
            Self::Graph(args) => Some(&args.shorts),
            Self::Convert(args) => Some(&args.shorts),
            _ => None,
        }
    }

    /// Tells whether `--output` of this command is a path.
    const fn writes_an_archive(&self) -> bool {
        match self {
            Self::Save(_) => true,
            Self::Image(args) => args.writes_an_archive(),
            _ => false,
        }
    }

    /// Returns the name of a command that tells programs what it does while it does it.
    const fn told_as_events(&self) -> Option<&'static str> {
        match self {
            Self::Up(_) => Some("up"),
            Self::Down(_) => Some("down"),
            Self::Start(_) => Some("start"),
            Self::Stop(_) => Some("stop"),
            Self::Restart(_) => Some("restart"),
            Self::Pull(_) => Some("pull"),
            Self::Load(_) => Some("load"),
            _ => None,
        }
    }

    /// Returns the name of a command that can be told as a trace.
    const fn traced_as(&self) -> Option<&'static str> {
        match self {
            Self::Up(_) => Some("msb up"),
            Self::Down(_) => Some("msb down"),
            _ => None,
        }
    }

    /// Tells whether the command's result is a plan.
    const fn shows_a_plan(&self) -> bool {
        matches!(self, Self::Diff(_) | Self::Plan(_))
    }

    /// Tells whether `-q` was given to a command that lists.
    const fn wants_names_only(&self) -> bool {
        match self {
            Self::Ps(args) => args.names_only,
            Self::List(args) => args.names_only,
            Self::Images(args) => args.names_only,
            Self::Image(args) => args.wants_names_only(),
            Self::Volume(args) => args.wants_names_only(),
            _ => false,
        }
    }

    /// Tells whether `-y` was given after the command.
    fn says_yes(&self) -> bool {
        match self {
            Self::Up(args) => args.yes_short,
            Self::Down(args) => args.yes_short,
            Self::Rm(args) => args.yes_short,
            Self::Image(args) => args.says_yes(),
            _ => false,
        }
    }
}
