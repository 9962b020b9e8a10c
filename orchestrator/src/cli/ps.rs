//! Show the sandboxes of the current project

use schema::lifecycle::Phase;
use schema::project::Project;

use super::call::Call;
use super::ending::{Ending, left_to_the_end};
use super::failure::{Failure, first};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::targets::{self, Target};
use super::{select, shapes, values};
use crate::context::Clock as _;
use crate::engine::SandboxView;
use crate::report::human::{self, Table};
use crate::report::json::Sandbox;

/// Show the sandboxes of the current project
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// The sandboxes [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<Target>,
    /// Those with this label (can be repeated; all must hold)
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = values::pair)]
    labels: Vec<(String, Option<String>)>,
    #[command(flatten)]
    which: Which,
    /// Print names only
    #[arg(short = 'q', id = "names-only")]
    pub(crate) names_only: bool,
    /// Accepted, changes nothing: all are shown
    #[arg(short = 'a', hide = true)]
    all: bool,
}

/// Which are shown, and how.
#[derive(Debug, Clone, Copy, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
struct Which {
    /// Those with a machine only [default: off]
    #[arg(long)]
    running: bool,
    /// Those of every project [default: off]
    #[arg(long)]
    all_projects: bool,
    /// Never cut a line, also on a terminal [default: off]
    #[arg(long)]
    no_trunc: bool,
}

/// Prints them; creates nothing, also on a bare machine.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let wished = wished(args, call)?;
    let views = views(args, call, wished.as_ref())?;
    let now = call.context.clock.unix_ms();
    let rows: Vec<(&SandboxView, Sandbox)> = views
        .iter()
        .map(|view| {
            let wanted = wished.as_ref().and_then(|of| of.sandboxes.get(&view.name));
            let is_changed = wanted.is_some_and(|want| !view.is_wished_as(want));
            (view, shapes::sandbox(view, now, is_changed))
        })
        .collect();
    if call.settings.quiet && call.report.is_text() {
        rows.iter().for_each(|(view, _)| call.report.line(&view.name.to_string()));
        return Ok(0);
    }
    if call.report.is_text() {
        print(call, args, &rows);
    } else {
        let shapes: Vec<&Sandbox> = rows.iter().map(|(_, shape)| shape).collect();
        call.report.document(&shapes);
    }
    left_to_the_end((rows, wished));
    left_to_the_end(views);
    Ok(0)
}

/// Returns what the file asks for, where there is a file that reads.
fn wished(args: &Args, call: &Call) -> Result<Option<Project>, Failure> {
    if args.which.all_projects || call.context.existing_home()?.is_none() {
        return Ok(None);
    }
    let Ok(files) = call.files() else { return Ok(None) };
    let read = select::project(call, &files, &FileFlags::default());
    Ok(read.ok())
}

fn views(args: &Args, call: &Call, wished: Option<&Project>) -> Result<Vec<SandboxView>, Failure> {
    if call.context.existing_home()?.is_none() {
        return match args.names.first() {
            Some(name) => Err(targets::not_found(call, name)),
            None => Ok(Vec::new()),
        };
    }
    let mut views = if args.names.is_empty() {
        let project = match (args.which.all_projects, wished) {
            (true, _) => None,
            (false, Some(wished)) => Some(wished.name.clone()),
            (false, None) => Some(call.project()?),
        };
        call.engine.sandboxes_beside(project.as_ref(), wished).map_err(first)?
    } else {
        let found = args.names.iter().map(|name| targets::find(call, name));
        found.collect::<Result<Vec<_>, _>>()?
    };
    views
        .retain(|view| targets::matches(view, &args.labels) && (!args.which.running || view.alive));
    Ok(views)
}

fn print(call: &Call, args: &Args, rows: &[(&SandboxView, Sandbox)]) {
    if rows.is_empty() {
        call.report.note("no sandboxes");
        return;
    }
    let mut table = if args.which.all_projects {
        Table::new(&[
            "PROJECT", "NAME", "IMAGE", "COMMAND", "PHASE", "HEALTH", "RESTARTS", "UPTIME", "PORTS",
        ])
    } else {
        Table::new(&["NAME", "IMAGE", "COMMAND", "PHASE", "HEALTH", "RESTARTS", "UPTIME", "PORTS"])
    };
    for (view, shape) in rows {
        let mark = if shape.definition == "changed" { "*" } else { "" };
        let mut cells =
            if args.which.all_projects { vec![shape.project.clone()] } else { Vec::new() };
        cells.extend([
            format!("{}{mark}", shape.name),
            shape.image.clone(),
            shape.command.as_ref().map(|words| words.join(" ")).unwrap_or_default(),
            phase(view),
            if shape.health == "none" { "-" } else { shape.health }.to_owned(),
            shape.restarts.to_string(),
            shape.uptime_ms.map(human::millis).unwrap_or_default(),
            human::ports(&shape.ports).join(", "),
        ]);
        table.row(cells);
        if matches!(view.phase, Phase::Failed | Phase::Stalled) {
            table.below(&why(view));
        }
    }
    let width = if args.which.no_trunc { None } else { call.report.width() };
    call.report.out(&table.text(width));
    say_emulated(call, rows);
}

fn phase(view: &SandboxView) -> String {
    if view.stopping {
        return "Stopping".to_owned();
    }
    let reason = view.reason.as_deref();
    shapes::phase(view.phase, reason, view.exit_code)
}

/// Says what is known of a failure and where to read more.
fn why(view: &SandboxView) -> String {
    let record = view.record.as_ref();
    let stage = view.detail.clone().or_else(|| record.and_then(|record| record.detail.clone()));
    let message = match stage.as_deref() {
        // Who died without a word could write none.
        Some("runtime-lost") => Some("msb-runtime was killed, and the machine with it".to_owned()),
        Some("host-rebooted") => Some("the host was restarted".to_owned()),
        _ => record.and_then(|record| record.message.clone()),
    };
    let known: Vec<String> = [stage, message]
        .into_iter()
        .flatten()
        .chain(Some(format!("see msb logs {} --source all", view.name)))
        .collect();
    known.join(": ")
}

/// Says once which of them are no isolation boundary.
fn say_emulated(call: &Call, rows: &[(&SandboxView, Sandbox)]) {
    let of = |word: &str| {
        let names = rows.iter().filter(|(view, shape)| view.alive && shape.isolation == Some(word));
        names.map(|(view, _)| view.name.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (emulated, none) = (of("emulated"), of("none"));
    if !emulated.is_empty() {
        call.report.note(&format!("emulated, not an isolation boundary: {emulated}"));
    }
    if !none.is_empty() {
        call.report.note(&format!("no machine, not an isolation boundary: {none}"));
    }
}
