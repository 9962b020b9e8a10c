//! Every kind of mount in a real guest: what it sees, what it may, and what stays.

use std::fs;
use std::time::Duration;

use examples::ALL;
use tests::home::{Home, put};
use tests::oracle::reversed;
use tests::run::{Run, eventually, pause};

/// Returns a home with the example of all mounts, up.
fn example() -> Home {
    example_with("64MiB")
}

/// Returns the same with another limit of the folder volume.
fn example_with(quota: &str) -> Home {
    let home = Home::machine();
    let example = ALL.iter().find(|example| example.name == "mounts").unwrap();
    home.write(example.file, &example.text.replace("64MiB", quota));
    home.prepare(example.prepare);
    home.msb(["up"]).exits(0);
    home
}

fn sh(home: &Home, script: &str) -> Run {
    home.msb(["exec", "box", "--", "sh", "-c", script])
}

/// Writes to every kind that can be written.
const WRITE: &str = "for at in /cache /rows /work; do mkdir -p $at/deep; \
                     echo kept > $at/deep/file; done; echo on > /var/lib/box/state; sync";

/// Reads it all back.
const READ: &str = "cat /cache/deep/file /rows/deep/file /work/deep/file /var/lib/box/state";

fn is_kept(home: &Home) {
    assert_eq!(sh(home, READ).exits(0).stdout, "kept\nkept\nkept\non\n");
}

#[test]
fn each_kind_is_seen_as_written_and_its_data_outlives_machine_and_runtime() {
    let home = example();
    let project = home.project();
    sh(&home, "cat /docs/README /etc/app.conf /reference/words").exits(0).says(&[
        "read me",
        "colour = green",
        "a word",
    ]);
    sh(&home, WRITE).exits(0);
    is_kept(&home);
    assert_eq!(fs::read_to_string(project.join("work/deep/file")).unwrap(), "kept\n");
    assert_eq!(fs::read_to_string(project.join("state")).unwrap(), "on\n");
    let volume = home.path().join("volumes/mounts.cache/data/deep/file");
    assert_eq!(fs::read_to_string(volume).unwrap(), "kept\n");

    // Its own Sandboxfile lies in no folder that is shared here; flags are in force.
    sh(&home, "grep -E ' (/docs|/rows|/scratch) ' /proc/mounts").exits(0).says(&[
        "/docs fuse ro,noexec",
        "/rows ext4 rw,nosuid,nodev",
        "/scratch tmpfs",
    ]);
    // What may not be written is not, by whatever way the guest tries.
    for script in [
        "echo x > /docs/new",
        "echo x > /etc/app.conf",
        "echo x > /reference/new",
        "mount -o remount,rw /docs && echo x > /docs/new",
        "mount -o remount,rw /reference && echo x > /reference/new",
    ] {
        assert_ne!(sh(&home, script).code, 0, "{script}");
    }
    assert!(!project.join("docs/new").exists());
    assert_eq!(fs::read_to_string(project.join("app.conf")).unwrap(), "colour = green\n");
    home.msb(["inspect", "box"]).exits(0).says(&[
        "ro,noexec",
        "rw,nosuid,nodev",
        "volume:mounts/rows",
    ]);

    // An editor on the host replaces the file; the guest sees the new one at its next open.
    put(&project.join("draft"), "colour = blue\n");
    fs::rename(project.join("draft"), project.join("app.conf")).unwrap();
    sh(&home, "cat /etc/app.conf").exits(0).says(&["colour = blue"]);
    put(&project.join("docs/README"), "changed on the host\n");
    sh(&home, "cat /docs/README").exits(0).says(&["changed on the host"]);

    home.msb(["down"]).exits(0).says(&["Kept: 2 volumes"]);
    home.msb(["up"]).exits(0);
    is_kept(&home);

    // The runtime is killed, and with it the machine: what was synced is there.
    sh(&home, "echo again > /rows/deep/file; echo again > /cache/deep/file; sync").exits(0);
    let runtime = home.alive().into_iter().find(|it| it.command.contains("msb-runtime")).unwrap();
    runtime.kill();
    eventually("nothing of the machine lives", Duration::from_secs(20), || {
        home.alive().is_empty().then_some(())
    });
    home.msb(["up"]).exits(0);
    assert_eq!(sh(&home, READ).exits(0).stdout, "again\nagain\nkept\non\n");
    reversed(&home);
}

