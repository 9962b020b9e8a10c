//! Published ports: rows read, counted, and given to instances.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::claims::Claim;
use super::decode::{Decoder, Noting};
use super::project::Sandboxes;
use super::secrets::scalar;
use crate::project::network::{PortError, PortRange};
use crate::project::{HostPorts, PublishedPort, Transport};
use crate::sandboxfile::document::{Content, Group};
use crate::sandboxfile::keys::{Shape, Type};
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value;

/// A row as it was read, and where what it takes on the host is written.
#[derive(Clone, Copy)]
struct Row {
    port: PublishedPort,
    at: Span,
}

impl Decoder<'_, '_> {
    /// Reads the published ports of every sandbox, and holds them apart.
    pub(super) fn port_all(&mut self, sandboxes: &mut Sandboxes<'_, '_>) {
        let mut claims = Vec::new();
        for (name, read) in sandboxes {
            self.begin(format!("sandbox.{name}"));
            let mut bodies = Vec::with_capacity(read.sandboxes.len());
            for (group, sandbox) in read.bodies.iter().zip(&mut read.sandboxes) {
                let rows = self.rows(group, read.member.at);
                sandbox.ports = rows.iter().map(|row| row.port).collect();
                sandbox.ports.sort_unstable();
                bodies.push(rows);
                self.noting(Noting::Off);
            }
            self.noting(Noting::On);
            self.claim(name.as_str(), read.definition.replicas, &bodies, &mut claims);
        }
        claims.sort_by_key(Claim::order);
        for problem in super::claims::clashes(&claims) {
            self.problems.push(problem);
        }
    }

    fn rows(&mut self, group: &Group<'_>, at: Span) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let Some(item) = group.get("port") else { return rows };
        let Content::Rows(written) = &item.content else { return rows };
        if u32::try_from(written.len()).is_ok_and(|count| count > PORTS_MAX) {
            let message = format!("there are more than {PORTS_MAX} published ports");
            self.error(Code::VALUE_RANGE, message, at, "publish fewer, or ranges");
            return rows;
        }
        for row in written {
            let Some(row) = self.row(row) else { continue };
            let same = |other: &&Row| {
                row.port.host == HostPorts::Auto && other.port.key() == row.port.key()
            };
            if let Some(first) = rows.iter().find(same) {
                let message = format!("port `{}` is written twice", row.port.key());
                let problem = Problem::error(Code::SCHEMA_DUPLICATE_KEY, message, row.at)
                    .related(first.at, "first here")
                    .help("keep one of the two");
                self.problems.push(problem);
                continue;
            }
            self.note_with(|| format!("ports.{}", row.port.key()), row.at);
            rows.push(row);
        }
        let count: u32 = rows.iter().map(|row| row.port.guest.count()).sum();
        if count > PORTS_MAX {
            let message = format!("{count} ports are published; there can be {PORTS_MAX}");
            self.error(Code::VALUE_RANGE, message, at, "publish fewer");
        }
        rows
    }

    fn row(&mut self, row: &Group<'_>) -> Option<Row> {
        let guest = row.get("guest")?;
        let host = row.get("host");
        let at = host.unwrap_or(guest);
        let at = self.written_as(at, scalar(at)?);
        let guest = self.port_range(scalar(guest)?);
        let host = match host {
            None => Some(HostPorts::Auto),
            Some(item) => {
                let help = "write a port, a range such as \"8080-8089\", or \"auto\"";
                let (rule, near) = (HostPorts::parse, PortError::nearest);
                let read = value::near(scalar(item)?, Code::VALUE_PORT, rule, near, help);
                self.take(read)
            }
        };
        let bind = match row.get("bind") {
            None => Some(PublishedPort::BIND),
            Some(item) => self.bind(scalar(item)?),
        };
        let protocol = match row.get("protocol") {
            None => Some("tcp"),
            Some(item) => {
                let Shape::Scalar(Type::Choice(words)) = item.key.shape else { return None };
                self.take(value::choice(scalar(item)?, "protocol", words))
            }
        };
        let protocol = if protocol? == "udp" { Transport::Udp } else { Transport::Tcp };
        let port = PublishedPort { protocol, bind: bind?, host: host?, guest: guest? };
        // What was dropped may have told it from another.
        row.dropped.is_empty().then_some(Row { port, at })
    }

