//! Run a command in a sandbox of its own

use std::time::Duration;

use schema::change::Class;
use schema::exit::Kind;
use schema::name::{InstanceName, ProjectName};
use schema::project::{ArgumentList, Sandbox, argv};
use schema::units::Millis;

use super::call::Call;
use super::command::{self, Words};
use super::create;
use super::definition::{self, Definition};
use super::dry::{self, Dry};
use super::ending::Ending;
use super::failure::{Failure, Failures, first};
use super::following::{self, Followed};
use super::targets::{self, Target};
use super::{outcome, pull, select, values};
use crate::engine::{Adhoc, Attach, AttachedEnd, Options, Wait};
use crate::plan::{Address, Goal, Wish};
use crate::sessions::{End, Job};

/// Run a command in a sandbox of its own
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    definition: Definition,
    #[command(flatten)]
    streams: command::Streams,
    #[command(flatten)]
    life: Life,
    #[command(flatten)]
    dry: Dry,
    /// Stop and remove one of that name first; its volumes stay [default: reuse it]
    #[arg(long)]
    replace: bool,
    /// How long that one may take to stop; 0 kills [default: its own grace]
    #[arg(long, value_name = "DUR", requires = "replace", value_parser = values::duration_or_zero)]
    replace_grace: Option<Duration>,
    /// How long COMMAND may take; then TERM, 5 s later KILL, exit 124 [default: without limit]
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// How long the boot may take, with -d until it is ready [default: 60s]
    #[arg(long, value_name = "DUR", default_value = "60s", hide_default_value = true,
          value_parser = values::duration)]
    wait_timeout: Duration,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The command and its arguments [default: the image's]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<String>,
}

/// How long it lives.
#[derive(Debug, Clone, Copy, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
struct Life {
    /// Boot it, wait until it is ready, print its name [default: attached]
    #[arg(short, long)]
    detach: bool,
    /// Remove it when its command ends [default: without -n and -d]
    #[arg(long, conflicts_with = "keep")]
    rm: bool,
    /// Keep it when its command ends [default: with -n or -d]
    #[arg(long)]
    keep: bool,
}

/// Runs it and returns the command's own code.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let image = definition::image(&args.image)?;
    let name: InstanceName = match &args.definition.name {
        Some(name) => name.clone().into(),
        None => definition::fresh_name()?.into(),
    };
    let target = Target { project: Some(ProjectName::adhoc()), name: name.clone() };
    let existing = targets::look(call, &target)?;
    let base =
        existing.as_ref().filter(|_| !args.replace).and_then(|v| v.definition.as_deref().cloned());
    let (mut sandbox, volumes) = args.definition.over(base, image, call)?;
    if args.life.detach {
        if args.life.rm {
            return Err(Failure::not_yet("run -d --rm").into());
        }
        sandbox.command = match args.command.as_slice() {
            [] => ArgumentList::Image,
            words => ArgumentList::Words(words.to_vec()),
        };
    } else if existing.is_none() || args.replace {
        sandbox.command = ArgumentList::Nothing;
    }
    if !args.life.detach && args.definition.restarts() {
        let message = "--restart is for a sandbox that runs by itself; this command is attached";
        return Err(Failure::usage("usage::conflict", message)
            .hint("Give `-d`, or leave `--restart` out.")
            .into());
    }
    let adhoc = Adhoc { name: name.clone(), sandbox: sandbox.clone(), volumes };
    let mut wish = call.engine.wish_of_command(adhoc)?;
    wish.selection.recreate = existing.is_some() && args.replace;
    wish.driver = select::driver(call);
    if args.definition.always_pulls() && !args.dry.dry_run {
        pull::anew(call, &wish)?;
    }
    // Its words may be the image's own, which a plan may yet have to fetch: they are read again then.
    let attached_job = || job(args, call, &sandbox);
    if !args.life.detach
        && let Err(failure) = attached_job()
        && config(call, &sandbox)?.is_some()
    {
        return Err(failure.into());
    }
    if existing.is_some() && !args.replace {
        check_reuse(call, &wish, &name)?;
    }
    if args.dry.dry_run {
        return dry::show(call, &wish);
    }
    let was_running = existing.as_ref().is_some_and(|view| view.alive) && !args.replace;
    if args.life.detach {
        return detached(args, call, wish, &target);
    }
    let attach = !was_running;
    attached(args, call, (wish, &attached_job, attach), &target)
}

/// Boots it and leaves it.
fn detached(args: &Args, call: &Call, wish: Wish, target: &Target) -> Ending {
    let mut options = following::options(call, "run");
    options.consents.yes = true;
    options.grace = args.replace_grace.map(|time| Millis(outcome::ms(time)));
    options.wait = Wait::Settled(Some(args.wait_timeout));
    let followed = following::apply(call, wish, options)?;
    outcome::failures(&followed.outcome)?;
    let code = outcome::code(&followed);
    if code == 0 {
        create::tell(call, &targets::find(call, target)?);
    }
    Ok(code)
}