#[test]
fn s4_a_guest_cannot_fill_the_host_through_a_folder() {
    let home = example_with("16MiB");
    sh(&home, "dd if=/dev/zero of=/cache/big bs=1M count=100").exits(1).complains(&["quota"]);
    let big = fs::metadata(home.path().join("volumes/mounts.cache/data/big")).unwrap();
    assert!((15 << 20..=16 << 20).contains(&big.len()), "{}", big.len());
    sh(&home, "rm /cache/big; echo room > /cache/file").exits(0);
    // As many files as the limit has blocks; one is there already.
    let many = "i=0; while [ $i -lt 4200 ]; do : > /cache/f$i || exit 3; i=$((i+1)); done";
    sh(&home, many).complains(&["quota"]);
    let made = fs::read_dir(home.path().join("volumes/mounts.cache/data")).unwrap().count();
    assert_eq!(made, 4096);
    // The limit moves while the machine runs, up and down.
    let pid = home.sandbox("box")["pid"].clone();
    let text = fs::read_to_string(home.project().join("Sandboxfile")).unwrap();
    home.write("Sandboxfile", &text.replace("quota \"16MiB\"", "quota \"32MiB\""));
    home.msb(["up"]).exits(0);
    let more = "rm -rf /cache/*; dd if=/dev/zero of=/cache/big bs=1M count=24";
    sh(&home, more).exits(0);
    home.write("Sandboxfile", &text);
    home.msb(["up"]).exits(0);
    sh(&home, "echo more >> /cache/file").complains(&["quota"]);
    assert_eq!(home.sandbox("box")["pid"], pid);
    sh(&home, "rm -rf /cache/*; echo room > /cache/file").exits(0);
    let figures = sh(&home, "stat -f -c '%S %b' /cache").exits(0).stdout;
    assert_eq!(figures, "4096 4096\n");
    reversed(&home);
}

#[test]
fn owners_links_and_modes_are_kept_and_the_host_sees_private_files() {
    let home = example();
    let script = "cd /work && echo x > f && chown 1234:4321 f && chmod 4751 f && ln f g && \
                  ln -s h l && mkdir d && chmod 1777 d && mkfifo p && mv f h && \
                  stat -c '%n %u %g %a %h' h g && stat -c '%n %a %F' d p l && cat l g";
    let run = sh(&home, script);
    assert_eq!(
        run.stdout,
        "h 1234 4321 4751 2\ng 1234 4321 4751 2\nd 1777 directory\np 644 fifo\n\
         l 777 symbolic link\nx\nx\n",
        "{run}"
    );
    let host = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let meta = fs::symlink_metadata(home.project().join("work").join(name)).unwrap();
        (meta.uid(), meta.mode() & 0o7777)
    };
    let me = rustix::process::geteuid().as_raw();
    assert_eq!((host("h"), host("d")), ((me, 0o600), (me, 0o700)));
    sh(&home, "mknod /work/dev c 1 3").exits(1);
    sh(&home, "cd /work && echo data | tee p & cat /work/p").exits(0).says(&["data"]);
    reversed(&home);
}

const OWN: &str = r#"
project "own"
sandbox "box" {
    image "builtin:base"
    memory "96MiB"
    command "sh" "-c" "exec sleep 1000000"
    stop-grace "2s"
    mount "/src" { dir "." }
}
"#;

#[test]
fn a_project_that_shows_itself_keeps_its_own_files() {
    let home = Home::machine();
    home.write("Sandboxfile", OWN);
    home.msb(["up"]).exits(0);
    for script in [
        "echo >> /src/Sandboxfile",
        "rm /src/Sandboxfile",
        "mv /src/Sandboxfile /src/other",
        "echo x > /src/x; mv /src/x /src/Sandboxfile",
        "chmod 777 /src/Sandboxfile",
        "ln /src/Sandboxfile /src/link",
        "truncate -s 0 /src/Sandboxfile",
    ] {
        sh(&home, script).complains(&["Read-only file system"]);
    }
    sh(&home, "cat /src/Sandboxfile && echo free > /src/else").exits(0).says(&["project"]);
    assert_eq!(fs::read_to_string(home.project().join("Sandboxfile")).unwrap(), OWN);
    home.msb(["diff"]).exits(0);
    reversed(&home);
}

