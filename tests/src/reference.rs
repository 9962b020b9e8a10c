//! The reference of the language, made from the table that the reader itself reads.

use std::fmt::Write;

use schema::sandboxfile::keys::{Key, Presence, Shape, Status, TOP, Type};

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
        let below = inner(key.shape);
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
    format!("| {name} | {} | {default} | {class} | {about} |", shape(key))
}

fn shape(key: &Key) -> String {
    let null = if key.presence == Presence::Nullable { ", or null" } else { "" };
    match key.shape {
        Shape::Scalar(ty) => format!("{}{null}", words(ty)),
        Shape::List(ty) => format!("list of {}{null}", words(ty)),
        Shape::Line { principal, attributes: [] } => words(principal.ty),
        Shape::Line { principal, .. } => {
            format!("‹{}› {}, properties", principal.name, words(principal.ty))
        }
        Shape::Block { principal: Some(principal), .. } => {
            format!("‹{}› {}, block", principal.name, words(principal.ty))
        }
        Shape::Block { principal: None, .. } => "block".to_owned(),
        Shape::Map { key, .. } => format!("map by {}", words(key)),
        Shape::Keyed { identity, .. } => format!("one entry for each {}", words(identity)),
        Shape::Rows(_) => "rows of properties".to_owned(),
        Shape::Tagged { tags, .. } => format!("rows of {}", tags.join(" or ")),
    }
}

const fn inner(shape: Shape) -> &'static [Key] {
    match shape {
        Shape::Line { attributes: keys, .. }
        | Shape::Block { keys, .. }
        | Shape::Keyed { keys, .. }
        | Shape::Rows(keys) => keys,
        Shape::Map { value: Shape::Line { attributes, .. }, .. } => attributes,
        Shape::Scalar(_) | Shape::List(_) | Shape::Map { .. } | Shape::Tagged { .. } => &[],
    }
}

fn words(ty: Type) -> String {
    match ty {
        Type::Count(least, u64::MAX) => format!("count from {least}"),
        Type::Count(least, most) => format!("count {least} to {most}"),
        Type::Choice(choices) => choices.join(" / "),
        Type::Text(_) => "text".to_owned(),
        Type::Bool => "true / false".to_owned(),
        Type::Size(..) => "size".to_owned(),
        Type::SizeOrNone => "size or none".to_owned(),
        Type::Duration(_) => "duration".to_owned(),
        Type::Limit => "count or unlimited".to_owned(),
        other => {
            // `GuestPath` reads as "guest path".
            let mut text = String::new();
            for letter in format!("{other:?}").chars() {
                if letter.is_uppercase() && !text.is_empty() {
                    text.push(' ');
                }
                text.push(letter.to_ascii_lowercase());
            }
            text
        }
    }
}
