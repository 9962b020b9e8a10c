//! Runtime processes: start, find, ask and wait for them.

mod folder;
pub mod process;

pub use folder::{Folder, Look};
