//! The last layer: seccomp, a list of system calls that says what each may be asked for.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// A system call on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its number here.
    pub number: i64,
    /// What it may be asked for.
    pub only: Only,
}

impl Call {
    /// A call that may be asked for anything.
    #[must_use]
    pub const fn any(name: &'static str, number: i64) -> Self {
        Self::only(name, number, Only::Any)
    }

    /// A call that may be asked for just that.
    #[must_use]
    pub const fn only(name: &'static str, number: i64, only: Only) -> Self {
        Self { name, number, only }
    }
}

/// What a call may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Anything.
    Any,
    /// An argument that has none of these bits.
    Without(u8, u64),
    /// An argument that has all of these bits.
    With(u8, u64),
    /// An argument that is one of these.
    One(u8, &'static [u64]),
    /// An argument that is another than this.
    Other(u8, u64),
    /// An argument that has just this value under a mask, or is one of these.
    Group(u8, [u64; 2], &'static [u64]),
    /// Nothing: it is answered as a call that this kernel does not know.
    Unknown,
}

impl Only {
    /// Of `clone`: a thread, and no process.
    pub const THREAD: Self = Self::With(0, libc::CLONE_THREAD.unsigned_abs() as u64);
    /// Of `mmap` and `mprotect`: memory that holds no program.
    pub const NO_PROGRAM: Self = Self::Without(2, libc::PROT_EXEC.unsigned_abs() as u64);
}

/// Which calls a process makes.
#[derive(Debug, Clone, Copy)]
pub enum Calls {
    /// Those of these lists; any other ends it.
    Only(&'static [&'static [Call]]),
    /// All but those of these lists, which are refused.
    But(&'static [&'static [Call]]),
}

impl Calls {
    pub(super) fn install(self) -> io::Result<()> {
        match self {
            Self::Only(calls) => allow_only(calls),
            Self::But(calls) => allow_but(calls),
        }
    }
}

/// Refuses the calls that are on the list; a program may ask for one to see whether it may.
fn allow_but(lists: &[&[Call]]) -> io::Result<()> {
    let rules = rules(lists.iter().copied().flatten())?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    install(rules, SeccompAction::Allow, refused)
}

/// Ends this process at the first call that is not on the list.
fn allow_only(lists: &[&[Call]]) -> io::Result<()> {
    let calls = || lists.iter().copied().flatten();
    let unknown = calls().filter(|call| call.only == Only::Unknown);
    let unknown: BTreeMap<i64, Vec<SeccompRule>> =
        unknown.map(|call| (call.number, Vec::new())).collect();
    if !unknown.is_empty() {
        // Of two answers the kernel takes the stricter one.
        let no_such_call = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        install(unknown, SeccompAction::Allow, no_such_call)?;
    }
    install(rules(calls())?, SeccompAction::KillProcess, SeccompAction::Allow)
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

/// Returns the calls by their numbers, with what each may be asked for.
fn rules<'c>(calls: impl Iterator<Item = &'c Call>) -> io::Result<BTreeMap<i64, Vec<SeccompRule>>> {
    calls.map(|call| Ok((call.number, rule(call.only).map_err(io::Error::other)?))).collect()
}

/// Returns what has to be true; one of several is enough, and of none nothing has to be.
fn rule(only: Only) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let of = |argument, operator, value| {
        let width = SeccompCmpArgLen::Qword;
        SeccompRule::new(vec![SeccompCondition::new(argument, width, operator, value)?])
    };
    match only {
        Only::Any | Only::Unknown => Ok(Vec::new()),
        Only::Without(argument, bits) => Ok(vec![of(argument, SeccompCmpOp::MaskedEq(bits), 0)?]),
        Only::With(argument, bits) => Ok(vec![of(argument, SeccompCmpOp::MaskedEq(bits), bits)?]),
        Only::Other(argument, value) => Ok(vec![of(argument, SeccompCmpOp::Ne, value)?]),
        Only::One(argument, values) => {
            values.iter().map(|value| of(argument, SeccompCmpOp::Eq, *value)).collect()
        }
        Only::Group(argument, [mask, value], values) => {
            let group = of(argument, SeccompCmpOp::MaskedEq(mask), value);
            let others = values.iter().map(|value| of(argument, SeccompCmpOp::Eq, *value));
            std::iter::once(group).chain(others).collect()
        }
    }
}
