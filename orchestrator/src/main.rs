//! The command `msb`.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrator::cli::main()
}