#[test]
fn a_folder_whose_server_is_killed_answers_with_an_error_and_the_machine_goes_on() {
    let home = example();
    let server = home.alive().into_iter().find(|it| it.command.starts_with("msb-share")).unwrap();
    server.kill();
    let read = eventually("the folder is lost", Duration::from_secs(20), || {
        Some(sh(&home, "cat /docs/README")).filter(|run| run.code != 0)
    });
    assert!(!read.stderr.is_empty(), "{read}");
    sh(&home, "echo on > /rows/file && cat /rows/file").exits(0).says(&["on"]);
    home.msb(["logs", "box", "--source", "runtime"]).exits(0).says(&["shared folders is gone"]);
    home.msb(["restart", "box"]).exits(0);
    sh(&home, "cat /docs/README").exits(0).says(&["read me"]);
    reversed(&home);
}

/// Two sandboxes on one disk, each as the options say.
fn two(first: &str, second: &str) -> String {
    let sandbox = |name: &str, options: &str| {
        format!(
            "sandbox \"{name}\" {{\n    image \"builtin:base\"\n    memory \"96MiB\"\n    \
             command \"sleep\" \"1000000\"\n    stop-grace \"1s\"\n    \
             mount \"/rows\" {{ named \"rows\"; options \"{options}\" }}\n}}\n"
        )
    };
    format!(
        "project \"two\"\nvolume \"rows\" {{ kind \"disk\"; size \"16MiB\" }}\n{}{}",
        sandbox("a", first),
        sandbox("b", second)
    )
}

#[test]
fn a_disk_has_one_writer_or_readers_alone() {
    let home = Home::machine();
    home.write("Sandboxfile", &two("rw", "rw"));
    home.msb(["up"]).exits(65).complains(&["rule::disk-shared", "`a` and `b`"]);
    home.write("Sandboxfile", &two("ro", "ro"));
    home.msb(["up"]).exits(0);
    home.msb(["down"]).exits(0);
    home.write("Sandboxfile", &two("rw", "ro"));
    home.msb(["up", "a"]).exits(0);
    home.msb(["up"]).exits(1).complains(&["volume::busy", "two/a has it mounted", "one writer"]);
    home.msb(["exec", "a", "--", "sh", "-c", "echo x > /rows/file"]).exits(0);
    home.msb(["stop", "a"]).exits(0);
    home.msb(["start", "b"]).exits(0);
    home.msb(["exec", "b", "--", "cat", "/rows/file"]).exits(0).says(&["x"]);
    home.msb(["down"]).exits(0);
    home.write("Sandboxfile", &two("ro", "ro"));
    reversed(&home);
}

#[test]
fn a_workload_that_is_signalled_reads_what_the_host_wrote() {
    let home = Home::machine();
    put(&home.project().join("app.conf"), "green\n");
    home.write(
        "Sandboxfile",
        "project \"shop\"\nsandbox \"box\" {\n  image \"builtin:base\"\n  command \"sh\" \"-c\" \
         \"trap 'cat /etc/app.conf' HUP; cat /etc/app.conf; while true; do sleep 1; done\"\n  \
         mount \"/etc/app.conf\" { file \"./app.conf\" on-change=\"signal:HUP\"; options \"ro\" }\n}\n",
    );
    home.msb(["up"]).exits(0);
    let says = |colour: &str| {
        let is_said = || home.msb(["logs", "box"]).stdout.contains(colour).then_some(());
        eventually(colour, Duration::from_secs(60), is_said);
    };
    says("green");
    put(&home.project().join("draft"), "blue\n");
    fs::rename(home.project().join("draft"), home.project().join("app.conf")).unwrap();
    home.msb(["diff"]).exits(2).says(&["1 live"]);
    home.msb(["up"]).exits(0);
    says("blue");
    home.msb(["up"]).exits(0).says(&["nothing to do"]);
    reversed(&home);
}

/// The head of a qcow2 image with a backing file, as far as anybody probes.
const QCOW2: &str =
    "QFI\\373\\000\\000\\000\\003\\000\\000\\000\\000\\000\\000\\000\\150\\000\\000\\000\\013";

