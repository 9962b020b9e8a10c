//! What to ask of QEMU, and what it may be asked.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use schema::launch::{Accelerator, Shape};
use schema::link::Mac;

use super::arguments::{DISKS_MAX, Device, Disk, Held, Wanted, arguments};
use super::monitor;
use super::pace::Look;
use crate::clock::HostClock;
use crate::hypervisor::parts::{GIB, MIB, Most, SERIAL_BYTES_MAX, bounds, given, pair, prepared};
use crate::hypervisor::{
    Built, Capabilities, Console, DiskFd, DriverError, Hypervisor, Links, Machine,
};
use crate::starter::{Jailed, Starter};
use crate::vmm;

/// What QEMU calls itself.
const NAME: &str = "qemu-system-x86_64";

/// The driver.
#[derive(Debug)]
pub struct Qemu {
    program: PathBuf,
    accelerator: Accelerator,
    opened: Option<Look>,
}

impl Qemu {
    /// Returns a driver that runs `program`, an absolute path.
    #[must_use]
    pub fn new(program: PathBuf, accelerator: Accelerator) -> Self {
        // Taken as early as can be: the second look, at the start, then waits for nothing.
        let opened = Look::take(&HostClock);
        Self { program, accelerator, opened }
    }

    /// Returns the pace an emulated guest's clock will have; KVM tells its guests by itself.
    fn cycles_khz(&self) -> Option<u32> {
        match self.accelerator {
            Accelerator::Kvm => None,
            Accelerator::Tcg | Accelerator::None => self.opened?.pace_khz(&HostClock),
        }
    }

    const fn most(&self) -> Most {
        match self.accelerator {
            Accelerator::Kvm => Most { cpus: 64, memory_bytes: 1024 * GIB, disks: DISKS_MAX },
            Accelerator::Tcg | Accelerator::None => {
                Most { cpus: 8, memory_bytes: 16 * GIB, disks: DISKS_MAX }
            }
        }
    }

    /// How long QEMU may take to answer.
    const fn patience(&self) -> Duration {
        match self.accelerator {
            // As long as its proof may take.
            Accelerator::Kvm => Duration::from_secs(15),
            Accelerator::Tcg | Accelerator::None => Duration::from_secs(30),
        }
    }
}

impl Hypervisor for Qemu {
    fn capabilities(&self) -> Capabilities {
        let Most { cpus: cpus_max, disks: disks_max, .. } = self.most();
        Capabilities { isolation: self.accelerator.isolation(), disks_max, cpus_max }
    }

    fn check(&self, shape: &Shape, disks: usize) -> Result<(), DriverError> {
        self.most().check(shape, disks)
    }

