//! A guest's kernel that is none: raw calls to a server on a real folder.

mod quota;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use schema::launch::{HostPerms, StatVirt};

use super::guard::Guard;
use super::opcode;
use super::quota::Usage;
use super::reply::Reply;
use super::scratch::Scratch;
use super::serve::Server;
use super::share::{Rules, Share};
use super::tally::Tally;
use super::wire::{Call, Head};

const TOP: u64 = 2;
const FILE: u64 = 1 << 12;

#[expect(clippy::disallowed_methods, reason = "a test's input")]
pub(super) fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

/// A folder that is shared, with a canary beside it.
struct House {
    scratch: Scratch,
    server: Server,
}

/// What a share is made with, in a test.
struct Wish {
    read_only: bool,
    stat_virt: StatVirt,
    host_perms: HostPerms,
    quota: Option<u64>,
    protected: &'static [&'static str],
    file: Option<&'static str>,
    nodes_max: usize,
    reserve: u64,
}

const PLAIN: Wish = Wish {
    read_only: false,
    stat_virt: StatVirt::Strict,
    host_perms: HostPerms::Private,
    quota: None,
    protected: &[],
    file: None,
    nodes_max: 1000,
    reserve: 0,
};

impl House {
    fn new(wish: &Wish) -> Self {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("data")).unwrap();
        put(&scratch.path().join("canary"), b"canary");
        let usage = wish.quota.map(|limit| {
            let mut options = fs::File::options();
            options.read(true).write(true).create(true).truncate(true);
            let figures = options.open(scratch.path().join("usage")).unwrap();
            let folder = scratch.open("data");
            Usage::attach(figures.into(), std::os::fd::AsFd::as_fd(&folder), limit).unwrap()
        });
        let rules = Rules {
            read_only: wish.read_only,
            stat_virt: wish.stat_virt,
            host_perms: wish.host_perms,
            usage,
            guard: Guard::new(wish.protected.iter().copied()),
            reserve: wish.reserve,
        };
        let file = wish.file.map(|name| name.as_bytes().to_vec());
        let share = Share::new(0, scratch.open("data"), file, rules);
        let server =
            Server::new(vec![Arc::new(share)], wish.nodes_max, Tally::make().unwrap().0).unwrap();
        Self { scratch, server }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path().join("data").join(name)
    }

    /// Asks as the guest's root.
    fn ask(&self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        self.ask_as((0, 0), opcode, node, body)
    }

    fn ask_as(
        &self,
        (uid, gid): (u32, u32),
        opcode: u32,
        node: u64,
        body: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let head = Head { len: 0, opcode, unique: 1, node, uid, gid };
        let mut reply = Reply::new();
        let answer = self.server.answer(&head, Call::parse(opcode, body), &mut reply);
        let Some(answer) = answer else { return Ok(Vec::new()) };
        answer?;
        Ok(reply.finish(1, answer)[16..].to_vec())
    }

    /// Looks a name up; returns its node and its mode, owner and group.
    fn lookup(&self, parent: u64, name: &str) -> Result<(u64, [u32; 3]), Errno> {
        let entry = self.ask(opcode::LOOKUP, parent, &text(&[name]))?;
        Ok((number(&entry, 0), owner(&entry[40..])))
    }

    fn node(&self, path: &str) -> u64 {
        path.split('/').fold(TOP, |parent, name| {
            let (node, _) = self.lookup(parent, name).unwrap();
            assert_ne!(node, 0, "{path} is not there");
            node
        })
    }

    /// Makes a file; returns its node and its handle.
    fn create(&self, parent: u64, name: &str, mode: u32) -> Result<(u64, u64), Errno> {
        self.create_as((0, 0), parent, name, mode)
    }

    fn create_as(
        &self,
        who: (u32, u32),
        parent: u64,
        name: &str,
        mode: u32,
    ) -> Result<(u64, u64), Errno> {
        let body = [words(&[2, 0o100_000 | mode, 0, 0]), text(&[name])].concat();
        let answer = self.ask_as(who, opcode::CREATE, parent, &body)?;
        Ok((number(&answer, 0), number(&answer, 128)))
    }

    fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let size = u32::try_from(data.len()).unwrap();
        let body = [longs(&[handle, offset]), words(&[size, 0, 0, 0, 0, 0]), data.to_vec()];
        let answer = self.ask(opcode::WRITE, 0, &body.concat())?;
        Ok(u32::from_ne_bytes(answer[..4].try_into().unwrap()))
    }

    fn read(&self, handle: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let body = [longs(&[handle, offset]), words(&[size, 0, 0, 0, 0, 0])].concat();
        self.ask(opcode::READ, 0, &body)
    }

    fn open(&self, node: u64, flags: u32) -> Result<u64, Errno> {
        self.ask(opcode::OPEN, node, &words(&[flags, 0])).map(|answer| number(&answer, 0))
    }

    fn release(&self, handle: u64) {
        self.ask(opcode::RELEASE, 0, &longs(&[handle, 0, 0])).unwrap();
    }

    fn rename(&self, from: (u64, &str), to: (u64, &str)) -> Result<(), Errno> {
        let body = [longs(&[to.0, 0]), text(&[from.1, to.1])].concat();
        self.ask(opcode::RENAME2, from.0, &body).map(drop)
    }

    fn chmod(&self, node: u64, mode: u32) -> Result<[u32; 3], Errno> {
        self.setattr(node, (1, mode, 0, 0))
    }

    fn setattr(
        &self,
        node: u64,
        (valid, mode, uid, gid): (u32, u32, u32, u32),
    ) -> Result<[u32; 3], Errno> {
        let mut body = words(&[valid, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, mode, 0]);
        body.extend(words(&[uid, gid, 0]));
        self.ask(opcode::SETATTR, node, &body).map(|answer| owner(&answer[16..]))
    }

    fn names(&self, node: u64) -> Vec<String> {
        let handle = self.ask(opcode::OPENDIR, node, &words(&[0, 0])).map(|it| number(&it, 0));
        let (handle, mut names, mut offset) = (handle.unwrap(), Vec::new(), 0);
        loop {
            let body = [longs(&[handle, offset]), words(&[512, 0, 0, 0, 0, 0])].concat();
            let listed = self.ask(opcode::READDIR, node, &body).unwrap();
            let mut rest = &listed[..];
            while rest.len() >= 24 {
                offset = number(rest, 8);
                let len = u32::from_ne_bytes(rest[16..20].try_into().unwrap()) as usize;
                names.push(String::from_utf8_lossy(&rest[24..24 + len]).into_owned());
                rest = &rest[24 + len.next_multiple_of(8)..];
            }
            if listed.is_empty() {
                names.sort();
                return names;
            }
        }
    }

    fn canary(&self) -> Vec<u8> {
        fs::read(self.scratch.path().join("canary")).unwrap()
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}

