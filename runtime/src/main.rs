//! The program `msb-runtime`.
fn main() {}
