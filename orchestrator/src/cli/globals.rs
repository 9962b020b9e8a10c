//! The flags that every command takes, and what they come to: flag, else variable, else configuration, else built in.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, ValueEnum};
use schema::name::ProjectName;

use super::failure::Failure;
use super::values;
use crate::configuration::Configuration;
use crate::context::{Context, Stream};
use crate::report::style::{Style, When};
use crate::report::{Annotations, Form, Output, Progress};

/// The heading under which every page of help lists these flags.
const HEADING: &str = "Global flags";

/// The flags, as they are written.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Globals {
    /// The Sandboxfile; `-` is stdin; several are layers [default: discovery]
    #[arg(long, global = true, value_name = "PATH", action = ArgAction::Append)]
    pub(crate) file: Vec<PathBuf>,
    /// The current project [default: the file's name, else `adhoc`]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
    /// Where state lives [default: `$MSB_HOME`, else `~/.microsandbox`]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) level: Levels,
    /// When colour is used [default: auto]
    #[arg(long, global = true, value_name = "WHEN")]
    pub(crate) color: Option<Color>,
    /// Form of the result on stdout [default: text]
    ///
    /// A text until the command is known: `save` means a path by it.
    #[arg(long, global = true, value_name = "FORM", conflicts_with = "json", value_parser = forms())]
    pub(crate) output: Option<String>,
    /// Short for `--output json`, and for `ndjson` in `logs`, `events` and `metrics --watch`
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Form of progress on stderr [default: auto]
    #[arg(long, global = true, value_name = "FORM", conflicts_with = "quiet")]
    pub(crate) progress: Option<ProgressForm>,
    /// Short for `--progress quiet`; in list commands names only
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Who runs machines that this call boots [default: auto]
    #[arg(long, global = true, value_name = "DRIVER")]
    pub(crate) driver: Option<Driver>,
    #[command(flatten)]
    pub(crate) consent: ConsentFlags,
    /// How long a held lock is waited for [default: 0s on a terminal, else 5m]
    #[arg(long, global = true, value_name = "DUR", value_parser = values::duration_or_zero)]
    pub(crate) lock_timeout: Option<Duration>,
}

/// What is agreed to, and what is insisted on.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct ConsentFlags {
    /// Refuse hosts that cannot give a machine the whole jail [default: warn]
    #[arg(long, global = true)]
    pub(crate) require_jail: bool,
    /// Agree to what would be asked; never to the loss of data
    #[arg(long, global = true)]
    pub(crate) yes: bool,
}

/// The level of msb's own log; one of them.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = HEADING)]
#[group(id = "level", multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "one flag a level, at most one of them given")]
pub(crate) struct Levels {
    /// Log errors only
    #[arg(long, global = true)]
    pub(crate) error: bool,
    /// Log warnings too [default]
    #[arg(long, global = true)]
    pub(crate) warn: bool,
    /// Log what happens (`-v` before the command)
    #[arg(long, global = true)]
    pub(crate) info: bool,
    /// Log more (`-vv`)
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Log everything (`-vvv`)
    #[arg(long, global = true)]
    pub(crate) trace: bool,
}

/// The short forms that stand before the command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Shorts {
    /// Same as `--file`
    #[arg(short = 'f', id = "short-file", value_name = "PATH", action = ArgAction::Append)]
    pub(crate) file: Vec<PathBuf>,
    /// Same as `--project`
    #[arg(short = 'p', id = "short-project", value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
    /// Log more; up to three times
    #[arg(short = 'v', id = "short-verbose", action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Same as `--quiet`
    #[arg(short = 'q', id = "short-quiet")]
    pub(crate) quiet: bool,
    /// Same as `--yes`
    #[arg(short = 'y', id = "short-yes")]
    pub(crate) yes: bool,
}

/// The short forms that stand after a command of a project.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ProjectShorts {
    /// Same as `--file`
    #[arg(short = 'f', id = "after-file", value_name = "PATH", action = ArgAction::Append)]
    pub(crate) file: Vec<PathBuf>,
    /// Same as `--project`
    #[arg(short = 'p', id = "after-project", value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
}

/// `--color`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// Where a terminal takes it
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Returns the words of [`OutputForm`].
fn forms() -> PossibleValuesParser {
    let values = OutputForm::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(values)
}

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people
    Text,
    /// One document
    Json,
    /// A line for each element
    Ndjson,
    /// Tables for a comment beside a change; of `diff` and `plan` only
    Markdown,
}

