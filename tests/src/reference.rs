//! The reference of the language, made from the table that the reader itself reads, and of the
//! command line, made from the tree that reads it.

use std::fmt::Write;

use serde_json::Value;

use schema::sandboxfile::keys::{Key, Presence, Status, TOP};

/// Returns `docs/reference/sandboxfile.md`.
pub fn sandboxfile() -> String {
    let mut page = String::from(
        "# Sandboxfile: every key\n\n\
         Made from the table that the reader uses; `MSB_GOLDEN=write ./test pages` makes it anew.\n\
         *Class* is what a change does in the best case: `meta` and `none` touch no machine, `live`\n\
         changes a running one, `exec` holds from the next command on, `restart` boots it again with\n\
         the same disks, `recreate` gives it a new root, `data-loss` would take bytes of a volume;\n\
         † is `exec` where nothing but commands run, else `restart`. A key that is *not yet* built is\n\
         refused by name.\n",
    );
    section(&mut page, "a file", TOP);
    page
}

/// Appends the table of one level, then the levels below what can be used today.
fn section(page: &mut String, title: &str, keys: &'static [Key]) {
    let written = write!(
        page,
        "\n## In {title}\n\n| key | written as | default | class | for |\n|---|---|---|---|---|\n"
    );
    written.expect("text grows");
    for key in keys {
        writeln!(page, "{}", row(key)).expect("text grows");
    }
    for key in keys.iter().filter(|key| key.status == Status::Supported) {
        if matches!(key.name, "job" | "template") {
            writeln!(page, "\n## In `{}`\n\nThe keys of `sandbox`.", key.name).expect("text grows");
            continue;
        }
        if title == "a file" && matches!(key.name, "network" | "metrics") {
            writeln!(page, "\n## In `{0}`\n\nThe keys of `{0}` in a sandbox.", key.name)
                .expect("text grows");
            continue;
        }
        let below = key.inner();
        if !below.is_empty() {
            let title = if title == "a file" {
                format!("`{}`", key.name)
            } else {
                format!("{title} › `{}`", key.name)
            };
            section(page, &title, below);
        }
    }
}

fn row(key: &Key) -> String {
    let name = match key.plural {
        Some(plural) => format!("`{}` (YAML `{plural}`)", key.name),
        None => format!("`{}`", key.name),
    };
    let default = match (key.presence, key.default) {
        (Presence::Required, _) => "required",
        (Presence::Optional | Presence::Nullable, "") => "–",
        (Presence::Optional | Presence::Nullable, default) => default,
    };
    let about = match key.status {
        Status::Supported => key.about.to_owned(),
        Status::NotYet => format!("*Not yet.* {}", key.about),
    };
    let class = if key.class.is_empty() { "–" } else { key.class };
    format!("| {name} | {} | {default} | {class} | {about} |", key.takes())
}

/// Returns `docs/reference/cli.md`, made from what `msb schema cli` prints.
pub fn cli(tree: &Value) -> String {
    let mut page = String::from(
        "# The command line: every command and flag\n\n\
         Made from the command tree; `MSB_GOLDEN=write ./test pages` makes it anew. `msb schema cli`\n\
         prints the same for programs. What each command does and prints: `msb help COMMAND`.\n\n\
         ## Global flags\n\n\
         Every command takes them; the one-letter forms stand before the command.\n",
    );
    table(&mut page, "flag", &tree["global_flags"]);
    for command in list(&tree["commands"]) {
        section_of(&mut page, command);
    }
    page
}

fn section_of(page: &mut String, command: &Value) {
    if command["hidden"] == true {
        return;
    }
    let aliases: Vec<String> =
        list(&command["aliases"]).iter().map(|alias| format!("`{}`", text(alias))).collect();
    let aliases = match aliases.as_slice() {
        [] => String::new(),
        some => format!(" Also {}.", some.join(", ")),
    };
    let (path, about) = (text(&command["path"]), text(&command["about"]));
    write!(page, "\n## `{path}`\n\n{about}.{aliases}\n").expect("text grows");
    table(page, "argument", &command["arguments"]);
    table(page, "flag", &command["flags"]);
    for inner in list(&command["commands"]) {
        section_of(page, inner);
    }
}

/// Appends a table of flags or arguments; nothing where there are none.
fn table(page: &mut String, noun: &str, rows: &Value) {
    let rows: Vec<&Value> = list(rows).iter().filter(|row| row["hidden"] == false).collect();
    if rows.is_empty() {
        return;
    }
    write!(page, "\n| {noun} | takes | default | for |\n|---|---|---|---|\n").expect("text grows");
    for row in rows {
        let names = ["short", "long"].map(|form| row[form].as_str().unwrap_or_default());
        let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        let (value, repeats) = (text(&row["value"]), row["repeatable"] == true);
        let repeats = if repeats { "…" } else { "" };
        let name = match names.as_slice() {
            [] => format!("`{value}`{repeats}"),
            some => format!("`{}`{repeats}", some.join(", ")),
        };
        let default = match (row["required"] == true, row["default"].as_str()) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => default.to_owned(),
            (false, None) => "–".to_owned(),
        };
        let about = text(&row["about"]);
        let cells = [name, takes(row), default, about].map(|cell| cell.replace('|', "\\|"));
        writeln!(page, "| {} |", cells.join(" | ")).expect("text grows");
    }
}

fn takes(row: &Value) -> String {
    let choices: Vec<String> = row["choices"].as_array().map_or_else(Vec::new, |choices| {
        choices.iter().map(|choice| format!("`{}`", text(choice))).collect()
    });
    match text(&row["type"]).as_str() {
        "boolean" | "count" => "–".to_owned(),
        "choice" => choices.join(", "),
        other => format!("{other} `{}`", text(&row["value"])),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
