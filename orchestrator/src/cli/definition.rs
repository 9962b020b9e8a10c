//! The flags that define a sandbox, for `run` and `create`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use schema::name::{EnvKey, SandboxName, VolumeName};
use schema::project::{
    ArgumentList, EnvValue, GuestPath, Image, ImageRef, Kind, Limit, LogLevel, Metrics, Pull,
    RestartPolicy, Rlimit, Root, Sandbox, Security, StopSignal, UserRef, Volume,
};
use schema::sandboxfile::problem::listed;
use schema::units::{Bytes, Millis, parse_count};

use super::call::Call;
use super::failure::Failure;
use super::outcome::ms;
use super::{mounts, network, values};
use crate::configuration::Defaults;

/// See the module.
#[derive(Debug, Clone, Args)]
pub(crate) struct Definition {
    /// Its name [default: `msb-` and 8 hex digits]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) name: Option<SandboxName>,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    process: Process,
    #[command(flatten)]
    lasting: Lasting,
    #[command(flatten)]
    pub(crate) mounts: mounts::Mounts,
    #[command(flatten)]
    network: network::NetworkFlags,
    /// A label (can be repeated)
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = values::pair)]
    labels: Vec<(String, Option<String>)>,
    /// How far the workload is held back [default: default]
    #[arg(long, value_name = "PROFILE")]
    security: Option<SecurityFlag>,
    #[command(flatten)]
    measured: Measured,
    /// How much its runtime logs [default: this call's]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LevelFlag>,
    /// Whether a missing image is fetched [default: missing]
    #[arg(long, value_name = "WHEN")]
    pull: Option<PullFlag>,
}

/// What it may use.
#[derive(Debug, Clone, Args)]
struct Resources {
    /// Processors [default: 1]
    #[arg(short, long, value_name = "N", value_parser = cpus)]
    cpus: Option<u8>,
    /// Processors it may be given later [default: as --cpus]
    #[arg(long, value_name = "N", value_parser = cpus)]
    cpus_max: Option<u8>,
    /// Memory [default: 512MiB]
    #[arg(short, long, value_name = "SIZE", value_parser = memory)]
    memory: Option<Bytes>,
    /// Memory it may be given later [default: as --memory]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory_max: Option<Bytes>,
    /// Size of its private upper layer [default: 4GiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    upper: Option<Bytes>,
}

/// What runs in it, and as whom.
#[derive(Debug, Clone, Args)]
struct Process {
    /// A variable, as KEY=VALUE or KEY of the host (can be repeated)
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = values::pair)]
    env: Vec<(String, Option<String>)>,
    /// A file of such lines; --env stands above it (can be repeated)
    #[arg(long, value_name = "PATH")]
    env_file: Vec<PathBuf>,
    /// A limit of its processes, as RES=SOFT[:HARD] (can be repeated)
    #[arg(long, value_name = "RES=SOFT[:HARD]", value_parser = rlimit)]
    rlimit: Vec<(String, Rlimit)>,
    /// Who runs it, as NAME|UID[:GROUP|GID] [default: the image's]
    #[arg(short, long, value_name = "USER", value_parser = user)]
    user: Option<UserRef>,
    /// Where it runs [default: the image's]
    #[arg(short, long, value_name = "PATH", value_parser = guest_path)]
    workdir: Option<GuestPath>,
    /// The guest's host name [default: the sandbox's name]
    #[arg(short = 'H', long, value_name = "NAME")]
    hostname: Option<String>,
    /// The shell of sessions [default: /bin/sh]
    #[arg(long, value_name = "PATH", value_parser = guest_path)]
    shell: Option<GuestPath>,
    /// A word of the entrypoint (can be repeated); '' is none [default: the image's]
    #[arg(long, value_name = "ARG")]
    entrypoint: Vec<String>,
    /// How long commands may take to end when it stops [default: 10s]
    #[arg(long, value_name = "DUR", value_parser = values::duration_or_zero)]
    stop_grace: Option<Duration>,
    /// The signal that asks its workload to end [default: the image's]
    #[arg(long, value_name = "SIG", value_parser = stop_signal)]
    stop_signal: Option<StopSignal>,
}

/// Whether and how often it is measured.
#[derive(Debug, Clone, Copy, Args)]
struct Measured {
    /// How old its figures may get before they are taken anew, 1s to 1h [default: 1s]
    #[arg(long, value_name = "DUR", value_parser = metrics_interval)]
    metrics_interval: Option<Millis>,
    /// Leave it unmeasured [default: off]
    #[arg(long, conflicts_with = "metrics_interval")]
    no_metrics: bool,
}

