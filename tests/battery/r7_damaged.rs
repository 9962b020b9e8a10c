//! R7: a damaged database is never read as "nothing runs".
//!
//! One home whose machines run; its database is damaged in one way after the other. A command
//! either answers as it did before, or it refuses with advice; no machine is touched, and with
//! the database put back everything is as it was.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;
use tests::chance::Chance;
use tests::home::Home;
use tests::matrix::{self, Matrix};
use tests::mounts::Mounts;
use tests::oracle::{converged, pids, reversed};
use tests::run::Run;
use tests::scenes::TRIO;
use tests::skip::skip;
use tests::tracer::{Fault, Plan, Victim, Which, may_trace, trace};

/// How many cases are walked in every run.
const SHARE: usize = 60;

/// SQLite's page, as our databases have it.
const PAGE: u64 = 4096;

/// What is done to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Harm {
    /// One byte of a page is another.
    Flip { at: u64 },
    /// The file ends early.
    Cut { at: u64 },
    /// One of the files is gone.
    Gone(&'static str),
    /// The header is zeros.
    NoHeader,
    /// The file is empty.
    Empty,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flip { at } => write!(f, "a byte flipped at {at}"),
            Self::Cut { at } => write!(f, "cut at {at}"),
            Self::Gone(name) => write!(f, "{name} removed"),
            Self::NoHeader => write!(f, "the header zeroed"),
            Self::Empty => write!(f, "emptied"),
        }
    }
}

impl matrix::Case for Harm {
    fn kind(&self) -> String {
        match self {
            Self::Flip { at } if *at < PAGE => "flip first".to_owned(),
            Self::Flip { .. } => "flip".to_owned(),
            Self::Cut { .. } => "cut".to_owned(),
            other => other.to_string(),
        }
    }
}

/// A home whose machines run, with its database kept aside.
struct House {
    home: Home,
    kept: PathBuf,
    machines: Vec<(String, u32, u64)>,
    rows: Vec<Value>,
}

impl House {
    /// Makes one; `killed` leaves the write-ahead log as a command that was killed does.
    fn new(killed: bool) -> Self {
        let home = Home::process();
        home.write("Sandboxfile", TRIO);
        if killed {
            killed_before_its_log_was_merged(&home);
        } else {
            home.msb(["up"]).exits(0);
        }
        let kept = home.scratch("kept");
        copy(&home.path().join("db"), &kept);
        let machines: Vec<_> = pids(&home).into_iter().collect();
        let rows = steady(home.ps());
        assert_eq!((machines.len(), rows.len()), (2, 3), "two services run, a job has ended");
        copy(&kept, &home.path().join("db"));
        Self { home, kept, machines, rows }
    }

    fn put_back(&self) {
        copy(&self.kept, &self.home.path().join("db"));
    }

    /// Holds that every command answers as before or refuses with advice, and touches no machine.
    fn bears(&self, what: &str) {
        let list = self.home.msb(["ps", "--output", "json"]);
        if self.answers(&list, what) {
            let rows = list.json().as_array().cloned().unwrap_or_default();
            assert_eq!(steady(rows), self.rows, "{what}: ps tells something else: {list}");
        }
        let all = self.home.msb(["list", "-q"]);
        if self.answers(&all, what) {
            assert_eq!(all.stdout.lines().count(), 3, "{what}: {all}");
        }
        let diff = self.home.msb(["diff"]);
        if self.answers(&diff, what) {
            assert!(diff.stdout.contains("no changes"), "{what}: {diff}");
        }
        let up = self.home.msb(["up"]);
        if self.answers(&up, what) {
            assert!(up.stdout.contains("nothing to do"), "{what}: {up}");
        }
        self.is_whole(what);
    }

    fn is_whole(&self, what: &str) {
        let now: Vec<_> = pids(&self.home).into_iter().collect();
        assert_eq!(now, self.machines, "{what}: a machine was touched");
    }

