//! R1: a command that is killed at any instruction is finished by the next run.
//!
//! A reference run lists every call that changes what others can see. For each of them a home of
//! its own is brought to where the command begins, the command is killed right there, and the
//! next one must put everything in order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tests::home::Home;
use tests::matrix::{self, Matrix, Tally};
use tests::oracle::{Bare, Watch, gone, single};
use tests::programs;
use tests::registry::Registry;
use tests::scenes::{PULLED, Scene};
use tests::skip::skip;
use tests::tracer::{Fault, Point, Victim, Which, may_trace};

/// How many points are walked in every run.
const SHARE: usize = 150;

/// A command, and the moment at which it is killed.
struct Case {
    scene: Scene,
    point: Point,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.scene, self.point)
    }
}

impl matrix::Case for Case {
    fn kind(&self) -> String {
        format!("{} {} {}", self.scene, self.point.victim, self.point.call)
    }
}

/// Who is killed in which command, besides those that pull.
const VICTIMS: &[(Scene, Victim)] = &[
    (Scene::Up, Victim::Msb),
    (Scene::Up, Victim::Runtime(1)),
    (Scene::Up, Victim::Runtime(2)),
    (Scene::Up, Victim::Runtime(3)),
    (Scene::Up, Victim::Builder(1)),
    (Scene::Replace, Victim::Msb),
    (Scene::Replace, Victim::Runtime(1)),
    (Scene::Replace, Victim::Of("db")),
    (Scene::Down, Victim::Msb),
    (Scene::Down, Victim::Of("db")),
    (Scene::Down, Victim::Of("web")),
    (Scene::Load, Victim::Msb),
    (Scene::Load, Victim::Builder(1)),
    (Scene::Prune, Victim::Msb),
    (Scene::Exec, Victim::Msb),
    (Scene::Exec, Victim::Of("db")),
];

#[test]
fn r1_a_command_killed_at_any_call_is_finished_by_the_next() {
    if !may_trace() {
        skip("R1");
        return;
    }
    let matrix = Matrix::of("R1");
    // All pull from one, and nobody pushes meanwhile.
    let registry = Registry::plain();
    registry.push(&programs::folder().join("base.oci.tar"), PULLED);
    let pull = Scene::Pull { port: registry.port() };
    let pulls = [(pull, Victim::Msb), (pull, Victim::Builder(1))];
    let mut cases = Vec::new();
    for (scene, victim) in VICTIMS.iter().chain(&pulls) {
        cases.extend(points(*scene, *victim));
    }
    // Threads race, so a run may make one call less than the reference did.
    let ended_before = AtomicUsize::new(0);
    let tally = matrix.walk(&cases, SHARE, |case| {
        if walk(case) == Came::NotSoFar {
            ended_before.fetch_add(1, Ordering::Relaxed);
        }
    });
    matrix.say(&sentence(&cases, tally, ended_before.into_inner()));
}

/// Returns every point of a command.
fn points(scene: Scene, victim: Victim) -> Vec<Case> {
    let home = Home::process();
    scene.set(&home);
    let traced = scene.trace(&home, (victim, Which::Changing), None);
    assert_eq!(traced.run.code, 0, "the reference of {scene} is to end well: {}", traced.run);
    for seen in &traced.seen {
        println!("{scene}: {seen}");
    }
    traced.seen.into_iter().map(|seen| Case { scene, point: seen.point }).collect()
}

/// Whether the command came to the point at which it was to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    ThereAndDied,
    NotSoFar,
}

fn walk(case: &Case) -> Came {
    let home = Arc::new(Home::process());
    let bare = Bare::note(&home);
    case.scene.set(&home);
    let watch = Watch::begin(&home);
    let untouched = case.scene.untouched(&home, case.point.victim);
    let fault = Some((case.point.clone(), Fault::Kill));
    let traced = case.scene.trace(&home, (case.point.victim, Which::Changing), fault);
    assert!(!traced.timed_out, "it hangs: {}", traced.run);
    single(&home);
    if let (Scene::Exec, Victim::Of(_)) = (case.scene, case.point.victim) {
        // Nobody starts a machine that died but who is asked to.
        home.msb(["up"]).exits(0);
    }
    case.scene.again(&home);
    case.scene.came_true(&home);
    untouched.holds(&home);
    home.msb(["down"]).exits(0);
    gone(&home);
    bare.holds(&home);
    watch.end();
    if traced.hit.is_some() { Came::ThereAndDied } else { Came::NotSoFar }
}

fn sentence(cases: &[Case], tally: Tally, ended_before: usize) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases {
        *counts.entry(format!("{} of {}", case.point.victim, case.scene)).or_default() += 1;
    }
    let parts: Vec<_> = counts.into_iter().map(|(what, count)| format!("{what} {count}")).collect();
    let of = if tally.walked == tally.all { String::new() } else { format!(" of {}", tally.all) };
    let parts = parts.join(", ");
    format!("{tally}{of} kill points converged ({parts}); {ended_before} commands ended before")
}
