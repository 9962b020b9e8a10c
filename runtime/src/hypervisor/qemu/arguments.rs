//! How a machine is said to QEMU.
//!
//! One shape for the emulator and for KVM; only the accelerator's line differs.
//! Everything but the numbers of a [`Wanted`] is literal, and no other option is
//! ever added: the golden test below is the whole language we speak.
//!
//! Files come as inherited descriptors, so QEMU opens nothing that was not
//! checked before. The kernel and the initramfs, which QEMU will only take by
//! name, are named through `/proc/self/fd`; with the jail they become `/k` and
//! `/i`.

use std::os::fd::RawFd;

use schema::launch::Accelerator;
use schema::link::{MTU, Mac};

/// The machine has eight virtio slots; console, network, root, upper and balloon take five.
pub(super) const DISKS_MAX: usize = 3;

/// What a machine is made with.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// The emulator or KVM.
    pub(super) accelerator: Accelerator,
    /// Virtual processors.
    pub(super) cpus: u32,
    /// Memory.
    pub(super) memory_mib: u64,
    /// Whether the guest's kernel speaks at length, and before it has a console.
    pub(super) debug: bool,
    /// The pace of the counter an emulated guest keeps time by, where it is known.
    pub(super) cycles_khz: Option<u32>,
    /// What QEMU holds for every machine.
    pub(super) held: Held,
    /// The network device, where there is one.
    pub(super) network: Option<Device>,
    /// Disks in guest order.
    pub(super) disks: Vec<Disk<'a>>,
}

/// Descriptors that QEMU holds for every machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// The socket of the conversation with QEMU.
    pub(super) qmp: RawFd,
    /// The console's socket.
    pub(super) console: RawFd,
    /// The agent channel's socket.
    pub(super) agent: RawFd,
    /// The socket of shared folders.
    pub(super) files: RawFd,
    /// The guest kernel.
    pub(super) kernel: RawFd,
    /// The initramfs.
    pub(super) initramfs: RawFd,
}

/// A network device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    /// The socket of its frames.
    pub(super) fd: RawFd,
    /// What the guest knows it by.
    pub(super) mac: Mac,
}

/// A disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk<'a> {
    /// The descriptor QEMU holds it by.
    pub(super) fd: RawFd,
    /// What the guest knows it by.
    pub(super) serial: &'a str,
    /// Whether writing is refused.
    pub(super) read_only: bool,
}

