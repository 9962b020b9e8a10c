//! The language of the Sandboxfile: from bytes to a [`crate::project::Project`], or to problems.
//!
//! ```text
//! bytes → text → syntax::{kdl, yaml} → tree → document → resolve → Project
//!          one spanned tree both formats fill ┘   shapes ┘  values, references, rules ┘
//! ```
//!
//! Stages run to their end and report all they find. An entry with a problem
//! is left out of later stages, so nothing is said that only follows from it.

pub mod describe;
pub mod document;
pub mod explain;
pub mod image_lock;
pub mod interpolate;
pub mod keys;
pub mod limits;
pub mod merge;
pub mod print;
pub mod problem;
pub mod provenance;
pub mod resolve;
pub mod shape;
pub mod source;
pub mod syntax;
pub mod tree;
pub mod value;
