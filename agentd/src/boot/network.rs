//! Step `network`: the loopback interface, and the device that the record names.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use schema::wire::boot::Network;

use super::files::place_file;
use super::{Attempt as _, Booting, StepError};
use crate::groups;
use crate::log;
use crate::routes::{LOOPBACK, Routes};

/// Where the kernel shows its network devices, a folder each.
const DEVICES: &str = "/sys/class/net";

/// Where it keeps what holds for each of them in IPv6; missing where it has no IPv6.
const IPV6: &str = "/proc/sys/net/ipv6/conf";

/// Where programs look up who answers for names.
const RESOLVER: &str = "/etc/resolv.conf";

/// There is nobody on the link whose address ours could be, and nobody who announces a way out.
const IPV6_SETTINGS: [(&str, &str); 2] = [("accept_dad", "0"), ("accept_ra", "0")];

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    let routes = Routes::open().attempt(|| "opening the routing tables".into())?;
    routes.bring_up(LOOPBACK, None).attempt(|| "bringing lo up".into())?;
    match &booting.record.network {
        None => Ok(()),
        Some(network) => set_up(&routes, network),
    }
}

fn set_up(routes: &Routes, network: &Network) -> Result<(), StepError> {
    let Device { name, number } = find(Path::new(DEVICES), network.mac)?;
    let has_ipv6 = prepare_ipv6(&name)?;
    let is_meant = |address: &IpAddr| has_ipv6 || address.is_ipv4();
    routes
        .bring_up(number, Some(network.mtu))
        .attempt(|| format!("bringing {name} up with packets of {} bytes", network.mtu))?;
    for own in network.addresses.iter().filter(|own| is_meant(&own.address)) {
        routes
            .add_address(number, own.address, own.prefix)
            .attempt(|| format!("giving {name} the address {}/{}", own.address, own.prefix))?;
    }
    for route in network.routes.iter().filter(|route| is_meant(&route.via)) {
        let (to, prefix, via) = (route.to.address, route.to.prefix, route.via);
        routes
            .add_route(number, (to, prefix), via)
            .attempt(|| format!("routing {to}/{prefix} by {via} on {name}"))?;
    }
    name_resolver(Path::new(RESOLVER), network.resolver).attempt(|| format!("writing {RESOLVER}"))
}

/// A network device, as the kernel calls and counts it.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    number: u32,
}

/// Finds the device with a hardware address.
fn find(devices: &Path, mac: [u8; 6]) -> Result<Device, StepError> {
    let [a, b, c, d, e, f] = mac;
    let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let listed = fs::read_dir(devices).attempt(|| format!("reading {}", devices.display()))?;
    for entry in listed.flatten() {
        let says = |file: &str| fs::read_to_string(entry.path().join(file));
        if says("address").is_ok_and(|address| address.trim() == mac) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = says("ifindex").attempt(|| format!("reading the number of {name}"))?;
            let number = number.trim().parse();
            let number = number.map_err(|_| StepError::Record(format!("{name} has no number")))?;
            return Ok(Device { name, number });
        }
    }
    Err(StepError::Record(format!("no network device has the address `{mac}`")))
}

/// Makes addresses of IPv6 usable at once; tells whether the kernel has IPv6.
fn prepare_ipv6(device: &str) -> Result<bool, StepError> {
    let folder = Path::new(IPV6).join(device);
    if !folder.is_dir() {
        log::note!("the kernel has no IPv6 on {device}");
        return Ok(false);
    }
    for (name, value) in IPV6_SETTINGS {
        groups::write(&folder.join(name), value)
            .attempt(|| format!("setting {name} of {device} to {value}"))?;
    }
    Ok(true)
}

/// Writes who answers for names, in place of what is there: a link itself, never what it leads to.
fn name_resolver(path: &Path, resolver: IpAddr) -> io::Result<()> {
    let content = format!("nameserver {resolver}\noptions timeout:3 attempts:2\n");
    let is_file = fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
    if is_file && fs::read(path).is_ok_and(|there| there == content.as_bytes()) {
        return Ok(());
    }
    match place_file(path, 0o644, content.as_bytes()) {
        // A root that cannot be written keeps its own, and so does a sandbox that mounts one there.
        Err(error) if is_not_ours_to_write(&error) => {
            log::note!("{} stays as it is: {error}", path.display());
            Ok(())
        }
        answer => answer,
    }
}

fn is_not_ours_to_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::ResourceBusy)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use super::*;

    const SAID: &str = "nameserver 198.18.0.1\noptions timeout:3 attempts:2\n";

    /// A folder that goes with its test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let own = format!("msb-agent-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(own);
            drop(fs::remove_dir_all(&folder));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            place_file(&path, 0o644, text.as_bytes()).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn write(path: &Path) {
        name_resolver(path, [198, 18, 0, 1].into()).unwrap();
        assert!(fs::symlink_metadata(path).unwrap().is_file());
        assert_eq!(fs::read_to_string(path).unwrap(), SAID);
    }

    #[test]
    fn a_device_is_found_by_its_hardware_address() {
        let scratch = Scratch::new("devices");
        scratch.put("lo/address", "00:00:00:00:00:00\n");
        scratch.put("lo/ifindex", "1\n");
        scratch.put("eth0/address", "02:6d:0a:00:00:ff\n");
        scratch.put("eth0/ifindex", "7\n");
        scratch.put("bonding_masters", "");
        let found = find(&scratch.0, [2, 0x6d, 0x0a, 0, 0, 0xff]).unwrap();
        assert_eq!(found, Device { name: "eth0".into(), number: 7 });
        let missing = find(&scratch.0, [2; 6]).unwrap_err().to_string();
        assert_eq!(missing, "no network device has the address `02:02:02:02:02:02`");
    }

    #[test]
    fn rt_4_8_a_link_is_replaced_and_what_it_leads_to_is_left_alone() {
        let scratch = Scratch::new("resolver");
        let theirs = scratch.put("run/theirs", SAID);
        let path = scratch.0.join("resolv.conf");
        for target in [theirs.clone(), scratch.0.join("nowhere")] {
            drop(fs::remove_file(&path));
            symlink(target, &path).unwrap();
            write(&path);
        }
        assert_eq!(fs::read_to_string(&theirs).unwrap(), SAID);
        assert!(!scratch.0.join("nowhere").exists());
        drop(scratch.put("resolv.conf", "search example.com\nnameserver 10.0.0.1\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        write(&path);
        let left: Vec<_> = fs::read_dir(&scratch.0).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
