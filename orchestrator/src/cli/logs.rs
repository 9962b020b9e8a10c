//! Show what sandboxes wrote

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::log_following::{Filter, Following};
use super::log_lines::Lines;
use super::standing::Standing;
use super::targets::Targets;
use crate::context::{Clock as _, Stream};
use crate::follow::{Cursor, Source};
use crate::report::time::parse_instant;

/// Show what sandboxes wrote
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Go on until every chosen one rests [default: off]
    #[arg(short, long)]
    follow: bool,
    /// From this instant on: a time, or how long ago
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,
    /// Up to this instant, which is not shown any more [default: no end]
    #[arg(long, value_name = "INSTANT", conflicts_with = "follow")]
    until: Option<String>,
    /// Go on where a JSON line left off, by its `cursor`
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// The last N lines of each; 0 is none [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
    /// stdout, stderr, output, system, console, runtime, all [default: stdout,stderr,output]
    #[arg(long, value_name = "SRC", value_delimiter = ',')]
    source: Vec<String>,
    /// Lines that match (can be repeated; any is enough) [default: all]
    #[arg(long, value_name = "REGEX", value_parser = expression)]
    grep: Vec<Regex>,
    /// One session, or `main` (can be repeated) [default: all]
    #[arg(long, value_name = "ID")]
    session: Vec<String>,
    #[command(flatten)]
    pub(super) shape: Shape,
}

/// How lines are shown.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "four flags of the command line")]
pub(super) struct Shape {
    /// Show the time of each line [default: off]
    #[arg(short, long)]
    pub(super) timestamps: bool,
    /// Show the session of each line [default: off]
    #[arg(long)]
    pub(super) show_session: bool,
    /// Show no names [default: names, where there are several]
    #[arg(long)]
    pub(super) no_prefix: bool,
    /// Write bytes as they were written; not to a terminal [default: cleaned]
    #[arg(long)]
    pub(super) raw: bool,
}

/// The longest expression, as in a Sandboxfile.
const REGEX_BYTES_MAX: usize = 512;

/// The largest automaton of an expression, as in a Sandboxfile.
const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;

/// Prints what lies there, and goes on where that is asked for.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let filter = filter(args, call)?;
    let out_is_tty = call.context.terminal.is_tty(Stream::Out);
    if args.shape.raw && out_is_tty && !call.report.form.out.is_coloured() {
        let message = "--raw to a terminal could steer it";
        return Err(Failure::usage("usage::conflict", message)
            .hint("Write to a file, or give `--color always`.")
            .into());
    }
    let chosen = Standing::of(call, &args.targets)?;
    let lines = Lines::new(call, args.shape);
    let mut following = Following::open(call, chosen, filter, lines)?;
    if following.is_empty() && args.targets.is_by_rule() {
        call.report.warn("no sandbox was chosen by label or `--all`");
    } else if following.is_empty() {
        call.report.note("no sandboxes");
    }
    following.first_lines(args.tail, args.after.as_ref())?;
    if args.follow { following.go_on() } else { Ok(following.end()) }
}

fn filter(args: &Args, call: &Call) -> Result<Filter, Failure> {
    let mut sources = BTreeSet::new();
    for word in &args.source {
        if word == "all" {
            sources.extend(Source::ALL);
            continue;
        }
        let source = Source::parse(word).ok_or_else(|| {
            Failure::usage("usage::value", format!("--source: `{word}` is no source"))
                .hint("Use stdout, stderr, output, system, console, runtime or all.")
        })?;
        sources.insert(source);
    }
    if sources.is_empty() {
        sources.extend([Source::Stdout, Source::Stderr, Source::Output]);
    }
    let now_ms = call.context.clock.unix_ms();
    let since_ms = instant("--since", args.since.as_deref(), now_ms)?.unwrap_or(0);
    let until_ms = instant("--until", args.until.as_deref(), now_ms)?.unwrap_or(u64::MAX);
    let (sessions, grep) = (args.session.clone(), args.grep.clone());
    Ok(Filter { sources, sessions, since_ms, until_ms, grep })
}

fn instant(flag: &str, text: Option<&str>, now_ms: u64) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    parse_instant(text, now_ms).map(Some).ok_or_else(|| {
        Failure::usage("usage::value", format!("{flag}: `{text}` is no instant"))
            .hint("Write a time as `2026-11-22 10:02:11`, or how long ago as `10m`.")
    })
}

/// Reads a regular expression; it is as small as one of a Sandboxfile.
fn expression(text: &str) -> Result<Regex, String> {
    if text.len() > REGEX_BYTES_MAX {
        return Err(format!("a regular expression has at most {REGEX_BYTES_MAX} bytes"));
    }
    let built = RegexBuilder::new(text).size_limit(REGEX_COMPILED_BYTES_MAX).build();
    built.map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_as_small_as_one_of_a_sandboxfile() {
        let good = |text: &str| expression(text).is_ok();
        let long = "a".repeat(REGEX_BYTES_MAX + 1);
        let goods = ["^(error|warn)", "(", r"(\w{100}){100}", &long].map(good);
        assert_eq!(goods, [true, false, false, false]);
    }
}
