//! What to say about YAML that we do not read.

use saphyr_parser::ScanError;

use super::offsets::Offsets;
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::problem::{Code, Problem, Problems, shown};
use crate::sandboxfile::tree::{Entry, Origin, ScalarKind, Span, Tree};

/// A key that is a map, a list, or nothing.
pub(super) fn key(span: Span) -> Problem {
    Problem::error(Code::SYNTAX_YAML_KEY, "a key is not text", span)
        .help("write a word before the colon; put text that begins with { or [ in quotes")
}

/// An error of the parser, by the mistake that is probably behind it.
pub(super) fn scan(error: &ScanError, text: &str, offsets: &Offsets<'_>) -> Problem {
    let byte = offsets.byte(error.marker().index()) as usize;
    let end = text[byte..].find(['\n', '\r']).map_or(text.len(), |length| byte + length);
    let start = text[..byte].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let line = &text[start..end];
    // Text goes on over lines, so what follows it may be the mistake.
    let below = text[end..].len() - text[end..].trim_start_matches(['\n', '\r']).len();
    for start in [start, end + below] {
        if let Some(tab) = indentation_tab(&text[start..]) {
            let message = "a tab stands in the indentation";
            return Problem::error(Code::SYNTAX_YAML_TAB, message, offsets.at(start + tab))
                .help("indent with spaces");
        }
    }
    if let Some((at, length)) = bare_interpolation(line) {
        let name = shown(&line[at..at + length]);
        let message = format!("`{name}` outside quotes is not a variable here");
        let mut span = offsets.at(start + at);
        span.end = span.start + u32::try_from(length).unwrap_or(1);
        return Problem::error(Code::SYNTAX_BARE_INTERPOLATION, message, span)
            .help(format!("write \"{name}\"; inside braces YAML reads {{ as a map"));
    }
    if error.info().contains("recursion limit") {
        let message = format!("more than {} levels are open here", Limits::DEPTH);
        return Problem::error(Code::LIMIT_DEPTH, message, offsets.at(byte))
            .help("a file this deep is refused");
    }
    let message = format!("the YAML is not in order: {}", shown(error.info()));
    Problem::error(Code::SYNTAX_YAML, message, offsets.at(byte))
        .help("look at the indentation and the quotes of this line and the one above")
}

fn indentation_tab(line: &str) -> Option<usize> {
    let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
    line[..blanks].find('\t')
}

/// Finds `${…}` that no quotes enclose.
fn bare_interpolation(line: &str) -> Option<(usize, usize)> {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '$') if line[at + 1..].starts_with('{') => {
                let length = line[at..].find('}').map_or(2, |end| end + 1);
                return Some((at, length));
            }
            _ => {}
        }
    }
    None
}

/// Takes the entries out of the root, which is a map or nothing.
pub(super) fn root<'a>(root: Entry<'a>, problems: &mut Problems) -> Option<Tree<'a>> {
    let nothing =
        root.items.iter().all(|item| matches!(item.kind, ScalarKind::Nothing | ScalarKind::Null));
    match root.origin {
        Origin::YamlMap => return Some(Tree { entries: root.fields }),
        Origin::YamlScalar if nothing => return Some(Tree { entries: Vec::new() }),
        Origin::YamlScalar | Origin::YamlList | Origin::Property | Origin::Node | Origin::Block => {
        }
    }
    let problem = Problem::error(Code::SCHEMA_SHAPE, "the file is not a map", root.span);
    problems.push(problem.help("begin with a key such as `sandboxes:`"));
    None
}