/// When it is started again, and when it is stopped.
#[derive(Debug, Clone, Args)]
struct Lasting {
    /// When its command is started again: no, on-failure[:MAX], always; for detached sandboxes [default: no]
    #[arg(long, value_name = "POLICY", value_parser = restart)]
    restart: Option<RestartFlag>,
    /// How long nobody uses it before it is stopped [default: for ever]
    #[arg(long, value_name = "DUR", value_parser = age)]
    idle_timeout: Option<Duration>,
    /// How long it runs before it is stopped [default: as long as it likes]
    #[arg(long, value_name = "DUR", value_parser = age)]
    max_duration: Option<Duration>,
}

/// A policy, and how many restarts it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RestartFlag {
    policy: RestartPolicy,
    max: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SecurityFlag {
    /// The usual one
    Default,
    /// With less
    Restricted,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LevelFlag {
    /// Errors
    Error,
    /// Warnings
    Warn,
    /// What happens
    Info,
    /// More
    Debug,
    /// Everything
    Trace,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PullFlag {
    /// When it is missing
    Missing,
    /// Every time
    Always,
    /// Never
    Never,
}

fn metrics_interval(text: &str) -> Result<Millis, String> {
    let interval = Millis(ms(values::duration(text)?));
    if Metrics::INTERVALS.contains(&interval) {
        Ok(interval)
    } else {
        Err("it is from 1s to 1h".into())
    }
}

fn cpus(text: &str) -> Result<u8, String> {
    match text.parse::<u8>() {
        Ok(0) => Err("a sandbox has at least 1 processor (msb::sandbox::zero-cpus)".into()),
        Ok(count @ 1..=64) => Ok(count),
        Ok(_) | Err(_) => Err("processors are a number from 1 to 64".into()),
    }
}

fn memory(text: &str) -> Result<Bytes, String> {
    let size = values::size(text)?;
    if size.0 == 0 {
        return Err("a sandbox has some memory (msb::sandbox::zero-memory)".into());
    }
    if !size.is_whole_mib() {
        return Err("memory is a whole number of MiB".into());
    }
    Ok(size)
}

fn user(text: &str) -> Result<UserRef, String> {
    UserRef::parse(text).ok_or_else(|| "a user is NAME|UID[:GROUP|GID]".into())
}

pub(super) fn guest_path(text: &str) -> Result<GuestPath, String> {
    GuestPath::parse(text).map_err(|error| error.to_string())
}

/// Reads a limit as `nofile=4096:65536`.
///
/// # Errors
/// A sentence that says what to write instead.
pub(super) fn rlimit(text: &str) -> Result<(String, Rlimit), String> {
    let grammar = || "a limit is RES=SOFT[:HARD], as in nofile=4096:65536".to_owned();
    let (name, limits) = text.split_once('=').ok_or_else(grammar)?;
    if !Rlimit::RESOURCES.contains(&name) {
        return Err(format!(
            "there is no limit `{name}`; there are {}",
            listed(Rlimit::RESOURCES.iter().copied())
        ));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let limit = |text: &str| match text {
        "unlimited" => Ok(Limit::Unlimited),
        text => parse_count(text).map(Limit::Count).ok_or_else(grammar),
    };
    let (soft, hard) = (limit(soft)?, limit(hard)?);
    if soft > hard {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok((name.to_owned(), Rlimit { soft, hard }))
}

fn restart(text: &str) -> Result<RestartFlag, String> {
    let grammar = || "a policy is no, on-failure, on-failure:MAX or always".to_owned();
    let (word, max) = text.split_once(':').map_or((text, None), |(word, max)| (word, Some(max)));
    let max = max.map(|max| parse_count(max).and_then(|max| u32::try_from(max).ok()));
    let max = max.map(|max| max.ok_or_else(grammar)).transpose()?;
    let policy = match (word, max) {
        ("no", None) => RestartPolicy::No,
        ("on-failure", _) => RestartPolicy::OnFailure,
        ("always", None) => RestartPolicy::Always,
        _ => return Err(grammar()),
    };
    Ok(RestartFlag { policy, max })
}

/// A clock that ends a machine runs for a second at least.
fn age(text: &str) -> Result<Duration, String> {
    let age = values::duration(text)?;
    if age < Duration::from_secs(1) {
        return Err("it is 1s at least".to_owned());
    }
    Ok(age)
}

fn stop_signal(text: &str) -> Result<StopSignal, String> {
    StopSignal::parse(text).ok_or_else(|| "it is no signal".into())
}

/// Reads the image that a command line names.
///
/// # Errors
/// It is a path, which is not supported yet, or no reference.
pub(crate) fn image(text: &str) -> Result<ImageRef, Failure> {
    let is_path = matches!(text, "." | "..")
        || ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    if is_path {
        return Err(Failure::not_yet("a folder or disk as IMAGE"));
    }
    ImageRef::parse(text).map_err(|error| {
        Failure::usage("usage::value", format!("`{text}` is no name of an image"))
            .cause(error.to_string())
    })
}

impl Definition {
    /// Tells whether it asks for restarts.
    pub(crate) fn restarts(&self) -> bool {
        self.lasting.restart.is_some_and(|flag| flag.policy != RestartPolicy::No)
    }

    /// Tells whether the registry is asked for the image even where it is here.
    pub(crate) const fn always_pulls(&self) -> bool {
        matches!(self.pull, Some(PullFlag::Always))
    }

    /// Returns the sandbox that the flags define, over `base`; and its volumes.
    ///
    /// # Errors
    /// Flags that do not go together.
    pub(crate) fn over(
        &self,
        base: Option<Sandbox>,
        image: ImageRef,
        call: &Call,
    ) -> Result<(Sandbox, BTreeMap<VolumeName, Volume>), Failure> {
        let is_new = base.is_none();
        let mut sandbox = base.unwrap_or_else(|| made(image.clone(), &call.configuration.defaults));
        let pull = sandbox.root.image().map_or_else(Pull::default, |image| image.pull);
        let pull = match self.pull {
            None => pull,
            // What this call asked for is no wish that lasts.
            Some(PullFlag::Missing | PullFlag::Always) => Pull::Missing,
            Some(PullFlag::Never) => Pull::Never,
        };
        let platform = sandbox.root.image().and_then(|image| image.platform);
        sandbox.root = Root::Image(Image { reference: image, pull, platform });
        self.resources.apply(&mut sandbox)?;
        self.process.apply(&mut sandbox, call)?;
        self.lasting.apply(&mut sandbox);
        for (key, value) in &self.labels {
            sandbox.labels.insert(key.clone(), value.clone().unwrap_or_default());
        }
        if let Some(profile) = self.security {
            sandbox.security = match profile {
                SecurityFlag::Default => Security::Default,
                SecurityFlag::Restricted => Security::Restricted,
            };
        }
        self.measured.apply(&mut sandbox);
        let level = self.log_level.map(LevelFlag::level);
        let inherited = call.settings.level.filter(|_| is_new).and_then(level_of);
        sandbox.log_level = level.or(inherited).or(sandbox.log_level);
        let user = call.context.environment.get("HOME").map(Path::new);
        let places =
            mounts::Places { folder: &call.context.folder, user, home: call.context.home() };
        let volumes = self.mounts.apply(&mut sandbox, places);
        match (volumes, self.network.apply(&mut sandbox)) {
            (Ok(volumes), Ok(())) => Ok((sandbox, volumes)),
            (Ok(_), Err(failure)) | (Err(failure), Ok(())) => Err(failure),
            (Err(mounts), Err(network)) => Err(together(mounts, network)),
        }
    }
}

/// Tells all problems of two groups of flags at once; wrong usage comes first.
fn together(one: Failure, other: Failure) -> Failure {
    let is_usage = one.kind == schema::exit::Kind::Usage;
    let (first, then) = if is_usage { (one, other) } else { (other, one) };
    let report = then.report.clone();
    let notes = std::iter::once(report.message).chain(report.notes);
    notes.fold(first, Failure::note)
}

/// Returns a new sandbox as the installation wants them.
fn made(image: ImageRef, defaults: &Defaults) -> Sandbox {
    let mut sandbox = Sandbox::new(Kind::Service, image);
    // Whoever starts one by hand sees how it ends.
    sandbox.restart.policy = RestartPolicy::No;
    if let Some(count) = defaults.cpus {
        (sandbox.cpus.count, sandbox.cpus.max) = (count, count);
    }
    if let Some(size) = defaults.memory {
        (sandbox.memory.size, sandbox.memory.max) = (size, size);
    }
    sandbox.upper = defaults.upper.unwrap_or(sandbox.upper);
    sandbox.security = defaults.security.unwrap_or(sandbox.security);
    if let Some(shell) = &defaults.shell {
        sandbox.shell = shell.clone();
    }
    sandbox.metrics.interval = defaults.metrics_interval.unwrap_or(sandbox.metrics.interval);
    sandbox
}

impl LevelFlag {
    const fn level(self) -> LogLevel {
        match self {
            Self::Error => LogLevel::Error,
            Self::Warn => LogLevel::Warn,
            Self::Info => LogLevel::Info,
            Self::Debug => LogLevel::Debug,
            Self::Trace => LogLevel::Trace,
        }
    }
}

fn level_of(word: &str) -> Option<LogLevel> {
    LevelFlag::value_variants().iter().map(|flag| flag.level()).find(|level| level.as_str() == word)
}

impl Resources {
    fn apply(&self, sandbox: &mut Sandbox) -> Result<(), Failure> {
        let conflict = |flag: &str, value: &str| {
            let message = format!("{flag} is below {value}");
            Err(Failure::usage("usage::conflict", message).hint(format!("Raise {flag}.")))
        };
        if let Some(count) = self.cpus {
            sandbox.cpus.count = count;
            sandbox.cpus.max = count.max(self.cpus_max.unwrap_or(count));
        }
        if let Some(max) = self.cpus_max {
            sandbox.cpus.max = max;
        }
        if sandbox.cpus.max < sandbox.cpus.count {
            return conflict("--cpus-max", "--cpus");
        }
        if let Some(size) = self.memory {
            sandbox.memory.size = size;
            sandbox.memory.max = size.max(self.memory_max.unwrap_or(size));
        }
        if let Some(max) = self.memory_max {
            sandbox.memory.max = max;
        }
        if sandbox.memory.max < sandbox.memory.size {
            return conflict("--memory-max", "--memory");
        }
        sandbox.upper = self.upper.unwrap_or(sandbox.upper);
        Ok(())
    }
}

impl Measured {
    fn apply(self, sandbox: &mut Sandbox) {
        sandbox.metrics.enabled &= !self.no_metrics;
        if let Some(interval) = self.metrics_interval {
            sandbox.metrics.interval = interval;
        }
    }
}

impl Lasting {
    fn apply(&self, sandbox: &mut Sandbox) {
        if let Some(RestartFlag { policy, max }) = self.restart {
            sandbox.restart.policy = policy;
            sandbox.restart.max = max.unwrap_or(sandbox.restart.max);
        }
        let age = |flag: Option<Duration>| flag.map(|age| Millis(ms(age)));
        sandbox.idle_timeout = age(self.idle_timeout).or(sandbox.idle_timeout);
        sandbox.max_duration = age(self.max_duration).or(sandbox.max_duration);
    }
}

impl Process {
    fn apply(&self, sandbox: &mut Sandbox, call: &Call) -> Result<(), Failure> {
        for (key, value) in &self.env {
            let (key, value) = variable(key, value.as_deref(), call)?;
            sandbox.env.insert(key, value);
        }
        for path in &self.env_file {
            let path = call.context.absolute(path);
            if !path.is_file() {
                let message = format!("--env-file {}: it is no file", path.display());
                return Err(Failure::usage("usage::value", message));
            }
            sandbox.env_files.push(path);
        }
        sandbox.rlimits.extend(self.rlimit.iter().cloned());
        sandbox.user = self.user.clone().or_else(|| sandbox.user.take());
        sandbox.workdir = self.workdir.clone().or_else(|| sandbox.workdir.take());
        sandbox.hostname = self.hostname.clone().or_else(|| sandbox.hostname.take());
        if let Some(shell) = &self.shell {
            sandbox.shell = shell.clone();
        }
        match self.entrypoint.as_slice() {
            [] => {}
            [none] if none.is_empty() => sandbox.entrypoint = ArgumentList::Nothing,
            words => sandbox.entrypoint = ArgumentList::Words(words.to_vec()),
        }
        if let Some(grace) = self.stop_grace {
            sandbox.stop_grace = Millis(ms(grace));
        }
        sandbox.stop_signal = self.stop_signal.clone().or_else(|| sandbox.stop_signal.take());
        Ok(())
    }
}

/// A bare key is read from the host at each start, and never stored.
fn variable(key: &str, value: Option<&str>, call: &Call) -> Result<(EnvKey, EnvValue), Failure> {
    let named =
        |why: String| Failure::usage("usage::value", format!("-e {key}: not usable")).cause(why);
    let name = EnvKey::parse(key).map_err(|error| named(error.to_string()))?;
    match value {
        Some(text) => Ok((name, EnvValue::Literal(text.to_owned()))),
        None if call.context.environment.raw(key).is_some() => {
            Ok((name, EnvValue::FromEnv(key.to_owned())))
        }
        None => Err(named(format!("{key} is not set on the host"))),
    }
}

/// Returns a name that nobody has: `msb-` and 8 hex digits.
///
/// # Errors
/// The host gives no random bytes.
pub(crate) fn fresh_name() -> Result<SandboxName, Failure> {
    let hex = crate::store::atomic::random_hex(4).map_err(|error| {
        Failure::new("host::random", "state", "cannot make a name").cause(error.to_string())
    })?;
    SandboxName::parse(&format!("msb-{hex}")).map_err(|error| Failure::internal(error.to_string()))
}
