//! What the layout does, and that it does it once.

use std::path::Path;

use schema::sandboxfile::print::{self, Order};
use schema::sandboxfile::source::Format;

use super::*;
use crate::edit::made::Chance;

fn check(text: &str, expected: &str) {
    let laid = format(text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    assert_eq!(laid, expected, "\n{laid}");
    assert_eq!(format(&laid).unwrap(), laid, "a second time changes nothing\n{laid}");
}

#[test]
fn sf_x4_four_spaces_and_keys_in_the_order_of_the_table() {
    check(
        "sandbox \"web\" {\n  memory   \"1GiB\"\n  image \"x:1\" ; cpus 1\n}\nproject   \"acme\"\n",
        "project \"acme\"\nsandbox \"web\" {\n    image \"x:1\"\n    cpus 1\n    memory \"1GiB\"\n}\n",
    );
}

#[test]
fn sandboxes_and_jobs_stay_in_the_order_of_the_story() {
    let text = "sandbox \"a\" { image \"x:1\" }\njob \"b\" { image \"x:1\" }\nsandbox \"c\" { image \"x:1\" }\n";
    check(text, text);
}

#[test]
fn sf_x4_comments_stay_with_what_they_are_about() {
    check(
        "// the file\n\n// the web\nsandbox \"web\" { // here\n  // how much\n  memory \"1GiB\" // enough\n\
         \x20 image /* which */ \"x:1\"\n  // done\n} // web\n/* about */ project \"acme\" // end\n// last\n",
        "// the file\n\n/* about */ project \"acme\" // end\n\n// the web\nsandbox \"web\" { // here\n    \
         image /* which */ \"x:1\"\n    // how much\n    memory \"1GiB\" // enough\n    // done\n} // web\n\
         // last\n",
    );
}

#[test]
fn sf_x4_numbers_and_words_keep_their_text() {
    check(
        "sandbox web {\n labels { v 3.10; w 0755; x 1_000; y 0x1f; z #\"raw \\ \"#; é \"\\u{e9}\" }\n}\n",
        "sandbox web {\n    labels { v 3.10; w 0755; x 1_000; y 0x1f; z #\"raw \\ \"#; é \"\\u{e9}\" }\n}\n",
    );
}

#[test]
fn one_blank_line_at_most_stands_between_two_nodes() {
    check(
        "\n\nproject \"a\" {\n\n  format 1\n\n\n  driver \"auto\"\n\n}\n\n\n\nvolume \"v\"\n\n\n",
        "project \"a\" {\n    format 1\n\n    driver \"auto\"\n}\n\nvolume \"v\"\n",
    );
}

#[test]
fn a_block_on_one_line_stays_there_while_it_fits() {
    check(
        "volume   \"v\"   {size \"1GiB\";kind \"disk\";}\n",
        "volume \"v\" { kind \"disk\"; size \"1GiB\" }\n",
    );
    check("ready { }\n", "ready {}\n");
    check("ready {\n}\n", "ready {}\n");
    let wide = "x".repeat(90);
    check(
        &format!("sandbox \"a\" {{ image \"x:1\"; workdir \"/{wide}\" }}\n"),
        &format!("sandbox \"a\" {{\n    image \"x:1\"\n    workdir \"/{wide}\"\n}}\n"),
    );
}

#[test]
fn properties_stand_behind_the_value_in_the_order_of_the_table() {
    check(
        "sandbox \"a\" {\n port host=80   guest = 80\n image pull=\"never\" \"x:1\"\n env { A from-env=\"B\" }\n}\n",
        "sandbox \"a\" {\n    image \"x:1\" pull=\"never\"\n    env { A from-env=\"B\" }\n    port guest=80 host=80\n}\n",
    );
}

#[test]
fn a_broken_line_stays_broken_and_is_indented() {
    check(
        "sandbox \"a\" {\n  command \"sh\" \\\n  \"-c\" \\ // what\n\"x\"\n}\n",
        "sandbox \"a\" {\n    command \"sh\" \\\n        \"-c\" \\ // what\n        \"x\"\n}\n",
    );
    check("a 1 \\\n\nb 2 \\ // c\n\n", "a 1\nb 2 // c\n");
}

#[test]
fn text_over_several_lines_moves_with_its_node() {
    check(
        "sandbox \"a\" {\n  command \"sh\" \"-c\" \"\"\"\n  set -e\n\n    x\n  \"\"\"\n}\n",
        "sandbox \"a\" {\n    command \"sh\" \"-c\" \"\"\"\n        set -e\n\n          x\n        \"\"\"\n}\n",
    );
    check(
        "sandbox \"a\" {\n  command #\"\"\"\n   a \\\n   \"\"\"#\n}\n",
        "sandbox \"a\" {\n    command #\"\"\"\n        a \\\n        \"\"\"#\n}\n",
    );
    check("a \"\"\"\n  x \\\n  y\n  \"\"\"\n", "a \"\"\"\n  x \\\n  y\n  \"\"\"\n");
}

#[test]
fn what_is_behind_a_slashdash_is_laid_out_where_it_is() {
    check(
        "/- kdl-version 2\n/-  sandbox \"old\" {\n  image   \"x:1\" // why\n}\nproject \"p\" /-2 { /-format 1; driver \"auto\" }\n",
        "/- kdl-version 2\n\nproject \"p\" /-2 { /-format 1; driver \"auto\" }\n/-sandbox \"old\" {\n    \
         image \"x:1\" // why\n}\n",
    );
}

#[test]
fn a_key_that_nobody_knows_stays_behind_its_neighbour() {
    check("memory 1\nunknown 2\nproject 3\n", "memory 1\nunknown 2\nproject 3\n");
    check(
        "sandbox \"a\" {\n memory 1\n unknown 2\n image 3\n}\n",
        "sandbox \"a\" {\n    image 3\n    memory 1\n    unknown 2\n}\n",
    );
}

#[test]
fn line_ends_and_marks_of_other_systems_go() {
    check("\u{feff}a 1\r\n\r\n// b\r\nc {\r\n d 2\r\n}\r\n", "a 1\n\n// b\nc {\n    d 2\n}\n");
    check("a 1\rb 2", "a 1\nb 2\n");
    check("", "");
    check("// only\n", "// only\n");
}

#[test]
fn sf_x4_a_text_that_does_not_parse_is_left_alone() {
    assert!(matches!(format("a {\n"), Err(EditError::Broken(_))));
    assert!(matches!(format("a (u8)1\n"), Err(EditError::Broken(_))));
    assert!(matches!(format("a: 1\n"), Err(EditError::Broken(_))));
}

#[test]
fn sf_t14_above_the_guard_an_edit_is_refused() {
    let deep = "a {\n".repeat(49) + &"}\n".repeat(49);
    for text in [deep, "/-a\n".repeat(9), "// x\n".repeat(60_000)] {
        assert!(matches!(format(&text), Err(EditError::TooMuch(_))), "{}", text.len());
    }
}

/// Lays out a text twice; the layout itself holds that nothing is lost.
fn settles(text: &str) {
    match format(text) {
        Ok(once) => {
            let twice = format(&once).unwrap_or_else(|error| panic!("{error:?}\n{text}\n{once}"));
            assert_eq!(twice, once, "of\n{text}");
        }
        Err(EditError::Broken(_) | EditError::TooMuch(_)) => {}
        Err(EditError::Fault(why)) => panic!("{why}\n{text}\n---\n{}", laid(text)),
        Err(EditError::Layout(why)) => panic!("{why}\n{text}"),
    }
}

fn laid(text: &str) -> String {
    outline(&with_lines(text)).map_or_else(|_| String::new(), |block| document(&block))
}

#[test]
fn sf_x4_the_layout_is_idempotent_and_loses_nothing_whatever_the_text() {
    let mut count = 0;
    for seed in 0..600 {
        let text = crate::edit::made::text(&mut Chance::new(seed));
        count += usize::from(format(&text).is_ok());
        settles(&text);
    }
    assert!(count > 400, "{count} of 600 texts were read");
}

#[test]
fn sf_x4_the_official_cases_of_kdl_settle() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/kdl/input");
    let mut count = 0;
    for case in std::fs::read_dir(cases).unwrap() {
        if let Ok(text) = std::fs::read_to_string(case.unwrap().path()) {
            count += usize::from(format(&text).is_ok());
            settles(&text);
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn what_is_printed_from_a_document_is_laid_out_already() {
    let worked = include_str!("../../../../schema/src/sandboxfile/print/tests/worked.kdl");
    let limits = schema::sandboxfile::limits::Limits::default();
    let document =
        schema::sandboxfile::document::Group::read(worked, Format::Kdl, &limits).unwrap();
    let printed = print::text(&document, Format::Kdl, Order::Table).unwrap();
    check(&printed, &printed);
}
