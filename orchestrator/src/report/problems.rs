//! The problems of a Sandboxfile: drawn for a terminal, plain elsewhere.

use std::fmt::{self, Display};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use schema::sandboxfile::problem::{Label, Problem, Severity};
use schema::sandboxfile::source::Sources;

use super::excerpt::Excerpts;
use super::github::{escaped, escaped_property};
use super::{Annotations, Form};
use crate::context::Stream;

/// Returns every problem as stderr takes it: in miette's layout on a terminal, else plain.
#[must_use]
pub fn text(problems: &[Problem], sources: &Sources, form: &Form) -> String {
    let mut text = String::new();
    let is_tty = form.terminal.is_tty(Stream::Err);
    let files = if is_tty { excerpts(sources) } else { Vec::new() };
    for problem in problems {
        text += &one(problem, sources, &files, form);
        if form.annotations == Annotations::Github {
            text += &annotation(problem, sources);
        }
    }
    text
}

/// Returns every problem in miette's layout, as a terminal of that form shows it.
#[must_use]
pub fn drawing(problems: &[Problem], sources: &Sources, form: &Form) -> String {
    let files = excerpts(sources);
    problems.iter().map(|problem| one(problem, sources, &files, form)).collect()
}

fn excerpts(sources: &Sources) -> Vec<Excerpts<'_>> {
    sources.files().iter().map(Excerpts::new).collect()
}

