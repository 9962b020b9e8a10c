//! R2: a system call that fails is reported with its step and its cause, and harms nothing.
//!
//! As R1, but the call is answered with an error, and the command goes on as it sees fit: it ends
//! well where that call does not matter, and otherwise it says what failed. Afterwards the next
//! run puts everything in order.

use std::fmt;
use std::io;
use std::sync::Arc;

use tests::home::Home;
use tests::matrix::{self, Matrix};
use tests::oracle::{Bare, Watch, gone, single};
use tests::run::Run;
use tests::scenes::Scene;
use tests::skip::skip;
use tests::tracer::{Fault, Point, Seen, Traced, Victim, Which, may_trace};

/// How many cases are walked in every run.
const SHARE: usize = 100;

/// A command, and what one of its calls is answered with.
struct Case {
    scene: Scene,
    point: Point,
    errno: i32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.scene, self.point, Fault::Refuse(self.errno))
    }
}

impl matrix::Case for Case {
    fn kind(&self) -> String {
        format!("{} {} {} {}", self.scene, self.point.victim, self.point.call, self.errno)
    }
}

/// Whose calls fail in which command.
const VICTIMS: &[(Scene, Victim)] = &[
    (Scene::Up, Victim::Msb),
    (Scene::Up, Victim::Runtime(1)),
    (Scene::Up, Victim::Runtime(2)),
    (Scene::Up, Victim::Builder(1)),
    (Scene::Replace, Victim::Msb),
    (Scene::Down, Victim::Msb),
    (Scene::Down, Victim::Of("web")),
    (Scene::Load, Victim::Msb),
    (Scene::Exec, Victim::Msb),
];

#[test]
fn r2_a_call_that_fails_is_reported_and_harms_nothing() {
    if !may_trace() {
        skip("R2");
        return;
    }
    let matrix = Matrix::of("R2");
    let mut cases = Vec::new();
    for (scene, victim) in VICTIMS {
        cases.extend(points(*scene, *victim));
    }
    let tally = matrix.walk(&cases, SHARE, walk);
    let of = if tally.walked == tally.all { String::new() } else { format!(" of {}", tally.all) };
    matrix.say(&format!("{tally}{of} failing calls reported and got over"));
}

/// Returns every call of a command that can fail, with each of its errors.
fn points(scene: Scene, victim: Victim) -> Vec<Case> {
    let home = Home::process();
    scene.set(&home);
    let traced = scene.trace(&home, (victim, Which::Failing), None);
    assert_eq!(traced.run.code, 0, "the reference of {scene} is to end well: {}", traced.run);
    let case = |point: &Point, errno| Case { scene, point: point.clone(), errno };
    let each = |seen: &Seen| -> Vec<Case> {
        seen.errors.iter().map(|errno| case(&seen.point, *errno)).collect()
    };
    traced.seen.iter().flat_map(each).collect()
}

fn walk(case: &Case) {
    let home = Arc::new(Home::process());
    let bare = Bare::note(&home);
    case.scene.set(&home);
    let watch = Watch::begin(&home);
    let untouched = case.scene.untouched(&home, case.point.victim);
    let fault = Some((case.point.clone(), Fault::Refuse(case.errno)));
    let traced = case.scene.trace(&home, (case.point.victim, Which::Failing), fault);
    judge(case, &traced);
    single(&home);
    case.scene.again(&home);
    case.scene.came_true(&home);
    untouched.holds(&home);
    home.msb(["down"]).exits(0);
    gone(&home);
    bare.holds(&home);
    watch.end();
}

/// Holds that the command ended well, or said what failed and why.
fn judge(case: &Case, traced: &Traced) {
    let (run, hit) = (&traced.run, traced.hit.as_ref());
    let about = hit.map_or_else(String::new, ToString::to_string);
    assert!(!traced.timed_out, "it hangs after {about}: {run}");
    assert!(hit.is_some() || run.code == 0, "the call was never made: {run}");
    // Rust's own library ends a process that has no memory for a thread.
    if run.code == 134 && case.point.call == "mmap" && run.stderr.contains("alloca") {
        return;
    }
    // So does a runtime's; it says so in its own words, and they are told.
    let is_std = case.point.call == "mmap" && run.stderr.contains("alternative stack");
    assert!(is_std || !run.stderr.contains("panicked"), "it panics after {about}: {run}");
    match run.code {
        0 => {}
        // 65 where it is the Sandboxfile that cannot be read.
        1 | 65 => assert!(says_why(case, run), "step or cause is missing after {about}: {run}"),
        _ => panic!("exit {} after {about}: {run}", run.code),
    }
}

/// Tells whether a failure names its step and what the kernel said.
fn says_why(case: &Case, run: &Run) -> bool {
    let told = ["error: ", "  stage: ", "  code: msb::"];
    let words = |errno| io::Error::from_raw_os_error(errno).to_string();
    let mut causes = vec![words(case.errno)];
    // A panic of the event loop's library says it in Rust's words.
    causes.push(format!("code: {}, ", case.errno));
    // A thread that cannot be had is always told so.
    if ["mmap", "clone", "clone3"].contains(&case.point.call) {
        causes.push(words(libc::EAGAIN));
    }
    causes.extend(SQLITES.iter().map(ToString::to_string));
    told.iter().all(|part| run.stderr.contains(part))
        && causes.iter().any(|cause| run.stderr.contains(cause))
}

/// How SQLite words what the kernel told it.
const SQLITES: [&str; 8] = [
    "disk I/O error",
    "attempt to write a readonly database",
    "database or disk is full",
    "unable to open database file",
    "database disk image is malformed",
    "can be read and not written",
    "locking protocol",
    "database is locked",
];
