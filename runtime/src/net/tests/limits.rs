//! How much may pass, with a guest that takes and gives as fast as it can.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use schema::project::network::Network;
use schema::units::Rate;
use smoltcp::socket::tcp::State;

use super::guest::Guest;
use super::{Command, gateway, hosts, listening};
use crate::clock::{Clock as _, HostClock};

const MIB: u64 = 1 << 20;

fn limited(egress: Option<u64>, ingress: Option<u64>) -> Network {
    let mut network = hosts();
    network.limits.egress = egress.map(Rate);
    network.limits.ingress = ingress.map(Rate);
    network
}

/// A host that sends to whoever calls, without an end.
fn sends(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || while stream.write_all(&[7; 65_536]).is_ok() {});
        }
    });
}

/// A host that takes whatever comes; returns how much it was.
fn takes(listener: TcpListener) -> Arc<AtomicU64> {
    let taken = Arc::new(AtomicU64::new(0));
    let all = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, all) = (stream.unwrap(), Arc::clone(&all));
            std::thread::spawn(move || {
                let mut room = vec![0; 65_536];
                while let Ok(count @ 1..) = stream.read(&mut room) {
                    all.fetch_add(u64::try_from(count).unwrap(), Relaxed);
                }
            });
        }
    });
    taken
}

/// Returns how long something took, in seconds.
fn seconds(work: impl FnOnce()) -> f64 {
    let began = HostClock.now();
    work();
    HostClock.now().duration_since(began).as_secs_f64()
}

fn is_about(bytes: u64, seconds: f64, rate: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a ratio with a wide bound")]
    let ratio = bytes as f64 / seconds / rate as f64;
    assert!((0.75..=1.25).contains(&ratio), "{bytes} bytes in {seconds:.2} s: {ratio:.2}");
}

#[test]
fn rt_9_15_what_comes_in_is_held_to_its_limit_and_a_second_connection_gets_its_part() {
    let (listener, port) = listening();
    sends(listener);
    let mut guest = Guest::new(limited(None, Some(MIB)), Vec::new());
    let calls = [guest.connect(gateway(port)), guest.connect(gateway(port))];
    for call in calls {
        guest.until("the call is answered", |guest| guest.state(call) == State::Established);
    }
    let mut came = [Vec::new(), Vec::new()];
    let mut total = 0;
    let took = seconds(|| {
        guest.until("two seconds' worth came", |guest| {
            for (call, came) in calls.iter().zip(&mut came) {
                guest.receive(*call, came);
            }
            total = u64::try_from(came[0].len() + came[1].len()).unwrap();
            total >= 2 * MIB
        });
    });
    is_about(total, took, MIB);
    let [one, other] = came.map(|came| came.len());
    assert!(one.min(other) * 3 > one.max(other), "{one} and {other}");
}

#[test]
fn rt_9_15_what_goes_out_is_held_to_its_limit_and_another_limit_holds_at_once() {
    let (listener, port) = listening();
    let taken = takes(listener);
    let mut guest = Guest::new(limited(Some(MIB), None), Vec::new());
    let call = guest.connect(gateway(port));
    guest.until("the call is answered", |guest| guest.state(call) == State::Established);
    let block = vec![7; 65_536];
    let send = |guest: &mut Guest, bytes: u64| {
        let until = taken.load(Relaxed) + bytes;
        seconds(|| {
            guest.until("it was taken", |guest| {
                guest.send(call, &block);
                taken.load(Relaxed) >= until
            });
        })
    };
    let took = send(&mut guest, 3 * MIB / 2);
    is_about(3 * MIB / 2, took, MIB);
    assert!(guest.net().say(Command::Policy(Box::new(limited(Some(4 * MIB), None)))));
    let took = send(&mut guest, 4 * MIB);
    is_about(4 * MIB, took, 4 * MIB);
    assert!(guest.net().say(Command::Policy(Box::new(limited(None, None)))));
    assert!(send(&mut guest, 16 * MIB) < 2.0, "there is no limit any more");
}

#[test]
fn rt_9_15_datagrams_beyond_the_limit_are_lost_and_others_pass() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut guest = Guest::new(limited(Some(100_000), None), Vec::new());
    let socket = guest.datagrams(5000);
    let mut room = vec![0; 65_536];
    // The guest has to find the gateway first, and can do that only while it is turned.
    guest.send_to(socket, gateway(port), &[9; 20_000]);
    server.set_nonblocking(true).unwrap();
    guest.until("the first came", |_| server.recv(&mut room).is_ok());
    server.set_nonblocking(false).unwrap();
    for _ in 0..9 {
        guest.send_to(socket, gateway(port), &[9; 20_000]);
        guest.turn();
    }
    let mut came = 1;
    while server.recv(&mut room).is_ok() {
        came += 1;
    }
    assert!((1..=4).contains(&came), "{came} of 10");
    guest.send_to(socket, gateway(port), b"later");
    let mut later = 0;
    server.set_nonblocking(true).unwrap();
    guest.until("a later one came", |guest| {
        later = server.recv(&mut room).unwrap_or(0);
        guest.send_to(socket, gateway(port), b"later");
        later > 0
    });
    assert_eq!(&room[..later], b"later");
}
