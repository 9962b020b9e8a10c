//! The commands that matrices walk through: where each begins, and what finishes it.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::codings::codings;
use crate::home::{Home, put};
use crate::oracle::{Untouched, clean, converged, gone};
use crate::programs;
use crate::tracer::{Fault, Plan, Point, Traced, Victim, Which, trace};

/// A command in a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// `up` of two services and a job, one with a volume, in a home that is not there yet.
    Up,
    /// `up` of an edit that makes the one with the volume anew.
    Replace,
    /// `down` of all of it.
    Down,
    /// `load` of an image.
    Load,
    /// `pull` of an image from a registry on this port of loopback, which holds it as [`PULLED`].
    Pull {
        /// The port.
        port: u16,
    },
    /// `image prune` in a home with two images that nobody uses.
    Prune,
    /// `exec` in one of them.
    Exec,
}

/// What [`Scene::Pull`] pulls, as its registry calls it.
pub const PULLED: &str = "app:1";

/// The project of every scene.
pub const TRIO: &str = r#"
project "trio"
volume "data" { kind "disk"; size "16MiB" }
sandbox "db" {
    image "builtin:base"
    memory "96MiB"
    upper "64MiB"
    command "sleep" "1000"
    mount "/data" { named "data" }
}
job "seed" {
    image "builtin:base"
    memory "96MiB"
    command "true"
    depends-on "db"
}
sandbox "web" {
    image "builtin:base"
    memory "96MiB"
    command "sleep" "1000"
    depends-on "seed"
}
"#;

/// How long a command of a scene may take; each call of it stops twice.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a volume holds throughout.
const KEPT: &str = "volumes/trio.data/process/kept";

impl Scene {
    /// Brings a new home to where the command begins.
    pub fn set(self, home: &Home) {
        home.write("Sandboxfile", TRIO);
        match self {
            Self::Up | Self::Load | Self::Pull { .. } => return,
            Self::Prune => {
                let other = codings(home);
                home.msb(["load", "-i", &base(), "-t", "one:1"]).exits(0);
                home.msb(["load", "-i", &other.display().to_string(), "-t", "two:1"]).exits(0);
                return;
            }
            Self::Down | Self::Exec => drop(home.msb(["up"]).exits(0)),
            Self::Replace => {
                home.write("Sandboxfile", &TRIO.replace("64MiB", "128MiB"));
                home.msb(["up"]).exits(0);
                home.write("Sandboxfile", TRIO);
            }
        }
        put(&home.path().join(KEPT), "what a guest wrote");
    }

    /// Notes what the command must leave alone.
    pub fn untouched(self, home: &Home, victim: Victim) -> Untouched {
        let data = [home.path().join(KEPT), home.project()];
        let mut sandboxes = match self {
            Self::Exec => vec!["db", "web"],
            Self::Up
            | Self::Replace
            | Self::Down
            | Self::Load
            | Self::Pull { .. }
            | Self::Prune => Vec::new(),
        };
        sandboxes.retain(|name| victim != Victim::Of(name));
        Untouched::note(home, &data, &sandboxes)
    }

    /// Returns the command's words.
    pub fn words(self) -> Vec<String> {
        let archive = base();
        let pulled;
        let words: &[&str] = match self {
            Self::Up => &["up"],
            Self::Replace => &["up", "-y"],
            Self::Down => &["down"],
            Self::Load => &["load", "-i", &archive, "-t", "again:1"],
            Self::Pull { port } => {
                pulled = format!("127.0.0.1:{port}/{PULLED}");
                &["pull", &pulled]
            }
            Self::Prune => &["image", "prune", "-y"],
            Self::Exec => &["exec", "db", "--", "sh", "-c", "echo out; echo err >&2"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// Returns the command, not started.
    pub fn command(self, home: &Home) -> Command {
        let mut command = home.command();
        command.args(self.words());
        command
    }

    /// Runs the command under the tracer.
    pub fn trace(
        self,
        home: &Home,
        (victim, which): (Victim, Which),
        fault: Option<(Point, Fault)>,
    ) -> Traced {
        let running = match victim {
            Victim::Of(name) => {
                home.sandbox(name)["pid"].as_u64().and_then(|pid| pid.try_into().ok())
            }
            Victim::Msb | Victim::Runtime(_) | Victim::Builder(_) => None,
        };
        let plan = Plan { victim, running, which, fault };
        trace(&self.command(home), &home.scratch("traced"), &plan, PATIENCE)
    }

    /// Runs the command once more, which must end well.
    ///
    /// # Panics
    /// When it does not.
    pub fn again(self, home: &Home) {
        let words = self.words();
        home.msb_with(&words.iter().map(String::as_str).collect::<Vec<_>>()).exits(0);
    }

    /// Holds that all is there that the command was to make, that nothing is that it was to take
    /// away, and that the home is in order.
    ///
    /// # Panics
    /// When it is not so.
    pub fn came_true(self, home: &Home) {
        match self {
            Self::Down => gone(home),
            Self::Up | Self::Replace | Self::Exec => converged(home),
            Self::Load | Self::Pull { .. } => {
                home.msb(["image", "verify"]).exits(0).says(&["ok"]);
                clean(home);
            }
            Self::Prune => {
                let listed = home.msb(["image", "ls", "-q"]).exits(0).stdout.clone();
                assert!(listed.is_empty(), "images are left: {listed}");
                for folder in ["images/blobs/sha256", "images/roots"] {
                    let left = std::fs::read_dir(home.path().join(folder)).map(Iterator::count);
                    assert_eq!(left.unwrap_or_default(), 0, "files are left in {folder}");
                }
                clean(home);
            }
        }
    }
}

fn base() -> String {
    programs::folder().join("base.oci.tar").display().to_string()
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Replace => "replace",
            Self::Down => "down",
            Self::Load => "load",
            Self::Pull { .. } => "pull",
            Self::Prune => "prune",
            Self::Exec => "exec",
        })
    }
}
