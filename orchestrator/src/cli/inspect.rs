//! Show everything that is known of sandboxes

mod labels;
mod mounts;
mod network;

use std::fmt::Write as _;

use schema::control::{AGENT_SOCKET, Left, NetworkFigures};
use schema::project::{Restart, RestartPolicy, Sandbox};
use schema::units::Millis;
use serde_json::{Value, json};

use self::labels::ImageLabels;
use self::mounts::Mounts;
use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::shapes;
use super::targets::{self, Target};
use crate::context::Clock as _;
use crate::engine::SandboxView;
use crate::report::clean::clean;
use crate::report::json::rfc3339;
use crate::report::{human, time};

/// Show everything that is known of sandboxes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The sandboxes
    #[arg(value_name = "NAME", required = true)]
    names: Vec<Target>,
}

/// Prints them; no sensitive value, ever.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let views = args.names.iter().map(|name| targets::find(call, name));
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let now = call.context.clock.unix_ms();
    let outside = (Mounts::of(call)?, ImageLabels::of(call, &views)?);
    let figures = network::figures(call, &views)?;
    let left = left(call, &views)?;
    let told = figures.iter().zip(left);
    let views: Vec<Seen<'_>> =
        views.iter().zip(told).map(|(view, (figures, left))| (view, figures, left)).collect();
    if call.report.is_text() {
        views.iter().for_each(|view| call.report.out(&text(*view, &outside, now)));
    } else {
        let rows: Vec<Value> = views.iter().map(|view| shape(*view, &outside, now)).collect();
        call.report.document(&rows);
    }
    Ok(0)
}

/// A sandbox, and how its network and its timers stand where it runs.
type Seen<'a> = (&'a SandboxView, &'a Option<NetworkFigures>, Left);

/// What stands elsewhere than in a sandbox.
type Outside = (Mounts, ImageLabels);

/// Asks the machines of sandboxes what is left of their timers; one without any is not asked.
fn left(call: &Call, views: &[SandboxView]) -> Result<Vec<Left>, Failure> {
    let has_timers = |view: &&SandboxView| {
        let effective = view.record.as_ref().map(|record| record.effective).unwrap_or_default();
        effective.idle_ms.is_some() || effective.max_ms.is_some()
    };
    if !views.iter().any(|view| has_timers(&view)) {
        return Ok(vec![Left::default(); views.len()]);
    }
    call.block_on(async {
        let mut left = Vec::new();
        for view in views {
            left.push(match Some(view).filter(has_timers).and_then(SandboxView::machine) {
                Some(machine) => machine.left().await,
                None => Left::default(),
            });
        }
        left
    })
}

/// Returns its timers: what it is allowed, and what is left of that where it runs.
fn timers(sandbox: &Sandbox, left: Left) -> String {
    let grace = format!("stop grace {}", human::millis(sandbox.stop_grace.0));
    let shown = |word: &str, limit: Option<Millis>, left: Option<u64>| {
        let limit = limit?;
        let left = left.map(|left| format!(" ({} left)", human::millis(left))).unwrap_or_default();
        Some(format!("{word} {limit}{left}"))
    };
    let idle = shown("idle", sandbox.idle_timeout, left.idle_ms);
    let max = shown("max", sandbox.max_duration, left.max_ms);
    [idle, max, Some(grace)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns what follows when its command or its machine ends.
fn restart(sandbox: &Sandbox) -> String {
    let Restart { policy, max, window, then, .. } = &sandbox.restart;
    match policy {
        RestartPolicy::No => policy.as_str().to_owned(),
        RestartPolicy::OnFailure | RestartPolicy::Always => {
            format!("{}, {max} in {window}, then {}", policy.as_str(), then.as_str())
        }
    }
}

fn text((view, figures, left): Seen<'_>, (mounts, labels): &Outside, now: u64) -> String {
    let mut text = format!("{}\n", view.name);
    let mut line = |label: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {label:<14}{}", clean(&value));
        }
    };
    line("Project", view.project.to_string());
    line("Id", identity(view));
    line("Phase", phase(view, now));
    let health = view.record.as_ref().filter(|_| view.alive).map(|record| record.health);
    let health = health.filter(|health| *health != schema::record::Health::None);
    line("Health", health.map(|health| health.as_str().to_owned()).unwrap_or_default());
    if let Some(sandbox) = &view.definition {
        let digest = view.image_digest.as_deref().unwrap_or_default();
        let digest: String = digest.chars().take("sha256:".len() + 12).collect();
        line("Image", format!("{}  {digest}", sandbox.root.short()).trim_end().into());
        line("Command", command(view, sandbox));
        line("Resources", resources(sandbox));
        line("Security", sandbox.security.as_str().into());
        for (label, values) in [
            ("Network", network::lines(view, sandbox)),
            ("", figures.as_ref().map(network::figure_lines).unwrap_or_default()),
            ("Ports", network::port_lines(view, sandbox)),
            ("Mounts", mounts.lines(view, sandbox)),
        ] {
            for (at, value) in values.into_iter().enumerate() {
                line(if at == 0 { label } else { "" }, value);
            }
        }
        line("Env", env(sandbox));
        line("Labels", labels.line(view, &sandbox.labels));
        line("Restart", restart(sandbox));
        line("Timers", timers(sandbox, left));
    }
    line("Last exit", last_exit(view));
    if let Some(missing) = view.record.as_ref().map(|record| record.jail_missing.join(", ")) {
        line("Jail without", missing);
    }
    let group = view.record.as_ref().and_then(|record| record.control_group.clone());
    line("Control group", group.unwrap_or_default());
    line("Logs", view.folder().map(|f| f.path().display().to_string()).unwrap_or_default());
    text
}

