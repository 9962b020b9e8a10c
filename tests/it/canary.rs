//! What the host keeps secret shows up nowhere: in no output, no file of the home, no command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tests::home::{Home, put};
use tests::oracle::nothing_lives;
use tests::run::{Run, Started, eventually};

/// Each begins with this, and says in its name where it comes from.
const CANARY: &str = "canary5b1f";
const FROM_ENV: &str = "canary5b1f-of-the-environment";
const FROM_FILE: &str = "canary5b1f-of-a-file";
const ENV_FILE: &str = "canary5b1f-of-an-env-file";
const SECRET_ENV: &str = "canary5b1f-of-a-secret-variable";
const SECRET_FILE: &str = "canary5b1f-of-a-secret-file";

const FILE: &str = r#"project "shop"
secret "stripe" { from-env "STRIPE_KEY"; hosts "api.stripe.example" }
secret "gh" { from-file "gh.token"; hosts "api.github.example" }
sandbox "db" {
    image "builtin:base"
    command "sh" "-c" "echo said-by-the-guest; exec sleep 1000"
    env-file "db.env"
    env { PASS from-env="PASS"; CERT from-file="cert.txt"; COUNT "1" }
    ready { exec "sh" "-c" "test -n \"$PASS\" && test -n \"$CERT\" && test -n \"$OTHER\"" }
    stop-grace "1s"
}
job "seed" { image "builtin:base"; command "sh" "-c" "test -n \"$PASS\""; env { PASS from-env="PASS" }; depends-on "db" }
"#;

/// What a guest may say of its values: what it writes is kept as it is, in its log.
const LENGTHS: &str = "echo ${#PASS} ${#CERT} ${#OTHER}";

/// Every form of what reads, plans and shows.
const LOOKS: &[&[&str]] = &[
    &["validate"],
    &["validate", "--json"],
    &["diff"],
    &["diff", "--full"],
    &["diff", "--recreate", "--full"],
    &["diff", "--drift"],
    &["diff", "--json"],
    &["diff", "--full", "--output", "ndjson"],
    &["diff", "--full", "--output", "markdown"],
    &["plan", "--recreate"],
    &["plan", "--recreate", "--json"],
    &["plan", "--recreate", "--output", "markdown"],
    &["down", "--dry-run"],
    &["down", "--dry-run", "--json"],
    &["stop", "--all", "--dry-run"],
    &["restart", "db", "--dry-run", "--json"],
    &["config"],
    &["config", "--full"],
    &["config", "--format", "yaml"],
    &["config", "--format", "json", "--full"],
    &["config", "--variables"],
    &["config", "--origins"],
    &["config", "--origins", "--json"],
    &["config", "--images"],
    &["config", "--names"],
    &["config", "--policy"],
    &["config", "--hash"],
    &["explain", "sandbox.db"],
    &["explain", "sandbox.db.env.PASS"],
    &["explain", "sandbox.db.env.CERT"],
    &["explain", "secret.stripe"],
    &["graph"],
    &["graph", "--plan"],
    &["graph", "--format", "svg"],
    &["export"],
    &["export", "--all", "--format", "yaml"],
    &["export", "--json"],
    &["convert", "Sandboxfile", "--to", "yaml"],
    &["fmt", "--check"],
    &["ps"],
    &["ps", "--json"],
    &["list"],
    &["list", "--json"],
    &["list", "--output", "ndjson"],
    &["inspect", "db"],
    &["inspect", "db", "--json"],
    &["logs", "--all", "--source", "all"],
    &["logs", "db", "--source", "runtime", "--json"],
    &["image", "ls", "--json"],
    &["volume", "ls", "--json"],
    &["wait", "db", "--for", "ready"],
    &["agent-socket", "db"],
    &["doctor"],
    &["doctor", "--json"],
    &["lock", "--json"],
    &["exec", "db", "--json", "--", "true"],
    &["events", "--no-follow", "--after", "0", "--all"],
    &["events", "--no-follow", "--after", "0", "--all-projects", "--json"],
    &["load", "--input", "cert.txt"],
    &["load", "--input", "gh.token", "--json"],
    &["adopt", "sandbox.db"],
    &["rm", "db"],
    &["schema"],
];

/// The places that are searched after each act.
struct Watch {
    home: Home,
    found: Vec<String>,
}

impl Watch {
    fn new() -> Self {
        let home = Home::process();
        home.write("Sandboxfile", FILE);
        for (name, text) in [
            ("cert.txt", FROM_FILE.to_owned()),
            ("gh.token", format!("{SECRET_FILE}\n")),
            ("db.env", format!("OTHER={ENV_FILE}\n")),
        ] {
            home.write(name, &text);
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(home.project().join(name), private).unwrap();
        }
        Self { home, found: Vec::new() }
    }

