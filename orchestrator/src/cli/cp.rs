//! Copy files and folders into sandboxes, out of them, or between them

mod words;

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use schema::failure::errno;
use schema::wire::files::{FileNote, Links, NoteKind, Owners};
use serde_json::json;

use self::words::{Word, destination, parse, refuse_the_impossible};
use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::outcome::ms;
use super::targets;
use crate::context::Clock as _;
use crate::engine::SandboxView;
use crate::report::human;
use crate::report::moving::Moving;
use crate::sessions::relay::RelayError;
use crate::sessions::signals::{ENDING, Signals};
use crate::transfer::{self, Job, Moved, Side, Tally, TransferError};

/// How many names of what was left out are told to people.
const NAMED_MAX: usize = 20;

/// Copy files and folders into sandboxes, out of them, or between them
#[derive(Debug, clap::Args)]
#[command(override_usage = "msb cp [FLAGS] SRC... DST")]
pub(crate) struct Args {
    /// What is copied, and where to: NAME:PATH in a sandbox, PATH here, `-` an archive
    #[arg(value_name = "SRC DST", num_args = 1.., required = true)]
    words: Vec<OsString>,
    /// Copy what links lead to, not the links [default: off]
    #[arg(short = 'L')]
    follow: bool,
    /// Keep owners by number, and modes to the last bit [default: off]
    #[arg(short, long)]
    archive: bool,
}

/// One side, with the sandbox it is in.
struct End {
    word: Word,
    side: Side,
    view: Option<SandboxView>,
}

/// Copies each source in turn; one that fails does not keep the others.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let words: Vec<Word> = args.words.iter().map(|word| parse(word)).collect();
    let (sources, to) = refuse_the_impossible(call, &words)?;
    let clock = call.context.clock;
    let started = clock.elapsed();
    let into = destination(to, sources);
    // Before anything is made, so that no half of it stays.
    let mut signals = Signals::catch(&ENDING).map_err(no_signals)?;
    let mut moving = Moving::begin(&call.report, clock, "copying");
    let to = end(call, to)?;
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for source in sources {
        let from = match end(call, source) {
            Ok(from) => from,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        let job = Job {
            from: from.side.clone(),
            to: to.side.clone(),
            links: if args.follow { Links::Followed } else { Links::Kept },
            owners: if args.archive { Owners::Kept } else { Owners::Own },
            into,
            reserve_bytes: call.context.disk_reserve.0,
        };
        let (files, bytes) = (tally.files, tally.bytes);
        let mut watch = |moved: Moved| {
            let files = moved.files.map(|more| files.saturating_add(more));
            moving.at(files, bytes.saturating_add(moved.bytes));
        };
        match transfer::copy(&job, &mut tally, &mut signals, &mut watch) {
            Ok(()) => {}
            // Whoever reads standard output has gone, or somebody ended us: nothing is wrong.
            Err(TransferError::Closed) => return Ok(141),
            Err(TransferError::Signalled(number)) => return Ok(number.saturating_add(128)),
            Err(error) => failures.push(failure(&from, &to, &error)),
        }
    }
    drop(moving);
    let took = clock.elapsed().saturating_sub(started);
    // Of a copy that came to nothing there is no result.
    if failures.is_empty() || tally.files + tally.left_out_count > 0 {
        tell(call, &tally, took);
    }
    if tally.left_out_count > 0 {
        failures.push(left_out(&tally));
    }
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

/// Returns the failure of signals that cannot be caught.
fn no_signals(error: io::Error) -> Failure {
    Failure::of("msb::host::session", "transfer", &TransferError::Host("catch signals", error))
}

/// Finds the sandbox of a side.
fn end(call: &Call, word: &Word) -> Result<End, Failure> {
    let (side, view) = match word {
        Word::Stream => (Side::Stream, None),
        Word::Host(path) => (Side::Host(path.clone()), None),
        Word::Guest { target, path } => {
            let view = targets::find(call, target)?;
            let machine = call.engine.machine(&view).map_err(|troubles| {
                let mut failure = super::failure::first(troubles);
                failure.report.hints = vec![format!("Start it with `msb start {}`.", view.name)];
                failure.at(view.project.as_str(), format!("sandbox.{}", view.name))
            })?;
            let socket = machine.agent_socket();
            (Side::Guest { socket, path: path.clone() }, Some(view))
        }
    };
    Ok(End { word: word.clone(), side, view })
}

/// Says what was copied.
fn tell(call: &Call, tally: &Tally, took: Duration) {
    if call.report.is_text() {
        let files = if tally.files == 1 { "file" } else { "files" };
        let (bytes, took) = (human::size(tally.bytes), human::duration(took));
        call.report.note(&format!("copied {} {files}, {bytes} in {took}", tally.files));
    } else {
        let row = |note: &FileNote| json!({"path": shown(&note.path), "why": sentence(note)});
        let skipped: Vec<_> = tally.left_out.iter().map(row).collect();
        call.report.document(&json!({
            "files": tally.files, "bytes": tally.bytes, "skipped": skipped, "duration_ms": ms(took),
        }));
    }
}

/// Returns the failure of what was left out, with the first names.
fn left_out(tally: &Tally) -> Failure {
    let count = tally.left_out_count;
    let (were, names) = if count == 1 { ("was", "name") } else { ("were", "names") };
    let (code, hint) = if tally.unsafe_count > 0 {
        ("transfer::unsafe", "Copy what links lead to with `-L`, or do without these.")
    } else {
        ("transfer::incomplete", "Mend what stands in the way, and copy it again.")
    };
    let message = format!("{count} {names} {were} left out; the rest was copied");
    let mut failure = Failure::new(code, "transfer", message).hint(hint);
    for note in tally.left_out.iter().take(NAMED_MAX) {
        failure = failure.note(format!("{}: {}", shown(&note.path), sentence(note)));
    }
    let untold = count.saturating_sub(NAMED_MAX as u64);
    if untold > 0 { failure.note(format!("and {untold} more")) } else { failure }
}

/// Returns a path as people read it, on one line.
fn shown(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => path.escape_ascii().to_string(),
    }
}

