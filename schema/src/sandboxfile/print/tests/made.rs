//! Documents made by chance, along the table of keys: every shape, and text that is hard to quote.

use crate::sandboxfile::keys::{Body, Key, Presence, Principal, Shape, TOP};
use crate::sandboxfile::tree::{Entry, Scalar, ScalarKind, Span, Tree};

/// A generator of numbers, the same for the same seed.
pub(in crate::sandboxfile::print) struct Chance(u64);

impl Chance {
    pub(in crate::sandboxfile::print) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns a number below `end`.
    pub(in crate::sandboxfile::print) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    pub(in crate::sandboxfile::print) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(in crate::sandboxfile::print) fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// Text that reads as something else without care.
pub(in crate::sandboxfile::print) const WORDS: &[&str] = &[
    "",
    " ",
    "a",
    "a b",
    " a",
    "a ",
    "true",
    "false",
    "null",
    "~",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "3.10",
    "0755",
    "1e3",
    "1_000",
    "0x10",
    "0o7",
    "0b1",
    ".5",
    "5.",
    "+1",
    "-1",
    "-0",
    "1:20",
    "12:30:45",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "inf",
    "nan",
    ".inf",
    "-.INF",
    "Infinity",
    "#inf",
    "#true",
    "#null",
    "-",
    "--",
    "---",
    "...",
    "--- a",
    "- a",
    "-a",
    "? a",
    "?a",
    ": a",
    ":a",
    "a:",
    "a: b",
    "a:b",
    "a #b",
    "a#b",
    "#a",
    "//",
    "/* a */",
    "/-a",
    "a/b",
    "./a",
    "../a",
    "~/a",
    "/",
    "*a",
    "&a",
    "!a",
    "!!str",
    "|",
    ">",
    ">-",
    "%a",
    "@a",
    "`a`",
    "'",
    "''",
    "'a'",
    "\"",
    "\"\"",
    "\"\"\"",
    "\"a\"",
    "\\",
    "\\\\",
    "\\n",
    "a\\",
    "${X}",
    "$$",
    "${X:-a b}",
    "{a}",
    "{",
    "}",
    "[a]",
    "]",
    "a,b",
    ",",
    "443,8443",
    "8080-8081",
    "8080:80",
    "512MiB",
    "1h30m",
    "=",
    "a=b",
    "<<",
    ";",
    "a;b",
    "(a)",
    "\n",
    "\n\n",
    "a\n",
    "\na",
    "a\nb",
    "a\nb\n",
    "a\nb\n\n",
    "a\n\nb",
    "\n\na\nb",
    "  a\nb",
    "a\n  b",
    "a \nb",
    "a\n \nb",
    "\ta\nb",
    "a\tb",
    "\t",
    "a\r\nb",
    "a\rb",
    "\"\"\"\na",
    "a\n\"\"\"#b",
    "a\n\\b",
    "a\n# b\n- c: d",
    "a: b\nc: d",
    "---\na",
    "a\n...",
    "\u{0}",
    "\u{7}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{9b}",
    "\u{a0}",
    "\u{ad}",
    "\u{200b}",
    "\u{200e}",
    "\u{2028}a",
    "\u{2029}",
    "\u{202e}a",
    "\u{2066}",
    "\u{3000}a",
    "\u{feff}",
    "a\u{feff}\nb",
    "\u{fffe}",
    "\u{ffff}",
    "\u{e000}",
    "\u{10ffff}",
    "é",
    "日本語",
    "😀",
    "a\u{b}b",
    "a\u{c}\nb",
];

const LETTERS: &[char] = &[
    'a', 'b', 'Z', '0', '9', ' ', ' ', '\n', '\t', '"', '\'', '\\', '#', '/', '*', '-', ':', '{',
    '}', '[', ']', ',', '&', '!', '|', '>', '%', '@', '`', '$', '=', '~', '?', '.', '_', '+', ';',
    '(', ')', '<', 'é', '\u{1}', '\u{85}', '\u{2028}', '\u{202e}', '\u{feff}', '😀',
];

fn text(chance: &mut Chance) -> String {
    match chance.below(4) {
        0 | 1 => (*chance.pick(WORDS)).to_owned(),
        2 => (0..chance.below(12)).map(|_| *chance.pick(LETTERS)).collect(),
        _ => {
            let words = (0..chance.below(30)).map(|_| *chance.pick(&["lorem", "ipsum", "x", "\n"]));
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

fn scalar(chance: &mut Chance) -> Scalar<'static> {
    let looks = |text: &'static str, kind| Scalar::new(text.into(), kind, Span::NOWHERE);
    match chance.below(12) {
        0 => Scalar::boolean(chance.one_in(2)),
        1 => looks("#true", ScalarKind::True),
        2 => Scalar::number(chance.below(70_000) as u64),
        3 => looks(
            chance.pick::<&str>(&[
                "3.10", "0755", "1_000", "-7", "+1.5e-3", "0x1F", "0o17", "#inf", "0.50",
            ]),
            ScalarKind::Number,
        ),
        4 => looks(chance.pick::<&str>(&["word", "a-b", "w.x"]), ScalarKind::Word),
        _ => Scalar::text(text(chance)),
    }
}

/// Returns a whole file.
pub(super) fn document_tree(chance: &mut Chance) -> Tree<'static> {
    let mut entries = Vec::new();
    keys(chance, TOP, 3, &mut |entry| entries.push(entry));
    Tree { entries }
}

/// Makes some of the keys, in any order; `depth` is how far blocks go.
fn keys(
    chance: &mut Chance,
    keys: &'static [Key],
    depth: usize,
    take: &mut impl FnMut(Entry<'static>),
) {
    let mut chosen: Vec<&Key> =
        keys.iter().filter(|key| key.presence == Presence::Required || chance.one_in(4)).collect();
    for at in 1..chosen.len() {
        chosen.swap(at, chance.below(at + 1));
    }
    for key in chosen {
        let entries = of_key(chance, key, depth);
        entries.into_iter().for_each(&mut *take);
    }
}

fn of_key(chance: &mut Chance, key: &'static Key, depth: usize) -> Vec<Entry<'static>> {
    let node = Entry::node(key.name);
    match key.shape {
        Shape::Scalar(_) => vec![node.with(scalar(chance))],
        Shape::List(_) if key.presence == Presence::Nullable && chance.one_in(3) => {
            vec![node.with(Scalar::null())]
        }
        Shape::List(_) => vec![values(chance, node)],
        Shape::Line { principal, attributes } => {
            let node = begun(chance, node, Some(principal));
            vec![line(chance, node, attributes)]
        }
        Shape::Block { principal, keys } => {
            let node = begun(chance, node, principal);
            vec![block(chance, node, keys, depth)]
        }
        Shape::Map { value, .. } => {
            let mut map = Entry { origin: crate::sandboxfile::tree::Origin::Block, ..node };
            for name in names(chance) {
                let member = Entry::node(name);
                let member = match *value {
                    Shape::Line { principal, attributes } => {
                        let member = begun(chance, member, Some(principal));
                        line(chance, member, attributes)
                    }
                    Shape::List(_) => values(chance, member),
                    _ => member.with(scalar(chance)),
                };
                map = map.line(member);
            }
            vec![map]
        }
        Shape::Keyed { body, keys, .. } => {
            let named = names(chance).into_iter().map(|name| {
                let node = Entry::node(key.name).with(Scalar::text(name));
                match body {
                    Body::Line => line(chance, node, keys),
                    Body::Block => block(chance, node, keys, depth),
                }
            });
            named.collect()
        }
        Shape::Rows(keys) => {
            (0..chance.below(4)).map(|_| line(chance, Entry::node(key.name), keys)).collect()
        }
        Shape::Tagged { tags, attributes, .. } => {
            let mut rows = Entry { origin: crate::sandboxfile::tree::Origin::Block, ..node };
            for _ in 0..chance.below(4) {
                let row = Entry::node(*chance.pick(tags)).with(scalar(chance));
                rows = rows.line(line(chance, row, attributes));
            }
            vec![rows]
        }
    }
}

fn begun(
    chance: &mut Chance,
    node: Entry<'static>,
    principal: Option<Principal>,
) -> Entry<'static> {
    match principal {
        Some(principal) if principal.required || chance.one_in(2) => node.with(scalar(chance)),
        Some(_) | None => node,
    }
}

fn line(chance: &mut Chance, node: Entry<'static>, attributes: &'static [Key]) -> Entry<'static> {
    let mut node = Some(node);
    keys(chance, attributes, 0, &mut |mut entry| {
        let value = entry.items.remove(0);
        node = node.take().map(|node| node.property(entry.key, value));
    });
    node.unwrap()
}

fn block(
    chance: &mut Chance,
    node: Entry<'static>,
    inner: &'static [Key],
    depth: usize,
) -> Entry<'static> {
    let mut node = Some(node);
    if depth > 0 || inner.iter().any(|key| key.presence == Presence::Required) {
        keys(chance, inner, depth.saturating_sub(1), &mut |entry| {
            node = node.take().map(|node| node.line(entry));
        });
    }
    node.unwrap()
}

fn values(chance: &mut Chance, mut node: Entry<'static>) -> Entry<'static> {
    for _ in 0..=chance.below(4) {
        node = node.with(scalar(chance));
    }
    node
}

/// Returns names that differ.
fn names(chance: &mut Chance) -> Vec<String> {
    (0..chance.below(4))
        .map(|count| {
            let text: String = text(chance).chars().take(20).collect();
            format!("{count}{text}").chars().rev().collect()
        })
        .collect()
}
