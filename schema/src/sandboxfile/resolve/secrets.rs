//! Secrets: what is known of each, and who uses them.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::Decoder;
use super::project::identity;
use super::variables::variable_name;
use crate::name::SecretName;
use crate::project::network::HostPattern;
use crate::project::{
    EnvValue, OnViolation, Placeholder, PlaceholderError, Sandbox, Secret, SecretPlace,
    SecretSource,
};
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::keys::{Shape, Type};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value;

/// The secrets of a project, with where they are defined.
#[derive(Default)]
pub(super) struct Secrets {
    defined: BTreeMap<SecretName, Defined>,
    /// Names whose secrets have been reported; nothing is said about their uses.
    poisoned: BTreeSet<String>,
}

pub(super) struct Defined {
    pub(super) secret: Secret,
    pub(super) at: Span,
    pub(super) hosts_at: Span,
}

/// A variable of an environment that is a secret.
pub(super) struct Use<'s> {
    pub(super) name: SecretName,
    pub(super) defined: &'s Defined,
    /// Where the variable says so.
    pub(super) at: Span,
}

impl Secrets {
    pub(super) fn into_secrets(self) -> BTreeMap<SecretName, Secret> {
        self.defined.into_iter().map(|(name, defined)| (name, defined.secret)).collect()
    }
}

impl Decoder<'_, '_> {
    /// Reads every secret.
    pub(super) fn secrets(&mut self, document: &Group<'_>) -> Secrets {
        let mut secrets = Secrets::default();
        let members = document.members("secret");
        if let Some(first) = members.get(SECRETS_MAX) {
            let message = format!("there are more than {SECRETS_MAX} secrets");
            self.error(Code::VALUE_RANGE, message, first.at, "join some of them");
        }
        for member in members.iter().take(SECRETS_MAX) {
            let Some(name) = self.name(&identity(member), SecretName::parse) else {
                secrets.poisoned.insert(member.name.to_string());
                continue;
            };
            self.begin(format!("secret.{name}"));
            self.note("", member.at);
            match member.group().and_then(|group| self.secret(member, group)) {
                Some(defined) => {
                    secrets.defined.insert(name, defined);
                }
                None => {
                    secrets.poisoned.insert(name.to_string());
                }
            }
        }
        if document.dropped.contains(&"secret") || members.len() > SECRETS_MAX {
            secrets.poisoned.extend(members.iter().map(|member| member.name.to_string()));
        }
        self.placeholders(&secrets, document);
        secrets
    }

    fn secret(&mut self, member: &Member<'_>, group: &Group<'_>) -> Option<Defined> {
        let source = self.secret_source(member, group);
        let hosts_at = group.get("hosts").map_or(member.at, |item| item.at);
        let hosts = self.hosts(group, ("hosts", "hosts"), (1, HOSTS_MAX));
        if !group.mentions("hosts") {
            let message = format!("secret `{}` has no hosts", shown(&member.name));
            let help = "add `hosts`: where its value may go";
            self.error(Code::SCHEMA_MISSING_KEY, message, member.at, help);
        }
        let places = self.secret_places(group);
        let placeholder = self.placeholder(group);
        let on_violation = self.choice(group, "on-violation", "on-violation");
        let passthrough =
            self.hosts(group, ("passthrough-hosts", "passthrough-hosts"), (0, PATTERNS_MAX));
        let require_tls = self.boolean(group, "require-tls", "require-tls");
        self.disjoint(group, &hosts, &passthrough);
        let mut secret = Secret::new(source?, hosts);
        if secret.hosts.is_empty() || group.mentions("placeholder") && placeholder.is_none() {
            return None;
        }
        secret.places = places.unwrap_or(secret.places);
        secret.placeholder = placeholder;
        secret.on_violation = match on_violation {
            Some("block") => OnViolation::Block,
            Some("block-and-terminate") => OnViolation::BlockAndTerminate,
            _ => OnViolation::BlockAndLog,
        };
        secret.passthrough_hosts = passthrough;
        secret.require_tls = require_tls.unwrap_or(true);
        Some(Defined { secret, at: member.at, hosts_at })
    }

