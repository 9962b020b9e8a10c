//! A machine's network as the rest of the runtime has it: a thread, and a way to speak to it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use schema::control::NetworkFigures;
use schema::launch::{HostPort, Link, Publish};
use schema::project::network::Network;
use schema::record::Bound;
use thiserror::Error;
use tokio::sync::mpsc;

use super::command::{Command, Ports};
use super::dns::{self, Chance, Resolver};
use super::engine::{CALLING, Engine, FIRST};
use super::ether::Wire;
use super::faults::Faults;
use super::fragments::Fragments;
use super::gate::{Denial, Gate};
use super::limits::Limits;
use super::link::{Incoming, Outgoing};
use super::listen::Listener;
use super::names::Names;
use super::outlook::{self, Outlook};
use super::peers::{self, Peers, Reach};
use super::pins::Pins;
use super::published::{self, Moves, PortError};
use super::stack::Stack;
use super::table::Table;
use super::traffic::Traffic;
use super::udp::DATAGRAM_BYTES_MAX;
use super::used::Used;
use super::watch::Watch;
use crate::clock::{Clock, HostClock};

/// How many commands may wait.
const COMMANDS_MAX: usize = 64;
/// How many denials may wait to be heard.
const DENIALS_MAX: usize = 64;
/// How long an answer of the thread may take.
const ANSWER: Duration = Duration::from_secs(2);

/// What a network is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The wire to the guest.
    pub(crate) link: UnixStream,
    /// The guest's hardware address.
    pub(crate) mac: [u8; 6],
    /// What it may reach.
    pub(crate) policy: Network,
    /// Its published ports.
    pub(crate) listeners: Vec<Listener>,
    /// What its resolver knows.
    pub(crate) names: dns::Settings,
    /// How the host reaches the world.
    pub(crate) outlook: outlook::Settings,
    /// Its siblings.
    pub(crate) peers: peers::Settings,
    /// What first sequence numbers are chosen by.
    pub(crate) seed: u64,
}

/// Why a network is not as it was asked to be.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// A port cannot be had.
    #[error("{}: {}", .0, .0.source)]
    Port(#[from] PortError),
    /// The host has no descriptors left.
    #[error("a port cannot be listened on: {0}")]
    Watch(io::Error),
    /// The thread is gone or hangs.
    #[error("the network of the machine does not answer")]
    Silent,
}

/// See the module. Dropping it ends the thread and every connection.
#[derive(Debug)]
pub(crate) struct Net {
    commands: Option<SyncSender<Command>>,
    published: Vec<Bound>,
    policy: Network,
    denials: Option<mpsc::Receiver<Denial>>,
    reach: Reach,
    traffic: Traffic,
    used: Used,
    spare: Spare,
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

/// What a network is started from again, for the machine's next VMM. Ports stay bound by it.
#[derive(Debug)]
struct Spare {
    mac: [u8; 6],
    listeners: Vec<Listener>,
    names: dns::Settings,
    outlook: outlook::Settings,
    peers: peers::Settings,
}

impl Spare {
    fn of(settings: &Settings) -> io::Result<Self> {
        Ok(Self {
            mac: settings.mac,
            listeners: settings.listeners.iter().map(Listener::again).collect::<Result<_, _>>()?,
            names: settings.names.clone(),
            outlook: settings.outlook.clone(),
            peers: settings.peers.again()?,
        })
    }

