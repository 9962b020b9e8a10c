//! How much of a text is no part of what it says, and is lost when it is written anew.

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::Problems;
use schema::sandboxfile::source::Format;
use schema::sandboxfile::syntax::kdl::AsideKind;
use schema::sandboxfile::syntax::yaml;
use schema::sandboxfile::tree::Entry;

use super::same;

/// The counts of one text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asides {
    /// Comments.
    pub comments: usize,
    /// Nodes and values behind a slashdash.
    pub hidden: usize,
}

impl Asides {
    /// Counts what stands in a text beside what it says; nothing in a text that cannot be read.
    #[must_use]
    pub fn of(text: &str, format: Format) -> Self {
        match format {
            Format::Kdl => of_kdl(text),
            Format::Yaml => Self { comments: of_yaml(text), hidden: 0 },
        }
    }
}

fn of_kdl(text: &str) -> Asides {
    let mut count = Asides::default();
    for (kind, text) in same::asides(text).unwrap_or_default() {
        match kind {
            AsideKind::LineComment | AsideKind::BlockComment => count.comments += 1,
            // The marker of the version says nothing that the other format needs.
            AsideKind::HiddenNode if text.contains("kdl-version") => {}
            AsideKind::HiddenNode | AsideKind::HiddenEntry => count.hidden += 1,
        }
    }
    count
}

/// A comment of YAML begins with `#` at the start of a line or behind a blank, outside keys and values.
fn of_yaml(text: &str) -> usize {
    let limits = Limits::again(text);
    let mut problems = Problems::new(1);
    let Some(tree) = yaml::yaml(text, 0, &limits, &mut problems) else { return 0 };
    let mut said = Vec::new();
    tree.entries.iter().for_each(|entry| places(entry, &mut said));
    said.sort_unstable();
    let mut said = said.into_iter().peekable();
    let (bytes, mut at, mut count) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        while let Some((start, end)) = said.next_if(|(start, _)| *start <= at) {
            at = at.max(if start == end { at } else { end });
        }
        let begins = at == 0 || bytes.get(at - 1).is_some_and(u8::is_ascii_whitespace);
        if bytes.get(at) == Some(&b'#') && begins {
            let line = text[at..].lines().next().unwrap_or_default();
            count += usize::from(!line.contains(SERVER));
            at += line.len();
        } else {
            at += 1;
        }
    }
    count
}

/// What begins the comment that names a schema to editors; it is written, not lost.
const SERVER: &str = "yaml-language-server:";

fn places(entry: &Entry<'_>, said: &mut Vec<(usize, usize)>) {
    let spans = entry.items.iter().map(|item| item.span).chain([entry.key_span]);
    said.extend(spans.map(|span| (span.start as usize, span.end as usize)));
    entry.fields.iter().for_each(|field| places(field, said));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_slashdashes_of_kdl_are_counted() {
        let text = "/- kdl-version 2\n// a\na \"// b\" /* c */ /-2 // d\n/-b { // e\n}\n";
        assert_eq!(Asides::of(text, Format::Kdl), Asides { comments: 3, hidden: 2 });
    }

    #[test]
    fn comments_of_yaml_are_told_from_text() {
        let text = "# yaml-language-server: $schema=x\n# one\na: \"# no\" # two\nb#c: d#e\nf: |\n  # no\n  x # no\n\
                    # three\ng: [a, # four\n  'b # no']\nh: &x # five\n  i: j k # six\nl: *x\n# é seven\n";
        assert_eq!(Asides::of(text, Format::Yaml), Asides { comments: 7, hidden: 0 });
        assert_eq!(Asides::of("a: [", Format::Yaml), Asides::default());
    }
}
