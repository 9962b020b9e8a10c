//! Wrong usage: what clap says, in our words, with the nearest thing that exists.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};
use schema::sandboxfile::problem::nearest;

use super::failure::Failure;
use super::{Cli, help, later};
use crate::context::Terminal;
use crate::report::style::Style;
use crate::report::{Annotations, Form, Output, Progress, Report};

/// What is said to who wants a machine to be held.
const NO_PAUSE: &str = "No driver holds a machine still: use `msb stop`, which keeps its disks, \
                        and `msb start`.";

/// What people type who know other tools.
const HINTS: &[(&str, &str)] = &[
    ("apply", "Use `msb up`: it makes the host match the Sandboxfile."),
    ("destroy", "Use `msb down` for a project, `msb rm` for one sandbox."),
    ("delete", "Use `msb down` for a project, `msb rm` for one sandbox."),
    ("build", "Load an image with `msb load`: msb builds none."),
    ("modify", "Edit the Sandboxfile and use `msb up`: it changes what differs."),
    ("pause", NO_PAUSE),
    ("unpause", NO_PAUSE),
    ("suspend", NO_PAUSE),
    ("resume", NO_PAUSE),
    ("shell", "Use `msb exec NAME`: without a command it starts the shell."),
    ("enter", "Use `msb exec NAME`: without a command it starts the shell."),
];

/// Answers for a command line that is not carried out: help, version, or what is wrong.
pub(crate) fn answer(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let report = plain_report(arguments);
    match error.kind() {
        ErrorKind::DisplayHelp if is_top_level(arguments) => {
            report.out(&help::grouped(&Cli::command()));
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            report.out(&error.render().to_string());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
            if words(arguments).is_empty() =>
        {
            report.out(&help::grouped(&Cli::command()));
            ExitCode::SUCCESS
        }
        _ => {
            let failure = explained(error, arguments);
            report.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Returns a report for what happens before the flags are known.
pub(crate) fn plain_report(arguments: &[OsString]) -> Report {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let asks = |form: &str| {
        words.iter().any(|word| *word == format!("--output={form}"))
            || words.windows(2).any(|pair| pair == ["--output", form])
    };
    let output = match (words.contains(&"--json") || asks("json"), asks("ndjson")) {
        (true, _) => Output::Json,
        (false, true) => Output::Ndjson,
        (false, false) => Output::Text,
    };
    let (out, err, terminal) = (Style::PLAIN, Style::PLAIN, Terminal::none());
    let annotations = Annotations::Off;
    Report::new(Form { output, progress: Progress::Plain, out, err, annotations, terminal })
}

/// Returns the words of a command line that are no flags.
fn words(arguments: &[OsString]) -> Vec<&str> {
    let words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    words.filter(|word| !word.starts_with('-')).collect()
}

fn is_top_level(arguments: &[OsString]) -> bool {
    words(arguments).is_empty()
}

fn explained(error: &clap::Error, arguments: &[OsString]) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let path = command_path(arguments);
    // What clap names as `--output <FORM>` is told as it is typed.
    let given = text(ContextKind::InvalidArg).unwrap_or_default();
    let given = given.split(" <").next().unwrap_or_default().to_owned();
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            unknown_command(&path, &name)
        }
        ErrorKind::UnknownArgument => unknown_flag(&path, &given),
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg).unwrap_or_default();
            let other = other.split(" <").next().unwrap_or_default();
            let message = if other.is_empty() || other == given {
                format!("{given} was given twice")
            } else {
                format!("{given} does not go with {other}")
            };
            Failure::usage("usage::conflict", message).hint("Leave one of them out.")
        }
        ErrorKind::MissingRequiredArgument => {
            let page = format!("See `msb {} --help`.", path.join(" "));
            Failure::usage("usage::value", format!("{given} is missing")).hint(page)
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let page = format!("See `msb {} --help`.", path.join(" "));
            Failure::usage("usage::value", "a subcommand is missing").hint(page)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::NoEquals => {
            bad_value(error, &given, text(ContextKind::InvalidValue).unwrap_or_default().as_str())
        }
        _ => Failure::usage("usage::value", first_line(error)),
    }
}

/// Returns what clap says, without its label and what comes below.
pub(super) fn first_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let line = rendered.lines().next().unwrap_or("the command line is wrong");
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn bad_value(error: &clap::Error, given: &str, value: &str) -> Failure {
    if value.is_empty() {
        return Failure::usage("usage::value", format!("{given} wants a value"));
    }
    let failure = Failure::usage("usage::value", format!("{given}: `{value}` is no value for it"));
    if let Some(ContextValue::Strings(words)) = error.get(ContextKind::ValidValue) {
        return failure.hint(format!("Use one of {}.", words.join(", ")));
    }
    match std::error::Error::source(error) {
        Some(why) => failure.cause(why.to_string()),
        None => failure,
    }
}

