//! What a guest sees of an image is what `umoci unpack` makes of it, for images that are hard to lay out.
//!
//! ```text
//! fixtures/images/hard ─▶ layout ─ umoci ─▶ rootfs ─ listing ─┐
//!                            └ msb load ─▶ guest ── listing ──┴─ equal?
//! ```
//!
//! One program lists both sides: every path with type, mode, owner, size, names, time, link,
//! attributes and SHA-256, see `fixtures/listing.c`. The long form is `.ci/nightly IMAGES`.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use tests::home::{Home, put, slowness};
use tests::matrix::{is_whole, say};
use tests::programs::checkout;
use tests::run::lasted;
use tests::skip::skip;

/// What is no image's in a guest: what the agent mounts, and writes of names and addresses.
const SKIPPED: [&str; 9] = [
    "/.msb",
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/machine-id",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/sys",
];

/// The folders that these lie in have been written to since.
const UNTIMED: [&str; 2] = ["/", "/etc"];

/// What a listing tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// How many lines there are, and the digest of them.
    Digest,
    /// The lines, too.
    Lines,
}

/// How many lines of a difference are shown, of each side.
const SHOWN_MAX: usize = 20;

/// Who says what an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Witness {
    /// `umoci`: its raw form unpacks the same, and does not hash what it unpacked.
    Umoci,
    /// GNU tar, layer over layer. umoci 0.4.7 knows no entry of type `S` (`unknown typeflag '\x53'`),
    /// which is how GNU tar packs a sparse file unless it is told otherwise, and leaves an attribute
    /// without a value away, which a file may well have. Where no layer hides or replaces anything,
    /// to unpack one over the other is all there is to it.
    Tar,
}

/// Returns how long a guest may list.
fn patience() -> Duration {
    Duration::from_secs(if is_whole() { 3600 } else { 300 }) * slowness()
}

/// Compiles the program that lists, for a root in which there is nothing else.
fn listing(home: &Home) -> PathBuf {
    let program = home.scratch("listing");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-static", "-o"]).arg(&program);
    ran(gcc.arg(checkout().join("tests/fixtures/listing.c")));
    program
}

/// Runs a command that has to do well, and returns what it printed.
fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the words for a listing.
fn words(what: &str, told: Told) -> Vec<&'static str> {
    let mut words = match told {
        Told::Digest => vec![],
        Told::Lines => vec!["lines"],
    };
    // In the files of `holes` there is nothing to be read between the pieces, at night neither.
    words.extend((!is_whole() || what == "holes").then_some("pieces"));
    words.extend(SKIPPED.iter().flat_map(|path| ["skip", path]));
    words.extend(UNTIMED.iter().flat_map(|path| ["untimed", path]));
    words
}

/// Returns a listing of a root outside.
fn outside(program: &Path, root: &Path, what: &str, told: Told) -> String {
    ran(Command::new(program).arg(root).args(words(what, told)))
}

/// Returns the listing that a machine of the image makes of its root.
fn inside(home: &Home, what: &str, told: Told) -> String {
    let mut command = home.command();
    command.args(["run", "-m", "512MiB", "hard:1", "--", "/listing", "/"]).args(words(what, told));
    home.spawn(command).wait(patience()).exits(0).stdout
}

/// Unpacks a layout as the witness does, and returns the root.
fn unpacked(folder: &Path, witness: Witness) -> PathBuf {
    let root = folder.join("rootfs");
    match witness {
        Witness::Umoci => {
            let layout = format!("{}:it", folder.join("layout").display());
            ran(Command::new("umoci").args(["raw", "unpack", "--image", &layout]).arg(&root));
        }
        Witness::Tar => {
            std::fs::create_dir(&root).unwrap();
            for layer in read_to_string(folder.join("layers")).unwrap().lines() {
                let mut tar = Command::new("tar");
                tar.args(["--extract", "--same-owner", "--same-permissions", "--numeric-owner"]);
                tar.args(["--xattrs", "--xattrs-include=*"]);
                ran(tar.args(["--file", layer, "--directory"]).arg(&root));
            }
        }
    }
    root
}

