//! What the exporter is asked to do: flag, else variable, else built in.

mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schema::name::ProjectName;
use thiserror::Error;

pub use variables::Variables;

use super::transport::{
    Compression, Endpoint, EndpointError, HeaderError, Headers, Protocol, Signal, Trust, Way,
};
use crate::context::Environment;

/// How often samples are read.
pub const COLLECT_EVERY: Duration = Duration::from_secs(1);

/// How often what was read is exported.
pub const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// How many collections are kept while a receiver fails.
pub const BUFFERED: usize = 60;

/// How long a request may take.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// How old a sample may be.
pub const SAMPLE_AGE_MAX: Duration = Duration::from_secs(30);

/// Who is read, how often, and what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathering {
    /// How often samples are read.
    pub collect_every: Duration,
    /// How often what was read is exported.
    pub flush_every: Duration,
    /// How many collections are kept while a receiver fails.
    pub buffered_max: usize,
    /// How long a request, and the last flush, may take.
    pub timeout: Duration,
    /// How old a sample may be; `None`: any age.
    pub sample_age_max: Option<Duration>,
    /// Which labels are told.
    pub labels: LabelWish,
    /// Sandboxes with all of these labels only.
    pub with_labels: Vec<(String, Option<String>)>,
    /// Sandboxes of these projects only; empty: all.
    pub projects: BTreeSet<ProjectName>,
    /// Whether it ends by itself.
    pub rounds: Rounds,
}

/// Which labels are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelWish {
    /// None.
    None,
    /// All but those with these keys.
    AllBut(BTreeSet<String>),
}

impl Default for LabelWish {
    fn default() -> Self {
        Self::AllBut(BTreeSet::new())
    }
}

/// Whether an exporter ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rounds {
    /// After one.
    One,
    /// When a signal says so.
    #[default]
    Endless,
}

/// What was said of [`Gathering`] on the command line.
#[derive(Debug, Clone, Default)]
pub struct GatheringFlags {
    /// `--collect-interval`
    pub collect_every: Option<Duration>,
    /// `--flush-interval`
    pub flush_every: Option<Duration>,
    /// `--max-buffered`
    pub buffered_max: Option<usize>,
    /// `--export-timeout`
    pub timeout: Option<Duration>,
    /// `--max-sample-age`; zero is any age.
    pub sample_age_max: Option<Duration>,
    /// `--no-labels` and `--exclude-label-key`
    pub labels: LabelWish,
    /// `--label`
    pub with_labels: Vec<(String, Option<String>)>,
    /// `--project`
    pub projects: Vec<ProjectName>,
    /// `--once`
    pub rounds: Rounds,
}

/// Where figures are sent, and what is said with them.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The way to the receiver.
    pub way: Way,
    /// Whom it trusts.
    pub trust: Trust,
    /// Attributes of the resource.
    pub resource: BTreeMap<String, String>,
    /// What more a point says of its machine.
    pub emit: Emit,
}

/// What more a point says of its machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Emit {
    /// Which run of it this is.
    pub run_id: bool,
    /// The process id of its runtime.
    pub pid: bool,
}

/// What was said of [`Sending`] on the command line.
#[derive(Debug, Clone, Default)]
pub struct SendingFlags {
    /// `--endpoint`
    pub endpoint: Option<String>,
    /// `--protocol`
    pub protocol: Option<Protocol>,
    /// `--compression`
    pub compression: Option<Compression>,
    /// `--ca-cert`
    pub authorities: Vec<PathBuf>,
    /// `--client-cert` and `--client-key`
    pub client: Option<(PathBuf, PathBuf)>,
    /// `--header`
    pub headers: Vec<(String, String)>,
    /// `--resource`
    pub resource: Vec<(String, String)>,
    /// `--emit-run-id`, `--emit-pid`
    pub emit: Emit,
}

/// Why nothing can be exported.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// Nothing says where to.
    #[error("nothing says where figures go")]
    NoEndpoint,
    /// The place is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A header is none.
    #[error("--header: {0}")]
    Header(#[from] HeaderError),
    /// A header's value is in a variable that is not set.
    #[error("--header {header}: the variable {variable} is not set")]
    NoVariable {
        /// The header.
        header: String,
        /// The variable.
        variable: String,
    },
}

impl Gathering {
    /// Returns what flags and variables come to.
    #[must_use]
    pub fn of(flags: GatheringFlags, variables: &mut Variables<'_>) -> Self {
        let flush_every = flags.flush_every.or_else(|| variables.flush_every());
        let timeout = flags.timeout.or_else(|| variables.timeout());
        Self {
            collect_every: flags.collect_every.unwrap_or(COLLECT_EVERY),
            flush_every: flush_every.unwrap_or(FLUSH_EVERY),
            buffered_max: flags.buffered_max.unwrap_or(BUFFERED),
            timeout: timeout.unwrap_or(EXPORT_TIMEOUT),
            sample_age_max: Some(flags.sample_age_max.unwrap_or(SAMPLE_AGE_MAX))
                .filter(|age| !age.is_zero()),
            labels: flags.labels,
            with_labels: flags.with_labels,
            projects: flags.projects.into_iter().collect(),
            rounds: flags.rounds,
        }
    }
}

impl Sending {
    /// Returns what flags and variables come to.
    ///
    /// # Errors
    /// Nothing says where figures go, or what says it cannot be read.
    pub fn of(
        flags: SendingFlags,
        timeout: Duration,
        environment: &Environment,
        variables: &mut Variables<'_>,
    ) -> Result<Self, OptionsError> {
        let protocol = flags.protocol.or_else(|| variables.protocol()).unwrap_or(Protocol::Grpc);
        let endpoint = match &flags.endpoint {
            Some(text) => Endpoint::parse(text)?,
            None => variables.endpoint(protocol)?.ok_or(OptionsError::NoEndpoint)?,
        };
        let compression = flags.compression.or_else(|| variables.compression());
        let mut headers = variables.headers();
        add_headers(&mut headers, &flags.headers, environment)?;
        let trust = trust(flags.authorities, flags.client, variables);
        if !endpoint.is_tls && trust != Trust::default() {
            variables.warn("the endpoint is http://, so certificates are not used".to_owned());
        }
        let mut resource = variables.resource();
        resource.extend(flags.resource);
        let way = Way {
            endpoint,
            protocol,
            compression: compression.unwrap_or(Compression::None),
            headers,
            signal: Signal::Metrics,
            timeout,
        };
        Ok(Self { way, trust, resource, emit: flags.emit })
    }
}

fn trust(
    authorities: Vec<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
    variables: &mut Variables<'_>,
) -> Trust {
    let said = variables.trust();
    let authorities = if authorities.is_empty() { said.authorities } else { authorities };
    Trust { authorities, client: client.or(said.client) }
}

/// Adds the headers of flags; `env:VAR` stands for what the variable holds.
fn add_headers(
    headers: &mut Headers,
    flags: &[(String, String)],
    environment: &Environment,
) -> Result<(), OptionsError> {
    for (name, value) in flags {
        let value = match value.strip_prefix("env:") {
            None => value,
            Some(variable) => environment.get(variable).ok_or_else(|| {
                OptionsError::NoVariable { header: name.clone(), variable: variable.to_owned() }
            })?,
        };
        headers.set(name, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
