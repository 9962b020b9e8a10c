//! The network flags: published ports, preset, rules, names, limits.
//!
//! A list that is given is the whole list: the same command line twice asks for the same thing.

mod rules;

use clap::Args;
use schema::project::network::{Dns, Limits, Network, Preset, Rule};
use schema::project::{PublishedPort, Sandbox, endpoint};
use schema::sandboxfile::problem::{listed, nearest};
use schema::units::parse_count;

use self::rules::Rules;
use super::failure::Failure;
use super::outcome::ms;
use super::values;

/// The most ports that one sandbox publishes, and the most rules that it has.
const PORTS_MAX: u32 = 1000;
const RULES_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NetworkFlags {
    /// A port of the guest on the host; HOST may be `auto` (can be repeated)
    #[arg(
        short,
        long = "port",
        visible_alias = "publish",
        value_name = "[BIND:]HOST:GUEST[/tcp|/udp]"
    )]
    ports: Vec<String>,
    /// What holds where no rule does: off, none, public, private, open [default: public]
    #[arg(long, value_name = "PRESET")]
    net: Option<String>,
    /// Same as --net off
    #[arg(long)]
    no_net: bool,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    limits: LimitFlags,
}

/// How names are looked up.
#[derive(Debug, Clone, Default, Args)]
struct Names {
    /// A server that is asked for names (can be repeated) [default: the host's]
    #[arg(id = "dns", long = "dns", value_name = "IP[:PORT]")]
    servers: Vec<String>,
    /// How long an answer may take [default: 5s]
    #[arg(id = "dns-timeout", long = "dns-timeout", value_name = "DUR")]
    timeout: Option<String>,
    /// Keep answers with other than public addresses [default: drop them]
    #[arg(id = "no-rebind-protection", long = "no-rebind-protection")]
    no_protection: bool,
}

/// How much may pass.
#[derive(Debug, Clone, Default, Args)]
struct LimitFlags {
    /// Bytes a second out of the guest, as 10MiB/s [default: without limit]
    #[arg(id = "egress-rate", long = "egress-rate", value_name = "RATE")]
    egress: Option<String>,
    /// Bytes a second into the guest [default: without limit]
    #[arg(id = "ingress-rate", long = "ingress-rate", value_name = "RATE")]
    ingress: Option<String>,
    /// Connections at a time [default: 1024]
    #[arg(long, value_name = "N")]
    max_connections: Option<String>,
}

/// What is wrong, flag by flag.
#[derive(Debug, Default)]
struct Refused(Vec<(&'static str, String)>);

impl Refused {
    fn add(&mut self, code: &'static str, flag: &str, why: impl std::fmt::Display) {
        self.0.push((code, format!("{flag}: {why}")));
    }

    /// Takes what was read, or keeps why it was not.
    fn take<T>(&mut self, flag: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.add("usage::value", flag, why)).ok()
    }

    /// Returns all of it as one failure.
    fn failure(self) -> Option<Failure> {
        let mut all = self.0.into_iter();
        let (code, first) = all.next()?;
        Some(all.fold(Failure::usage(code, first), |failure, (_, why)| failure.note(why)))
    }
}

/// Says what to write instead, where that is known.
fn with_nearest(error: &dyn std::error::Error, nearest: Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("{error}; write `{nearest}`"),
        None => error.to_string(),
    }
}

impl NetworkFlags {
    /// Writes what was given into a sandbox.
    ///
    /// # Errors
    /// All problems of all these flags; nothing was changed.
    pub(crate) fn apply(&self, sandbox: &mut Sandbox) -> Result<(), Failure> {
        let mut refused = Refused::default();
        let preset = self.preset(&mut refused);
        let ports = self.ports(&mut refused);
        let rules = self.rules(&mut refused);
        let mut network = sandbox.network.clone();
        if preset == Some(Preset::Off) {
            // What needs a network goes with it; what these flags say themselves is refused below.
            network = Network::default();
        }
        network.preset = preset.unwrap_or(network.preset);
        self.names.apply(&mut network.dns, &mut refused);
        self.limits.apply(&mut network.limits, &mut refused);
        if network.preset == Preset::Off {
            for flag in self.needing_a_network() {
                let why = "needs a network, and this sandbox has none; choose another preset, \
                           such as `--net none`";
                refused.add("rule::network-off", &flag, why);
            }
        }
        if let Some(failure) = refused.failure() {
            return Err(failure);
        }
        if !rules.is_empty() {
            network.rules = rules;
        }
        if preset == Some(Preset::Off) || !ports.is_empty() {
            sandbox.ports = ports;
            sandbox.ports.sort_unstable();
        }
        sandbox.network = network;
        Ok(())
    }

    fn preset(&self, refused: &mut Refused) -> Option<Preset> {
        let words = || Preset::ALL.into_iter().map(Preset::as_str);
        let said = self.net.as_deref().and_then(|word| {
            let preset = Preset::ALL.into_iter().find(|preset| preset.as_str() == word);
            let unknown = || match nearest(word, words()) {
                Some(near) => format!("`{word}` is no preset; write `{near}`"),
                None => format!("`{word}` is no preset; there are {}", listed(words())),
            };
            refused.take("--net", preset.ok_or_else(unknown))
        });
        match (said, self.no_net) {
            (Some(preset), true) if preset != Preset::Off => {
                let flag = format!("--net {preset}");
                refused.add("usage::conflict", &flag, "does not go with --no-net");
                said
            }
            (_, true) => Some(Preset::Off),
            (_, false) => said,
        }
    }