    /// Tells whether a command did not refuse; it refuses with a code and with advice.
    fn answers(&self, run: &Run, what: &str) -> bool {
        if run.code == 0 {
            return true;
        }
        let is_refused = run.code == 1
            && run.stderr.contains("msb::state::")
            // In JSON it is a list with something in it.
            && (run.stderr.contains("hint: ") || run.stderr.contains("\"hints\":[\""));
        assert!(is_refused, "{what}: neither an answer nor a refusal with advice: {run}");
        self.is_whole(what);
        false
    }
}

/// Brings a project up by a command that is killed when all is done and only the last thing is
/// not: to carry the write-ahead log over into the database.
fn killed_before_its_log_was_merged(home: &Home) {
    let plan = |fault| Plan { victim: Victim::Msb, running: None, which: Which::Changing, fault };
    let run = |home: &Home, fault| {
        let mut up = home.command();
        up.arg("up");
        trace(&up, &home.scratch("up"), &plan(fault), home.rung().patience())
    };
    let other = Home::process();
    other.write("Sandboxfile", TRIO);
    let seen = run(&other, None).seen;
    let last = seen
        .iter()
        .rposition(|seen| seen.about.ends_with("msb.db-wal") && seen.point.call == "pwrite64");
    let after = &seen[last.expect("an up writes")..];
    let merge = after.iter().find(|seen| seen.about.ends_with("/msb.db")).expect("it is merged");
    run(home, Some((merge.point.clone(), Fault::Kill)));
}

/// Leaves out what passes with time.
fn steady(mut rows: Vec<Value>) -> Vec<Value> {
    for row in &mut rows {
        row["uptime_ms"] = Value::Null;
    }
    rows
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn harm(folder: &Path, harm: &Harm) {
    let path = folder.join("msb.db");
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    match harm {
        Harm::Flip { at } => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, *at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x55], *at).unwrap();
        }
        Harm::Cut { at } => file.set_len(*at).unwrap(),
        Harm::Gone(name) => fs::remove_file(folder.join(name)).unwrap(),
        Harm::NoHeader => file.write_all_at(&[0; 100], 0).unwrap(),
        Harm::Empty => file.set_len(0).unwrap(),
    }
}

/// One byte of each page, and each place at which a disk may have stopped.
fn harms(folder: &Path, chance: &mut Chance) -> Vec<Harm> {
    let length = fs::metadata(folder.join("msb.db")).unwrap().len();
    let mut harms = vec![Harm::NoHeader, Harm::Empty];
    for page in 0..length / PAGE {
        for _ in 0..FLIPS {
            let within = u64::try_from(chance.below(usize::try_from(PAGE).unwrap())).unwrap();
            harms.push(Harm::Flip { at: page * PAGE + within });
        }
    }
    harms.extend((1..length / 512).map(|sector| Harm::Cut { at: sector * 512 }));
    harms
}

/// How many bytes of each page are flipped, one at a time.
const FLIPS: usize = 20;

fn walk(id: &'static str, house: House, cases: &[Harm], share: usize) -> String {
    let matrix = Matrix::of(id);
    let house = Mutex::new(house);
    let tally = matrix.walk(cases, share, |case| {
        // One home, so one case at a time; a case that failed does not spoil the next.
        let house = house.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        house.put_back();
        harm(&house.home.path().join("db"), case);
        house.bears(&case.to_string());
    });
    let house = house.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    house.put_back();
    house.is_whole("put back");
    converged(&house.home);
    reversed(&house.home);
    let of = if tally.walked == tally.all { String::new() } else { format!(" of {}", tally.all) };
    format!("{tally}{of} damages refused with advice or without effect")
}

#[test]
fn r7_a_damaged_database_is_refused_or_has_no_effect() {
    let house = House::new(false);
    let cases = harms(&house.kept, &mut Matrix::of("R7").chance());
    let sum = walk("R7", house, &cases, SHARE);
    Matrix::of("R7").say(&sum);
}

