//! A sandbox's whole life under the driver that is asked for, and what its VMM has of the host meanwhile.
//!
//! The lab runs these under libkrun, and under QEMU on KVM.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::hypervisor::krun::CALLS;
use runtime::jail::{LEADS_OUT, NETWORK};
use tests::home::{Home, put};
use tests::oracle::{nothing_lives, reversed};
use tests::run::eventually;
use tests::skip::skip;

use crate::calls::{counted, rest, watch};

const BOX: &str = r#"
project "life"
volume "rows" { kind "disk"; size "16MiB" }
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    stop-grace "1s"
    command "sh" "-c" "while true; do cat /shared/words | nc -l -p 80; done"
    mount "/shared" { dir "./shared" }
    mount "/etc/one" { file "./one" }
    mount "/rows" { named "rows" }
    port guest=80 host="auto"
}
"#;

/// Returns a home with the box, up.
fn up() -> Home {
    let home = Home::machine();
    home.write("Sandboxfile", BOX);
    fs::create_dir(home.project().join("shared")).unwrap();
    put(&home.project().join("shared/words"), "of the host\n");
    put(&home.project().join("one"), "alone\n");
    home.msb(["up"]).exits(0);
    home
}

/// Returns what the box's port says to who connects.
fn said(home: &Home) -> String {
    let port = home.sandbox("box")["ports"][0]["host"].as_u64().unwrap();
    let port = u16::try_from(port).unwrap();
    eventually("an answer of the port", Duration::from_secs(60), || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text).filter(|text| !text.is_empty())
    })
}

