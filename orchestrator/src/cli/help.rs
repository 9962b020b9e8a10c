//! Explain a command or a topic

use std::borrow::Cow;
use std::fmt::Write as _;

use clap::{Command, CommandFactory};
use schema::sandboxfile::merge::{LAW, Law};
use schema::sandboxfile::problem::nearest;

use super::Cli;
use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;

/// Explain a command or a topic
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command, or one of the topics `exit-codes`, `environment`, `values`, `merge`
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

/// The groups of commands, in the order of the page.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Project",
        &[
            "init", "up", "down", "diff", "plan", "ps", "logs", "events", "lock", "fmt", "config",
            "validate", "export", "adopt", "graph", "convert",
        ],
    ),
    (
        "Sandboxes",
        &[
            "run", "create", "start", "stop", "kill", "restart", "rm", "list", "exec", "cp",
            "logs", "inspect", "metrics", "top", "wait", "touch", "net",
        ],
    ),
    ("Images", &["pull", "load", "save", "image", "registry"]),
    ("Storage", &["volume", "df"]),
    ("Installation", &["doctor", "setup"]),
    ("Other", &["explain", "schema", "agent-socket", "help"]),
];

/// The pages that are of no command.
const TOPICS: &[(&str, Topic)] = &[
    ("exit-codes", Topic::Text(include_str!("help/exit-codes.txt"))),
    ("environment", Topic::Text(include_str!("help/environment.txt"))),
    ("values", Topic::Text(include_str!("help/values.txt"))),
    ("merge", Topic::Law),
];

/// What a page says.
enum Topic {
    /// This.
    Text(&'static str),
    /// How layers are laid over one another, from the table that does it.
    Law,
}

impl Topic {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Law => Cow::Owned(merge_law()),
        }
    }
}

/// Returns the merge law, with an example of each shape.
fn merge_law() -> String {
    let mut text = String::from(
        "Files are layers: those given with -f from left to right, the local one on top. Templates and\n\
         what the project says of all lie below a sandbox. The upper layer is laid over the lower:\n",
    );
    for Law { shape, effect, example: [lower, upper, whole] } in LAW {
        let _ = write!(text, "\n{shape}: {effect}\n");
        let _ = write!(text, "  lower   {lower}\n  upper   {upper}\n  is      {whole}\n");
    }
    text
}

/// Prints the page that was asked for.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let mut tree = Cli::command();
    if let [word] = args.words.as_slice()
        && let Some((_, topic)) = TOPICS.iter().find(|(name, _)| name == word)
    {
        call.report.out(&topic.text());
        return Ok(0);
    }
    if args.words.is_empty() {
        call.report.out(&grouped(&tree));
        return Ok(0);
    }
    tree.build();
    let mut command = &tree;
    for word in &args.words {
        let Some(next) = command.find_subcommand(word) else {
            let known = command.get_subcommands().map(Command::get_name);
            let topics = TOPICS.iter().map(|(topic, _)| *topic);
            let failure = Failure::usage("usage::value", format!("there is no page on `{word}`"));
            return Err(match nearest(word, known.chain(topics)) {
                Some(near) => failure.hint(format!("Read `msb help {near}`.")),
                None => failure.hint("Read `msb help` for all commands."),
            }
            .into());
        };
        command = next;
    }
    call.report.out(&command.clone().render_help().to_string());
    Ok(0)
}

/// Returns the page of `msb --help`: groups of commands, then the flags of all.
pub(crate) fn grouped(tree: &Command) -> String {
    let mut text = String::from(
        "Keep a set of microVM sandboxes as a file says they should be\n\n\
         Usage: msb [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS] [-- GUEST ARGV]\n",
    );
    for (group, names) in GROUPS {
        let _ = write!(text, "\n{group}:\n");
        for name in *names {
            let Some(command) = tree.find_subcommand(name) else { continue };
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let aliases: Vec<&str> = command.get_visible_aliases().collect();
            let aliases = match aliases.as_slice() {
                [] => String::new(),
                some => format!(" [aliases: {}]", some.join(", ")),
            };
            let _ = writeln!(text, "  {name:<13}{about}{aliases}");
        }
    }
    text.push_str("\nGlobal flags:\n");
    let flags = tree.get_arguments().filter(|arg| arg.get_long().is_some());
    for flag in flags {
        let long = flag.get_long().unwrap_or_default();
        let value = flag.get_value_names().filter(|_| flag.get_action().takes_values());
        let value = value.and_then(|names| names.first()).map(|name| format!(" {name}"));
        let spelt = match SHORTS.iter().find(|(_, of)| *of == long) {
            Some((short, _)) => format!("-{short}, --{long}{}", value.unwrap_or_default()),
            None => format!("    --{long}{}", value.unwrap_or_default()),
        };
        let about = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "  {spelt:<25}{about}");
    }
    text.push_str("  -h, --help               Print help\n");
    text.push_str("  -V, --version            Print the version\n");
    text.push_str("\nRead more with `msb help COMMAND` and `msb help exit-codes`.\n");
    text
}

/// One-letter forms that stand before the command.
const SHORTS: &[(char, &str)] =
    &[('f', "file"), ('p', "project"), ('v', "info"), ('q', "quiet"), ('y', "yes")];

/// Returns the groups that a command stands in.
pub(super) fn groups_of(command: &str) -> Vec<&'static str> {
    let inside = GROUPS.iter().filter(|(_, names)| names.contains(&command));
    inside.map(|(group, _)| *group).collect()
}

/// Returns the one letter that stands for a global flag before the command.
pub(super) fn short_of(long: &str) -> Option<char> {
    SHORTS.iter().find(|(_, of)| *of == long).map(|(short, _)| *short)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page as it was reviewed; `MSB_GOLDEN` is not read here, so edit it by hand.
    const GOLDEN: &str = include_str!("help/top.txt");

    #[test]
    fn the_page_of_all_commands_is_the_one_that_was_reviewed() {
        assert_eq!(grouped(&Cli::command()), GOLDEN);
    }

    #[test]
    fn every_command_that_is_not_hidden_stands_in_a_group() {
        let tree = Cli::command();
        let shown = tree.get_subcommands().filter(|command| !command.is_hide_set());
        for command in shown {
            let name = command.get_name();
            assert!(GROUPS.iter().any(|(_, names)| names.contains(&name)), "{name}");
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && about.len() <= 72, "{name}: {about}");
        }
    }
}
