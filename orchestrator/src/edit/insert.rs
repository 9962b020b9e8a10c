//! A node put into a text where it belongs; every other byte stays.

use schema::sandboxfile::keys::TOP;
use schema::sandboxfile::print::{self, Order, rank};
use schema::sandboxfile::problem::Problem;
use schema::sandboxfile::source::Format;
use schema::sandboxfile::tree::{Entry, Tree};

use super::outline::{Body, outline};
use super::{EditError, check_cost, same, second};

/// Returns the text with one more node at its top: behind the last of its kind, else where the
/// order of the table puts it.
///
/// # Errors
/// The text is no KDL or more than an edit takes, or the node does not fit its key.
pub fn insert_node(text: &str, node: &Entry<'_>) -> Result<String, EditError> {
    let before = same::read(text).map_err(EditError::Broken)?;
    check_cost(text)?;
    let tree = Tree { entries: vec![node.clone()] };
    let written = print::tree(tree, Format::Kdl, Order::Table).map_err(EditError::Broken)?;
    let fault = |problem: Problem| EditError::Fault(problem.message);
    let after = put(text, &node.key, written.trim_end()).map_err(fault)?;
    let again = same::read(&after).map_err(|problems| {
        EditError::Fault(problems.first().map_or_else(String::new, |first| first.message.clone()))
    })?;
    let is_sound = is_one_more(&before.entries, &again.entries)
        && same::comments(text, &after).map_err(fault)?
        && (second::complaints(&after).is_empty() || !second::complaints(text).is_empty());
    if !is_sound {
        return Err(EditError::Fault("the node would change what stands beside it".to_owned()));
    }
    Ok(after)
}

/// Returns whether the second list is the first with one entry more.
fn is_one_more(before: &[Entry<'_>], after: &[Entry<'_>]) -> bool {
    let twins = before.iter().zip(after).take_while(|(one, other)| {
        same::entries(std::slice::from_ref(*one), std::slice::from_ref(*other))
    });
    let head = twins.count();
    let rest = before[head..].iter().zip(after.iter().skip(head + 1));
    after.len() == before.len() + 1
        && rest.into_iter().all(|(one, other)| {
            same::entries(std::slice::from_ref(one), std::slice::from_ref(other))
        })
}

/// Puts the written node into the text.
fn put(text: &str, key: &str, written: &str) -> Result<String, Problem> {
    let block = outline(text)?;
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let written = written.replace('\n', end);
    let place = rank(TOP, key);
    let said = block.nodes.iter().filter(|node| matches!(node.body, Body::Said { .. }));
    let behind =
        said.clone().filter(|node| rank(TOP, &node.key) <= place).map(|node| node.place.end);
    // The last by rank, then by place: nodes need not stand in order.
    let last_of_kind = said
        .clone()
        .filter(|node| rank(TOP, &node.key) == place)
        .map(|node| node.place.end)
        .next_back();
    let at = last_of_kind.or_else(|| behind.max());
    let rest_of_line = |at: usize| text[at..].lines().next().unwrap_or_default().trim();
    Ok(match (at, said.clone().next()) {
        (Some(at), _) if rest_of_line(at).is_empty() => {
            let (head, tail) = text.split_at(at);
            // What follows is set apart as well.
            let follows = tail.lines().nth(1).is_some_and(|line| !line.trim().is_empty());
            let gap = if follows { end } else { "" };
            let tail = if tail.trim().is_empty() { end } else { tail };
            format!("{head}{end}{end}{written}{gap}{tail}")
        }
        (None, Some(first)) => {
            let (head, tail) = text.split_at(first.place.start);
            format!("{head}{written}{end}{end}{tail}")
        }
        _ if text.trim().is_empty() => format!("{written}{end}"),
        _ => format!("{}{end}{end}{written}{end}", text.trim_end()),
    })
}

#[cfg(test)]
mod tests {
    use schema::sandboxfile::tree::Scalar;

    use super::*;

    fn node(key: &'static str, name: &'static str) -> Entry<'static> {
        let image = Entry::node("image").with(Scalar::text("x:1"));
        Entry::node(key).with(Scalar::text(name)).line(image)
    }

    fn check(text: &str, node: &Entry<'_>, expected: &str) {
        let after = insert_node(text, node).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        assert_eq!(after, expected, "\n{after}");
    }

    #[test]
    fn sf_x2_a_node_stands_behind_the_last_of_its_kind_and_all_else_stays() {
        let written = "sandbox \"b\" {\n    image \"x:1\"\n}";
        check(
            "// head\nproject  \"p\"\nsandbox \"a\" {\n  image   \"x:1\"\n} // a\n\n/* v */\nvolume \"v\"\n",
            &node("sandbox", "b"),
            &format!(
                "// head\nproject  \"p\"\nsandbox \"a\" {{\n  image   \"x:1\"\n}} // a\n\n{written}\n\n/* v */\nvolume \"v\"\n"
            ),
        );
        check("project \"p\"", &node("sandbox", "b"), &format!("project \"p\"\n\n{written}\n"));
        check("", &node("sandbox", "b"), &format!("{written}\n"));
        check("// only\n", &node("sandbox", "b"), &format!("// only\n\n{written}\n"));
        check("a 1; c 2\n", &node("sandbox", "b"), &format!("a 1; c 2\n\n{written}\n"));
    }

    #[test]
    fn a_node_of_a_new_kind_stands_where_the_table_puts_it() {
        let volume = Entry::node("volume").with(Scalar::text("v"));
        check(
            "// file\n\n// of a\nsandbox \"a\" { image \"x:1\" }\n",
            &volume,
            "// file\n\nvolume \"v\"\n\n// of a\nsandbox \"a\" { image \"x:1\" }\n",
        );
        check(
            "project \"p\"\r\nsandbox \"a\" { image \"x:1\" }\r\n",
            &volume,
            "project \"p\"\r\n\r\nvolume \"v\"\r\n\r\nsandbox \"a\" { image \"x:1\" }\r\n",
        );
    }

    #[test]
    fn a_job_may_stand_behind_a_sandbox() {
        check(
            "sandbox \"a\" { image \"x:1\" }; volume \"v\"\n",
            &node("job", "b"),
            "sandbox \"a\" { image \"x:1\" }; volume \"v\"\n\njob \"b\" {\n    image \"x:1\"\n}\n",
        );
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        let one = node("sandbox", "b");
        assert!(matches!(insert_node("a {", &one), Err(EditError::Broken(_))));
        let deep = "a {\n".repeat(49) + &"}\n".repeat(49);
        assert!(matches!(insert_node(&deep, &one), Err(EditError::TooMuch(_))));
        let strange = Entry::node("sandbx").with(Scalar::text("b"));
        assert!(matches!(insert_node("", &strange), Err(EditError::Broken(_))));
    }

    #[test]
    fn texts_made_by_chance_take_a_node_anywhere() {
        for seed in 0..300 {
            let text = crate::edit::made::text(&mut crate::edit::made::Chance::new(seed));
            match insert_node(&text, &node("sandbox", "new")) {
                Err(EditError::Fault(why)) => panic!("{why}\n{text}"),
                Err(EditError::Layout(why)) => panic!("{why}\n{text}"),
                Ok(_) | Err(EditError::Broken(_) | EditError::TooMuch(_)) => {}
            }
        }
    }
}