fn text(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect()
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Mode, owner and group of attributes.
fn owner(attributes: &[u8]) -> [u32; 3] {
    [60, 68, 72].map(|at| u32::from_ne_bytes(attributes[at..at + 4].try_into().unwrap()))
}

#[test]
fn what_is_written_is_on_the_host_when_the_call_returns() {
    let house = House::new(&PLAIN);
    let (node, handle) = house.create(TOP, "a file", 0o644).unwrap();
    assert_eq!(house.write(handle, 0, b"hello, ").unwrap(), 7);
    assert_eq!(house.write(handle, 7, b"host").unwrap(), 4);
    assert_eq!(fs::read(house.path("a file")).unwrap(), b"hello, host");
    assert_eq!(house.read(handle, 7, 100).unwrap(), b"host");
    house.release(handle);
    assert_eq!(house.read(handle, 0, 1), Err(Errno::BADF));
    let reader = house.open(node, 0).unwrap();
    assert_eq!(house.write(reader, 0, b"x"), Err(Errno::BADF));
}

#[test]
fn folders_are_made_listed_renamed_and_removed() {
    let house = House::new(&PLAIN);
    let body = [words(&[0o755, 0]), text(&["folder"])].concat();
    house.ask(opcode::MKDIR, TOP, &body).unwrap();
    let folder = house.node("folder");
    for number in 0..100 {
        let (_, handle) = house.create(folder, &format!("file {number:02}"), 0o600).unwrap();
        house.release(handle);
    }
    assert_eq!(house.names(folder).len(), 102);
    house.rename((folder, "file 00"), (TOP, "out")).unwrap();
    assert!(house.path("out").is_file());
    assert_eq!(house.ask(opcode::RMDIR, TOP, &text(&["folder"])), Err(Errno::NOTEMPTY));
    for number in 1..100 {
        house.ask(opcode::UNLINK, folder, &text(&[&format!("file {number:02}")])).unwrap();
    }
    house.ask(opcode::RMDIR, TOP, &text(&["folder"])).unwrap();
    assert_eq!(house.lookup(TOP, "folder").unwrap().0, 0, "a name that leads nowhere");
    assert_eq!(house.names(TOP), [".", "..", "out"]);
}

#[test]
fn s3_no_name_and_no_link_leads_out_of_the_folder() {
    let house = House::new(&PLAIN);
    symlink("../canary", house.path("link")).unwrap();
    symlink("/", house.path("root")).unwrap();
    for name in ["..", ".", "", "a/b", "../canary"] {
        assert_eq!(house.lookup(TOP, name), Err(Errno::INVAL), "{name:?}");
        assert_eq!(house.create(TOP, name, 0o600), Err(Errno::INVAL), "{name:?}");
        assert_eq!(house.ask(opcode::UNLINK, TOP, &text(&[name])), Err(Errno::INVAL), "{name:?}");
    }
    let (link, [mode, ..]) = house.lookup(TOP, "link").unwrap();
    assert_eq!(mode & 0o170_000, 0o120_000);
    assert_eq!(house.open(link, 0), Err(Errno::ACCESS));
    let (root, _) = house.lookup(TOP, "root").unwrap();
    assert_eq!(house.lookup(root, "etc"), Err(Errno::NOTDIR));
    assert_eq!(house.create(root, "x", 0o600), Err(Errno::NOTDIR));
    // Attributes are the link's own, never its target's.
    house.chmod(link, 0o777).ok();
    assert_eq!(house.canary(), b"canary");
    assert_eq!(fs::metadata(house.scratch.path().join("canary")).unwrap().mode() & 0o111, 0);
    assert_eq!(house.ask(opcode::READLINK, link, b"").unwrap(), b"../canary");
}

#[test]
fn s3_devices_and_strange_numbers_are_refused() {
    let house = House::new(&PLAIN);
    for mode in [0o020_666, 0o060_666, 0o120_777, 0o040_755] {
        let body = [words(&[mode, 0x103, 0, 0]), text(&["device"])].concat();
        assert_eq!(house.ask(opcode::MKNOD, TOP, &body), Err(Errno::PERM), "{mode:o}");
    }
    for node in [0, 3, 99, FILE, 1 << 16, u64::MAX] {
        let answer = house.ask(opcode::GETATTR, node, &longs(&[0, 0]));
        assert_eq!(answer, Err(Errno::STALE), "{node}");
    }
    assert_eq!(house.read(77, 0, 1), Err(Errno::BADF));
    house.ask(opcode::FORGET, TOP, &longs(&[u64::MAX])).unwrap();
    house.ask(opcode::FORGET, TOP, &longs(&[1])).unwrap();
    assert!(!house.path("device").exists());
}

/// How often a folder is swapped for a link while it is used, in every run and at night.
const SWAPS: u32 = 10_000;
const SWAPS_AT_NIGHT: u32 = 1_000_000;

#[test]
fn s3_a_folder_that_is_swapped_while_it_is_used_never_shows_what_is_outside() {
    let house = House::new(&PLAIN);
    let (dir, away) = (house.path("swap"), house.path("away"));
    fs::create_dir(&dir).unwrap();
    put(&dir.join("canary"), b"inside");
    let done = AtomicBool::new(false);
    let is_whole = std::env::var_os("MSB_BATTERY").is_some_and(|value| value == "whole");
    let swaps = if is_whole { SWAPS_AT_NIGHT } else { SWAPS };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..swaps {
                fs::rename(&dir, &away).unwrap();
                symlink("..", &dir).unwrap();
                fs::remove_file(&dir).unwrap();
                fs::rename(&away, &dir).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let Ok((folder, _)) = house.lookup(TOP, "swap") else { continue };
            let Ok((file, _)) = house.lookup(folder, "canary") else { continue };
            let Ok(handle) = house.open(file, 2) else { continue };
            assert_eq!(house.read(handle, 0, 100).unwrap(), b"inside");
            house.write(handle, 0, b"inside").unwrap();
            house.release(handle);
        }
    });
    assert_eq!(house.canary(), b"canary");
}

