//! How a command ends: failures told, then the exit code; a fault of ours is 70.

use std::any::Any;
use std::cell::Cell;
use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe, UnwindSafe};
use std::process::ExitCode;

use serde_json::json;

use super::call::Call;
use super::failure::{Failure, Failures};
use super::{outcome, usage};
use crate::context::Clock as _;

/// How a command ended: with a code, or with what went wrong.
pub(crate) type Ending = Result<u8, Failures>;

/// Leaves to the end of the process what that gives back at once, and piece by piece takes longer.
pub(crate) fn left_to_the_end<T>(value: T) {
    std::mem::forget(value);
}

/// The code of a process that SIGPIPE ended.
const CLOSED: u8 = 141;

/// Tells what went wrong and returns the exit code.
pub(crate) fn finish(call: &Call, told: Option<&'static str>, ending: Ending) -> ExitCode {
    let report = &call.report;
    match ending {
        Ok(0) if report.is_closed() => ExitCode::from(CLOSED),
        Ok(code) => ExitCode::from(code),
        Err(failures) => {
            for failure in &failures.0 {
                report.failure(failure);
            }
            let code = failures.exit_code();
            if let Some(command) = told {
                unfinished(call, command, &failures);
            }
            ExitCode::from(code)
        }
    }
}

/// Ends the events of a command that came to no result: its problems, and what there is of one.
fn unfinished(call: &Call, command: &'static str, failures: &Failures) {
    let now_ms = call.context.clock.unix_ms();
    call.report.hello(now_ms, command, None);
    for row in failures.0.iter().flat_map(|failure| &failure.problems) {
        let facts = serde_json::to_value(row).unwrap_or_default();
        let message = facts["message"].as_str().unwrap_or_default().to_owned();
        call.report.event(now_ms, ("problem", &message), &facts);
    }
    let code = failures.exit_code();
    let result = match command {
        "up" | "down" => outcome::nothing(command, None, code),
        _ => json!([]),
    };
    let errors: Vec<_> = failures.0.iter().map(|failure| failure.object()).collect();
    let facts = json!({ "exit_code": code, "errors": errors, "result": result });
    call.report.event(now_ms, ("result", &format!("{command} ended with {code}")), &facts);
}

/// Tells a failure that came before anything was resolved.
pub(crate) fn unprepared(failure: &Failure, arguments: &[OsString]) -> ExitCode {
    usage::plain_report(arguments).failure(failure);
    ExitCode::from(failure.exit_code())
}

thread_local! {
    /// Whether a panic of this thread is somebody's answer and no fault of ours.
    static IS_ANSWER: Cell<bool> = const { Cell::new(false) };
}

/// Does what may panic where the host refuses it something; the panic's words are the error.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    IS_ANSWER.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_ANSWER.set(false);
    done.map_err(|payload| said(payload.as_ref()))
}

/// Returns the words of a panic.
fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Runs a command; a panic becomes a report and the code of a fault of ours.
pub(crate) fn guarded(command: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        // The second reader of a broken file may fall over it; the first has read it.
        if IS_ANSWER.get() || std::thread::current().name() == Some(crate::edit::SECOND_READER) {
            return;
        }
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let said = said(info.payload());
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let mut failure = Failure::internal("msb has a fault and cannot go on")
            .cause(format!("{said} ({place}, thread {thread})"));
        if let Some(path) = keep_report(&failure, &place) {
            failure = failure.log(path);
        }
        usage::plain_report(&[]).failure(&failure);
    }));
    panic::catch_unwind(command)
        .unwrap_or_else(|_| ExitCode::from(schema::exit::Kind::Internal.code()))
}

/// Keeps a report of a fault where the user can find it.
fn keep_report(failure: &Failure, place: &str) -> Option<std::path::PathBuf> {
    let name = format!("msb-fault-{}.txt", std::process::id());
    let path = std::env::temp_dir().join(name);
    let version = env!("CARGO_PKG_VERSION");
    let trace = std::backtrace::Backtrace::force_capture();
    let text = format!("msb {version}\n{}\nat {place}\n\n{trace}\n", failure.text());
    crate::store::atomic::write(&path, text.as_bytes()).ok()?;
    Some(path)
}