/// `--progress`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressForm {
    /// What stderr takes
    Auto,
    /// Lines that are repainted
    Tty,
    /// A line for each change
    Plain,
    /// A JSON line for each event
    Json,
    /// Warnings and errors only
    Quiet,
}

/// `--driver`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    /// The best one that proves itself
    Auto,
    /// libkrun on KVM
    Krun,
    /// QEMU, on KVM or emulated
    Qemu,
    /// The agent as an ordinary process; for tests
    Process,
}

/// The flags of one call, resolved.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "flags, resolved, one field each")]
pub(crate) struct Settings {
    /// The files that were named.
    pub(crate) files: Vec<PathBuf>,
    /// The project that was named.
    pub(crate) project: Option<ProjectName>,
    /// Who runs machines.
    pub(crate) driver: Driver,
    /// Refuse hosts without the whole jail.
    pub(crate) require_jail: bool,
    /// Agreed to what would be asked.
    pub(crate) yes: bool,
    /// Names only, in lists.
    pub(crate) quiet: bool,
    /// Tables in Markdown, of commands that show a plan.
    pub(crate) markdown: bool,
    /// How long a held lock is waited for.
    pub(crate) lock_timeout: Duration,
    /// The level of msb's own log, where a flag or a variable gives one.
    pub(crate) level: Option<&'static str>,
}

/// The levels, quietest first.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

impl Globals {
    /// Joins what stood before the command.
    ///
    /// # Errors
    /// The same was said twice in different ways.
    pub(crate) fn join(&mut self, before: &Shorts) -> Result<(), Failure> {
        self.join_files(&before.file, before.project.as_ref())?;
        self.quiet |= before.quiet;
        self.consent.yes |= before.yes;
        if before.verbose > 0 && self.level.given().is_some() {
            return Err(Failure::usage("usage::conflict", "two log levels were given"));
        }
        match before.verbose {
            0 => {}
            1 => self.level.info = true,
            2 => self.level.debug = true,
            _ => self.level.trace = true,
        }
        Ok(())
    }

    /// Joins short forms that stood after the command.
    ///
    /// # Errors
    /// Two projects were named.
    pub(crate) fn join_project(&mut self, after: &ProjectShorts) -> Result<(), Failure> {
        self.join_files(&after.file, after.project.as_ref())
    }

