//! Target `both-readers`: below the guard, ours accepts what the package `kdl` accepts, and reads
//! the same.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use schema::sandboxfile::problem::Problem;

use crate::document::{Document, ours};
use crate::guard::is_below_guard;
use crate::sys;

/// Holds both readers together on one input.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ours = ours(bytes);
    // What is no text of ours is not looked at: F10 is no grammar.
    if ours.as_ref().is_err_and(|problem| problem.code.as_str().starts_with("msb::file::")) {
        return;
    }
    if !is_below_guard(text) || ours.as_ref().is_ok_and(Document::has_wide_numbers) {
        return;
    }
    THEIRS.with_borrow_mut(|theirs| match (ours, theirs.read(text)) {
        (_, Answer::None) | (Err(_), Answer::Refused) => {}
        (Ok(ours), Answer::Read(theirs)) => assert_eq!(ours, theirs, "ours, then theirs"),
        (Ok(_), Answer::Refused) => {
            assert!(is_stricter(text), "we accept what the package refuses: {text:?}");
        }
        (Err(problem), Answer::Read(_)) => {
            let known = is_laxer(text, &problem);
            assert!(known, "we refuse what the package accepts: {text:?}\n{problem:?}");
        }
    });
}

/// Where the package is known to refuse what KDL allows.
fn is_stricter(text: &str) -> bool {
    // A semicolon may end a node that is taken out.
    let is_ended = has_node_taken_out(text) && text.contains(';');
    is_ended || has_long_digits(text)
}

/// Returns whether digits stand in a row that are no number of 128 bits: to the package each side of
/// a real number's point is one, and so is its exponent.
fn has_long_digits(text: &str) -> bool {
    let rows = text.split(|c: char| !c.is_ascii_digit() && c != '_');
    rows.map(|row| row.replace('_', "")).any(|row| !row.is_empty() && row.parse::<i128>().is_err())
}

/// Where the package is known to accept what KDL does not, or what msb does not.
fn is_laxer(text: &str, problem: &Problem) -> bool {
    let related = problem.labels.get(1).map(|label| label.span.start as usize);
    match problem.message.as_str() {
        // T9: KDL 1 is refused where the file names it; to the package it is a node taken out.
        "the file says that it is KDL 1" => true,
        // A raw string with three quotes on one line; an official case holds that it is none.
        "text over several lines begins on the line after its quotes" => {
            related.is_some_and(|start| text[start..].starts_with('#'))
        }
        // KDL's list of words that are none holds it; the package knows it without its sign.
        "`-inf` needs a # before it, or quotes around it" => true,
        // A keyword with more letters behind it: `#nan-` is `#nan` and a word to the package.
        message if message.ends_with("` is no keyword") => {
            let word = &text[problem.span().start as usize..];
            KEYWORDS.iter().any(|keyword| word.starts_with(keyword))
        }
        // Capital marks of a base: 0B1, 0O7, 0XF.
        message if message.ends_with("` must be quoted") => {
            let word = text[problem.span().start as usize..].trim_start_matches(['+', '-']);
            ["0B", "0O", "0X"].iter().any(|mark| word.starts_with(mark))
        }
        // A slashdash behind a slashdash.
        "`/` where a value is due" | "`/` where the name of a node is due" => {
            text[problem.span().start as usize..].starts_with("/-")
        }
        // What follows the braces of a node that is taken out, on the same line.
        "nothing but braces can follow braces on a line" => has_node_taken_out(text),
        message => message.ends_with("` follows without a blank") && has_node_taken_out(text),
    }
}

const KEYWORDS: [&str; 6] = ["#true", "#false", "#null", "#inf", "#-inf", "#nan"];

/// Returns whether a slashdash stands where a node is due.
fn has_node_taken_out(text: &str) -> bool {
    text.match_indices("/-").any(|(at, _)| {
        let before = text[..at].trim_end_matches([' ', '\t']).chars().next_back();
        before.is_none_or(|c| matches!(c, ';' | '{' | '}' | '/' | '\u{feff}') || c.is_whitespace())
    })
}

thread_local! {
    static THEIRS: RefCell<Theirs> = RefCell::new(Theirs::default());
}

/// The package `kdl`, on a thread that is given up when it takes too long.
#[derive(Debug, Default)]
pub struct Theirs {
    worker: Option<Worker>,
}

/// What the package makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A document.
    Read(Document),
    /// Errors.
    Refused,
    /// Nothing in time, or a panic.
    None,
}

#[derive(Debug)]
struct Worker {
    texts: SyncSender<String>,
    answers: Receiver<Answer>,
    given_up: &'static AtomicBool,
}

impl Theirs {
    /// The name of its thread, whose panics are the package's own.
    pub const THREAD: &'static str = "kdl";

    /// Reads a text.
    ///
    /// # Panics
    /// When the host has no thread left.
    pub fn read(&mut self, text: &str) -> Answer {
        let worker = self.worker.get_or_insert_with(Worker::start);
        worker.texts.send(text.to_owned()).expect("the worker lives as long as its channel");
        if let Ok(answer) = worker.answers.recv_timeout(PATIENCE) {
            return answer;
        }
        worker.given_up.store(true, Ordering::Relaxed);
        self.worker = None;
        Answer::None
    }
}

/// The package is exponential on some inputs.
const PATIENCE: Duration = Duration::from_millis(300);

/// It recurses, too.
const STACK_BYTES: usize = 64 << 20;

impl Worker {
    fn start() -> Self {
        let (texts, inbox) = sync_channel::<String>(1);
        let (outbox, answers) = sync_channel(1);
        let given_up: &'static AtomicBool = Box::leak(Box::default());
        let work = move || {
            sys::may_be_given_up(given_up);
            while let Ok(text) = inbox.recv() {
                let read = || match text.parse::<kdl::KdlDocument>() {
                    Ok(document) => Answer::Read(Document::of(&document)),
                    Err(_) => Answer::Refused,
                };
                let answer = catch_unwind(AssertUnwindSafe(read)).unwrap_or(Answer::None);
                if outbox.send(answer).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name(Theirs::THREAD.to_owned()).stack_size(STACK_BYTES);
        thread.spawn(work).expect("the host has a thread left");
        Self { texts, answers, given_up }
    }
}

/// Lets the package panic in silence; any other panic goes on to the hook before.
pub fn let_theirs_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(Theirs::THREAD) {
            before(panic);
        }
    }));
}
