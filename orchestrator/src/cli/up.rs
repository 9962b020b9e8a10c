//! Make the host match the Sandboxfile

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use schema::name::InstanceName;
use schema::project::Kind;
use schema::sandboxfile::limits::Limits;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::following::{self, Followed};
use super::globals::ProjectShorts;
use super::select::{self, Choice};
use super::watch::{self, Auto, Rounds};
use super::{attach, outcome, values};
use crate::context::Clock as _;
use crate::engine::{AfterFailure, Options, Verb, Wait};
use crate::plan::saved::{self, Saved};
use crate::plan::{Address, Wish};
use crate::sources;

/// Make the host match the Sandboxfile
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    files: FileFlags,
    /// Carry out this saved plan and nothing else
    #[arg(long, value_name = "PATH", conflicts_with_all = [
        "names", "exclude", "no_deps", "recreate", "deny_widening", "allow_mass_delete", "var",
        "var_file", "profile", "locked", "untrusted",
    ])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    agreed: Agreed,
    /// Agree to what would be asked; never to the loss of data
    #[arg(short = 'y', id = "after-yes")]
    pub(crate) yes_short: bool,
    /// Return once every machine is booted [default: wait until all is ready]
    #[arg(long)]
    no_wait: bool,
    /// How long the whole run may take; 0 is without limit [default: the file's, else 5m]
    #[arg(long, value_name = "DUR", value_parser = values::duration_or_zero)]
    wait_timeout: Option<Duration>,
    /// Exit with the code of this job
    #[arg(long, value_name = "NAME")]
    exit_code_from: Option<InstanceName>,
    /// Start no further step after the first failure [default: off]
    #[arg(long)]
    fail_fast: bool,
    /// Machines that boot at once [default: by processors and memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: Option<u16>,
    #[command(flatten)]
    round: Round,
    /// Changes nothing: sandboxes belong to this command with --attach alone
    #[arg(short, long, hide = true, conflicts_with = "attach")]
    detach: bool,
}

/// Whether it goes on.
#[derive(Debug, Clone, clap::Args)]
struct Round {
    /// Then follow the logs; Ctrl-C stops what was started, again kills it [default: off]
    #[arg(short, long, conflicts_with_all = ["plan", "watch"])]
    attach: bool,
    /// Go on as files and machines change, until Ctrl-C [default: off]
    #[arg(long, conflicts_with_all = ["plan", "exit_code_from", "recreate"])]
    watch: bool,
    /// What --watch does without asking, beyond what never asks [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "watch")]
    auto: Vec<Auto>,
}

/// What is agreed to that `-y` does not cover.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Agreed {
    /// Agree to the loss of data [default: ask]
    #[arg(long)]
    yes_delete_data: bool,
    /// Allow most of the project to go at once [default: refuse]
    #[arg(long)]
    allow_mass_delete: bool,
}

/// Brings the host to what the files say, and shows how it ended.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.files.untrusted {
        let message = "--untrusted: a stranger's file is looked at, not carried out";
        return Err(Failure::usage("usage::conflict", message)
            .hint("Look at it with `msb diff --untrusted`.")
            .into());
    }
    if args.round.watch {
        return go_round(args, call);
    }
    let saved = args.plan.as_ref().map(|path| read_plan(call, path)).transpose()?;
    let mut wish = match &saved {
        Some(saved) => saved.wish.clone(),
        None => select::wish(call, &args.choice, &args.files)?,
    };
    wish.driver = select::driver(call);
    wish.selection.allow_mass_delete = args.agreed.allow_mass_delete;
    check_job(&wish, args.exit_code_from.as_ref())?;
    if args.round.attach {
        attach::check(call)?;
    }
    let began_ms = call.context.clock.unix_ms();
    let options = Options { saved: saved.map(Rc::new), ..options(args, call, &wish) };
    let followed = following::apply(call, wish.clone(), options)?;
    pin(call, &wish, &followed);
    let mut code = outcome::tell(call, "up", &followed)?;
    if args.round.attach && code == 0 {
        code = attach::run(call, &wish, &followed, began_ms)?;
    }
    match &args.exit_code_from {
        Some(name) if code < attach::SIGNALLED => Ok(job_code(&followed, name, code)),
        Some(_) | None => Ok(code),
    }
}

