//! The jail: what a process that hears a guest gives up before it hears it.
//!
//! ```text
//! namespaces ─▶ empty root ─▶ capabilities ─▶ limits ─▶ Landlock ─▶ seccomp
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
mod limits;
mod lists;
mod namespaces;
mod place;
mod report;
mod root;
mod runtime;

use std::io;
use std::os::fd::{OwnedFd, RawFd};

pub use calls::{Call, Calls, Only};
pub use folder::{Access, Folder};
pub use layer::{Layer, Missing};
pub use limits::Limits;
pub use lists::{EVERYBODY, LEADS_OUT, NETWORK, PROGRAMS};
pub use place::{Place, Use};
pub use report::IN_JAIL;
pub(crate) use report::{hear, tell};
pub(crate) use runtime::stay_at_work;

/// What a process has in its jail.
#[derive(Debug)]
pub struct Keep {
    /// The folders it works on.
    pub folders: Vec<Folder>,
    /// Files that are open and may be opened again by their descriptors; whether to write them.
    pub files: Vec<(RawFd, bool)>,
    /// What of the host's it finds under its name.
    pub places: Vec<Place>,
    /// Whether root works on files of others.
    pub files_of_others: bool,
    /// What it may take of the host.
    pub limits: Limits,
    /// The calls it makes.
    pub calls: Calls,
    /// Who makes its namespaces.
    pub namespaces: Namespaces,
}

/// Who makes the namespaces of a process that goes to jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// It does, but for that of processes.
    Itself,
    /// Whoever made it did, or says why the host refused them.
    Given(Result<(), String>),
}

impl Namespaces {
    /// What a process is told as its last argument that no starter made.
    pub const ITSELF: &str = "itself";

    /// Returns what the last argument of a process says: nothing where a starter made them, else why it did not.
    #[must_use]
    pub fn told(missing: &str) -> Self {
        match missing {
            "" => Self::Given(Ok(())),
            Self::ITSELF => Self::Itself,
            why => Self::Given(Err(why.to_owned())),
        }
    }
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
    let Keep { mut folders, files, places, files_of_others, limits, calls, namespaces } = keep;
    let is_root = rustix::process::geteuid().is_root();
    let parent = rustix::process::getppid();
    let mut own = None;
    put_on(Layer::Namespaces, &mut || {
        own = Some(match &namespaces {
            Namespaces::Itself => namespaces::enter(is_root)?,
            Namespaces::Given(Ok(())) => namespaces::given(),
            Namespaces::Given(Err(why)) => return Err(io::Error::other(why.clone())),
        });
        Ok(())
    });
    put_on(Layer::Root, &mut || match &own {
        Some(own) => root::leave(own, &mut folders, &places),
        None => Err(io::Error::other("without namespaces of its own this would be the host's")),
    });
    put_on(Layer::Capabilities, &mut || capabilities::drop_all(is_root && files_of_others));
    put_on(Layer::Dumpable, &mut || capabilities::hide(parent));
    put_on(Layer::Limits, &mut || limits::keep_to(limits));
    put_on(Layer::Landlock, &mut || beneath::stay(&folders, &files, &places));
    put_on(Layer::Seccomp, &mut || calls.install());
    (folders.into_iter().map(|folder| folder.fd).collect(), missing)
}
