//! Calls that several processes are allowed or refused.

use super::{Call, Only};

const UNIX: u64 = libc::AF_UNIX.unsigned_abs() as u64;

/// Of `fcntl`: copies of descriptors, and how one is opened.
const DESCRIPTORS: Only = Only::One(
    1,
    &[
        libc::F_DUPFD_CLOEXEC.unsigned_abs() as u64,
        libc::F_GETFD.unsigned_abs() as u64,
        libc::F_SETFD.unsigned_abs() as u64,
        libc::F_GETFL.unsigned_abs() as u64,
        libc::F_SETFL.unsigned_abs() as u64,
    ],
);

/// What every process calls whose calls are listed: its descriptors, memory, threads, and end.
pub const EVERYBODY: &[Call] = &[
    Call::any("read", libc::SYS_read),
    Call::any("write", libc::SYS_write),
    Call::any("close", libc::SYS_close),
    Call::only("fcntl", libc::SYS_fcntl, DESCRIPTORS),
    // Memory.
    Call::only("mmap", libc::SYS_mmap, Only::NO_PROGRAM),
    Call::only("mprotect", libc::SYS_mprotect, Only::NO_PROGRAM),
    Call::any("munmap", libc::SYS_munmap),
    Call::any("mremap", libc::SYS_mremap),
    Call::any("madvise", libc::SYS_madvise),
    Call::any("brk", libc::SYS_brk),
    // Threads. The C library asks for the first one and takes the second where it is unknown: only
    // of the second can a filter see the flags.
    Call::only("clone3", libc::SYS_clone3, Only::Unknown),
    Call::only("clone", libc::SYS_clone, Only::THREAD),
    Call::any("set_robust_list", libc::SYS_set_robust_list),
    Call::any("rseq", libc::SYS_rseq),
    Call::any("sigaltstack", libc::SYS_sigaltstack),
    Call::any("rt_sigaction", libc::SYS_rt_sigaction),
    Call::any("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    Call::any("rt_sigreturn", libc::SYS_rt_sigreturn),
    Call::any("sched_getaffinity", libc::SYS_sched_getaffinity),
    Call::any("gettid", libc::SYS_gettid),
    Call::any("futex", libc::SYS_futex),
    Call::any("restart_syscall", libc::SYS_restart_syscall),
    Call::any("exit", libc::SYS_exit),
    Call::any("exit_group", libc::SYS_exit_group),
    // The rest.
    Call::any("getrandom", libc::SYS_getrandom),
    Call::any("clock_gettime", libc::SYS_clock_gettime),
];

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