fn go_round(args: &Args, call: &Call) -> Ending {
    let read = |before: Option<&Wish>| {
        let mut wish = match before {
            None => select::wish(call, &args.choice, &args.files)?,
            Some(before) => select::wish_again(call, &args.choice, &args.files, before)?,
        };
        wish.driver = select::driver(call);
        wish.selection.allow_mass_delete = args.agreed.allow_mass_delete;
        Ok(wish)
    };
    let rounds = Rounds {
        read: &read,
        options: &|wish| options(args, call, wish),
        done: &|wish, followed| pin(call, wish, followed),
        auto: &args.round.auto.iter().copied().collect(),
    };
    let code = watch::run(call, &rounds)?;
    if call.report.is_told_as_events() {
        outcome::end(call, "up", code, &outcome::nothing("up", None, code));
    }
    Ok(code)
}

/// Reads a saved plan that may be carried out.
fn read_plan(call: &Call, path: &Path) -> Result<Saved, Failures> {
    if !call.settings.files.is_empty() || call.settings.project.is_some() {
        let message = "--plan says which project it is of, so no file and no project is named";
        return Err(Failure::usage("usage::conflict", message).into());
    }
    let limits = Limits { file_bytes: PLAN_BYTES_MAX, ..call.limits() };
    let bytes = sources::plain(&call.context, path, &limits)?;
    let saved = saved::read(&bytes).map_err(|error| {
        let message = format!("{}: not a plan to carry out", path.display());
        Failure::new("file::plan", "file", message)
            .cause(error.to_string())
            .hint("Make a new one with `msb plan --out`.")
    })?;
    if saved.refused.is_empty() {
        return Ok(saved);
    }
    let message = "the saved plan was refused when it was made";
    let failure = Failure::new("plan::refused", "plan", message);
    let failure = saved.refused.iter().fold(failure, |failure, why| failure.note(why.clone()));
    Err(failure.hint("Mend what it says, and make a new one with `msb plan --out`.").into())
}

/// The largest saved plan that is read.
const PLAN_BYTES_MAX: usize = 256 << 20;

/// Writes down what images were, once a run did something; the next one starts the same.
fn pin(call: &Call, wish: &Wish, followed: &Followed) {
    if followed.outcome.plan.steps.is_empty() || wish.pins.path.is_none() {
        return;
    }
    let mut pins = wish.pins.clone();
    let added = || -> Result<bool, String> {
        let store = call.engine.store_read_only().map_err(|_| "the state cannot be read")?;
        let Some(mut store) = store else { return Ok(false) };
        let now_ms = call.context.clock.unix_ms();
        let added = pins.add_missing(&wish.project, store.catalog(), now_ms);
        if added.map_err(|error| error.to_string())? {
            pins.write().map_err(|error| error.to_string())?;
            return Ok(true);
        }
        Ok(false)
    };
    let mut added = added;
    match added() {
        Ok(true) => call.report.note("Sandboxfile.lock: written; commit it with the Sandboxfile"),
        Ok(false) => {}
        Err(why) => call.report.warn(&format!("Sandboxfile.lock cannot be written: {why}")),
    }
}

fn options(args: &Args, call: &Call, wish: &Wish) -> Options {
    let mut options = following::options(call, "up");
    options.consents.delete_data = args.agreed.yes_delete_data;
    options.wait = match (args.no_wait, args.wait_timeout) {
        (true, time) => Wait::Booted(time.filter(|time| !time.is_zero())),
        (false, Some(Duration::ZERO)) => Wait::Settled(None),
        (false, Some(time)) => Wait::Settled(Some(time)),
        (false, None) => {
            let time = wish.project.wait_timeout;
            Wait::Settled(time.map(schema::units::Millis::as_duration))
        }
    };
    if args.fail_fast {
        options.after_failure = AfterFailure::Stop;
    }
    options.parallel = args.parallel.map(usize::from).or(options.parallel);
    options
}

fn check_job(wish: &Wish, name: Option<&InstanceName>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    let kind = wish.project.sandboxes.get(name).map(|sandbox| sandbox.kind);
    if kind == Some(Kind::Job) {
        return Ok(());
    }
    let message = format!("--exit-code-from: {name} is no job of this project");
    Err(Failure::usage("usage::value", message).hint("Name a job of the Sandboxfile."))
}

/// Returns the job's own code, once everything else is settled.
fn job_code(followed: &Followed, name: &InstanceName, code: u8) -> u8 {
    let address = Address::Sandbox(name.clone());
    let row = followed.outcome.results.iter().find(|row| row.address == address);
    match row {
        Some(row) if matches!(row.verb, Verb::Completed | Verb::Failed) => {
            row.exit_code.unwrap_or(code)
        }
        Some(_) | None => code,
    }
}
