//! Files from strangers, made to cost much or to be read wrong: each ends in an error with a place.

/// One file, and how its reading must end.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// Its name; what it is made of stands before the suffix.
    pub name: &'static str,
    /// Its bytes, at most 1 MiB.
    pub bytes: Vec<u8>,
    /// The code of its first error.
    pub code: &'static str,
    /// Line and column of its first error.
    pub place: (u32, u32),
}

/// The most bytes that a file has.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Returns every file.
pub fn files() -> Vec<Hostile> {
    [nesting(), many(), long(), bytes(), values()].concat()
}

fn file(
    name: &'static str,
    text: impl Into<Vec<u8>>,
    code: &'static str,
    place: (u32, u32),
) -> Hostile {
    let mut bytes = text.into();
    bytes.truncate(FILE_BYTES_MAX);
    Hostile { name, bytes, code, place }
}

fn nesting() -> Vec<Hostile> {
    let depth = "limit::depth";
    let nested_aliases = format!("a: &x0 [l]\n{}", {
        let level = |level: u32| format!("b{level}: &x{level} [*x{}, *x{0}]\n", level - 1);
        (1..40).map(level).collect::<String>()
    });
    let laughs = format!("a: &x0 [l, l, l, l, l, l, l, l, l]\n{}", {
        let level = |level: u32| {
            let nine = vec![format!("*x{}", level - 1); 9].join(", ");
            format!("b{level}: &x{level} [{nine}]\n")
        };
        (1..10).map(level).collect::<String>()
    });
    vec![
        file("slashdash-braces-18.kdl", "a /-{".repeat(18), "syntax::kdl", (1, 91)),
        file("slashdash-braces-100000.kdl", "a /-{".repeat(100_000), depth, (1, 325)),
        file("slashdash-nodes-100000.kdl", "/-a {".repeat(100_000), depth, (1, 325)),
        file("braces-100000.kdl", "{".repeat(100_000), "syntax::kdl", (1, 1)),
        file("nodes-with-braces-100000.kdl", "a {".repeat(100_000), depth, (1, 195)),
        file("comments-500000.kdl", "/*".repeat(500_000), "syntax::kdl", (1, 1)),
        file("brackets-100000.yaml", "[".repeat(100_000), depth, (1, 256)),
        file("maps-100000.yaml", "{a: ".repeat(100_000), depth, (1, 1021)),
        file("dashes-100000.yaml", "- ".repeat(100_000), depth, (1, 131)),
        file("question-marks-100000.yaml", "? ".repeat(100_000), "syntax::yaml-key", (1, 3)),
        file("nested-aliases.yaml", nested_aliases, "limit::alias-nodes", (12, 18)),
        file("billion-laughs.yaml", laughs, "limit::alias-nodes", (5, 10)),
        file(
            "aliases-100000.yaml",
            format!("a: &x {{b: 1}}\n{}", "k: *x\n".repeat(100_000)),
            "limit::alias-nodes",
            (3335, 4),
        ),
    ]
}

fn many() -> Vec<Hostile> {
    let numbered = |end: &str| (0..1_000_000).map(|n| format!("k{n}{end}")).collect::<String>();
    let (nodes, unknown, twice) = ("limit::nodes", "schema::unknown-key", "schema::duplicate-key");
    let sandbox = |lines: &str| format!("sandbox \"a\" {{ image \"x:1\"\n{lines}}}\n");
    vec![
        file("keys-1000000.kdl", numbered("\n"), nodes, (131_073, 1)),
        file("keys-1000000.yaml", numbered(":\n"), nodes, (65_536, 7)),
        file("keys-in-braces.yaml", format!("{{{}", "a,".repeat(500_000)), nodes, (1, 262_147)),
        file(
            "values-in-brackets.yaml",
            format!("a: &x [{}", "x,".repeat(500_000)),
            nodes,
            (1, 262_153),
        ),
        file("keys-unknown-60000.kdl", "a 1\n".repeat(60_000), unknown, (1, 1)),
        file(
            "keys-unknown-60000.yaml",
            (0..60_000).map(|n| format!("k{n}: 1\n")).collect::<String>(),
            unknown,
            (1, 1),
        ),
        file("keys-twice-65000.kdl", sandbox(&"cpus 1\n".repeat(65_000)), twice, (3, 1)),
        file("keys-twice-100000.yaml", "cpus: 1\n".repeat(100_000), nodes, (65_536, 7)),
        file(
            "properties-twice-65000.kdl",
            sandbox(&format!("cpus 1{}\n", " max=2".repeat(65_000))),
            twice,
            (2, 14),
        ),
        file("names-twice-100000.kdl", "volume a\n".repeat(100_000), nodes, (65_537, 1)),
        file(
            "names-twice-60000.kdl",
            "volume a\n".repeat(60_000),
            "schema::duplicate-definition",
            (2, 8),
        ),
        file(
            "annotations-100000.kdl",
            format!("a {}", "(x)1 ".repeat(100_000)),
            "syntax::type-annotation",
            (1, 3),
        ),
        file("tags-100000.yaml", "- !x y\n".repeat(100_000), "syntax::yaml-tag", (1, 3)),
        file("documents-250000.yaml", "---\n".repeat(250_000), "syntax::yaml-documents", (2, 1)),
        file(
            "anchors-60000.yaml",
            (0..60_000).map(|n| format!("k{n}: &a{n} 1\n")).collect::<String>(),
            "limit::alias-nodes",
            (50_001, 9),
        ),
    ]
}

