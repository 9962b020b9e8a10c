//! R9: cleaning up does not stop at the first obstacle.
//!
//! `down` meets a folder that something is mounted on, a file that cannot be deleted, a runtime
//! that does not answer. The rest goes, what is left is named, and the next `down` finishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tests::home::{Home, put};
use tests::mounts::Mounts;
use tests::oracle::{gone, pids};
use tests::processes::Alive;
use tests::run::Run;
use tests::skip::skip;

/// One that needs another, and two that need nobody.
const FOUR: &str = r#"
project "four"
volume "data" { kind "disk"; size "16MiB" }
sandbox "db" { image "builtin:base"; command "sleep" "1000"; mount "/data" { named "data" } }
sandbox "web" { image "builtin:base"; command "sleep" "1000"; depends-on "db" }
sandbox "cache" { image "builtin:base"; command "sleep" "1000" }
job "seed" { image "builtin:base"; command "true" }
"#;

fn up() -> Home {
    let home = Home::process();
    home.write("Sandboxfile", FOUR);
    home.msb(["up"]).exits(0);
    put(&kept(&home), "what a guest wrote");
    home
}

/// Holds that everything but `name` went, that it is named, and that the next `down` finishes.
fn went_on(home: &Home, run: &Run, name: &str, clear: impl FnOnce()) {
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains(name) && run.stderr.contains(&format!("error: {name}: ")), "{run}");
    let left: Vec<_> = home.ps().iter().map(|row| row["name"].to_string()).collect();
    assert!(left.contains(&format!("\"{name}\"")), "{left:?}");
    for other in ["cache", "seed"] {
        assert!(!left.contains(&format!("\"{other}\"")), "{other} was in nobody's way: {run}");
    }
    assert!(kept(home).exists(), "the volume is gone");
    clear();
    home.msb(["down"]).exits(0);
    gone(home);
    assert!(kept(home).exists(), "the volume is gone");
}

fn kept(home: &Home) -> PathBuf {
    home.path().join("volumes/four.data/process/kept")
}

/// Returns the folder of a sandbox's machine.
fn folder(home: &Home, name: &str) -> PathBuf {
    let id = home.sandbox(name)["id"].as_str().map(str::to_owned).expect("it has a machine");
    home.path().join("machines").join(id)
}

#[test]
fn r9_a_busy_mount_stops_only_its_own_sandbox() {
    let Some(mounts) = Mounts::own() else { return skip("R9-mount") };
    let home = up();
    let busy = folder(&home, "web").join("root/busy");
    fs::create_dir_all(&busy).unwrap();
    mounts.tmpfs(&busy, 1);
    let run = home.msb(["down"]);
    // The folder has another name by now, and the mount went with it.
    let moved = mounted(&home.path());
    went_on(&home, &run, "web", || mounts.take_away(&moved));
}

#[test]
fn r9_a_file_that_cannot_be_deleted_stops_only_its_own_sandbox() {
    let home = up();
    let stuck = folder(&home, "db").join("root/stuck");
    put(&stuck, "");
    if !chattr("+i", &stuck) {
        return skip("R9-immutable");
    }
    let run = home.msb(["down"]);
    let stuck = find(&home.path().join("machines"), "stuck").expect("it is still there");
    went_on(&home, &run, "db", || assert!(chattr("-i", &stuck)));
}

#[test]
fn r9_a_runtime_that_does_not_answer_stops_only_its_own_sandbox() {
    let home = up();
    let pid = i32::try_from(home.sandbox("web")["pid"].as_i64().unwrap()).unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let run = home.msb(["down", "--timeout", "1s"]);
    // Nothing may need a runtime to be away, so what is left is told and nothing else is.
    went_on(&home, &run, "web", || kill_process(pid, Signal::CONT).unwrap());
}

#[test]
fn r9_a_machine_that_was_killed_is_cleaned_up_like_any_other() {
    let home = up();
    for (_, pid, _) in pids(&home) {
        Alive::find(pid).unwrap().kill();
    }
    home.msb(["down"]).exits(0).says(&["db", "web", "cache", "seed"]);
    gone(&home);
    assert!(kept(&home).exists());
}

/// Sets or clears an attribute; tells whether the file system has it.
fn chattr(how: &str, path: &Path) -> bool {
    let done = Command::new("chattr").arg(how).arg(path).output();
    done.is_ok_and(|output| output.status.success())
}

fn mounted(root: &Path) -> PathBuf {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let paths = text.lines().filter_map(|line| line.split_whitespace().nth(4));
    let found = paths.map(PathBuf::from).find(|path| path.starts_with(root));
    found.expect("the mount is still there")
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if entry.file_name() == name {
            return Some(path);
        }
        if let (true, Some(found)) = (path.is_dir(), find(&path, name)) {
            return Some(found);
        }
    }
    None
}
