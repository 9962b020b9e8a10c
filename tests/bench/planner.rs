//! The planner alone, for `tests/bench/run PLAN`: no file is read and no host is looked at.
//!
//!     bench-planner order STEPS COUNT         orders a graph of steps, twice as many edges
//!     bench-planner circle STEPS COUNT        the same, with a circle in it
//!     bench-planner none|all INSTANCES COUNT  plans: nothing is to do, or everything changes
//!     bench-planner steps STEPS COUNT         plans the creation of what takes so many steps
//!
//! Each prints COUNT lines: processor seconds.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::{env, iter};

use orchestrator::observe::{Observed, Seen, SeenMachine};
use orchestrator::plan::{Inputs, Wish, in_order, plan};
use orchestrator::store::inventory::{MachineRow, ProjectRow, Role, SandboxRow};
use rustix::time::{ClockId, clock_gettime};
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName};
use schema::project::{
    Body, Dependency, ImageRef, Kind, OnChange, Origins, Project, Sandbox, Until,
};

/// A sandbox that is made takes three steps; so many others each waits for, where steps count.
const NEEDS: usize = 4;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let usage = || io::Error::other("bench-planner order|circle|none|all|steps SIZE COUNT");
    let [verb, size, count] = arguments.as_slice() else { return Err(usage()) };
    let number = |text: &str| text.parse::<usize>().map_err(|_| usage());
    let (size, count) = (number(size)?, number(count)?);
    let times = match verb.as_str() {
        "order" => ordering(size, count, None)?,
        "circle" => ordering(size, count, Some((size - 1, 0)))?,
        "none" => {
            let wish = wish(size, "1", 1)?;
            // What is as wished for shares its definition with the wish, as whoever looks finds it.
            planning(&wish, &observed(wish.project.clone()), count, 0)?
        }
        "all" => planning(&wish(size, "2", 1)?, &observed(project(size, "1", 1)?), count, size)?,
        "steps" => {
            let wish = wish(size.div_ceil(3), "1", NEEDS)?;
            planning(&wish, &Observed::default(), count, size.div_ceil(3))?
        }
        _ => return Err(usage()),
    };
    let mut out = io::stdout().lock();
    times.iter().try_for_each(|seconds| writeln!(out, "{seconds}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Orders steps that each wait for two before, some near and some far.
fn ordering(steps: usize, count: usize, more: Option<(usize, usize)>) -> io::Result<Vec<f64>> {
    let edges: Vec<(usize, usize)> = (1..steps)
        .flat_map(|step| [(step / 2, step), (step - 1 - step % 7 % step, step)])
        .chain(more)
        .collect();
    let times = timed(count, || in_order(steps, edges.iter().copied()).len() == steps);
    let (seconds, whole): (Vec<f64>, Vec<bool>) = times.into_iter().unzip();
    match whole.iter().all(|whole| *whole == more.is_none()) {
        true => Ok(seconds),
        false => Err(io::Error::other("a circle was seen where none is, or not where one is")),
    }
}

fn planning(
    wish: &Wish,
    observed: &Observed,
    count: usize,
    changes: usize,
) -> io::Result<Vec<f64>> {
    let times = timed(count, || plan(wish, observed).changes.len());
    match times.iter().find(|(_, found)| *found != changes) {
        None => Ok(times.into_iter().map(|(seconds, _)| seconds).collect()),
        Some((_, found)) => {
            Err(io::Error::other(format!("{found} changes where {changes} are wanted")))
        }
    }
}

/// Does something so often; returns the processor seconds of each time, and what came of it.
fn timed<T>(count: usize, mut act: impl FnMut() -> T) -> Vec<(f64, T)> {
    let now = || {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        std::time::Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    };
    let one = || {
        let began = now();
        let came = act();
        ((now() - began).as_secs_f64(), came)
    };
    iter::repeat_with(one).take(count).collect()
}

fn name(at: usize) -> io::Result<InstanceName> {
    InstanceName::parse(&format!("s{at:06}")).map_err(|error| io::Error::other(error.to_string()))
}

/// Returns a project of services, each of which needs some of those before it.
fn project(size: usize, tag: &str, needs: usize) -> io::Result<Project> {
    let bad = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let project = ProjectName::parse("bench").map_err(|error| bad(&error))?;
    let image = ImageRef::parse(&format!("app:{tag}")).map_err(|error| bad(&error))?;
    let mut project = Project::empty(project, "/srv/bench".into());
    for at in 0..size {
        let mut sandbox = Sandbox::new(Kind::Service, image.clone());
        for step in 1..=needs.min(at) {
            let dependency =
                Dependency { until: Until::Ready, optional: false, on_change: OnChange::Ignore };
            sandbox.depends_on.insert(name(at - step)?, dependency);
        }
        project.sandboxes.insert(name(at)?, sandbox.into());
    }
    Ok(project)
}

fn wish(size: usize, tag: &str, needs: usize) -> io::Result<Wish> {
    let project = project(size, tag, needs)?;
    Ok(Wish::new(project, Origins::default(), Inputs::default(), "/srv/bench/Sandboxfile".into()))
}

/// Returns a host on which all of a project is ready.
fn observed(project: Project) -> Observed {
    let row = ProjectRow {
        id: "p".into(),
        name: project.name.clone(),
        folder: project.folder.clone(),
        files: Vec::new(),
        generation: 1,
        updated_at: String::new(),
    };
    let sandboxes = project
        .sandboxes
        .into_iter()
        .map(|(name, body)| (name.clone(), Box::new(seen(&name, body))));
    Observed { project: Some(row), sandboxes: sandboxes.collect(), ..Observed::default() }
}

fn seen(name: &InstanceName, body: Body) -> Seen {
    let row = SandboxRow {
        id: format!("id-{name}"),
        project_id: "p".into(),
        name: name.clone(),
        kind: body.kind,
        desired: Some(body.digest().to_owned()),
        applied: Some(body.digest().to_owned()),
        generation: 1,
        observed: 1,
        protect: body.lifecycle.protect,
        keep: body.lifecycle.keep,
        completed_code: None,
        created_at: String::new(),
    };
    let mut machine = MachineRow::new(&format!("m-{name}"), &row.id, Role::Current);
    machine.phase = Phase::Ready;
    let machine = SeenMachine {
        row: machine,
        alive: true,
        phase: Phase::Ready,
        reason: None,
        detail: None,
        record: None,
        recreated: None,
    };
    Seen {
        row,
        applied: Some(body.clone()),
        desired: Some(body),
        machine: Some(machine),
        others: Vec::new(),
        sensitive: BTreeMap::new(),
    }
}
