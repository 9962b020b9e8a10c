//! What the rest of the runtime says to the network's thread.

use std::io;
use std::sync::mpsc::SyncSender;

use schema::control::NetworkFigures;
use schema::project::network::Network;
use schema::record::Bound;

use super::listen::Listener;
use super::peers::Reach;

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    /// Another policy holds from now on.
    Policy(Box<Network>),
    /// Something else is published.
    Ports(Ports),
    /// Other siblings may be called, or may call, from now on.
    Siblings(Box<Reach>),
    /// Somebody asks how it stands.
    Tell(SyncSender<NetworkFigures>),
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
