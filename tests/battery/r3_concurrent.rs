//! R3: runs that meet are serialised or refused, and leave no lock behind.
//!
//! Each round starts many commands at the same moment: on one project, on the same name from
//! another folder, and on a second project beside it. What each may end with is a short list.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tests::chance::Chance;
use tests::home::Home;
use tests::matrix::{Matrix, is_whole};
use tests::oracle::{Watch, clean, converged, gone};
use tests::run::Run;
use tests::scenes::TRIO;

/// How many rounds there are in every run, and at night.
const ROUNDS: usize = 20;
const ROUNDS_AT_NIGHT: usize = 200;

/// How many commands start at once.
const CROWDS: [usize; 3] = [2, 8, 32];

/// The longest that a command of a crowd may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a command of a round runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the project's folder.
    Here,
    /// In a folder whose file has the same name.
    Copy,
    /// In the folder of another project.
    Beside,
}

/// A command of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    place: Place,
    words: &'static [&'static str],
}

const ASKED: &[Asked] = &[
    Asked { place: Place::Here, words: &["--lock-timeout", "0s", "up"] },
    Asked { place: Place::Here, words: &["--lock-timeout", "60s", "up", "-y"] },
    Asked { place: Place::Here, words: &["--lock-timeout", "60s", "up", "db"] },
    Asked { place: Place::Here, words: &["--lock-timeout", "0s", "down"] },
    Asked { place: Place::Here, words: &["--lock-timeout", "60s", "down"] },
    Asked { place: Place::Here, words: &["stop", "web"] },
    Asked { place: Place::Here, words: &["start", "web"] },
    Asked { place: Place::Here, words: &["restart", "db"] },
    Asked { place: Place::Here, words: &["kill", "web"] },
    Asked { place: Place::Here, words: &["exec", "db", "true"] },
    Asked { place: Place::Here, words: &["diff"] },
    Asked { place: Place::Here, words: &["ps"] },
    Asked { place: Place::Copy, words: &["--lock-timeout", "60s", "up"] },
    Asked { place: Place::Beside, words: &["--lock-timeout", "0s", "up"] },
    Asked { place: Place::Beside, words: &["--lock-timeout", "60s", "down"] },
    Asked { place: Place::Beside, words: &["--lock-timeout", "60s", "up"] },
];

/// What a command may meet that others have done in between.
const CONFLICTS: [&str; 5] = [
    "msb::state::raced",
    "msb::sandbox::not-running",
    "msb::sandbox::not-found",
    "msb::agent::lost",
    "Stopped(killed)",
];

#[test]
fn r3_runs_that_meet_are_serialised_or_refused() {
    let matrix = Matrix::of("R3");
    let mut chance = matrix.chance();
    let rounds = if is_whole() { ROUNDS_AT_NIGHT } else { ROUNDS };
    let home = Arc::new(Home::process());
    home.write("Sandboxfile", TRIO);
    let beside = folder(&home, "beside", &TRIO.replace("trio", "beside"));
    let copy = folder(&home, "copy", TRIO);
    // Whoever is up first owns the name.
    home.msb(["up"]).exits(0);
    let watch = Watch::begin(&home);
    let mut commands = 0;
    for round in 0..rounds {
        let crowd = CROWDS[chance.below(CROWDS.len())];
        commands += crowd;
        let asked: Vec<Asked> = (0..crowd).map(|_| ASKED[chance.below(ASKED.len())]).collect();
        let started: Vec<_> =
            asked.iter().map(|asked| start(&home, &copy, &beside, asked)).collect();
        let mut story = format!("round {round}");
        for (asked, started) in asked.iter().zip(started) {
            let run = started.wait(PATIENCE);
            let _ = write!(story, "\n  {asked:?}: exit {}", run.code);
            judge(*asked, &run, &story);
        }
        println!("{story}");
        clean(&home);
        edit(&home, &mut chance);
    }
    converged_everywhere(&home, &beside);
    watch.end();
    matrix.say(&format!("{rounds} rounds of {commands} commands that met"));
}

fn folder(home: &Home, name: &str, text: &str) -> PathBuf {
    let folder = home.scratch(name);
    fs::create_dir(&folder).unwrap();
    home.write(&format!("../{name}/Sandboxfile"), text);
    folder
}

/// Every now and then the file says something else.
fn edit(home: &Home, chance: &mut Chance) {
    let sizes = ["64MiB", "128MiB", "256MiB"];
    home.write("Sandboxfile", &TRIO.replace("64MiB", sizes[chance.below(sizes.len())]));
}

fn start(home: &Home, copy: &PathBuf, beside: &PathBuf, asked: &Asked) -> tests::run::Started {
    let mut command = home.command();
    command.args(asked.words);
    match asked.place {
        Place::Here => {}
        Place::Copy => drop(command.current_dir(copy)),
        Place::Beside => drop(command.current_dir(beside)),
    }
    home.spawn(command)
}

/// Holds that a command did its work, or was refused for a reason that has a name.
fn judge(asked: Asked, run: &Run, story: &str) {
    let says = |code: &str| run.stderr.contains(code);
    let is_right = match (asked.words.last().copied(), run.code) {
        (Some("diff"), 0 | 2) | (_, 0) => true,
        (_, 75) => says("msb::lock::busy"),
        // A plan that would replace something needs consent, and the name belongs to the first folder.
        (_, 77) => says("msb::owner::") || says("msb::consent::"),
        (_, 1) => CONFLICTS.iter().any(|code| says(code)),
        // The guest's command ended with its machine: asked to first, then made to.
        (_, 137 | 143) => asked.words.contains(&"exec"),
        _ => false,
    };
    assert!(is_right, "{story}: this is no answer: {run}");
}

fn converged_everywhere(home: &Arc<Home>, beside: &PathBuf) {
    home.write("Sandboxfile", TRIO);
    let mut down = home.command();
    down.arg("down").current_dir(beside);
    home.spawn(down).wait(PATIENCE).exits(0);
    home.msb(["up", "-y"]).exits(0);
    converged(home);
    home.msb(["down"]).exits(0);
    gone(home);
}
