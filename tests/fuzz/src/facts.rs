//! What holds of every problem and of every place, whatever was read.

use schema::sandboxfile::problem::Problem;
use schema::sandboxfile::source::Sources;
use schema::sandboxfile::tree::Span;

/// Longest help or message: a list of words of ours, and a few excerpts of 200 characters.
const SENTENCE_BYTES_MOST: usize = 16 << 10;

/// Holds a problem to what people and programs are promised of it.
pub(crate) fn of_problem(problem: &Problem, sources: &Sources) {
    for label in &problem.labels {
        of_span(label.span, sources);
        of_sentence(&label.text);
    }
    of_sentence(&problem.message);
    problem.help.iter().chain(&problem.nearest).for_each(|text| of_sentence(text));
    let place = sources.place(problem.span());
    assert!(place.line >= 1 && place.column >= 1, "{place:?}");
    assert!(!problem.message.is_empty() && problem.help.is_some(), "{problem:?}");
    let row = problem.row(sources);
    let ends = (row.end_line, row.end_column);
    assert!(ends >= (row.line, row.column), "{row:?}");
}

/// Holds a place to its file.
pub(crate) fn of_span(span: Span, sources: &Sources) {
    let file = sources.file(span).unwrap_or_else(|| panic!("{span:?} lies in no file"));
    let inside = file.text.get(span.start as usize..span.end as usize).is_some();
    assert!(inside, "{span:?} does not lie on the characters of {}", file.name);
}

/// Holds what is printed to one line without anything that steers a terminal.
fn of_sentence(text: &str) {
    assert!(text.len() <= SENTENCE_BYTES_MOST, "{} bytes: {text:.300}", text.len());
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(steers), "{text:?}");
}
