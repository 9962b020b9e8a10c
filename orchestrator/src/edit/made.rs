//! Texts of KDL made by chance: every kind of value, comment, break and slashdash.

use std::fmt::Write as _;

/// A generator of numbers, the same for the same seed.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(all.len())]
    }
}

const NAMES: &[&str] = &[
    "sandbox",
    "job",
    "project",
    "volume",
    "image",
    "memory",
    "command",
    "env",
    "labels",
    "mount",
    "port",
    "network",
    "rules",
    "allow",
    "ready",
    "named",
    "unknown",
    "\"quoted name\"",
    "#\"raw\"#",
    "é",
    "_",
    "x.y-z",
];

const VALUES: &[&str] = &[
    "1",
    "3.10",
    "0x1F",
    "1_000",
    "-7",
    "#true",
    "#null",
    "word",
    "\"text\"",
    "\"a b // c\"",
    "\"\\\"{\\\\\"",
    "#\"raw \" {\"#",
    "\"\"",
    "\"\"\"\n    a\n\n      b\n    \"\"\"",
    "\"\"\"\na\n\"\"\"",
    "#\"\"\"\n\t\\ x\n\t\"\"\"#",
    "\"\"\"\n  a \\\n  b\n  \"\"\"",
    "\"a \\\n   b\"",
];

const PROPERTIES: &[&str] = &["max", "host", "guest", "pull", "from-env", "\"odd key\"", "z"];

const BLANKS: &[&str] = &[" ", "  ", "\t", " /* c */ ", " /* a\n b */ ", " \\\n  ", " \\ // d\n "];

/// Returns a text; most are KDL that an edit takes.
pub(super) fn text(chance: &mut Chance) -> String {
    let mut text = String::new();
    if chance.one_in(12) {
        text.push_str(chance.pick(&["\u{feff}", "/- kdl-version 2\n", "// head\n\n", "\r\n"]));
    }
    nodes(chance, 3, &mut text);
    if chance.one_in(8) { text.replace('\n', "\r\n") } else { text }
}

fn nodes(chance: &mut Chance, depth: usize, text: &mut String) {
    for _ in 0..chance.below(5) {
        between(chance, text);
        if chance.one_in(15) {
            text.push_str(chance.pick(&["/-", "/- ", "/-\n", "/- /* c */ "]));
        }
        node(chance, depth, text);
        text.push_str(chance.pick(&[
            "\n",
            "\n",
            "\n\n\n",
            ";",
            " ; ",
            " // tail\n",
            "; // tail\n",
        ]));
    }
    between(chance, text);
}

/// Writes what may stand between nodes.
fn between(chance: &mut Chance, text: &mut String) {
    for _ in 0..chance.below(3) {
        text.push_str(chance.pick(&[
            "",
            "\n",
            "\n\n",
            "  ",
            "// c\n",
            "  // c  \n",
            "/* b */",
            "/* b */\n",
            "/* b\n   b */ ",
            "\n// c\n\n",
            "/* /* n */ */\n",
        ]));
    }
}

fn node(chance: &mut Chance, depth: usize, text: &mut String) {
    text.push_str(chance.pick(NAMES));
    for _ in 0..chance.below(4) {
        text.push_str(if chance.one_in(3) { chance.pick(BLANKS) } else { " " });
        if chance.one_in(25) {
            text.push_str(chance.pick(&["/-", "/- "]));
        }
        if chance.one_in(3) {
            let count = chance.below(1000);
            let key = chance.pick(PROPERTIES);
            let key = if key.starts_with('"') { key.to_owned() } else { format!("{key}{count}") };
            let sign = chance.pick(&["=", "=", "=", " = ", "= ", " /* c */ = "]);
            write!(text, "{key}{sign}{}", chance.pick(VALUES)).unwrap();
        } else {
            text.push_str(chance.pick(VALUES));
        }
    }
    if depth > 0 && chance.one_in(2) {
        text.push_str(if chance.one_in(6) { chance.pick(BLANKS) } else { " " });
        if chance.one_in(30) {
            text.push_str("/-{ gone 1 } ");
        }
        text.push('{');
        text.push_str(chance.pick(&["", " ", "\n", " // open\n", "\n\n"]));
        nodes(chance, depth - 1, text);
        text.push('}');
        text.push_str(chance.pick(&["", "", "", " /* after */", " /-{ x } "]));
    }
}