/// Boots it where it rests, runs the command, and ends what this call started.
fn attached(
    args: &Args,
    call: &Call,
    (wish, job, attach): (Wish, &dyn Fn() -> Result<Job, Failure>, bool),
    target: &Target,
) -> Ending {
    let removes = args.life.rm || (!args.life.keep && args.definition.name.is_none());
    let end = if removes { AttachedEnd::Remove } else { AttachedEnd::Keep };
    let mut options = following::options(call, "run");
    options.consents.yes = true;
    options.grace = args.replace_grace.map(|time| Millis(outcome::ms(time)));
    options.wait = Wait::Booted(Some(args.wait_timeout));
    options.attach = attach.then(|| Attach { name: target.name.clone(), end });
    let mut followed = following::apply_beside_streams(call, wish, options)?;
    outcome::failures(&followed.outcome)?;
    let code = outcome::code(&followed);
    if code != 0 {
        return Ok(code);
    }
    let view = targets::find(call, target)?;
    let machine = call.engine.machine(&view)?;
    let ran = job().map_err(Failures::from).and_then(|mut job| {
        job.timeout = args.timeout;
        Ok(command::run(call, &view, &machine.agent_socket(), job)?)
    });
    let left = matches!(&ran, Ok(ran) if matches!(ran.end(), End::Left { .. }));
    let creator = followed.outcome.creators.remove(&target.name);
    if left {
        if let Some(creator) = creator {
            creator.detach().map_err(|error| {
                Failure::new("agent::lost", "stop", "cannot detach").cause(error.to_string())
            })?;
        }
    } else if attach {
        // What the command said and how it ended is the result; a clean-up that fails is a warning.
        if let Err(failures) = finish(call, target, removes) {
            for failure in &failures.0 {
                call.report.warn(&failure.report.message);
            }
        }
        drop(creator);
    }
    command::tell(call, &view, &ran?)
}

/// Stops what this call started, and removes it where that was agreed.
fn finish(call: &Call, target: &Target, removes: bool) -> Result<(), Failures> {
    let goal = if removes { Goal::Down } else { Goal::Stopped };
    let mut wish = call.engine.wish_of_state(&ProjectName::adhoc(), goal)?;
    wish.selection.names = [target.name.clone()].into();
    wish.selection.reach = crate::plan::Reach::Alone;
    let options = Options { wait: Wait::Settled(None), ..following::options(call, "run") };
    let followed: Followed = following::quietly(call, wish, options)?;
    outcome::failures(&followed.outcome)
}

/// Returns the session of an attached command: behind the image's entrypoint, else the image's own.
fn job(args: &Args, call: &Call, sandbox: &Sandbox) -> Result<Job, Failure> {
    let config = config(call, sandbox)?;
    let (entrypoint, cmd) = config.unwrap_or_default();
    let image = (entrypoint.as_slice(), cmd.as_slice());
    let given = match args.command.as_slice() {
        [] => ArgumentList::Image,
        words => ArgumentList::Words(words.to_vec()),
    };
    let words = argv(&sandbox.entrypoint, &given, image).unwrap_or_default();
    let words = Words { argv: words, env: &[], user: None, workdir: None };
    let shell = || sandbox.shell.as_str().to_owned();
    let mut job = command::job(call, words, &args.streams, shell)?;
    job.exec.name = Some("main".to_owned());
    Ok(job)
}

type EntrypointAndCmd = (Vec<String>, Vec<String>);

/// Returns what the image runs, where it is here; one that is missing is refused by the plan.
fn config(call: &Call, sandbox: &Sandbox) -> Result<Option<EntrypointAndCmd>, Failure> {
    let Some(reference) = sandbox.root.reference().map(ToString::to_string) else {
        return Ok(None);
    };
    if call.context.existing_home()?.is_none() {
        return Ok(None);
    }
    let Some(mut store) = call.engine.store_read_only().map_err(first)? else { return Ok(None) };
    let found = store.catalog().find(&reference);
    let entry = found.map_err(|error| Failure::of("msb::state::unusable", "state", &error))?;
    Ok(entry.map(|entry| (entry.config.entrypoint, entry.config.cmd)))
}

/// Refuses flags that an existing sandbox could only have by losing something.
fn check_reuse(call: &Call, wish: &Wish, name: &InstanceName) -> Result<(), Failures> {
    let plan = call.engine.diff(wish)?;
    let address = Address::Sandbox(name.clone());
    let Some(change) = plan.change(&address) else { return Ok(()) };
    if change.fields.iter().all(|field| field.class < Class::Restart) {
        return Ok(());
    }
    let failure = Failure::new("sandbox::exists", "plan", "it exists and differs from the flags")
        .kind(Kind::Refused)
        .at(ProjectName::ADHOC, address.to_string())
        .hint("Give `--replace` to make it anew, or choose another name.");
    let differing = change.fields.iter().filter(|field| field.class >= Class::Restart);
    Err(differing
        .fold(failure, |failure, field| {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            let (before, after) = (shown(&field.before), shown(&field.after));
            failure.note(format!("{}: {before} → {after}", field.path))
        })
        .into())
}
