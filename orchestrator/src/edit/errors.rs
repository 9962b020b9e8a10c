//! The list of all errors of a broken file: the second reader says where, we say what.
//!
//! Our first error is certain. Of what the second reader adds, one complaint a
//! line is kept, and none on a line of which we have spoken: it follows from it.

use std::path::Path;

use schema::sandboxfile::problem::{Code, Problem, Severity, shown, sort};
use schema::sandboxfile::resolve::Failed;
use schema::sandboxfile::source::{Format, SourceFile, Sources};
use schema::sandboxfile::syntax::kdl::wrong_on_line;
use schema::sandboxfile::tree::Span;

use super::second::{self, Complaint};

/// Adds to a failed reading what else is wrong in its KDL files; at most `most` errors are listed.
pub(crate) fn add_all(failed: &mut Failed, files: &[SourceFile], most: usize) {
    for (number, file) in (0_u16..).zip(failed.sources.clone().files()) {
        // Files that others include come behind the layers; their names say their formats.
        let layer = files.get(usize::from(number)).map(|file| file.format);
        let format = layer.or_else(|| Format::of(Path::new(&file.name)));
        if format == Some(Format::Kdl)
            && failed.problems.iter().any(|problem| is_of_grammar(problem, number))
        {
            let more = further(&failed.problems, &failed.sources, number);
            failed.problems.extend(more);
        }
    }
    sort(&mut failed.problems);
    let mut errors = 0;
    failed.problems.retain(|problem| {
        errors += usize::from(problem.severity == Severity::Error);
        errors <= most || problem.severity != Severity::Error
    });
    failed.more += errors.saturating_sub(most);
}

/// Returns whether a problem ended the reading of that file's grammar.
fn is_of_grammar(problem: &Problem, file: u16) -> bool {
    let code = problem.code.as_str();
    problem.span().file == file && code.starts_with("msb::syntax::") && !code.contains("yaml")
}

/// Returns what the second reader sees beyond the known problems of a file.
fn further(known: &[Problem], sources: &Sources, file: u16) -> Vec<Problem> {
    let start = Span { file, start: 0, end: 0 };
    let Some(text) = sources.file(start).map(|file| file.text.as_str()) else { return Vec::new() };
    let line = |byte: u32| sources.position(start, byte).0;
    let labels = known.iter().flat_map(|problem| &problem.labels);
    let mut spoken: Vec<u32> = labels
        .filter(|label| label.span.file == file)
        .map(|label| line(label.span.start))
        .collect();
    let mut more = Vec::new();
    if known.iter().any(|problem| swallows(text, problem)) {
        return more;
    }
    for complaint in second::complaints(text) {
        let (first, last) = (bound(text, complaint.start), bound(text, complaint.end));
        let span = Span { file, start: first, end: last.max(first) };
        if spoken.contains(&line(span.start)) {
            continue;
        }
        let said = match kind(&complaint) {
            Kind::Structure => None,
            Kind::Lines => Some(in_our_words(&complaint, span)),
            // The quotes that close a text would open one by themselves.
            Kind::Line => wrong_on_line(text, complaint.start, file)
                .filter(|problem| !swallows(text, problem)),
        };
        if let Some(problem) = said {
            spoken.push(line(span.start));
            more.push(problem);
        }
    }
    more
}

/// Returns whether a problem is a comment or a text that never ends; what it swallows is unknown.
fn swallows(text: &str, problem: &Problem) -> bool {
    let rest = text.get(problem.span().start as usize..).unwrap_or_default();
    rest.starts_with("/*") || rest.trim_start_matches('#').starts_with("\"\"\"")
}

/// Returns a byte of the text, moved back to where a character begins.
fn bound(text: &str, byte: usize) -> u32 {
    let byte = text.floor_char_boundary(byte.min(text.len()));
    u32::try_from(byte).unwrap_or(u32::MAX)
}

/// What a complaint is about.
enum Kind {
    /// Braces and ends. After any other mistake the second reader has lost count of them.
    Structure,
    /// A text over several lines, of which one line tells nothing.
    Lines,
    /// Something on its line.
    Line,
}

fn kind(complaint: &Complaint) -> Kind {
    let message = complaint.message.to_ascii_lowercase();
    if message.contains("closing '}'") || message.contains("end of document") {
        Kind::Structure
    } else if message.contains("multi") || message.contains("prefix") {
        Kind::Lines
    } else {
        Kind::Line
    }
}

