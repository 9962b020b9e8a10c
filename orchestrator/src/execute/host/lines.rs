//! Lines of others: what a sandbox waits for that depends on what another one writes.

use std::time::Duration;

use regex::bytes::Regex;
use schema::failure::Report;
use schema::name::InstanceName;
use schema::project::Until;

use super::{Host, bug};
use crate::execute::world::{Done, Effect, StepError};
use crate::follow::{Logs, Source};

/// How often it is looked for more; a runtime writes its log five times a second.
const LOOK: Duration = Duration::from_millis(100);

/// What a workload writes to.
const SOURCES: [Source; 3] = [Source::Stdout, Source::Stderr, Source::Output];

impl Host {
    /// Waits until each sandbox that this one depends on by a line has written it since it was started.
    pub(super) async fn hear_lines(&self, name: &InstanceName) -> Done {
        let want = self.wanted(name)?;
        for (target, dependency) in &want.depends_on {
            let Until::Log(pattern) = &dependency.until else { continue };
            let found = Regex::new(pattern);
            let pattern =
                found.map_err(|error| StepError::from("msb::ready::failed", "ready", &error))?;
            for (target, _) in self.wish.project.meant(target) {
                match self.hear_line(target, &pattern).await {
                    Err(error) if !dependency.optional => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(Effect::default())
    }

    async fn hear_line(&self, target: &InstanceName, pattern: &Regex) -> Result<(), StepError> {
        let Some((id, _)) = self.current(target)? else {
            return Err(bug("there is no machine to listen to"));
        };
        let folder = self.folder(&id);
        let mut logs = Logs::open(folder.path(), &SOURCES.into(), 0);
        loop {
            // Before the log is read: what it wrote last is there once it has ended.
            let is_over = folder.record()?.is_some_and(|record| record.rests());
            let since = folder.record()?.and_then(|record| record.started_at_ms);
            let is_line = |entry: &crate::follow::Entry| {
                entry.session == "main" && since.is_some_and(|since| entry.at_ms >= since)
            };
            if since.is_some() {
                let mut entries = logs.read().into_iter();
                if entries.any(|entry| is_line(&entry) && pattern.is_match(&entry.bytes)) {
                    return Ok(());
                }
            }
            if is_over {
                return Err(unheard(target, pattern));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// It ended, and wrote no such line.
fn unheard(target: &InstanceName, pattern: &Regex) -> StepError {
    StepError::of(Report {
        code: "msb::ready::failed".to_owned(),
        stage: "ready".to_owned(),
        message: format!("{target} ended, and no line of it matched `{pattern}`"),
        hints: vec![format!("Read what it wrote with `msb logs {target}`.")],
        ..Report::default()
    })
}
