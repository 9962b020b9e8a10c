//! Everything a supervisor hears from, in one place to wait.

use std::future::pending;
use std::os::fd::OwnedFd;
use std::time::Instant;

use schema::launch::CREATOR_DETACHES;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::control::Ask;
use crate::hypervisor::{Child, Notice, VmmEnd};
use crate::net::Denial;
use crate::relay::Heard;

/// What was sensed.
pub(super) enum Sensed {
    Channel(Heard),
    Console(Vec<u8>),
    Notice(Notice),
    Ask(Ask),
    Signal,
    CreatorGone,
    VmmEnded(VmmEnd),
    SharesEnded(VmmEnd),
    Denied(Denial),
    Due,
}

/// The streams of one VMM.
pub(super) struct Streams {
    pub(super) channel: mpsc::Receiver<Heard>,
    pub(super) console: mpsc::Receiver<Vec<u8>>,
    pub(super) notices: mpsc::Receiver<Notice>,
    /// The server of shared folders.
    pub(super) shares: Option<Child>,
    /// What may not pass the network device.
    pub(super) denials: Option<mpsc::Receiver<Denial>>,
}

/// The signals that ask for an end. From [`Signals::listen`] on none is lost.
pub(super) struct Signals([Signal; 2]);

impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> std::io::Result<Self> {
        // What would end the process, and means nothing to it.
        for kind in [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()]
        {
            drop(signal(kind)?);
        }
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]))
    }
}

/// See the module. What is over is absent.
pub(super) struct Senses {
    channel: Option<mpsc::Receiver<Heard>>,
    console: Option<mpsc::Receiver<Vec<u8>>>,
    notices: Option<mpsc::Receiver<Notice>>,
    asks: Option<mpsc::Receiver<Ask>>,
    creator: Option<pipe::Receiver>,
    signals: Signals,
    vmm_is_over: bool,
    shares: Option<Child>,
    denials: Option<mpsc::Receiver<Denial>>,
}

impl Senses {
    /// Listens to signals, to clients, to the creator if the machine has one, and to `streams`.
    pub(super) fn new(
        streams: Streams,
        asks: mpsc::Receiver<Ask>,
        creator: Option<OwnedFd>,
        signals: Signals,
    ) -> std::io::Result<Self> {
        Ok(Self {
            channel: Some(streams.channel),
            console: Some(streams.console),
            notices: Some(streams.notices),
            asks: Some(asks),
            creator: creator.map(pipe::Receiver::from_owned_fd).transpose()?,
            signals,
            vmm_is_over: false,
            shares: streams.shares,
            denials: streams.denials,
        })
    }

    /// Listens to the streams of another VMM.
    pub(super) fn follow(&mut self, streams: Streams) {
        let Streams { channel, console, notices, shares, denials } = streams;
        (self.channel, self.console) = (Some(channel), Some(console));
        (self.notices, self.shares, self.denials) = (Some(notices), shares, denials);
        self.vmm_is_over = false;
    }

    /// Forgets the creator.
    pub(super) fn detach(&mut self) {
        self.creator = None;
    }

    /// Tells whether nothing more can come of the machine.
    pub(super) const fn are_over(&self) -> bool {
        let streams = self.channel.is_none() && self.console.is_none();
        self.vmm_is_over && streams && self.shares.is_none()
    }

    /// Waits for the next thing, at most until `deadline`.
    pub(super) async fn next(&mut self, process: &Child, deadline: Instant) -> Sensed {
        let [terminate, interrupt] = &mut self.signals.0;
        // People come first: a guest that talks without end must not keep them from being heard.
        tokio::select! {
            biased;
            ask = next_of(&mut self.asks) => ask.map_or(Sensed::Due, Sensed::Ask),
            Some(()) = terminate.recv() => Sensed::Signal,
            Some(()) = interrupt.recv() => Sensed::Signal,
            is_gone = creator(&mut self.creator) => {
                self.creator = None;
                if is_gone { Sensed::CreatorGone } else { Sensed::Due }
            }
            end = process.ended(), if !self.vmm_is_over => {
                self.vmm_is_over = true;
                Sensed::VmmEnded(end)
            }
            end = end_of(&mut self.shares) => Sensed::SharesEnded(end),
            heard = next_of(&mut self.channel) => heard.map_or(Sensed::Due, Sensed::Channel),
            bytes = next_of(&mut self.console) => bytes.map_or(Sensed::Due, Sensed::Console),
            notice = next_of(&mut self.notices) => notice.map_or(Sensed::Due, Sensed::Notice),
            denial = next_of(&mut self.denials) => denial.map_or(Sensed::Due, Sensed::Denied),
            () = tokio::time::sleep_until(deadline.into()) => Sensed::Due,
        }
    }
}

/// Waits for the next of a stream; forgets the stream at its end, which is told once.
async fn next_of<T>(stream: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    let Some(open) = stream else { return pending().await };
    let next = open.recv().await;
    if next.is_none() {
        *stream = None;
    }
    next
}

/// Waits for the end of a process, which is told once.
async fn end_of(process: &mut Option<Child>) -> VmmEnd {
    let Some(running) = process else { return pending().await };
    let end = running.ended().await;
    *process = None;
    end
}

/// Waits for the creator's word; tells whether it went without one.
async fn creator(pipe: &mut Option<pipe::Receiver>) -> bool {
    let Some(pipe) = pipe else { return pending().await };
    !matches!(pipe.read_u8().await, Ok(CREATOR_DETACHES))
}