    /// Keeps what is published.
    fn publish(&mut self, new: Vec<Listener>, kept: &[Bound], gone: &[Bound]) {
        let is_it = |one: &Listener, bound: &Bound| {
            let record = one.record();
            (record.protocol, record.bind, record.host) == (bound.protocol, bound.bind, bound.host)
        };
        self.listeners.retain(|one| !gone.iter().any(|gone| is_it(one, gone)));
        for listener in &mut self.listeners {
            if let Some(kept) = kept.iter().find(|kept| is_it(listener, kept)) {
                listener.lead_to(kept);
            }
        }
        self.listeners.extend(new);
    }
}

impl Net {
    /// Starts the thread.
    ///
    /// # Errors
    /// The host has no descriptors or threads left.
    pub(crate) fn start<C: Clock + Send + 'static>(
        settings: Settings,
        clock: C,
    ) -> io::Result<Self> {
        let spare = Spare::of(&settings)?;
        let Settings { link, mac, policy, listeners, names, outlook, peers, seed } = settings;
        peers.socket.set_nonblocking(true)?;
        let reach = peers.reach.clone();
        link.set_nonblocking(true)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (sender, commands) = sync_channel(COMMANDS_MAX);
        let (teller, denials) = mpsc::channel(DENIALS_MAX);
        let traffic = Traffic::default();
        let mut engine = Engine {
            traffic: traffic.clone(),
            stack: Stack::new(seed, clock.now()),
            watch: Watch::new()?,
            link: link.into(),
            wake: wake.try_clone()?,
            commands,
            wire: Wire::new(mac),
            incoming: Incoming::new(),
            fragments: Fragments::default(),
            faults: Faults::new(clock.now()),
            outgoing: Outgoing::default(),
            limits: Limits::new(&policy.limits, clock.now()),
            gate: Gate::new(policy.clone(), teller),
            pins: Pins::default(),
            names: Names::new(Resolver::new(names, chance())),
            outlook: Outlook::new(outlook, clock.now()),
            denied_names: 0,
            connections: Table::default(),
            flows: Table::default(),
            visits: Table::default(),
            echoes: Table::default(),
            peers: Peers::new(peers, FIRST),
            listeners: Vec::new(),
            next_token: 0,
            next_port: CALLING.0,
            clock,
            scratch: vec![0; DATAGRAM_BYTES_MAX],
            has_more: true,
        };
        let mut published: Vec<Bound> = listeners.iter().map(Listener::record).collect();
        published.sort_unstable();
        for listener in listeners {
            engine.listen(listener)?;
        }
        engine.begin_with_siblings()?;
        let used = engine.limits.egress.used.clone();
        let work = move || match engine.run() {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "the network of the machine ended"),
        };
        let thread = std::thread::Builder::new().name("msb-net".into()).spawn(work)?;
        let (commands, thread, denials) = (Some(sender), Some(thread), Some(denials));
        Ok(Self { commands, published, policy, denials, reach, traffic, used, spare, wake, thread })
    }

    /// Starts it again over another wire: what was open is closed, what is published stays bound, and
    /// who calls meanwhile waits.
    ///
    /// # Errors
    /// The host has no descriptors or threads left.
    pub(crate) fn again(mut self, link: UnixStream, seed: u64) -> io::Result<Self> {
        let peers = peers::Settings { reach: self.reach.clone(), ..self.spare.peers.again()? };
        let settings = Settings {
            link,
            mac: self.spare.mac,
            policy: self.policy.clone(),
            listeners: std::mem::take(&mut self.spare.listeners),
            names: self.spare.names.clone(),
            outlook: self.spare.outlook.clone(),
            peers,
            seed,
        };
        drop(self);
        Self::start(settings, HostClock)
    }

    /// Returns when bytes last passed, but for questions to the resolver.
    pub(crate) fn last_used(&self) -> Option<Instant> {
        self.used.last()
    }

    /// Returns what may not pass, as it is told from here on; once.
    pub(crate) fn take_denials(&mut self) -> Option<mpsc::Receiver<Denial>> {
        self.denials.take()
    }

    /// Returns what goes through the wire, now and later.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// Returns what is published on the host.
    pub(crate) fn published(&self) -> &[Bound] {
        &self.published
    }

    /// Lets something else pass from now on. Where that cannot be had, nothing changes.
    pub(crate) fn change(&mut self, link: &Link) -> Result<(), ChangeError> {
        self.change_ports(&link.ports)?;
        if self.policy != link.policy {
            if !self.say(Command::Policy(Box::new(link.policy.clone()))) {
                return Err(ChangeError::Silent);
            }
            self.policy = link.policy.clone();
        }
        let reach = Reach::of(link);
        if self.reach != reach {
            if !self.say(Command::Siblings(Box::new(reach.clone()))) {
                return Err(ChangeError::Silent);
            }
            self.reach = reach;
        }
        Ok(())
    }

    fn change_ports(&mut self, wanted: &[Publish]) -> Result<(), ChangeError> {
        let Moves { mut kept, new, mut gone } = Moves::between(&self.published, wanted);
        let bound = match published::bind(&new) {
            // What is let go may stand in the way: `0.0.0.0:80` in that of `127.0.0.1:80`.
            Err(error) if error.source.kind() == io::ErrorKind::AddrInUse && !gone.is_empty() => {
                self.publish(vec![], vec![], gone.clone())?;
                match published::bind(&new) {
                    Ok(bound) => {
                        gone.clear();
                        bound
                    }
                    Err(error) => {
                        self.restore(&gone);
                        return Err(error.into());
                    }
                }
            }
            bound => bound?,
        };
        let records: Vec<Bound> = bound.iter().map(Listener::record).collect();
        self.publish(bound, kept.clone(), gone)?;
        kept.extend(records);
        kept.sort_unstable();
        self.published = kept;
        Ok(())
    }

    /// Publishes again what was let go for nothing.
    fn restore(&mut self, gone: &[Bound]) {
        let fixed = |bound: &Bound| {
            let host = HostPort::Fixed(bound.host);
            Publish { protocol: bound.protocol, bind: bound.bind, host, guest: bound.guest }
        };
        for bound in gone {
            let again = published::bind(&[fixed(bound)]).map_err(ChangeError::from);
            let again = again.and_then(|again| self.publish(again, vec![], vec![]));
            if let Err(error) = again {
                tracing::error!(%error, %bound, "a port that was let go could not be had again");
                self.published.retain(|one| one != bound);
            }
        }
    }

    fn publish(
        &mut self,
        new: Vec<Listener>,
        kept: Vec<Bound>,
        gone: Vec<Bound>,
    ) -> Result<(), ChangeError> {
        let again = new.iter().map(Listener::again).collect::<io::Result<_>>();
        self.spare.publish(again.map_err(ChangeError::Watch)?, &kept, &gone);
        let (done, told) = sync_channel(1);
        if !self.say(Command::Ports(Ports { new, kept, gone, done })) {
            return Err(ChangeError::Silent);
        }
        let told = told.recv_timeout(ANSWER).map_err(|_| ChangeError::Silent)?;
        told.map_err(ChangeError::Watch)
    }

    /// Says something to the thread; tells whether it was taken.
    pub(crate) fn say(&self, command: Command) -> bool {
        let Some(commands) = &self.commands else { return false };
        let taken = match commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        };
        self.wake();
        taken
    }

    /// Asks how it stands; `None` where the thread is gone or hangs.
    pub(crate) fn figures(&self) -> Option<NetworkFigures> {
        let (answer, figures) = sync_channel(1);
        self.say(Command::Tell(answer)).then(|| figures.recv_timeout(ANSWER).ok()).flatten()
    }

    fn wake(&self) {
        // A counter that is full wakes as well.
        rustix::io::write(self.wake.as_fd(), &1_u64.to_ne_bytes()).ok();
    }
}

/// Returns numbers that nobody can guess.
fn chance() -> Chance {
    // The pool of the kernel cannot be empty; should it be, a question is told apart by its port.
    Chance::from_fn(|| crate::sys::random::<8>().map_or(0, u64::from_ne_bytes))
}

impl Drop for Net {
    fn drop(&mut self) {
        self.commands = None;
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            thread.join().ok();
        }
    }
}
