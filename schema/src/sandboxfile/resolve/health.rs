//! How it is told that a workload is ready, and that it is well.

use super::decode::Decoder;
use crate::project::{Health, HttpProbe, Kind, OnUnhealthy, Probe, Sandbox, Scheme, StatusSet};
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::tree::Scalar;
use crate::sandboxfile::value;

/// The keys of a gate or of health that are probes.
const PROBES: [&str; 5] = ["exec", "tcp", "http", "log", "agent"];

impl Decoder<'_, '_> {
    /// Reads the gate into `sandbox`: at most one probe, and a deadline.
    pub(super) fn gate(&mut self, group: &Group<'_>, sandbox: &mut Sandbox) {
        let Some((item, inner)) = self.group(group, "ready") else { return };
        if let Some(timeout) = self.duration(inner, "timeout", "ready.timeout") {
            sandbox.ready.timeout = timeout;
        }
        let Ok(probe) = self.only_probe(inner) else { return };
        let Some(probe) = probe else {
            let only_timeout = inner.get("timeout").is_some() || !inner.dropped.is_empty();
            if !only_timeout {
                let message = "`ready` says nothing";
                let help = "write a probe, such as exec \"true\", or leave it out";
                self.error(Code::SCHEMA_MISSING_KEY, message, item.at, help);
            }
            return;
        };
        self.note("ready.probe", probe.at);
        if let Some(probe) = self.probe(inner, probe) {
            sandbox.ready.probe = probe;
        }
    }

    /// Reads what tells that a sandbox is well; jobs have none.
    pub(super) fn health(&mut self, group: &Group<'_>, sandbox: &mut Sandbox, member: &Member<'_>) {
        let Some((item, inner)) = self.group(group, "health") else { return };
        if sandbox.kind == Kind::Job {
            self.not_for_jobs("health", (item.at, member.at));
            return;
        }
        let interval = self.duration(inner, "interval", "health.interval");
        let timeout = self.duration(inner, "timeout", "health.timeout");
        let failures = self.count(inner, "failures", "health.failures");
        let successes = self.count(inner, "successes", "health.successes");
        let unhealthy = self.choice(inner, "on-unhealthy", "health.on-unhealthy");
        let Ok(probe) = self.only_probe(inner) else { return };
        let Some(probe) = probe else {
            if inner.dropped.is_empty() {
                let help = "write a probe, such as tcp 8080, or leave it out";
                self.error(Code::SCHEMA_MISSING_KEY, "`health` has no probe", item.at, help);
            }
            return;
        };
        self.note("health.probe", probe.at);
        let Some(probe) = self.probe(inner, probe) else { return };
        sandbox.health = Some(Health {
            probe,
            interval: interval.unwrap_or(Health::INTERVAL),
            timeout: timeout.unwrap_or(Health::TIMEOUT),
            failures: failures.unwrap_or(Health::FAILURES),
            successes: successes.unwrap_or(Health::SUCCESSES),
            on_unhealthy: match unhealthy {
                Some("restart") => OnUnhealthy::Restart,
                _ => OnUnhealthy::None,
            },
        });
    }

    /// Refuses a key that only sandboxes have; `at` is the key, then the job.
    pub(super) fn not_for_jobs(
        &mut self,
        key: &str,
        (at, job): (crate::sandboxfile::tree::Span, crate::sandboxfile::tree::Span),
    ) {
        let message = format!("a job has no `{key}`");
        let problem = Problem::error(Code::SCHEMA_NOT_FOR_JOBS, message, at)
            .related(job, "the job is here")
            .help("leave it out, or give jobs a template of their own");
        self.problems.push(problem);
    }

    /// Returns the one probe that is written, if any; two are reported.
    fn only_probe<'g, 'a>(&mut self, inner: &'g Group<'a>) -> Result<Option<&'g Item<'a>>, ()> {
        let mut probes = inner.items.iter().filter(|item| PROBES.contains(&item.key.name));
        let (first, second) = (probes.next(), probes.next());
        if let (Some(first), Some(second)) = (first, second) {
            let message = format!("`{}` and `{}` are two probes", first.key.name, second.key.name);
            let help = "keep one; a probe of your own can ask for both";
            self.conflict(&message, (second.at, first.at), help);
            return Err(());
        }
        Ok(first)
    }

    fn probe(&mut self, inner: &Group<'_>, item: &Item<'_>) -> Option<Probe> {
        match (item.key.name, &item.content) {
            ("agent", Content::Scalar(scalar)) => {
                let read = value::boolean(scalar, self.is_yaml(scalar.span));
                if self.take(read)? {
                    return Some(Probe::Agent);
                }
                let message = "`agent` can only be true";
                self.error(Code::VALUE_CHOICE, message, item.at, "leave it out");
                None
            }
            ("tcp", Content::Scalar(scalar)) => self.port(scalar).map(Probe::Tcp),
            ("log", Content::Scalar(scalar)) => self.regex(scalar).map(Probe::Log),
            ("http", Content::Group(http)) => self.http(http).map(Probe::Http),
            ("exec", Content::List(_)) => {
                let words = self.words(inner, "exec")?;
                if words.first().is_some_and(|word| !word.is_empty()) {
                    return Some(Probe::Exec(words));
                }
                let help = "write a command, such as exec \"pg_isready\" \"-q\"";
                self.error(Code::SCHEMA_SHAPE, "`exec` has no command", item.at, help);
                None
            }
            _ => None,
        }
    }

    fn port(&mut self, scalar: &Scalar<'_>) -> Option<u16> {
        let read = value::count(scalar, (1, 65_535));
        self.take(read).and_then(|port| u16::try_from(port).ok())
    }

    fn http(&mut self, http: &Group<'_>) -> Option<HttpProbe> {
        let path = http.principal.as_ref().and_then(|scalar| {
            let rule = |text: &str| match text.starts_with('/') {
                true => Ok(text.to_owned()),
                false => Err(format!("`{text}` is not a path of a request")),
            };
            let help = "write the path from its root, such as \"/healthz\"";
            self.take(value::checked(scalar, Code::VALUE_PATH, rule, help))
        });
        let port = match http.get("port").map(|item| &item.content) {
            Some(Content::Scalar(scalar)) => self.port(scalar),
            _ => None,
        };
        let scheme = match self.choice(http, "scheme", "http.scheme") {
            Some("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        let host = self.scalar(http, "host", "http.host").map(|(scalar, _)| scalar.clone());
        let host = match host {
            None => None,
            Some(scalar) => Some(self.take(value::text(&scalar, 255).map(str::to_owned))?),
        };
        let status = match self.scalar(http, "status", "http.status") {
            None => StatusSet::default(),
            Some((scalar, _)) => {
                let rule = |text: &str| {
                    StatusSet::parse(text)
                        .ok_or_else(|| format!("`{text}` is not a set of status codes"))
                };
                let help = "write codes and ranges of codes, such as \"200-399\" or \"200,204\"";
                self.take(value::checked(scalar, Code::VALUE_RANGE, rule, help))?
            }
        };
        Some(HttpProbe { path: path?, port: port?, scheme, host, status })
    }
}
