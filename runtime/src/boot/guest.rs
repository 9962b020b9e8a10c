//! What the guest is told about itself, taken from the launch record.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schema::launch::{
    DriverName, LaunchRecord, MountSource, Role, SERIAL_ROOT, SERIAL_UPPER, Security,
};
use schema::link;
use schema::wire::boot::{self, BootRecord, EnvVar, HostLine, Route, Subnet};
use schema::wire::message::Rlimit;

use super::{BootError, Values};

/// What of the host a guest is told at its boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The wall clock.
    pub(crate) unix_ns: u64,
    /// Random bytes for the guest's pool.
    pub(crate) entropy: [u8; 64],
    /// Whether the host has a way out by IPv6.
    pub(crate) has_ipv6: bool,
}

/// Returns the boot record of a machine that boots now.
pub(crate) fn boot_record(
    launch: &LaunchRecord,
    values: &Values,
    moment: &Moment,
) -> Result<BootRecord, BootError> {
    let guest = &launch.guest;
    let is_machine = launch.driver.name != DriverName::Process;
    let link = launch.network.link().filter(|_| is_machine);
    let Moment { unix_ns, entropy, has_ipv6 } = *moment;
    Ok(BootRecord {
        unix_ns,
        entropy: entropy.to_vec(),
        machine_id: launch.machine.id.clone(),
        os_machine_id: guest.os_machine_id.clone(),
        hostname: guest.hostname.clone(),
        hosts: link.map(|_| hosts(&guest.hostname)).unwrap_or_default(),
        disks: if is_machine { disks(launch) } else { Vec::new() },
        root: if is_machine { root(launch) } else { boot::Root::default() },
        mounts: mounts(launch),
        files: Vec::new(),
        env: env(launch, values)?,
        user: guest.user.clone(),
        workdir: guest.workdir.clone(),
        shell: guest.shell.clone(),
        cpus: launch.shape.cpus,
        memory_bytes: launch.shape.memory_bytes,
        rlimits: guest.rlimits.iter().map(rlimit).collect(),
        restricted: guest.security == Security::Restricted,
        stop_signal: launch.workload.stop_signal,
        network: link.map(|link| network(link.mac, has_ipv6)),
    })
}

/// Returns the lines of a guest that has a network: itself, by its address on the link, and the host.
fn hosts(hostname: &str) -> Vec<HostLine> {
    let line = |address: Ipv4Addr, name: &str| HostLine {
        address: address.to_string(),
        names: vec![name.to_owned()],
    };
    vec![line(link::GUEST_V4, hostname), line(link::GATEWAY_V4, link::HOST_NAME)]
}

/// Returns how the network device is set up.
///
/// Without a way out by IPv6 the guest learns so at once, from its own kernel; siblings are within
/// reach all the same.
fn network(mac: link::Mac, has_ipv6: bool) -> boot::Network {
    let subnet = |address: IpAddr, prefix| Subnet { address, prefix };
    let (siblings, prefix) = link::SIBLINGS_V6;
    let everywhere = subnet(Ipv6Addr::UNSPECIFIED.into(), 0);
    let by_ipv6 =
        [subnet(siblings.into(), prefix)].into_iter().chain(has_ipv6.then_some(everywhere));
    let by_ipv4 =
        Route { to: subnet(Ipv4Addr::UNSPECIFIED.into(), 0), via: link::GATEWAY_V4.into() };
    let by_ipv6 = by_ipv6.map(|to| Route { to, via: link::GATEWAY_V6.into() });
    boot::Network {
        mac: mac.0,
        mtu: link::MTU,
        addresses: vec![
            subnet(link::GUEST_V4.into(), link::PREFIX_V4),
            subnet(link::GUEST_V6.into(), link::PREFIX_V6),
        ],
        routes: std::iter::once(by_ipv4).chain(by_ipv6).collect(),
        resolver: link::GATEWAY_V4.into(),
    }
}

fn disks(launch: &LaunchRecord) -> Vec<boot::Disk> {
    let is_disk = |role| matches!(role, Role::Root | Role::Upper | Role::Disk);
    let disks = launch.resources.iter().filter(|resource| is_disk(resource.role));
    disks.map(|d| boot::Disk { serial: d.serial.clone(), read_only: d.read_only }).collect()
}

fn root(launch: &LaunchRecord) -> boot::Root {
    let has_upper = launch.resources.iter().any(|resource| resource.role == Role::Upper);
    boot::Root {
        lower: SERIAL_ROOT.into(),
        lower_fstype: "erofs".into(),
        upper: has_upper.then(|| SERIAL_UPPER.into()),
    }
}

/// Returns the mounts; shares are counted in their order, which is the share server's.
fn mounts(launch: &LaunchRecord) -> Vec<boot::Mount> {
    let mut shares = 0;
    launch.mounts.iter().map(|wanted| mount(wanted, &mut shares)).collect()
}

fn mount(mount: &schema::launch::Mount, shares: &mut u32) -> boot::Mount {
    boot::Mount {
        target: mount.target.clone(),
        source: match &mount.source {
            MountSource::Disk { serial, fstype } => boot::MountSource::Disk {
                serial: serial.clone(),
                fstype: fstype.map(|fstype| fstype.as_str().to_owned()),
                own_when_empty: false,
            },
            MountSource::Share(share) => {
                let index = *shares;
                *shares += 1;
                boot::MountSource::Share { index, is_file: share.file.is_some() }
            }
            MountSource::Named { serial, .. } => boot::MountSource::Disk {
                serial: serial.clone(),
                fstype: None,
                own_when_empty: true,
            },
            MountSource::Tmpfs { size_bytes, mode } => {
                boot::MountSource::Tmpfs { size_bytes: *size_bytes, mode: *mode }
            }
        },
        read_only: mount.read_only,
        noexec: mount.noexec,
        nosuid: mount.nosuid,
        nodev: mount.nodev,
    }
}

fn rlimit(limit: &schema::launch::Rlimit) -> Rlimit {
    Rlimit { resource: limit.resource.clone(), soft: limit.soft, hard: limit.hard }
}

fn env(launch: &LaunchRecord, values: &Values) -> Result<Vec<EnvVar>, BootError> {
    let plain = launch.guest.env.iter();
    let mut env: Vec<EnvVar> =
        plain.map(|(key, value)| EnvVar { key: key.clone(), value: value.clone() }).collect();
    for key in &launch.guest.sensitive_env {
        let value = values.env(key)?.to_owned();
        env.retain(|var| var.key != *key);
        env.push(EnvVar { key: key.clone(), value });
    }
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(has_ipv6: bool) -> Vec<String> {
        let network = network(link::GATEWAY_MAC, has_ipv6);
        let said =
            |route: &Route| format!("{}/{} via {}", route.to.address, route.to.prefix, route.via);
        network.routes.iter().map(said).collect()
    }

    #[test]
    fn rt_9_2_a_guest_leaves_by_ipv6_only_where_its_host_does() {
        let without = ["0.0.0.0/0 via 198.18.0.1", "fd6d:7362:1::/64 via fd6d:7362::1"];
        assert_eq!(routes(false), without);
        assert_eq!(routes(true), [&without[..], &["::/0 via fd6d:7362::1"]].concat());
    }

    #[test]
    fn a_guest_knows_itself_by_its_address_on_the_link() {
        let lines: Vec<String> =
            hosts("web").iter().map(|line| format!("{} {:?}", line.address, line.names)).collect();
        assert_eq!(lines, [r#"198.18.0.2 ["web"]"#, r#"198.18.0.1 ["host.msb.internal"]"#]);
    }
}