    fn start(&self, built: Built, starter: &Starter) -> Result<Machine, DriverError> {
        self.check(&built.shape, built.disks.len())?;
        built.disks.iter().try_for_each(check_serial)?;
        let kernel = given(built.kernel, "the guest kernel")?;
        let initramfs = given(built.initramfs, "the initramfs")?;
        let (console, console_end) = pair("the console's socket")?;
        let (agent, agent_end) = pair("the agent's socket")?;
        let (shares, files_end) = pair("the socket of shared folders")?;
        let (qmp, qmp_end) = pair("the socket to QEMU")?;
        let (net, net_end) =
            built.network.map(|_| pair("the network's socket")).transpose()?.unzip();
        let held = Held {
            qmp: qmp_end.as_raw_fd(),
            console: console_end.as_raw_fd(),
            agent: agent_end.as_raw_fd(),
            files: files_end.as_raw_fd(),
            kernel: kernel.as_raw_fd(),
            initramfs: initramfs.as_raw_fd(),
        };
        let args = arguments(&Wanted {
            accelerator: self.accelerator,
            cpus: built.shape.cpus_max,
            memory_mib: built.shape.memory_max_bytes / MIB,
            debug: built.boot_debug,
            cycles_khz: self.cycles_khz(),
            held,
            network: built.network.zip(net_end.as_ref()).map(device),
            disks: built.disks.iter().map(said).collect(),
        });
        // Those that QEMU takes by name; the others it takes as they are.
        let file_bytes = vmm::largest(&built.disks).map_err(prepared("the sizes of the disks"))?;
        let files = vec![(held.kernel, false), (held.initramfs, false)];
        let channels = [qmp_end, console_end, agent_end, files_end].map(OwnedFd::from);
        let mut keep = vec![kernel, initramfs, built.lease];
        keep.extend(channels);
        keep.extend(net_end.map(OwnedFd::from));
        keep.extend(built.disks.into_iter().map(|disk| disk.fd));
        let job =
            vmm::Job::Program(vmm::Program { path: self.program.clone(), name: NAME.into(), args });
        let on_kvm = self.accelerator == Accelerator::Kvm;
        let told = |report| vmm::Orders { report, files, file_bytes, on_kvm, job };
        let bounds = bounds(built.name, &built.shape, self.accelerator);
        let jailed = Jailed { name: NAME, job: "vmm", shown: None, keep, bounds: Some(bounds) };
        let (process, jail_missing) = starter.jail(jailed, told)?;
        let (monitor, notices) = monitor::listen(qmp, self.patience(), process.pid())?;
        let console = Console::of(console).map_err(prepared("the console's socket"))?;
        let links = Links { console, agent, files: Some(shares), net };
        Ok(Machine { process, links, monitor: Box::new(monitor), notices, jail_missing })
    }
}

fn device((mac, end): (Mac, &UnixStream)) -> Device {
    Device { fd: end.as_raw_fd(), mac }
}

fn said(disk: &DiskFd) -> Disk<'_> {
    Disk { fd: disk.fd.as_raw_fd(), serial: &disk.serial, read_only: disk.read_only }
}

/// Refuses a serial that QEMU would read as something else than a name.
fn check_serial(disk: &DiskFd) -> Result<(), DriverError> {
    let serial = &disk.serial;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = serial.len() <= SERIAL_BYTES_MAX
        && serial.starts_with(|c: char| c.is_ascii_alphabetic())
        && serial.chars().all(plain);
    if fits {
        Ok(())
    } else {
        Err(DriverError::Unsupported { what: format!("a disk with the serial {serial:?}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::parts::shape;

    fn driver(accelerator: Accelerator) -> Qemu {
        Qemu::new("/usr/bin/qemu-system-x86_64".into(), accelerator)
    }

    #[test]
    fn a_machine_takes_three_disks_beyond_root_and_upper() {
        driver(Accelerator::Tcg).check(&shape(1, 1), 5).unwrap();
        let refused = driver(Accelerator::Tcg).check(&shape(1, 1), 6).unwrap_err();
        assert!(matches!(refused, DriverError::TooManyDisks { have: 4, max: 3 }));
    }

    #[test]
    fn the_emulator_has_narrower_limits_than_the_processor() {
        driver(Accelerator::Kvm).check(&shape(64, 1024), 2).unwrap();
        driver(Accelerator::Tcg).check(&shape(8, 16), 2).unwrap();
        for (cpus, memory) in [(9, 1), (1, 17)] {
            let refused = driver(Accelerator::Tcg).check(&shape(cpus, memory), 2).unwrap_err();
            assert!(matches!(refused, DriverError::Shape { .. }));
        }
    }

    #[test]
    fn a_serial_cannot_smuggle_an_option() {
        let disk = |serial: &str| DiskFd {
            fd: std::fs::File::open("/dev/null").unwrap().into(),
            serial: serial.into(),
            read_only: true,
        };
        check_serial(&disk("msb-upper")).unwrap();
        for serial in ["", "a,readonly=off", "0a", "a b", "a-name-beyond-twenty-b"] {
            check_serial(&disk(serial)).unwrap_err();
        }
    }
}