    fn secret_source(&mut self, member: &Member<'_>, group: &Group<'_>) -> Option<SecretSource> {
        let sources = ["from-env", "from-file"];
        match sources.map(|name| group.get(name)) {
            [Some(env), Some(file)] => {
                let message = format!("secret `{}` has two sources", shown(&member.name));
                let help = "keep the one that holds its value";
                self.conflict(&message, (env.at.max(file.at), env.at.min(file.at)), help);
                None
            }
            [Some(item), None] => {
                self.note("source", item.at);
                let help = "write the name of a variable of the host";
                let scalar = scalar(item)?;
                let read = value::checked(scalar, Code::VALUE_ENV_KEY, variable_name, help);
                self.take(read).map(SecretSource::Env)
            }
            [None, Some(item)] => {
                self.note("source", item.at);
                self.host_path(scalar(item)?).map(SecretSource::File)
            }
            [None, None] => {
                if !sources.iter().any(|name| group.mentions(name)) {
                    let message = format!("secret `{}` has no source", shown(&member.name));
                    let help = "add from-env with the name of a host variable, or from-file";
                    self.error(Code::SCHEMA_MISSING_KEY, message, member.at, help);
                }
                None
            }
        }
    }

    /// Reads a list of patterns, so many at least and at most; those that are none are left out.
    pub(super) fn hosts(
        &mut self,
        group: &Group<'_>,
        (name, field): (&'static str, &'static str),
        (least, most): (usize, usize),
    ) -> Vec<HostPattern> {
        let Some((item, scalars)) = list(group, name) else { return Vec::new() };
        self.note(field, item.at);
        if !(least..=most).contains(&scalars.len()) {
            let message = format!("`{name}` has between {least} and {most} hosts");
            self.error(Code::VALUE_RANGE, message, item.at, "write them one by one, or *.SUFFIX");
            return Vec::new();
        }
        scalars.iter().filter_map(|scalar| self.host_pattern(scalar)).collect()
    }

    fn host_pattern(&mut self, scalar: &Scalar<'_>) -> Option<HostPattern> {
        let help = "write a DNS name of two labels or more, or *. and a suffix";
        let near = crate::project::network::HostError::nearest;
        let rule = HostPattern::parse;
        self.take(value::near(scalar, Code::VALUE_HOST_PATTERN, rule, near, help))
    }

    fn secret_places(&mut self, group: &Group<'_>) -> Option<Vec<SecretPlace>> {
        let (item, scalars) = list(group, "in")?;
        self.note("in", item.at);
        let Shape::List(Type::Choice(words)) = item.key.shape else { return None };
        if scalars.is_empty() {
            let message = "`in` names no place, so the value would go nowhere";
            self.error(Code::VALUE_RANGE, message, item.at, "write one, or leave `in` out");
        }
        let mut places = Vec::new();
        for scalar in scalars {
            let word = self.take(value::choice(scalar, "in", words))?;
            let place = SecretPlace::ALL.into_iter().find(|place| place.as_str() == word)?;
            if places.contains(&place) {
                let message = format!("`{word}` is written twice");
                self.error(Code::SCHEMA_DUPLICATE_KEY, message, scalar.span, "write it once");
            }
            places.push(place);
        }
        Some(places)
    }

    fn placeholder(&mut self, group: &Group<'_>) -> Option<Placeholder> {
        let (scalar, _) = self.scalar(group, "placeholder", "placeholder")?;
        let text = self.take(value::text(scalar, usize::MAX))?;
        match Placeholder::parse(text) {
            Ok(placeholder) => Some(placeholder),
            Err(error) => {
                let code = match error {
                    PlaceholderError::Length => Code::VALUE_RANGE,
                    PlaceholderError::Character => Code::VALUE_TYPE,
                };
                let help = "write 8 to 1024 printable characters of ASCII, such as \
                            \"sk-000000000000\", or leave it out";
                self.error(code, error.to_string(), scalar.span, help);
                None
            }
        }
    }

    /// Holds apart where the value may go and where the placeholder may.
    fn disjoint(&mut self, group: &Group<'_>, hosts: &[HostPattern], others: &[HostPattern]) {
        let (Some(first), Some(second)) = (group.get("hosts"), group.get("passthrough-hosts"))
        else {
            return;
        };
        for other in others {
            if let Some(host) = hosts.iter().find(|host| host.overlaps(other)) {
                let message =
                    format!("`{other}` would get the placeholder, and by `{host}` the value");
                let help = "keep it in one of the two";
                self.conflict(&message, (second.at, first.at), help);
            }
        }
    }

