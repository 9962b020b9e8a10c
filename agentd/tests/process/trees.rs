//! Trees of files: sent and taken by a child of the agent, with notes, and given up in the middle.

use std::fs;
use std::path::Path;

use schema::archive::craft::Archive;
use schema::wire::files::{Destination, FileNote, Links, NoteKind, Notes, Owners};
use schema::wire::message::{Error, ErrorCode, ExecFailure, Message, TreeGet, TreePut};
use schema::wire::{Frame, Kind, STREAM_MAIN};

use crate::client::{Agent, Outcome};

fn get(path: &str) -> TreeGet {
    let path: Vec<u8> = path.into();
    TreeGet { path: path.into(), name: b"t".to_vec().into(), links: Links::Kept, user: None }
}

fn put(path: &str) -> TreePut {
    let (path, name): (Vec<u8>, Vec<u8>) = (path.into(), b"t".to_vec());
    let (into, owners) = (Destination::Either, Owners::Own);
    TreePut { path: path.into(), name: Some(name.into()), into, owners, user: None }
}

fn run(agent: &mut Agent, message: impl Into<Message>, tree: &[u8]) -> (Outcome, Vec<FileNote>) {
    let id = agent.open_with(message);
    if !tree.is_empty() {
        agent.send(&Frame::data(id, STREAM_MAIN, tree));
        agent.send(&Frame::end(id, STREAM_MAIN));
    }
    let outcome = agent.finish(id);
    let (mut notes, mut said) = (Notes::default(), Vec::new());
    notes.push(&outcome.stderr);
    while let Some(note) = notes.next_note().unwrap() {
        said.push(note);
    }
    (outcome, said)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_tree_is_taken_and_sent_again() {
    let mut agent = Agent::up();
    let tree =
        Archive::default().folder("t").file("t/a", b"hello").device(b'3', "t/null", (1, 3)).end();
    let (outcome, said) = run(&mut agent, put("/there"), &tree);
    assert_eq!(outcome.code(), Some(0));
    let null = FileNote::new(NoteKind::Unsafe, b"t/null", "a device is not copied");
    assert_eq!(said, [null, FileNote::copied(1, 5)]);
    assert_eq!(fs::read(agent.root().join("there/a")).unwrap(), b"hello");
    let (outcome, said) = run(&mut agent, get("there"), b"");
    assert_eq!((outcome.code(), said), (Some(0), vec![FileNote::copied(1, 5)]));
    assert_eq!(outcome.stdout.len() % 512, 0);
    assert!(outcome.stdout.windows(5).any(|bytes| bytes == b"hello"));
}

#[test]
fn what_cannot_begin_is_told_and_what_is_not_there_too() {
    let mut agent = Agent::up();
    let (outcome, said) = run(&mut agent, get("/nothing"), b"");
    assert_eq!(
        (outcome.code(), said[0].kind, said[0].errno),
        (Some(1), NoteKind::Missing, Some(2))
    );
    let (_, said) =
        run(&mut agent, put("/no/such/folder"), &Archive::default().file("t", b"").end());
    assert_eq!(said[0].kind, NoteKind::Target);
    let (outcome, _) = run(&mut agent, get("/a\0b"), b"");
    assert_eq!(outcome.failed.unwrap().kind, ExecFailure::Other);
}

#[test]
fn a_tree_that_is_given_up_leaves_no_half_file() {
    let mut agent = Agent::up();
    let tree = Archive::default().file("t", &[7; 50_000]).end();
    let id = agent.open_with(put("/there"));
    agent.send(&Frame::data(id, STREAM_MAIN, &tree[..30_000]));
    while names(agent.root()).iter().all(|name| !name.starts_with(".msb-cp.")) {
        std::thread::yield_now();
    }
    agent.send(&Frame::reset(id, &Error::new(ErrorCode::ClientGone, "given up")));
    loop {
        let frame = agent.frame();
        if frame.session == id && frame.kind == Kind::Message && frame.code == 0x0009 {
            break;
        }
    }
    while names(agent.root()).iter().any(|name| name.starts_with(".msb-cp.")) {
        std::thread::yield_now();
    }
    assert!(!agent.root().join("there").exists());
}
