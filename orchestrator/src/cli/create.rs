//! Make a sandbox that waits for commands

use std::time::Duration;

use schema::name::{InstanceName, ProjectName};
use schema::project::ArgumentList;
use schema::units::Millis;

use super::call::Call;
use super::definition::{self, Definition};
use super::dry::{self, Dry};
use super::ending::Ending;
use super::failure::Failure;
use super::targets::{self, Target};
use super::{following, outcome, pull, select, shapes, values};
use crate::context::Clock as _;
use crate::engine::{Adhoc, Wait};

/// Make a sandbox that waits for commands
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
pub(crate) struct Args {
    #[command(flatten)]
    definition: Definition,
    #[command(flatten)]
    dry: Dry,
    /// Leave one of that name as it is [default: a taken name is a failure]
    #[arg(long)]
    if_missing: bool,
    /// Stop and remove one of that name first; its volumes stay [default: off]
    #[arg(long)]
    replace: bool,
    /// How long that one may take to stop; 0 kills [default: its own grace]
    #[arg(long, value_name = "DUR", requires = "replace", value_parser = values::duration_or_zero)]
    replace_grace: Option<Duration>,
    /// Only record it; `start` boots it [default: boot it]
    #[arg(long, conflicts_with_all = ["replace", "no_wait", "wait_timeout"])]
    no_start: bool,
    /// Return once it is booted [default: wait until it is ready]
    #[arg(long)]
    no_wait: bool,
    /// How long it may take [default: 60s]
    #[arg(long, value_name = "DUR", default_value = "60s", hide_default_value = true,
          value_parser = values::duration)]
    wait_timeout: Duration,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The workload [default: none]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<String>,
}

/// Makes it and prints its name.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let image = definition::image(&args.image)?;
    let name: InstanceName = match &args.definition.name {
        Some(name) => name.clone().into(),
        None => definition::fresh_name()?.into(),
    };
    let target = Target { project: Some(ProjectName::adhoc()), name: name.clone() };
    let existing = targets::look(call, &target)?;
    if let Some(view) = existing.as_ref().filter(|_| !args.replace) {
        if args.if_missing {
            tell(call, view);
            return Ok(0);
        }
        let failure = Failure::new("sandbox::exists", "state", format!("{name} exists already"));
        return Err(failure
            .hint("Give `--if-missing` or `--replace`, or choose another name.")
            .into());
    }
    let (mut sandbox, volumes) = args.definition.over(None, image, call)?;
    sandbox.command = match args.command.as_slice() {
        [] => ArgumentList::Nothing,
        words => ArgumentList::Words(words.to_vec()),
    };
    let mut wish = call.engine.wish_of_command(Adhoc { name: name.clone(), sandbox, volumes })?;
    wish.selection.recreate = existing.is_some();
    wish.driver = select::driver(call);
    if args.dry.dry_run {
        return dry::show(call, &wish);
    }
    if args.definition.always_pulls() {
        pull::anew(call, &wish)?;
    }
    let mut options = following::options(call, "create");
    options.consents.yes = true;
    options.grace = args.replace_grace.map(|time| Millis(outcome::ms(time)));
    options.wait = match (args.no_start, args.no_wait) {
        (true, _) => Wait::Recorded,
        (false, true) => Wait::Booted(Some(args.wait_timeout)),
        (false, false) => Wait::Settled(Some(args.wait_timeout)),
    };
    let followed = following::apply(call, wish, options)?;
    outcome::failures(&followed.outcome)?;
    let code = outcome::code(&followed);
    if code == 0 {
        tell(call, &targets::find(call, &target)?);
    }
    Ok(code)
}

/// Prints its name, or its shape.
pub(super) fn tell(call: &Call, view: &crate::engine::SandboxView) {
    if call.report.is_text() {
        call.report.line(&view.name.to_string());
        // What the kernel chose is nowhere else yet.
        let chosen = shapes::ports(view).iter().filter(|port| port.auto);
        chosen.for_each(|port| call.report.note(&port.to_string()));
    } else {
        call.report.document(&shapes::sandbox(view, call.context.clock.unix_ms(), false));
    }
}
