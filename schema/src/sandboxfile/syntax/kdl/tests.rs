//! What people get wrong in KDL, each mistake by its name and its place; hostile files.
//!
//! The official cases, and the package as a second opinion, are held in `tests/fuzz`.

use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::problem::Problems;
use crate::sandboxfile::syntax::build;
use crate::sandboxfile::tree::{Entry, Origin, Span};

/// Reads a text; returns its tree as one line, and each problem as `code start..end`.
fn read(text: &str) -> (Option<String>, Vec<String>) {
    let limits = Limits::default();
    let mut problems = Problems::new(limits.problems);
    let tree = build::kdl(text, 0, &limits, &mut problems);
    let shown = tree.map(|tree| tree.entries.iter().map(line).collect::<Vec<_>>().join("; "));
    let list = problems.into_sorted().0;
    let problem = |problem: &crate::sandboxfile::problem::Problem| {
        let (code, span) = (problem.code.as_str(), problem.span());
        assert!(problem.help.is_some(), "{problem:?}");
        format!("{} {}..{}", code.trim_start_matches("msb::"), span.start, span.end)
    };
    (shown, list.iter().map(problem).collect())
}

/// Writes an entry so that what was read can be seen: `key "text" number k=1 { … }`.
fn line(entry: &Entry<'_>) -> String {
    let mut text = entry.key.to_string();
    for item in &entry.items {
        let quoted = matches!(item.kind, super::ScalarKind::Quoted);
        let value = if quoted { format!("{:?}", item.text) } else { item.text.to_string() };
        let join = if entry.origin == Origin::Property { "=" } else { " " };
        text = text + join + &value;
    }
    for field in entry.fields.iter().filter(|field| field.origin == Origin::Property) {
        text = text + " " + &line(field);
    }
    if entry.origin == Origin::Block {
        let children = entry.fields.iter().filter(|field| field.origin != Origin::Property);
        text = text + " {" + &children.map(line).collect::<Vec<_>>().join("; ") + "}";
    }
    text
}

fn check(text: &str, expected: &str) {
    assert_eq!(read(text), (Some(expected.to_owned()), Vec::new()), "{text}");
}

fn refuse(text: &str, expected: &str) {
    let (_, problems) = read(text);
    assert_eq!(problems, [expected], "{text}");
}

