//! A node put into a text in YAML: whole lines where it belongs, every other byte stays.

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::print::{self, Order};
use schema::sandboxfile::problem::Problems;
use schema::sandboxfile::source::Format;
use schema::sandboxfile::syntax::yaml;
use schema::sandboxfile::tree::{Entry, Origin, Tree};

use super::{EditError, same};

/// Returns the text with one more node: the last of its kind, else at the end.
///
/// # Errors
/// The text is no YAML, or so laid out that no line goes in.
pub fn insert_node(text: &str, node: &Entry<'_>) -> Result<String, EditError> {
    let before = read(text)?;
    let tree = Tree { entries: vec![node.clone()] };
    let written = print::tree(tree, Format::Yaml, Order::Table).map_err(EditError::Broken)?;
    let wanted = read(&written)?;
    let [new] = wanted.entries.as_slice() else {
        return Err(EditError::Fault("the node is not one".to_owned()));
    };
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let after = match before.entries.iter().position(|entry| entry.key == new.key) {
        None => at_the_end(text, &before, (&written, end))?,
        Some(at) => {
            let next = before.entries.get(at + 1);
            let until = next.map_or(text.len(), |next| line_start(text, start(next)));
            among(text, (&before.entries[at], until), (&written, end))?
        }
    };
    let again = read(&after).map_err(|_| EditError::Layout("it could not be read again"))?;
    if !is_one_more(&before, new, &again) {
        return Err(EditError::Layout("what stands beside the node would change"));
    }
    Ok(after)
}

fn read(text: &str) -> Result<Tree<'_>, EditError> {
    let limits = Limits::again(text);
    let mut problems = Problems::new(limits.problems);
    let tree = yaml::yaml(text, 0, &limits, &mut problems);
    match tree.filter(|_| !problems.has_errors()) {
        Some(tree) => Ok(tree),
        None => Err(EditError::Broken(problems.into_sorted().0)),
    }
}

fn start(entry: &Entry<'_>) -> usize {
    entry.key_span.start as usize
}

/// Returns where the line of a place begins.
fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Returns how far a key stands from the left, where nothing but blanks stands before it.
fn column(text: &str, entry: &Entry<'_>) -> Option<usize> {
    let before = &text[line_start(text, start(entry))..start(entry)];
    before.bytes().all(|byte| byte == b' ').then_some(before.len())
}

/// Puts a key that the text does not have behind everything.
fn at_the_end(
    text: &str,
    before: &Tree<'_>,
    (written, end): (&str, &str),
) -> Result<String, EditError> {
    if before.entries.iter().any(|entry| column(text, entry) != Some(0)) {
        return Err(EditError::Layout("its keys do not begin their lines"));
    }
    let gap = if text.trim().is_empty() { "" } else { end };
    Ok(with_lines(text, text.len(), (gap, &written.replace('\n', end)), end))
}