fn long() -> Vec<Hostile> {
    let words = "x ".repeat(FILE_BYTES_MAX / 2);
    let scalar = "limit::scalar-bytes";
    let quoted = format!("a \"{}\"", "x".repeat(FILE_BYTES_MAX - 4));
    vec![
        file("line-of-one-word.kdl", format!("a {}", "x".repeat(FILE_BYTES_MAX)), scalar, (1, 3)),
        file("line-of-words.kdl", format!("a {words}"), "limit::nodes", (1, 262_145)),
        file("line-of-words.yaml", format!("a: {words}"), scalar, (1, 4)),
        file("line-in-quotes.kdl", quoted, scalar, (1, 3)),
        file("line-that-never-ends.kdl", format!("a \"{words}"), "syntax::kdl", (1, 3)),
        file("line-of-marks.kdl", format!("a {}\"", "#".repeat(500_000)), "syntax::kdl", (1, 3)),
        file(
            "line-of-equals.kdl",
            format!("a{}", "=".repeat(500_000)),
            "syntax::equals-sign",
            (1, 2),
        ),
        file("block.yaml", format!("a: |\n{}", " x\n".repeat(300_000)), scalar, (2, 2)),
        file(
            "key-of-a-mebibyte.yaml",
            format!("{}: 1", "k".repeat(FILE_BYTES_MAX - 3)),
            scalar,
            (1, 1),
        ),
        file(
            "key-of-300-bytes.kdl",
            format!("a {}=1", "k".repeat(300)),
            "limit::key-bytes",
            (1, 3),
        ),
    ]
}

fn bytes() -> Vec<Hostile> {
    let utf16: Vec<u8> = "a 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (text, control) = ("file::not-utf8", "file::control-character");
    vec![
        file("nul.kdl", "sandbox \"a\" {\n  image \"x\0\"\n}\n", control, (2, 11)),
        file("nul.yaml", "sandboxes:\n  a: \"\0\"\n", control, (2, 7)),
        file("mark-inside.kdl", "a 1\n\u{feff}b 1\n", text, (2, 1)),
        file("mark-inside.yaml", "a: 1\n\u{feff}b: 1\n", text, (2, 1)),
        file("utf-16.kdl", utf16, text, (1, 1)),
        file("cut-in-a-character.kdl", [b"a \"".to_vec(), vec![0xe2, 0x82]].concat(), text, (1, 4)),
        file(
            "bad-at-the-end.kdl",
            ["a\n".repeat(500_000).into_bytes(), vec![0xff]].concat(),
            text,
            (500_001, 1),
        ),
        file("escape.kdl", "a \"\u{1b}[2J\"", control, (1, 4)),
        file("direction.yaml", "a: 1 # \u{202e}b\n", control, (1, 8)),
        file("line-ends.kdl", "a 1\r\nb 2\rc {\r\n", "syntax::kdl", (4, 1)),
    ]
}

fn values() -> Vec<Hostile> {
    let digits = "9".repeat(200_000);
    let sandbox =
        |key: &str, value: &str| format!("sandbox a {{ image \"x:1\"; {key} {value} }}\n");
    let text = |value: &str| sandbox("workdir", &format!("\"{value}\""));
    let deep = format!("{}x{}", "${A:-".repeat(40_000), "}".repeat(40_000));
    let bomb =
        format!("var A default=\"{}\"\n{}", "x".repeat(200_000), text(&"${A}".repeat(60_000)));
    let bombs = (0..3000).map(|n| format!("V{n} \"{}\"\n", "${A}".repeat(50))).collect::<String>();
    let bombs = sandbox("env", &format!("{{ {bombs} }}"));
    let long = format!("var A default=\"{}\"\n", "x".repeat(200_000));
    vec![
        file("huge-count.kdl", sandbox("cpus", &digits), "value::count", (1, 31)),
        file("huge-fraction.kdl", sandbox("cpus", &format!("1.{digits}")), "value::count", (1, 31)),
        file(
            "huge-exponent.yaml",
            format!("sandboxes: {{a: {{image: x:1, cpus: 1e{digits}}}}}"),
            "value::count",
            (1, 35),
        ),
        file(
            "huge-size.kdl",
            sandbox("memory", &format!("\"{digits}MiB\"")),
            "value::size",
            (1, 33),
        ),
        file("long-path.kdl", text(&"x".repeat(200_000)), "value::path", (1, 34)),
        file("long-text.kdl", text(&"x".repeat(300_000)), "limit::scalar-bytes", (1, 34)),
        file("interpolation-deep.kdl", format!("var A\n{}", text(&deep)), "var::syntax", (2, 75)),
        file("interpolation-open.kdl", text(&"${".repeat(100_000)), "var::syntax", (1, 35)),
        file("interpolation-long.kdl", bomb, "limit::expanded-bytes", (2, 34)),
        file("interpolation-often.kdl", long + &bombs, "limit::expanded-bytes", (2, 35)),
    ]
}
