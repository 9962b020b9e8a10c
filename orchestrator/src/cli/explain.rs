//! Explain a code, a key of the file, or a value of this project

mod codes;
mod key;
mod value;

use schema::exit::Kind;

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::file_flags::FileFlags;

/// Explain a code, a key of the file, or a value of this project
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As `schema::unknown-key`, `77`, `sandbox.memory` or `sandbox.web.memory`
    #[arg(value_name = "CODE|KEY|ADDRESS.PATH", required_unless_present = "list")]
    about: Option<String>,
    /// List every code
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    files: FileFlags,
}

/// Prints what there is to say: of a code, else of a key, else of a value.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.list {
        codes::list_all(call);
        return Ok(0);
    }
    let text = args.about.as_deref().unwrap_or_default();
    if let Ok(number) = text.parse::<u8>() {
        return codes::by_exit_code(call, number);
    }
    let short = text.strip_prefix("msb::").unwrap_or(text);
    if codes::tell(call, short) || key::tell(call, text) {
        return Ok(0);
    }
    if short.contains("::") {
        return Err(unknown(format!("there is no code `{text}`"), codes::near(short)).into());
    }
    if text.contains(['.', '[']) {
        return value::tell(call, &args.files, text);
    }
    let near = codes::near(short).map(str::to_owned).or_else(|| key::near(text));
    Err(unknown(format!("there is no code and no key `{text}`"), near.as_deref()).into())
}

fn unknown(message: String, near: Option<&str>) -> Failure {
    let failure = Failure::new("usage::value", "usage", message).kind(Kind::Failed);
    match near {
        Some(near) => failure.hint(format!("Read `msb explain {near}`.")),
        None => failure.hint(
            "List all codes with `msb explain --list`, and values with `msb config --origins`.",
        ),
    }
}