#[test]
fn s6_a_disk_stays_raw_whatever_a_guest_writes_to_its_start() {
    let home = example();
    // A mounted disk is not written to from the side. The first bytes of ext4 are nobody's: what
    // stands there is kept, and believed by no one.
    let write = format!(
        "set -e; echo kept > /rows/file; dev=$(grep ' /rows ' /proc/mounts | cut -d' ' -f1); \
         umount /rows; \
         printf '{QCOW2}' | dd of=$dev bs=512 conv=notrunc; printf '/etc/passwd' | \
         dd of=$dev bs=1 seek=104 conv=notrunc; sync; mount -t ext4 $dev /rows"
    );
    sh(&home, &write).exits(0);
    home.msb(["restart", "box"]).exits(0);
    sh(&home, "cat /rows/file").exits(0).says(&["kept"]);
    let start = "dev=$(grep ' /rows ' /proc/mounts | cut -d' ' -f1); head -c 3 $dev; \
                 dd if=$dev bs=1 skip=104 count=11";
    sh(&home, start).exits(0).says(&["QFI/etc/passwd"]);
    reversed(&home);
}

#[test]
fn s5_a_source_that_is_replaced_while_a_guest_has_it_stays_what_it_was() {
    let home = example();
    let project = home.project();
    sh(&home, "echo first > /work/file").exits(0);
    fs::rename(project.join("work"), project.join("away")).unwrap();
    std::os::unix::fs::symlink("/etc", project.join("work")).unwrap();
    assert_eq!(sh(&home, "ls /work").exits(0).stdout, "file\n");
    sh(&home, "echo second > /work/file").exits(0);
    assert_eq!(fs::read_to_string(project.join("away/file")).unwrap(), "second\n");
    home.msb(["restart", "box"]).exits(1).complains(&["mount::link", "/work"]);
    fs::remove_file(project.join("work")).unwrap();
    fs::rename(project.join("away"), project.join("work")).unwrap();
    home.msb(["up"]).exits(0);
    sh(&home, "cat /work/file").exits(0).says(&["second"]);
    reversed(&home);
}

/// What a guest tries on `/work`, whose neighbour on the host is a canary: each must fail.
const WAYS_OUT: [&str; 9] = [
    "cat /work/up",
    "cat /work/far",
    "cat /work/sub/../../canary",
    "ls /work/../Sandboxfile",
    "ln -s ../canary /work/own && cat /work/own",
    "ln -s /proc/1/root/canary /work/magic && cat /work/magic",
    "ln /work/file /scratch/file",
    "mknod /work/null c 1 3",
    "mknod /work/disk b 254 0",
];

/// How often the host swaps a folder for a link while the guest goes through it.
const SWAPS: u32 = 3000;

#[test]
fn s3_a_guest_reaches_nothing_beside_a_shared_folder() {
    let home = example();
    let project = home.project();
    let (work, canary) = (project.join("work"), project.join("canary"));
    put(&canary, "outside");
    fs::create_dir_all(work.join("sub")).unwrap();
    put(&work.join("file"), "inside");
    std::os::unix::fs::symlink("../canary", work.join("up")).unwrap();
    std::os::unix::fs::symlink(&canary, work.join("far")).unwrap();
    for way in WAYS_OUT {
        let run = sh(&home, way);
        assert!(run.code != 0 && !run.stdout.contains("outside"), "{way} leads out: {run}");
    }
    let (swap, away) = (work.join("swap"), work.join("away"));
    fs::create_dir(&swap).unwrap();
    put(&swap.join("canary"), "inside");
    let through = "while [ ! -e /work/over ]; do cat /work/swap/canary; \
                   echo guest > /work/swap/canary; done 2>/dev/null | sort -u";
    let guest = home.start(["exec", "box", "--", "sh", "-c", through]);
    for _ in 0..SWAPS {
        fs::rename(&swap, &away).unwrap();
        std::os::unix::fs::symlink("..", &swap).unwrap();
        pause(Duration::from_micros(200));
        fs::remove_file(&swap).unwrap();
        fs::rename(&away, &swap).unwrap();
        pause(Duration::from_micros(200));
    }
    put(&work.join("over"), "");
    let run = guest.wait(Duration::from_secs(60)).exits(0);
    assert!(run.stdout.contains("guest") && !run.stdout.contains("outside"), "{run}");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "outside");
    reversed(&home);
}
