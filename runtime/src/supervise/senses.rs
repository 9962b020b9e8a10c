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
use crate::relay::Heard;

/// What was sensed.
pub(super) enum Sensed {
    Channel(Heard),
    Console(Vec<u8>),
    ConsoleOver,
    Notice(Notice),
    Ask(Ask),
    Signal,
    CreatorGone,
    VmmEnded(VmmEnd),
    Due,
}

/// See the module.
pub(super) struct Senses {
    pub(super) channel: mpsc::Receiver<Heard>,
    pub(super) console: mpsc::Receiver<Vec<u8>>,
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) asks: mpsc::Receiver<Ask>,
    creator: Option<pipe::Receiver>,
    signals: [Signal; 2],
    channel_over: bool,
    console_over: bool,
    notices_over: bool,
    vmm_over: bool,
}

/// The streams of a machine and of its clients.
pub(super) struct Streams {
    pub(super) channel: mpsc::Receiver<Heard>,
    pub(super) console: mpsc::Receiver<Vec<u8>>,
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) asks: mpsc::Receiver<Ask>,
}

impl Senses {
    /// Listens to signals, to the creator if the machine has one, and to `streams`.
    pub(super) fn new(streams: Streams, creator: Option<OwnedFd>) -> std::io::Result<Self> {
        let Streams { channel, console, notices, asks } = streams;
        // What would end the process, and means nothing to it.
        for kind in [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()]
        {
            drop(signal(kind)?);
        }
        Ok(Self {
            channel,
            console,
            notices,
            asks,
            creator: creator.map(pipe::Receiver::from_owned_fd).transpose()?,
            signals: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
            channel_over: false,
            console_over: false,
            notices_over: false,
            vmm_over: false,
        })
    }

    /// Forgets the creator.
    pub(super) fn detach(&mut self) {
        self.creator = None;
    }

    /// Tells whether nothing more can come of the machine.
    pub(super) const fn are_over(&self) -> bool {
        self.vmm_over && self.channel_over && self.console_over
    }

    /// Waits for the next thing, at most until `deadline`.
    pub(super) async fn next(&mut self, process: &Child, deadline: Instant) -> Sensed {
        let [terminate, interrupt] = &mut self.signals;
        tokio::select! {
            biased;
            heard = self.channel.recv(), if !self.channel_over => match heard {
                Some(heard) => {
                    self.channel_over = matches!(heard, Heard::Lost(_));
                    Sensed::Channel(heard)
                }
                None => {
                    self.channel_over = true;
                    Sensed::Due
                }
            },
            bytes = self.console.recv(), if !self.console_over => bytes.map_or_else(
                || {
                    self.console_over = true;
                    Sensed::ConsoleOver
                },
                Sensed::Console,
            ),
            notice = self.notices.recv(), if !self.notices_over => notice.map_or_else(
                || {
                    self.notices_over = true;
                    Sensed::Due
                },
                Sensed::Notice,
            ),
            end = process.ended(), if !self.vmm_over => {
                self.vmm_over = true;
                Sensed::VmmEnded(end)
            }
            Some(ask) = self.asks.recv() => Sensed::Ask(ask),
            Some(()) = terminate.recv() => Sensed::Signal,
            Some(()) = interrupt.recv() => Sensed::Signal,
            is_gone = creator(&mut self.creator) => {
                self.creator = None;
                if is_gone { Sensed::CreatorGone } else { Sensed::Due }
            }
            () = tokio::time::sleep_until(deadline.into()) => Sensed::Due,
        }
    }
}

/// Waits for the creator's word; tells whether it went without one.
async fn creator(pipe: &mut Option<pipe::Receiver>) -> bool {
    let Some(pipe) = pipe else { return pending().await };
    !matches!(pipe.read_u8().await, Ok(CREATOR_DETACHES))
}
