//! Canonical layout of a text, and the proof that nothing else has changed.

use schema::sandboxfile::problem::Problem;

use super::layout::document;
use super::outline::outline;
use super::{EditError, check_cost, same, second};

/// Returns the text in canonical layout; what is laid out already comes back as it is.
///
/// # Errors
/// The text is no KDL, or more than an edit takes.
pub fn format(text: &str) -> Result<String, EditError> {
    let before = with_lines(text);
    let tree = same::read(&before).map_err(EditError::Broken)?;
    check_cost(text)?;
    let fault = |problem: Problem| EditError::Fault(problem.message);
    let after = document(&outline(&before).map_err(fault)?);
    let again = same::read(&after).map_err(|problems| {
        EditError::Fault(problems.first().map_or_else(String::new, |first| first.message.clone()))
    })?;
    if !same::entries(&tree.entries, &again.entries) {
        return Err(EditError::Fault("the layout would change what the file says".to_owned()));
    }
    if !same::comments(&before, &after).map_err(fault)? {
        return Err(EditError::Fault("the layout would lose a comment".to_owned()));
    }
    if second::objects(&before, &after) {
        return Err(EditError::Fault("the two readers of KDL disagree about it".to_owned()));
    }
    Ok(after)
}

/// Returns the text with line feeds alone as line ends, and without a byte-order mark.
///
/// Inside quotes a line end of any kind is read as a line feed, so nothing that is said changes.
fn with_lines(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let is_end =
        |c: char| matches!(c, '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    text.replace(is_end, "\n")
}

#[cfg(test)]
mod tests;
