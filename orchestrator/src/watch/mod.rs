//! What a loop needs that keeps a project as its files say: hints, and who is tried again when.

pub mod backoff;
pub mod hints;
