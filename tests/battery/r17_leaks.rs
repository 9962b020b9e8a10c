//! R17: nothing leaks over time.
//!
//! A sandbox that stays is used, while others beside it come, change, are killed and go, at random. Whenever the
//! others are gone, the one that stayed has the descriptors that it had, the home its files, and memory does not grow.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tests::chance::{Chance, SEED, seed};
use tests::home::{Home, Rung};
use tests::machines::{self, vmm};
use tests::matrix::{is_whole, say};
use tests::oracle::{clean, nothing_lives};
use tests::processes::memory_kib;
use tests::run::eventually;

/// How long everything goes on at night.
const NIGHT: Duration = Duration::from_secs(2 * 3600);

/// What memory may grow by in an hour, and what it may differ from one look to the next.
const KIB_PER_HOUR_MAX: i64 = 1024;
const KIB_NOISE: i64 = 1536;

/// How much happens between two looks.
const DEEDS: usize = 12;

const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn r17_processes_leak_nothing() {
    goes_on(&Home::process(), Duration::from_secs(40));
}

#[test]
fn r17_machines_leak_nothing() {
    goes_on(&Home::machine(), Duration::from_secs(30));
}

fn goes_on(home: &Home, short: Duration) {
    let whole = if is_whole() { NIGHT } else { short };
    let seed = seed();
    println!("R17: {SEED}={seed}");
    let mut chance = Chance::of(seed);
    let stays = ["create", "-n", "stays", "-m", "96MiB", "--restart", "on-failure"];
    home.msb_with(&[&stays[..], &["builtin:base", "--", "sleep", "1000000"]].concat()).exits(0);
    // Once everything, so that what is made once is there.
    for deed in 0..KINDS {
        do_one(home, &mut chance, deed);
    }
    let mut looks = vec![Look::take(home)];
    let began = seconds();
    while seconds() - began < whole.as_secs() || looks.len() < 3 {
        for _ in 0..DEEDS {
            let deed = chance.below(KINDS);
            do_one(home, &mut chance, deed);
        }
        looks.push(Look::take(home));
    }
    let took = seconds() - began;
    judge(home.rung(), &looks, took);
    home.msb(["rm", "-f", "adhoc/stays"]).exits(0);
    nothing_lives(home);
}

/// What is counted at a moment at which only one sandbox runs.
struct Look {
    descriptors: [usize; 2],
    memory_kib: [i64; 2],
    files: BTreeSet<PathBuf>,
}

impl Look {
    /// Takes everything down but the one that stays, and counts.
    fn take(home: &Home) -> Self {
        home.msb(["down"]).exits(0);
        clean(home);
        let folder = machines::of(home).into_iter().find(machines::Folder::lives);
        let runtime = folder.and_then(|folder| folder.record).unwrap().runtime.pid;
        let pids = [runtime, vmm(home, "stays").pid];
        // What was closed last may be on its way.
        let descriptors = eventually("nothing more is closed", Duration::from_secs(5), || {
            let now = pids.map(descriptors);
            tests::run::pause(Duration::from_millis(100));
            (now == pids.map(descriptors)).then_some(now)
        });
        let mut files = BTreeSet::new();
        list(&home.path(), &mut files);
        Self { descriptors, memory_kib: pids.map(own_kib), files }
    }
}

fn judge(rung: Rung, looks: &[Look], took: u64) {
    let (first, last) = (&looks[0], &looks[looks.len() - 1]);
    assert_eq!(first.descriptors, last.descriptors, "descriptors of runtime and machine");
    let more: Vec<_> = last.files.difference(&first.files).collect();
    assert!(more.is_empty(), "files that were not there: {more:#?}");
    // The first third is for what a program keeps once it has needed it.
    let grew = [0, 1].map(|of| {
        let memory: Vec<i64> = looks.iter().map(|look| look.memory_kib[of]).collect();
        let third = memory.len().div_ceil(3);
        let mean = |some: &[i64]| some.iter().sum::<i64>() / i64::try_from(some.len()).unwrap();
        mean(&memory[memory.len() - third..]) - mean(&memory[third - 1..2 * third - 1])
    });
    let hours_thousandths = i64::try_from(took).unwrap() * 1000 / 3600;
    let most = KIB_NOISE + KIB_PER_HOUR_MAX * hours_thousandths / 1000;
    // A machine's memory is its guest's, and is taken as the guest needs it.
    let judged = if rung == Rung::Machine { &grew[..1] } else { &grew[..] };
    for grew in judged {
        assert!(*grew <= most, "memory of runtime and machine grew by {grew} KiB in {took} s");
    }
    say(&format!(
        "R17: {took} s of everything, {rung:?}: {} looks, {:?} descriptors, {} files, {:?} KiB more",
        looks.len(),
        last.descriptors,
        last.files.len(),
        grew
    ));
}

/// How many kinds of deeds there are.
const KINDS: usize = 12;

/// Does something; what it comes to depends on what was done before, and is no matter here.
fn do_one(home: &Home, chance: &mut Chance, deed: usize) {
    let name = NAMES[chance.below(NAMES.len())];
    let run = match deed {
        0..=2 => {
            let (memory, count) = (96 + 32 * chance.below(2), 1 + chance.below(NAMES.len()));
            home.write("Sandboxfile", &project(memory, count));
            home.msb(["up", "-y"]).exits(0)
        }
        3 => home.msb(["kill", name]),
        4 => home.msb(["restart", name]),
        5 => home.msb(["stop", name]),
        6 => home.msb(["down"]).exits(0),
        7 => home.msb(["exec", name, "--", "sh", "-c", "seq 1 2000; exit 3"]),
        8 => home.msb(["exec", "adhoc/stays", "--", "sh", "-c", "seq 1 20000"]).exits(0),
        9 => {
            let words = ["exec", "adhoc/stays", "--", "sh", "-c", "seq 1 100000; sleep 1000"];
            let delay = Duration::from_millis(u64::try_from(50 + chance.below(400)).unwrap());
            home.start(words).kill_after(delay)
        }
        10 => home.msb(["cp", "adhoc/stays:/etc/passwd", "passwd"]),
        _ => {
            home.msb(["inspect", "adhoc/stays"]).exits(0);
            home.msb(["logs", "adhoc/stays", "--tail", "10"]).exits(0);
            home.msb(["touch", "adhoc/stays"]).exits(0)
        }
    };
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("internal::bug"), "{run}");
}

fn project(memory: usize, count: usize) -> String {
    let one = |name: &str| {
        format!(
            "sandbox \"{name}\" {{ image \"builtin:base\"; memory \"{memory}MiB\"; \
             stop-grace \"1s\"; command \"sleep\" \"100000\" }}\n"
        )
    };
    let sandboxes: String = NAMES[..count].iter().map(|name| one(name)).collect();
    format!("project \"leaks\"\n{sandboxes}")
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Returns the memory that is a process's own.
fn own_kib(pid: u32) -> i64 {
    i64::try_from(memory_kib(pid, "RssAnon").unwrap()).unwrap()
}

/// Lists the files below a folder; logs are renamed while they are written, up to their caps.
fn list(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            list(&entry.path(), files);
        }
        if !entry.file_name().to_string_lossy().contains(".log.") {
            files.insert(entry.path());
        }
    }
}

fn seconds() -> u64 {
    clock_gettime(ClockId::Monotonic).tv_sec.unsigned_abs()
}