    fn port_range(&mut self, scalar: &Scalar<'_>) -> Option<PortRange> {
        let halves = scalar.text.split_once(':').filter(|_| scalar.written.is_none());
        let both = halves.map(|(host, guest)| (PortRange::parse(host), PortRange::parse(guest)));
        let help = match both {
            Some((Ok(host), Ok(guest))) => format!("write guest={guest} host={host}"),
            _ => "write a port, or a range such as \"8080-8089\"".to_owned(),
        };
        let (rule, near) = (PortRange::parse, PortError::nearest);
        self.take(value::near(scalar, Code::VALUE_PORT, rule, near, &help))
    }

    fn bind(&mut self, scalar: &Scalar<'_>) -> Option<IpAddr> {
        let rule = |text: &str| {
            let address: Result<IpAddr, _> = text.parse();
            address.map(|address| address.to_canonical()).map_err(|_| NoAddress(text.to_owned()))
        };
        let help = "write an address of the host, such as \"127.0.0.1\" or \"0.0.0.0\"";
        self.take(value::near(scalar, Code::VALUE_CIDR, rule, NoAddress::nearest, help))
    }

    /// Holds rows to a port of the host for each port of each guest, and claims those.
    fn claim(
        &mut self,
        name: &str,
        replicas: Option<u32>,
        bodies: &[Vec<Row>],
        claims: &mut Vec<Claim>,
    ) {
        let Some(first) = bodies.first() else { return };
        for (number, row) in first.iter().enumerate() {
            let each = || bodies.iter().map(|rows| rows.get(number));
            // A row that reads the same for every instance is theirs together.
            let together = each().all(|other| other.is_some_and(|o| o.port == row.port));
            let instances = if together { replicas.unwrap_or(1) } else { 1 };
            let rows = if together { vec![row] } else { each().flatten().collect() };
            for (index, row) in rows.into_iter().enumerate() {
                let HostPorts::Fixed(ports) = row.port.host else { continue };
                if !self.is_counted(name, row, ports, instances) {
                    continue;
                }
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                claims.push(Claim {
                    protocol: row.port.protocol,
                    bind: row.port.bind,
                    ports,
                    sandbox: name.to_owned(),
                    slice: row.port.guest.count(),
                    first_index: replicas.map(|_| if together { 0 } else { index }),
                    at: row.at,
                });
            }
        }
    }

    fn is_counted(&mut self, name: &str, row: &Row, ports: PortRange, instances: u32) -> bool {
        let wanted = row.port.guest.count().saturating_mul(instances);
        // Of no instance there is nothing to count.
        if wanted == ports.count() || instances == 0 {
            return true;
        }
        let message = match instances {
            1 => format!("`{name}` publishes {} with {}", counted(wanted), counted(ports.count())),
            _ => format!(
                "the {instances} instances of `{name}` publish {} with {}",
                counted(wanted),
                counted(ports.count())
            ),
        };
        let last = u32::from(ports.first()).saturating_add(wanted - 1);
        let near = u16::try_from(last).ok().and_then(|last| PortRange::new(ports.first(), last));
        let help = match (near, self.is_yaml(row.at)) {
            (Some(near), false) => format!("write host=\"{near}\", or host=\"auto\""),
            (Some(near), true) => format!("write host: {near}, or host: auto"),
            (None, _) => "write lower ports, or auto".to_owned(),
        };
        self.error(Code::RULE_PORT_COUNT, message, row.at, &help);
        false
    }
}

fn counted(ports: u32) -> String {
    if ports == 1 { "1 port".to_owned() } else { format!("{ports} ports") }
}

/// A text that is not the address of a host.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an address")]
struct NoAddress(String);

impl NoAddress {
    fn nearest(&self) -> Option<String> {
        let text = self.0.trim_matches(['[', ']']);
        let near: IpAddr = match text {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            "*" | "any" | "all" => Ipv4Addr::UNSPECIFIED.into(),
            _ => IpAddr::V6(text.parse::<Ipv6Addr>().ok()?),
        };
        Some(near.to_string())
    }
}

const PORTS_MAX: u32 = 1000;
