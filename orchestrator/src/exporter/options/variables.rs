//! The variables of OpenTelemetry: that of a signal before that of all signals.
//!
//! A value that is not supported is one warning, and as good as none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::context::Environment;
use crate::exporter::percent;
use crate::exporter::transport::{
    Compression, Endpoint, EndpointError, Headers, Protocol, Signal, Trust,
};

/// See the module.
#[derive(Debug)]
pub struct Variables<'a> {
    environment: &'a Environment,
    signal: Signal,
    warnings: Vec<String>,
}

impl<'a> Variables<'a> {
    /// Returns those that are for a signal.
    #[must_use]
    pub const fn new(environment: &'a Environment, signal: Signal) -> Self {
        Self { environment, signal, warnings: Vec::new() }
    }

    /// Adds a warning.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Returns what is to be warned of.
    #[must_use]
    pub fn warnings(self) -> Vec<String> {
        self.warnings
    }

    /// Tells whether nothing is to be exported at all.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        let said = self.environment.get("OTEL_SDK_DISABLED");
        said.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Returns where to export, where a variable says so.
    ///
    /// # Errors
    /// It is no URL of a receiver.
    pub fn endpoint(&mut self, protocol: Protocol) -> Result<Option<Endpoint>, EndpointError> {
        let (special, general) = self.names("ENDPOINT");
        if let Some(exact) = self.environment.get(&special) {
            return Endpoint::parse(exact).map(Some);
        }
        let Some(base) = self.environment.get(&general) else { return Ok(None) };
        let base = Endpoint::parse(base)?;
        Ok(Some(match (protocol, self.signal) {
            (Protocol::Grpc, _) => base,
            (Protocol::Http, Signal::Metrics) => base.join("/v1/metrics"),
            (Protocol::Http, Signal::Traces) => base.join("/v1/traces"),
        }))
    }

    /// Returns how messages travel.
    pub fn protocol(&mut self) -> Option<Protocol> {
        let words = [("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)];
        self.word("PROTOCOL", &words)
    }

    /// Returns how they are packed.
    pub fn compression(&mut self) -> Option<Compression> {
        let words = [("gzip", Compression::Gzip), ("none", Compression::None)];
        self.word("COMPRESSION", &words)
    }

    /// Returns how long a request may take.
    pub fn timeout(&mut self) -> Option<Duration> {
        let (name, value) = self.find("TIMEOUT")?;
        self.millis(&name, value)
    }

    /// Returns how often there is an export.
    pub fn flush_every(&mut self) -> Option<Duration> {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        self.millis(name, self.environment.get(name)?)
    }

    /// Returns what goes with each request.
    pub fn headers(&mut self) -> Headers {
        let mut headers = Headers::default();
        let Some((name, value)) = self.find("HEADERS") else { return headers };
        for (key, value) in self.pairs(&name, value) {
            if let Err(error) = headers.set(&key, &value) {
                self.warn(format!("{name}: {error}"));
            }
        }
        headers
    }

    /// Returns whom to trust, and who we are.
    pub fn trust(&mut self) -> Trust {
        let path = |found: Option<(String, &str)>| found.map(|(_, value)| PathBuf::from(value));
        let authorities = path(self.find("CERTIFICATE")).into_iter().collect();
        let (certificate, key) =
            (path(self.find("CLIENT_CERTIFICATE")), path(self.find("CLIENT_KEY")));
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let what = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and …_CLIENT_KEY go together";
                self.warn(format!("{what}; the one that is set is not used"));
                None
            }
        };
        Trust { authorities, client }
    }

    /// Returns what is said of whoever exports.
    pub fn resource(&mut self) -> BTreeMap<String, String> {
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        let said = self.environment.get(name);
        let mut resource: BTreeMap<_, _> =
            said.map(|value| self.pairs(name, value)).unwrap_or_default().into_iter().collect();
        let service = self.environment.get("OTEL_SERVICE_NAME");
        resource.extend(service.map(|service| ("service.name".to_owned(), service.to_owned())));
        resource
    }

    fn names(&self, of: &str) -> (String, String) {
        let signal = match self.signal {
            Signal::Metrics => "METRICS",
            Signal::Traces => "TRACES",
        };
        (format!("OTEL_EXPORTER_OTLP_{signal}_{of}"), format!("OTEL_EXPORTER_OTLP_{of}"))
    }

    /// Returns the variable that speaks, and what it says.
    fn find(&self, of: &str) -> Option<(String, &'a str)> {
        let (special, general) = self.names(of);
        let get = |name: String| self.environment.get(&name).map(|value| (name, value));
        get(special).or_else(|| get(general))
    }

    fn word<T: Copy>(&mut self, of: &str, words: &[(&str, T)]) -> Option<T> {
        let (name, value) = self.find(of)?;
        let found = words.iter().find(|(word, _)| *word == value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let known = known.join(" and ");
            self.warn(format!("{name}: `{value}` is not supported, only {known} are"));
        }
        found.map(|(_, meant)| *meant)
    }

    fn millis(&mut self, name: &str, value: &str) -> Option<Duration> {
        match value.parse() {
            Ok(millis) if millis > 0 => Some(Duration::from_millis(millis)),
            _ => {
                self.warn(format!("{name}: `{value}` is no number of milliseconds above zero"));
                None
            }
        }
    }

    /// Reads `a=b,c=d`, where values may hold `%XX`.
    fn pairs(&mut self, name: &str, text: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=').filter(|(key, _)| !key.trim().is_empty()) {
                Some((key, value)) => {
                    pairs.push((percent::decode(key.trim()), percent::decode(value.trim())));
                }
                // It may be a piece of a token.
                None => self.warn(format!("{name}: a part of it is not KEY=VALUE")),
            }
        }
        pairs
    }
}
