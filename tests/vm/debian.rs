//! A Debian root file system made on the spot loads as docker and as OCI archive, and runs.

use std::path::Path;
use std::process::Command;

use tests::debian;
use tests::home::Home;
use tests::oracle::nothing_lives;
use tests::skip::skip;

fn runs_python(home: &Home, image: &str) {
    home.msb(["run", "-m", "256MiB", image, "--", "python3", "-c", "print(6*7)"])
        .exits(0)
        .says(&["42\n"]);
}

#[test]
fn a_debian_root_loads_as_docker_and_oci_archive_and_runs_python() {
    let Some(folder) = debian::image("python") else { return skip("debian-image") };
    let docker = folder.join("debian.docker.tar");
    let oci = folder.join("debian.oci.tar");
    let home = Home::machine();

    home.msb(["load", "-i", path(&docker)]).exits(0).says(&["loaded debian:made-here", "sha256:"]);
    home.msb_reading(["load", "-t", "debian:from-oci"], &oci)
        .exits(0)
        .says(&["loaded debian:from-oci"]);
    home.msb(["image", "ls"]).exits(0).says(&["debian:made-here", "debian:from-oci"]);
    let again = home.msb(["load", "-i", path(&docker), "--output", "json"]).exits(0).json();
    assert!(
        again[0]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")),
        "{again}"
    );

    runs_python(&home, "debian:made-here");
    runs_python(&home, "debian:from-oci");
    let env = home.msb([
        "run",
        "-m",
        "256MiB",
        "debian:made-here",
        "--",
        "bash",
        "-c",
        "echo $MADE; cat /etc/debian_version",
    ]);
    env.exits(0).says(&["here\n"]);
    nothing_lives(&home);
    every_root_is_sound(&home);

    // One flipped byte in a layer, and nothing of it is loaded.
    let mut bytes = std::fs::read(&oci).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    let broken = home.scratch("broken.tar");
    write(&broken, &bytes);
    home.msb(["load", "-i", path(&broken), "-t", "debian:broken"])
        .exits(1)
        .complains(&["sha256:", "hint: "]);
    assert!(!home.msb(["image", "ls"]).exits(0).stdout.contains("broken"));
}

/// Asks the reference tools about every root image of the home.
fn every_root_is_sound(home: &Home) {
    let roots: Vec<_> = std::fs::read_dir(home.path().join("images/roots"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    assert!(!roots.is_empty(), "loading made a root");
    for root in roots {
        let output = Command::new("fsck.erofs").arg(&root).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        // It tells of a wrong checksum, and ends as if there were none.
        let is_good = output.status.success() && !told.contains("<E>");
        assert!(is_good, "{}: {told}", root.display());
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's input; a crash in the middle ends the test"
)]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
