//! The exporter's own command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use schema::exit::Kind;
use schema::name::ProjectName;

use super::failure::Failure;
use super::{ending, usage, values};
use crate::context::{Context, Environment, Terminal};
use crate::exporter::options::{
    Emit, Gathering, GatheringFlags, LabelWish, OptionsError, Rounds, Sending, SendingFlags,
    Variables,
};
use crate::exporter::{self, Compression, Ended, Protocol, Signal, Stop};
use crate::report::log::{self, Lines};
use crate::report::style::Style;
use crate::report::{Annotations, Form, Output, Progress, Report};

/// Export what machines use: to a receiver of OTLP, or as lines
///
/// It reads and never writes: it can be started before there is anything to read.
#[derive(Debug, Parser)]
#[command(name = "msb-metrics", version, max_term_width = 100, next_line_help = false)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    sink: Sink,
}

#[derive(Debug, Subcommand)]
enum Sink {
    /// Send figures to a receiver of OTLP
    Otel(Box<Otel>),
    /// Print a line for each sandbox and flush
    Stdout(Stdout),
}

#[derive(Debug, Args)]
struct Shared {
    /// Where state lives [default: `$MSB_HOME`, else `~/.microsandbox`]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// What the log on stderr tells [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<Level>,
    /// Form of the log [default: text]
    #[arg(long, global = true, value_name = "FORM")]
    log_format: Option<LogForm>,
    /// How often samples are read [default: 1s]
    #[arg(long, global = true, value_name = "DUR", value_parser = values::duration)]
    collect_interval: Option<Duration>,
    /// How often what was read is exported [default: 10s]
    #[arg(long, global = true, value_name = "DUR", value_parser = values::duration)]
    flush_interval: Option<Duration>,
    /// How many collections are kept while the receiver fails [default: 60]
    #[arg(long, global = true, value_name = "N", value_parser = buffered)]
    max_buffered: Option<usize>,
    /// How long one request, and the last flush, may take [default: 30s]
    #[arg(long, global = true, value_name = "DUR", value_parser = values::duration)]
    export_timeout: Option<Duration>,
    /// How old a sample may be; 0 is any age [default: 30s]
    #[arg(long, global = true, value_name = "DUR", value_parser = values::duration_or_zero)]
    max_sample_age: Option<Duration>,
    /// Tell no labels
    #[arg(long, global = true)]
    no_labels: bool,
    /// Tell no label with this key (can be repeated)
    #[arg(long, global = true, value_name = "KEY")]
    exclude_label_key: Vec<String>,
    /// Sandboxes with this label only (can be repeated; all must hold)
    #[arg(long = "label", global = true, value_name = "KEY[=VALUE]", value_parser = values::pair)]
    labels: Vec<(String, Option<String>)>,
    /// Sandboxes of this project only (can be repeated) [default: all]
    #[arg(long, global = true, value_name = "NAME")]
    project: Vec<ProjectName>,
    /// Read once, export, end
    #[arg(long, global = true)]
    once: bool,
}

#[derive(Debug, Args)]
struct Otel {
    /// Where to send, exactly as written [default: the environment]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// How messages travel [default: grpc]
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<ProtocolWord>,
    /// How they are packed [default: none]
    #[arg(long, value_name = "KIND")]
    compression: Option<CompressionWord>,
    /// Whom to trust (can be repeated) [default: whom the system trusts]
    #[arg(long, value_name = "PEM")]
    ca_cert: Vec<PathBuf>,
    /// Our own certificate
    #[arg(long, value_name = "PEM", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The key of our own certificate
    #[arg(long, value_name = "PEM", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// A header of every request; `env:VAR` stands for what a variable holds (can be repeated)
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = whole_pair)]
    headers: Vec<(String, String)>,
    /// Something to say of this exporter (can be repeated)
    #[arg(long = "resource", value_name = "KEY=VALUE", value_parser = whole_pair)]
    resource: Vec<(String, String)>,
    /// Say of each point which run of its sandbox it is from
    #[arg(long)]
    emit_run_id: bool,
    /// Say of each point the process id of its runtime
    #[arg(long)]
    emit_pid: bool,
}

