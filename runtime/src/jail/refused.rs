//! Calls that lead out of a jail, for processes whose own calls are not listed one by one.

use super::{Call, Only};

const UNIX: u64 = libc::AF_UNIX.unsigned_abs() as u64;

/// What no process of ours asks for once it is at work.
pub const LEADS_OUT: &[Call] = &[
    // Mounts and roots.
    Call::any("mount", libc::SYS_mount),
    Call::any("umount2", libc::SYS_umount2),
    Call::any("pivot_root", libc::SYS_pivot_root),
    Call::any("chroot", libc::SYS_chroot),
    Call::any("fsopen", libc::SYS_fsopen),
    Call::any("fsmount", libc::SYS_fsmount),
    Call::any("fsconfig", libc::SYS_fsconfig),
    Call::any("fspick", libc::SYS_fspick),
    Call::any("open_tree", libc::SYS_open_tree),
    Call::any("move_mount", libc::SYS_move_mount),
    Call::any("mount_setattr", libc::SYS_mount_setattr),
    Call::any("open_by_handle_at", libc::SYS_open_by_handle_at),
    Call::any("name_to_handle_at", libc::SYS_name_to_handle_at),
    // Namespaces.
    Call::any("unshare", libc::SYS_unshare),
    Call::any("setns", libc::SYS_setns),
    // Other processes.
    Call::any("ptrace", libc::SYS_ptrace),
    Call::any("process_vm_readv", libc::SYS_process_vm_readv),
    Call::any("process_vm_writev", libc::SYS_process_vm_writev),
    Call::any("pidfd_open", libc::SYS_pidfd_open),
    Call::any("pidfd_getfd", libc::SYS_pidfd_getfd),
    Call::any("kcmp", libc::SYS_kcmp),
    // The kernel.
    Call::any("bpf", libc::SYS_bpf),
    Call::any("perf_event_open", libc::SYS_perf_event_open),
    Call::any("init_module", libc::SYS_init_module),
    Call::any("finit_module", libc::SYS_finit_module),
    Call::any("delete_module", libc::SYS_delete_module),
    Call::any("kexec_load", libc::SYS_kexec_load),
    Call::any("kexec_file_load", libc::SYS_kexec_file_load),
    Call::any("reboot", libc::SYS_reboot),
    Call::any("swapon", libc::SYS_swapon),
    Call::any("swapoff", libc::SYS_swapoff),
    Call::any("acct", libc::SYS_acct),
    Call::any("quotactl", libc::SYS_quotactl),
    Call::any("syslog", libc::SYS_syslog),
    Call::any("settimeofday", libc::SYS_settimeofday),
    Call::any("clock_settime", libc::SYS_clock_settime),
    Call::any("adjtimex", libc::SYS_adjtimex),
    Call::any("add_key", libc::SYS_add_key),
    Call::any("request_key", libc::SYS_request_key),
    Call::any("keyctl", libc::SYS_keyctl),
    Call::any("userfaultfd", libc::SYS_userfaultfd),
    Call::any("io_uring_setup", libc::SYS_io_uring_setup),
    Call::any("io_uring_enter", libc::SYS_io_uring_enter),
    Call::any("io_uring_register", libc::SYS_io_uring_register),
];

/// Any socket but those that have no network.
pub const NETWORK: &[Call] = &[Call::only("socket", libc::SYS_socket, Only::Other(0, UNIX))];

/// Another program.
pub const PROGRAMS: &[Call] =
    &[Call::any("execve", libc::SYS_execve), Call::any("execveat", libc::SYS_execveat)];
