//! The command tree as JSON: every command, flag, type and default.

use clap::{Arg, ArgAction, Command};
use serde_json::{Value, json};

use crate::cli::help;
use crate::report::json::FORMAT_VERSION;

/// Returns the whole tree; flags that every command takes stand once, at its top.
pub(super) fn document(mut tree: Command) -> Value {
    tree.build();
    let global = |arg: &&Arg| arg.get_long().is_some() && !is_builtin(arg);
    let flags: Vec<Value> = tree.get_arguments().filter(global).map(flag).collect();
    let commands = tree
        .get_subcommands()
        .filter(|command| command.get_name() != "help" || !command.is_hide_set());
    json!({
        "format_version": FORMAT_VERSION,
        "msb_version": env!("CARGO_PKG_VERSION"),
        "name": tree.get_name(),
        "about": tree.get_about().map(ToString::to_string),
        "global_flags": flags,
        "commands": commands.map(|one| command(one, "msb")).collect::<Vec<_>>(),
    })
}

fn command(of: &Command, parent: &str) -> Value {
    let path = format!("{parent} {}", of.get_name());
    let own = |arg: &&Arg| !arg.is_global_set() && !is_builtin(arg);
    let arguments: Vec<&Arg> = of.get_arguments().filter(own).collect();
    let (flags, places): (Vec<&Arg>, Vec<&Arg>) =
        arguments.into_iter().partition(|arg| !arg.is_positional());
    let inner = of.get_subcommands().filter(|inner| inner.get_name() != "help");
    json!({
        "name": of.get_name(),
        "path": path,
        "aliases": of.get_visible_aliases().collect::<Vec<_>>(),
        "groups": help::groups_of(of.get_name()),
        "hidden": of.is_hide_set(),
        "about": of.get_about().map(ToString::to_string),
        "flags": flags.into_iter().map(flag).collect::<Vec<_>>(),
        "arguments": places.into_iter().map(argument).collect::<Vec<_>>(),
        "commands": inner.map(|inner| command(inner, &path)).collect::<Vec<_>>(),
    })
}

fn is_builtin(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

fn flag(arg: &Arg) -> Value {
    let mut value = argument(arg);
    value["long"] = json!(arg.get_long().map(|long| format!("--{long}")));
    let short = arg.get_short().or_else(|| help::short_of(arg.get_long().unwrap_or_default()));
    value["short"] = json!(short.map(|short| format!("-{short}")));
    value
}

/// Describes what a flag and a place have in common.
fn argument(arg: &Arg) -> Value {
    let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let takes = arg.get_action().takes_values();
    let name = arg.get_value_names().filter(|_| takes).and_then(|names| names.first());
    let choices: Vec<String> = if takes {
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
    } else {
        Vec::new()
    };
    let many = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    json!({
        "value": name.map(ToString::to_string),
        "type": type_of(arg, name.map_or("", |name| name.as_str()), !choices.is_empty()),
        "choices": (!choices.is_empty()).then_some(choices),
        "default": default_of(arg, &about),
        "required": arg.is_required_set(),
        "repeatable": many || matches!(arg.get_action(), ArgAction::Append | ArgAction::Count),
        "hidden": arg.is_hide_set(),
        "about": about.split(" [default").next(),
    })
}

/// The word for what a value is; the name of a value says it, as in help.
fn type_of(arg: &Arg, name: &str, has_choices: bool) -> &'static str {
    match (arg.get_action(), name) {
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => "boolean",
        (ArgAction::Count, _) => "count",
        _ if has_choices => "choice",
        (_, "DUR") => "duration",
        (_, "SIZE") => "size",
        (_, "N") => "integer",
        (_, "INSTANT") => "instant",
        (_, "PATH" | "DIR" | "FILE") => "path",
        (_, "KEY[=VALUE]") => "key=value",
        _ => "string",
    }
}

/// Help says the default in its last brackets; `[default]` marks the choice that is made.
fn default_of(arg: &Arg, about: &str) -> Value {
    let said = about.rsplit_once("[default: ").and_then(|(_, rest)| rest.strip_suffix(']'));
    match (said, arg.get_action()) {
        (Some(said), _) => json!(said),
        (None, ArgAction::SetTrue) if about.ends_with("[default]") => json!("on"),
        (None, ArgAction::SetTrue) => json!("off"),
        (None, _) => Value::Null,
    }
}