    fn join_files(
        &mut self,
        files: &[PathBuf],
        project: Option<&ProjectName>,
    ) -> Result<(), Failure> {
        self.file.extend_from_slice(files);
        match (project, &self.project) {
            (Some(_), Some(_)) => {
                Err(Failure::usage("usage::conflict", "the project was named twice"))
            }
            (Some(name), None) => {
                self.project = Some(name.clone());
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// Returns how the command reports.
    ///
    /// # Errors
    /// A variable is malformed.
    pub(crate) fn form(
        &self,
        context: &Context,
        configuration: &Configuration,
    ) -> Result<Form, Failure> {
        let output = match self.output_form(context)? {
            OutputForm::Text | OutputForm::Markdown => Output::Text,
            OutputForm::Json => Output::Json,
            OutputForm::Ndjson => Output::Ndjson,
        };
        let (environment, terminal) = (&context.environment, &context.terminal);
        let is_said = environment.get("NO_COLOR").is_some()
            || environment.get("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let configured = configuration.color.filter(|_| !is_said).and_then(word);
        let when = match self.color.or(configured) {
            Some(Color::Always) => When::Always,
            Some(Color::Never) => When::Never,
            Some(Color::Auto) | None => When::Auto,
        };
        let github = environment.get("GITHUB_ACTIONS") == Some("true");
        Ok(Form {
            output,
            progress: self.progress(context, configuration, output)?,
            out: Style::of(when, environment, terminal, Stream::Out),
            err: Style::of(when, environment, terminal, Stream::Err),
            annotations: if github { Annotations::Github } else { Annotations::Off },
            terminal: *terminal,
        })
    }

    fn output_form(&self, context: &Context) -> Result<OutputForm, Failure> {
        let form = self.output.as_deref().and_then(|text| OutputForm::from_str(text, false).ok());
        Ok(match (self.json, form) {
            (true, _) => OutputForm::Json,
            (false, Some(form)) => form,
            (false, None) => variable(context, "MSB_OUTPUT")?.unwrap_or(OutputForm::Text),
        })
    }

    fn progress(
        &self,
        context: &Context,
        configuration: &Configuration,
        output: Output,
    ) -> Result<Progress, Failure> {
        if self.quiet {
            return Ok(Progress::Quiet);
        }
        let asked = match self.progress {
            Some(form) => form,
            None => variable(context, "MSB_PROGRESS")?
                .or_else(|| configuration.progress.and_then(word))
                .unwrap_or(ProgressForm::Auto),
        };
        let is_tty = context.terminal.is_tty(Stream::Err);
        Ok(match asked {
            ProgressForm::Tty => Progress::Tty,
            ProgressForm::Plain => Progress::Plain,
            ProgressForm::Json => Progress::Json,
            ProgressForm::Quiet => Progress::Quiet,
            ProgressForm::Auto => match output {
                Output::Ndjson => Progress::Quiet,
                Output::Json if !is_tty => Progress::Quiet,
                Output::Text | Output::Json
                    if is_tty && context.terminal.is_capable && !context.is_ci() =>
                {
                    Progress::Tty
                }
                Output::Text | Output::Json => Progress::Plain,
            },
        })
    }

    /// Returns what flags, variables and configuration come to.
    ///
    /// # Errors
    /// A variable is malformed.
    pub(crate) fn settings(
        &self,
        context: &Context,
        configuration: &Configuration,
    ) -> Result<Settings, Failure> {
        let environment = &context.environment;
        let project = match (&self.project, environment.get("MSB_PROJECT")) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(text)) => {
                Some(ProjectName::parse(text).map_err(|e| malformed("MSB_PROJECT", &e))?)
            }
            (None, None) => None,
        };
        let driver = match self.driver {
            Some(driver) => driver,
            None => variable(context, "MSB_DRIVER")?
                .or_else(|| configuration.driver.and_then(word))
                .unwrap_or(Driver::Auto),
        };
        let lock_timeout = match (self.lock_timeout, environment.get("MSB_LOCK_TIMEOUT")) {
            (Some(time), _) => time,
            (None, Some(text)) => {
                values::duration_or_zero(text).map_err(|e| malformed("MSB_LOCK_TIMEOUT", &e))?
            }
            (None, None) => {
                configuration.lock_timeout.unwrap_or(match context.terminal.is_tty(Stream::Err) {
                    true => Duration::ZERO,
                    false => Duration::from_secs(300),
                })
            }
        };
        let level = match (self.level.given(), environment.get("MSB_LOG")) {
            (Some(level), _) => Some(level),
            (None, Some(text)) => {
                let known = LEVELS.iter().find(|level| **level == text);
                Some(*known.ok_or_else(|| malformed("MSB_LOG", &format!("`{text}` is no level")))?)
            }
            (None, None) => None,
        };
        let jail = self.consent.require_jail
            || environment.get("MSB_REQUIRE_JAIL").map_or_else(
                || configuration.require_jail.unwrap_or(false),
                |variable| variable == "1",
            );
        Ok(Settings {
            files: self.file.clone(),
            project,
            driver,
            require_jail: jail,
            yes: self.consent.yes,
            quiet: self.quiet,
            markdown: self.output_form(context)? == OutputForm::Markdown,
            lock_timeout,
            level,
        })
    }
}

impl Levels {
    /// Returns the level that was given.
    #[must_use]
    pub(crate) fn given(self) -> Option<&'static str> {
        let flags = [self.error, self.warn, self.info, self.debug, self.trace];
        flags.iter().zip(LEVELS).find(|(given, _)| **given).map(|(_, level)| level)
    }
}

/// Returns a variable that is one of a closed set of words.
fn variable<T: ValueEnum>(context: &Context, name: &str) -> Result<Option<T>, Failure> {
    let Some(text) = context.environment.get(name) else { return Ok(None) };
    T::from_str(text, false).map(Some).map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|value| value.to_possible_value())
            .map(|value| value.get_name().to_owned())
            .collect();
        malformed(name, &format!("`{text}` is none of {}", words.join(", ")))
    })
}

/// Returns what a word of the configuration means, which knows only words of ours.
fn word<T: ValueEnum>(word: &str) -> Option<T> {
    T::from_str(word, false).ok()
}

fn malformed(name: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::usage("usage::value", format!("the variable {name} is malformed"))
        .cause(why.to_string())
}
