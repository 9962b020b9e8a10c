//! The exporter `msb-metrics`.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrator::cli::metrics()
}