    /// Runs a command that has the values in its environment, and looks at what it says.
    fn run(&mut self, words: &[&str]) -> Run {
        let running = self.start(words);
        self.end(words, running)
    }

    fn start(&self, words: &[&str]) -> Started {
        let mut command = self.home.command();
        command.env("PASS", FROM_ENV).env("STRIPE_KEY", SECRET_ENV).args(words);
        self.home.spawn(command)
    }

    fn end(&mut self, words: &[&str], running: Started) -> Run {
        let run = running.wait(Duration::from_secs(60));
        self.look(&format!("the output of {words:?}"), run.stdout.as_bytes());
        self.look(&format!("the errors of {words:?}"), run.stderr.as_bytes());
        run
    }

    fn look(&mut self, place: &str, bytes: &[u8]) {
        if holds(bytes, CANARY) {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().find(|line| line.contains(CANARY)).unwrap_or_default();
            self.found.push(format!("{place}: {line:.200}"));
        }
    }

    /// Looks at every file of home and project but the inputs, and at command lines.
    fn everywhere(&mut self, when: &str) {
        let inputs = ["cert.txt", "gh.token", "db.env"].map(|name| self.home.project().join(name));
        let mut files = files_below(&self.home.path());
        files.extend(files_below(&self.home.project()));
        for file in files.iter().filter(|file| !inputs.contains(file)) {
            // What goes away meanwhile was a machine's, and holds nothing any more.
            let Ok(bytes) = fs::read(file) else { continue };
            self.look(&format!("{when}: {}", file.display()), &bytes);
        }
        for process in self.home.alive() {
            let line = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            self.look(&format!("{when}: the command line of {}", process.pid), &line);
        }
    }