/// Holds that an image is the same in a guest as outside, and that there is something in it.
fn is_the_same(what: &str, witness: Witness, paths_min: u64) {
    let home = Home::machine();
    if !may_make_everything(&home) {
        return skip("listings");
    }
    let program = listing(&home);
    let folder = home.scratch("image");
    std::fs::create_dir(&folder).unwrap();
    let mut make = Command::new(checkout().join("tests/fixtures/images/hard"));
    make.arg(what).arg(&folder).arg(&program).args(is_whole().then_some("whole"));
    let (made, making) = lasted(|| ran(&mut make));
    let (root, unpacking) = lasted(|| unpacked(&folder, witness));
    let (theirs, listing) = lasted(|| outside(&program, &root, what, Told::Digest));

    let archive = folder.join("image.tar");
    let load = ["load", "-i", archive.to_str().unwrap(), "-t", "hard:1"];
    let (_, loading) = lasted(|| home.start(load).wait(patience()).exits(0));
    let (ours, looking) = lasted(|| inside(&home, what, Told::Digest));

    let [making, unpacking, listing, loading, looking] =
        [making, unpacking, listing, loading, looking].map(|took| took.as_secs());
    say(&format!(
        "IMAGES: {what}: {}, listed as {} (made {making} s, {witness:?} {unpacking} s, listed \
         {listing} s; loaded {loading} s, booted and listed {looking} s)",
        made.trim(),
        theirs.trim(),
    ));
    if ours != theirs {
        let difference = difference(
            &outside(&program, &root, what, Told::Lines),
            &inside(&home, what, Told::Lines),
        );
        panic!("{what}: the guest has {ours}{witness:?} has {theirs}{difference}");
    }
    let count: u64 = theirs.split(' ').next().unwrap().parse().unwrap();
    assert!(count >= paths_min, "{count} paths are listed of {what}: {made}");
}

/// Tells whether we may give files to others and make devices, as who unpacks an image has to.
fn may_make_everything(home: &Home) -> bool {
    let device = home.scratch("null");
    let made = rustix::fs::mknodat(CWD, &device, FileType::CharacterDevice, Mode::RUSR, 0x103);
    rustix::process::geteuid().is_root() && made.is_ok()
}

/// Returns the first lines that only one side has.
fn difference(theirs: &str, ours: &str) -> String {
    let only = |these: &str, those: &str| {
        let others: BTreeSet<&str> = those.lines().collect();
        let lines = these.lines().filter(|line| !others.contains(line));
        lines.take(SHOWN_MAX).map(|line| format!("\n    {line}")).collect::<String>()
    };
    format!("\n  only outside:{}\n  only in the guest:{}", only(theirs, ours), only(ours, theirs))
}

#[test]
fn a_guest_sees_of_127_layers_what_umoci_makes_of_them() {
    is_the_same("layers", Witness::Umoci, 200);
}

#[test]
fn a_guest_sees_every_piece_of_a_file_beyond_4_gib() {
    is_the_same("large", Witness::Umoci, 8);
}

#[test]
fn a_guest_sees_sparse_files_and_empty_attributes_of_gnu_tar_as_tar_does() {
    is_the_same("holes", Witness::Tar, 8);
}

#[test]
fn a_guest_sees_as_many_files_as_were_packed() {
    is_the_same("many", Witness::Umoci, if is_whole() { 200_000 } else { 3000 });
}

#[test]
fn a_guest_sees_odd_names_owners_modes_times_and_attributes_as_they_are() {
    is_the_same("odd", Witness::Umoci, 490);
}

#[test]
fn a_listing_tells_every_kind_of_difference() {
    let home = Home::machine();
    let (program, root) = (listing(&home), home.scratch("root"));
    let shell = |script: &str| ran(Command::new("sh").args(["-ec", script]).current_dir(&root));
    std::fs::create_dir(&root).unwrap();
    put(&root.join("file"), "text");
    shell("mkdir d; ln -s file link; ln file second; touch -d @5 file d; mkfifo pipe");
    let mut seen = vec![outside(&program, &root, "", Told::Digest)];
    assert!(seen[0].starts_with("6 "), "{}", seen[0]);
    assert_eq!(outside(&program, &root, "", Told::Digest), seen[0], "nothing has changed");
    let attribute = |value: &[u8]| {
        rustix::fs::setxattr(root.join("file"), "user.a", value, XattrFlags::empty()).unwrap();
    };
    let changes: [&dyn Fn(); 12] = [
        &|| attribute(b"1"),
        &|| attribute(b"2"),
        &|| drop(shell("chmod 4755 file")),
        &|| drop(shell("touch -d @5.000000001 file")),
        &|| drop(shell("printf teXt >file; touch -d @5.000000001 file")),
        &|| drop(shell("truncate -s 5 file; touch -d @5.000000001 file")),
        &|| drop(shell("touch -h -d @7 link")),
        &|| drop(shell("ln -sfn files link; touch -h -d @7 link")),
        &|| drop(shell("rm second; cp -p file second")),
        &|| drop(shell("rm pipe; mkdir pipe")),
        &|| drop(shell("mv d \"$(printf 'e\\377\\n')\"")),
        &|| drop(shell("chmod 1755 e*")),
    ];
    for (number, change) in changes.iter().enumerate() {
        change();
        let now = outside(&program, &root, "", Told::Digest);
        assert!(!seen.contains(&now), "change {number} is not seen");
        seen.push(now);
    }
}