/// Draws a problem where its file is among `files`.
fn one(problem: &Problem, sources: &Sources, files: &[Excerpts<'_>], form: &Form) -> String {
    match files.get(usize::from(problem.span().file)) {
        Some(file) => drawn(problem, file, form).unwrap_or_else(|_| problem.plain(sources)),
        None => problem.plain(sources),
    }
}

fn drawn(problem: &Problem, file: &Excerpts<'_>, form: &Form) -> Result<String, fmt::Error> {
    let theme = match (form.err.is_coloured(), form.err.is_utf8()) {
        (true, true) => GraphicalTheme::unicode(),
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (true | false, false) => GraphicalTheme::ascii(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(usize::from(form.terminal.columns))
        .with_links(false)
        .with_context_lines(1);
    let mut text = String::new();
    handler.render_report(&mut text, &Page { problem, file })?;
    Ok(text)
}

/// A problem as miette wants it.
#[derive(Debug)]
struct Page<'a> {
    problem: &'a Problem,
    file: &'a Excerpts<'a>,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Page<'_> {}

impl Diagnostic for Page<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(self.problem.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let file = self.problem.span().file;
        let here = move |label: &&Label| label.span.file == file;
        Some(Box::new(self.problem.labels.iter().filter(here).map(|label| {
            let (start, end) = (label.span.start as usize, label.span.end as usize);
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let (start, length) = self.file.underlined(start, end);
            LabeledSpan::new(text, start, length)
        })))
    }
}

fn annotation(problem: &Problem, sources: &Sources) -> String {
    let place = sources.place(problem.span());
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let (file, title) = (escaped_property(&place.file), escaped_property(problem.code.as_str()));
    let (line, column, message) = (place.line, place.column, escaped(&problem.message));
    format!("::{word} file={file},line={line},col={column},title={title}::{message}\n")
}

#[cfg(test)]
mod tests {
    use schema::sandboxfile::problem::Code;
    use schema::sandboxfile::resolve::{ResolveInputs, resolve};
    use schema::sandboxfile::source::{Format, SourceFile};
    use schema::sandboxfile::tree::Span;

    use super::*;
    use crate::context::Terminal;
    use crate::report::style::Style;
    use crate::report::{Output, Progress};

    fn some() -> (Vec<Problem>, Sources) {
        let mut sources = Sources::default();
        sources.add("Sandboxfile".into(), "sandbox \"web\" {\n  memmory \"1GiB\"\n}\n".into());
        let span = Span { file: 0, start: 18, end: 25 };
        let problem = Problem::error(Code::SCHEMA_UNKNOWN_KEY, "`memmory` is no key here", span)
            .nearest(Some("memory"))
            .help("write `memory`");
        (vec![problem], sources)
    }

    fn form(annotations: Annotations) -> Form {
        let (output, progress) = (Output::Text, Progress::Plain);
        let (out, err, terminal) = (Style::PLAIN, Style::PLAIN, Terminal::none());
        Form { output, progress, out, err, annotations, terminal }
    }

    #[test]
    fn a_pipe_gets_lines_that_editors_can_follow() {
        let (problems, sources) = some();
        let text = text(&problems, &sources, &form(Annotations::Off));
        assert!(text.starts_with("Sandboxfile:2:3: error[msb::schema::unknown-key]: "), "{text}");
    }

    #[test]
    fn a_terminal_gets_the_line_drawn() {
        let (problems, sources) = some();
        let file = Excerpts::new(&sources.files()[0]);
        let text = drawn(&problems[0], &file, &form(Annotations::Off)).unwrap();
        assert!(text.contains("memmory \"1GiB\"") && text.contains("did you mean `memory`?"));
        assert!(text.contains("help: write `memory`") && !text.contains('\u{1b}'), "{text}");
    }

    /// The clash of ports of the page that defines the language, as a terminal shows it.
    #[test]
    fn sf_d4_a_clash_of_ports_is_drawn_with_both_places() {
        let db = "sandbox \"db\" {\n    image \"x:1\"\n    port guest=80 host=8080\n}\n";
        let web = "sandbox \"web\" {\n    image \"x:1\"\n    replicas 3\n    \
                   port guest=3000 host=\"8080-8082\"\n}\n";
        let text = format!("{}{db}{}{web}", "\n".repeat(16), "\n".repeat(20));
        let (path, format) = ("Sandboxfile.kdl".into(), Format::Kdl);
        let file = SourceFile { path, bytes: text.into_bytes(), format };
        let inputs = ResolveInputs { folder: "/acme".into(), ..ResolveInputs::default() };
        let failed = resolve(&[file], &inputs).unwrap_err();
        let file = Excerpts::new(&failed.sources.files()[0]);
        let drawn = drawn(&failed.problems[0], &file, &form(Annotations::Off)).unwrap();
        let expected = "\
msb::rule::port-clash

  × 127.0.0.1:8080/tcp is published twice
    ╭─[Sandboxfile.kdl:19:19]
 18 │     image \"x:1\"
 19 │     port guest=80 host=8080
    ·                   ────┬────
    ·                       ╰── by db
 20 │ }
    ╰────
    ╭─[Sandboxfile.kdl:44:21]
 43 │     replicas 3
 44 │     port guest=3000 host=\"8080-8082\"
    ·                     ────────┬───────
    ·                             ╰── and by web[0]
 45 │ }
    ╰────
  help: give one another host port, another `bind` address, or host=\"auto\"
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn sf_d6_of_a_long_line_a_terminal_gets_what_is_near() {
        let mut sources = Sources::default();
        let line = format!("/* {} */ {} \u{202e}x", "é".repeat(300_000), "k 1; ".repeat(20_000));
        let at = u32::try_from(line.find("k 1").unwrap()).unwrap();
        let end = u32::try_from(line.len()).unwrap();
        sources.add("Sandboxfile".into(), format!("first\n{line}\nlast"));
        let span = |start, end| Span { file: 0, start: start + 6, end: end + 6 };
        let far = Problem::error(Code::SCHEMA_DUPLICATE_KEY, "twice", span(end - 50_000, end - 1))
            .related(span(at, at + 1), "first here");
        let file = Excerpts::new(&sources.files()[0]);
        let text = drawn(&far, &file, &form(Annotations::Off)).unwrap();
        assert!(text.contains("first here") && text.contains("[Sandboxfile:2:300008]"), "{text}");
        assert!(text.len() < 4000 && text.lines().all(|line| line.len() < 800), "{text}");
        let whole = Problem::error(Code::SCHEMA_SHAPE, "all of it", span(0, end));
        assert!(drawn(&whole, &file, &form(Annotations::Off)).unwrap().len() < 2000);
        let mark = Problem::error(Code::SCHEMA_SHAPE, "a mark", span(end - 4, end - 1));
        let text = drawn(&mark, &file, &form(Annotations::Off)).unwrap();
        assert!(text.contains("??? x".replace(' ', "").as_str()), "{text}");
    }

    #[test]
    fn a_runner_gets_an_annotation() {
        let (problems, sources) = some();
        let text = text(&problems, &sources, &form(Annotations::Github));
        assert!(text.ends_with(
            "::error file=Sandboxfile,line=2,col=3,title=msb%3A%3Aschema%3A%3Aunknown-key::`memmory` is \
             no key here\n"
        ));
    }
}