#[test]
fn a_sandbox_comes_up_is_used_seen_stopped_started_and_taken_down() {
    let home = up();
    let script = "cat /etc/one; echo of the guest > /shared/answer; echo kept > /rows/file; exit 3";
    home.msb(["exec", "box", "--", "sh", "-c", script]).exits(3).says(&["alone\n"]);
    assert_eq!(fs::read_to_string(home.project().join("shared/answer")).unwrap(), "of the guest\n");
    assert_eq!(said(&home), "of the host\n");
    // What a VMM does not tell in time is left out of a sample.
    eventually("all figures", Duration::from_secs(60), || {
        let figures = home.msb(["metrics", "box", "--json"]).exits(0).json()[0].clone();
        let names = [
            "vcpu_time_ns",
            "memory_bytes",
            "memory_host_resident_bytes",
            "disk_write_bytes",
            "net_tx_bytes",
        ];
        let all = names.iter().all(|name| figures[name].as_u64().is_some_and(|is| is > 0));
        all.then_some(())
    });
    home.msb(["up"]).exits(0).says(&["nothing to do"]);
    home.msb(["stop", "box"]).exits(0);
    nothing_lives(&home);
    home.msb(["up"]).exits(0);
    home.msb(["exec", "box", "--", "cat", "/rows/file"]).exits(0).says(&["kept\n"]);
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// The process of the box's machine.
struct Vmm {
    pid: u32,
    proc: PathBuf,
    is_qemu: bool,
}

impl Vmm {
    fn of(home: &Home) -> Self {
        let found = home.alive().into_iter().find(|one| one.command.contains("msb-vmm"));
        let found = found.unwrap_or_else(|| panic!("no machine: {:#?}", home.alive()));
        let is_qemu = found.command.contains("qemu");
        Self { pid: found.pid, proc: format!("/proc/{}", found.pid).into(), is_qemu }
    }

    /// Returns what it has open, by what that is.
    fn open(&self, home: &Home) -> BTreeMap<String, BTreeSet<PathBuf>> {
        let mut open: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for entry in fs::read_dir(self.proc.join("fd")).unwrap().flatten() {
            // One that was closed meanwhile is not held.
            let Ok(path) = fs::read_link(entry.path()) else { continue };
            assert!(!entry.path().is_dir(), "a folder is open: {}", path.display());
            open.entry(what(&path, home)).or_default().insert(path);
        }
        open
    }

    fn field(&self, file: &str, name: &str) -> String {
        let text = fs::read_to_string(self.proc.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
    }

    /// Returns the most that it may have of something, as `/proc/PID/limits` names it.
    fn limit(&self, name: &str) -> String {
        self.field("limits", name).split_whitespace().next().unwrap().to_owned()
    }
}

/// Says what an open file is, in a word.
fn what(path: &Path, home: &Home) -> String {
    let shown = path.to_string_lossy();
    let is_terminal = shown.starts_with("/pts/") || shown.starts_with("/dev/pts/") || shown == "/0";
    let below = |name: &str| path.starts_with(home.path().join(name));
    let name = path.file_name().map_or_else(|| shown.clone(), |name| name.to_string_lossy());
    match &*name {
        _ if shown.starts_with("socket:") => "socket".into(),
        _ if shown.starts_with("pipe:") => "pipe".into(),
        _ if shown.starts_with("anon_inode:kvm") => "a part of kvm".into(),
        _ if shown.starts_with("anon_inode:") => shown["anon_inode:".len()..].to_owned(),
        _ if is_terminal => "terminal".into(),
        _ if below("images/roots") => "root".into(),
        _ if below("volumes") => "volume".into(),
        "upper.ext4" | "lease" if below("machines") => name.into_owned(),
        "vmlinux" => "kernel".into(),
        cpio if cpio.ends_with(".cpio") => "initramfs".into(),
        "null" | "kvm" => name.into_owned(),
        _ => shown.into_owned(),
    }
}

/// What every VMM holds.
const HOLDS: [&str; 8] =
    ["null", "pipe", "socket", "kernel", "initramfs", "root", "upper.ext4", "lease"];

#[test]
fn s28_a_vmm_holds_only_what_it_was_given() {
    let home = up();
    let vmm = Vmm::of(&home);
    let open = vmm.open(&home);
    let kinds: BTreeSet<&str> = open.keys().map(String::as_str).collect();
    let own: &[&str] = match (vmm.is_qemu, open.contains_key("kvm")) {
        (true, false) => &["[eventfd]", "[eventpoll]", "[signalfd]"],
        (true, true) => &["[eventfd]", "[eventpoll]", "[signalfd]", "kvm", "a part of kvm"],
        (false, _) => &["[eventfd]", "[eventpoll]", "terminal", "a part of kvm"],
    };
    let given: BTreeSet<&str> = HOLDS.iter().chain(own).copied().chain(["volume"]).collect();
    assert_eq!(kinds, given, "{open:?}");
    // Agent, folders and network; of QEMU its console and what it is asked by too.
    assert_eq!(open["socket"].len(), if vmm.is_qemu { 5 } else { 3 }, "{open:?}");
    home.msb(["down"]).exits(0);
    reversed(&home);
}

#[test]
fn rt_13_3_a_vmm_is_in_every_layer_of_its_jail() {
    let home = up();
    let vmm = Vmm::of(&home);
    for (field, is) in [("CapEff:", 0), ("CapPrm:", 0), ("CapBnd:", 0), ("CapAmb:", 0)] {
        assert_eq!(u64::from_str_radix(&vmm.field("status", field), 16).unwrap(), is, "{field}");
    }
    assert_eq!(
        (vmm.field("status", "NoNewPrivs:"), vmm.field("status", "Seccomp:")),
        ("1".into(), "2".into())
    );
    for space in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let of = |proc: &Path| fs::read_link(proc.join("ns").join(space)).unwrap();
        assert_ne!(of(&vmm.proc), of(Path::new("/proc/self")), "{space}");
    }
    let root: BTreeSet<String> = fs::read_dir(vmm.proc.join("root"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let programs = ["usr", "bin", "lib", "lib32", "lib64", "libx32", "sbin"];
    let kept: Vec<&str> =
        ["proc", "dev"].into_iter().chain(programs.into_iter().filter(|_| vmm.is_qemu)).collect();
    assert!(root.iter().all(|name| kept.contains(&name.as_str())), "{root:?}");
    let largest = fs::metadata(home.path().join("volumes/life.rows/disk.raw")).unwrap().len();
    let upper = fs::read_dir(home.path().join("machines")).unwrap().flatten();
    let upper = upper.filter_map(|machine| fs::metadata(machine.path().join("upper.ext4")).ok());
    let largest = upper.map(|upper| upper.len()).max().unwrap().max(largest);
    for (limit, most) in [
        ("Max open files", "1024".to_owned()),
        ("Max core file size", "0".into()),
        ("Max locked memory", "0".into()),
        ("Max msgqueue size", "0".into()),
        ("Max file size", largest.to_string()),
    ] {
        assert_eq!(vmm.limit(limit), most, "{limit}");
    }
    let seen = home.msb(["inspect", "box", "--json"]).exits(0).json();
    assert_eq!(seen[0]["jail_missing"], serde_json::json!([]), "{seen}");
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// Tells whether whoever runs this has been given control groups to divide: those of the lab, or of a manager.
fn groups_are_given(home: &Home) -> bool {
    let doctor = home.msb(["doctor", "--json"]).json();
    let check = doctor["checks"].as_array().unwrap().iter().find(|it| it["id"] == "cgroups");
    let is_told = check.unwrap()["detail"].as_str().unwrap().contains("in a group below");
    // The lab's first process has handed both controllers on.
    assert!(is_told || tests::home::driver().is_none(), "{doctor}");
    is_told
}

#[test]
fn rt_13_3_a_vmm_is_in_a_control_group_where_one_is_given_and_the_group_goes_with_it() {
    let home = up();
    if !groups_are_given(&home) {
        home.msb(["down"]).exits(0);
        return skip("cgroups");
    }
    let group = |home: &Home| {
        let record = tests::machines::of(home).remove(0).record.unwrap();
        PathBuf::from(record.control_group.expect("a group was made"))
    };
    let (folder, vmm) = (group(&home), Vmm::of(&home));
    let told = |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
    // KVM may have a thread of the kernel's for each machine in there, which has no program.
    let programs = told("cgroup.procs");
    let programs = programs.lines().filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok());
    let vmm = vmm.proc.file_name().unwrap().to_str().unwrap();
    assert_eq!(programs.collect::<Vec<_>>(), [vmm]);
    // The guest's memory, what tables of it take, and the VMM's own.
    let most: u64 = told("memory.max").parse().unwrap();
    assert!((96 << 20..400 << 20).contains(&most), "{most}");
    assert_eq!(told("pids.max"), "257");
    assert_eq!(told("memory.events").lines().find(|line| line.starts_with("oom ")), Some("oom 0"));
    home.msb(["stop", "box"]).exits(0);
    eventually("no group", Duration::from_secs(10), || (!folder.exists()).then_some(()));
    // What a killed starter leaves is taken away by the next machine beside it.
    let left = folder.with_file_name("msb-left");
    fs::create_dir(&left).unwrap();
    home.msb(["up"]).exits(0);
    assert!(group(&home).exists() && !left.exists());
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// What is on libkrun's list and need not be called by a machine that is up, and why it is there. What a start calls
/// ends the start where it is missing, so that stands for itself.
const UNUSED: &[(&str, &str)] = &[
    ("brk", "the allocator, when it grows"),
    ("clock_gettime", "where the kernel's page for it is not mapped"),
    ("clock_nanosleep", "a thread that waits before it tries again"),
    ("clone", "at the start"),
    ("clone3", "at the start"),
    ("dup", "at the start"),
    ("epoll_create1", "at the start"),
    ("epoll_ctl", "at the start"),
    ("eventfd2", "at the start"),
    ("exit", "at the end, when nothing is counted any more"),
    ("exit_group", "at the end, when nothing is counted any more"),
    ("fallocate", "at the start"),
    ("fcntl", "at the start, and where debug assertions look at a descriptor"),
    ("fdatasync", "a disk whose guest flushes data alone"),
    ("fstatfs", "at the start"),
    ("getpid", "at the start"),
    ("gettid", "at the start"),
    ("lseek", "at the start"),
    ("mmap", "at the start"),
    ("mprotect", "at the start"),
    ("mremap", "the allocator, when a large list grows"),
    ("newfstatat", "at the start"),
    ("openat", "at the start"),
    ("prctl", "at the start"),
    ("pread64", "a disk that is read into one buffer"),
    ("pwrite64", "a disk that is written from one buffer"),
    ("readv", "a socket that is read into many buffers"),
    ("restart_syscall", "the kernel, when a wait goes on after a stop"),
    ("rseq", "at the start"),
    ("rt_sigaction", "at the start"),
    ("rt_sigreturn", "at the end, when nothing is counted any more"),
    ("sched_getaffinity", "at the start"),
    ("sched_yield", "at the start"),
    ("set_robust_list", "at the start"),
    ("setsockopt", "at the start"),
    ("statx", "at the start"),
    ("tgkill", "at the end, when nothing is counted any more"),
    ("writev", "a socket that is written from many buffers"),
];

#[test]
fn s2_a_vmm_calls_what_it_may_and_libkrun_no_less() {
    let home = up();
    let vmm = Vmm::of(&home);
    let counts = home.scratch("calls");
    let Some(mut strace) = watch(vmm.pid, &counts) else { return skip("S2") };
    let script = "dd if=/dev/zero of=/rows/file bs=64k count=32; cp /rows/file /shared/file; sync; free; cat";
    let mut session = home.command();
    session.args(["exec", "-i", "box", "--", "sh", "-c", script]);
    home.spawn(session).wait(home.rung().patience()).exits(0);
    assert_eq!(said(&home), "of the host\n");
    home.msb(["stop", "box"]).exits(0);
    strace.wait().unwrap();
    let called = counted(&counts);
    assert!(called.len() > 5, "nothing was watched: {called:?}");
    if vmm.is_qemu {
        let refused = LEADS_OUT.iter().chain(NETWORK).map(|call| call.name);
        let asked: Vec<_> = refused.filter(|name| called.contains(*name)).collect();
        assert!(asked.is_empty(), "refused, and needed: {asked:?}");
    } else {
        rest(&called, CALLS.iter(), UNUSED);
    }
    home.msb(["down"]).exits(0);
    reversed(&home);
}

/// Starts a program where no network namespace can be made any more.
const WITHOUT_NETWORKS: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_net_namespaces && exec \"$0\" \"$@\"",
];

#[test]
fn rt_13_3_what_a_host_refuses_of_the_jail_is_told_and_ends_a_start_that_requires_all_of_it() {
    let mut home = Home::machine();
    home.write(
        "Sandboxfile",
        "project \"bare\"\nsandbox \"box\" { image \"builtin:base\"; memory \"96MiB\"; command \"sleep\" \"1000\" }",
    );
    home.go_through(&WITHOUT_NETWORKS);
    let lacks = ["the jail lacks VMM: namespaces: ", "VMM: root: ", "hint: "];
    home.msb(["up", "--require-jail"]).exits(1).complains(&lacks);
    nothing_lives(&home);
    home.msb(["up"]).exits(0);
    let seen = home.msb(["inspect", "box", "--json"]).exits(0).json();
    let missing = seen[0]["jail_missing"].to_string();
    assert!(missing.contains("VMM: namespaces: ") && missing.contains("VMM: root: "), "{missing}");
    home.msb(["doctor"]).says(&["user-namespaces", "it is not so that a VMM"]);
    home.msb(["down"]).exits(0);
    reversed(&home);
    let mut once = Home::machine();
    once.go_through(&WITHOUT_NETWORKS);
    let run = ["run", "--rm", "--require-jail", "builtin:base", "--", "true"];
    once.msb(run).exits(77).complains(&lacks);
    nothing_lives(&once);
}
