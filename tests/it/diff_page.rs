//! The page that people read before they let anything happen, as a whole.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tests::golden;
use tests::home::Home;
use tests::programs;
use tests::run::eventually;

/// A repository with twenty sandboxes, and its image tags.
fn fleet(api: &str, names: &[&str]) -> String {
    let mut text = String::from("project \"fleet\"\n\n");
    for name in names {
        let (image, more) = match *name {
            "api" => (api, "    depends-on \"db\"\n    labels { team \"core\" }\n"),
            "web" => ("fleet/web:2.0", "    depends-on \"api\"\n"),
            "mail" | "mailer" => {
                ("fleet/web:2.0", "    env { QUEUE \"out\" }\n    memory \"96MiB\"\n")
            }
            _ => ("builtin:base", ""),
        };
        let head = format!("sandbox \"{name}\" {{\n    image \"{image}\"\n");
        text.extend([&head, more, "    command \"sleep\" \"1000\"\n}\n\n"]);
    }
    text
}

const NAMES: [&str; 20] = [
    "db", "cache", "api", "web", "mail", "search", "legacy", "worker-a", "worker-b", "worker-c",
    "worker-d", "worker-e", "worker-f", "worker-g", "worker-h", "build-a", "build-b", "build-c",
    "proxy", "docs",
];

#[test]
fn a_diff_of_twenty_sandboxes_shows_what_an_engineer_wants_to_know() {
    let home = Home::process();
    let archive = programs::folder().join("base.oci.tar").display().to_string();
    for tag in ["fleet/api:1.4.1", "fleet/api:1.4.2", "fleet/web:2.0"] {
        home.msb(["load", "-i", &archive, "-t", tag]).exits(0);
    }
    home.write("Sandboxfile", &fleet("fleet/api:1.4.1", &NAMES));
    home.msb(["up"]).exits(0);

    let killed = home.sandbox("cache")["pid"].as_i64().and_then(|pid| pid.try_into().ok());
    let killed = killed.and_then(Pid::from_raw).expect("cache runs");
    kill_process(killed, Signal::KILL).expect("it is ours");
    eventually("the host sees that cache is gone", Duration::from_secs(10), || {
        (home.sandbox("cache")["phase"] != "ready").then_some(())
    });
    let names = NAMES.into_iter().filter(|name| *name != "legacy");
    let names: Vec<_> = names.map(|name| if name == "mail" { "mailer" } else { name }).collect();
    home.write("Sandboxfile", &fleet("fleet/api:1.4.2", &names));

    let page = home.msb(["diff"]).exits(2);
    golden::check("diff_of_twenty", &golden::steady(&home, &page.stdout));
    let markdown = home.msb(["diff", "--output", "markdown"]).exits(2);
    golden::check("diff_of_twenty_markdown", &golden::steady(&home, &markdown.stdout));
}

#[test]
fn only_commands_that_show_a_plan_print_markdown() {
    let home = Home::process();
    home.msb(["ps", "--output", "markdown"]).exits(64).complains(&["only diff and plan"]);
}
