//! The system calls of a machine of libkrun.
//!
//! A test looks at what it calls: nothing may be missing here, and what it did not call stands in a list of its
//! own there, each with its reason.

use crate::jail::{Call, Only};

/// Of `ioctl`: KVM's own group (`0xAE`), and what is asked of a terminal and of sockets.
const OF_KVM: Only = Only::Group(
    1,
    [0xff00, 0xae00],
    &[libc::TCGETS, libc::TCSETS, libc::TIOCGWINSZ, libc::FIONBIO, libc::FIOCLEX],
);

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

/// Of `prctl`: the name of a thread.
const NAME: Only = Only::One(0, &[libc::PR_SET_NAME.unsigned_abs() as u64]);

/// What a machine calls.
pub const CALLS: &[Call] = &[
    // The machine.
    Call::only("ioctl", libc::SYS_ioctl, OF_KVM),
    // Disks, kernel and console, which are open.
    Call::any("read", libc::SYS_read),
    Call::any("readv", libc::SYS_readv),
    Call::any("write", libc::SYS_write),
    Call::any("writev", libc::SYS_writev),
    Call::any("pread64", libc::SYS_pread64),
    Call::any("pwrite64", libc::SYS_pwrite64),
    Call::any("preadv", libc::SYS_preadv),
    Call::any("pwritev", libc::SYS_pwritev),
    Call::any("lseek", libc::SYS_lseek),
    Call::any("close", libc::SYS_close),
    Call::any("statx", libc::SYS_statx),
    Call::any("newfstatat", libc::SYS_newfstatat),
    Call::any("fstatfs", libc::SYS_fstatfs),
    Call::any("fallocate", libc::SYS_fallocate),
    Call::any("fdatasync", libc::SYS_fdatasync),
    Call::any("fsync", libc::SYS_fsync),
    Call::any("dup", libc::SYS_dup),
    Call::only("fcntl", libc::SYS_fcntl, DESCRIPTORS),
    // By name: its own descriptors and `/dev/kvm`, by Landlock.
    Call::any("openat", libc::SYS_openat),
    // What is waited for.
    Call::any("epoll_create1", libc::SYS_epoll_create1),
    Call::any("epoll_ctl", libc::SYS_epoll_ctl),
    Call::any("epoll_wait", libc::SYS_epoll_wait),
    Call::any("eventfd2", libc::SYS_eventfd2),
    Call::any("poll", libc::SYS_poll),
    // Agent, folders and network, whose sockets are there.
    Call::any("recvfrom", libc::SYS_recvfrom),
    Call::any("sendto", libc::SYS_sendto),
    Call::any("setsockopt", libc::SYS_setsockopt),
    // Memory.
    Call::only("mmap", libc::SYS_mmap, Only::NO_PROGRAM),
    Call::only("mprotect", libc::SYS_mprotect, Only::NO_PROGRAM),
    Call::any("munmap", libc::SYS_munmap),
    Call::any("mremap", libc::SYS_mremap),
    Call::any("madvise", libc::SYS_madvise),
    Call::any("brk", libc::SYS_brk),
    // Threads, as of the share server.
    Call::only("clone3", libc::SYS_clone3, Only::Unknown),
    Call::only("clone", libc::SYS_clone, Only::THREAD),
    Call::any("set_robust_list", libc::SYS_set_robust_list),
    Call::any("rseq", libc::SYS_rseq),
    Call::any("sigaltstack", libc::SYS_sigaltstack),
    Call::any("rt_sigaction", libc::SYS_rt_sigaction),
    Call::any("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    Call::any("rt_sigreturn", libc::SYS_rt_sigreturn),
    Call::any("sched_getaffinity", libc::SYS_sched_getaffinity),
    Call::any("sched_yield", libc::SYS_sched_yield),
    Call::any("gettid", libc::SYS_gettid),
    Call::any("getpid", libc::SYS_getpid),
    Call::any("tgkill", libc::SYS_tgkill),
    Call::any("futex", libc::SYS_futex),
    Call::any("restart_syscall", libc::SYS_restart_syscall),
    Call::any("exit", libc::SYS_exit),
    Call::any("exit_group", libc::SYS_exit_group),
    // The rest.
    Call::any("getrandom", libc::SYS_getrandom),
    Call::any("clock_gettime", libc::SYS_clock_gettime),
    Call::any("clock_nanosleep", libc::SYS_clock_nanosleep),
    Call::only("prctl", libc::SYS_prctl, NAME),
];