#[test]
fn sf_t9_what_kdl_2_has_is_read() {
    check("/- kdl-version 2\na 1", "a 1");
    check("/-a { b }\nc /-1 2 /-k=1 k=2 /-{ x } { y } /-{ z }", "c 2 k=2 {y}");
    check("a /-{ x }\n/-\n// comment\nb", "a");
    check(r###"a #"c:\x"# ##"a"#b"## "\u{e9}\s\\""###, r##"a "c:\\x" "a\"#b" "é \\""##);
    check("a \"\"\"\n    x\n      y\n\n    z\\\n      w\n    \"\"\" 1", r#"a "x\n  y\n\nzw" 1"#);
    check("a #\"\"\"\n\t\"\\s\"\n\t\"\"\"#", r#"a "\"\\s\"""#);
    check("a 1 \\ // on\n  2 \\\n /* and */ 3 // done\nb", "a 1 2 3; b");
    check("a\u{85}b\u{2028}c\r\nd\re\u{a0}1;f{g;h}", "a; b; c; d; e 1; f {g; h}");
    let values = "a -1_0 +0xf 0b1 1.5e-3 #inf #-inf #nan #null #true";
    check(&format!("\u{feff}{values}"), values);
    check("a \"two words\"=1 #\"raw\"#=2", "a two words=1 raw=2");
}

#[test]
fn sf_t9_a_type_annotation_is_read_and_refused() {
    refuse("a (u8)4", "syntax::type-annotation 2..6");
    refuse("(t)a", "syntax::type-annotation 0..3");
    refuse("a k=( \"t\" )1", "syntax::type-annotation 4..11");
    refuse("a (t)k=1", "syntax::type-annotation 2..5");
    refuse("a ()1", "syntax::kdl 3..4");
    let (tree, problems) = read("a (t)1 (t)2 { (t)b }");
    assert_eq!((tree.as_deref(), problems.len()), (Some("a 1 2 {b}"), 3), "reading goes on");
}

#[test]
fn sf_t9_kdl_1_is_refused_by_its_name() {
    refuse("/- kdl-version 1\na", "syntax::kdl-v1 0..16");
    refuse("\u{feff}/-  kdl-version  1", "syntax::kdl-v1 3..21");
    for (text, expected) in [
        ("a true", "2..6"),
        ("a k=false", "4..9"),
        ("a null", "2..6"),
        (r#"a r"x""#, "2..4"),
        (r##"a r#"x"#"##, "2..4"),
    ] {
        refuse(text, &format!("syntax::kdl-v1 {expected}"));
    }
}

#[test]
fn sf_t11_bare_interpolation_is_refused_at_its_dollar() {
    refuse("image ${TAG}", "syntax::bare-interpolation 6..8");
    refuse("image x-${TAG}", "syntax::bare-interpolation 8..10");
    check("image \"${TAG}\"", "image \"${TAG}\"");
    check("a $ { TAG }", "a $ {TAG}");
}

#[test]
fn sf_d3_what_needs_quotes_is_told_with_them() {
    for (word, length) in
        [("8080:80", 7), ("512MiB", 6), ("10.0.0.0/8", 10), ("./x", 3), ("a/b:1", 5), ("/x", 2)]
    {
        refuse(&format!("a {word}\n"), &format!("syntax::needs-quotes 2..{}", 2 + length));
        refuse(&format!("a k={word} 1"), &format!("syntax::needs-quotes 4..{}", 4 + length));
    }
    refuse("a .5", "syntax::needs-quotes 2..4");
    refuse("memory = \"1GiB\"", "syntax::equals-sign 7..8");
    refuse("memory=\"1GiB\"", "syntax::equals-sign 6..7");
    refuse("memory: \"1GiB\"", "syntax::equals-sign 0..7");
}

#[test]
fn sf_t12_what_is_no_kdl_is_refused_where_it_is() {
    for (text, expected) in [
        ("a {\n b {\n }\n", "12..12"),
        ("a }", "2..3"),
        ("a \"b\nc\"", "4..5"),
        ("a \"b", "2..3"),
        ("a #\"b\"", "2..3"),
        ("a /* b /* */", "2..4"),
        ("a \"\"\"b\n\"\"\"", "5..6"),
        ("a \"\"\"\n b\"\"\"", "8..9"),
        ("a \"\"\"\n  b\n c\n  \"\"\"", "10..11"),
        ("a \"\"\"\n  \\\n  b\n c\n  \"\"\"", "14..15"),
        ("a \"é\\é\"", "5..8"),
        ("a \"\"\"\n  é\\q\n  \"\"\"", "10..12"),
        ("a \"\\u{d800}\"", "3..5"),
        ("a \"\\u{1234567}\"", "3..5"),
        ("a\"b\"", "1..2"),
        ("a { b } { c }", "8..9"),
        ("a { b } 1", "8..9"),
        ("a /-{ b } c", "10..11"),
        ("a {/-}", "3..5"),
        ("a \\ b", "2..3"),
        ("a k=", "4..4"),
        ("a [1]", "2..3"),
        ("1 2", "0..1"),
        ("a #x", "2..4"),
        ("a inf", "2..5"),
        ("a 1\"x\"", "3..4"),
        ("(t", "2..2"),
    ] {
        refuse(text, &format!("syntax::kdl {expected}"));
    }
}

#[test]
fn sf_f11_braces_are_at_most_64_deep_slashdash_or_not() {
    let nested = |depth: usize, open: &str| format!("{}{}", open.repeat(depth), "}".repeat(depth));
    assert_eq!(read(&nested(64, "a {")).1, [""; 0]);
    refuse(&nested(65, "a {"), "limit::depth 194..195");
    refuse(&nested(100_000, "a {"), "limit::depth 194..195");
    refuse(&"a /-{".repeat(18), "syntax::kdl 90..90");
    refuse(&"a /-{".repeat(100_000), "limit::depth 324..325");
    refuse(&"/-a {".repeat(100_000), "limit::depth 324..325");
}

#[test]
fn sf_f11_nodes_keys_and_values_have_limits() {
    let nodes = Limits::default().nodes();
    assert_eq!(read(&"a\n".repeat(nodes)).1, [""; 0]);
    let end = 2 * nodes;
    refuse(&"a\n".repeat(nodes + 9), &format!("limit::nodes {end}..{}", end + 1));
    refuse(&format!("a {}", "k=1 ".repeat(nodes)), "limit::nodes 262144..262145");
    let key = "k".repeat(256);
    refuse(&format!("a {key}=1"), "limit::key-bytes 2..258");
    refuse(&key, "limit::key-bytes 0..256");
    let value = "v".repeat(Limits::SCALAR_BYTES);
    assert_eq!(read(&format!("a {value}")).1, [""; 0]);
    refuse(&format!("a {value}v"), &format!("limit::scalar-bytes 2..{}", value.len() + 3));
    check(&format!("/-a {value}v\nb"), "b");
}

#[test]
fn sf_t1_every_part_has_its_place_and_its_origin() {
    let text = "\u{feff}é \"x\" k=#\"y\"# /-no {\n  c 1;\n}\nd";
    let limits = Limits::default();
    let tree = build::kdl(text, 3, &limits, &mut Problems::new(1)).unwrap();
    let part = |span: Span| {
        assert_eq!(span.file, 3);
        &text[span.start as usize..span.end as usize]
    };
    let [entry, last] = tree.entries.as_slice() else { panic!("{tree:?}") };
    assert_eq!((part(entry.key_span), entry.origin), ("é", Origin::Block));
    assert_eq!(part(entry.span), &text[3..text.len() - 2]);
    assert_eq!((part(entry.items[0].span), &*entry.items[0].text), ("\"x\"", "x"));
    let [property, child] = entry.fields.as_slice() else { panic!("{entry:?}") };
    assert_eq!((part(property.key_span), property.origin), ("k", Origin::Property));
    assert_eq!((part(property.span), part(property.items[0].span)), ("k=#\"y\"#", "#\"y\"#"));
    assert_eq!((part(child.span), child.origin), ("c 1", Origin::Node));
    assert_eq!((part(last.span), last.items.len()), ("d", 0));
}
