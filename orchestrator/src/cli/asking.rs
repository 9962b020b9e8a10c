//! Questions that commands ask before they begin, and what comes of no answer.

use super::call::Call;
use super::failure::Failure;
use crate::context::Stream;
use crate::report::{Output, prompt};

/// Tells whether somebody is there who can be asked.
pub(super) fn may_ask(call: &Call) -> bool {
    call.report.form.output == Output::Text
        && call.context.terminal.is_tty(Stream::In)
        && call.context.terminal.is_tty(Stream::Err)
        && !call.context.is_ci()
}

/// Asks a question whose default is no; `refused` is what no, or nobody to ask, comes to.
///
/// # Errors
/// It was refused, or the input ended.
pub(super) fn agree(call: &Call, question: &str, refused: Failure) -> Result<(), Failure> {
    let yes = |typed: &str| matches!(typed.to_ascii_lowercase().as_str(), "y" | "yes");
    ask(call, &format!("{question} [y/N] "), yes, refused)
}

/// Asks for a name to be typed, because data would be lost.
///
/// # Errors
/// Something else was typed, nobody can be asked, or the input ended.
pub(super) fn typed(
    call: &Call,
    question: &str,
    name: &str,
    refused: Failure,
) -> Result<(), Failure> {
    ask(call, &format!("{question} Type `{name}` to go on: "), |typed| typed == name, refused)
}

fn ask(
    call: &Call,
    question: &str,
    is_agreed: impl Fn(&str) -> bool,
    refused: Failure,
) -> Result<(), Failure> {
    if !may_ask(call) {
        return Err(refused);
    }
    match prompt::ask(&call.report, question) {
        Some(typed) if is_agreed(&typed) => Ok(()),
        Some(_) => Err(refused),
        None => {
            let mut ended = Failure::new("interrupted", "consent", "interrupted");
            ended.exit_code = Some(130);
            Err(ended)
        }
    }
}