#[test]
fn r7_a_lost_write_ahead_log_is_never_read_as_nothing() {
    if !may_trace() {
        return skip("R7-log");
    }
    let house = House::new(true);
    assert!(house.kept.join("msb.db-wal").exists(), "a killed command leaves its log");
    let cases =
        [Harm::Gone("msb.db-wal"), Harm::Gone("msb.db-shm"), Harm::Gone("msb.db"), Harm::Empty];
    println!("{}", walk("R7-log", house, &cases, cases.len()));
}

#[test]
fn r7_a_missing_database_is_made_anew_from_what_the_runtimes_record() {
    let house = House::new(false);
    let home = &house.home;
    fs::remove_dir_all(home.path().join("db")).unwrap();
    for words in [&["ps"][..], &["up"], &["down"], &["diff"]] {
        let run = home.msb_with(words).exits(1);
        let run = run.complains(&["msb::state::", "hint: ", "msb setup"]);
        assert!(!home.path().join("db/msb.db").exists(), "{words:?} made an empty one: {run}");
    }
    house.is_whole("refused");
    // There is no kernel in this home, so the rest of the set-up fails; the state is there.
    home.msb(["setup"]).says(&["state"]);
    house.is_whole("made anew");
    let rows = steady(home.ps());
    for (before, now) in house.rows.iter().zip(&rows) {
        for key in ["name", "project", "kind", "phase", "id", "pid"] {
            assert_eq!(before[key], now[key], "{key}: {before} → {now}");
        }
    }
    home.msb(["volume", "list"]).exits(0).says(&["data"]);
    converged(home);
    house.is_whole("an up of the same file changes nothing");
    reversed(home);
}

#[test]
fn r7_a_database_of_a_newer_msb_is_refused_with_both_versions() {
    let house = House::new(false);
    let path = house.home.path().join("db/msb.db");
    let sql = "UPDATE meta SET value = '9' WHERE key IN ('schema_version', 'min_reader')";
    orchestrator::store::Store::open(&house.home.path(), 0)
        .and_then(|mut store| store.write(|db| Ok(db.execute_batch(sql))))
        .unwrap()
        .unwrap();
    for words in [&["ps"][..], &["up"], &["down"], &["diff"]] {
        house.home.msb_with(words).exits(1).complains(&["msb::state::newer", "schema 9", "hint: "]);
    }
    house.is_whole("newer");
    assert!(path.exists());
    house.put_back();
    converged(&house.home);
    reversed(&house.home);
}

#[test]
fn r7_a_database_that_cannot_be_written_is_still_read() {
    let Some(mounts) = Mounts::own() else { return skip("R7-read-only") };
    let house = House::new(false);
    let folder = house.home.path().join("db");
    mounts.read_only(&folder);
    assert_eq!(steady(house.home.ps()), house.rows, "what can be read is told");
    for words in [&["up"][..], &["down"]] {
        let run = house.home.msb_with(words).exits(1).complains(&["msb::state::", "hint: "]);
        assert!(run.stderr.contains(&folder.display().to_string()), "{run}");
    }
    house.is_whole("read-only");
    mounts.take_away(&folder);
    converged(&house.home);
    reversed(&house.home);
}

#[test]
fn r7_a_database_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return skip("R7-foreign");
    }
    let house = House::new(false);
    for path in ["db/msb.db", "db", ""] {
        let path = house.home.path().join(path);
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        for words in [&["up"][..], &["ps"], &["down"]] {
            let run = house.home.msb_with(words).exits(77);
            run.complains(&["msb::home::foreign", "12345", "hint: "]);
        }
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
    house.is_whole("foreign");
    converged(&house.home);
    reversed(&house.home);
}

#[test]
fn r7_a_file_of_another_program_is_refused() {
    let house = House::new(false);
    let path = house.home.path().join("db/msb.db");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&[b'x'; 8192]).unwrap();
    house.bears("another program's file");
    house.put_back();
    converged(&house.home);
    reversed(&house.home);
}
