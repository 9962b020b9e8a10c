//! What YAML 1.2 is, what of it is refused and where, and hostile files.

use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::problem::{Problem, Problems};
use crate::sandboxfile::syntax::yaml::yaml;
use crate::sandboxfile::tree::{Entry, Origin, ScalarKind, Span};

/// Reads a text; returns its tree as one line, and its problems.
fn read(text: &str) -> (Option<String>, Vec<Problem>) {
    let limits = Limits::default();
    let mut problems = Problems::new(limits.problems);
    let tree = yaml(text, 0, &limits, &mut problems);
    let shown = tree.map(|tree| list(&tree.entries));
    let problems = problems.into_sorted().0;
    assert!(problems.iter().all(|problem| problem.help.is_some()), "{problems:?}");
    (shown, problems)
}

fn list(entries: &[Entry<'_>]) -> String {
    entries.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Writes an entry as one line, with quotes around what is text by its looks.
fn line(entry: &Entry<'_>) -> String {
    let items = entry.items.iter().map(|item| match item.kind {
        ScalarKind::Quoted => format!("{:?}", item.text),
        ScalarKind::Nothing => "nothing".to_owned(),
        _ => item.text.to_string(),
    });
    let items = items.collect::<Vec<_>>().join(" ");
    let value = match entry.origin {
        Origin::YamlList if entry.fields.is_empty() => format!("[{items}]"),
        Origin::YamlList => format!("[{items}|{}]", list(&entry.fields)),
        Origin::YamlMap => format!("{{{}}}", list(&entry.fields)),
        _ => items,
    };
    if entry.key.is_empty() { value } else { format!("{}: {value}", entry.key) }
}

fn check(text: &str, expected: &str) {
    assert_eq!(read(text), (Some(expected.to_owned()), Vec::new()), "{text}");
}

/// Checks that a text has one problem, written `code start..end`.
fn refuse(text: &str, expected: &str) {
    let found: Vec<String> = read(text)
        .1
        .iter()
        .map(|problem| {
            let code = problem.code.as_str().trim_start_matches("msb::");
            format!("{code} {}..{}", problem.span().start, problem.span().end)
        })
        .collect();
    assert_eq!(found, [expected], "{text}");
}

#[test]
fn sf_t10_what_other_versions_read_as_something_else_stays_what_it_is() {
    check("a: [yes, no, on, off, y, N]", "a: [yes no on off y N]");
    check("a: [0o17, 0755, 1_000, 22:22, 1e3, .inf]", "a: [0o17 0755 1_000 22:22 1e3 .inf]");
    check("a: 2001-12-14t21:59:43.10-05:00", "a: 2001-12-14t21:59:43.10-05:00");
    check("a: 3.10\nb: \"3.10\"\nc: 'true'", "a: 3.10, b: \"3.10\", c: \"true\"");
    check("a: 10.0.0.0/8\nb: x:80\nc: http://x#y # z", "a: 10.0.0.0/8, b: x:80, c: http://x#y");
}

#[test]
fn sf_t8_null_is_told_from_nothing_and_from_text() {
    check(
        "a: ~\nb: null\nc:\nd: \"null\"\ne: ''",
        "a: ~, b: null, c: nothing, d: \"null\", e: \"\"",
    );
    check("{a: , b}", "a: nothing, b: nothing");
    for empty in ["", "# nothing", "~", "---\n", "---\n...\n"] {
        check(empty, "");
    }
}

#[test]
fn sf_t10_text_over_several_lines_keeps_and_drops_its_ends() {
    check("a: |\n  x\n   y\n\n  z\n\nb: 1", r#"a: "x\n y\n\nz\n", b: 1"#);
    check("a: |-\n  x\n\nb: |+\n  x\n\nc: 1", r#"a: "x", b: "x\n\n", c: 1"#);
    check("a: >\n  x\n  y\n\n  z\n   w\n  v\n", r#"a: "x y\nz\n w\nv\n""#);
    check("a: >-\n  x\n  y\n\nb: >+\n  x\n\n", r#"a: "x y", b: "x\n\n""#);
    check("a: |2\n    x\n", r#"a: "  x\n""#);
    check("a: |\nb: >+\n\nc: |-\n", r#"a: "", b: "\n", c: """#);
    check("a: b\n  c\n\n  d\n", "a: b c\nd");
    check("a: \"b\n  c\\\n  d\n\n  e\"\nb: 'it''s\n  so'", r#"a: "b cd\ne", b: "it's so""#);
    check(r#"a: "\x41\u00e9\U0001F600\t\e\0\\\"\/""#, "a: \"Aé😀\\t\\u{1b}\\0\\\\\\\"/\"");
}

#[test]
fn sf_t10_line_ends_and_the_mark_are_no_content() {
    check("a: |\r\n  x\r\n  y\r\nb: [1,\r\n  2]\r\n", r#"a: "x\ny\n", b: [1 2]"#);
    check("a: 1\rb: 2\r", "a: 1, b: 2");
    check("\u{feff}a: é\n", "a: é");
    check("\u{feff}%YAML 1.2\n---\na: 1\n...\n", "a: 1");
    refuse("\u{feff}é: !x 1", "syntax::yaml-tag 7..11");
}

#[test]
fn sf_t10_flow_and_block_and_json_are_one_tree() {
    check("{a: [b, {c: d}, [e]], f: g}", "a: [b|{c: d}, [e]], f: g");
    check("a:\n- b\n- c: d\n  e: f\n- - g\n", "a: [b|{c: d, e: f}, [g]]");
    check(
        r#"{"a": [1, 2.5, true, null], "b": {}, "c":"é"}"#,
        "a: [1 2.5 true null], b: {}, c: \"é\"",
    );
    check("a: [b: c, d]", "a: [d|{b: c}]");
    check("? a\n: 1\n? b\n", "a: 1, b: nothing");
}

#[test]
fn sf_t10_tags_are_refused_and_reading_goes_on() {
    for text in ["a: !!str 1", "a: !x 1", "a: !<tag:yaml.org,2002:int> 1", "a: ! 1"] {
        let (tree, problems) = read(text);
        assert_eq!(tree.as_deref(), Some("a: 1"), "{text}");
        assert_eq!(problems.len(), 1, "{text}");
        assert_eq!(problems[0].code.as_str(), "msb::syntax::yaml-tag", "{text}");
    }
    assert_eq!(read("a: !!seq [1]\nb: !!map {c: !!int 2}\n").1.len(), 3);
}

#[test]
fn sf_t10_merge_keys_are_refused_and_quoted_ones_are_keys() {
    refuse("a: &x {b: 1}\nc:\n  <<: *x\n", "syntax::yaml-merge-key 18..20");
    refuse("<<: {a: 1}", "syntax::yaml-merge-key 0..2");
    check("\"<<\": 1", "<<: 1");
    check("a: <<", "a: <<");
}

#[test]
fn sf_t10_there_is_one_document() {
    refuse("a: 1\n---\nb: 2\n", "syntax::yaml-documents 5..8");
    refuse("a: 1\n...\n---\nb: 2\n", "syntax::yaml-documents 9..12");
    refuse("---\n---\n", "syntax::yaml-documents 4..7");
    check("---\na: 1\n...\n# more\n", "a: 1");
}

#[test]
fn sf_t10_a_key_is_a_scalar() {
    refuse("? [a, b]\n: 1", "syntax::yaml-key 2..3");
    refuse("{{a: b}: c}", "syntax::yaml-key 1..2");
    refuse("[a]: 1", "syntax::yaml-key 0..1");
    refuse(": 1", "syntax::yaml-key 0..0");
    refuse("a: &x b\n*x : 1", "syntax::yaml-key 8..10");
    check("1: a\ntrue: b\n~: c\n", "1: a, true: b, ~: c");
}

#[test]
fn sf_t10_a_tab_in_the_indentation_is_refused_at_the_tab() {
    refuse("a:\n\tb: 1\n", "syntax::yaml-tab 3..4");
    refuse("a:\n  b: 1\n \tc: 2\n", "syntax::yaml-tab 11..12");
    refuse("a:\n  b: 1\n\tc: 2\n", "syntax::yaml-tab 10..11");
    refuse("a:\n  - 1\n\t- 2\n", "syntax::yaml-tab 9..10");
    refuse("a: {\n\tb: 1}\n", "syntax::yaml-tab 5..6");
    check("a: \tb\t# c\nd:\t[e,\tf]\n", "a: b, d: [e f]");
}

#[test]
fn sf_t10_aliases_repeat_what_stands_above_them() {
    check("a: &x {b: [1, 2]}\nc: *x", "a: {b: [1 2]}, c: {b: [1 2]}");
    check("a: &x 1\nb: [*x, *x]\nc: *x", "a: 1, b: [1 1], c: 1");
    check("a: &x 1\nb: &x 2\nc: *x", "a: 1, b: 2, c: 2");
    check("a: &x\nb: *x", "a: nothing, b: nothing");
    check("&k a: &v 1\nb: [*v, *k]", "a: 1, b: [1 a]");
    check("a: &x [1]\nb: [*x, *x]", "a: [1], b: [|[1], [1]]");
    refuse("a: &x [*x]", "syntax::yaml 7..9");
    refuse("a: &x {b: {c: *x}}", "syntax::yaml 14..16");
    refuse("&x\na: *x", "syntax::yaml 6..8");
    let (_, problems) = read("a: *x");
    assert_eq!((problems.len(), problems[0].code.as_str()), (1, "msb::syntax::yaml"));
}

#[test]
fn sf_t10_a_place_is_in_bytes_and_inside_the_file() {
    refuse("é: \"😀\"\n😀: [é, !x ü]", "syntax::yaml-tag 22..27");
    for text in
        ["a: [b", "a: \"b", "é: {", "a: b: c", "a: @x", "a: &\n", "a: *\n", "é: \"\\q\"", "%x\n"]
    {
        let (_, problems) = read(text);
        let span = problems[0].span();
        assert!(text.get(span.start as usize..span.end as usize).is_some(), "{text}: {span:?}");
    }
}

#[test]
fn sf_t11_bare_interpolation_in_braces_is_refused_at_its_dollar() {
    refuse("a: {b: ${TAG}}\n", "syntax::bare-interpolation 7..13");
    refuse("a: {b: x-${TAG}-y, c: d}\n", "syntax::bare-interpolation 9..15");
    check("a: ${TAG}\nb: {c: \"${TAG}\"}\n", "a: ${TAG}, b: {c: \"${TAG}\"}");
}

#[test]
fn sf_f11_braces_and_indentation_are_at_most_64_deep() {
    let nested = |depth: usize| format!("{}{}", "{a: ".repeat(depth), "}".repeat(depth));
    assert!(read(&nested(65)).1.is_empty());
    refuse(&nested(66), "limit::depth 260..261");
    for text in ["[", "{a: ", "- ", "a: [", "- - - "] {
        let (_, problems) = read(&text.repeat(100_000));
        assert_eq!(problems.len(), 1, "{text}");
        assert_eq!(problems[0].code.as_str(), "msb::limit::depth", "{text}");
    }
}

#[test]
fn sf_f11_aliases_make_at_most_10_000_nodes() {
    let repeated = |count: usize| format!("a: &x {{b: 1}}\n{}", "c: *x\n".repeat(count));
    assert!(read(&repeated(3333)).1.is_empty());
    let (_, problems) = read(&repeated(3334));
    assert_eq!(problems[0].code.as_str(), "msb::limit::alias-nodes");
    assert_eq!(problems[0].labels.len(), 2, "use and anchor");
    let laughs = (1..9).fold("a: &x0 [l, l, l, l, l, l, l, l, l]\n".to_owned(), |text, level| {
        text + &format!("b{level}: &x{level} [{}]\n", vec![format!("*x{}", level - 1); 9].join(","))
    });
    let (_, problems) = read(&laughs);
    assert_eq!(problems[0].code.as_str(), "msb::limit::alias-nodes");
    let (_, problems) = read(&format!("a: {}", "&x [".repeat(60) + &"b,".repeat(100_000)));
    assert_eq!(problems[0].code.as_str(), "msb::syntax::yaml");
}

#[test]
fn sf_f11_nodes_keys_and_values_have_limits_in_yaml() {
    let most = Limits::default().nodes();
    let pairs = "a: 1\n".repeat(most / 2 + 1);
    let value = 5 * (most / 2 - 1) + 3;
    refuse(&pairs, &format!("limit::nodes {value}..{}", value + 1));
    let values = format!("[{}]", "a,".repeat(most + 1));
    refuse(&values, &format!("limit::nodes {0}..{1}", 2 * most + 2, 2 * most + 3));
    refuse(&format!("{}: 1", "k".repeat(256)), "limit::key-bytes 0..256");
    let value = "v".repeat(Limits::SCALAR_BYTES);
    assert!(read(&format!("a: {value}")).1.is_empty());
    refuse(&format!("a: {value}v"), &format!("limit::scalar-bytes 3..{}", value.len() + 4));
}

#[test]
fn sf_t1_every_part_has_its_place_and_its_origin_in_yaml() {
    let text = "\u{feff}é: {k: 'y', l: [1, &n 2]}\nd: |\n  x\ne: *n\n";
    let limits = Limits::default();
    let tree = yaml(text, 3, &limits, &mut Problems::new(1)).unwrap();
    let part = |span: Span| {
        assert_eq!(span.file, 3);
        &text[span.start as usize..span.end as usize]
    };
    let [entry, block, alias] = tree.entries.as_slice() else { panic!("{tree:?}") };
    assert_eq!((part(entry.key_span), entry.origin), ("é", Origin::YamlMap));
    assert_eq!(part(entry.span), "é: {k: 'y', l: [1, &n 2]}");
    let [quoted, list] = entry.fields.as_slice() else { panic!("{entry:?}") };
    assert_eq!((part(quoted.span), quoted.origin), ("k: 'y'", Origin::YamlScalar));
    assert_eq!((part(quoted.items[0].span), &*quoted.items[0].text), ("'y'", "y"));
    assert_eq!((part(list.key_span), list.origin), ("l", Origin::YamlList));
    assert_eq!(list.items.iter().map(|item| part(item.span)).collect::<Vec<_>>(), ["1", "&n 2"]);
    assert_eq!((part(block.key_span), &*block.items[0].text), ("d", "x\n"));
    assert_eq!(
        (part(alias.key_span), part(alias.items[0].span)),
        ("e", "&n 2"),
        "where it is written"
    );
}

#[test]
fn sf_t1_the_span_of_a_value_in_quotes_ends_with_its_quote() {
    let text = "\u{feff}a: \"x \\\" é\"   # why\nb: 'it''s' # why\nc: [\"d\" , e]\nf: |\n  g\n";
    let mut problems = Problems::new(1);
    let tree = yaml(text, 0, &Limits::default(), &mut problems).unwrap();
    let items = tree.entries.iter().flat_map(|entry| &entry.items);
    let written: Vec<&str> =
        items.map(|item| &text[item.span.start as usize..item.span.end as usize]).collect();
    assert_eq!(written, ["\"x \\\" é\"", "'it''s'", "\"d\"", "e", "g\n"]);
}