/// Returns why, with the kernel's answer.
fn sentence(note: &FileNote) -> String {
    match note.errno.and_then(errno) {
        Some(name) => format!("{} ({name})", note.why),
        None => note.why.clone(),
    }
}

/// Returns the failure of a tree that did not come to its end.
fn failure(from: &End, to: &End, error: &TransferError) -> Failure {
    let failure = match error {
        TransferError::Told(note) => told(from, to, note),
        TransferError::Exec(failed) => {
            let message = format!("cannot copy {}", from.word);
            Failure::new("transfer::failed", "transfer", message).cause(failed.detail.clone())
        }
        TransferError::Relay(RelayError::Unsupported(_)) => {
            Failure::of("msb::agent::unsupported", "agent", error)
                .hint("Restart the sandbox with `msb restart NAME`.")
        }
        TransferError::Relay(_) => Failure::of("msb::agent::lost", "agent", error)
            .hint("Look at the sandbox with `msb logs NAME --source all`."),
        TransferError::Host(..) => Failure::of("msb::host::session", "transfer", error),
        TransferError::Ended(exited) => {
            let failure = Failure::of("msb::transfer::failed", "transfer", error);
            let by = exited.signal.map(|number| format!("signal {number} ended it"));
            by.map_or(failure.clone(), |by| failure.cause(by))
        }
        TransferError::Note(_) | TransferError::Signalled(_) | TransferError::Closed => {
            Failure::of("msb::transfer::failed", "transfer", error)
        }
    };
    match to.view.as_ref().or(from.view.as_ref()) {
        Some(view) => failure.at(view.project.as_str(), format!("sandbox.{}", view.name)),
        None => failure,
    }
}

/// Returns the failure that one side told.
fn told(from: &End, to: &End, note: &FileNote) -> Failure {
    const ENOSPC: i32 = 28;
    let (code, message, hint) = match (note.kind, note.errno) {
        (NoteKind::Missing, _) => {
            let hint = "Check the path; one of a sandbox begins at its working folder.";
            ("transfer::not-found", format!("there is no {}", from.word), Some(hint))
        }
        (NoteKind::Target, _) => {
            let hint = "Make the folder, or end the path with `/` to have it made.";
            ("transfer::target", format!("cannot copy to {}", to.word), Some(hint))
        }
        (_, Some(ENOSPC)) => ("transfer::no-room", format!("no room in {}", to.word), None),
        _ => ("transfer::failed", format!("cannot copy {}", from.word), None),
    };
    let cause = match note.path.as_slice() {
        b"" => sentence(note),
        path => format!("{}: {}", shown(path), sentence(note)),
    };
    let mut failure = Failure::new(code, "transfer", message).cause(cause);
    failure.report.errno = note.errno.and_then(errno);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(shown("größe".as_bytes()), "größe");
        assert_eq!(shown(b"a\nb"), "a\\nb");
        assert_eq!(shown(b"a\xff"), "a\\xff");
    }

    #[test]
    fn the_first_names_are_told_and_the_rest_is_counted() {
        let mut tally = Tally::default();
        tally.leave_out(
            FileNote::new(NoteKind::Skipped, b"a", "it cannot be read").with_errno(Some(13)),
        );
        let text = left_out(&tally).text();
        assert!(text.contains("error: 1 name was left out; the rest was copied\n"), "{text}");
        assert!(text.contains("  note: a: it cannot be read (EACCES)\n"), "{text}");
        assert!(text.contains("code: msb::transfer::incomplete"), "{text}");
        for number in 0..NAMED_MAX {
            let path = number.to_string();
            tally.leave_out(FileNote::new(
                NoteKind::Unsafe,
                path.as_bytes(),
                "a device is not copied",
            ));
        }
        let text = left_out(&tally).text();
        assert!(text.contains("error: 21 names were left out"), "{text}");
        assert!(text.contains("  note: and 1 more\n"), "{text}");
        assert!(text.contains("code: msb::transfer::unsafe"), "{text}");
    }
}
