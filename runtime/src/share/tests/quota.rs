//! What guests add is counted, limited and given back.

use rustix::io::Errno;

use super::super::opcode;
use super::{House, PLAIN, TOP, Wish, longs, number, text, words};

#[test]
fn s4_a_quota_holds_bytes_and_gives_them_back() {
    let house = House::new(&Wish { quota: Some(1 << 20), ..PLAIN });
    let (node, handle) = house.create(TOP, "file", 0o600).unwrap();
    let block = vec![7; 64 << 10];
    let mut written = 0_u64;
    let refused = loop {
        match house.write(handle, written, &block) {
            Ok(count) => written += u64::from(count),
            Err(errno) => break errno,
        }
        assert!(written <= 1 << 20, "{written}");
    };
    assert_eq!(refused, Errno::DQUOT);
    assert!(written >= (1 << 20) - (64 << 10), "{written}");
    house.write(handle, 0, &block).unwrap();
    // A hole that would be filled takes room.
    house.setattr(node, (0, 0, 0, 0)).unwrap();
    assert_eq!(house.write(handle, 8 << 20, &block), Err(Errno::DQUOT));
    // A file without a name counts as long as somebody has it open.
    house.ask(opcode::UNLINK, TOP, &text(&["file"])).unwrap();
    let (_, other) = house.create(TOP, "other", 0o600).unwrap();
    assert_eq!(house.write(other, 0, &block), Err(Errno::DQUOT));
    house.release(handle);
    house.ask(opcode::FORGET, node, &longs(&[1])).unwrap();
    assert_eq!(house.write(other, 0, &block).unwrap(), 64 << 10);
}

#[test]
fn s4_a_quota_holds_files_too() {
    let house = House::new(&Wish { quota: Some(32 << 10), ..PLAIN });
    let made = (0..100).take_while(|at| house.create(TOP, &format!("{at}"), 0o600).is_ok());
    assert_eq!(made.count(), 8);
    house.ask(opcode::UNLINK, TOP, &text(&["0"])).unwrap();
    // The guest still knows the file; what it occupies is given back with it.
    let answer = house.create(TOP, "new", 0o600);
    assert_eq!(answer.map(|it| it.0), Err(Errno::DQUOT));
}

/// Returns how many blocks and files may still be added.
fn left(house: &House) -> (u64, u64) {
    let figures = house.ask(opcode::STATFS, TOP, b"").unwrap();
    (number(&figures, 8), number(&figures, 32))
}

#[test]
fn s4_what_comes_and_goes_leaves_the_figures_as_they_were() {
    let house = House::new(&Wish { quota: Some(64 << 20), ..PLAIN });
    let (_, base) = house.create(TOP, "base", 0o600).unwrap();
    house.write(base, 0, &vec![1; 1 << 20]).unwrap();
    let before = left(&house);
    let gone = |node: u64, call: u32, name: &str| {
        house.ask(call, TOP, &text(&[name])).unwrap();
        house.ask(opcode::FORGET, node, &longs(&[1])).unwrap();
    };
    // Long targets, large attributes and crowded folders have places of their own on a disk.
    let target = "x".repeat(1000);
    let value = vec![7; 2000];
    for _ in 0..20 {
        let entry = house.ask(opcode::SYMLINK, TOP, &text(&["link", &target])).unwrap();
        gone(number(&entry, 0), opcode::UNLINK, "link");
        let (node, handle) = house.create(TOP, "file", 0o4755).unwrap();
        let body = [words(&[2000, 0]), text(&["user.large"]), value.clone()].concat();
        // A file system without room for it beside the file says so.
        house.ask(opcode::SETXATTR, node, &body).ok();
        house.write(handle, 0, b"bytes").unwrap();
        house.release(handle);
        gone(node, opcode::UNLINK, "file");
        let body = [words(&[0o1777, 0]), text(&["folder"])].concat();
        let entry = house.ask(opcode::MKDIR, TOP, &body).unwrap();
        gone(number(&entry, 0), opcode::RMDIR, "folder");
    }
    let body = [words(&[0o755, 0]), text(&["crowd"])].concat();
    let crowd = number(&house.ask(opcode::MKDIR, TOP, &body).unwrap(), 0);
    for at in 0..600 {
        let name = format!("{at:0200}");
        let (node, handle) = house.create(crowd, &name, 0o600).unwrap();
        house.release(handle);
        house.ask(opcode::UNLINK, crowd, &text(&[&name])).unwrap();
        house.ask(opcode::FORGET, node, &longs(&[1])).unwrap();
    }
    gone(crowd, opcode::RMDIR, "crowd");
    assert_eq!(left(&house), before);
}

#[test]
fn s4_what_must_stay_free_on_the_host_is_no_guests() {
    let house = House::new(&Wish { reserve: u64::MAX / 2, ..PLAIN });
    assert_eq!(house.create(TOP, "file", 0o600).map(|it| it.0), Err(Errno::NOSPC));
    assert!(!house.path("file").exists());
}
