//! Keys of the file, each by its row of the table.

use schema::sandboxfile::keys::{Key, Presence, Status, TOP};
use schema::sandboxfile::problem::nearest;
use serde_json::{Value, json};

use crate::cli::call::Call;

/// Templates go round for ever; nothing that is a key lies deeper.
const DEPTH_MAX: usize = 6;

/// Prints the rows of a key; tells whether there is one.
pub(super) fn tell(call: &Call, text: &str) -> bool {
    let found = find(text);
    if found.is_empty() {
        return false;
    }
    if call.report.is_text() {
        for (index, (path, key)) in found.iter().enumerate() {
            if index > 0 {
                call.report.line("");
            }
            page(path, key).iter().for_each(|line| call.report.line(line));
        }
    } else {
        let rows: Vec<Value> = found.iter().map(|(path, key)| row(path, key)).collect();
        call.report.document(&rows);
    }
    true
}

/// Returns the key that was probably meant.
pub(super) fn near(text: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    walk(TOP, "", 0, &mut |_, key| names.push(key.name));
    nearest(text, names).map(str::to_owned)
}

/// Returns the key at that path; else, of those that end so, the outermost ones.
fn find(text: &str) -> Vec<(String, &'static Key)> {
    let mut exact = Vec::new();
    let mut ending: Vec<(String, &'static Key)> = Vec::new();
    walk(TOP, "", 0, &mut |path, key| {
        if path == text {
            exact.push((path.to_owned(), key));
        } else if is_of_sandboxes(path) {
            // They have the keys of sandboxes, which are told.
        } else if path.strip_suffix(text).is_some_and(|rest| rest.ends_with('.')) {
            let known = ending.iter().any(|(_, other)| std::ptr::eq(*other, key) || *other == key);
            if !known {
                ending.push((path.to_owned(), key));
            }
        }
    });
    if exact.is_empty() { ending } else { exact }
}

/// Tells whether a key stands in what has the keys of sandboxes.
fn is_of_sandboxes(path: &str) -> bool {
    path.starts_with("template.") || path.starts_with("job.")
}

fn walk(
    keys: &'static [Key],
    within: &str,
    depth: usize,
    visit: &mut impl FnMut(&str, &'static Key),
) {
    for key in keys {
        let path =
            if within.is_empty() { key.name.to_owned() } else { format!("{within}.{}", key.name) };
        visit(&path, key);
        if let Some(plural) = key.plural.filter(|_| depth == 0) {
            visit(plural, key);
        }
        if depth < DEPTH_MAX {
            walk(key.inner(), &path, depth + 1, visit);
        }
    }
}

fn default(key: &Key) -> &'static str {
    match (key.presence, key.default) {
        (Presence::Required, _) => "none, it must be written",
        (Presence::Optional | Presence::Nullable, "") => "none",
        (Presence::Optional | Presence::Nullable, default) => default,
    }
}

fn page(path: &str, key: &Key) -> Vec<String> {
    let mut lines = vec![path.to_owned(), format!("  {}", key.about), String::new()];
    lines.push(format!("  takes    {}", key.takes()));
    lines.push(format!("  default  {}", default(key)));
    if !key.class.is_empty() {
        lines.push(format!("  class    {}", class(key)));
    }
    if let Some(plural) = key.plural {
        lines.push(format!("  in YAML  {plural}"));
    }
    let inner: Vec<&str> = key.inner().iter().map(|key| key.name).collect();
    if !inner.is_empty() {
        lines.push(format!("  keys     {}", inner.join(", ")));
    }
    if key.status == Status::NotYet {
        lines.push("  It is not supported yet.".to_owned());
    }
    lines
}

/// Returns the class in words that need no legend.
fn class(key: &Key) -> String {
    key.class.replace('†', "exec where nothing but commands run, else restart")
}

fn row(path: &str, key: &Key) -> Value {
    let inner: Vec<&str> = key.inner().iter().map(|key| key.name).collect();
    json!({
        "key": path, "plural": key.plural, "takes": key.takes(), "default": default(key),
        "class": class(key), "about": key.about, "keys": inner,
        "supported": key.status == Status::Supported,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        find(text).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_key_is_found_by_its_path_and_by_its_end() {
        assert_eq!(paths("sandbox.memory"), ["sandbox.memory"]);
        assert_eq!(paths("volumes"), ["volumes"]);
        assert_eq!(paths("memory"), ["sandbox.memory"]);
        assert!(paths("quota").contains(&"volume.quota".to_owned()));
        assert_eq!(paths("memory.max"), ["sandbox.memory.max"]);
        assert!(paths("sandbox.web.memory").is_empty() && paths("memoryy").is_empty());
        assert_eq!(near("memoryy").as_deref(), Some("memory"));
    }
}