    /// Holds placeholders apart: in a request one could not be told from another that holds it.
    fn placeholders(&mut self, secrets: &Secrets, document: &Group<'_>) {
        let at = |name: &SecretName| {
            let members = document.members("secret").iter();
            let member = members.into_iter().find(|member| member.name == name.as_str());
            let item = member.and_then(|member| member.group()?.get("placeholder"));
            item.map(|item| item.at)
        };
        let written = secrets.defined.iter().filter_map(|(name, defined)| {
            Some((name, defined.secret.placeholder.as_ref()?.as_str(), at(name)?))
        });
        let mut written: Vec<(&SecretName, &str, Span)> = written.collect();
        written.sort_by_key(|(.., at)| *at);
        for (index, (name, text, at)) in written.iter().enumerate() {
            let same = |(_, other, _): &&(&SecretName, &str, Span)| {
                other.contains(text) || text.contains(other)
            };
            if let Some((other, _, first)) = written[..index].iter().find(same) {
                let message = format!("the placeholders of `{other}` and `{name}` hold each other");
                let help = "give each one that is no part of another, or leave them out";
                self.conflict(&message, (*at, *first), help);
            }
        }
    }

    /// Gives a sandbox the secrets that its environment uses, and returns where it does.
    pub(super) fn secrets_used<'d>(
        &mut self,
        group: &Group<'_>,
        sandbox: &mut Sandbox,
        secrets: &'d Secrets,
    ) -> Vec<Use<'d>> {
        let mut uses = Vec::new();
        for (key, value) in &sandbox.env {
            let EnvValue::Secret(name) = value else { continue };
            let members = group.members("env").iter();
            let member = members.into_iter().find(|member| member.name == key.as_str());
            let item = member.and_then(|member| member.group()?.get("secret"));
            let Some((item, scalar)) = item.and_then(|item| Some((item, scalar(item)?))) else {
                continue;
            };
            match secrets.defined.get(name) {
                Some(defined) => {
                    let place = self.written_as(item, scalar);
                    uses.push(Use { name: name.clone(), defined, at: place });
                    self.note_with(|| format!("secrets.{name}"), defined.at);
                    self.note_with(|| format!("secrets.{name}.hosts"), defined.hosts_at);
                    sandbox.secrets.insert(name.clone(), defined.secret.clone());
                }
                None if secrets.poisoned.contains(name.as_str()) => {}
                None => {
                    let known = secrets.defined.keys().map(SecretName::as_str);
                    let problem = value::unknown_reference("secret", scalar, known);
                    let problem = match problem.nearest {
                        Some(_) => problem,
                        None => problem.help(define(name)),
                    };
                    self.problems.push(problem);
                }
            }
        }
        uses
    }

    /// Returns where a property stands, its name included; in YAML, where its value does.
    pub(super) fn written_as(&self, item: &Item<'_>, scalar: &Scalar<'_>) -> Span {
        let apart = self.is_yaml(item.at) || item.at.file != scalar.span.file;
        if apart { scalar.span } else { item.at.to(scalar.span) }
    }

    /// Warns of a secret whose hosts are all out of reach.
    pub(super) fn warn_unreachable(&mut self, secret: &Use<'_>, ports: &[u16]) {
        let name = &secret.name;
        let message = format!("the network lets no request reach a host of secret `{name}`");
        let words: Vec<String> = ports.iter().map(u16::to_string).collect();
        let (host, ports) = (&secret.defined.secret.hosts[0], words.join(","));
        let line = if self.is_yaml(secret.at) {
            format!("- {{allow: \"{host}\", protocol: tcp, ports: \"{ports}\"}}")
        } else {
            format!("allow \"{host}\" protocol=\"tcp\" ports=\"{ports}\"")
        };
        let problem = Problem::warning(Code::RULE_SECRET_HOST_DENIED, message, secret.at)
            .related(secret.defined.hosts_at, "it may go only here")
            .help(format!("add to the rules of `network`: {line}"));
        self.problems.push(problem);
    }
}

fn define(name: &SecretName) -> String {
    format!("define it: secret \"{name}\" {{ from-env \"VARIABLE\"; hosts \"api.acme.example\" }}")
}

/// Returns a list of values.
pub(super) fn list<'g, 'a>(
    group: &'g Group<'a>,
    name: &str,
) -> Option<(&'g Item<'a>, &'g [Scalar<'a>])> {
    let item = group.get(name)?;
    match &item.content {
        Content::List(scalars) => Some((item, scalars)),
        _ => None,
    }
}

/// Returns the value of an item that has one.
pub(super) fn scalar<'g, 'a>(item: &'g Item<'a>) -> Option<&'g Scalar<'a>> {
    match &item.content {
        Content::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}

const SECRETS_MAX: usize = 256;
const HOSTS_MAX: usize = 64;
pub(super) const PATTERNS_MAX: usize = 1024;