/// Puts a member behind the last of a map that ends before `until`.
fn among(
    text: &str,
    (map, until): (&Entry<'_>, usize),
    (written, end): (&str, &str),
) -> Result<String, EditError> {
    let in_braces = EditError::Layout("what is of its kind stands in braces, or nothing does");
    let within = |entry: &Entry<'_>| (map.key_span.end as usize..until).contains(&start(entry));
    if map.origin != Origin::YamlMap || !map.fields.iter().all(within) {
        return Err(in_braces);
    }
    let columns: Option<Vec<usize>> = map.fields.iter().map(|entry| column(text, entry)).collect();
    let Some((indent, last)) = columns.as_deref().and_then(<[_]>::first).zip(map.fields.last())
    else {
        return Err(in_braces);
    };
    // Behind the last line that is of the map; what is said from the left edge is of what follows.
    let is_apart = |line: &str| line.trim().is_empty() || line.starts_with('#');
    let mut at = until;
    for line in text[..until].split_inclusive('\n').rev().take_while(|line| is_apart(line)) {
        at -= line.len();
    }
    let above = text[..line_start(text, start(last))].lines().next_back().unwrap_or_default();
    let gap = if map.fields.len() > 1 && above.trim().is_empty() { end } else { "" };
    let lines = written.lines().skip(1).map(|line| match line.strip_prefix("  ") {
        Some(line) if !line.trim().is_empty() => format!("{}{line}{end}", " ".repeat(*indent)),
        _ => end.to_owned(),
    });
    Ok(with_lines(text, at, (gap, &lines.collect::<String>()), end))
}

/// Puts lines into a text where one begins.
fn with_lines(text: &str, at: usize, (gap, lines): (&str, &str), end: &str) -> String {
    let (head, tail) = text.split_at(at);
    let open = if head.is_empty() || head.ends_with('\n') { "" } else { end };
    format!("{head}{open}{gap}{lines}{tail}")
}

/// Tells whether a text says what it said, and the node.
fn is_one_more(before: &Tree<'_>, new: &Entry<'_>, after: &Tree<'_>) -> bool {
    let mut wanted = before.entries.clone();
    match wanted.iter_mut().find(|entry| entry.key == new.key) {
        None => wanted.push(new.clone()),
        Some(entry) => entry.fields.extend(new.fields.iter().cloned()),
    }
    same::entries(&wanted, &after.entries)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schema::sandboxfile::tree::Scalar;

    use super::*;

    fn node(name: &'static str) -> Entry<'static> {
        let size = Entry::node("size").with(Scalar::text("1GiB"));
        let kind = Entry::node("kind").with(Scalar::text("disk"));
        Entry::node("volume").with(Scalar::text(name)).line(kind).line(size)
    }

    fn check(text: &str, expected: &str) {
        let after = insert_node(text, &node("v")).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        assert_eq!(after, expected, "\n{after}");
    }

    const NEW: &str = "  v:\n    kind: disk\n    size: 1GiB\n";

    #[test]
    fn sf_x2_a_member_stands_behind_the_last_of_its_map_and_all_else_stays() {
        check(
            "# head\nvolumes:\n  a: {kind: disk}  # of a\n  # still volumes\n\n# jobs\njobs: {}\n",
            &format!(
                "# head\nvolumes:\n  a: {{kind: disk}}  # of a\n  # still volumes\n{NEW}\n# jobs\njobs: {{}}\n"
            ),
        );
        check("volumes:\n  a:\n\n  b:", &format!("volumes:\n  a:\n\n  b:\n\n{NEW}"));
        check(
            "volumes:\n    a:\nproject: p\n",
            "volumes:\n    a:\n    v:\n      kind: disk\n      size: 1GiB\nproject: p\n",
        );
        check("volumes:\r\n  a:\r\n", &format!("volumes:\n  a:\n{NEW}").replace('\n', "\r\n"));
    }

    #[test]
    fn sf_x2_a_key_that_is_not_there_stands_at_the_end() {
        check("project: p # it\n", &format!("project: p # it\n\nvolumes:\n{NEW}"));
        check("project: p", &format!("project: p\n\nvolumes:\n{NEW}"));
        check("", &format!("volumes:\n{NEW}"));
        check("vars:\n  A: |\n    x\n", &format!("vars:\n  A: |\n    x\n\nvolumes:\n{NEW}"));
    }

    #[test]
    fn what_is_laid_out_in_braces_or_would_change_is_refused() {
        for text in [
            "{project: p}",
            "{\"volumes\": {\"a\": null}}",
            "volumes: {a: {kind: disk}}\n",
            "volumes:\n",
            "vars: &v {a: null}\nvolumes: *v\n",
            "  project: p\n",
            "project: p\n...\n",
            "vars:\n  A: |+\n    x\n\n",
            "vars:\n  A: |+\n    x",
        ] {
            let refused = insert_node(text, &node("v"));
            assert!(matches!(refused, Err(EditError::Layout(_))), "{text}: {refused:?}");
        }
        assert!(matches!(insert_node("a: [", &node("v")), Err(EditError::Broken(_))));
    }

    #[test]
    fn files_of_people_take_a_node_and_hostile_ones_harm_nobody() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut taken = 0;
        for folder in ["tests/fuzz/corpus/sandboxfile", "tests/fuzz/corpus/hostile"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = file.unwrap().path();
                let is_yaml = path.extension().is_some_and(|ending| ending == "yaml");
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                match insert_node(&text, &node("new-one")) {
                    Ok(after) => {
                        let kept = text.lines().all(|line| after.contains(line));
                        assert!(kept, "{}", path.display());
                        taken += usize::from(is_yaml);
                    }
                    Err(EditError::Broken(_) | EditError::Layout(_)) => {}
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
        assert!(taken > 5, "{taken}");
    }
}