fn in_our_words(complaint: &Complaint, span: Span) -> Problem {
    let mut letters = complaint.message.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    let message: String = first.chain(letters).collect();
    let help = "indent every line at least as far as the closing quotes, with the same blanks";
    Problem::error(Code::SYNTAX_KDL, shown(&message), span).help(help)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use schema::sandboxfile::resolve::{ResolveInputs, resolve};

    use super::*;

    /// Returns the plain rendering of all problems of a file.
    fn told(text: &str) -> String {
        let path = PathBuf::from("f");
        let files = [SourceFile { path, bytes: text.as_bytes().to_vec(), format: Format::Kdl }];
        let mut failed = resolve(&files, &ResolveInputs::default()).unwrap_err();
        add_all(&mut failed, &files, 100);
        failed.plain()
    }

    #[test]
    fn sf_t13_every_mistake_of_grammar_comes_in_one_run_with_its_hint() {
        let text = "sandbox \"a\" {\n    memory 512MiB\n    image \"x:1\"\n    cpus = 2\n    \
                    lifecycle { protect true }\n    workdir ./srv\n    mount \"/a {\n    command \"x\"\n}\n";
        assert_eq!(
            told(text),
            "f:2:12: error[msb::syntax::needs-quotes]: `512MiB` must be quoted\n  \
             help: write \"512MiB\"; in KDL a word that starts with a digit is a number\n\
             f:4:10: error[msb::syntax::equals-sign]: `=` stands between a key and its value\n  \
             help: write cpus 2\n\
             f:5:25: error[msb::syntax::kdl-v1]: `true` is KDL 1\n  \
             help: write #true; in KDL 2 words that start with # are keywords\n\
             f:6:13: error[msb::syntax::needs-quotes]: `./srv` must be quoted\n  \
             help: write \"./srv\"; in KDL a word without quotes cannot hold a slash\n\
             f:7:16: error[msb::syntax::kdl]: a string ends with its line\n  \
             7:11: the string begins here\n  \
             help: write the closing quote, or use three quotes for text over several lines\n\
             error: f: 5 problems\n"
        );
    }

    #[test]
    fn what_follows_from_a_mistake_is_not_told() {
        for (text, count) in [
            ("sandbox \"a\" {\n    image \"x\"\n", 1),
            ("sandbox \"a\" {\n} }\n", 1),
            ("a /* never ends\nb {\n", 1),
            ("a \"\"\"\n  never ends\nb {\n  c 1x\n", 1),
            ("a ${TAG}\nb [1]\nc 2\n", 2),
            ("a \"\"\"\n    x\n  y\n    \"\"\"\nb 1x\n", 2),
            ("a {\r\n  b 1x\r\n  c 2y\r\n}\r\n", 2),
        ] {
            let told = told(text);
            let problems = told.matches(": error[").count();
            assert_eq!(problems, count, "{text}\n{told}");
        }
    }

    #[test]
    fn a_file_that_another_includes_gets_its_list_too() {
        let mut sources = Sources::default();
        sources.add("Sandboxfile".into(), "include \"db.kdl\" { as \"db\" }\n".into());
        sources.add("db.kdl".into(), "sandbox \"a\" {\n    memory 5x\n    cpus 1y\n}\n".into());
        let first = wrong_on_line(&sources.files()[1].text, 20, 1).unwrap();
        let mut failed = Failed { problems: vec![first], more: 0, sources: sources.into() };
        let path = PathBuf::from("Sandboxfile");
        let layer = SourceFile { path, bytes: Vec::new(), format: Format::Kdl };
        add_all(&mut failed, &[layer], 100);
        let told = failed.plain();
        assert!(
            told.contains("db.kdl:2:12: error") && told.contains("db.kdl:3:10: error"),
            "{told}"
        );
    }

    #[test]
    fn sf_d2_no_more_are_listed_than_the_limit() {
        let text = "a 1x\n".repeat(30);
        let path = PathBuf::from("f");
        let files = [SourceFile { path, bytes: text.into_bytes(), format: Format::Kdl }];
        let mut failed = resolve(&files, &ResolveInputs::default()).unwrap_err();
        add_all(&mut failed, &files, 10);
        assert_eq!((failed.problems.len(), failed.more, failed.errors()), (10, 20, 30));
    }
}
