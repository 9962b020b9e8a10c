//! The command `msb`.
fn main() {}
