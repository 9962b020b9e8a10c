//! Copies out of guests that mean harm: what stands in for the relay says what an agent never would.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::{JoinHandle, spawn};

use schema::archive::craft::{Archive, Head};
use schema::wire::files::NoteKind;
use schema::wire::message::{Done, Ready, Started};
use schema::wire::relay::Welcome;
use schema::wire::{CREDIT_START_BYTES, Decoder, Frame, STREAM_MAIN, STREAM_STDERR};

use super::*;
use crate::scratch::Scratch;

/// What the stand-in does once a session was opened: frames for the session, and the bytes of the
/// tree, over and over for ever where it is `Endless`.
struct Script {
    tree: Vec<u8>,
    is_endless: bool,
    notes: Vec<u8>,
    code: u8,
}

fn script(tree: Vec<u8>) -> Script {
    let notes = FileNote::copied(1, 1).to_bytes();
    Script { tree, is_endless: false, notes, code: 0 }
}

/// Plays the agent of one client until it hangs up; returns how many bytes of a tree it sent.
fn agent(socket: &Path, script: Script) -> JoinHandle<u64> {
    let listener = UnixListener::bind(socket).unwrap();
    spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut hello = Welcome::of_slot(1).to_bytes().to_vec();
        let ready = Ready { version: "1".into(), generation: 1, ..Ready::default() };
        Message::Ready(ready).to_frame(0).encode(&mut hello);
        client.write_all(&hello).unwrap();
        let (mut decoder, mut credit, mut sent) = (Decoder::default(), u64::from(1_u32 << 16), 0);
        let session = loop {
            match hear(&mut client, &mut decoder) {
                Some(frame) if frame.kind == schema::wire::Kind::Message => break frame.session,
                Some(_) => {}
                None => return 0,
            }
        };
        let mut say = |frame: Frame| client.write_all(&frame.to_bytes()).is_ok();
        if !say(Message::Started(Started { pid: 7 }).to_frame(session)) {
            return 0;
        }
        let mut rest = script.tree.as_slice();
        loop {
            if rest.is_empty() && script.is_endless {
                rest = &script.tree[script.tree.len() / 2..];
            }
            let count = rest.len().min(1 << 15).min(usize::try_from(credit).unwrap());
            if rest.is_empty() {
                break;
            }
            if count == 0 {
                match hear(&mut client, &mut decoder) {
                    Some(frame) if frame.code == STREAM_MAIN => {
                        credit += u64::from(frame.granted());
                    }
                    Some(frame) if frame.kind == schema::wire::Kind::Reset => return sent,
                    Some(_) => {}
                    None => return sent,
                }
                continue;
            }
            let frame = Frame::data(session, STREAM_MAIN, &rest[..count]);
            if client.write_all(&frame.to_bytes()).is_err() {
                return sent;
            }
            credit -= count as u64;
            sent += count as u64;
            rest = &rest[count..];
        }
        let exited = Exited {
            code: Some(script.code),
            signal: None,
            core: false,
            cpu_ms: 0,
            rss_max_bytes: 0,
            oom: None,
        };
        for frame in [
            Frame::data(session, STREAM_STDERR, &script.notes),
            Message::Exited(exited).to_frame(session),
            Message::Done(Done {}).to_frame(session),
        ] {
            client.write_all(&frame.to_bytes()).ok();
        }
        // Until the client hangs up, as an agent would.
        client.read_to_end(&mut Vec::new()).ok();
        sent
    })
}

fn hear(client: &mut UnixStream, decoder: &mut Decoder) -> Option<Frame> {
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return Some(frame);
        }
        let mut bytes = [0; 4096];
        let count = client.read(&mut bytes).ok().filter(|count| *count > 0)?;
        decoder.push(&bytes[..count]);
    }
}

