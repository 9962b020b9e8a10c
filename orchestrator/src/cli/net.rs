//! What a sandbox may reach

mod destination;
mod test;
mod verdict;

use clap::Subcommand;

pub(super) use verdict::written;

use super::call::Call;
use super::ending::Ending;

/// What a sandbox may reach
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Test(test::Args),
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    match &args.command {
        Command::Test(args) => test::run(args, call),
    }
}