#[derive(Debug, Args)]
struct Stdout {
    /// Print objects, one a line
    #[arg(long)]
    json: bool,
}

/// `--log-level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Errors only
    Error,
    /// Warnings too
    Warn,
    /// What changes
    Info,
    /// More
    Debug,
    /// Everything
    Trace,
}

/// `--log-format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogForm {
    /// For people
    Text,
    /// Objects, one a line
    Json,
}

/// `--protocol`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProtocolWord {
    /// gRPC
    Grpc,
    /// HTTP with bodies of protobuf
    Http,
}

/// `--compression`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CompressionWord {
    /// As they are
    None,
    /// With gzip
    Gzip,
}

/// The most collections that anybody may want to keep: a day of them, at one a second.
const BUFFERED_MAX: usize = 86_400;

fn buffered(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=BUFFERED_MAX).contains(&count) => Ok(count),
        _ => Err(format!("write a number from 1 to {BUFFERED_MAX}")),
    }
}

fn whole_pair(text: &str) -> Result<(String, String), String> {
    match values::pair(text)? {
        (key, Some(value)) => Ok((key, value)),
        (key, None) => Err(format!("write a value too: `{key}=VALUE`")),
    }
}

/// Runs the exporter.
#[must_use]
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return answer(&error, &arguments),
    };
    ending::guarded(|| match run(cli) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Undelivered) => ExitCode::from(Kind::Failed.code()),
        Err(failure) => ending::unprepared(&failure, &arguments),
    })
}

/// Answers for a command line that is not carried out.
fn answer(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            usage::plain_report(arguments).out(&error.render().to_string());
            ExitCode::SUCCESS
        }
        _ => {
            let code = match error.kind() {
                ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument => "usage::flag",
                _ => "usage::value",
            };
            let given = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(given)) => given.as_str(),
                _ => "",
            };
            // Whatever is wrong with a header, what was given may be a token.
            let failure = match given.starts_with("--header") {
                true => Failure::usage(code, "--header: write KEY=VALUE, or KEY=env:VAR"),
                false => Failure::usage(code, usage::first_line(error)),
            };
            ending::unprepared(&failure.hint("See `msb-metrics --help`."), arguments)
        }
    }
}

fn run(cli: Cli) -> Result<Ended, Failure> {
    let Cli { shared, sink } = cli;
    let mut context = Context::read()?;
    if let Some(home) = &shared.home {
        context = context.with_home(home);
    }
    log::start_service(
        level(&shared, &context.environment)?,
        match shared.log_format {
            Some(LogForm::Json) => Lines::Json,
            Some(LogForm::Text) | None => Lines::Text,
        },
    );
    let environment = context.environment.clone();
    let mut variables = Variables::new(&environment, Signal::Metrics);
    let wish = Gathering::of(gathering(shared), &mut variables);
    match sink {
        Sink::Otel(otel) => {
            let is_disabled = variables.is_disabled();
            let sending = Sending::of(sending(*otel), wish.timeout, &environment, &mut variables);
            let sending = sending.map_err(|error| refused(&error))?;
            variables.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            if is_disabled {
                tracing::info!("OTEL_SDK_DISABLED is set: nothing is exported");
                return Ok(Ended::Well);
            }
            block_on(async {
                let stop = listen()?;
                let sent = exporter::send((wish, sending), &context, stop).await;
                sent.map_err(|error| Failure::of("msb::metrics::tls", "state", &error))
            })?
        }
        Sink::Stdout(Stdout { json }) => {
            variables.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            let report = report(json);
            block_on(async {
                exporter::print(wish, &context, &report, listen()?).await;
                Ok(Ended::Well)
            })?
        }
    }
}

