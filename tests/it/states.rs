//! Homes that older programs left: read, brought forward, and never a reason to change anything.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use orchestrator::store::{self, Rows};
use serde_json::Value;
use tests::home::{Home, put};
use tests::processes::Alive;
use tests::programs::checkout;
use tests::run::{Run, bare, eventually};

/// The name of a fixture's files, and the schema that its program wrote.
const RELEASED: [(&str, u32); 1] = [("state-1", 1)];

/// A home of an older program, with processes that stand in for its runtimes.
struct Old {
    home: Home,
}

impl Old {
    fn new(name: &str) -> Self {
        let home = Home::process();
        let read = |ending: &str| {
            fs::read_to_string(checkout().join(format!("tests/fixtures/{name}.{ending}"))).unwrap()
        };
        home.write("Sandboxfile", &read("kdl"));
        let db = home.path().join("db");
        fs::create_dir(&db).unwrap();
        let sql = read("sql").replace("/FOLDER", &home.project().display().to_string());
        let sql = sql.replace("/HOME", &home.path().display().to_string());
        Rows::open(store::path(&home.path())).unwrap().execute_batch(&sql).unwrap();
        let more: Value = serde_json::from_str(&read("json")).unwrap();
        put_bytes(&db.join("digest.key"), more["digest_key"].as_str().unwrap());
        for (id, record) in more["records"].as_object().unwrap() {
            machine(&home, id, record.clone());
        }
        Self { home }
    }

    /// Runs `msb` with the variables that the file reads.
    fn msb<const N: usize>(&self, args: [&str; N]) -> Run {
        let mut command = self.home.command();
        command.args(args).env("STATE_TOKEN", "secret").env("STATE_TOKEN_NAME", "unused");
        self.home.spawn(command).wait(self.home.rung().patience())
    }

    fn schema(&self) -> String {
        let db = Rows::open(store::path(&self.home.path())).unwrap();
        let sql = "SELECT value FROM meta WHERE key = 'schema_version'";
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn put_bytes(path: &Path, hex: &str) {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
    store::atomic::write(path, &bytes).unwrap();
}

/// Lays a machine's folder; of one that ran, a process holds the lease that the record names.
fn machine(home: &Home, id: &str, mut record: Value) {
    let folder = home.path().join("machines").join(id);
    fs::create_dir_all(&folder).unwrap();
    let lease = folder.join("lease");
    put(&lease, "");
    if matches!(record["phase"].as_str(), Some("ready")) {
        let mut command = bare("sh");
        let hold = r#"exec 9<"$1"; flock 9; exec sleep 1000"#;
        command.args(["-c", hold, "sh"]).arg(&lease).env("PATH", "/usr/bin:/bin");
        let pid = started(command);
        let alive = eventually("the lease is held", Duration::from_secs(10), || {
            let alive = Alive::find(pid)?;
            alive.command.starts_with("sleep").then_some(alive)
        });
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        record["runtime"]["pid"] = pid.into();
        record["runtime"]["start_ticks"] = alive.start_ticks.into();
        record["runtime"]["boot_id"] = boot.trim_end().into();
    }
    put(&folder.join("launch"), "{}");
    put(&folder.join("record"), &record.to_string());
}

/// Starts a process that ends with the home.
fn started(mut command: Command) -> u32 {
    command.spawn().unwrap().id()
}

#[test]
fn sf_p4_a_new_msb_alone_is_never_a_diff() {
    for (name, schema) in RELEASED {
        let old = Old::new(name);
        // A reader takes it as it is.
        old.msb(["diff"]).exits(0).says(&["no changes"]);
        let ps = old.msb(["ps", "--all-projects"]).exits(0);
        for row in ["db ", "web ", "seed ", "last ", "tool "] {
            assert!(ps.stdout.contains(row), "{row}: {ps}");
        }
        assert!(!ps.stdout.contains('*'), "nothing differs from the file: {ps}");
        assert_eq!(old.schema(), schema.to_string());
        // Whoever changes something brings it forward first, and keeps what was.
        old.msb(["up"]).exits(0).says(&["Up: nothing to do, 7 unchanged"]);
        assert_eq!(old.schema(), store::migrate::VERSION.to_string());
        assert!(old.home.path().join(format!("db/msb.db.v{schema}.bak")).exists());
        old.msb(["diff"]).exits(0).says(&["no changes"]);
    }
}

#[test]
fn sf_s6_what_an_older_msb_defined_still_starts() {
    for (name, _) in RELEASED {
        let old = Old::new(name);
        old.msb(["inspect", "adhoc/tool"]).exits(0).says(&["builtin:base", "volume:adhoc/stuff"]);
        old.msb(["start", "tool"]).exits(0).says(&["tool  started"]);
        old.msb(["stop", "tool"]).exits(0);
    }
}

#[test]
fn sf_s6_an_edit_of_what_an_older_msb_brought_up_is_that_edit_alone() {
    for (name, _) in RELEASED {
        let old = Old::new(name);
        let file = fs::read_to_string(old.home.project().join("Sandboxfile")).unwrap();
        old.home.write("Sandboxfile", &file.replace("stop-grace \"3s\"", "stop-grace \"4s\""));
        let diff = old.msb(["diff"]).exits(2);
        assert!(diff.stdout.contains("stop-grace"), "{diff}");
        assert!(diff.stdout.contains("Plan: 1 live (6 unchanged)"), "{diff}");
    }
}
