//! The second reader: the crate `kdl`, behind the guard, on a thread with a deadline.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kdl::{KdlDiagnostic, KdlDocument, KdlNode};

use super::guard::Cost;

/// How long it is listened to; the thread is then left to itself.
const ANSWER_MAX: Duration = Duration::from_millis(300);
/// Its stack; what the guard lets through needs a quarter of it.
const STACK_BYTES: usize = 64 << 20;
/// The name of its thread, by which a fault of it is told from one of ours.
pub(crate) const THREAD: &str = "kdl";

/// Something that the second reader does not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The first byte.
    pub(super) start: usize,
    /// The byte after the last.
    pub(super) end: usize,
    /// What is wrong, in its words.
    pub(super) message: String,
}

/// Returns what it does not accept in a text; nothing where it does not answer.
pub(super) fn complaints(text: &str) -> Vec<Complaint> {
    if !Cost::of(text).is_readable() {
        return Vec::new();
    }
    let read = |text: String| match KdlDocument::parse_v2(&text) {
        Ok(_) => Vec::new(),
        Err(error) => error.diagnostics.iter().map(complaint).collect(),
    };
    ask(read, text.to_owned()).unwrap_or_default()
}

fn complaint(of: &KdlDiagnostic) -> Complaint {
    let start = of.span.offset();
    Complaint { start, end: start + of.span.len(), message: of.to_string() }
}

/// Returns whether it objects to an edit: it read the text before, and reads the text after as
/// something else or not at all.
pub(super) fn objects(before: &str, after: &str) -> bool {
    if !Cost::of(before).is_readable() || !Cost::of(after).is_readable() {
        return false;
    }
    let read = move |(before, after): (String, String)| {
        let Ok(before) = KdlDocument::parse_v2(&before) else { return false };
        KdlDocument::parse_v2(&after).map_or(true, |after| !same(before.nodes(), after.nodes()))
    };
    ask(read, (before.to_owned(), after.to_owned())).unwrap_or(false)
}

/// Returns whether nodes say the same, the order of different names aside.
fn same(ones: &[KdlNode], others: &[KdlNode]) -> bool {
    let sorted = |nodes: &[KdlNode]| {
        let mut at: Vec<usize> = (0..nodes.len()).collect();
        at.sort_by(|a, b| nodes[*a].name().value().cmp(nodes[*b].name().value()));
        at
    };
    let values = |node: &KdlNode| {
        let mut values: Vec<(Option<String>, String)> = node
            .entries()
            .iter()
            .map(|one| (one.name().map(|name| name.value().to_owned()), one.value().to_string()))
            .collect();
        values.sort_by(|(a, _), (b, _)| a.cmp(b));
        values
    };
    let inner = |node: &KdlNode| node.children().map(|block| block.nodes().to_vec());
    ones.len() == others.len()
        && sorted(ones).iter().zip(sorted(others)).all(|(one, other)| {
            let (one, other) = (&ones[*one], &others[other]);
            one.name().value() == other.name().value()
                && values(one) == values(other)
                && same(&inner(one).unwrap_or_default(), &inner(other).unwrap_or_default())
        })
}

/// Runs `work` on a thread of its own; `None` where it takes too long or has a fault.
fn ask<I: Send + 'static, O: Send + 'static>(
    work: impl FnOnce(I) -> O + Send + 'static,
    input: I,
) -> Option<O> {
    let (answer, answers) = mpsc::sync_channel(1);
    let run = move || drop(answer.send(work(input)));
    let thread = thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(run).ok()?;
    answers.recv_timeout(ANSWER_MAX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_t13_all_mistakes_are_seen_and_a_sound_text_has_none() {
        assert_eq!(complaints("a 1\nb { c 2 }\n"), Vec::new());
        let seen = complaints("a 1x\nb 2\nc true\n");
        let starts: Vec<usize> = seen.iter().map(|one| one.start).collect();
        assert_eq!(starts, [2, 11]);
    }

    #[test]
    fn sf_t13_a_reader_that_takes_too_long_is_left() {
        let never = mpsc::channel::<()>();
        let waits = move |(_sender, receiver): (mpsc::Sender<()>, mpsc::Receiver<()>)| {
            receiver.recv().is_ok()
        };
        assert_eq!(ask(waits, never), None);
        assert_eq!(ask(|()| panic!("a fault of the crate"), ()), None::<()>);
    }
}
