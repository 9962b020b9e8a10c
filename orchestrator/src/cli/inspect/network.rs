//! The network of a sandbox: what decides, in order; its addresses; and what it publishes.

use schema::control::NetworkFigures;
use schema::launch::DriverName;
use schema::link::{GATEWAY_V4, GUEST_V4, GUEST_V6};
use schema::project::network::{Dns, Network, Preset};
use schema::project::{HostPorts, PublishedPort, Sandbox, endpoint};
use serde_json::{Value, json};

use crate::cli::call::Call;
use crate::cli::failure::Failure;
use crate::cli::net::written;
use crate::cli::network::tail;
use crate::cli::shapes;
use crate::engine::SandboxView;
use crate::report::human;

/// Returns the lines about its network: what it is, then what decides in the order of deciding.
pub(super) fn lines(view: &SandboxView, sandbox: &Sandbox) -> Vec<String> {
    let network = &sandbox.network;
    if network.preset == Preset::Off {
        return vec!["off".to_owned()];
    }
    let rules = human::count(network.rules.len(), "rule");
    let mut lines = vec![match has_device(view, sandbox) {
        true => format!("{}, {rules}, {GUEST_V4}, resolver {GATEWAY_V4}", network.preset),
        false => format!("{}, {rules}, not in force: the host's own network", network.preset),
    }];
    for (target, connect) in &sandbox.connect {
        let (ports, alias) = (&connect.ports, &connect.alias);
        lines.push(format!("connect  {target} ports {ports} as {alias}"));
    }
    for (index, rule) in network.rules.iter().enumerate() {
        lines.push(format!("rule {}   {}", index + 1, written(rule)));
    }
    if !network.rules.is_empty() {
        lines.push(format!("then     {}", tail(network.preset)));
    }
    lines.extend(names(&network.dns).map(|line| format!("dns      {line}")));
    lines.extend(limits(network).map(|line| format!("limits   {line}")));
    lines
}

/// Asks the machines of sandboxes how their networks stand; none where one does not run or answer.
pub(super) fn figures(
    call: &Call,
    views: &[SandboxView],
) -> Result<Vec<Option<NetworkFigures>>, Failure> {
    let machines: Vec<_> = views.iter().map(SandboxView::machine).collect();
    if machines.iter().all(Option::is_none) {
        return Ok(vec![None; views.len()]);
    }
    call.block_on(async {
        let mut figures = Vec::new();
        for machine in machines {
            figures.push(match machine {
                Some(machine) => machine.network().await,
                None => None,
            });
        }
        figures
    })
}

/// Returns the lines about how its network stands.
pub(super) fn figure_lines(figures: &NetworkFigures) -> Vec<String> {
    let count =
        |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (connections, flows) =
        (count(figures.connections, "connection"), count(figures.flows, "flow"));
    let mut lines = vec![format!("open     {connections}, {flows}")];
    let by_rule = figures.denied.iter().map(|(by, count)| format!("{count} by {by}"));
    let names = (figures.denied_names > 0).then(|| count(figures.denied_names, "name"));
    let denied: Vec<String> = by_rule.chain(names).collect();
    if !denied.is_empty() {
        lines.push(format!("denied   {}", denied.join(", ")));
    }
    for (sibling, addresses) in &figures.siblings {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        lines.push(format!("sibling  {sibling} is {}", addresses.join(", ")));
    }
    lines
}

/// Tells whether its machine has a network device, or would have: agentd alone has none.
fn has_device(view: &SandboxView, sandbox: &Sandbox) -> bool {
    let by_process = view.driver.is_some_and(|(driver, _)| driver == DriverName::Process);
    sandbox.network.preset != Preset::Off && !by_process
}

/// Says how names are looked up, where that is not as usual.
fn names(dns: &Dns) -> Option<String> {
    let usual = Dns::default();
    let mut parts: Vec<String> = dns.servers.iter().map(ToString::to_string).collect();
    if dns.timeout != usual.timeout {
        parts.push(format!("timeout {}", human::millis(dns.timeout.0)));
    }
    if !dns.rebind_protection {
        parts.push("without rebind protection".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn limits(network: &Network) -> Option<String> {
    let limits = &network.limits;
    let mut parts = Vec::new();
    parts.extend(limits.egress.map(|rate| format!("egress {rate}")));
    parts.extend(limits.ingress.map(|rate| format!("ingress {rate}")));
    if limits.max_connections != schema::project::network::Limits::MAX_CONNECTIONS {
        parts.push(format!("{} connections", limits.max_connections));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Returns what this instance publishes where its machine lives, else what it would.
pub(super) fn port_lines(view: &SandboxView, sandbox: &Sandbox) -> Vec<String> {
    let bound = human::ports(shapes::ports(view));
    if !bound.is_empty() {
        return bound;
    }
    let line = |port: PublishedPort| {
        let (guest, protocol) = (port.guest, port.protocol.as_str());
        let host = match port.host {
            HostPorts::Fixed(range) => endpoint(port.bind, range),
            HostPorts::Auto if port.bind.is_ipv6() => format!("[{}]:auto", port.bind),
            HostPorts::Auto => format!("{}:auto", port.bind),
        };
        format!("{host} → {guest}/{protocol}")
    };
    ports(view, sandbox).map(line).collect()
}

fn ports(view: &SandboxView, sandbox: &Sandbox) -> impl Iterator<Item = PublishedPort> {
    let index = view.name.index.unwrap_or(0);
    sandbox.ports.iter().filter_map(move |port| port.of_instance(index))
}

/// Returns its network as programs read it.
pub(super) fn shape(view: &SandboxView, figures: Option<&NetworkFigures>) -> Value {
    let Some(sandbox) = view.definition.as_deref() else { return Value::Null };
    let network = &sandbox.network;
    let has_device = has_device(view, sandbox);
    json!({
        "preset": network.preset,
        "rules": network.rules,
        "tail": tail(network.preset),
        "connect": sandbox.connect,
        "ipv4": has_device.then_some(GUEST_V4),
        "ipv6": has_device.then_some(GUEST_V6),
        "resolver": has_device.then_some(GATEWAY_V4),
        "dns": network.dns.servers,
        "figures": figures,
    })
}

/// Returns its published ports as programs read them, one by one; that of the host is null where
/// the kernel will choose it.
pub(super) fn port_shapes(view: &SandboxView) -> Value {
    let bound = shapes::ports(view);
    let Some(sandbox) = view.definition.as_deref().filter(|_| bound.is_empty()) else {
        return json!(bound);
    };
    let one_by_one = ports(view, sandbox).flat_map(|port| {
        port.pairs().map(move |(host, guest)| {
            json!({
                "bind": port.bind, "host": host, "guest": guest,
                "protocol": port.protocol, "auto": port.host == HostPorts::Auto,
            })
        })
    });
    Value::Array(one_by_one.collect())
}