#[test]
fn a_hard_link_stays_inside_and_shows_the_same_file() {
    let house = House::new(&PLAIN);
    let (node, handle) = house.create(TOP, "one", 0o644).unwrap();
    let body = [longs(&[node]), text(&["two"])].concat();
    house.ask(opcode::LINK, TOP, &body).unwrap();
    assert_eq!(house.node("two"), node);
    house.write(handle, 0, b"both").unwrap();
    assert_eq!(fs::read(house.path("two")).unwrap(), b"both");
}

#[test]
fn owners_and_modes_are_kept_beside_files_that_are_private_on_the_host() {
    let house = House::new(&PLAIN);
    let (node, _) = house.create_as((1000, 1001), TOP, "file", 0o644).unwrap();
    assert_eq!(house.lookup(TOP, "file").unwrap().1, [0o100_644, 1000, 1001]);
    let host = fs::metadata(house.path("file")).unwrap();
    assert_eq!(host.permissions().mode() & 0o7777, 0o600);
    assert_eq!(host.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(house.chmod(node, 0o4755).unwrap(), [0o104_755, 1000, 1001]);
    let host = fs::metadata(house.path("file")).unwrap();
    assert_eq!(host.permissions().mode() & 0o7077, 0, "no set-id bit is on the host");
    // Giving it away takes the bit.
    assert_eq!(house.setattr(node, (6, 0, 7, 8)).unwrap(), [0o100_755, 7, 8]);
    let listed = house.ask(opcode::LISTXATTR, node, &words(&[1000, 0])).unwrap();
    assert!(listed.is_empty(), "ours are not seen: {listed:?}");
    let name = [words(&[100, 0]), text(&["user.msb.stat"])].concat();
    assert_eq!(house.ask(opcode::GETXATTR, node, &name), Err(Errno::OPNOTSUPP));
}

#[test]
fn our_files_are_the_sandbox_users_and_strangers_keep_their_numbers() {
    let house = House::new(&PLAIN);
    put(&house.path("ours"), b"");
    let user = words(&[33, 34]);
    house.ask(super::wire::OPCODE_USER, 0, &user).unwrap();
    let (_, [_, uid, gid]) = house.lookup(TOP, "ours").unwrap();
    assert_eq!((uid, gid), (33, 34));
    house.ask(super::wire::OPCODE_USER, 0, &words(&[0, 0])).unwrap();
    assert_eq!(house.lookup(TOP, "ours").unwrap().1[1], 33, "it is said once");
}

#[test]
fn mirrored_modes_are_the_hosts() {
    let house = House::new(&Wish { host_perms: HostPerms::Mirror, ..PLAIN });
    let (node, _) = house.create_as((1000, 1000), TOP, "file", 0o444).unwrap();
    assert_eq!(fs::metadata(house.path("file")).unwrap().mode() & 0o7777, 0o444);
    assert_eq!(house.lookup(TOP, "file").unwrap().1, [0o100_444, 1000, 1000]);
    fs::set_permissions(house.path("file"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(house.lookup(TOP, "file").unwrap().1[0], 0o100_640);
    house.chmod(node, 0o751).unwrap();
    assert_eq!(fs::metadata(house.path("file")).unwrap().mode() & 0o7777, 0o751);
}

#[test]
fn a_fifo_is_a_file_on_the_host_that_says_what_it_is() {
    let house = House::new(&PLAIN);
    let body = [words(&[0o010_622, 0, 0, 0]), text(&["fifo"])].concat();
    house.ask_as((5, 6), opcode::MKNOD, TOP, &body).unwrap();
    assert_eq!(house.lookup(TOP, "fifo").unwrap().1, [0o010_622, 5, 6]);
    assert!(house.path("fifo").is_file());
    let off = House::new(&Wish { stat_virt: StatVirt::Off, ..PLAIN });
    off.ask(opcode::MKNOD, TOP, &body).unwrap();
    assert!(!off.path("fifo").is_file());
    let fifo = off.node("fifo");
    assert_eq!(off.open(fifo, 0), Err(Errno::ACCESS), "the host's fifo is never opened");
}

#[test]
fn a_group_is_handed_on_by_its_folder() {
    let house = House::new(&PLAIN);
    let body = [words(&[0o755, 0]), text(&["team"])].concat();
    house.ask(opcode::MKDIR, TOP, &body).unwrap();
    let team = house.node("team");
    house.setattr(team, (5, 0o2775, 0, 50)).unwrap();
    house.create_as((1000, 1000), team, "file", 0o644).unwrap();
    assert_eq!(house.lookup(team, "file").unwrap().1, [0o100_644, 1000, 50]);
}

#[test]
fn a_share_that_is_read_only_changes_in_no_way() {
    let house = House::new(&Wish { read_only: true, ..PLAIN });
    put(&house.path("file"), b"as it was");
    let node = house.node("file");
    let read_only = Err(Errno::ROFS);
    assert_eq!(house.open(node, 1), read_only);
    assert_eq!(house.open(node, 2), read_only);
    assert_eq!(house.create(TOP, "new", 0o600).map(|it| it.0), read_only);
    assert_eq!(house.chmod(node, 0o777), Err(Errno::ROFS));
    assert_eq!(house.rename((TOP, "file"), (TOP, "other")), Err(Errno::ROFS));
    for (call, body) in [
        (opcode::UNLINK, text(&["file"])),
        (opcode::MKDIR, [words(&[0o755, 0]), text(&["d"])].concat()),
        (opcode::SYMLINK, text(&["l", "target"])),
        (opcode::MKNOD, [words(&[0o100_600, 0, 0, 0]), text(&["n"])].concat()),
        (opcode::LINK, [longs(&[node]), text(&["h"])].concat()),
    ] {
        assert_eq!(house.ask(call, TOP, &body), Err(Errno::ROFS), "call {call}");
    }
    let value = [words(&[1, 0]), text(&["user.x"]), b"v".to_vec()].concat();
    assert_eq!(house.ask(opcode::SETXATTR, node, &value), Err(Errno::ROFS));
    let handle = house.open(node, 0).unwrap();
    assert_eq!(house.read(handle, 0, 100).unwrap(), b"as it was");
    assert_eq!(house.names(TOP), [".", "..", "file"]);
}

#[test]
fn protected_paths_and_the_names_above_them_stay() {
    let house = House::new(&Wish { protected: &["ops/Sandboxfile"], ..PLAIN });
    fs::create_dir(house.path("ops")).unwrap();
    put(&house.path("ops/Sandboxfile"), b"as it was");
    let (ops, file) = (house.node("ops"), house.node("ops/Sandboxfile"));
    assert_eq!(house.open(file, 1), Err(Errno::ROFS));
    assert_eq!(house.chmod(file, 0o777), Err(Errno::ROFS));
    assert_eq!(house.rename((TOP, "ops"), (TOP, "else")), Err(Errno::ROFS));
    assert_eq!(house.rename((ops, "Sandboxfile"), (ops, "other")), Err(Errno::ROFS));
    house.create(ops, "mine", 0o600).unwrap();
    assert_eq!(house.rename((ops, "mine"), (ops, "Sandboxfile")), Err(Errno::ROFS));
    assert_eq!(house.ask(opcode::UNLINK, ops, &text(&["Sandboxfile"])), Err(Errno::ROFS));
    let link = [longs(&[file]), text(&["way around"])].concat();
    assert_eq!(house.ask(opcode::LINK, ops, &link), Err(Errno::ROFS));
    house.open(file, 0).unwrap();
    house.ask(opcode::UNLINK, ops, &text(&["mine"])).unwrap();
}

#[test]
fn whose_a_link_is_cannot_be_kept_and_is_an_error_unless_that_does_not_matter() {
    for (stat_virt, answer) in
        [(StatVirt::Strict, Err(Errno::PERM)), (StatVirt::Relaxed, Ok([0o120_777, 0, 0]))]
    {
        let house = House::new(&Wish { stat_virt, ..PLAIN });
        let entry = house.ask(opcode::SYMLINK, TOP, &text(&["link", "target"])).unwrap();
        assert_eq!(house.setattr(number(&entry, 0), (6, 0, 7, 8)), answer);
    }
}

#[test]
fn a_single_file_is_served_by_its_name_alone() {
    let house = House::new(&Wish { file: Some("app.conf"), ..PLAIN });
    put(&house.path("app.conf"), b"one");
    put(&house.path("secret"), b"not shared");
    assert_eq!(house.names(TOP), [".", "..", "f"]);
    assert_eq!(house.lookup(TOP, "secret"), Err(Errno::NOENT));
    let (node, [mode, ..]) = house.lookup(TOP, "f").unwrap();
    assert_eq!((node, mode & 0o170_000), (FILE, 0o100_000));
    let handle = house.open(node, 2).unwrap();
    assert_eq!(house.read(handle, 0, 10).unwrap(), b"one");
    // An editor replaces it: the next open sees the new one.
    put(&house.path("draft"), b"two");
    fs::rename(house.path("draft"), house.path("app.conf")).unwrap();
    let again = house.open(node, 2).unwrap();
    assert_eq!(house.read(again, 0, 10).unwrap(), b"two");
    house.write(again, 0, b"TWO").unwrap();
    assert_eq!(fs::read(house.path("app.conf")).unwrap(), b"TWO");
    assert_eq!(house.ask(opcode::UNLINK, TOP, &text(&["f"])), Err(Errno::BUSY));
    assert_eq!(house.rename((TOP, "f"), (TOP, "g")), Err(Errno::BUSY));
    fs::remove_file(house.path("app.conf")).unwrap();
    assert_eq!(house.open(node, 0), Err(Errno::NOENT));
    symlink("secret", house.path("app.conf")).unwrap();
    assert_eq!(house.open(node, 0), Err(Errno::NOENT), "a link leads nowhere");
}

#[test]
fn a_table_that_is_full_says_so_and_names_what_could_go() {
    let house = House::new(&Wish { nodes_max: 300, ..PLAIN });
    let mut last = Ok((0, 0));
    for number in 0..400 {
        last = house.create(TOP, &format!("{number}"), 0o600);
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last.map(|it| it.0), Err(Errno::NFILE));
    let crowded = house.server.nodes.crowded();
    assert!(crowded.contains(&(TOP, b"0".to_vec())), "{crowded:?}");
    assert!(house.server.nodes.crowded().is_empty(), "it is asked once");
}

#[test]
fn users_attributes_pass_and_others_do_not() {
    let house = House::new(&PLAIN);
    let (node, _) = house.create(TOP, "file", 0o600).unwrap();
    let set = |name: &str| {
        let body = [words(&[5, 0]), text(&[name]), b"value".to_vec()].concat();
        house.ask(opcode::SETXATTR, node, &body).map(drop)
    };
    set("user.mine").unwrap();
    for name in ["security.capability", "trusted.overlay.opaque", "user.msb.stat", "system.x"] {
        assert_eq!(set(name), Err(Errno::OPNOTSUPP), "{name}");
    }
    let ask = [words(&[100, 0]), text(&["user.mine"])].concat();
    assert_eq!(house.ask(opcode::GETXATTR, node, &ask).unwrap(), b"value");
    let size = house.ask(opcode::GETXATTR, node, &[words(&[0, 0]), text(&["user.mine"])].concat());
    assert_eq!(size.unwrap()[..4], 5_u32.to_ne_bytes());
    let short = [words(&[2, 0]), text(&["user.mine"])].concat();
    assert_eq!(house.ask(opcode::GETXATTR, node, &short), Err(Errno::RANGE));
    house.ask(opcode::REMOVEXATTR, node, &text(&["user.mine"])).unwrap();
}
