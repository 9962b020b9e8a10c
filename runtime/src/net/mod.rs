//! The network of a machine: what its guest sends is judged here, and nothing passes that was not.

pub mod dns;
pub mod pins;
mod recent;
