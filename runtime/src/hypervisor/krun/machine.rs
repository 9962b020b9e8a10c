//! What to ask of libkrun, and what it may be asked.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use schema::launch::{Accelerator, Isolation, Shape};
use tokio::sync::mpsc;

use super::count::count;
use super::orders::{Device, Disk, Orders};
use crate::hypervisor::parts::{GIB, MIB, Most, SERIAL_BYTES_MAX, bounds, given, pair, prepared};
use crate::hypervisor::{
    Built, Capabilities, Console, CounterLine, DiskFd, DriverError, Hypervisor, Links, Machine,
    Monitor,
};
use crate::starter::{Jailed, Starter};
use crate::vmm;

/// Interrupts 5 to 15 are for devices; balloon and random numbers, which the library always adds, console,
/// network, root and upper take six.
const DISKS_MAX: usize = 5;

const MOST: Most = Most { cpus: 64, memory_bytes: 1024 * GIB, disks: DISKS_MAX };

/// The driver.
#[derive(Debug)]
pub struct Krun;

impl Hypervisor for Krun {
    fn capabilities(&self) -> Capabilities {
        Capabilities { isolation: Isolation::Hardware, disks_max: MOST.disks, cpus_max: MOST.cpus }
    }

    fn check(&self, shape: &Shape, disks: usize) -> Result<(), DriverError> {
        MOST.check(shape, disks)
    }

    fn start(&self, built: Built, starter: &Starter) -> Result<Machine, DriverError> {
        self.check(&built.shape, built.disks.len())?;
        let kernel = given(built.kernel, "the guest kernel")?;
        let initramfs = given(built.initramfs, "the initramfs")?;
        let (console, line) = terminal().map_err(prepared("the console's terminal"))?;
        let (agent, agent_end) = pair("the agent's socket")?;
        let (shares, files_end) = pair("the socket of shared folders")?;
        let (net, net_end) =
            built.network.map(|_| pair("the network's socket")).transpose()?.unzip();
        let orders = Orders {
            cpus: u8::try_from(built.shape.cpus_max).unwrap_or(u8::MAX),
            memory_mib: u32::try_from(built.shape.memory_max_bytes / MIB).unwrap_or(u32::MAX),
            kernel: kernel.as_raw_fd(),
            initramfs: initramfs.as_raw_fd(),
            console: line.as_raw_fd(),
            agent: agent_end.as_raw_fd(),
            files: files_end.as_raw_fd(),
            disks: built.disks.iter().map(said).collect::<Result<_, _>>()?,
            network: built.network.zip(net_end.as_ref()).map(|(mac, end)| {
                let fd = end.as_raw_fd();
                Device { fd, mac }
            }),
            debug: built.boot_debug,
        };
        let opened = [(kernel.as_raw_fd(), false), (initramfs.as_raw_fd(), false)];
        let disks = orders.disks.iter().map(|disk| (disk.fd, !disk.read_only));
        let files = opened.into_iter().chain(disks).collect();
        let file_bytes = vmm::largest(&built.disks).map_err(prepared("the sizes of the disks"))?;
        let job = vmm::Job::Krun(orders);
        let told = |report| vmm::Orders { report, files, file_bytes, on_kvm: true, job };
        let mut keep = vec![kernel, initramfs, line, built.lease];
        keep.extend([agent_end, files_end].map(OwnedFd::from));
        keep.extend(net_end.map(OwnedFd::from));
        keep.extend(built.disks.into_iter().map(|disk| disk.fd));
        let bounds = Some(bounds(built.name, &built.shape, Accelerator::Kvm));
        let jailed = Jailed { name: "msb-vmm", job: "vmm", shown: None, keep, bounds };
        let (process, jail_missing) = starter.jail(jailed, told)?;
        let console = Console::of(console).map_err(prepared("the console's terminal"))?;
        let links = Links { console, agent, files: Some(shares), net };
        let monitor = Box::new(Counted(count(process.pid())));
        // Nothing is heard of the library but the end of its process.
        let (_, notices) = mpsc::channel(1);
        Ok(Machine { process, links, monitor, notices, jail_missing })
    }
}

/// What there is of a line to libkrun. It keeps nothing of a disk back: what a guest wrote is the host's
/// when the guest is told so, and there is nothing to flush before the process ends.
#[derive(Debug)]
struct Counted(CounterLine);

impl Monitor for Counted {
    fn quit(&mut self) {}

    fn counters(&self) -> Option<CounterLine> {
        Some(self.0.clone())
    }
}

fn said(disk: &DiskFd) -> Result<Disk, DriverError> {
    let DiskFd { fd, serial, read_only } = disk;
    if serial.is_empty() || serial.len() > SERIAL_BYTES_MAX || serial.contains('\0') {
        let what = format!("a disk with the serial {serial:?}");
        return Err(DriverError::Unsupported { what });
    }
    Ok(Disk { fd: fd.as_raw_fd(), serial: serial.clone(), read_only: *read_only })
}

/// Returns both ends of a terminal that changes nothing of what goes through it: the library takes
/// a guest's console for one only where it is a terminal on the host.
pub(crate) fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags)?;
    unlockpt(&near)?;
    let far = ioctl_tiocgptpeer(&near, flags)?;
    let mut modes = tcgetattr(&far)?;
    modes.make_raw();
    tcsetattr(&far, OptionalActions::Now, &modes)?;
    Ok((near, far))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::parts::shape;

    #[test]
    fn rt_2_9_a_machine_takes_five_disks_beyond_root_and_upper() {
        Krun.check(&shape(64, 1024), 7).unwrap();
        let refused = Krun.check(&shape(1, 1), 8).unwrap_err();
        assert!(matches!(refused, DriverError::TooManyDisks { have: 6, max: 5 }));
        for (cpus, memory) in [(65, 1), (1, 1025)] {
            let refused = Krun.check(&shape(cpus, memory), 2).unwrap_err();
            assert!(matches!(refused, DriverError::Shape { .. }));
        }
    }

    #[test]
    fn a_serial_that_does_not_fit_the_device_is_refused() {
        let disk = |serial: &str| DiskFd {
            fd: std::fs::File::open("/dev/null").unwrap().into(),
            serial: serial.into(),
            read_only: true,
        };
        said(&disk("msb-upper")).unwrap();
        for serial in ["", "a\0b", "a-name-beyond-twenty-b"] {
            said(&disk(serial)).unwrap_err();
        }
    }
}
