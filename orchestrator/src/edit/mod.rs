//! Sandboxfiles as text that people own: all errors of a broken one, canonical layout, and a node
//! put where it belongs with everything around it kept. In YAML only the last, line by line.
//!
//! ```text
//! text ──our reader──▶ outline ──▶ layout ──▶ text ──▶ the same? ──▶ text
//!                         └─────▶ insert ──▶ text ──────┘   ▲
//!                                        the crate `kdl`, second reader
//! ```
//!
//! The crate is never the first reader, and never the writer: it drops what
//! stands behind a closing brace. It is asked behind a guard, on a thread of its
//! own, and forgotten when it takes too long.

mod asides;
pub(crate) mod errors;
mod format;
mod guard;
mod insert;
mod layout;
#[cfg(test)]
mod made;
mod outline;
mod place;
mod same;
mod second;
mod yaml;

use schema::sandboxfile::problem::Problem;

pub use asides::Asides;
pub use format::format;
pub use insert::insert_node;
pub(crate) use second::THREAD as SECOND_READER;
pub use yaml::insert_node as insert_yaml_node;

/// Why a text is left as it is.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EditError {
    /// It cannot be read.
    #[error("the text cannot be read")]
    Broken(Vec<Problem>),
    /// It is more than an edit takes.
    #[error("the file is too much for an edit: {0}")]
    TooMuch(String),
    /// No node can be put into it as it is laid out.
    #[error("nothing can be put into the text as it is laid out: {0}")]
    Layout(&'static str),
    /// The result would not be what it must be.
    #[error("the edit went wrong, so nothing was written: {0}")]
    Fault(String),
}

/// Refuses a text that is more than an edit takes.
///
/// # Errors
/// It has too many bytes, braces or slashdashes.
pub fn check_cost(text: &str) -> Result<(), EditError> {
    guard::Cost::of(text).too_much().map_or(Ok(()), |why| Err(EditError::TooMuch(why)))
}
