//! Print the path of a sandbox's agent socket

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::targets::{self, Target};
use schema::control::AGENT_SOCKET;

/// Print the path of a sandbox's agent socket
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The sandbox
    #[arg(value_name = "NAME")]
    name: Target,
}

/// Prints the path; connects to nothing.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let view = targets::find(call, &args.name)?;
    let Some(folder) = view.folder() else {
        let message = format!("{} never had a machine", view.name);
        return Err(Failure::new("sandbox::not-running", "state", message)
            .hint(format!("Start it with `msb start {}`.", view.name))
            .into());
    };
    let path = folder.file(AGENT_SOCKET);
    if call.report.is_text() {
        call.report.line(&path.display().to_string());
    } else {
        let exists = path.exists();
        call.report.document(&serde_json::json!({
            "address": format!("sandbox.{}", view.name), "path": path, "exists": exists,
        }));
    }
    Ok(0)
}
