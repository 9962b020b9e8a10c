//! List every sandbox on this host

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::{projects, shapes, targets, values};
use crate::context::Clock as _;
use crate::report::human::Table;
use crate::report::time;
use crate::store::time::parse;

/// List every sandbox on this host
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, one field each")]
pub(crate) struct Args {
    /// Those with a machine only [default: all]
    #[arg(long, conflicts_with = "stopped")]
    running: bool,
    /// Those without a machine only [default: all]
    #[arg(long)]
    stopped: bool,
    /// Those with this label (can be repeated; all must hold)
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = values::pair)]
    labels: Vec<(String, Option<String>)>,
    /// Every project instead of its sandboxes [default: off]
    #[arg(long, conflicts_with_all = ["running", "stopped", "labels"])]
    projects: bool,
    /// Print names only
    #[arg(short = 'q', id = "names-only")]
    pub(crate) names_only: bool,
}

/// Prints them, by project and name.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.projects {
        return projects::list(call);
    }
    let mut views = if call.context.existing_home().map_err(Failure::from)?.is_some() {
        call.engine.sandboxes(None)?
    } else {
        Vec::new()
    };
    views.retain(|view| {
        targets::matches(view, &args.labels)
            && (!args.running || view.alive)
            && (!args.stopped || !view.alive)
    });
    let now = call.context.clock.unix_ms();
    if !call.report.is_text() {
        let shapes: Vec<_> = views.iter().map(|view| shapes::sandbox(view, now, false)).collect();
        call.report.document(&shapes);
        return Ok(0);
    }
    if call.settings.quiet {
        views.iter().for_each(|view| call.report.line(&format!("{}/{}", view.project, view.name)));
        return Ok(0);
    }
    if views.is_empty() {
        call.report.note("no sandboxes");
    }
    let mut table = Table::new(&["NAME", "PROJECT", "IMAGE", "PHASE", "CREATED"]);
    for view in &views {
        let image = view.definition.as_ref().map(|sandbox| sandbox.root.short());
        table.row(vec![
            view.name.to_string(),
            view.project.to_string(),
            image.unwrap_or_default(),
            shapes::phase(view.phase, view.reason.as_deref(), view.exit_code),
            parse(&view.created_at).map(time::local).unwrap_or_default(),
        ]);
    }
    call.report.out(&table.text(call.report.width()));
    Ok(0)
}
