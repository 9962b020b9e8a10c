//! Every shape in both spellings, and what does not fit one.

use super::*;
use crate::sandboxfile::document::Member;
use crate::sandboxfile::keys::{Body, Type};
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::syntax::{build, yaml};

const fn key(name: &'static str, shape: Shape) -> Key {
    let (plural, default, class, about) = (None, "", "", "A key of the tests.");
    let (status, presence) = (Status::Supported, Presence::Optional);
    Key { name, plural, shape, default, class, about, status, presence }
}

const TEXT: Type = Type::Text(64);
const TEXT_SHAPE: Shape = Shape::Scalar(TEXT);
const MAX: &[Key] =
    &[key("max", TEXT_SHAPE), Key { presence: Presence::Required, ..key("by", TEXT_SHAPE) }];
const INNER: &[Key] = &[key("deep", TEXT_SHAPE), key("line", LINE)];
const LINE: Shape = Shape::Line {
    principal: Principal { name: "size", ty: TEXT, required: true },
    attributes: &[key("max", TEXT_SHAPE)],
};

/// One key of each shape.
const KEYS: &[Key] = &[
    key("scalar", TEXT_SHAPE),
    key("list", Shape::List(TEXT)),
    Key { presence: Presence::Nullable, ..key("maybe", Shape::List(TEXT)) },
    key("line", LINE),
    key(
        "block",
        Shape::Block {
            principal: Some(Principal { name: "policy", ty: TEXT, required: false }),
            keys: INNER,
        },
    ),
    key("map", Shape::Map { key: TEXT, value: &TEXT_SHAPE }),
    Key {
        plural: Some("keyeds"),
        ..key("keyed", Shape::Keyed { identity: TEXT, body: Body::Block, keys: INNER })
    },
    key(
        "lined",
        Shape::Keyed { identity: TEXT, body: Body::Line, keys: &[key("max", TEXT_SHAPE)] },
    ),
    Key { plural: Some("rows"), ..key("row", Shape::Rows(MAX)) },
    key(
        "tagged",
        Shape::Tagged {
            tags: &["allow", "deny"],
            target: TEXT,
            attributes: &[key("max", TEXT_SHAPE)],
        },
    ),
];

/// Reads a text by [`KEYS`]; returns the document as one line, and each problem as
/// `code start..end`.
fn read(text: &str, yaml: bool) -> (String, Vec<String>) {
    let limits = Limits::default();
    let mut problems = Problems::new(limits.problems);
    let tree = if yaml {
        yaml::yaml(text, 0, &limits, &mut problems)
    } else {
        build::kdl(text, 0, &limits, &mut problems)
    };
    let place = Place { noun: "the file", keys: KEYS, stand: Stand::Lines };
    let entries = tree.expect("the tests are about shapes").entries;
    let group =
        Shaper { yaml, later: NotYet::Refused, problems: &mut problems }.keys(entries, place);
    let list = problems.into_sorted().0;
    let problem = |problem: &Problem| {
        let code = problem.code.as_str().trim_start_matches("msb::");
        format!("{code} {}..{}", problem.span().start, problem.span().end)
    };
    (show(&group), list.iter().map(problem).collect())
}

fn show(group: &Group<'_>) -> String {
    let principal = group.principal.iter().map(|value| format!("={}", value.text));
    let items =
        group.items.iter().map(|item| format!("{} {}", item.key.name, content(&item.content)));
    principal.chain(items).collect::<Vec<_>>().join(", ")
}

