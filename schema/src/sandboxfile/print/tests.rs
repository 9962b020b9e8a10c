//! What is written reads back as the same document, in both formats, whatever it holds.

pub(super) mod made;

use made::{Chance, document_tree};

use super::*;
use crate::sandboxfile::keys::{Body, Shape, TOP};
use crate::sandboxfile::tree::{Entry, Scalar};

const LIMITS: Limits = Limits {
    file_bytes: 64 << 20,
    total_bytes: 64 << 20,
    files: 64,
    expanded_bytes: 4 << 20,
    instances: 1000,
    problems: 100,
    seconds: 5,
};

fn read(text: &str, format: Format) -> Group<'_> {
    Group::read(text, format, &LIMITS).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

/// Holds that a document survives both formats, in both orders.
fn check(document: &Group<'_>) {
    for order in [Order::Written, Order::Table] {
        for format in [Format::Kdl, Format::Yaml] {
            let written = text(document, format, order).unwrap();
            let again = read(&written, format);
            assert!(
                again.says_the_same(document),
                "{format:?} {order:?}\n{written}\n{document:#?}\n{again:#?}"
            );
            let twice = text(&again, format, order).unwrap();
            assert_eq!(twice, written, "what was read is written the same");
        }
        // Objects of JSON have no order, so only what they hold is compared.
        let value = json(document, order);
        let written = value.to_string();
        assert_eq!(json(&read(&written, Format::Yaml), order), value);
    }
}

#[test]
fn what_is_written_reads_back_as_the_same_document() {
    for seed in 0..200 {
        let tree = document_tree(&mut Chance::new(seed));
        let mut problems = Problems::new(100);
        let document = shape_with(tree, false, NotYet::Taken, &mut problems);
        assert!(!problems.has_errors(), "seed {seed}: {problems:#?}");
        check(&document);
    }
}

#[test]
fn any_text_reads_back_as_itself() {
    for word in made::WORDS {
        let node = Entry::node("sandbox").with(Scalar::text("a"));
        let value = || Scalar::text(*word);
        let tree = Tree {
            entries: vec![
                node.line(Entry::node("image").with(value()))
                    .line(Entry::node("command").with(value()).with(value()))
                    .line(
                        Entry::node("labels").line(Entry::node(format!("k{word}")).with(value())),
                    ),
            ],
        };
        let mut problems = Problems::new(100);
        let document = shape_with(tree, false, NotYet::Taken, &mut problems);
        check(&document);
    }
}

#[test]
fn sf_2_the_worked_example_is_one_document_in_both_formats() {
    let kdl = read(include_str!("tests/worked.kdl"), Format::Kdl);
    let yaml = read(include_str!("tests/worked.yaml"), Format::Yaml);
    assert!(kdl.says_the_same(&yaml));
    check(&kdl);
    check(&yaml);
}

#[test]
fn every_example_survives_both_formats() {
    for (format, text) in [
        (Format::Kdl, include_str!("../../../../examples/hello/Sandboxfile")),
        (Format::Kdl, include_str!("../../../../examples/web-and-db/Sandboxfile")),
        (Format::Yaml, include_str!("../../../../examples/ci-job/Sandboxfile.yaml")),
        (Format::Kdl, include_str!("../../../../Sandboxfile.example")),
    ] {
        check(&read(text, format));
    }
}

#[test]
fn the_canonical_layout_is_the_one_that_was_reviewed() {
    let document = read(include_str!("tests/worked.kdl"), Format::Kdl);
    let kdl = text(&document, Format::Kdl, Order::Table).unwrap();
    let yaml = text(&document, Format::Yaml, Order::Table).unwrap();
    assert_eq!(kdl, include_str!("tests/canonical.kdl"), "{kdl}");
    assert_eq!(yaml, include_str!("tests/canonical.yaml"), "{yaml}");
}

#[test]
fn sf_t4_a_number_keeps_its_text() {
    let document =
        read("sandbox \"a\" { labels { v 3.10; w 0755; x 1_000; y 0x1f } }", Format::Kdl);
    let kdl = text(&document, Format::Kdl, Order::Written).unwrap();
    assert!(kdl.contains("{\n        v 3.10\n        w 0755\n        x 1_000\n"), "{kdl}");
    let yaml = text(&document, Format::Yaml, Order::Written).unwrap();
    assert!(yaml.contains("v: 3.10\n") && yaml.contains("w: \"0755\"\n"), "{yaml}");
    assert!(yaml.contains("x: \"1_000\"\n") && yaml.contains("\"y\": \"0x1f\"\n"), "{yaml}");
}

