//! List every project on this host: `list --projects`

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use crate::report::human::Table;
use crate::report::json::ProjectLine;
use crate::report::time;
use crate::store::time::parse;

/// Prints them, by name.
pub(super) fn list(call: &Call) -> Ending {
    let lines = lines(call)?;
    if !call.report.is_text() {
        call.report.document(&lines);
        return Ok(0);
    }
    if call.settings.quiet {
        lines.iter().for_each(|line| call.report.line(&line.name));
        return Ok(0);
    }
    if lines.is_empty() {
        call.report.note("no projects");
    }
    let mut table = Table::new(&["PROJECT", "FOLDER", "SANDBOXES", "RUNNING", "LAST-APPLIED"]);
    for line in &lines {
        let applied = line.last_applied_at.as_deref().and_then(parse).map(time::local);
        table.row(vec![
            line.name.clone(),
            line.folder.clone(),
            line.sandboxes.to_string(),
            line.running.to_string(),
            applied.unwrap_or_default(),
        ]);
    }
    call.report.out(&table.text(call.report.width()));
    Ok(0)
}

fn lines(call: &Call) -> Result<Vec<ProjectLine>, super::failure::Failures> {
    if call.context.existing_home().map_err(Failure::from)?.is_none() {
        return Ok(Vec::new());
    }
    let (rows, views, volumes) =
        (call.engine.projects()?, call.engine.sandboxes(None)?, call.engine.volumes()?);
    let progress = call.engine.progress()?;
    let line = |row: crate::store::inventory::ProjectRow| {
        let ours = || views.iter().filter(|view| view.project == row.name);
        let volumes = volumes.iter().filter(|volume| volume.owner.as_ref() == Some(&row.name));
        ProjectLine {
            sandboxes: ours().count(),
            running: ours().filter(|view| view.alive).count(),
            volumes: volumes.count(),
            last_applied_at: progress.get(&row.id).and_then(|one| one.applied_at.clone()),
            name: row.name.to_string(),
            folder: row.folder.display().to_string(),
            paused: progress.get(&row.id).is_some_and(|one| one.is_paused),
            id: row.id,
        }
    };
    Ok(rows.into_iter().map(line).collect())
}
