//! Two or three machines of one project in one folder, each with a guest.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use schema::peer::{LINE_BYTES_MAX, NAMES, SOCKET, link_name};
use smoltcp::iface::SocketHandle;

use super::*;
use crate::clock::{Clock as _, HostClock};
use crate::folder::tests::Scratch;
use crate::net::peers::tests::{own, reach};
use crate::net::peers::{self, Reach};

/// The folder of all machines, whose path is longer than that of any socket; it goes with the last who
/// uses it.
#[derive(Clone)]
pub(super) struct Place(Arc<Scratch>);

impl Place {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new(&format!("{}-{number}", "siblings-".repeat(16)));
        fs::create_dir_all(scratch.path.join(NAMES)).unwrap();
        Self(Arc::new(scratch))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    /// Makes the folder of a machine and its name.
    pub(super) fn machine(&self, name: &str, reach: Reach) -> peers::Settings {
        let folder = self.folder(name);
        fs::create_dir_all(&folder).unwrap();
        fs::remove_file(folder.join(SOCKET)).ok();
        let own = own(name);
        let link = link_name(&own.project, own.name.sandbox.as_str(), &own.name.slot());
        let link = self.folder(NAMES).join(link);
        fs::remove_file(&link).ok();
        symlink(format!("../{name}"), link).unwrap();
        let folder = fs::File::open(folder).unwrap();
        let socket = UnixListener::bind(short(&folder)).unwrap();
        peers::Settings { own, reach, folder: folder.into(), socket }
    }

    /// Calls a machine's runtime without saying anything.
    fn knock(&self, name: &str) -> UnixStream {
        UnixStream::connect(short(&fs::File::open(self.folder(name)).unwrap())).unwrap()
    }

    fn guest(&self, name: &str, reach: Reach) -> Guest {
        let peers = self.machine(name, reach);
        let mut names = crate::net::dns::Settings::of_host_name(name);
        names.own_zones.push(peers.own.zone());
        Guest::of((policy(Preset::None, &[]), Vec::new()), names, peers, self)
    }

