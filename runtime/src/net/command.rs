//! What the rest of the runtime says to the network's thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;

use schema::policy::By;
use schema::project::Transport;
use schema::project::network::Network;

use super::listen::Listener;
use super::peers::Reach;

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    /// Another policy holds from now on.
    Policy(Box<Network>),
    /// A port is published.
    Listen(Listener),
    /// A port is published no more.
    Silence((Transport, SocketAddr)),
    /// Other siblings may be called, or may call, from now on.
    Siblings(Box<Reach>),
    /// Somebody asks how it stands.
    Tell(SyncSender<Figures>),
}

/// How a machine's network stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Connections that are open or being opened.
    pub(crate) connections: usize,
    /// Flows of datagrams.
    pub(crate) flows: usize,
    /// Frames that were none, and packets that were dropped unread.
    pub(crate) malformed: u64,
    /// Names that were not looked up.
    pub(crate) denied_names: u64,
    /// What was denied, by what denied it.
    pub(crate) denied: BTreeMap<By, u64>,
}
