//! How a machine is said to libkrun.
//!
//! These calls in this order and no others: nothing of the library's own devices, first process or
//! network is ever asked for, and what it would add by itself is refused first. The golden test below is
//! the whole language we speak.

use std::ffi::CString;
use std::os::fd::RawFd;

use super::orders::{Device, Orders};

/// What the library knows a machine by, once it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context(pub(crate) u32);

/// One call, but for the context that all but the first two take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Its log goes to standard error, and no variable of the environment changes that.
    InitLog {
        /// Warnings, or all of it.
        level: u32,
    },
    CreateCtx,
    SetVmConfig {
        cpus: u8,
        memory_mib: u32,
    },
    DisableImplicitInit,
    DisableImplicitConsole,
    DisableImplicitVsock,
    SetKernel {
        kernel: CString,
        initramfs: CString,
        command_line: CString,
    },
    AddConsole,
    AddTerminalPort {
        name: CString,
        fd: RawFd,
    },
    AddPort {
        name: CString,
        fd: RawFd,
    },
    AddDisk {
        serial: CString,
        path: CString,
        read_only: bool,
        sync: u32,
    },
    AddNetwork {
        fd: RawFd,
        mac: [u8; 6],
        features: u32,
    },
    StartEnter,
}

impl Call {
    /// Returns the name of the function.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::InitLog { .. } => "krun_init_log",
            Self::CreateCtx => "krun_create_ctx",
            Self::SetVmConfig { .. } => "krun_set_vm_config",
            Self::DisableImplicitInit => "krun_disable_implicit_init",
            Self::DisableImplicitConsole => "krun_disable_implicit_console",
            Self::DisableImplicitVsock => "krun_disable_implicit_vsock",
            Self::SetKernel { .. } => "krun_set_kernel",
            Self::AddConsole => "krun_add_virtio_console_multiport",
            Self::AddTerminalPort { .. } => "krun_add_console_port_tty",
            Self::AddPort { .. } => "krun_add_console_port_inout",
            Self::AddDisk { .. } => "krun_add_disk3",
            Self::AddNetwork { .. } => "krun_add_net_unixstream",
            Self::StartEnter => "krun_start_enter",
        }
    }
}

const LOG_WARNINGS: u32 = 2;
const LOG_DEBUG: u32 = 4;

/// A flush of the guest reaches the disk.
const SYNC_FULL: u32 = 2;
/// Nobody flushes what nobody writes.
const SYNC_NONE: u32 = 0;

/// Checksums and segmentation are left to the device, both ways: CSUM, `GUEST_CSUM`, `GUEST_TSO4`,
/// `GUEST_TSO6`, `HOST_TSO4` and `HOST_TSO6` of virtio-net.
const OFFLOADS: u32 = 1 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 12;

/// Returns what is called for a machine; `None` where a serial cannot be said.
pub(super) fn calls(orders: &Orders) -> Option<Vec<Call>> {
    let Orders { cpus, memory_mib, console, agent, files, .. } = *orders;
    let mut calls = vec![
        Call::InitLog { level: if orders.debug { LOG_DEBUG } else { LOG_WARNINGS } },
        Call::CreateCtx,
        Call::SetVmConfig { cpus, memory_mib },
        Call::DisableImplicitInit,
        Call::DisableImplicitConsole,
        Call::DisableImplicitVsock,
        Call::SetKernel {
            kernel: path(orders.kernel)?,
            initramfs: path(orders.initramfs)?,
            command_line: CString::new(command_line(orders.debug)).ok()?,
        },
        Call::AddConsole,
        Call::AddTerminalPort { name: c"msb.console".into(), fd: console },
        Call::AddPort { name: c"msb.agent".into(), fd: agent },
        Call::AddPort { name: c"msb.files".into(), fd: files },
    ];
    for disk in &orders.disks {
        calls.push(Call::AddDisk {
            serial: CString::new(disk.serial.as_str()).ok()?,
            path: path(disk.fd)?,
            read_only: disk.read_only,
            sync: if disk.read_only { SYNC_NONE } else { SYNC_FULL },
        });
    }
    if let Some(Device { fd, mac }) = orders.network {
        calls.push(Call::AddNetwork { fd, mac: mac.0, features: OFFLOADS });
    }
    calls.push(Call::StartEnter);
    Some(calls)
}

