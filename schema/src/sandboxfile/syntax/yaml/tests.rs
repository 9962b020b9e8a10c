//! Cases of the YAML reader.

use super::*;

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
