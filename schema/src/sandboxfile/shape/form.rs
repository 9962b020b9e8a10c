//! How a key is written, said in the format that was read.

use super::Stand;
use crate::sandboxfile::keys::Principal;
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};

/// Returns values as they would be written again, the first few of many.
pub(super) fn items(items: &[Scalar<'_>]) -> String {
    let mut words: Vec<_> = items.iter().take(ITEMS_SHOWN_MAX).map(item).collect();
    if items.len() > words.len() {
        words.push("…".to_owned());
    }
    words.join(" ")
}

const ITEMS_SHOWN_MAX: usize = 8;

fn item(value: &Scalar<'_>) -> String {
    match value.kind {
        ScalarKind::Quoted | ScalarKind::Word => format!("\"{}\"", shown(&value.text)),
        ScalarKind::Nothing => "null".to_owned(),
        ScalarKind::Number | ScalarKind::True | ScalarKind::False | ScalarKind::Null => {
            shown(&value.text)
        }
    }
}

/// How one value is written.
pub(super) fn scalar(name: &str, yaml: bool) -> String {
    let name = shown(name);
    if yaml { format!("write {name}: VALUE") } else { format!("write {name} VALUE") }
}

/// How a list is written.
pub(super) fn list(name: &str, yaml: bool) -> String {
    let name = shown(name);
    if yaml { format!("write {name}: [A, B]") } else { format!("write {name} \"A\" \"B\"") }
}

/// How a line or a block is written.
pub(super) fn group(name: &str, principal: Option<Principal>, stand: Stand, yaml: bool) -> String {
    let name = shown(name);
    let value = principal.map_or("", |principal| principal.name).to_uppercase();
    match (yaml, stand, principal.is_some()) {
        (true, _, true) => format!("write {name}: {value}, or a map under {name}"),
        (true, _, false) => format!("write a map under {name}"),
        (false, Stand::Lines, true) => format!("write {name} \"{value}\" {{ … }}"),
        (false, Stand::Lines, false) => format!("write {name} {{ … }}"),
        (false, Stand::Properties, _) => format!("write {name} \"{value}\", then properties"),
    }
}

/// A null, or nothing, where a value is due.
pub(super) fn null(name: &str, span: Span, nullable: bool) -> Problem {
    let name = shown(name);
    let message = format!("`{name}` has no value");
    let help = if nullable {
        "write a value; null or ~ stands for explicitly none".to_owned()
    } else {
        format!("write a value, or leave `{name}` out; null is only for `command` and `entrypoint`")
    };
    Problem::error(Code::VALUE_NULL, message, span).help(help)
}
