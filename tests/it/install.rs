//! What `./setup` does to a person's home: links that are ours, nothing that is not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tests::home::Home;
use tests::programs::{checkout, folder};
use tests::run::{Run, bare};

/// Runs `install_links` for a user's home, as `./setup` does.
fn install_links(home: &Home) -> (PathBuf, Run) {
    let user = home.scratch("user");
    let script = format!(
        "set -euo pipefail; . {0}/.ci/house.sh; . {0}/.ci/install.sh; home={1}; version=0.0.0; install_links",
        checkout().display(),
        home.path().display()
    );
    let mut command = bare("bash");
    command.args(["-c", &script]).env("HOME", &user).env("PATH", "/usr/bin:/bin");
    let run = home.spawn(command).wait(home.rung().patience());
    (user, run)
}

fn leads_to(link: &Path) -> String {
    fs::read_link(link).map(|to| to.display().to_string()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn links_lead_to_the_home_and_a_second_run_changes_nothing() {
    let home = Home::process();
    for _ in 0..2 {
        let (user, run) = install_links(&home);
        run.exits(0).complains(&["~/.local/bin is not on your PATH"]);
        let bin = user.join(".local/bin");
        let program = |name: &str| home.path().join("bin").join(name).display().to_string();
        assert_eq!(leads_to(&bin.join("msb")), program("msb"));
        assert_eq!(leads_to(&bin.join("microsandbox")), "msb");
        assert_eq!(leads_to(&bin.join("msb-metrics")), program("msb-metrics"));
        let made: Vec<_> =
            fs::read_dir(&user).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(made, [".local"], "nothing else of the user's home is touched");
    }
}

#[test]
fn what_is_somebody_else_s_is_left_alone() {
    let home = Home::process();
    let bin = home.scratch("user").join(".local/bin");
    fs::create_dir_all(&bin).unwrap();
    symlink("/usr/bin/true", bin.join("msb")).unwrap();
    fs::create_dir(bin.join("msb-metrics")).unwrap();
    let (_, run) = install_links(&home);
    run.exits(0)
        .complains(&["points to /usr/bin/true, which is not ours", "msb-metrics is not ours"]);
    assert_eq!(leads_to(&bin.join("msb")), "/usr/bin/true");
    assert!(bin.join("msb-metrics").is_dir());
}

#[test]
fn the_agent_is_one_small_file_that_needs_no_other() {
    let agent = folder().join("agentd");
    let output = std::process::Command::new("ldd").arg(&agent).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.contains("not a dynamic executable") || told.contains("statically linked"),
        "{told}"
    );
    let bytes = fs::metadata(&agent).unwrap().len();
    assert!(bytes <= 4 << 20, "{bytes} bytes; 4 MiB at most");
}
