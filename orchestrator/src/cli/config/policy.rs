//! What each sandbox may reach and who may reach it, rule by rule, in the order in which it is decided.

use schema::name::InstanceName;
use schema::project::network::Preset;
use schema::project::{Body, Place};
use schema::sandboxfile::resolve::Resolved;
use serde_json::json;

use super::rows::{Rows, Text};
use crate::cli::network::tail;
use crate::report::human::Table;

/// One thing that decides.
struct Rule {
    by: String,
    policy: String,
    place: Option<Place>,
}

/// Returns the policy of every sandbox; instances that are alike stand there once.
pub(super) fn rows(resolved: &Resolved) -> Rows {
    let mut table = Table::new(&["NAME", "BY", "POLICY", "PLACE"]);
    let mut rows = Vec::new();
    let mut last: Option<(&InstanceName, &Body)> = None;
    for (name, body) in &resolved.project.sandboxes {
        let is_like = |(before, other): (&InstanceName, &Body)| {
            before.sandbox == name.sandbox
                && (&other.network, &other.connect) == (&body.network, &body.connect)
                && other.ports == body.ports
        };
        if last.is_some_and(is_like) {
            continue;
        }
        last = Some((name, body));
        let same =
            resolved.project.instances(&name.sandbox).all(|(_, other)| is_like((name, other)));
        let who = if same { name.sandbox.to_string() } else { name.to_string() };
        for rule in rules(resolved, name, body) {
            rows.push(json!({
                "address": format!("sandbox.{who}"), "by": rule.by, "policy": rule.policy,
                "place": rule.place,
            }));
            let place = rule.place.map(|place| format!("{}:{}", place.file, place.line));
            let place = place.unwrap_or_else(|| "(default)".to_owned());
            table.row(vec![who.clone(), rule.by, rule.policy, place]);
        }
    }
    Rows { text: Text::Table(table), rows }
}

fn rules(resolved: &Resolved, name: &InstanceName, body: &Body) -> Vec<Rule> {
    let address = format!("sandbox.{}", name.sandbox);
    let place = |path: &str| {
        let span = resolved.origins.span(&address, path)?;
        Some(resolved.origins.sources().place(span))
    };
    let network = &body.network;
    let preset = Rule {
        by: "preset".to_owned(),
        policy: format!("{}: {}", network.preset, tail(network.preset)),
        place: place("network.preset").or_else(|| place("network")),
    };
    if network.preset == Preset::Off {
        return vec![preset];
    }
    let mut rules = Vec::new();
    for (target, connect) in &body.connect {
        let path = format!("connect.{target}");
        rules.push(Rule {
            by: "connect".to_owned(),
            policy: format!("allow {target} ports={} as {}", connect.ports, connect.alias),
            place: place(&path).or_else(|| place(&format!("{path}.ports"))),
        });
    }
    for (index, rule) in network.rules.iter().enumerate() {
        rules.push(Rule {
            by: format!("rule {}", index + 1),
            policy: rule.to_string(),
            place: place(&format!("network.rules.{index}")),
        });
    }
    rules.push(preset);
    for port in &body.ports {
        let (key, guest) = (port.key(), port.guest);
        rules.push(Rule {
            by: "port".to_owned(),
            policy: format!(
                "publish {guest} on {}:{}/{}",
                port.bind,
                port.host,
                port.protocol.as_str()
            ),
            place: place(&format!("ports.{key}")),
        });
    }
    rules
}
