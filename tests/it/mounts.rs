//! Folders, files and disks of the host, without a machine: what the flags and the file say of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tests::home::{Home, put};
use tests::oracle::{converged, reversed};

const RUN: &str = "exec sleep 100000";

fn mounts(lines: &str) -> String {
    format!(
        "project \"shop\"\nsandbox \"a\" {{\n  image \"builtin:base\"\n  \
         command \"sh\" \"-c\" \"{RUN}\"\n{lines}\n}}\n"
    )
}

#[test]
fn folders_and_files_of_the_host_are_seen_in_place() {
    let home = Home::process();
    fs::create_dir(home.project().join("src")).unwrap();
    put(&home.project().join("src/hello"), "from the host\n");
    put(&home.project().join("app.conf"), "green\n");
    home.write(
        "Sandboxfile",
        &mounts(
            "  mount \"/src\" { dir \"./src\" }\n  mount \"/etc/app.conf\" { file \"./app.conf\" }\n  \
             mount \"/made\" { dir \"./made/below\" ensure=\"ensure\" }\n  \
             mount \"/state\" { file \"./state\" ensure=\"ensure\" }",
        ),
    );
    home.msb(["diff"]).exits(2).says(&["Wider access", "host + dir", "host + file"]);
    assert!(!home.project().join("made").exists(), "a plan makes nothing");
    home.msb(["up"]).exits(0);
    let mode =
        |name: &str| fs::metadata(home.project().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("made/below"), mode("state")), (0o700, 0o600));
    let root = |path: &str| format!("cat \"$PWD{path}\"");
    home.msb(["exec", "a", "--", "sh", "-c", &root("/src/hello")])
        .exits(0)
        .says(&["from the host"]);
    home.msb(["exec", "a", "--", "sh", "-c", &root("/etc/app.conf")]).exits(0).says(&["green"]);
    converged(&home);
    home.msb(["down"]).exits(0);
    assert!(home.project().join("made/below").is_dir(), "what was made for it stays");
    assert!(home.project().join("src/hello").is_file());
}

#[test]
fn a_source_that_is_not_what_the_file_says_fails_before_anything_is_made() {
    let home = Home::process();
    let project = home.project();
    fs::create_dir(project.join("folder")).unwrap();
    put(&project.join("file"), "");
    symlink("folder", project.join("link")).unwrap();
    for (line, code, told) in [
        ("dir \"./none\"", "mount::source", "does not exist"),
        ("dir \"./file\"", "mount::kind", "is a file, the file says `dir`"),
        ("file \"./folder\"", "mount::kind", "is a directory, the file says `file`"),
        ("dir \"./link\"", "mount::link", "is a link"),
        ("disk \"./folder\"", "mount::kind", "the file says `disk`"),
        ("dir \"/\"", "mount::access", "the root of the host"),
        ("dir \"/proc\"", "mount::access", "the host's own"),
    ] {
        home.write("Sandboxfile", &mounts(&format!("  mount \"/x\" {{ {line} }}")));
        let run = home.msb(["up"]).exits(1);
        let run = run.complains(&[&format!("msb::{code}"), told, "the mount at /x"]);
        assert!(run.stderr.contains("hint:"), "{run}");
        assert!(home.msb(["ps", "-q"]).stdout.is_empty(), "{line}");
        home.msb(["validate", "--preflight"]).exits(1);
    }
    home.write("Sandboxfile", &mounts("  mount \"/x\" { dir \"./link\" follow-symlink=#true }"));
    home.msb(["up"]).exits(0);
    reversed(&home);
}

