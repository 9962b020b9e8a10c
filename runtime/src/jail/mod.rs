//! The jail: what a process that hears a guest gives up before it hears it.
//!
//! ```text
//! namespaces ─▶ empty root ─▶ capabilities ─▶ Landlock ─▶ seccomp
//! ```
//!
//! Each layer stands by itself: what one would let through the next one stops. A layer that the
//! host refuses is told, and the others are put on all the same. A process goes in as a whole,
//! before it has a second thread, and never comes out.

mod beneath;
mod calls;
mod capabilities;
mod folder;
mod layer;
mod namespaces;
mod root;

use std::io;
use std::os::fd::OwnedFd;

pub use calls::{Call, Only};
pub use folder::{Access, Folder};
pub use layer::{Layer, Missing};

/// What a process has in its jail.
#[derive(Debug)]
pub struct Keep {
    /// The folders it works on.
    pub folders: Vec<Folder>,
    /// The calls it makes.
    pub calls: &'static [Call],
}

/// Puts this process into a jail of these layers.
///
/// Returns the folders, by descriptors that lead nowhere else, and what the host refused. Must be
/// called while the process has one thread.
pub fn enter(keep: Keep, layers: &[Layer]) -> (Vec<OwnedFd>, Vec<Missing>) {
    let mut missing = Vec::new();
    let mut put_on = |layer: Layer, put: &mut dyn FnMut() -> io::Result<()>| {
        if layers.contains(&layer)
            && let Err(why) = put()
        {
            missing.push(Missing { layer, why });
        }
    };
    let Keep { mut folders, calls } = keep;
    let is_root = rustix::process::geteuid().is_root();
    let parent = rustix::process::getppid();
    let mut own = None;
    put_on(Layer::Namespaces, &mut || {
        own = Some(namespaces::enter(is_root)?);
        Ok(())
    });
    put_on(Layer::Root, &mut || match &own {
        Some(own) => root::leave(own, &mut folders),
        None => Err(io::Error::other("without namespaces of its own this would be the host's")),
    });
    put_on(Layer::Capabilities, &mut || capabilities::drop_all(is_root));
    put_on(Layer::Dumpable, &mut || capabilities::hide(parent));
    put_on(Layer::Landlock, &mut || beneath::stay(&folders));
    put_on(Layer::Seccomp, &mut || calls::allow_only(calls));
    (folders.into_iter().map(|folder| folder.fd).collect(), missing)
}
