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

/// Of `prctl`: the name of a thread.
const NAME: Only = Only::One(0, &[libc::PR_SET_NAME.unsigned_abs() as u64]);

/// What a machine calls beyond what every process of ours does.
pub const CALLS: &[Call] = &[
    // The machine.
    Call::only("ioctl", libc::SYS_ioctl, OF_KVM),
    // Disks, kernel and console, which are open.
    Call::any("readv", libc::SYS_readv),
    Call::any("writev", libc::SYS_writev),
    Call::any("pread64", libc::SYS_pread64),
    Call::any("pwrite64", libc::SYS_pwrite64),
    Call::any("preadv", libc::SYS_preadv),
    Call::any("pwritev", libc::SYS_pwritev),
    Call::any("lseek", libc::SYS_lseek),
    Call::any("statx", libc::SYS_statx),
    Call::any("newfstatat", libc::SYS_newfstatat),
    Call::any("fstatfs", libc::SYS_fstatfs),
    Call::any("fallocate", libc::SYS_fallocate),
    Call::any("fdatasync", libc::SYS_fdatasync),
    Call::any("fsync", libc::SYS_fsync),
    Call::any("dup", libc::SYS_dup),
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
    // Threads.
    Call::any("sched_yield", libc::SYS_sched_yield),
    Call::any("getpid", libc::SYS_getpid),
    Call::any("tgkill", libc::SYS_tgkill),
    // The rest.
    Call::any("clock_nanosleep", libc::SYS_clock_nanosleep),
    Call::only("prctl", libc::SYS_prctl, NAME),
];