/// Returns the names of the command that was meant, as far as they are known.
fn command_path(arguments: &[OsString]) -> Vec<&str> {
    let mut tree = Cli::command();
    let mut path = Vec::new();
    for word in words(arguments) {
        let Some(next) = tree.find_subcommand(word) else { continue };
        path.push(word);
        tree = next.clone();
        if !tree.has_subcommands() {
            break;
        }
    }
    path
}

fn at<'a>(tree: &'a Command, path: &[&str]) -> &'a Command {
    path.iter().fold(tree, |tree, word| tree.find_subcommand(word).unwrap_or(tree))
}

fn unknown_command(path: &[&str], name: &str) -> Failure {
    let whole = [path, &[name]].concat().join(" ");
    if later::command(path, name) {
        return Failure::not_yet(&whole);
    }
    let failure = Failure::usage("usage::flag", format!("there is no command `{whole}`"));
    if let Some((_, hint)) = HINTS.iter().find(|(word, _)| *word == name) {
        return failure.hint(*hint);
    }
    let tree = Cli::command();
    let names: Vec<&str> =
        at(&tree, path).get_subcommands().flat_map(Command::get_name_and_visible_aliases).collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => {
            let near = [path, &[near]].concat().join(" ");
            failure.hint(format!("Use `msb {near}`, if that was meant."))
        }
        None => failure.hint("See `msb --help` for all commands."),
    }
}

fn unknown_flag(path: &[&str], given: &str) -> Failure {
    let command = path.join(" ");
    if later::flag(&command, given) {
        return Failure::not_yet(given.split_once('=').map_or(given, |(flag, _)| flag));
    }
    if path.is_empty() && !given.starts_with('-') {
        return unknown_command(path, given);
    }
    let message = format!("`msb {command}` has no flag or place for `{given}`");
    let failure = Failure::usage("usage::flag", message);
    let tree = Cli::command();
    let command_tree = at(&tree, path);
    if let Some(letter) = given.strip_prefix('-').filter(|rest| rest.chars().count() == 1) {
        let long = [
            ("f", "--file"),
            ("p", "--project"),
            ("v", "--info"),
            ("q", "--quiet"),
            ("y", "--yes"),
        ];
        if let Some((_, long)) = long.iter().find(|(short, _)| *short == letter) {
            return failure.hint(format!("Write `{long}`, if the global flag was meant."));
        }
    }
    let flags: Vec<String> = command_tree
        .get_arguments()
        .chain(tree.get_arguments())
        .filter_map(|arg| arg.get_long())
        .map(|long| format!("--{long}"))
        .collect();
    match nearest(given, flags.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("Write `{near}`, if that was meant.")),
        None => failure.hint(format!("See `msb {command} --help`.")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn check(line: &str, code: &str, said: &str) {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::try_parse_from(&arguments).unwrap_err();
        let failure = explained(&error, &arguments);
        assert_eq!(failure.report.code, format!("msb::usage::{code}"), "{line}: {failure:?}");
        assert!(failure.text().contains(said), "{line}: {}", failure.text());
        assert_eq!(failure.exit_code(), if code == "not-yet" { 1 } else { 64 }, "{line}");
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_command_names_the_nearest_one() {
        check("msb pss", "flag", "`msb ps`");
        check("msb apply", "flag", "`msb up`");
        check("msb image lss", "flag", "`msb image ls`");
        check("msb ssh web", "not-yet", "ssh: not supported yet");
    }

    #[test]
    fn an_unknown_flag_names_the_nearest_one() {
        check("msb up --no-wiat", "flag", "`--no-wait`");
        check("msb stop -v web", "flag", "`--info`");
        check("msb run --secret A@a.example img", "not-yet", "--secret: not supported yet");
        check("msb run --tls-intercept img", "not-yet", "--tls-intercept: not supported yet");
        check("msb up --rollback", "not-yet", "--rollback: not supported yet");
    }

    #[test]
    fn a_bad_value_says_what_would_be_good() {
        check("msb --output xml ps", "value", "text, json, ndjson");
        check("msb stop -t 5x web", "value", "5x");
        check("msb ps --output json --output text", "conflict", "given twice");
    }
}