/// Copies `/srv/t` of such a guest to `in/`, beside which lies a secret.
fn attack(script: Script) -> (Scratch, Result<(), TransferError>, Tally, u64) {
    let ground = Scratch::new();
    fs::create_dir(ground.path().join("in")).unwrap();
    fs::File::create(ground.path().join("secret")).unwrap().write_all(b"untouched").unwrap();
    let socket = ground.path().join("socket");
    let agent = agent(&socket, script);
    let job = Job {
        from: Side::Guest { socket: socket.clone(), path: b"/srv/t".to_vec() },
        to: Side::Host(ground.path().join("in")),
        links: Links::Kept,
        owners: Owners::Kept,
        into: Destination::Either,
        reserve_bytes: 0,
    };
    let mut tally = Tally::default();
    let mut signals = Signals::catch(&[]).unwrap();
    let done = copy(&job, &mut tally, &mut signals, &mut |_| ());
    let sent = agent.join().unwrap();
    fs::remove_file(socket).unwrap();
    assert_eq!(fs::read(ground.path().join("secret")).unwrap(), b"untouched");
    assert_eq!(names(ground.path()), ["in", "secret"], "only the target is written");
    (ground, done, tally, sent)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn s14_an_archive_of_traps_writes_nothing_but_the_target() {
    let mut lending = Head::new(b'0', "t/lending", 1);
    lending.put(100, b"0006755\0");
    let archive = Archive::default()
        .folder("t")
        .file("../secret", b"evil")
        .file("t/../../secret", b"evil")
        .file("/secret", b"evil")
        .file("beside", b"evil")
        .symlink("t/l", "../../secret")
        .symlink("t/in", ".")
        .file("t/in/file", b"evil")
        .symlink("t/d", "..")
        .file("t/d/secret", b"evil")
        .hard_link("t/h", "../secret")
        .hard_link("t/l2", "t/in")
        .device(b'3', "t/null", (1, 3))
        .entry(Head::new(b'6', "t/pipe", 0), b"")
        .entry(lending, b"x")
        .file("t/good", b"good")
        .end();
    let (ground, done, tally, _) = attack(script(archive));
    done.unwrap();
    assert_eq!((tally.files, tally.left_out_count), (4, 11), "{tally:?}");
    assert_eq!(tally.unsafe_count, 9, "{tally:?}");
    let inside = ground.path().join("in/t");
    assert_eq!(names(&ground.path().join("in")), ["t"]);
    assert_eq!(names(&inside), ["d", "good", "in", "lending"]);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(inside.join("lending")).unwrap());
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn s14_a_file_of_eight_exbibytes_and_one_without_end_are_bounded() {
    let sparse = Archive::default()
        .pax(b'x', &[("GNU.sparse.map", b"0,3"), ("GNU.sparse.size", b"9223372036854775807")])
        .file("t", b"abc")
        .end();
    let (ground, done, ..) = attack(script(sparse));
    assert!(matches!(&done, Err(TransferError::Told(note)) if note.errno == Some(28)), "{done:?}");
    assert_eq!(names(&ground.path().join("in")), [""; 0]);
    let mut head = Head::new(b'0', "t", 0);
    head.put(124, &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0, 0]);
    let endless = Archive::default().raw(&head.summed()).raw(&[7; 1 << 20]).unfinished();
    let (ground, done, _, sent) = attack(Script { is_endless: true, ..script(endless) });
    assert!(matches!(&done, Err(TransferError::Told(note)) if note.errno == Some(28)), "{done:?}");
    assert_eq!(names(&ground.path().join("in")), [""; 0]);
    assert!(sent < 16 << 20, "it was let to send {sent} bytes");
}

#[test]
fn s14_a_guest_that_breaks_off_or_speaks_nonsense_leaves_no_half_file() {
    let whole = Archive::default().file("t", &[7; 200_000]).end();
    let (ground, done, ..) = attack(script(whole[..100_000].to_vec()));
    assert!(
        matches!(&done, Err(TransferError::Told(note)) if note.kind == NoteKind::Failed),
        "{done:?}"
    );
    assert_eq!(names(&ground.path().join("in")), [""; 0]);
    let nonsense = Script { notes: b"error: no such file".to_vec(), ..script(whole.clone()) };
    let (_, done, ..) = attack(nonsense);
    assert!(matches!(done, Err(TransferError::Note(_))), "{done:?}");
    let silent = Script { notes: vec![], code: 1, ..script(whole) };
    let (_, done, ..) = attack(silent);
    assert!(matches!(done, Err(TransferError::Ended(_))), "{done:?}");
    let (_, done, ..) = attack(script(vec![0x55; 100_000]));
    assert!(matches!(done, Err(TransferError::Told(_))), "{done:?}");
}

#[test]
fn s14_names_without_end_are_counted_and_not_kept() {
    let mut notes = Vec::new();
    for number in 0..3000_u32 {
        let path = number.to_string();
        notes.extend(FileNote::new(NoteKind::Skipped, path.as_bytes(), "x").to_bytes());
    }
    notes.extend(FileNote::copied(1, 1).to_bytes());
    let tree = Archive::default().file("t", b"x").end();
    assert!(notes.len() <= CREDIT_START_BYTES as usize, "no more than may be sent at once");
    let (_, done, tally, _) = attack(Script { notes, ..script(tree) });
    done.unwrap();
    assert_eq!((tally.left_out.len(), tally.left_out_count), (1000, 3000));
}

#[test]
fn a_tree_is_called_by_the_last_name_of_its_path() {
    for (path, name) in [
        ("/etc/app", "app"),
        ("app/", "app"),
        ("a//b//", "b"),
        (".", ""),
        ("a/..", ""),
        ("/", ""),
        ("", ""),
    ] {
        assert_eq!(last_name(path.as_bytes()), name.as_bytes(), "{path}");
    }
}
