//! The calls that a builder makes; any other is refused, whoever asks.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// Bytes of descriptors that are open, memory, threads, and the end.
const CALLS: [i64; 38] = [
    // Layers, spools, the root, and the socket with the answer.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fadvise64,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_fcntl,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads and signals; the first one is answered as unknown before this list is asked.
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The rest.
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_nanosleep,
];

const EXECUTABLE: u64 = libc::PROT_EXEC.unsigned_abs() as u64;
const THREAD: u64 = libc::CLONE_THREAD.unsigned_abs() as u64;
const EMPTY_PATH: u64 = libc::AT_EMPTY_PATH.unsigned_abs() as u64;

/// Refuses every call that is not on the list, to this thread and those it makes.
pub(super) fn keep_to_list() -> io::Result<()> {
    // The C library asks for `clone3` first and takes `clone` where it is unknown: only of that can
    // a filter see the flags. Of two answers the kernel takes the stricter one, so that the list has it too.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    install(unknown, SeccompAction::Allow, answer(libc::ENOSYS))?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let with = |argument, operator, value| rule(argument, operator, value).map(|rule| vec![rule]);
    let conditions = [
        // Memory that holds no program.
        (libc::SYS_mmap, with(2, SeccompCmpOp::MaskedEq(EXECUTABLE), 0)),
        (libc::SYS_mprotect, with(2, SeccompCmpOp::MaskedEq(EXECUTABLE), 0)),
        // A thread, and no process.
        (libc::SYS_clone, with(0, SeccompCmpOp::MaskedEq(THREAD), THREAD)),
        // What is open already, by its descriptor.
        (libc::SYS_statx, with(2, SeccompCmpOp::MaskedEq(EMPTY_PATH), EMPTY_PATH)),
        (libc::SYS_newfstatat, with(3, SeccompCmpOp::MaskedEq(EMPTY_PATH), EMPTY_PATH)),
        // Bytes of the socket, to nobody else.
        (libc::SYS_sendto, with(4, SeccompCmpOp::Eq, 0)),
        (libc::SYS_recvfrom, with(4, SeccompCmpOp::Eq, 0)),
        // A thread's name.
        (libc::SYS_prctl, with(0, SeccompCmpOp::Eq, libc::PR_SET_NAME.unsigned_abs().into())),
    ];
    for (call, rules_of_it) in conditions {
        rules.insert(call, rules_of_it.map_err(io::Error::other)?);
    }
    install(rules, answer(libc::EPERM), SeccompAction::Allow)
}

fn answer(errno: i32) -> SeccompAction {
    SeccompAction::Errno(errno.unsigned_abs())
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)?;
    SeccompRule::new(vec![condition])
}

fn install(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matching: SeccompAction,
) -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, matching, arch).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)
}
