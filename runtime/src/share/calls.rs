//! The system calls of the share server: files below its folders, its stream, its threads.
//!
//! A test runs the server under a list of what it calls: nothing it calls may be missing here,
//! and what it did not call stands in a list of its own there, each with its reason.

use crate::jail::{Call, Only};

/// `CLONE_THREAD`: no process.
const THREAD: Only = Only::With(0, libc::CLONE_THREAD.unsigned_abs() as u64);
/// Memory that holds no program.
const NO_PROGRAM: Only = Only::Without(2, libc::PROT_EXEC.unsigned_abs() as u64);
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
    any("read", libc::SYS_read),
    any("write", libc::SYS_write),
    any("pread64", libc::SYS_pread64),
    any("pwrite64", libc::SYS_pwrite64),
    any("lseek", libc::SYS_lseek),
    any("close", libc::SYS_close),
    any("fstat", libc::SYS_fstat),
    any("fstatfs", libc::SYS_fstatfs),
    any("ftruncate", libc::SYS_ftruncate),
    any("fallocate", libc::SYS_fallocate),
    any("copy_file_range", libc::SYS_copy_file_range),
    any("fsync", libc::SYS_fsync),
    any("fdatasync", libc::SYS_fdatasync),
    any("syncfs", libc::SYS_syncfs),
    any("flock", libc::SYS_flock),
    any("getdents64", libc::SYS_getdents64),
    only("fcntl", libc::SYS_fcntl, DESCRIPTORS),
    // Files by name.
    any("openat", libc::SYS_openat),
    any("openat2", libc::SYS_openat2),
    any("newfstatat", libc::SYS_newfstatat),
    any("readlinkat", libc::SYS_readlinkat),
    any("mkdirat", libc::SYS_mkdirat),
    any("mknodat", libc::SYS_mknodat),
    any("symlinkat", libc::SYS_symlinkat),
    any("linkat", libc::SYS_linkat),
    any("unlinkat", libc::SYS_unlinkat),
    any("renameat2", libc::SYS_renameat2),
    any("fchmodat", libc::SYS_fchmodat),
    any("fchownat", libc::SYS_fchownat),
    any("utimensat", libc::SYS_utimensat),
    any("getxattr", libc::SYS_getxattr),
    any("setxattr", libc::SYS_setxattr),
    any("listxattr", libc::SYS_listxattr),
    any("removexattr", libc::SYS_removexattr),
    // Memory.
    only("mmap", libc::SYS_mmap, NO_PROGRAM),
    only("mprotect", libc::SYS_mprotect, NO_PROGRAM),
    any("munmap", libc::SYS_munmap),
    any("mremap", libc::SYS_mremap),
    any("madvise", libc::SYS_madvise),
    any("brk", libc::SYS_brk),
    // Threads. The C library asks for the first one and takes the second where it is unknown: only
    // of the second can a filter see the flags.
    only("clone3", libc::SYS_clone3, Only::Unknown),
    only("clone", libc::SYS_clone, THREAD),
    any("set_robust_list", libc::SYS_set_robust_list),
    any("rseq", libc::SYS_rseq),
    any("sigaltstack", libc::SYS_sigaltstack),
    any("rt_sigaction", libc::SYS_rt_sigaction),
    any("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    any("sched_getaffinity", libc::SYS_sched_getaffinity),
    any("gettid", libc::SYS_gettid),
    any("futex", libc::SYS_futex),
    any("restart_syscall", libc::SYS_restart_syscall),
    any("rt_sigreturn", libc::SYS_rt_sigreturn),
    any("exit", libc::SYS_exit),
    any("exit_group", libc::SYS_exit_group),
    // The rest.
    any("getrandom", libc::SYS_getrandom),
    any("clock_gettime", libc::SYS_clock_gettime),
    any("geteuid", libc::SYS_geteuid),
    any("getegid", libc::SYS_getegid),
];

const fn any(name: &'static str, number: i64) -> Call {
    only(name, number, Only::Any)
}

const fn only(name: &'static str, number: i64, only: Only) -> Call {
    Call { name, number, only }
}
