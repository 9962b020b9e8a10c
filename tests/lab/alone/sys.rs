//! The functions of libkrun, which take addresses.
#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "the functions of libkrun take addresses, all on the same terms"
)]

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::ptr;

/// The hardware address of its network device, and what of each packet is left to the device.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OFFLOADS: u32 = 1 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 12;

/// What a machine is made of.
pub(crate) struct Machine<'m> {
    pub(crate) kernel: &'m CStr,
    pub(crate) initramfs: &'m CStr,
    pub(crate) root: &'m CStr,
    pub(crate) upper: &'m CStr,
    pub(crate) command_line: CString,
    pub(crate) memory: u32,
    pub(crate) console: RawFd,
    /// Of the agent, of shared folders, of the network.
    pub(crate) streams: [RawFd; 3],
}

/// Becomes the machine; returns the call that was refused.
pub(crate) fn machine(of: &Machine<'_>) -> &'static str {
    let Ok(id) = u32::try_from(krun::krun_create_ctx()) else { return "krun_create_ctx" };
    let (kernel, initramfs) = (of.kernel.as_ptr(), of.initramfs.as_ptr());
    let (line, root, upper) = (of.command_line.as_ptr(), of.root.as_ptr(), of.upper.as_ptr());
    let [agent, files, network] = of.streams;
    let console = c"console".as_ptr();
    // SAFETY: texts that end with a zero and live through the calls, which copy them; descriptors that are
    // the library's for as long as the process lives.
    let answers = unsafe {
        [
            ("config", krun::krun_set_vm_config(id, 1, of.memory)),
            ("init", krun::krun_disable_implicit_init(id)),
            ("console", krun::krun_disable_implicit_console(id)),
            ("vsock", krun::krun_disable_implicit_vsock(id)),
            ("kernel", krun::krun_set_kernel(id, kernel, 1, initramfs, line)),
            ("ports", krun::krun_add_virtio_console_multiport(id)),
            ("terminal", krun::krun_add_console_port_tty(id, 0, console, of.console)),
            ("agent", krun::krun_add_console_port_inout(id, 0, c"agent".as_ptr(), agent, agent)),
            ("files", krun::krun_add_console_port_inout(id, 0, c"files".as_ptr(), files, files)),
            ("root", krun::krun_add_disk3(id, c"root".as_ptr(), root, 0, true, false, 0)),
            ("upper", krun::krun_add_disk3(id, c"upper".as_ptr(), upper, 0, false, false, 2)),
            (
                "network",
                krun::krun_add_net_unixstream(id, ptr::null(), network, MAC.as_ptr(), OFFLOADS, 0),
            ),
            ("start", krun::krun_start_enter(id)),
        ]
    };
    let refused = answers.iter().find(|(_, answer)| *answer < 0);
    refused.map_or("nothing, and left its machine", |(call, _)| call)
}