fn content(content: &Content<'_>) -> String {
    let many = |members: &[Member<'_>]| {
        let one =
            |member: &Member<'_>| format!("{}: {}", member.name, self::content(&member.content));
        members.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match content {
        Content::Scalar(value) => value.text.to_string(),
        Content::List(values) => {
            format!("[{}]", values.iter().map(|value| &*value.text).collect::<Vec<_>>().join(" "))
        }
        Content::Null(_) => "none".to_owned(),
        Content::Group(group) => format!("({})", show(group)),
        Content::Map(members) => format!("map{{{}}}", many(members)),
        Content::Keyed(members) => format!("keyed{{{}}}", many(members)),
        Content::Tagged(members) => format!("tagged{{{}}}", many(members)),
        Content::Rows(rows) => {
            format!("rows[{}]", rows.iter().map(show).collect::<Vec<_>>().join(" | "))
        }
    }
}

/// Checks that both spellings give the same document without a problem.
fn same(kdl: &str, yaml: &str, expected: &str) {
    assert_eq!(read(kdl, false), (expected.to_owned(), Vec::new()), "{kdl}");
    assert_eq!(read(yaml, true), (expected.to_owned(), Vec::new()), "{yaml}");
}

/// Checks that a text has one problem.
fn refuse(yaml: bool, text: &str, expected: &str) {
    assert_eq!(read(text, yaml).1, [expected], "{text}");
}

#[test]
fn sf_t2_each_shape_has_one_spelling_per_format() {
    same("scalar \"/srv\"", "scalar: /srv", "scalar /srv");
    same("list \"npm\" \"start\"", "list: [npm, start]", "list [npm start]");
    same("list \"npm\"", "list: npm", "list [npm]");
    same("line \"1\"", "line: 1", "line (=1)");
    same("line \"1\" max=2", "line: {size: 1, max: 2}", "line (=1, max 2)");
    same("block \"no\"", "block: no", "block (=no)");
    same("block { deep 5 }", "block: {deep: 5}", "block (deep 5)");
    same(
        "block \"no\" { deep 5; line 1 max=2 }",
        "block: {policy: no, deep: 5, line: {size: 1, max: 2}}",
        "block (=no, deep 5, line (=1, max 2))",
    );
    same(
        "map { team \"core\"; a.b 1 }",
        "map: {team: core, a.b: 1}",
        "map map{team: core, a.b: 1}",
    );
    same(
        "keyed \"/d\" { deep 1 }\nscalar 1\nkeyed e",
        "keyeds: {/d: {deep: 1}, e: }\nscalar: 1",
        "keyed keyed{/d: (deep 1), e: ()}, scalar 1",
    );
    same("lined \"db\" max=1", "lined: {db: {max: 1}}", "lined keyed{db: (max 1)}");
    same(
        "row by=80 max=8\nrow by=81",
        "rows: [{by: 80, max: 8}, {by: 81}]",
        "row rows[by 80, max 8 | by 81]",
    );
    same(
        "tagged { deny \"10/8\"; allow \"any\" max=443; deny \"10/8\" }",
        "tagged: [{deny: 10/8}, {max: 443, allow: any}, {deny: 10/8}]",
        "tagged tagged{deny: (=10/8), allow: (=any, max 443), deny: (=10/8)}",
    );
}

#[test]
fn sf_t3_an_identity_stands_alone_and_a_principal_has_its_name() {
    refuse(false, "keyed", "schema::shape 0..5");
    refuse(false, "keyed \"a\" \"b\"", "schema::shape 0..5");
    refuse(false, "keyed #true", "schema::shape 6..11");
    refuse(true, "keyeds: [a]", "schema::shape 0..6");
    refuse(true, "keyeds: {a: 1}", "schema::shape 9..10");
    refuse(false, "line", "schema::shape 0..4");
    refuse(false, "line max=1", "schema::shape 0..4");
    refuse(true, "line: {max: 1}", "schema::shape 0..4");
    refuse(false, "line 1 2", "schema::shape 0..4");
    refuse(false, "block 1 2 { deep 3 }", "schema::shape 0..5");
    refuse(false, "tagged { allow }", "schema::shape 9..14");
    refuse(false, "tagged { allow a b }", "schema::shape 9..14");
    refuse(false, "row 1 by=2", "schema::shape 0..3");
    refuse(false, "row max=1", "schema::missing-key 0..3");
}

#[test]
fn sf_t2_what_has_another_shape_is_refused_and_never_ignored() {
    for (text, end) in [("scalar", 6), ("scalar 1 2", 6), ("scalar { a }", 6), ("scalar 1 {}", 6)] {
        refuse(false, text, &format!("schema::shape 0..{end}"));
    }
    for text in ["list", "list { a }", "list 1 {}", "map 1", "tagged 1 { allow a }"] {
        let end = text.find(' ').unwrap_or(text.len());
        refuse(false, text, &format!("schema::shape 0..{end}"));
    }
    for text in [
        "scalar: [a]",
        "scalar: {}",
        "list: {a: b}",
        "line: [a]",
        "block: [a]",
        "map: [a]",
        "map: 1",
        "keyeds: 1",
        "rows: 1",
        "rows: {by: 1}",
        "rows: [1]",
        "tagged: 1",
        "tagged: {allow: a}",
        "tagged: [a]",
        "tagged: [{allow: [a]}]",
        "tagged: [{max: 1}]",
    ] {
        let (shown, problems) = read(text, true);
        assert_eq!(shown.trim_end_matches("tagged tagged{}"), "", "{text}");
        assert_eq!(problems.len(), 1, "{text}");
        assert!(problems[0].starts_with("schema::shape "), "{text}: {problems:?}");
    }
    refuse(true, "rows: [[{by: 1}]]", "schema::shape 7..8");
}

#[test]
fn sf_t5_the_spelling_of_the_other_format_is_the_nearest() {
    for (yaml, text, near) in [(true, "keyed: {}", "keyeds"), (false, "rows by=1", "row")] {
        let limits = Limits::default();
        let mut problems = Problems::new(limits.problems);
        let tree = if yaml {
            yaml::yaml(text, 0, &limits, &mut problems)
        } else {
            build::kdl(text, 0, &limits, &mut problems)
        };
        let place = Place { noun: "the file", keys: KEYS, stand: Stand::Lines };
        Shaper { yaml, later: NotYet::Refused, problems: &mut problems }
            .keys(tree.unwrap().entries, place);
        let list = problems.into_sorted().0;
        assert_eq!(list[0].code, Code::SCHEMA_UNKNOWN_KEY, "{text}");
        assert_eq!(list[0].nearest.as_deref(), Some(near), "{text}");
    }
}

#[test]
fn sf_t6_properties_and_lines_do_not_stand_in_for_each_other() {
    refuse(false, "block scalar=1 { }", "schema::unknown-key 6..12");
    refuse(false, "block deep=1", "schema::property-or-child 6..10");
    refuse(false, "line 1 { max 2 }", "schema::property-or-child 9..12");
    refuse(false, "keyed a deep=1", "schema::property-or-child 8..12");
    refuse(false, "lined a { max 1 }", "schema::property-or-child 10..13");
    refuse(false, "map a=1", "schema::property-or-child 4..5");
    refuse(false, "row by=1 { max 2 }", "schema::property-or-child 11..14");
    refuse(false, "tagged allow=a", "schema::property-or-child 7..12");
    refuse(false, "tagged { allow a { max 1 } }", "schema::property-or-child 19..22");
}

#[test]
fn sf_t7_nothing_is_written_twice_and_the_first_stays() {
    for (yaml, text, expected, kept) in [
        (false, "scalar 1\nscalar 2", "9..15", "scalar 1"),
        (true, "scalar: 1\nscalar: 2", "10..16", "scalar 1"),
        (false, "line 1 max=2 max=3", "13..16", "line (=1, max 2)"),
        (true, "line: {size: 1, size: 2}", "16..20", "line (=1)"),
        (false, "block { deep 1; deep 2 }", "16..20", "block (deep 1)"),
        (false, "map { a 1; a 2 }", "11..12", "map map{a: 1}"),
        (true, "map: {a: 1, \"a\": 2}", "12..15", "map map{a: 1}"),
        (false, "keyed a\nkeyed a", "14..15", "keyed keyed{a: ()}"),
        (true, "keyeds: {a: , a: }", "14..15", "keyed keyed{a: ()}"),
        (true, "keyeds: {a: }\nkeyeds: {b: }", "14..20", "keyed keyed{a: ()}"),
        (false, "row by=1 by=2", "9..11", "row rows[by 1]"),
        (true, "tagged: [{allow: a, deny: b}]", "20..24", "tagged tagged{}"),
    ] {
        let found = (kept.to_owned(), vec![format!("schema::duplicate-key {expected}")]);
        assert_eq!(read(text, yaml), found, "{text}");
    }
    let limits = Limits::default();
    for (name, code) in [
        ("sandbox", Code::SCHEMA_DUPLICATE_DEFINITION),
        ("job", Code::SCHEMA_DUPLICATE_DEFINITION),
        ("volume", Code::SCHEMA_DUPLICATE_DEFINITION),
        ("template", Code::SCHEMA_DUPLICATE_KEY),
        ("var", Code::SCHEMA_DUPLICATE_KEY),
    ] {
        let text = format!("{name} \"a\"\n{name} \"a\"\n");
        let mut problems = Problems::new(limits.problems);
        let tree = build::kdl(&text, 0, &limits, &mut problems).unwrap();
        shape(tree, false, &mut problems);
        let list = problems.into_sorted().0;
        assert_eq!((list.len(), list[0].code, list[0].labels.len()), (1, code, 2), "{name}");
    }
}

#[test]
fn sf_t8_null_is_none_where_a_key_may_be_none() {
    same("maybe #null", "maybe: null", "maybe none");
    same("maybe #null", "maybe: ~", "maybe none");
    same("maybe \"null\"", "maybe: \"null\"", "maybe [null]");
    refuse(true, "maybe:", "value::null 5..5");
    refuse(true, "maybe: [a, ~]", "value::null 11..12");
    refuse(false, "list #null", "value::null 5..10");
    refuse(false, "scalar #null", "value::null 7..12");
    refuse(true, "scalar:", "value::null 6..6");
    refuse(true, "line: {size: ~}", "value::null 13..14");
    refuse(false, "line 1 max=#null", "value::null 11..16");
    refuse(false, "map { a #null }", "value::null 8..13");
    refuse(false, "tagged { allow #null }", "value::null 15..20");
    assert_eq!(read("keyeds: {a: ~, b: null, c: }", true).1, [""; 0], "an empty body");
}
