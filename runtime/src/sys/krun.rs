//! libkrun, whose functions take addresses: each call of [`Call`] carried out.
//!
//! The functions are those of the crate itself, so the compiler holds what they take.

use std::ptr;

use crate::hypervisor::krun::{Call, Context};

/// No variable of the environment changes what is logged.
const LOG_NO_ENV: u32 = 1;
const LOG_STDERR: i32 = 2;
const LOG_STYLE_NEVER: u32 = 2;

const KERNEL_ELF: u32 = 1;
const DISK_RAW: u32 = 0;

/// Carries out a call and returns what it answered, negative where it was refused.
///
/// `context` is there once it was created. What starts the machine returns only where it was refused.
pub(crate) fn krun(context: &mut Option<Context>, call: &Call) -> i32 {
    match call {
        // SAFETY: integers; standard error is open for as long as the process lives.
        Call::InitLog { level } => unsafe {
            ::krun::krun_init_log(LOG_STDERR, *level, LOG_STYLE_NEVER, LOG_NO_ENV)
        },
        Call::CreateCtx => {
            let answer = ::krun::krun_create_ctx();
            *context = u32::try_from(answer).ok().map(Context);
            answer
        }
        call => match context {
            Some(Context(context)) => with(*context, call),
            None => -libc::ENOENT,
        },
    }
}

fn with(context: u32, call: &Call) -> i32 {
    match call {
        Call::InitLog { .. } | Call::CreateCtx => -libc::EALREADY,
        Call::SetVmConfig { cpus, memory_mib } => {
            ::krun::krun_set_vm_config(context, *cpus, *memory_mib)
        }
        Call::DisableImplicitInit => ::krun::krun_disable_implicit_init(context),
        Call::DisableImplicitConsole => ::krun::krun_disable_implicit_console(context),
        Call::DisableImplicitVsock => ::krun::krun_disable_implicit_vsock(context),
        // SAFETY: three texts that end with a zero and live through the call, which copies them.
        Call::SetKernel { kernel, initramfs, command_line } => unsafe {
            let (initramfs, command_line) = (initramfs.as_ptr(), command_line.as_ptr());
            ::krun::krun_set_kernel(context, kernel.as_ptr(), KERNEL_ELF, initramfs, command_line)
        },
        // SAFETY: an integer.
        Call::AddConsole => unsafe { ::krun::krun_add_virtio_console_multiport(context) },
        // SAFETY: a text that ends with a zero and lives through the call, which copies it; the
        // descriptor is the library's for as long as the process lives.
        Call::AddTerminalPort { name, fd } => unsafe {
            ::krun::krun_add_console_port_tty(context, CONSOLE, name.as_ptr(), *fd)
        },
        // SAFETY: as above.
        Call::AddPort { name, fd } => unsafe {
            ::krun::krun_add_console_port_inout(context, CONSOLE, name.as_ptr(), *fd, *fd)
        },
        // SAFETY: two texts that end with a zero and live through the call, which copies them.
        Call::AddDisk { serial, path, read_only, sync } => unsafe {
            let (serial, path) = (serial.as_ptr(), path.as_ptr());
            ::krun::krun_add_disk3(context, serial, path, DISK_RAW, *read_only, false, *sync)
        },
        // SAFETY: no path, six bytes that live through the call, and a descriptor that is the
        // library's for as long as the process lives.
        Call::AddNetwork { fd, mac, features } => unsafe {
            ::krun::krun_add_net_unixstream(context, ptr::null(), *fd, mac.as_ptr(), *features, 0)
        },
        Call::StartEnter => ::krun::krun_start_enter(context),
    }
}

/// The one console, as the library numbers them.
const CONSOLE: u32 = 0;
