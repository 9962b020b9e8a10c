//! What the rest of the runtime says to the network's thread.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::SyncSender;

use schema::policy::By;
use schema::project::network::Network;
use schema::record::Bound;

use super::listen::Listener;

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    /// Another policy holds from now on.
    Policy(Box<Network>),
    /// Something else is published.
    Ports(Ports),
    /// Somebody asks how it stands.
    Tell(SyncSender<Figures>),
}

/// What is published anew, led elsewhere and published no more.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(super) new: Vec<Listener>,
    pub(super) kept: Vec<Bound>,
    pub(super) gone: Vec<Bound>,
    /// Told when it is so.
    pub(super) done: SyncSender<io::Result<()>>,
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
