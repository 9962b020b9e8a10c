//! Draw what hangs together, or the steps of a plan

use clap::ValueEnum;
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select::{self, Choice};
use crate::graph::{Graph, dot, of_plan, of_project, svg};

/// Draw what hangs together, or the steps of a plan
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    #[command(flatten)]
    files: FileFlags,
    /// Draw the steps that `up` would take instead [default: off]
    #[arg(long)]
    plan: bool,
    /// The form of the drawing [default: dot]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Form>,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The language DOT
    Dot,
    /// A drawing, made without any other program
    Svg,
}

/// Prints the graph of the project, or of its plan.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.format.is_some() && !call.report.is_text() {
        return Err(Failure::usage("usage::conflict", "a drawing is no JSON")
            .hint("Leave --format out, or ask for --output text.")
            .into());
    }
    let graph = if args.plan {
        let wish = select::wish(call, &Choice::default(), &args.files)?;
        call.context.existing_home().map_err(Failure::from)?;
        of_plan(&call.engine.diff(&wish)?)
    } else {
        let read = select::pinned(call, &args.files)?;
        select::say_warnings(call, &read.resolved);
        of_project(&read.resolved.project)
    };
    if call.report.is_text() {
        let text = match args.format.unwrap_or(Form::Dot) {
            Form::Dot => dot(&graph),
            Form::Svg => svg(&graph),
        };
        call.report.raw(text.as_bytes());
    } else {
        call.report.document(&document(&graph));
    }
    Ok(0)
}

fn document(graph: &Graph) -> Value {
    let nodes = graph.nodes.iter().map(|node| {
        json!({
            "id": node.id, "kind": node.kind.as_str(), "label": node.lines.join("\n"),
            "class": node.class,
        })
    });
    let edges = graph.edges.iter().map(|edge| {
        let (from, to) = (&graph.nodes[edge.from].id, &graph.nodes[edge.to].id);
        json!({ "from": from, "to": to, "kind": edge.kind.as_str(), "label": edge.label })
    });
    let (nodes, edges): (Vec<Value>, Vec<Value>) = (nodes.collect(), edges.collect());
    json!({ "title": graph.title, "nodes": nodes, "edges": edges })
}
