//! The system calls of the share server: files below its folders, its stream, its threads.
//!
//! A test runs the server under a list of what it calls: nothing it calls may be missing here,
//! and what it did not call stands in a list of its own there, each with its reason.

use crate::jail::{Call, Only};

/// Copies of descriptors, and how one is opened.
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

/// What the server calls.
pub const CALLS: &[Call] = &[
    // Files that are open.
    Call::any("read", libc::SYS_read),
    Call::any("write", libc::SYS_write),
    Call::any("pread64", libc::SYS_pread64),
    Call::any("pwrite64", libc::SYS_pwrite64),
    Call::any("lseek", libc::SYS_lseek),
    Call::any("close", libc::SYS_close),
    Call::any("fstat", libc::SYS_fstat),
    Call::any("fstatfs", libc::SYS_fstatfs),
    Call::any("ftruncate", libc::SYS_ftruncate),
    Call::any("fallocate", libc::SYS_fallocate),
    Call::any("copy_file_range", libc::SYS_copy_file_range),
    Call::any("fsync", libc::SYS_fsync),
    Call::any("fdatasync", libc::SYS_fdatasync),
    Call::any("syncfs", libc::SYS_syncfs),
    Call::any("flock", libc::SYS_flock),
    Call::any("getdents64", libc::SYS_getdents64),
    Call::only("fcntl", libc::SYS_fcntl, DESCRIPTORS),
    // Files by name.
    Call::any("openat", libc::SYS_openat),
    Call::any("openat2", libc::SYS_openat2),
    Call::any("newfstatat", libc::SYS_newfstatat),
    Call::any("readlinkat", libc::SYS_readlinkat),
    Call::any("mkdirat", libc::SYS_mkdirat),
    Call::any("mknodat", libc::SYS_mknodat),
    Call::any("symlinkat", libc::SYS_symlinkat),
    Call::any("linkat", libc::SYS_linkat),
    Call::any("unlinkat", libc::SYS_unlinkat),
    Call::any("renameat2", libc::SYS_renameat2),
    Call::any("fchmodat", libc::SYS_fchmodat),
    Call::any("fchownat", libc::SYS_fchownat),
    Call::any("utimensat", libc::SYS_utimensat),
    Call::any("getxattr", libc::SYS_getxattr),
    Call::any("setxattr", libc::SYS_setxattr),
    Call::any("listxattr", libc::SYS_listxattr),
    Call::any("removexattr", libc::SYS_removexattr),
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
    Call::any("sched_getaffinity", libc::SYS_sched_getaffinity),
    Call::any("gettid", libc::SYS_gettid),
    Call::any("futex", libc::SYS_futex),
    Call::any("restart_syscall", libc::SYS_restart_syscall),
    Call::any("rt_sigreturn", libc::SYS_rt_sigreturn),
    Call::any("exit", libc::SYS_exit),
    Call::any("exit_group", libc::SYS_exit_group),
    // The rest.
    Call::any("getrandom", libc::SYS_getrandom),
    Call::any("clock_gettime", libc::SYS_clock_gettime),
    Call::any("geteuid", libc::SYS_geteuid),
    Call::any("getegid", libc::SYS_getegid),
];
