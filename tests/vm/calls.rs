//! S2: the list of the share server's system calls is exact.
//!
//! The server is watched while it starts and ends, and while public test-suites work on a folder of
//! it. A call beyond the list would have ended it; what is on the list and was not called stands
//! here, with its reason.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use runtime::jail::{Call, EVERYBODY, IN_JAIL};
use runtime::share::CALLS;
use tests::home::{Home, put};
use tests::run::eventually;
use tests::share_server;

/// What is on the list and is not called while anybody watches, and why it stays there.
const UNUSED: &[(&str, &str)] = &[
    ("clock_gettime", "where the kernel's page for it is not mapped"),
    ("copy_file_range", "a guest's program that copies so"),
    ("exit", "a worker that ends, and what does not come back is not counted"),
    ("exit_group", "as above"),
    ("fchmodat", "host-perms mirror; the unit tests do"),
    ("fchownat", "stat-virt off; the unit tests do"),
    ("fsync", "a guest's program that syncs so"),
    ("listxattr", "a guest's program that lists attributes; the unit tests do"),
    ("mknodat", "a guest's program that makes a file so; the unit tests do"),
    ("mremap", "the allocator, when a large list grows"),
    ("removexattr", "a guest's program that removes attributes; the unit tests do"),
    ("restart_syscall", "the kernel, when a wait goes on after a stop"),
    ("rt_sigreturn", "the handler that tells of a stack that ran over"),
];

/// A share server that is watched.
pub(crate) struct Watched {
    strace: Child,
    counts: PathBuf,
    before: BTreeSet<String>,
}

impl Watched {
    /// Watches the share server of the only machine of a home; none where this may not be done.
    pub(crate) fn begin(home: &Home) -> Option<Self> {
        let before = start_and_end(home)?;
        let server = home.alive().into_iter().find(|process| {
            let name = fs::read_to_string(format!("/proc/{}/comm", process.pid));
            name.is_ok_and(|name| name == "msb-share\n")
        });
        let server = server.expect("a machine with a shared folder has a share server");
        let counts = home.scratch("calls");
        let strace = watch(server.pid, &counts)?;
        Some(Self { strace, counts, before })
    }

    /// Holds that what the server called is on the list, and that the rest of it has its reason.
    pub(crate) fn end(mut self) {
        self.strace.wait().unwrap();
        let mut called = counted(&self.counts);
        assert!(called.len() > 20, "nothing was watched: {called:?}");
        // Before it is in its jail it calls what it likes.
        self.before.retain(|name| EVERYBODY.iter().chain(CALLS).any(|call| call.name == name));
        called.append(&mut self.before);
        let rest = rest(&called, CALLS.iter(), UNUSED);
        let stale: Vec<_> = UNUSED.iter().filter(|(name, _)| !rest.contains(name)).collect();
        assert!(stale.is_empty(), "called, and said not to be: {stale:?}");
    }
}

/// Watches a process and all its threads until it ends; none where this may not be done.
pub(crate) fn watch(pid: u32, counts: &Path) -> Option<Child> {
    let mut strace = strace(counts).args(["-p", &pid.to_string()]).spawn().ok()?;
    let status = format!("/proc/{pid}/status");
    let is_watched = eventually("strace watches, or may not", Duration::from_secs(30), || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let traced = !text.contains("TracerPid:\t0\n");
        let refused = strace.try_wait().unwrap().is_some();
        (traced || refused).then_some(traced)
    });
    is_watched.then_some(strace)
}

/// Holds that what was called is on a list or everybody's, and that the rest of the list has its reason; returns the rest.
pub(crate) fn rest<'l>(
    called: &BTreeSet<String>,
    list: impl Iterator<Item = &'l Call>,
    reasons: &[(&str, &str)],
) -> Vec<&'l str> {
    let listed: Vec<&str> = EVERYBODY.iter().chain(list).map(|call| call.name).collect();
    let beyond: Vec<_> = called.iter().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(beyond.is_empty(), "called and not listed: {beyond:?}");
    let rest: Vec<_> = listed.into_iter().filter(|name| !called.contains(*name)).collect();
    let has_reason = |name: &&&str| reasons.iter().any(|(known, _)| known == *name);
    let missing: Vec<_> = rest.iter().filter(|name| !has_reason(name)).collect();
    assert!(missing.is_empty(), "listed, not called, and without a reason: {missing:?}");
    rest
}

/// Watches a share server that starts, measures a folder with a quota, and hears nothing.
fn start_and_end(home: &Home) -> Option<BTreeSet<String>> {
    let (folder, counts) = (home.scratch("shared"), home.scratch("start"));
    fs::create_dir_all(folder.join("below")).unwrap();
    put(&folder.join("below/file"), "a file");
    let (said, ended) =
        match share_server::start_and_end(strace(&counts), &folder, (None, Some(1 << 20))) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            ran => ran.unwrap(),
        };
    // Without a word it was not even started: nobody may watch here.
    if said.is_empty() {
        return None;
    }
    assert_eq!((said.as_str(), ended.status.code()), (IN_JAIL, Some(0)));
    Some(counted(&counts))
}

fn strace(counts: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-qq", "-o"]).arg(counts);
    command
}

/// Returns what strace counted.
pub(crate) fn counted(counts: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(counts).unwrap();
    let rows = text.lines().skip(2).take_while(|line| !line.starts_with('-'));
    rows.filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}
