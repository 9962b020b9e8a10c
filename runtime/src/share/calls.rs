//! The system calls of the share server: files below its folders, its stream, its threads.
//!
//! A test runs the server under a list of what it calls: nothing it calls may be missing here,
//! and what it did not call stands in a list of its own there, each with its reason.

use crate::jail::Call;

/// What the server calls beyond what every process of ours does.
pub const CALLS: &[Call] = &[
    // Files that are open.
    Call::any("pread64", libc::SYS_pread64),
    Call::any("pwrite64", libc::SYS_pwrite64),
    Call::any("lseek", libc::SYS_lseek),
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
    // The rest.
    Call::any("geteuid", libc::SYS_geteuid),
    Call::any("getegid", libc::SYS_getegid),
];