fn listen() -> Result<Stop, Failure> {
    Stop::listen().map_err(|error| {
        Failure::new("host::signals", "state", "cannot catch signals").cause(error.to_string())
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let refused = |why: String| {
        Failure::new("host::event-loop", "state", "cannot make an event loop").cause(why)
    };
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = ending::caught(build).map_err(refused)?;
    Ok(runtime.map_err(|error| refused(error.to_string()))?.block_on(work))
}

/// Returns the level of the log: the flag, else the variable, else what changes.
fn level(shared: &Shared, environment: &Environment) -> Result<&'static str, Failure> {
    let word = |level| match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    match (shared.log_level, environment.get("MSB_LOG")) {
        (Some(level), _) => Ok(word(level)),
        (None, Some(text)) => Level::from_str(text, false).map(word).map_err(|_| {
            Failure::usage("usage::value", format!("MSB_LOG: `{text}` is no level"))
                .hint("Use one of error, warn, info, debug, trace.")
        }),
        (None, None) => Ok("info"),
    }
}

fn gathering(shared: Shared) -> GatheringFlags {
    GatheringFlags {
        collect_every: shared.collect_interval,
        flush_every: shared.flush_interval,
        buffered_max: shared.max_buffered,
        timeout: shared.export_timeout,
        sample_age_max: shared.max_sample_age,
        labels: match shared.no_labels {
            true => LabelWish::None,
            false => LabelWish::AllBut(shared.exclude_label_key.into_iter().collect()),
        },
        with_labels: shared.labels,
        projects: shared.project,
        rounds: if shared.once { Rounds::One } else { Rounds::Endless },
    }
}

fn sending(otel: Otel) -> SendingFlags {
    SendingFlags {
        endpoint: otel.endpoint,
        protocol: otel.protocol.map(|word| match word {
            ProtocolWord::Grpc => Protocol::Grpc,
            ProtocolWord::Http => Protocol::Http,
        }),
        compression: otel.compression.map(|word| match word {
            CompressionWord::None => Compression::None,
            CompressionWord::Gzip => Compression::Gzip,
        }),
        authorities: otel.ca_cert,
        client: otel.client_cert.zip(otel.client_key),
        headers: otel.headers,
        resource: otel.resource,
        emit: Emit { run_id: otel.emit_run_id, pid: otel.emit_pid },
    }
}

/// Returns why nothing can be exported, as a failure of its kind.
fn refused(error: &OptionsError) -> Failure {
    match error {
        OptionsError::NoEndpoint => Failure::of("msb::usage::value", "usage", error)
            .kind(Kind::Usage)
            .hint("Write `--endpoint http://HOST:4317`, or set OTEL_EXPORTER_OTLP_ENDPOINT."),
        OptionsError::Endpoint(_) => Failure::of("msb::metrics::endpoint", "state", error).hint(
            "Write a URL such as `http://localhost:4317` or `https://otlp.example/v1/metrics`.",
        ),
        OptionsError::Header(_) | OptionsError::NoVariable { .. } => {
            Failure::of("msb::usage::value", "usage", error).kind(Kind::Usage)
        }
    }
}

fn report(json: bool) -> Report {
    let output = if json { Output::Ndjson } else { Output::Text };
    let (out, err, terminal) = (Style::PLAIN, Style::PLAIN, Terminal::none());
    let annotations = Annotations::Off;
    Report::new(Form { output, progress: Progress::Plain, out, err, annotations, terminal })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_shared_flag_stands_on_either_side_of_the_word() {
        for line in ["msb-metrics --once otel", "msb-metrics otel --once"] {
            assert!(Cli::try_parse_from(line.split(' ')).unwrap().shared.once, "{line}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for line in [
            "msb-metrics otel --max-buffered 0",
            "msb-metrics otel --flush-interval 0",
            "msb-metrics otel --collect-interval 1",
            "msb-metrics otel --client-cert a",
            "msb-metrics otel --header token",
            "msb-metrics otel --protocol http/protobuf",
            "msb-metrics stdout --endpoint http://h",
            "msb-metrics",
        ] {
            let is_good = line.ends_with("--collect-interval 1");
            assert_eq!(Cli::try_parse_from(line.split(' ')).is_ok(), is_good, "{line}");
        }
    }
}