/// Returns the arguments of QEMU, its own name left out.
pub(super) fn arguments(wanted: &Wanted<'_>) -> Vec<String> {
    let mut line = Line::default();
    line.words(
        "-nodefaults -no-user-config -no-reboot -display none -monitor none -parallel none \
         -name msb,process=msb-vmm -msg timestamp=off \
         -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    machine(&mut line, wanted);
    channels(&mut line, wanted);
    if let Some(device) = wanted.network {
        add_network(&mut line, device);
    }
    for (index, disk) in wanted.disks.iter().enumerate() {
        add_disk(&mut line, index, disk);
    }
    line.words("-device virtio-balloon-device,id=balloon,free-page-reporting=on");
    line.0
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn words(&mut self, words: &str) {
        self.0.extend(words.split_whitespace().map(str::to_owned));
    }

    fn option(&mut self, name: &str, value: String) {
        self.0.push(name.to_owned());
        self.0.push(value);
    }
}

fn machine(line: &mut Line, wanted: &Wanted<'_>) {
    let serial = if wanted.debug { "on" } else { "off" };
    line.option(
        "-M",
        format!(
            "microvm,acpi=off,rtc=on,isa-serial={serial},x-option-roms=off,auto-kernel-cmdline=on"
        ),
    );
    line.words("-global virtio-mmio.force-legacy=off");
    line.words(match wanted.accelerator {
        Accelerator::Kvm => "-accel kvm -cpu host",
        // A processor that calls `rep movsb` fast is believed, and emulated a byte at a time.
        Accelerator::Tcg | Accelerator::None => "-accel tcg,thread=multi,tb-size=64 -cpu max,-erms",
    });
    line.option("-smp", wanted.cpus.to_string());
    line.option("-m", format!("{}M", wanted.memory_mib));
    line.option("-kernel", format!("/proc/self/fd/{}", wanted.held.kernel));
    line.option("-initrd", format!("/proc/self/fd/{}", wanted.held.initramfs));
    line.option("-append", command_line(wanted));
}

/// Returns the guest kernel's command line; nothing of a user, an image or a secret is in it.
fn command_line(wanted: &Wanted<'_>) -> String {
    let console = if wanted.debug {
        "console=ttyS0 earlyprintk=ttyS0 loglevel=8"
    } else {
        "console=hvc0 quiet loglevel=4"
    };
    // The kernel patches itself for one processor otherwise, which an emulator pays for dearly.
    let literal = "reboot=t panic=-1 pci=off rdinit=/init tsc=reliable no_timer_check \
                   random.trust_cpu=on cryptomgr.notests noreplace-smp";
    match (wanted.accelerator, wanted.cycles_khz, wanted.cpus) {
        // Measuring the local timer spins for 200 ms; the other one will do for one processor.
        (Accelerator::Tcg, Some(khz), 1) => {
            format!("{console} {literal} tsc_early_khz={khz} nolapic_timer")
        }
        (Accelerator::Tcg, Some(khz), _) => format!("{console} {literal} tsc_early_khz={khz}"),
        _ => format!("{console} {literal}"),
    }
}

fn channels(line: &mut Line, wanted: &Wanted<'_>) {
    let Held { qmp, console, agent, files, .. } = wanted.held;
    line.option("-chardev", format!("socket,id=qmp,fd={qmp}"));
    line.words("-mon chardev=qmp,mode=control");
    // With the serial port on, both consoles share the one socket.
    let shared = if wanted.debug { ",mux=on" } else { "" };
    line.option("-chardev", format!("socket,id=con,fd={console}{shared}"));
    line.words(if wanted.debug { "-serial chardev:con" } else { "-serial none" });
    line.option("-chardev", format!("socket,id=agent,fd={agent}"));
    line.option("-chardev", format!("socket,id=files,fd={files}"));
    line.words(
        "-device virtio-serial-device,id=vs,max_ports=4 \
         -device virtconsole,bus=vs.0,nr=0,chardev=con,name=msb.console \
         -device virtserialport,bus=vs.0,nr=1,chardev=agent,name=msb.agent \
         -device virtserialport,bus=vs.0,nr=2,chardev=files,name=msb.files",
    );
}

fn add_network(line: &mut Line, Device { fd, mac }: Device) {
    let stream = format!("stream,id=net,server=off,addr.type=fd,addr.str={fd}");
    line.option("-netdev", stream);
    line.option("-device", format!("virtio-net-device,netdev=net,mac={mac},host_mtu={MTU}"));
}

fn add_disk(line: &mut Line, index: usize, disk: &Disk<'_>) {
    let Disk { fd, serial, .. } = *disk;
    let mode = if disk.read_only { "on" } else { "off" };
    line.option("-add-fd", format!("fd={fd},set={index}"));
    line.option(
        "-blockdev",
        format!(
            "driver=file,node-name={serial},filename=/dev/fdset/{index},\
             read-only={mode},discard=unmap,locking=off"
        ),
    );
    line.option("-device", format!("virtio-blk-device,drive={serial},serial={serial}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accelerator: Accelerator) -> Wanted<'static> {
        let disks = vec![
            Disk { fd: 8, serial: "msb-root", read_only: true },
            Disk { fd: 9, serial: "msb-upper", read_only: false },
            Disk { fd: 10, serial: "data", read_only: false },
        ];
        let held = Held { qmp: 3, console: 4, agent: 5, kernel: 6, initramfs: 7, files: 11 };
        let cycles_khz = Some(2_596_100);
        let network = Some(Device { fd: 12, mac: Mac([0x02, 0x6d, 0x01, 0x23, 0x45, 0x67]) });
        let (cpus, memory_mib, debug) = (2, 512, false);
        Wanted { accelerator, cpus, memory_mib, debug, cycles_khz, held, network, disks }
    }

    /// One option a line, as the page about drivers prints it.
    fn text(arguments: &[String]) -> String {
        let mut text = String::new();
        for word in arguments {
            text.push_str(if word.starts_with('-') { "\n" } else { " " });
            text.push_str(word);
        }
        text.trim_start().to_owned()
    }

    #[test]
    fn rt_2_11_the_emulator_is_started_with_these_arguments_and_no_others() {
        let expected = "\
-nodefaults
-no-user-config
-no-reboot
-display none
-monitor none
-parallel none
-name msb,process=msb-vmm
-msg timestamp=off
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-M microvm,acpi=off,rtc=on,isa-serial=off,x-option-roms=off,auto-kernel-cmdline=on
-global virtio-mmio.force-legacy=off
-accel tcg,thread=multi,tb-size=64
-cpu max,-erms
-smp 2
-m 512M
-kernel /proc/self/fd/6
-initrd /proc/self/fd/7
-append console=hvc0 quiet loglevel=4 reboot=t panic=-1 pci=off rdinit=/init tsc=reliable no_timer_check random.trust_cpu=on cryptomgr.notests noreplace-smp tsc_early_khz=2596100
-chardev socket,id=qmp,fd=3
-mon chardev=qmp,mode=control
-chardev socket,id=con,fd=4
-serial none
-chardev socket,id=agent,fd=5
-chardev socket,id=files,fd=11
-device virtio-serial-device,id=vs,max_ports=4
-device virtconsole,bus=vs.0,nr=0,chardev=con,name=msb.console
-device virtserialport,bus=vs.0,nr=1,chardev=agent,name=msb.agent
-device virtserialport,bus=vs.0,nr=2,chardev=files,name=msb.files
-netdev stream,id=net,server=off,addr.type=fd,addr.str=12
-device virtio-net-device,netdev=net,mac=02:6d:01:23:45:67,host_mtu=65520
-add-fd fd=8,set=0
-blockdev driver=file,node-name=msb-root,filename=/dev/fdset/0,read-only=on,discard=unmap,locking=off
-device virtio-blk-device,drive=msb-root,serial=msb-root
-add-fd fd=9,set=1
-blockdev driver=file,node-name=msb-upper,filename=/dev/fdset/1,read-only=off,discard=unmap,locking=off
-device virtio-blk-device,drive=msb-upper,serial=msb-upper
-add-fd fd=10,set=2
-blockdev driver=file,node-name=data,filename=/dev/fdset/2,read-only=off,discard=unmap,locking=off
-device virtio-blk-device,drive=data,serial=data
-device virtio-balloon-device,id=balloon,free-page-reporting=on";
        assert_eq!(text(&arguments(&wanted(Accelerator::Tcg))), expected);
    }

    #[test]
    fn rt_2_11_only_the_accelerator_tells_kvm_from_the_emulator() {
        let emulated = text(&arguments(&wanted(Accelerator::Tcg)));
        let hardware = text(&arguments(&wanted(Accelerator::Kvm)));
        let swapped = emulated
            .replace(" tsc_early_khz=2596100", "")
            .replace("-accel tcg,thread=multi,tb-size=64\n-cpu max,-erms", "-accel kvm\n-cpu host");
        assert_eq!(hardware, swapped);
    }

    #[test]
    fn rt_2_13_nothing_that_opens_a_door_is_ever_said() {
        let said = text(&arguments(&wanted(Accelerator::Kvm)));
        let said = said.replace("-no-user-config", "");
        let doors = [
            "-drive ",
            "-virtfs",
            "-netdev user",
            "-netdev tap",
            "-nic",
            "vhost",
            "usb",
            "-vga",
            "backing",
            "-qmp",
            "-pci",
            "guest-agent",
        ];
        for door in doors {
            assert!(!said.contains(door), "{door} stands in {said}");
        }
    }

    #[test]
    fn rt_2_11_a_machine_without_a_network_has_no_device_and_differs_in_nothing_else() {
        let with = arguments(&wanted(Accelerator::Tcg));
        let without = arguments(&Wanted { network: None, ..wanted(Accelerator::Tcg) });
        let device = ["stream,id=net", "virtio-net-device"];
        let is_device = |word: &str| device.iter().any(|start| word.starts_with(start));
        let at = with.iter().position(|word| is_device(word)).unwrap() - 1;
        assert_eq!([&with[..at], &with[at + 4..]].concat(), without);
        assert!(!without.iter().any(|word| word.contains("net")), "{without:?}");
    }

    #[test]
    fn rt_3_5_the_command_line_fits_512_bytes() {
        for debug in [false, true] {
            let longest = Wanted { debug, cpus: 1, ..wanted(Accelerator::Tcg) };
            assert!(command_line(&longest).len() <= 512);
        }
    }

    #[test]
    fn one_emulated_processor_is_spared_the_measuring_of_its_timer() {
        let said = |cpus| command_line(&Wanted { cpus, ..wanted(Accelerator::Tcg) });
        assert!(said(1).ends_with(" noreplace-smp tsc_early_khz=2596100 nolapic_timer"));
        assert!(said(2).ends_with(" noreplace-smp tsc_early_khz=2596100"));
        let unknown = Wanted { cpus: 1, cycles_khz: None, ..wanted(Accelerator::Tcg) };
        assert!(command_line(&unknown).ends_with(" noreplace-smp"));
    }

    #[test]
    fn rt_3_6_a_debug_boot_adds_a_serial_port_on_the_same_console() {
        let said = text(&arguments(&Wanted { debug: true, ..wanted(Accelerator::Tcg) }));
        assert!(said.contains("isa-serial=on"));
        assert!(said.contains("console=ttyS0 earlyprintk=ttyS0 loglevel=8 "));
        assert!(said.contains("-chardev socket,id=con,fd=4,mux=on\n-serial chardev:con"));
    }
}
