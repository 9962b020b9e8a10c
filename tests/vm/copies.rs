//! Files into a real guest and out of it: by its user, onto its disk, at the pace of its channel.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tests::home::Home;
use tests::run::eventually;

const ONE: &str = r#"
project "one"
sandbox "box" {
    image "builtin:base"
    memory "192MiB"
    upper "1GiB"
    user "1000:1000"
    workdir "/srv/app"
    command "sleep" "100000"
}
"#;

#[test]
fn a_tree_goes_into_a_guest_and_comes_back_by_its_user() {
    let home = Home::machine();
    home.write("Sandboxfile", ONE);
    home.msb(["up"]).exits(0);
    let sh = |script: &str| home.msb(["exec", "box", "--", "sh", "-c", script]);

    // More than the guest has memory to hold twice, so nothing can keep it whole.
    let tree = home.project().join("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    let bytes: Vec<u8> = (0..48_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut large = File::create(tree.join("deep/large")).unwrap();
    large.write_all(&bytes).unwrap();
    home.write("tree/deep/er/small", "small");
    symlink("deep/large", tree.join("link")).unwrap();
    home.msb(["cp", "tree", "box:"]).exits(0).complains(&["copied 3 files"]);
    sh("cd tree && stat -c '%u:%g %F' deep/large link")
        .exits(0)
        .says(&["1000:1000 regular file\n1000:1000 symbolic link"]);
    let sum = sh("md5sum < tree/deep/large").exits(0).stdout;
    let large = File::open(tree.join("deep/large")).unwrap();
    let here = Command::new("md5sum").stdin(large).output().unwrap();
    assert_eq!(sum.as_bytes(), here.stdout);

    home.msb(["cp", "box:tree", "back"]).exits(0).complains(&["copied 3 files"]);
    assert!(fs::read(home.project().join("back/deep/large")).unwrap() == bytes, "bytes differ");

    // As the sandbox's user, not as process 1.
    home.msb(["cp", "tree/deep/er/small", "box:/etc/"])
        .exits(1)
        .complains(&["note: small: it cannot be written (EACCES)"]);
    let run = home.msb(["cp", "box:/dev", "dev"]).exits(1);
    run.complains(&[": a device is not copied", "msb::transfer::unsafe"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn a_copy_into_a_guest_that_breaks_off_leaves_nothing_there() {
    let home = Home::machine();
    home.write("Sandboxfile", ONE);
    home.msb(["up"]).exits(0);
    let large = File::create(home.project().join("large")).unwrap();
    large.set_len(400 << 20).unwrap();
    let drafts = || {
        let script = "ls -A /srv/app 2>/dev/null | grep -c '^.msb-cp.'";
        home.msb(["exec", "box", "--", "sh", "-c", script]).stdout.trim().to_owned()
    };
    let soon = home.rung().patience();
    home.msb(["exec", "box", "--", "true"]).exits(0);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::KILL, 137)] {
        let started = home.start(["cp", "large", "box:large"]);
        eventually("it has begun", soon, || (drafts() == "1").then_some(()));
        started.signal(signal);
        started.wait(Duration::from_secs(60)).exits(code);
        // The agent hears that the session broke off, and what was half done goes.
        eventually("nothing is left", soon, || (drafts() == "0").then_some(()));
        home.msb(["exec", "box", "--", "test", "-e", "/srv/app/large"]).exits(1);
    }
    home.msb(["down"]).exits(0);
}
