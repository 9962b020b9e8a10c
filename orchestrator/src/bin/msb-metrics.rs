//! The exporter `msb-metrics`.
fn main() {}