    /// Writes that a machine is in a phase.
    fn stands(&self, name: &str, phase: &str) {
        fs::create_dir_all(self.folder(name)).unwrap();
        let record = self.folder(name).join("draft");
        // As a runtime does, by rename.
        fs::File::create(&record)
            .and_then(|mut file| write!(file, r#"{{"phase":"{phase}"}}"#))
            .unwrap();
        fs::rename(record, self.folder(name).join("record")).unwrap();
    }
}

fn short(folder: &fs::File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

/// Both guests work until something is so.
fn until(
    (one, other): (&mut Guest, &mut Guest),
    what: &str,
    mut is_so: impl FnMut(&mut Guest, &mut Guest) -> bool,
) {
    one.until(what, |one| {
        other.turn();
        is_so(one, other)
    });
}

/// Asks for the addresses of a name.
fn look_up(guest: &mut Guest, name: &str) -> Vec<IpAddr> {
    let socket = guest.datagrams(5353);
    guest.send_to(socket, gateway(53), &question(7, name));
    let mut came = None;
    guest.until("an answer came", |guest| {
        came = guest.receive_from(socket);
        came.is_some()
    });
    guest.forget(socket);
    let answer = came.unwrap().1;
    let count = usize::from(u16::from_be_bytes([answer[6], answer[7]]));
    // Each record: a pointer, kind and class, time to live, length, address.
    let records = &answer[12 + question(7, name).len() - 12..];
    let records = records.chunks(16).take(count);
    records.map(|record| IpAddr::from(<[u8; 4]>::try_from(&record[12..16]).unwrap())).collect()
}

fn db_and_web(place: &Place) -> (Guest, Guest) {
    let db = place.guest("db", reach(&[], &[("web", "5432")]));
    let web = place.guest("web", reach(&[("db", "5432", "postgres", 1)], &[]));
    (web, db)
}

/// Sends all of `data` and ends; tells when that is done.
fn pour(guest: &mut Guest, call: SocketHandle, data: &[u8], sent: &mut usize) {
    if *sent < data.len() {
        *sent += guest.send(call, &data[*sent..]);
        if *sent == data.len() {
            guest.close(call);
        }
    }
}

#[test]
fn rt_9_10_a_sibling_is_called_by_name_and_each_way_ends_for_itself() {
    let place = Place::new();
    let (mut web, mut db) = db_and_web(&place);
    let server = db.listen(5432);
    let address = look_up(&mut web, "postgres")[0];
    assert_eq!(address, IpAddr::from([198, 19, 0, 1]));
    for name in ["postgres.shop.internal", "db.shop.internal", "db"] {
        assert_eq!(look_up(&mut web, name), [address], "{name}");
    }
    let call = web.connect(SocketAddr::new(address, 5432));
    until((&mut web, &mut db), "the call is answered", |web, db| {
        web.state(call) == State::Established && db.state(server) == State::Established
    });
    let seen = db.far_end(server).unwrap();
    assert_eq!(seen.ip(), IpAddr::from([198, 19, 0, 1]), "the caller, in the target's own table");
    let data: Vec<u8> = (0..5_u32 << 20).map(|at| (at % 249) as u8).collect();
    let (mut sent, mut came) = (0, Vec::new());
    until((&mut web, &mut db), "all of it came, and its end", |web, db| {
        pour(web, call, &data, &mut sent);
        db.receive(server, &mut came);
        came.len() == data.len() && !db.may_hear(server)
    });
    assert!(came == data);
    // The other way is still open.
    let (mut sent, mut back) = (0, Vec::new());
    until((&mut web, &mut db), "all of it came back", |web, db| {
        pour(db, server, &data, &mut sent);
        web.receive(call, &mut back);
        back.len() == data.len() && !web.may_hear(call)
    });
    assert!(back == data);
    until((&mut web, &mut db), "nothing is left", |web, db| {
        web.figures().connections + db.figures().connections == 0
    });
}

#[test]
fn rt_9_10_what_the_file_does_not_connect_is_neither_known_nor_reached() {
    let place = Place::new();
    let (mut web, mut db) = db_and_web(&place);
    let _server = db.listen(5433);
    for name in ["cache", "cache.shop.internal", "web.shop.internal", "shop.internal"] {
        assert_eq!(look_up(&mut web, name), [] as [IpAddr; 0], "{name}");
    }
    assert_eq!(look_up(&mut db, "web"), [] as [IpAddr; 0], "only the other way is connected");
    let address = look_up(&mut web, "postgres")[0];
    let nobody = IpAddr::from([198, 19, 0, 9]);
    for to in [SocketAddr::new(address, 5433), SocketAddr::new(nobody, 5432)] {
        let call = web.connect(to);
        web.until("the denial came", |web| web.state(call) == State::Closed);
    }
    let socket = web.datagrams(5000);
    web.send_to(socket, SocketAddr::new(address, 53), b"no question");
    web.until("three were denied", |web| web.figures().denied.values().sum::<u64>() == 3);
    // Where only the caller was told, the target refuses.
    let bold = reach(&[("db", "5433", "db", 1)], &[]);
    assert!(web.net().say(Command::Siblings(Box::new(bold))));
    let call = web.connect(SocketAddr::new(address, 5433));
    web.until("the refusal came", |web| web.state(call) == State::Closed);
    assert_eq!(db.figures().connections, 0);
}

#[test]
fn rt_9_10_who_does_not_run_or_listen_answers_with_a_reset() {
    let place = Place::new();
    let (mut web, mut db) = db_and_web(&place);
    let address = SocketAddr::new(look_up(&mut web, "postgres")[0], 5432);
    let call = web.connect(address);
    until((&mut web, &mut db), "nobody listens", |web, _| web.state(call) == State::Closed);
    drop(db);
    let call = web.connect(address);
    web.until("nobody runs", |web| web.state(call) == State::Closed);
    // The next machine of that name has the address of the one before.
    let mut db = place.guest("db", reach(&[], &[("web", "5432")]));
    let server = db.listen(5432);
    let call = web.connect(address);
    until((&mut web, &mut db), "the new one answers", |web, db| {
        web.state(call) == State::Established && db.state(server) == State::Established
    });
    // It breaks off, and the caller hears of that as it is.
    db.abort(server);
    until((&mut web, &mut db), "the reset came", |web, _| web.state(call) == State::Closed);
    let call = web.connect(address);
    let server = db.listen(5432);
    until((&mut web, &mut db), "it answers again", |web, _| web.state(call) == State::Established);
    drop((server, db));
    web.until("its machine ended", |web| web.state(call) == State::Closed);
}

#[test]
fn rt_9_10_datagrams_go_between_siblings_and_come_back() {
    let place = Place::new();
    let (mut web, mut db) = db_and_web(&place);
    let address = SocketAddr::new(look_up(&mut web, "postgres")[0], 5432);
    let (server, socket) = (db.datagrams(5432), web.datagrams(5000));
    for length in [0, 1, 1400, 60_000] {
        let data = vec![9; length];
        web.send_to(socket, address, &data);
        let mut came = None;
        until((&mut web, &mut db), "the datagram came back", |web, db| {
            if let Some((from, data)) = db.receive_from(server) {
                db.send_to(server, from, &data);
            }
            came = web.receive_from(socket);
            came.is_some()
        });
        assert!(came.unwrap() == (address, data), "{length}");
    }
    assert_eq!((web.figures().flows, db.figures().flows), (1, 1));
    let given = web.figures().siblings;
    assert!(given.values().any(|at| at.contains(&address.ip())), "{given:?}");
    // What is not connected any more ends at once.
    assert!(web.net().say(Command::Siblings(Box::new(reach(&[], &[])))));
    until((&mut web, &mut db), "both flows end", |web, _| web.figures().flows == 0);
}

#[test]
fn rt_9_10_a_change_holds_for_calls_and_for_what_is_open() {
    let place = Place::new();
    let (mut web, mut db) = db_and_web(&place);
    let server = db.listen(5432);
    let address = SocketAddr::new(look_up(&mut web, "postgres")[0], 5432);
    let call = web.connect(address);
    until((&mut web, &mut db), "the call is answered", |web, _| {
        web.state(call) == State::Established
    });
    assert!(db.net().say(Command::Siblings(Box::new(reach(&[], &[("web", "80")])))));
    until((&mut web, &mut db), "both ends were reset", |web, db| {
        web.state(call) == State::Closed && db.state(server) == State::Closed
    });
    // Now the other way: the target learns who calls while it runs.
    let server = web.listen(80);
    assert!(web.net().say(Command::Siblings(Box::new(reach(&[], &[("db", "80")])))));
    assert!(db.net().say(Command::Siblings(Box::new(reach(&[("web", "80", "web", 1)], &[])))));
    let address = SocketAddr::new(look_up(&mut db, "web")[0], 80);
    let call = db.connect(address);
    until((&mut web, &mut db), "the call is answered", |web, db| {
        db.state(call) == State::Established && web.state(server) == State::Established
    });
}

#[test]
fn rt_9_17_of_replicas_those_are_answered_whose_record_says_ready() {
    let place = Place::new();
    for (name, phase) in [("web.0", "ready"), ("web.1", "starting"), ("web.2", "ready")] {
        drop(place.machine(name, Reach::default()));
        place.stands(name, phase);
    }
    let mut db = place.guest("db", reach(&[("web", "80", "web", 4)], &[]));
    let first = look_up(&mut db, "web");
    let second = look_up(&mut db, "web");
    assert_eq!(first.len(), 2);
    assert_eq!((first[0], first[1]), (second[1], second[0]), "in turn");
    let one = look_up(&mut db, "web-1");
    assert!(one.len() == 1 && !first.contains(&one[0]), "its own name leads to it all the same");
    place.stands("web.1", "ready");
    place.stands("web.0", "degraded");
    // What was looked at is believed for a second.
    let changed = HostClock.now();
    db.until("a second has passed", |_| HostClock.now() > changed + Duration::from_millis(1100));
    let now = look_up(&mut db, "web");
    assert!(now.len() == 2 && now.contains(&one[0]), "{now:?}");
    assert!(!now.contains(&look_up(&mut db, "web-0")[0]));
}

#[test]
fn rt_9_10_callers_that_say_nothing_or_nonsense_are_turned_away() {
    let place = Place::new();
    let (mut web, mut db) = db_and_web(&place);
    let silent: Vec<UnixStream> = (0..40).map(|_| place.knock("db")).collect();
    let call = |project: &str, from: &str, port: u16| {
        format!(
            r#"{{"project":"{project}","from":"{from}","instance":"","protocol":"tcp","port":{port},"nonce":"n"}}"#
        )
    };
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    for line in ["", "{}", &long] {
        let mut stream = place.knock("db");
        writeln!(stream, "{line}").ok();
        assert_eq!(stream.read(&mut [0; 99]).unwrap_or(0), 0, "{line}");
    }
    for line in [call("p2", "web", 5432), call("p1", "job", 5432), call("p1", "web", 5431)] {
        let mut stream = place.knock("db");
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let refused = r#"{"nonce":"n","sandbox":"db","instance":"","refused":"not-connected"}"#;
        assert_eq!(answer.trim_end(), refused, "{line}");
    }
    // Somebody who is connected is not kept from calling by those who say nothing.
    let server = db.listen(5432);
    let address = SocketAddr::new(look_up(&mut web, "postgres")[0], 5432);
    let call = web.connect(address);
    until((&mut web, &mut db), "the call is answered", |web, db| {
        web.state(call) == State::Established && db.state(server) == State::Established
    });
    drop(silent);
}

#[test]
fn rt_9_18_an_address_of_a_sibling_leads_back_to_its_name() {
    let place = Place::new();
    let (mut web, mut db) = db_and_web(&place);
    let _server = db.listen(5432);
    let address = SocketAddr::new(look_up(&mut web, "postgres")[0], 5432);
    let call = web.connect(address);
    until((&mut web, &mut db), "the call is answered", |web, _| {
        web.state(call) == State::Established
    });
    let back = |guest: &mut Guest| {
        let socket = guest.datagrams(5354);
        let mut message = question(9, "1.0.19.198.in-addr.arpa");
        let kind = message.len() - 3;
        message[kind] = 12;
        guest.send_to(socket, gateway(53), &message);
        let mut came = None;
        guest.until("an answer came", |guest| {
            came = guest.receive_from(socket);
            came.is_some()
        });
        let answer = came.unwrap().1;
        String::from_utf8_lossy(&answer[message.len() + 12..]).into_owned()
    };
    assert_eq!(back(&mut web), "\u{8}postgres\0");
    assert_eq!(back(&mut db), "\u{3}web\u{4}shop\u{8}internal\0");
}