#[test]
fn mount_flags_are_read_as_a_file_would_be() {
    let home = Home::process();
    let project = home.project();
    fs::create_dir(project.join("src")).unwrap();
    put(&project.join("conf"), "x");
    let run = |flags: &[&str]| {
        let words = [&["create", "--name", "a"][..], flags, &["builtin:base"]].concat();
        home.msb_with(&words)
    };
    run(&[
        "-v",
        "./src:/src:ro",
        "-v",
        "./conf:/etc/conf",
        "-v",
        "data:/data",
        "--mount-dir",
        "./made:/made:ensure=ensure",
        "--tmpfs",
        "/t:8MiB:noexec",
    ])
    .exits(0);
    let inspected = home.msb(["inspect", "a", "--output", "json"]).exits(0).json();
    let mounts = inspected[0]["mounts"].as_array().unwrap().clone();
    let of = |target: &str| mounts.iter().find(|m| m["target"] == target).unwrap().clone();
    assert_eq!(of("/src")["kind"], "dir");
    assert_eq!(of("/src")["mode"], "ro");
    assert_eq!(of("/etc/conf")["kind"], "file");
    assert_eq!(of("/data")["volume_kind"], "dir");
    assert_eq!(of("/data")["quota_bytes"], 10_u64 << 30);
    assert_eq!(of("/t")["noexec"], true);
    home.msb(["inspect", "a"]).exits(0).says(&["volume:adhoc/data (dir 10 GiB)", "ro", "rw"]);
    home.msb(["rm", "-f", "a"]).exits(0);

    run(&["-v", "./none:/x"]).exits(1).complains(&["mount::source", "does not exist"]);
    run(&["--mount-file", "./src:/x"]).exits(1).complains(&["mount::kind"]);
    run(&["--mount-disk", "./a.qcow2:/x"]).exits(64).complains(&["qcow2", "raw"]);
    run(&["-v", "a/b:/x"]).exits(64).complains(&["./a/b"]);
    run(&["--mount-file", "./conf:/x:quota=1GiB"])
        .exits(64)
        .complains(&["`quota` belongs to --mount-dir and --mount-named"]);
    run(&["-v", "./src:/proc/x", "-v", "./src:relative", "--tmpfs", "/t:1G:1G"])
        .exits(64)
        .complains(&["nothing can be mounted at `/proc/x`", "not absolute", "said twice"]);
    assert!(home.msb(["ps", "-q"]).stdout.is_empty());
}

#[test]
fn a_folder_volume_is_made_limited_measured_and_kept() {
    let home = Home::process();
    let file = |quota: &str| {
        home.write(
            "Sandboxfile",
            &format!(
                "volume \"data\" {{ kind \"dir\"; quota \"{quota}\" }}\n{}",
                mounts("  mount \"/data\" { named \"data\" }")
            ),
        );
    };
    file("64MiB");
    home.msb(["diff"]).exits(2).says(&["volume.data", "create", "quota", "64 MiB"]);
    home.msb(["up"]).exits(0);
    home.msb(["exec", "a", "--", "sh", "-c", "echo kept > $PWD/data/file"]).exits(0);
    let volume = || home.msb(["volume", "inspect", "data", "--output", "json"]).exits(0).json();
    assert_eq!(volume()[0]["kind"], "dir");
    assert_eq!(volume()[0]["quota_bytes"], 64 << 20);
    assert!(volume()[0]["used_bytes"].as_u64().unwrap() > 0);
    let path = volume()[0]["path"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(format!("{path}/file")).unwrap(), "kept\n");

    // A quota moves without a restart.
    file("128MiB");
    home.msb(["diff"]).exits(2).says(&["quota", "64 MiB", "128 MiB", "live"]);
    home.msb(["up"]).exits(0);
    assert_eq!(volume()[0]["quota_bytes"], 128 << 20);
    home.msb(["diff"]).exits(0);

    home.msb(["down"]).exits(0).says(&["Kept: 1 volume", "data"]);
    home.msb(["volume", "rm", "data"]).exits(0);
    assert!(!fs::exists(&path).unwrap());
    home.msb(["volume", "restore", "shop/data"]).exits(0);
    assert_eq!(fs::read_to_string(format!("{path}/file")).unwrap(), "kept\n");
    home.msb(["up"]).exits(0);
    reversed(&home);
}