#[test]
fn sf_t8_null_is_written_where_it_means_none() {
    let document = read("sandbox \"a\" { command #null }", Format::Kdl);
    assert!(text(&document, Format::Yaml, Order::Written).unwrap().contains("command: null\n"));
    let document = read("sandbox \"a\" { command \"null\" }", Format::Kdl);
    assert!(text(&document, Format::Yaml, Order::Written).unwrap().contains("command: [\"null\"]"));
}

#[test]
fn an_empty_list_has_no_spelling_in_kdl() {
    let document = read("sandboxes: {a: {env-file: []}}", Format::Yaml);
    let problem = text(&document, Format::Kdl, Order::Written).unwrap_err();
    assert!(problem.message.contains("`env-file` with an empty list"));
    assert!(text(&document, Format::Yaml, Order::Written).unwrap().contains("env-file: []"));
}

#[test]
fn text_of_several_lines_stays_readable() {
    let script = "sandbox \"a\" {\n    command \"sh\" \"-c\" \"set -e\\necho \\\"a\\\"\\n\"\n}\n";
    let document = read(script, Format::Kdl);
    let kdl = text(&document, Format::Kdl, Order::Written).unwrap();
    assert_eq!(
        kdl,
        "sandbox \"a\" {\n    command \"sh\" \"-c\" \"\"\"\n        set -e\n        echo \"a\"\n\n        \
         \"\"\"\n}\n"
    );
    let yaml = text(&document, Format::Yaml, Order::Written).unwrap();
    assert_eq!(
        yaml,
        "sandboxes:\n  a:\n    command:\n      - sh\n      - -c\n      - |\n        set -e\n        \
         echo \"a\"\n"
    );
}

#[test]
fn a_tree_made_by_hand_is_written_by_the_shapes_of_its_keys() {
    let entry = Entry::node("sandbox")
        .with(Scalar::text("web"))
        .line(Entry::node("port").property("guest", Scalar::number(80)))
        .line(
            Entry::node("image")
                .with(Scalar::text("nginx:1"))
                .property("pull", Scalar::text("never")),
        );
    let written = tree(Tree { entries: vec![entry] }, Format::Yaml, Order::Table).unwrap();
    assert_eq!(
        written,
        "sandboxes:\n  web:\n    image: {ref: nginx:1, pull: never}\n    ports:\n      - {guest: 80}\n"
    );
    let wrong = Entry::node("sandbox").with(Scalar::text("a")).line(Entry::node("imge"));
    let problems = tree(Tree { entries: vec![wrong] }, Format::Kdl, Order::Table).unwrap_err();
    assert_eq!(problems[0].code.as_str(), "msb::schema::unknown-key");
}

/// What the writer counts on when it looks at the table.
#[test]
fn properties_are_scalars_and_no_principal_has_the_name_of_a_key() {
    fn look(keys: &'static [Key], on_line: bool) {
        for key in keys {
            assert!(!on_line || matches!(key.shape, Shape::Scalar(_)), "{}", key.name);
            match key.shape {
                Shape::Scalar(_) | Shape::List(_) => {}
                Shape::Map { value, .. } => {
                    if let Shape::Line { attributes, .. } = value {
                        look(attributes, true);
                    }
                }
                Shape::Line { principal, attributes } => {
                    assert!(attributes.iter().all(|key| key.name != principal.name));
                    look(attributes, true);
                }
                Shape::Block { principal, keys } => {
                    let name = principal.map_or("", |principal| principal.name);
                    assert!(keys.iter().all(|key| key.name != name), "{}", key.name);
                    look(keys, false);
                }
                Shape::Keyed { body, keys, .. } => look(keys, body == Body::Line),
                Shape::Rows(keys) => look(keys, true),
                Shape::Tagged { attributes, .. } => look(attributes, true),
            }
        }
    }
    look(TOP, false);
}
