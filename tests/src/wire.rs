//! Two networks of the test's own, and a wire between them that can be slow and on which nothing goes unseen.
//!
//! ```text
//! near ── device ── this process: waits, remembers ── device ── far
//! ```
//!
//! A network is held by a descriptor and nothing else, so nothing of it is left when the test ends, however it
//! ends. The devices are those for packets: what comes through is whole, with its sums, as on a real wire.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::run::bare;
use crate::sys;

/// What the devices are called.
pub const DEVICE: &str = "wire0";
/// The address of the near end.
pub const NEAR: &str = "100.80.0.1";
/// The address of the far end.
pub const FAR: &str = "100.80.0.2";

/// Where the addresses of one end are.
const NEAR_V6: &str = "fd00:80::1";
const FAR_V6: &str = "fd00:80::2";
/// The longest packet.
const PACKET_BYTES_MAX: usize = 65_536;

/// What was sent.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

/// A network of its own.
#[derive(Debug)]
pub struct Network {
    it: File,
}

/// See the module.
#[derive(Debug)]
pub struct Wire {
    near: Network,
    far: Network,
    sent: Option<Sent>,
    /// Closing it ends the thread.
    end: Option<rustix::fd::OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    fn new() -> io::Result<Self> {
        let make = || {
            sys::own_network()?;
            Ok(Self { it: File::open("/proc/thread-self/ns/net")? })
        };
        std::thread::scope(|scope| scope.spawn(make).join().expect("it does not panic"))
    }

    /// Does something inside; what it opens stays there.
    ///
    /// # Panics
    /// When it does, or when this process may not go there any more.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let go = || {
            move_into_link_name_space(self.it.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("a network of our own");
            work()
        };
        std::thread::scope(|scope| {
            scope.spawn(go).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Returns what a command is started through to run inside.
    pub fn through(&self) -> Vec<String> {
        let place = format!("--net=/proc/{}/fd/{}", std::process::id(), self.it.as_raw_fd());
        vec!["nsenter".into(), place]
    }

    /// Runs `ip` inside.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, words: &str) {
        let through = self.through();
        let mut command = bare("nsenter");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.args(&through[1..]).arg("ip").args(words.split(' ')).output();
        let output = output.expect("nsenter is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {said}");
    }

    /// Makes the device of one end; returns this process's side of it.
    fn device(
        &self,
        (address, peer): (&str, &str),
        (address6, peer6): (&str, &str),
    ) -> io::Result<File> {
        let made = self.inside(|| {
            let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a small flag");
            let mut options = OpenOptions::new();
            let tun = options.read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
            sys::make_device(tun.as_fd(), DEVICE).map(|()| tun)
        });
        let tun = made?;
        self.ip("link set lo up");
        self.ip(&format!("link set {DEVICE} txqueuelen 10000 up"));
        self.ip(&format!("addr add {address} peer {peer} dev {DEVICE}"));
        self.ip(&format!("-6 addr add {address6} peer {peer6} dev {DEVICE} nodad"));
        Ok(tun)
    }
}

impl Wire {
    /// Makes both networks; a packet takes `delay` each way. None where this host does not let us.
    pub fn slow(delay: Duration) -> Option<Self> {
        Self::new(delay, None)
    }

    /// Makes both networks, and remembers what the near one sends. None where this host does not let us.
    pub fn watched() -> Option<Self> {
        Self::new(Duration::ZERO, Some(Arc::default()))
    }

    fn new(delay: Duration, sent: Option<Sent>) -> Option<Self> {
        let (near, far) = (Network::new().ok()?, Network::new().ok()?);
        let near_end = near.device((NEAR, FAR), (NEAR_V6, FAR_V6)).ok()?;
        let far_end = far.device((FAR, NEAR), (FAR_V6, NEAR_V6)).ok()?;
        let (ends, end) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        let out = Way {
            from: near_end.try_clone().ok()?,
            to: far_end.try_clone().ok()?,
            delay,
            queue: VecDeque::new(),
        };
        let back = Way { from: far_end, to: near_end, delay, queue: VecDeque::new() };
        let remembered = sent.clone();
        let thread = std::thread::spawn(move || carry([out, back], remembered.as_deref(), &ends));
        Some(Self { near, far, sent, end: Some(end), thread: Some(thread) })
    }

    /// Returns the network where what is tried runs.
    pub fn near(&self) -> &Network {
        &self.near
    }

    /// Returns the network that stands for everybody else.
    pub fn far(&self) -> &Network {
        &self.far
    }

    /// Makes the far network the whole Internet: the near one's packets go there whatever they are for, and it
    /// takes every address for its own.
    ///
    /// # Panics
    /// When `ip` fails.
    pub fn reach_everywhere(&self) {
        self.near.ip(&format!("route add default via {FAR}"));
        self.near.ip(&format!("-6 route add default via {FAR_V6} dev {DEVICE}"));
        self.far.ip("route add local 0.0.0.0/0 dev lo");
        self.far.ip("-6 route add local ::/0 dev lo");
    }

    /// Returns every packet that the near network has sent, and forgets them.
    ///
    /// # Panics
    /// When the thread of the wire did.
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        let Some(sent) = &self.sent else { return Vec::new() };
        std::mem::take(&mut *sent.lock().expect("the wire goes on"))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// One way of the wire.
struct Way {
    from: File,
    to: File,
    delay: Duration,
    queue: VecDeque<(Instant, Vec<u8>)>,
}

impl Way {
    /// Takes what was sent; shows it to `see`.
    fn take(&mut self, now: Instant, mut see: impl FnMut(&[u8])) {
        let mut packet = vec![0; PACKET_BYTES_MAX];
        loop {
            match self.from.read(&mut packet) {
                Ok(count) => {
                    let packet = packet.get(..count).unwrap_or_default();
                    see(packet);
                    self.queue.push_back((now + self.delay, packet.to_vec()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the wire cannot be read: {error}"),
            }
        }
    }

    /// Delivers what has been under way for long enough.
    fn give(&mut self, now: Instant) {
        while let Some((_, packet)) = self.queue.pop_front_if(|(due, _)| *due <= now) {
            // A packet that the other end does not want is lost, as on any wire.
            drop(self.to.write(&packet));
        }
    }
}

fn carry(mut ways: [Way; 2], sent: Option<&Mutex<Vec<Vec<u8>>>>, end: &rustix::fd::OwnedFd) {
    loop {
        let now = now();
        let due = ways.iter().filter_map(|way| way.queue.front()).map(|(due, _)| *due).min();
        let timeout = due.map(|due| {
            let left = due.saturating_duration_since(now);
            Timespec::try_from(left).expect("delays are short")
        });
        let [out, back] = &ways;
        let mut fds = [
            PollFd::new(&out.from, PollFlags::IN),
            PollFd::new(&back.from, PollFlags::IN),
            PollFd::new(end, PollFlags::IN),
        ];
        poll(&mut fds, timeout.as_ref()).expect("descriptors of our own");
        if !fds[2].revents().is_empty() {
            return;
        }
        let now = self::now();
        let [out, back] = &mut ways;
        out.take(now, |packet| {
            if let Some(sent) = sent {
                sent.lock().expect("nobody panics with it").push(packet.to_vec());
            }
        });
        back.take(now, |_| {});
        out.give(now);
        back.give(now);
    }
}

#[expect(clippy::disallowed_methods, reason = "a wire has real time")]
fn now() -> Instant {
    Instant::now()
}
