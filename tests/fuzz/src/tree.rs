//! Targets `kdl` and `yaml`: from bytes to a tree, or to problems that have a place.

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::Problems;
use schema::sandboxfile::source::{Format, Sources, check_text};
use schema::sandboxfile::syntax::{build, yaml};
use schema::sandboxfile::tree::{Entry, Origin, Span, Tree};

use crate::facts;

/// Reads `bytes` in a format, and holds what comes out to its promises.
pub(crate) fn check(bytes: &[u8], format: Format) {
    let limits = Limits::default();
    let mut sources = Sources::default();
    let text = match check_text(bytes, format, 0, &limits) {
        Ok(text) => text,
        Err(failed) => {
            let (text, problem) = *failed;
            sources.add("Sandboxfile".to_owned(), text);
            facts::of_problem(&problem, &sources);
            return;
        }
    };
    assert_eq!(text.as_bytes(), bytes, "text keeps its bytes");
    sources.add("Sandboxfile".to_owned(), text.clone());
    let mut problems = Problems::new(limits.problems);
    let tree = match format {
        Format::Kdl => build::kdl(&text, 0, &limits, &mut problems),
        Format::Yaml => yaml::yaml(&text, 0, &limits, &mut problems),
    };
    assert!(tree.is_some() || problems.has_errors(), "no tree, and not a word why");
    if let Some(tree) = tree {
        of_tree(&tree, &limits, &sources);
    }
    let (list, _) = problems.into_sorted();
    assert!(list.len() <= 2 * limits.problems, "{} problems", list.len());
    list.iter().for_each(|problem| facts::of_problem(problem, &sources));
}

/// Holds a tree to its limits, and every entry to its place. The walk has a stack of its own.
fn of_tree(tree: &Tree<'_>, limits: &Limits, sources: &Sources) {
    let mut left: Vec<(&Entry<'_>, usize)> = tree.entries.iter().map(|entry| (entry, 1)).collect();
    let mut nodes = 0;
    while let Some((entry, depth)) = left.pop() {
        assert!(depth <= Limits::DEPTH + 1, "an entry lies {depth} deep");
        assert!(entry.key.len() <= Limits::KEY_BYTES, "a key has {} bytes", entry.key.len());
        nodes += 1 + entry.items.len();
        let kdl = !entry.origin.is_yaml();
        for span in [entry.key_span, entry.span] {
            facts::of_span(span, sources);
        }
        for item in &entry.items {
            facts::of_span(item.span, sources);
            assert!(item.text.len() <= Limits::SCALAR_BYTES, "a value has {}", item.text.len());
            assert!(!kdl || within(item.span, entry.span), "{item:?} is not in {entry:?}");
        }
        if entry.origin == Origin::Property {
            assert!(entry.items.len() == 1 && entry.fields.is_empty(), "{entry:?}");
        }
        for field in &entry.fields {
            assert!(!kdl || within(field.span, entry.span), "{field:?} is not in {entry:?}");
            left.push((field, depth + 1));
        }
    }
    let most = limits.nodes() + Limits::ALIAS_NODES;
    assert!(nodes <= most, "{nodes} nodes, at most {most}");
}

fn within(inner: Span, outer: Span) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