    fn ends_clean(self) {
        assert!(self.found.is_empty(), "a secret shows up:\n{}", self.found.join("\n"));
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Returns the regular files below a folder; pipes and sockets hold nothing.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files
}

#[test]
fn sf_p12_what_the_host_keeps_secret_shows_up_in_no_output_file_or_command_line() {
    let mut watch = Watch::new();
    watch.run(&["diff", "--full", "--json"]).exits(2);
    watch.run(&["plan", "-o", "first.plan"]).exits(0);
    watch.everywhere("planned");
    watch.run(&["up", "--plan", "first.plan", "--debug"]).exits(0);
    // The guest has them: what is looked for was there to be found.
    let guest = watch.home.msb(["exec", "db", "--", "sh", "-c", LENGTHS]);
    let lengths = [FROM_ENV, FROM_FILE, ENV_FILE].map(|value| value.len().to_string()).join(" ");
    assert_eq!(guest.exits(0).stdout, format!("{lengths}\n"));
    let runs = |name: &str| watch.home.alive().iter().any(|it| it.command.contains(name));
    assert!(runs("msb-runtime"), "there is a command line to look at");
    // The search finds what is there: the guest's own words.
    eventually("its log", Duration::from_secs(10), || {
        let files = files_below(&watch.home.path());
        let says = |file: &PathBuf| holds(&fs::read(file).unwrap_or_default(), "said-by-the-guest");
        files.iter().any(says).then_some(())
    });
    watch.everywhere("running");
    for words in LOOKS {
        let run = watch.run(words);
        assert_ne!(run.code, 64, "{words:?} is no command: {run}");
        let loud: Vec<&str> = ["-vv"].iter().chain(*words).copied().collect();
        watch.run(&loud);
    }
    watch.run(&["restart", "db", "--trace"]).exits(0);
    watch.run(&["up", "--recreate", "--yes", "--trace", "--progress", "json"]).exits(0);
    watch.everywhere("made anew");
    watch.run(&["kill", "db", "--trace"]).exits(0);
    watch.run(&["up", "--trace"]);
    watch.run(&["stop", "--all"]);
    watch.run(&["start", "db"]);
    watch.run(&["down", "--trace"]).exits(0);
    watch.everywhere("taken away");
    nothing_lives(&watch.home);
    watch.ends_clean();
}

#[test]
fn what_sandboxes_without_a_file_are_given_shows_up_nowhere_either() {
    let mut watch = Watch::new();
    let given = ["-e", "PASS", "--env-file", "db.env", "builtin:base"];
    let has_both = "test -n \"$PASS\" && test -n \"$OTHER\"";
    for loud in [&[][..], &["-vv"], &["--trace", "--json"]] {
        let words = [loud, &["run"], &given, &["--", "sh", "-c", has_both]].concat();
        watch.run(&words).exits(0);
    }
    watch.everywhere("run");
    watch.run(&[&["--trace", "create", "-n", "mine"][..], &given].concat()).exits(0);
    let both = "echo ${#PASS} ${#OTHER}";
    let guest = watch.home.msb(["exec", "mine", "--", "sh", "-c", both]).exits(0);
    assert_eq!(guest.stdout, format!("{} {}\n", FROM_ENV.len(), ENV_FILE.len()));
    watch.everywhere("created");
    for words in [
        &["inspect", "mine", "--json"][..],
        &["ps", "--all-projects", "--json"],
        &["export", "-p", "adhoc", "--all"],
        &["events", "--no-follow", "--after", "0", "--all-projects", "--json"],
        &["restart", "mine", "--trace"],
        &["stop", "mine", "--trace"],
        &["rm", "mine", "--trace"],
    ] {
        let run = watch.run(words);
        assert_ne!(run.code, 64, "{words:?} is no command: {run}");
    }
    watch.everywhere("removed");
    watch.ends_clean();
}

#[test]
fn sf_g1_a_watch_tells_no_value_while_values_change() {
    let mut watch = Watch::new();
    let words = ["up", "--watch", "--trace"];
    let watching = watch.start(&words);
    let pid = |watch: &Watch| {
        let row = watch.home.ps().into_iter().find(|row| row["name"] == "db")?;
        if row["phase"] == "ready" { row["pid"].as_i64() } else { None }
    };
    let soon = Duration::from_secs(30);
    let first = eventually("db is up", soon, || pid(&watch));
    watch.everywhere("watched");
    // What a machine was given is read again, and it restarts; a bad value is told without itself.
    put(&watch.home.project().join("cert.txt"), &format!("{CANARY}-another"));
    eventually("db is up again", soon, || pid(&watch).filter(|now| *now != first));
    put(&watch.home.project().join("db.env"), &format!("{CANARY} no assignment\n=\n"));
    let is_told = || watching.said().contains("msb::env::file").then_some(());
    eventually("the bad file is told", soon, is_told);
    watching.signal(Signal::INT);
    let run = watch.end(&words, watching);
    assert!(run.stderr.contains("msb::env::file"), "{run}");
    watch.everywhere("no longer watched");
    put(&watch.home.project().join("db.env"), &format!("OTHER={ENV_FILE}\n"));
    watch.run(&["down"]).exits(0);
    watch.ends_clean();
}

#[test]
fn sf_p12_a_change_of_a_secret_and_a_failure_tell_no_value() {
    let mut watch = Watch::new();
    watch.run(&["up"]).exits(0);
    let other = format!("{CANARY}-another");
    put(&watch.home.project().join("cert.txt"), &other);
    let changed = watch.run(&["diff", "--full"]).exits(2);
    assert!(changed.stdout.contains("(changed)"), "{changed}");
    for words in [&["diff", "--json"][..], &["diff", "--output", "markdown", "--full"]] {
        watch.run(words).exits(2);
    }
    // A machine that would be handed a secret is refused by the name of it.
    let uses =
        FILE.replace("COUNT \"1\"", "COUNT \"1\"; KEY secret=\"gh\"; KEY2 secret=\"stripe\"");
    watch.home.write("Sandboxfile", &uses);
    watch.run(&["diff", "--full"]);
    watch.run(&["up", "--yes", "--trace"]);
    watch.home.write("Sandboxfile", FILE);
    // Bad values are told without themselves.
    put(&watch.home.project().join("db.env"), &format!("{CANARY} no assignment\n=\n"));
    for words in [&["validate"][..], &["diff", "--json"], &["up", "--yes", "--trace"]] {
        watch.run(words);
    }
    put(&watch.home.project().join("db.env"), &format!("OTHER={ENV_FILE}\n"));
    put(&watch.home.project().join("cert.txt"), &format!("{CANARY}\0binary"));
    watch.run(&["up", "--yes", "--trace"]);
    watch.run(&["--json", "up", "--yes"]);
    watch.everywhere("failed");
    watch.run(&["down"]).exits(0);
    watch.ends_clean();
}

#[test]
fn sf_m5_a_variable_that_looks_like_a_secret_is_shown_as_stars() {
    let mut watch = Watch::new();
    let file = "project \"shop\"\nvar \"API_TOKEN\"\nsandbox \"a\" { image \"builtin:base\" }\n";
    watch.home.write("Sandboxfile", file);
    let var = format!("API_TOKEN={CANARY}-of-a-variable");
    for words in [
        &["validate"][..],
        &["config"],
        &["config", "--variables"],
        &["config", "--variables", "--json"],
        &["diff", "--json"],
        &["diff", "--full"],
        &["plan", "-o", "vars.plan"],
        &["graph", "--plan"],
        &["up", "--trace"],
        &["config", "--origins"],
        &["down"],
    ] {
        let var = ["--var", &var].into_iter().filter(|_| words != ["down"]);
        let words: Vec<&str> = words.iter().copied().chain(var).collect();
        let run = watch.run(&words);
        assert_ne!(run.code, 64, "{words:?} is no command: {run}");
    }
    watch.everywhere("told");
    watch.ends_clean();
}