/// Returns what names an open file.
fn path(fd: RawFd) -> Option<CString> {
    CString::new(format!("/proc/self/fd/{fd}")).ok()
}

/// Returns the guest kernel's command line; nothing of a user, an image or a secret is in it. The library
/// adds the places of its devices.
fn command_line(debug: bool) -> String {
    let console = if debug { "console=hvc0 loglevel=8" } else { "console=hvc0 quiet loglevel=4" };
    format!(
        "{console} reboot=t panic=-1 pci=off rdinit=/init tsc=reliable no_timer_check \
         random.trust_cpu=on cryptomgr.notests"
    )
}

#[cfg(test)]
mod tests {
    use schema::link::Mac;

    use super::super::orders::Disk;
    use super::*;

    fn orders() -> Orders {
        let disk = |fd, serial: &str, read_only| Disk { fd, serial: serial.into(), read_only };
        Orders {
            cpus: 2,
            memory_mib: 512,
            kernel: 6,
            initramfs: 7,
            console: 4,
            agent: 5,
            files: 11,
            disks: vec![disk(8, "msb-root", true), disk(9, "msb-upper", false)],
            network: Some(Device { fd: 12, mac: Mac([0x02, 0x6d, 0x01, 0x23, 0x45, 0x67]) }),
            debug: false,
        }
    }

    #[test]
    fn rt_2_7_the_library_is_called_so_and_not_otherwise() {
        let said: Vec<String> = calls(&orders())
            .unwrap()
            .iter()
            .map(|call| format!("{} {call:?}", call.name()))
            .collect();
        let line = "console=hvc0 quiet loglevel=4 reboot=t panic=-1 pci=off rdinit=/init tsc=reliable \
                    no_timer_check random.trust_cpu=on cryptomgr.notests";
        let kernel = format!(
            "krun_set_kernel SetKernel {{ kernel: \"/proc/self/fd/6\", initramfs: \
             \"/proc/self/fd/7\", command_line: \"{line}\" }}"
        );
        let expected = [
            "krun_init_log InitLog { level: 2 }",
            "krun_create_ctx CreateCtx",
            "krun_set_vm_config SetVmConfig { cpus: 2, memory_mib: 512 }",
            "krun_disable_implicit_init DisableImplicitInit",
            "krun_disable_implicit_console DisableImplicitConsole",
            "krun_disable_implicit_vsock DisableImplicitVsock",
            &kernel,
            "krun_add_virtio_console_multiport AddConsole",
            "krun_add_console_port_tty AddTerminalPort { name: \"msb.console\", fd: 4 }",
            "krun_add_console_port_inout AddPort { name: \"msb.agent\", fd: 5 }",
            "krun_add_console_port_inout AddPort { name: \"msb.files\", fd: 11 }",
            "krun_add_disk3 AddDisk { serial: \"msb-root\", path: \"/proc/self/fd/8\", read_only: true, \
             sync: 0 }",
            "krun_add_disk3 AddDisk { serial: \"msb-upper\", path: \"/proc/self/fd/9\", read_only: false, \
             sync: 2 }",
            "krun_add_net_unixstream AddNetwork { fd: 12, mac: [2, 109, 1, 35, 69, 103], features: 6531 }",
            "krun_start_enter StartEnter",
        ];
        assert_eq!(said, expected);
        assert_eq!(OFFLOADS, 0x1983);
    }

    #[test]
    fn rt_2_7_a_machine_without_a_network_has_no_device_and_differs_in_nothing_else() {
        let with = calls(&orders()).unwrap();
        let without = calls(&Orders { network: None, ..orders() }).unwrap();
        let mut rest = with;
        rest.retain(|call| !matches!(call, Call::AddNetwork { .. }));
        assert_eq!(rest, without);
    }

    #[test]
    fn rt_3_5_the_command_line_fits_512_bytes_with_what_the_library_adds() {
        // `virtio_mmio.device=4K@0xd0001000:5 ` for each of its interrupts, and ` -- `.
        const ADDED: usize = 11 * 36 + 4;
        for debug in [false, true] {
            let length = command_line(debug).len();
            assert!(length <= 512 && length + ADDED <= 2048, "{length}");
        }
    }
}
