//! A changing command that tells whoever collects traces what it did, where the environment asks for it.

use std::rc::Rc;

use schema::project::Project;

use super::call::Call;
use crate::consent::{Answer, Need};
use crate::context::{Clock as _, SystemClock};
use crate::engine::{SharedUi, Ui};
use crate::execute::Progress;
use crate::exporter::Signal;
use crate::exporter::options::Variables;
use crate::exporter::trace::{Parent, Trace, deliver};
use crate::plan::{Address, Plan};
use crate::store::atomic;
use crate::store::lease::Holder;

/// Variables of which one says where traces go.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Returns the trace of a command, where somebody collects it.
pub(super) fn begin(name: &str, call: &Call) -> Option<Rc<Trace>> {
    let environment = &call.context.environment;
    ENDPOINTS.iter().find(|name| environment.get(name).is_some())?;
    let parent = environment.get("TRACEPARENT").and_then(Parent::parse);
    let is_kept = parent.is_none_or(|parent| parent.is_kept);
    if !is_kept || Variables::new(environment, Signal::Traces).is_disabled() {
        return None;
    }
    // Without chance there are no numbers to tell it apart by.
    let chance = atomic::random(24).ok()?.try_into().ok()?;
    let clock = call.context.clock;
    let lasted_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or_default();
    let began_ms = clock.unix_ms().saturating_sub(lasted_ms);
    Some(Rc::new(Trace::new(name, began_ms, parent, chance)))
}

/// Sends the trace of a command that has ended; that nobody takes it is worth a warning.
pub(super) fn end(call: &Call, code: u8) {
    let Some(trace) = &call.trace else { return };
    booted(call, trace);
    let context = &call.context;
    let mut variables = Variables::new(&context.environment, Signal::Traces);
    let place = (context.home(), context.clock);
    let sent = call.block_on(deliver(trace, code, &mut variables, place));
    variables.warnings().iter().for_each(|warning| call.report.warn(warning));
    let why = match sent {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        Err(failure) => failure.report.message.clone(),
    };
    call.report.warn(&format!("nobody took the trace of this command: {why}"));
}

/// Tells a trace what records say of the machines that were booted.
fn booted(call: &Call, trace: &Trace) {
    if trace.boots().is_empty() {
        return;
    }
    // What cannot be read any more is not told; the command has ended.
    for view in call.engine.sandboxes(None).unwrap_or_default() {
        if let Some(record) = view.record.as_ref().filter(|_| trace.is_of(view.project.as_str())) {
            trace.booted(&Address::Sandbox(view.name.clone()), record);
        }
    }
}

/// Returns one who watches as `ui` does, and tells the trace of this command, where there is one.
pub(super) fn beside(call: &Call, ui: SharedUi) -> SharedUi {
    match &call.trace {
        None => ui,
        Some(trace) => Rc::new(Told { ui, trace: Rc::clone(trace), clock: call.context.clock }),
    }
}

struct Told {
    ui: SharedUi,
    trace: Rc<Trace>,
    clock: SystemClock,
}

impl Ui for Told {
    fn waiting(&self, holder: &Holder) {
        self.ui.waiting(holder);
    }

    fn recovered(&self, count: usize) {
        self.ui.recovered(count);
    }

    fn planned(&self, plan: &Plan, project: &Project, driver: Option<&str>) {
        self.trace.planned(plan);
        self.ui.planned(plan, project, driver);
    }

    fn consent(&self, plan: &Plan, needs: &[Need]) -> Answer {
        self.ui.consent(plan, needs)
    }

    fn progress(&self, progress: &Progress<'_>) {
        self.trace.progress(progress, self.clock.unix_ms());
        self.ui.progress(progress);
    }

    fn warn(&self, text: &str) {
        self.ui.warn(text);
    }
}