fn identity(view: &SandboxView) -> String {
    let mut text = view.machine_id.clone().unwrap_or_default();
    if let Some(record) = view.record.as_ref().filter(|_| view.alive) {
        let _ = write!(text, "  pid {}", record.runtime.pid);
    }
    if let Some((driver, isolation)) = view.driver {
        let said = match shapes::isolation_word(isolation) {
            "hardware" => "hardware isolation",
            "emulated" => "emulated, not an isolation boundary",
            _ => "no isolation",
        };
        let _ = write!(text, "  {}, {said}", driver.as_str());
    }
    text
}

fn phase(view: &SandboxView, now: u64) -> String {
    let mut text = shapes::phase(view.phase, view.reason.as_deref(), view.exit_code);
    if let Some(record) = &view.record {
        let ago = human::millis(now.saturating_sub(record.since_ms));
        let _ = write!(text, " since {} ({ago})", time::local(record.since_ms));
        let _ = write!(text, ", restarts {}", record.restarts);
    }
    let _ = write!(text, ", generation {}", view.generation);
    text
}

fn command(view: &SandboxView, sandbox: &Sandbox) -> String {
    let words = shapes::sandbox(view, 0, false).command;
    let mut parts = vec![words.map(|words| words.join(" ")).unwrap_or_default()];
    parts.extend(sandbox.user.as_ref().map(|user| format!("user {user}")));
    parts.extend(sandbox.workdir.as_ref().map(|path| format!("workdir {}", path.as_str())));
    parts.retain(|part| !part.is_empty());
    parts.join("   ")
}

fn resources(sandbox: &Sandbox) -> String {
    let cpus = human::count(usize::from(sandbox.cpus.count), "cpu");
    let (memory, upper) = (human::size(sandbox.memory.size.0), human::size(sandbox.upper.0));
    format!("{cpus}, {memory} memory, {upper} upper")
}

/// Sensitive values are shown as where they come from.
fn env(sandbox: &Sandbox) -> String {
    let shown = sandbox.env.iter().map(|(key, value)| match value {
        schema::project::EnvValue::Literal(text) => format!("{key}={text}"),
        other => format!("{key}=({other})"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn last_exit(view: &SandboxView) -> String {
    let Some(record) = view.record.as_ref().filter(|record| record.ended_at_ms.is_some()) else {
        return String::new();
    };
    let code = view.exit_code.map(|code| format!("{code}, ")).unwrap_or_default();
    let forced = if record.forced { ", forced" } else { "" };
    let at = record.ended_at_ms.map(time::local).unwrap_or_default();
    let phase = shapes::phase(record.phase, record.reason.as_deref(), None);
    format!("{code}{phase}{forced}, {at}")
}

fn shape((view, figures, left): Seen<'_>, (mounts, labels): &Outside, now: u64) -> Value {
    let mut value = serde_json::to_value(shapes::sandbox(view, now, false)).unwrap_or_default();
    let definition = view.definition.as_ref();
    let record = view.record.as_ref();
    let folder = view.folder();
    let ended = record.filter(|record| record.ended_at_ms.is_some());
    value["defined_at"] = Value::Null;
    value["spec"] = serde_json::to_value(definition).unwrap_or_default();
    value["mounts"] = mounts.shape(view);
    value["network"] = network::shape(view, figures.as_ref());
    value["ports"] = network::port_shapes(view);
    value["secrets"] = json!([]);
    value["image_labels"] = labels.shape(view);
    value["timers"] = json!({"idle_left_ms": left.idle_ms, "max_left_ms": left.max_ms});
    value["last_exit"] = match ended {
        Some(record) => json!({
            "code": view.exit_code,
            "signal": record.exit.and_then(|exit| exit.signal),
            "reason": record.reason,
            "forced": record.forced,
            "at": record.ended_at_ms.map(rfc3339),
        }),
        None => Value::Null,
    };
    value["paths"] = json!({
        "folder": folder.as_ref().map(|folder| folder.path().to_path_buf()),
        "logs": folder.as_ref().map(|folder| folder.path().to_path_buf()),
        "agent_socket": folder.as_ref().map(|folder| folder.file(AGENT_SOCKET)),
    });
    value["jail_missing"] = json!(record.map(|record| &record.jail_missing));
    value
}