    fn ports(&self, refused: &mut Refused) -> Vec<PublishedPort> {
        let mut read: Vec<(String, PublishedPort)> = Vec::with_capacity(self.ports.len());
        for text in &self.ports {
            let flag = format!("-p {text}");
            let port = PublishedPort::read(text);
            let port = port.map_err(|error| with_nearest(&error, error.nearest()));
            let Some(port) = refused.take(&flag, port) else { continue };
            let met = read.iter().find_map(|(other, before)| {
                let same = port.key() == before.key();
                let place = port.clash(before).map(|(bind, ports)| endpoint(bind, ports));
                let place = place.or_else(|| same.then(|| port.key()))?;
                Some((other, place))
            });
            if let Some((other, place)) = met {
                let protocol = format!("/{}", port.protocol.as_str());
                let place = place.trim_end_matches(&protocol);
                let why = format!("{place}{protocol} is published twice, by {other} too");
                refused.add("rule::port-clash", &flag, why);
            }
            read.push((flag, port));
        }
        let count: u32 = read.iter().map(|(_, port)| port.guest.count()).sum();
        if count > PORTS_MAX {
            let why = format!("{count} ports are published; there can be {PORTS_MAX}");
            refused.add("usage::value", "-p", why);
        }
        read.into_iter().map(|(_, port)| port).collect()
    }

    fn rules(&self, refused: &mut Refused) -> Vec<Rule> {
        if self.rules.0.len() > RULES_MAX {
            let why = format!("there are more than {RULES_MAX} rules");
            refused.add("usage::value", "--allow, --deny", why);
        }
        let mut rules = Vec::with_capacity(self.rules.0.len());
        for flag in &self.rules.0 {
            let rule = Rule::read(flag.action, flag.direction, &flag.text);
            let rule = rule.map_err(|error| with_nearest(&error, error.nearest()));
            rules.extend(refused.take(&flag.spelling(), rule));
        }
        rules
    }

    /// Returns the flags that were given and mean nothing without a network.
    fn needing_a_network(&self) -> Vec<String> {
        let mut flags: Vec<String> = self.ports.iter().map(|text| format!("-p {text}")).collect();
        flags.extend(self.rules.0.iter().map(rules::RuleFlag::spelling));
        let Names { servers, timeout, no_protection } = &self.names;
        flags.extend(servers.iter().map(|text| format!("--dns {text}")));
        let LimitFlags { egress, ingress, max_connections } = &self.limits;
        let others = [
            (timeout.is_some(), "--dns-timeout"),
            (*no_protection, "--no-rebind-protection"),
            (egress.is_some(), "--egress-rate"),
            (ingress.is_some(), "--ingress-rate"),
            (max_connections.is_some(), "--max-connections"),
        ];
        flags.extend(others.iter().filter(|(given, _)| *given).map(|(_, flag)| (*flag).to_owned()));
        flags
    }
}

impl Names {
    fn apply(&self, dns: &mut Dns, refused: &mut Refused) {
        let servers: Vec<_> = self
            .servers
            .iter()
            .filter_map(|text| {
                let server = Dns::parse_server(text);
                let server = server.map_err(|error| with_nearest(&error, error.nearest()));
                refused.take(&format!("--dns {text}"), server)
            })
            .collect();
        if !servers.is_empty() {
            dns.servers = servers;
        }
        if let Some(text) = &self.timeout {
            let timeout = refused.take(&format!("--dns-timeout {text}"), values::duration(text));
            dns.timeout = timeout.map_or(dns.timeout, |timeout| schema::units::Millis(ms(timeout)));
        }
        dns.rebind_protection &= !self.no_protection;
    }
}

impl LimitFlags {
    fn apply(&self, limits: &mut Limits, refused: &mut Refused) {
        let rates = [
            ("--egress-rate", &self.egress, &mut limits.egress),
            ("--ingress-rate", &self.ingress, &mut limits.ingress),
        ];
        for (flag, text, limit) in rates {
            let Some(text) = text else { continue };
            let rate = refused.take(&format!("{flag} {text}"), values::rate(text));
            *limit = rate.or(*limit);
        }
        if let Some(text) = &self.max_connections {
            let count = parse_count(text).and_then(|count| u16::try_from(count).ok());
            let count = count.filter(|count| *count > 0);
            let count = count.ok_or_else(|| "it is a number from 1 to 65535".to_owned());
            let count = refused.take(&format!("--max-connections {text}"), count);
            limits.max_connections = count.unwrap_or(limits.max_connections);
        }
    }
}

/// Returns what a preset does with what no rule names.
pub(crate) const fn tail(preset: Preset) -> &'static str {
    match preset {
        Preset::Off => "no network at all",
        Preset::None => "deny what no rule allows",
        Preset::Public => "allow public addresses",
        Preset::Private => "allow public and private addresses",
        Preset::Open => "allow all but metadata services",
    }
}

#[cfg(test)]
mod tests;
