//! Ports of the host that two sandboxes of one plan would take.
//!
//! A file that says so is refused where it is read; without one, as `msb start` plans, nobody has
//! looked at them together yet. What others have is looked at on the host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use schema::name::InstanceName;
use schema::project::{HostPorts, PublishedPort, Transport, endpoint};

use super::value::{Address, Change, Refusal};
use super::wish::Wish;

/// A port that an instance will take.
#[derive(Clone, Copy)]
struct Claim<'w> {
    who: &'w InstanceName,
    port: PublishedPort,
}

impl Claim<'_> {
    /// Returns what claims are put in order by: those that may meet stand near to one another.
    fn order(&self) -> (Transport, bool, u16) {
        let first = match self.port.host {
            HostPorts::Fixed(range) => range.first(),
            HostPorts::Auto => 0,
        };
        (self.port.protocol, self.port.bind.is_ipv6(), first)
    }

    fn ends_before(&self, other: &Self) -> bool {
        let (protocol, family, first) = other.order();
        let last = match self.port.host {
            HostPorts::Fixed(range) => range.last(),
            HostPorts::Auto => 0,
        };
        (self.port.protocol, self.port.bind.is_ipv6()) != (protocol, family) || last < first
    }
}

/// Refuses changes that would publish what another change of the same plan publishes.
pub(super) fn clashes(wish: &Wish, changes: &[Change]) -> Vec<Refusal> {
    if !wish.inputs.files.is_empty() {
        return Vec::new();
    }
    let mut claims = claims(wish, changes);
    claims.sort_by_key(Claim::order);
    let (mut open, mut told): (Vec<Claim<'_>>, BTreeSet<&InstanceName>) = Default::default();
    let mut refused = Vec::new();
    for claim in claims {
        open.retain(|other| !other.ends_before(&claim));
        let met = open.iter().filter(|other| other.who != claim.who).find_map(|other| {
            let (bind, ports) = other.port.clash(&claim.port)?;
            Some((other.who, place(bind, ports, claim.port.protocol)))
        });
        if let Some((other, place)) = met.filter(|_| told.insert(claim.who)) {
            let change = changes.iter().find(|change| change.address.sandbox() == Some(claim.who));
            refused.push(Refusal {
                address: Some(Address::Sandbox(claim.who.clone())),
                word: change.map_or("", |change| change.action.as_str()),
                code: "msb::ports::in-use",
                text: format!("{place} is published by {other} too"),
                hint: Some("Give one another host port, or start them one after the other.".into()),
                place: change.and_then(|change| change.place.clone()),
            });
        }
        open.push(claim);
    }
    refused
}

fn claims<'w>(wish: &'w Wish, changes: &'w [Change]) -> Vec<Claim<'w>> {
    let boots = changes.iter().filter(|change| change.action.boots());
    let wanted = boots.filter_map(|change| {
        let who = change.address.sandbox()?;
        Some((who, wish.project.sandboxes.get(who)?))
    });
    let ports = wanted.flat_map(|(who, want)| {
        let own = |port: &PublishedPort| port.of_instance(who.index.unwrap_or(0));
        want.ports.iter().filter_map(own).map(move |port| Claim { who, port })
    });
    ports.filter(|claim| claim.port.host != HostPorts::Auto).collect()
}

fn place(bind: IpAddr, ports: schema::project::network::PortRange, by: Transport) -> String {
    format!("{}/{}", endpoint(bind, ports), by.as_str())
}

#[cfg(test)]
mod tests {
    use schema::name::ProjectName;
    use schema::project::{ImageRef, Kind, Origins, Project, Sandbox};

    use super::*;
    use crate::observe::Observed;
    use crate::plan::{Goal, Inputs, plan};

    /// Plans sandboxes that publish so, and returns what is refused.
    fn check(wanted: &[(&str, &str)], goal: Goal) -> Vec<String> {
        let mut project = Project::empty(ProjectName::adhoc(), "/srv".into());
        for (name, ports) in wanted {
            let mut sandbox = Sandbox::new(Kind::Service, ImageRef::parse("builtin:base").unwrap());
            sandbox.ports = ports.split(' ').map(|p| PublishedPort::read(p).unwrap()).collect();
            project.sandboxes.insert(InstanceName::parse(name).unwrap(), sandbox.into());
        }
        let mut wish = Wish::new(project, Origins::default(), Inputs::default(), "/srv".into());
        wish.goal = goal;
        let plan = plan(&wish, &Observed::default());
        plan.refused.into_iter().map(|refusal| refusal.text).collect()
    }

    #[test]
    fn two_that_boot_together_take_different_ports() {
        let refused = |wanted: &[(&str, &str)]| check(wanted, Goal::Up);
        let web = "127.0.0.1:8080/tcp is published by a too";
        assert_eq!(refused(&[("a", "8080:80"), ("b", "8080:81")]), [web]);
        assert_eq!(refused(&[("a", "0.0.0.0:8080:80"), ("b", "8080:81")]), [web]);
        let range = "127.0.0.1:8085-8089/tcp is published by a too";
        assert_eq!(refused(&[("a", "8080-8089:80-89"), ("b", "8085-8095:85-95")]), [range]);
        for other in ["8081:80", "8080:80/udp", "auto:80", "[::]:8080:80", "127.0.0.2:8080:80"] {
            assert_eq!(refused(&[("a", "8080:80"), ("b", other)]), [""; 0], "{other}");
        }
        let wide = [("a", "8000-8999:1000-1999"), ("b", "8100:80"), ("c", "8200:80 8300:80")];
        assert_eq!(refused(&wide).len(), 2, "each is told of once");
        assert_eq!(check(&[("a", "8080:80"), ("b", "8080:81")], Goal::Down), [""; 0]);
    }
}
